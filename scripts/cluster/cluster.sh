#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# cluster.sh up DIR                   starts a single-node Kubernetes below DIR, of build/cluster/kube (build.sh) and the containerd
#                                     of lab.sh with its images; prints the path of the CRI socket
# cluster.sh kubectl DIR ARGUMENTS... talks to it
# cluster.sh node DIR COMMAND...      runs something on the node, as root: `ctr -n k8s.io images import FILE`
# cluster.sh restart-kubelet DIR      as a node's upgrade does: the pods go on
# cluster.sh down DIR                 removes all that it made and whatever runs in it; also after an up that failed
#
# The cluster lives in network and mount namespaces of its own: its addresses, ports, bridge and mounts are not the
# machine's, a kubelet of the machine's own is not disturbed, and nothing that a pod sends can leave. In there it looks as a node does:
# containerd's socket and state are in /run/containerd, a BPF file system is mounted. Services have addresses, and names by a resolver
# that knows nothing else (dns.go). A static pod is a file in DIR/manifests; what a disk of the node keeps may be in DIR/volumes.
set -euo pipefail
call=${1-} folder=${2-}
usage="usage: cluster.sh up|down|restart-kubelet DIR, or cluster.sh kubectl|node DIR ARGUMENTS..."
[ $# -ge 2 ] && [ -n "$folder" ] || { echo "$usage" >&2 && exit 2; }
shift 2
dir=$(realpath -m "$folder")
here=$(realpath "$(dirname "$0")/../..")
kube=$here/build/cluster/kube

# The person's own folder, for kubectl's files.
if [ "$call" = kubectl ]; then
	exec nsenter --net="/proc/$(cat "$dir/keeper.pid")/ns/net" "$kube" kubectl --kubeconfig "$dir/admin.kubeconfig" "$@"
fi
if [ "$call" = node ]; then
	exec nsenter --target "$(cat "$dir/keeper.pid")" --mount --net --wd="$PWD" -- "$@"
fi

cd "$here"
. scripts/common.sh
[ "$(id -u)" = 0 ] || die "a cluster needs root"
[[ $dir != *[[:space:]\"\\,:]* ]] || die "$dir: no blanks, quotes, backslashes, commas or colons, please"
export PATH=$PATH:/usr/sbin:/sbin

hash=$(printf %s "$dir" | sha256sum)
name=tfk-${hash:0:4} # the cgroup of all that is not a container or its runtime
node=node-1 services=10.127.0
lab=$dir/lab
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
# Folders outside of ours that kubelet, containerd and its plugins write to, whatever they are told, or that pods ask for; the cluster
# sees ours in their place.
outside=(/var/lib/kubelet /var/log/containers /var/lib/cni /run/containerd /var/lib/taffrail)
# What kubelet sets for the whole machine; it sees and sets copies.
settings=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes)

# --- the namespaces --------------------------------------------------------------------------------------------------
# keep: in the new namespaces, until killed.
keep() {
	local made copy
	mount --make-rshared /
	for made in "${outside[@]}"; do
		mkdir -p "$dir/outside$made"
		mount --bind "$dir/outside$made" "$made"
	done
	for copy in "${settings[@]}"; do
		mkdir -p "$(dirname "$dir/outside/$copy")"
		cat "/proc/sys/$copy" >"$dir/outside/$copy"
		mount --bind "$dir/outside/$copy" "/proc/sys/$copy"
	done
	mkdir -p /run/containerd/s /var/lib/cni/results # or lab.sh would think that it may remove the machine's
	mount -t bpf -o nosuid,nodev,noexec,mode=0700 bpf /sys/fs/bpf
	ip link set lo up
	echo 1 >/proc/sys/net/ipv4/ip_forward # this namespace's
	: >"$dir/kept"
	exec sleep infinity
}

# run NAME COMMAND...: in the background, in the cluster's cgroup; its log in log/NAME, its pid in NAME.pid.
run() {
	local part=$1
	shift
	(
		echo $BASHPID >"$unified/$name/cgroup.procs"
		exec setsid "$@"
	) >>"$dir/log/$part" 2>&1 </dev/null &
	# Both: none is ever outside, and whoever looks from here on finds it there.
	echo $! >"$unified/$name/cgroup.procs" || true
	echo $! >"$dir/$part.pid"
	disown
}

inside() { # COMMAND...
	nsenter --target "$(cat "$dir/keeper.pid")" --mount --net -- "$@"
}

part() { # NAME ARGUMENTS...: of kube
	run "$1" nsenter --target "$(cat "$dir/keeper.pid")" --mount --net -- "$kube" "$@"
}

pids() { [ ! -d "$unified/$name" ] || cat "$unified/$name/cgroup.procs"; }

live() { # NAME
	[ -s "$dir/$1.pid" ] && pids | grep -qx "$(cat "$dir/$1.pid")"
}

until_true() { # WHAT NAME COMMAND...: while the part NAME lives, at most 120 s
	local what=$1 needed=$2 end=$((SECONDS + 120))
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ] || ! live "$needed"; then
			tail -n 20 "$dir/log/$needed" >&2
			die "$what"
		fi
		sleep 0.2
	done
}

api() {
	inside "$kube" kubectl --kubeconfig "$dir/admin.kubeconfig" "$@"
}

# --- the parts -------------------------------------------------------------------------------------------------------
# A token for each user; the certificate of the API server is its own.
identities() {
	local user groups token
	openssl genrsa -out "$dir/pki/accounts.key" 2048 2>/dev/null
	while read -r user groups; do
		token=$(openssl rand -hex 16)
		echo "$token,$user,$user,\"$groups\"" >>"$dir/pki/tokens"
		cat >"$dir/${user##*:}.kubeconfig" <<-YAML
			apiVersion: v1
			kind: Config
			clusters: [{name: c, cluster: {server: "https://$address:6443", certificate-authority: "$dir/pki/apiserver.crt"}}]
			users: [{name: u, user: {token: "$token"}}]
			contexts: [{name: x, context: {cluster: c, user: u}}]
			current-context: x
		YAML
	done <<-USERS
		admin system:masters
		system:kube-controller-manager
		system:kube-scheduler
		system:kube-proxy
		system:node:$node system:nodes
	USERS
}

start_api() {
	part etcd --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn
	part kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address="$address" --cert-dir="$dir/pki" \
		--service-cluster-ip-range=$services.0/24 --endpoint-reconciler-type=none --allow-privileged=true \
		--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --token-auth-file="$dir/pki/tokens" \
		--service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$dir/pki/accounts.key" \
		--service-account-signing-key-file="$dir/pki/accounts.key" --kubelet-preferred-address-types=InternalIP
	until_true "the API server is not ready" kube-apiserver api get --raw=/readyz
}

start_control() {
	local config=$dir/kube-scheduler.kubeconfig
	part kube-controller-manager --kubeconfig="$dir/kube-controller-manager.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false \
		--use-service-account-credentials=true --root-ca-file="$dir/pki/apiserver.crt" \
		--service-account-private-key-file="$dir/pki/accounts.key"
	part kube-scheduler --kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
		--bind-address=127.0.0.1 --leader-elect=false
}

# Addresses of services, and their names. What is for a pod leaves by the bridge, to which the lab's rule knows no way. Masqueraded, so
# that answers pass the node where bridged packets meet no netfilter.
start_services() {
	local bridge=${root#/} table
	table=$(inside ip rule list iif "$bridge" | sed -n 's/.*lookup \([0-9]*\).*/\1/p')
	inside ip route replace "$(inside ip -4 route show dev "$bridge" scope link | awk '{ print $1 }')" dev "$bridge" table "$table"
	cat >"$dir/proxy.yaml" <<-YAML
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		bindAddress: $address
		healthzBindAddress: 127.0.0.1:10256
		metricsBindAddress: 127.0.0.1:10249
		clientConnection: {kubeconfig: $dir/kube-proxy.kubeconfig}
		hostnameOverride: $node
		mode: iptables
		conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
		iptables: {masqueradeAll: true, localhostNodePorts: false}
	YAML
	part kube-proxy --config="$dir/proxy.yaml"
	part dns "$dir/admin.kubeconfig" "$address:53"
	until_true "kube-proxy is not well" kube-proxy inside bash -c "exec 3<>/dev/tcp/127.0.0.1/10256"
}

# Who may reach its port is in the namespace already: it asks nobody for a name.
write_kubelet_config() {
	cat >"$dir/kubelet.yaml" <<-YAML
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $address
		authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
		authorization: {mode: AlwaysAllow}
		containerRuntimeEndpoint: unix://$socket
		cgroupDriver: cgroupfs
		cgroupRoot: $root
		failCgroupV1: false
		failSwapOn: false
		oomScoreAdj: 0
		localStorageCapacityIsolation: false
		evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
		imageGCHighThresholdPercent: 100
		makeIPTablesUtilChains: false
		resolvConf: $dir/resolv.conf
		clusterDNS: [$address]
		clusterDomain: cluster.local
		staticPodPath: $dir/manifests
		fileCheckFrequency: 1s
		podLogsDir: $dir/pods
		volumePluginDir: $dir/plugins
		volumeStatsAggPeriod: -1s
	YAML
}

start_kubelet() {
	part kubelet --config="$dir/kubelet.yaml" --kubeconfig="$dir/$node.kubeconfig" --hostname-override=$node --node-ip="$address"
	until_true "kubelet is not well" kubelet inside bash -c "exec 3<>/dev/tcp/127.0.0.1/10248"
}

# Kubelet's own root in every hierarchy: it ends what it does not know in there, and nothing else.
make_cgroups() {
	local mount file
	awk '$3 == "cgroup" { print $2 }' /proc/self/mounts | while read -r mount; do
		mkdir -p "$mount$root"
		for file in cpuset.cpus cpuset.mems; do
			[ ! -e "$mount/$file" ] || cat "$mount/$file" >"$mount$root/$file"
		done
	done
}

up() {
	local made need
	for need in unshare nsenter openssl iptables; do
		command -v $need >/dev/null || die "$need is not installed. Run: sudo scripts/deps.sh cluster"
	done
	[ -x "$kube" ] || die "$kube is not there. Run: scripts/cluster/build.sh"
	[ -n "$unified" ] || die "no cgroup v2 is mounted, not even beside v1: mount -t cgroup2 none /sys/fs/cgroup/unified"
	[ -z "$(pids)" ] || die "$dir is up already"
	down
	trap '[ $? = 0 ] || down' EXIT
	trap 'exit 130' INT TERM

	mkdir -p "$dir"/{log,pki,etcd,manifests,pods,plugins,volumes} "$unified/$name"
	: >"$dir/resolv.conf"
	for made in "${outside[@]}"; do
		[ -e "$made" ] || echo "$made" >>"$dir/made"
		mkdir -p "$made"
	done
	run keeper unshare --mount --net -- "$PWD/scripts/cluster/cluster.sh" keep "$dir"
	until_true "the namespaces could not be made" keeper test -e "$dir/kept"
	socket=$(inside env LAB_RUN=/run/containerd "$PWD/scripts/lab.sh" up "$lab")
	root=$(inside cat "$(dirname "$socket")/cgroup")
	address=$(inside ip -4 -o address show dev "${root#/}" | awk '{ sub("/.*", "", $4); print $4 }')

	make_cgroups
	identities
	start_api
	start_control
	start_services
	write_kubelet_config
	start_kubelet
	api wait --for=create serviceaccount/default --timeout=120s >/dev/null
	api wait --for=create "node/$node" --timeout=120s >/dev/null
	api wait --for=condition=Ready "node/$node" --timeout=120s >/dev/null
	echo "/proc/$(cat "$dir/keeper.pid")/root$socket"
}

# --- the end ---------------------------------------------------------------------------------------------------------
end() { # NAME: asks for 10 s, then insists
	local tries=100
	live "$1" || return 0
	kill -TERM "$(cat "$dir/$1.pid")" || true
	while live "$1" && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
	! live "$1" || kill -KILL "$(cat "$dir/$1.pid")" || true
}

restart_kubelet() {
	live kubelet || die "no kubelet runs in $dir"
	end kubelet
	address=$(sed -n 's/^address: //p' "$dir/kubelet.yaml")
	start_kubelet
}

# All of Kubernetes at once, for nothing of it is kept; then the runtime and the pods. With the last process the
# namespaces go, and with them bridge, mounts and addresses.
down() {
	local tries=100 all made
	while all=$(pids) && [ -n "$all" ] && [ $((tries -= 1)) -gt 0 ]; do
		# shellcheck disable=SC2086 # many pids
		kill -KILL $all 2>/dev/null || true
		sleep 0.05
	done
	scripts/lab.sh down "$lab"
	[ -z "$(pids)" ] || die "some processes of $dir do not end: $(pids | tr '\n' ' ')"
	[ ! -d "$unified/$name" ] || rmdir "$unified/$name"
	if [ -e "$dir/made" ]; then
		while read -r made; do rmdir "$made" 2>/dev/null || true; done <"$dir/made"
	fi
	rm -rf --one-file-system "$dir"/{log,pki,etcd,manifests,pods,plugins,volumes,outside}
	rm -f "$dir"/{*.pid,*.kubeconfig,kubelet.yaml,proxy.yaml,resolv.conf,made,kept}
	rmdir "$dir" 2>/dev/null || true
}

case $call in
up | down | keep) $call ;;
restart-kubelet) restart_kubelet ;;
*) die "$usage" ;;
esac
