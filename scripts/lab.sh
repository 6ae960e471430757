#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# lab.sh up DIR      starts a private containerd below DIR, with images packed here; prints the path of its CRI socket
# lab.sh down DIR    removes all that it made and whatever runs in it; also after an up that failed or a containerd that died
# lab.sh kill DIR    ends containerd as kill -9 does; the containers go on
# lab.sh start DIR   starts it again
#
# CONTAINERD=FOLDER: with the programs of that folder (scripts/runtimes.sh fetches other versions).
# LAB_RUN=FOLDER: `up` puts socket and state there, as a node has them in /run/containerd. For a mount namespace of its own alone, with
# whose end they go: down knows nothing of them.
#
# Nothing is fetched, and nothing that a pod sends leaves the machine. All processes of the lab, containerd's own too, are
# in one cgroup, so that none is missed at the end. Clients put their pods there: its path is in the file "cgroup" beside
# the socket (scripts/cri_client.py does so).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

[ $# = 2 ] && [ -n "$2" ] || die "usage: lab.sh up|down|kill|start DIR"
[ "$(id -u)" = 0 ] || die "containers need root"
export PATH=${CONTAINERD:+$(realpath -m "$CONTAINERD"):}$PATH:/usr/sbin:/sbin
[[ $2 != *[[:space:]\"\\]* ]] || die "$2: no blanks, quotes or backslashes, please"
dir=$(realpath -m "$2")
[ "$dir" != / ] || die "not in the root directory"

hash=$(printf %s "$dir" | sha256sum)
name=tfl-${hash:0:4} # the bridge, the network and the cgroup
table=$((100000 + 16#${hash:0:4}))
prefix=10.$((128 + 16#${hash:4:2} % 128)).$((16#${hash:6:2}))
# A unix socket's path has at most 107 bytes, and containerd makes a second one with a suffix.
run=$dir
[ ${#dir} -le 80 ] || run=/run/taffrail-lab-${hash:0:8}
run=${LAB_RUN:-$run} state=${LAB_RUN:-$dir/state}
socket=$run/containerd.sock
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
images=example.test/taffrail

# --- images, as archives that docker would save ----------------------------------------------------------------------
pack() { # NAME ROOT CONFIG: prints the archive's path
	local work=$dir/images/$1 sum
	mkdir -p "$work"
	tar --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 -C "$2" -cf "$work/layer.tar" .
	sum=$(sha256sum "$work/layer.tar")
	printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$(dpkg --print-architecture)" "$3" "${sum%% *}" >"$work/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s/%s:1"],"Layers":["layer.tar"]}]' $images "$1" >"$work/manifest.json"
	tar -C "$work" -cf "$work.tar" manifest.json config.json layer.tar
	echo "$work.tar"
}

pack_pause() {
	local root=$dir/images/pause.root
	mkdir -p "$root"
	gcc -static -Os -s -o "$root/pause" -x c - <<-'C'
		#include <signal.h>
		#include <sys/wait.h>
		#include <unistd.h>

		static void on_signal(int number)
		{
			if (number != SIGCHLD)
				_exit(0);
			while (waitpid(-1, NULL, WNOHANG) > 0)
				continue;
		}

		int main(void)
		{
			signal(SIGINT, on_signal);
			signal(SIGTERM, on_signal);
			signal(SIGCHLD, on_signal);
			for (;;)
				pause();
		}
	C
	pack pause "$root" '{"Entrypoint":["/pause"]}'
}

pack_busybox() {
	local root=$dir/images/busybox.root busybox applet
	busybox=$(command -v busybox) || die "busybox is not installed. Run: sudo make deps"
	mkdir -p "$root"/{bin,sbin,etc,tmp,root,srv/www,proc,sys,dev,usr/bin}
	chmod 1777 "$root/tmp"
	cp "$busybox" "$root/bin/busybox"
	for applet in $("$busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/srv/www:/bin/false\nuser:x:1000:1000:user:/srv/www:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nwww-data:x:33:\nuser:x:1000:\n' >"$root/etc/group"
	printf 'root:*:19000:0:99999:7:::\nuser:*:19000:0:99999:7:::\n' >"$root/etc/shadow"
	chmod 600 "$root/etc/shadow"
	printf '#!/bin/sh\necho "script $*"\n' >"$root/usr/bin/script"
	chmod 755 "$root/usr/bin/script"
	printf 'a page of the shop\n' >"$root/srv/www/index.html"
	pack busybox "$root" '{"Env":["PATH=/usr/bin:/bin:/sbin"],"Cmd":["/bin/sh"],"WorkingDir":"/"}'
}

# --- containerd ------------------------------------------------------------------------------------------------------
overlay_works() {
	local try=$dir/overlay status=0
	mkdir -p "$try"/{lower,upper,work,merged}
	mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged" 2>/dev/null || status=1
	[ $status != 0 ] || umount "$try/merged"
	rm -rf --one-file-system "$try"
	return $status
}

write_config() {
	local snapshotter=overlayfs plugins=/usr/lib/cni
	overlay_works || snapshotter=native
	[ -d $plugins ] || plugins=/opt/cni/bin
	mkdir -p "$dir"/{cni,root,opt} "$state"
	# No gateway to the plugin: it would switch the machine's forwarding on. The bridge's address is given in `network`.
	cat >"$dir/cni/10-$name.conflist" <<-JSON
		{"cniVersion": "0.4.0", "name": "$name", "plugins": [{
		  "type": "bridge", "bridge": "$name", "isGateway": false, "ipMasq": false,
		  "ipam": {"type": "host-local", "dataDir": "$dir/ipam", "routes": [{"dst": "0.0.0.0/0"}],
		    "ranges": [[{"subnet": "$prefix.0/24", "gateway": "$prefix.1", "rangeStart": "$prefix.10"}]]}
		}]}
	JSON
	cat >"$dir/config.toml" <<-TOML
		version = 2
		root = "$dir/root"
		state = "$state"
		required_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		  address = "$socket"
		[ttrpc]
		  address = "$socket.ttrpc"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$dir/opt"
		[plugins."io.containerd.nri.v1.nri"]
		  disable = true
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "$images/pause:1"
		  restrict_oom_score_adj = true
		  netns_mounts_under_state_dir = true
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "$plugins"
		    conf_dir = "$dir/cni"
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "$snapshotter"
		    default_runtime_name = "runc"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		      runtime_type = "io.containerd.runc.v2"
		      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		        BinaryName = "$(command -v runc)"
		        Root = "$dir/runc"
	TOML
}

network() {
	ip link add "$name" type bridge
	ip addr add "$prefix.1/24" dev "$name"
	ip link set "$name" up
	ip route replace blackhole default table $table
	ip rule add iif "$name" lookup $table
}

until_true() { # WHAT COMMAND...: at most 20 s
	local what=$1 tries=200
	shift
	until "$@" >/dev/null 2>&1; do
		sleep 0.1
		if [ $((tries -= 1)) = 0 ] || ! live; then
			tail -n 20 "$dir/containerd.log" >&2
			die "$what"
		fi
	done
}

ctr() {
	command ctr --address "$socket" --namespace k8s.io "$@"
}

imported() { # the CRI's own view: it marks the images that it has taken note of
	[ "$(ctr images ls 'labels."io.cri-containerd.image"==managed' | grep -c "^$images/[a-z]*:1 ")" = 2 ]
}

run_containerd() {
	(
		echo $BASHPID >"$unified/$name/runtime/cgroup.procs"
		exec setsid containerd --config "$dir/config.toml"
	) >>"$dir/containerd.log" 2>&1 </dev/null &
	echo $! >"$dir/containerd.pid"
}

# containerd's pid, if it is the lab's and lives.
running() {
	local pid
	pid=$(cat "$dir/containerd.pid" 2>/dev/null || true)
	[ -n "$pid" ] && pids | grep -qx "$pid" && echo "$pid"
}

kill_containerd() {
	local pid tries=50
	pid=$(running) || die "no containerd runs in $dir"
	kill -KILL "$pid"
	while running >/dev/null && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
}

start() {
	! running >/dev/null || die "a containerd runs in $dir already"
	[ -e "$dir/config.toml" ] || die "$dir is not up"
	run_containerd
	until_true "containerd did not start again" ctr version
	until_true "the CRI does not see the images" imported
}

# Folders that containerd, its shims and the CNI library make outside of ours, whatever they are told; and the one where the
# tests give Podman another folder for its cache.
outside=(/run/containerd /run/containerd/s /var/lib/cni /var/lib/cni/results /var/lib/containers)

up() {
	local need made
	for need in containerd runc ctr gcc; do
		command -v $need >/dev/null || die "$need is not installed. Run: sudo make deps"
	done
	[ -n "$unified" ] || die "no cgroup v2 is mounted, not even beside v1: mount -t cgroup2 none /sys/fs/cgroup/unified"
	! live || die "$dir is up already"
	! ip link show "$name" >/dev/null 2>&1 || [ -e "$dir/config.toml" ] || die "an interface $name is there, and it is not this lab's"
	down
	trap 'status=$?; [ $status = 0 ] || down' EXIT
	trap 'exit 130' INT TERM

	mkdir -p "$dir" "$run"
	chmod 711 "$run"
	for made in "${outside[@]}"; do [ -e "$made" ] || echo "$made"; done >"$dir/made"
	write_config
	network
	mkdir -p "$unified/$name/runtime"
	echo "/$name" >"$run/cgroup"
	run_containerd
	pack_pause >"$dir/archives"
	pack_busybox >>"$dir/archives"
	until_true "containerd did not start" ctr version
	while read -r archive; do
		ctr images import "$archive" >>"$dir/containerd.log" 2>&1 || die "$archive could not be imported"
	done <"$dir/archives"
	until_true "the CRI does not see the images" imported
	echo "$socket"
}

# --- the end ---------------------------------------------------------------------------------------------------------
pids() { # [but]: of the lab; with "but", of its containers alone
	local folder
	[ -d "$unified/$name" ] || return 0
	find "$unified/$name" -type d | while read -r folder; do
		[ "${1-}" = but ] && [ "$folder" = "$unified/$name/runtime" ] || cat "$folder/cgroup.procs" 2>/dev/null || true
	done
}

live() { [ -n "$(pids)" ]; }

end() { # [but]: what pids says, also what it starts meanwhile
	local tries=100 all
	while all=$(pids "$@") && [ -n "$all" ] && [ $((tries -= 1)) -gt 0 ]; do
		# shellcheck disable=SC2086 # many pids
		kill -KILL $all 2>/dev/null || true
		sleep 0.05
	done
}

# containerd first, or it tidies up beside us; then the containers, which their shims still reap; then the shims.
end_processes() {
	local pid tries=50
	if pid=$(running); then
		kill -TERM "$pid" || true
		while running >/dev/null && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
		! running >/dev/null || kill -KILL "$pid"
	fi
	end but
	end
}

unmount() {
	local target
	findmnt -nlo TARGET | awk -v a="$dir/" -v b="$run/" 'index($0, a) == 1 || index($0, b) == 1' | sort -r | while read -r target; do
		umount "$target" 2>/dev/null || umount -l "$target" || true
	done
}

remove_files() {
	local address result made
	for address in "$dir"/state/io.containerd.runtime.v2.task/*/*/address; do
		[ ! -e "$address" ] || rm -f "$(sed -n 's,^unix://\(/run/containerd/s/[0-9a-f]*\)$,\1,p' "$address")"
	done
	for result in /var/lib/cni/results/*; do # they name their network namespaces
		[ ! -f "$result" ] || ! grep -qF "\"$dir/state/" "$result" || rm -f "$result"
	done
	if [ -e "$dir/made" ]; then
		tac "$dir/made" | while read -r made; do rmdir "$made" 2>/dev/null || true; done
	fi
	rm -rf --one-file-system "$dir"/{root,state,runc,opt,cni,ipam,images,overlay,podman}
	rm -f "$dir"/{config.toml,containerd.log,containerd.pid,archives,made} "$run/cgroup" "$socket" "$socket.ttrpc"
	rmdir "$run" 2>/dev/null || true
	rmdir "$dir" 2>/dev/null || true
}

down() {
	local mount
	end_processes
	unmount
	while ip rule del iif "$name" lookup $table 2>/dev/null; do :; done
	ip route flush table $table 2>/dev/null || true
	! ip link show "$name" >/dev/null 2>&1 || ip link del "$name" || true
	awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/self/mounts | while read -r mount; do
		[ ! -d "$mount/$name" ] || find "$mount/$name" -depth -type d -exec rmdir {} \; 2>/dev/null || true
	done
	remove_files
	! live || die "some processes of $dir do not end: $(pids | tr '\n' ' ')"
}

case $1 in
up | down | start) $1 ;;
kill) kill_containerd ;;
*) die "up, down, kill or start, not '$1'" ;;
esac
