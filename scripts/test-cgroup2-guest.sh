#!/bin/busybox sh
# First process of the guest of scripts/test-cgroup2.sh.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

finish() { echo "guest: exit status $1"; sync; poweroff -f; }
need() { "$@" || { echo "guest: failed: $*"; finish 1; }; }

need mount -t proc proc /proc
need mount -t sysfs sysfs /sys
need mount -t cgroup2 cgroup2 /sys/fs/cgroup
need mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
need mount -t devpts devpts /dev/pts
need mount -t tmpfs tmpfs /dev/shm
need mount -t tmpfs tmpfs /run
ln -sfn /proc/self/fd /dev/fd
need mount -t debugfs debugfs /sys/kernel/debug
need /usr/sbin/ip link set lo up
sysctl -q net.ipv4.ip_forward=1
for controller in cpu cpuset io memory pids; do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; done

# The kernel's features that the runtime builds on, so that a lack is told apart from a bug.
echo "guest: $(uname -r), cgroup v2 with $(cat /sys/fs/cgroup/cgroup.controllers)"
mkdir -p /run/overlay/lower /var/overlay/upper /var/overlay/work /run/overlay/merged
need mount -t overlay overlay -o lowerdir=/run/overlay/lower,upperdir=/var/overlay/upper,workdir=/var/overlay/work /run/overlay/merged
need umount /run/overlay/merged
need /usr/sbin/ip netns add probe
need /usr/sbin/ip link add probe0 type bridge
need /usr/sbin/ip link add probe1 type veth peer name probe2 netns probe
need /usr/sbin/ip link set probe1 master probe0
need /usr/sbin/nft -f - <<'RULES'
table inet probe {
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    fib daddr type local dnat ip to meta l4proto . th dport map @ports
  }
  chain postrouting { type nat hook postrouting priority srcnat; masquerade; }
}
RULES
/usr/sbin/nft delete table inet probe
/usr/sbin/ip link delete probe0
/usr/sbin/ip netns delete probe
echo "guest: overlay, bridge, veth, network namespaces and nft work, $(cut -d ' ' -f 1 /proc/uptime) s after boot"

if [ -e /run-tests ]; then sh /run-tests; else true; fi
finish $?
