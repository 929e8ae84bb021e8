#!/usr/bin/env bash
# Installs the Debian package on a fresh Debian with systemd, in a QEMU guest, and has every role run as
# a service. It does not build the package: `./x package` does.
#
# Usage: scripts/test-package.sh [PACKAGE.deb]     default: the one in target/package
#
# LONGSHORE_GUEST_SECONDS limits the guest's life (900: no KVM is asked for, so it is slow).
#
# The guest: what mmdebstrap makes of Debian 12 (kept below target/test-package), the package, and the
# example image busybox. scripts/test-package-guest.sh runs in it as a service of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

limit_seconds=${LONGSHORE_GUEST_SECONDS:-900}
target=${CARGO_TARGET_DIR:-target}
work=$target/test-package
kernel_arguments="systemd.show_status=no systemd.log_level=warning"
mkdir -p "$work"
source scripts/guest.sh

package=${1:-}
[ -n "$package" ] || package=$(ls -t "$target"/package/longshore_*.deb 2>/dev/null | head -1 || true)
[ -e "$package" ] || { echo "test-package: there is no package; ./x package makes one" >&2; exit 1; }
image=examples/images/out/busybox.tar
[ -e "$image" ] || { echo "test-package: $image is missing; examples/images/build.sh busybox makes it" >&2; exit 1; }

# A Debian as its installer leaves it, with systemd and what the package depends on.
unpack_debian() {
  [ ! -e "$work/base/complete" ] || return 0
  say "making a fresh Debian 12 in $work/base"
  rm -rf "$work/base"
  # As root, but without waiting for the disk after each file.
  mmdebstrap --quiet --variant=minbase --mode=root --dpkgopt=force-unsafe-io \
    --include=systemd,systemd-sysv,dbus,udev,adduser,nftables,ca-certificates,iproute2,kmod,procps \
    bookworm "$work/base"
  touch "$work/base/complete"
}

make_root() {
  root=$work/root
  rm -rf "$root"
  cp -a "$work/base" "$root"
  rm -rf "$root/var/cache/apt/archives" "$root/var/lib/apt/lists" "$root/complete"
  mkdir -p "$root/lib/modules"
  cp -a "$kernel/lib/modules/." "$root/lib/modules/"
  install -m 644 "$package" "$root/root/longshore.deb"
  install -m 644 "$image" "$root/root/busybox.tar"
  install -m 755 scripts/test-package-guest.sh "$root/root/test-package"
  echo longshore-test >"$root/etc/hostname"
  printf '127.0.0.1 localhost longshore-test\n' >"$root/etc/hosts"
  # Whatever else the guest does is of no interest, and slow.
  for unit in systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    fstrim.timer getty@tty1 serial-getty@ttyS0 systemd-timesyncd; do
    ln -sf /dev/null "$root/etc/systemd/system/${unit%.service}$([[ $unit == *.timer ]] || echo .service)"
  done
  cat >"$root/etc/systemd/system/test-package.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/root/test-package
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
[Install]
WantedBy=default.target
UNIT
  mkdir -p "$root/etc/systemd/system/default.target.wants"
  ln -sf ../test-package.service "$root/etc/systemd/system/default.target.wants/"
}

unpack_kernel
unpack_debian
say "making the guest's disk"
make_root
make_disk 2500M
rm -rf "$root"
make_initramfs /sbin/init
guest_status
