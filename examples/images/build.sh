#!/usr/bin/env bash
# Builds the example images (OCI archives in out/) from Debian's packages; nothing of them is
# installed on this machine. Images that are fresh are left alone.
#
#   build.sh                    busybox, nginx and redis
#   build.sh nginx python ...   only these; python (with boto3) is built on request only
#   build.sh --force ...        also if fresh
set -euo pipefail
cd "$(dirname "$0")"

die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }

for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || die "'$tool' is missing: the images are made of Debian's packages, so this needs Debian or Ubuntu"
done

need_package() {
  [ "$(id -u)" = 0 ] || die "$1 is missing: run 'apt-get install $1' as root"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}
[ -x /usr/bin/python3 ] || need_package python3
case " $* " in
  *" python "*) /usr/bin/python3 -m pip --version >/dev/null 2>&1 || need_package python3-pip ;;
esac
exec /usr/bin/python3 -B build.py "$@"
