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
source scripts/guest.sh

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
make_disk 1500M
make_initramfs /init
guest_status
