# Sourced: a QEMU guest with Debian's cloud kernel (unpacked, never installed), a disk made of the folder
# $root and no network card. Callers set $work (for files) and $limit_seconds (of the guest's life),
# $kernel_arguments if there are more.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# Debian's newest cloud kernel, with an index of its modules.
unpack_kernel() {
  local package; package=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" {print $2; exit}')
  kernel=$(realpath "$work")/$package
  [ ! -e "$kernel/complete" ] || return 0
  say "unpacking $package"
  rm -rf "$kernel"; mkdir -p "$kernel"
  (cd "$kernel" && apt-get -qq -o APT::Sandbox::User=root download "$package")
  dpkg-deb --extract "$kernel"/*.deb "$kernel"
  rm "$kernel"/*.deb
  depmod --basedir "$kernel" "$(ls "$kernel/lib/modules")"
  touch "$kernel/complete"
}

# The disk of the guest: make_disk SIZE.
make_disk() {
  rm -f "$work/root.img"
  mke2fs -qF -t ext4 -O ^has_journal -E root_owner=0:0 -d "$root" "$work/root.img" "$1"
}

# A first root that only loads the disk's driver and changes over: make_initramfs PATH-OF-INIT.
make_initramfs() {
  local first=$work/first modules=(); rm -rf "$first"; mkdir -p "$first"/{bin,dev,newroot}
  install "$(command -v busybox)" "$first/bin/busybox"
  while read -r _ module; do
    install "$module" "$first/"
    modules+=("$(basename "$module")")
  done < <(modprobe --dirname "$kernel" --set-version "$(ls "$kernel/lib/modules")" --show-depends --all virtio_pci virtio_blk |
    awk '!seen[$0]++')
  { echo '#!/bin/busybox sh'
    printf '/bin/busybox insmod /%s\n' "${modules[@]}"
    echo '/bin/busybox mount -t devtmpfs devtmpfs /dev'
    echo '/bin/busybox mount -t ext4 /dev/vda /newroot'
    echo 'exec /bin/busybox switch_root /newroot '"$1"; } >"$first/init"
  chmod +x "$first/init"
  (cd "$first" && find . | cpio --quiet --create --format newc) >"$work/initramfs"
}

run_guest() {
  timeout --foreground "$limit_seconds" qemu-system-x86_64 \
    -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 \
    -nodefaults -no-user-config -no-reboot -display none -serial stdio \
    -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check ${kernel_arguments:-}" \
    -drive id=root,file="$work/root.img",format=raw,if=none,cache=unsafe \
    -device virtio-blk-pci,drive=root </dev/null | tee "$work/console.log"
}

# Runs the guest; ends with the status that it tells on its console.
guest_status() {
  say "booting $(basename "$kernel") in QEMU (at most $limit_seconds s)"
  run_guest || true
  local status; status=$(tr -d '\r' <"$work/console.log" | sed -n 's/^guest: exit status \([0-9]*\)$/\1/p' | tail -1)
  [ -n "$status" ] || { echo "$(basename "$0"): the guest ended without a status; see $work/console.log" >&2; exit 1; }
  exit "$status"
}
