#!/bin/bash
# Runs in the guest of scripts/test-package.sh: installs the package and has each role run as a service.
set -uo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive

finish() { echo "guest: exit status $1"; sync; systemctl poweroff --force --force; }
fail() {
  echo "guest: FAILED: $*"
  systemctl --no-pager --lines=0 status 'longshore-*' || true
  journalctl --no-pager --output=cat --lines=60 --unit='longshore-*' || true
  finish 1
  exit 1
}
say() { echo "guest: $*, $(cut -d ' ' -f 1 /proc/uptime) s after boot"; }
# Asks again until it is so; each wait of systemd's own is over by then.
until_so() {
  for _ in $(seq 600); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.2
  done
  return 1
}

say "$(uname -r), systemd $(systemctl --version | sed -n 's/^systemd \([0-9]*\).*/\1/p')"
ip link set lo up

dpkg --install /root/longshore.deb || fail "the package is not installed"
for unit in longshore-server longshore-agent longshore-balancer longshore-up; do
  systemd-analyze verify --man=no "/lib/systemd/system/$unit.service" || fail "$unit.service"
  systemctl is-active --quiet "$unit" && fail "$unit runs without having been asked to"
done
man_pages=$(find /usr/share/man/man1 -name 'longshore*' | wc -l)
[ "$man_pages" -gt 20 ] || fail "$man_pages manual pages"
say "installed, and nothing runs; the units are in order"

# A control plane. 'start' returns when the server has said that it is ready.
systemctl start longshore-server || fail "longshore-server does not start"
status() { longshore status --data-dir /var/lib/longshore; }
status || fail "the server does not answer once it is ready"
[ "$(stat -c %U /var/lib/longshore)" = longshore ] || fail "the data folder is root's"
[ "$(systemctl show -P StatusText longshore-server)" = "Longshore serves at http://127.0.0.1:4566" ] ||
  fail "status text: $(systemctl show -P StatusText longshore-server)"
[ "$(systemctl show -P WatchdogUSec longshore-server)" = 1min ] || fail "no watchdog"
first=$(systemctl show -P MainPID longshore-server)
systemctl reload longshore-server || fail "no reload"
status >/dev/null || fail "the server does not answer after a reload"
[ "$(systemctl show -P MainPID longshore-server)" = "$first" ] || fail "the reload ended it"
# One that stands still is replaced.
kill -KILL "$first"
until_so systemctl is-active longshore-server || fail "a server that was killed is not started again"
until_so status || fail "it does not answer again"
[ "$(systemctl show -P MainPID longshore-server)" != "$first" ] || fail "it was not replaced"
say "the server runs as $(ps -o user= -p "$(systemctl show -P MainPID longshore-server)")"

# A balancer beside it, with the administrator's keys.
install -m 640 -g longshore /var/lib/longshore/credentials /etc/longshore/balancer.credentials
cat >/etc/longshore/balancer.env <<'ENV'
LONGSHORE_ENDPOINT=http://127.0.0.1:4566
AWS_SHARED_CREDENTIALS_FILE=/etc/longshore/balancer.credentials
ENV
systemctl start longshore-balancer || fail "longshore-balancer does not start"
told=/var/lib/longshore-balancer/balancer/longshore-test/told.json
until_so test -e "$told" || fail "the balancer is told nothing"
systemctl stop longshore-balancer || fail "the balancer does not stop"
[ "$(systemctl show -P Result longshore-balancer)" = success ] || fail "the balancer did not end well"
say "a balancer was told what to serve as $(stat -c %U "$told")"

# This machine as its container instance.
token=$(longshore token create --data-dir /var/lib/longshore --output json | sed -n 's/.*"token": "\(.*\)".*/\1/p')
printf 'LONGSHORE_SERVER=http://127.0.0.1:4566\nLONGSHORE_TOKEN=%s\n' "$token" >/etc/longshore/agent.env
chmod 600 /etc/longshore/agent.env
systemctl start longshore-agent || fail "longshore-agent does not start"
connected() { status | grep -q 'longshore-test.*yes\|ACTIVE'; }
until_so connected || fail "the agent does not connect"
systemctl stop longshore-agent longshore-server || fail "they do not stop"
[ "$(systemctl show -P Result longshore-server)" = success ] || fail "the server did not end well"
say "an agent joined; both have ended"

# All in one, with a task that goes on over a restart of the service.
systemctl start longshore-up || fail "longshore-up does not start"
longshore image load /root/busybox.tar --data-dir /var/lib/longshore-up || fail "no image"
cat >/root/task.json <<'TASK'
{"family": "lasting", "containerDefinitions": [
  {"name": "main", "image": "busybox", "memory": 32, "command": ["sleep", "86400"]}]}
TASK
longshore run /root/task.json --data-dir /var/lib/longshore-up || fail "the task does not run"
before=$(pgrep -f 'sleep 86400') || fail "there is no container"
systemctl restart longshore-up || fail "no restart"
[ "$(pgrep -f 'sleep 86400')" = "$before" ] || fail "the container did not live on"
until_so sh -c "longshore status --data-dir /var/lib/longshore-up | grep -q RUNNING" || fail "its task is not known"
say "a task went on over a restart"

# An upgrade restarts nothing; a removal ends it all.
dpkg --install /root/longshore.deb || fail "no upgrade"
[ "$(pgrep -f 'sleep 86400')" = "$before" ] || fail "the upgrade touched a container"
dpkg --remove longshore || fail "no removal"
pgrep -f 'sleep 86400' && fail "a container outlives the package"
[ -d /var/lib/longshore-up ] || fail "the data went with the package"
dpkg --purge longshore || fail "no purge"
for left in /var/lib/longshore /var/lib/longshore-up /var/lib/longshore-agent /var/lib/longshore-balancer /etc/longshore; do
  [ ! -e "$left" ] || fail "$left is left"
done
mount | grep longshore && fail "mounts are left"
ip link | grep longshore && fail "links are left"
say "removed and purged: nothing is left"
finish 0
