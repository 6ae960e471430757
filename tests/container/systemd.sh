#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# systemd.sh FOLDER    boots this machine's systemd in namespaces of its own, with FOLDER as /mnt there; it runs /mnt/job
#                      and ends. What it says is in FOLDER/console.
#
# Its root is this machine's, seen through an overlay: what is installed there is gone afterwards. It has its own /dev, /run,
# network and BPF file system, and below a cgroup of its own what systemd makes of cgroups. The kernel is shared.
set -euo pipefail
folder=$(realpath "$1")
name=taffrail-systemd-$(printf %s "$folder" | sha256sum | head -c 8)

# This process's cgroups, and below each one for systemd: "MOUNT/OWN/NAME" a line.
cgroups() {
	local own controllers kind mount options
	while read -r _ mount kind options _; do
		case $kind in
		cgroup2) own=$(sed -n 's/^0:://p' /proc/self/cgroup) ;;
		cgroup)
			controllers=${options##*,}
			[ "$controllers" != cpuset ] || continue # systemd leaves it alone, and it takes nobody as it is made
			own=$(awk -F: -v name="$controllers" '{ n = split($2, list, ","); for (i = 1; i <= n; i++) if (list[i] == name) print $3 }' /proc/self/cgroup)
			;;
		*) continue ;;
		esac
		echo "$mount/$own/$name"
	done </proc/self/mounts
}

if [ "${2-}" != inside ]; then
	mapfile -t made < <(cgroups)
	machine=
	clean() {
		local each tries=100
		if [ -n "$machine" ]; then
			kill -KILL "$machine" 2>/dev/null || true
			wait "$machine" 2>/dev/null || true
		fi
		for each in "${made[@]}"; do
			while [ -d "$each" ] && [ $((tries -= 1)) -gt 0 ]; do
				find "$each" -depth -type d -exec rmdir {} \; 2>/dev/null || true
				[ ! -d "$each" ] || sleep 0.1
			done
		done
		rm -rf --one-file-system "$folder/machine"
	}
	trap clean EXIT
	trap 'exit 130' INT TERM
	for each in "${made[@]}"; do mkdir -p "$each"; done
	mkdir -p "$folder/machine"
	: >"$folder/console"
	(
		for each in "${made[@]}"; do echo $BASHPID >"$each/cgroup.procs"; done
		exec unshare --mount --pid --fork --cgroup --uts --ipc --net --kill-child "$0" "$folder" inside
	) &
	machine=$!
	status=0
	wait $machine || status=$?
	machine=
	exit $status
fi

mount --make-rprivate /
work=$folder/machine root=$folder/machine/root
mount -t tmpfs tmpfs "$work"
mkdir "$work"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root" || exit 77
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
if grep -q '^1:name=systemd:\|:name=systemd:' /proc/self/cgroup; then
	mkdir "$root"/sys/fs/cgroup/{systemd,unified}
	mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
else
	umount "$root/sys/fs/cgroup"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
mount -t bpf bpf "$root/sys/fs/bpf"
for each in dev run tmp; do mount -t tmpfs tmpfs "$root/$each"; done
mkdir "$root"/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
for each in null zero full random urandom tty; do
	: >"$root/dev/$each"
	mount --bind "/dev/$each" "$root/dev/$each"
done
: >"$root/dev/console"
mount --bind "$folder/console" "$root/dev/console"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for each in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${each%:*}" "$root/dev/${each#*:}"; done
mount --bind "$folder" "$root/mnt"
ip link set lo up

# Nothing that the machine itself would start, and no word to the kernel's audit.
rm -rf "$root"/etc/systemd/system/*.wants "$root/etc/systemd/journald.conf.d"
ln -sf /dev/null "$root/etc/systemd/system/systemd-journald-audit.socket"
printf '[Journal]\nAudit=no\nStorage=volatile\n' >"$root/etc/systemd/journald.conf"
printf '[Unit]\nDefaultDependencies=no\nRequires=systemd-journald.service job.service\n' >"$root/etc/systemd/system/job.target"
printf '[Unit]\nDefaultDependencies=no\nAfter=systemd-journald.service\n[Service]\nType=oneshot\nExecStart=/bin/bash -c "bash /mnt/job; systemctl --force exit"\n' \
	>"$root/etc/systemd/system/job.service"
mkdir -p "$root/old"
cd "$root"
pivot_root . old
umount -l /old
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=job.target
