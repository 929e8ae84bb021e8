#!/usr/bin/env bash
# Runs the tests of crate `runtime` on a kernel with cgroup v2 alone, in a QEMU guest.
#
# Usage: scripts/test-cgroup2.sh [--probe | ARGUMENT OF THE TEST BINARY...]
#
# --probe boots the guest and checks the kernel's features only. LONGSHORE_GUEST_TESTS names a test
# binary that is built already; LONGSHORE_GUEST_SECONDS limits the guest's life (280).
#
# The guest: Debian's cloud kernel (unpacked below target/, never installed), a root file system
# of busybox, the test binary and what both need, no network card, no KVM (so: slow). Its first
# process is scripts/test-cgroup2-guest.sh, which checks the kernel's features and then runs the
# tests; their exit status comes back as the last line on the serial console.
set -euo pipefail
cd "$(dirname "$0")/.."

limit_seconds=${LONGSHORE_GUEST_SECONDS:-280}
target=${CARGO_TARGET_DIR:-target}
work=$target/test-cgroup2
repo=$PWD
mkdir -p "$work"
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

# Builds the tests and prints the path of their binary.
build_tests() {
  cargo test --package runtime --test it --no-run --message-format json |
    python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "it": print(message["executable"])'
}

# Copies programs with the libraries they load, each to its own path.
install_programs() {
  for program in "$@"; do
    [ -x "$program" ] || continue
    install -D "$program" "$root$program"
    { ldd "$program" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
      install -D "$(realpath "$library")" "$root$library"
    done
  done
}

make_root() {
  root=$work/root
  rm -rf "$root"
  mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,etc,proc,sys,dev,run,tmp,var/tmp,root}
  # A static busybox: tests also make container images of it.
  install -D "$(command -v busybox)" "$root/bin/busybox"
  ln -s /bin/busybox "$root/usr/bin/busybox"
  busybox --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -sf /bin/busybox "$root/bin/$applet"
  done
  install_programs /usr/sbin/nft /usr/sbin/ip /usr/bin/nsenter /usr/bin/unshare /usr/bin/skopeo
  # The guest calls ip by its full path: busybox would take its own, which knows no namespaces.
  mkdir -p "$root/lib/modules"
  cp -a "$kernel/lib/modules/." "$root/lib/modules/"
  ln -sf /bin/busybox "$root/sbin/modprobe"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  [ ! -d /etc/containers ] || cp -a /etc/containers "$root/etc/"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  install scripts/test-cgroup2-guest.sh "$root/init"
  [ -n "$tests" ] || return 0
  install_programs "$tests"
  ln -sf "$tests" "$root/tests"
  # Tests find their files by paths of the build: those stand at the same place in the guest.
  mkdir -p "$root$repo/crates/node/runtime" "$root$repo/examples"
  cp -a crates/node/runtime/Cargo.toml "$root$repo/crates/node/runtime/"
  [ ! -d examples/images ] || cp -a examples/images "$root$repo/examples/"
  { printf 'cd %q\n' "$repo/crates/node/runtime"
    printf 'export CARGO_MANIFEST_DIR=%q\n' "$repo/crates/node/runtime"
    printf '/tests'; printf ' %q' "$@"; echo; } >"$root/run-tests"
}

make_disk() {
  rm -f "$work/root.img"
  mke2fs -qF -t ext4 -O ^has_journal -E root_owner=0:0 -d "$root" "$work/root.img" 1500M
}

# A first root that only loads the disk's driver and changes over.
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
    echo 'exec /bin/busybox switch_root /newroot /init'; } >"$first/init"
  chmod +x "$first/init"
  (cd "$first" && find . | cpio --quiet --create --format newc) >"$work/initramfs"
}

run_guest() {
  timeout --foreground "$limit_seconds" qemu-system-x86_64 \
    -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 \
    -nodefaults -no-user-config -no-reboot -display none -serial stdio \
    -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check" \
    -drive id=root,file="$work/root.img",format=raw,if=none,cache=unsafe \
    -device virtio-blk-pci,drive=root </dev/null | tee "$work/console.log"
}

unpack_kernel
tests=
if [ -n "${LONGSHORE_GUEST_TESTS:-}" ]; then
  tests=$(realpath "$LONGSHORE_GUEST_TESTS")
elif [ "${1:-}" != --probe ]; then
  say "building the tests of crate runtime"
  tests=$(build_tests)
  [ -n "$tests" ] || { echo "test-cgroup2: cargo named no test binary" >&2; exit 1; }
fi
say "making the guest's disk"
make_root "$@"
make_disk
make_initramfs
say "booting $(basename "$kernel") in QEMU (at most $limit_seconds s)"
run_guest || true
status=$(tr -d '\r' <"$work/console.log" | sed -n 's/^guest: exit status \([0-9]*\)$/\1/p' | tail -1)
[ -n "$status" ] || { echo "test-cgroup2: the guest ended without a status; see $work/console.log" >&2; exit 1; }
exit "$status"
