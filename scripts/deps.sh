#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh [build|run|test|lint|kernels|cluster|p2p|arm64|images]...    installs the Debian packages that are missing;
# without a word, all but cluster, p2p and arm64.
# Ends at once, without root and without a network, when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# package, or package=command where another package may bring the same command (a vendor's node, docker's containerd).
BUILD=(make gcc libc6-dev clang bpftool pkg-config python3 libbpf-dev libelf-dev zlib1g-dev protobuf-c-compiler libprotobuf-c-dev
	libnghttp2-dev libevent-dev libssl-dev libzstd-dev libsqlite3-dev libyaml-dev libjson-c-dev libpcre2-dev
	libpcap-dev)
# A container runtime without a registry: images are packed from busybox, pods are asked for over the CRI by Python.
RUN=(containerd=containerd runc=runc containernetworking-plugins busybox-static iproute2 procps python3 python3-grpcio
	python3-protobuf protobuf-compiler protobuf-compiler-grpc)
TEST=("${RUN[@]}" git openssl libcriterion-dev libfuse3-dev iptables prometheus=promtool systemd libclang-rt-14-dev python3-pytest python3-pytest-xdist python3-yaml nodejs=node npm=npm)
LINT=(git clang-format clang-tidy cppcheck shellcheck)
# Guests: an emulated machine, what packs its file system, and what tells which modules need which.
KERNELS=(qemu-system-x86=qemu-system-x86_64 binutils cpio kmod python3 xz-utils zstd debian-archive-keyring)
# A Kubernetes for make test-cluster, beside Go 1.24 or newer, which Debian 12 has not.
CLUSTER=("${TEST[@]}" util-linux openssl)
# Clients and a tracker, for make test TESTS=p2p; and what only looks like them. A machine has one mail server: another one stays.
P2P=("${TEST[@]}" util-linux tcpdump aria2 transmission-cli python3-libtorrent opentracker rtorrent
	syncthing serf nmap dnsmasq-base=dnsmasq nginx-light=nginx openssl wget curl unbound nsd coturn python3-aiortc postfix=sendmail
	prometheus prometheus-node-exporter redis-server monero litecoind traceroute iputils-tracepath mtr-tiny)
# Packages that would have their servers run on the machine itself, and at each start of it, and the names of their services.
SERVERS=(opentracker=opentracker nginx-light=nginx unbound=unbound nsd=nsd coturn=coturn postfix=postfix prometheus=prometheus
	prometheus-node-exporter=prometheus-node-exporter redis-server=redis-server)
# make images and make deb: what reads and strips programs, what packs and says which libraries' packages are needed; the time
# zones that rules may name, and that go into the image.
IMAGES=(binutils python3 tzdata base-files git dpkg-dev)
# The cross build; its libraries are fetched by sysroot.sh and not installed.
ARM64=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm=qemu-system-aarch64)

die() {
	echo "deps.sh: $*" >&2
	exit 1
}

wanted=()
[ $# -gt 0 ] || set -- build run test lint kernels images
for set in "$@"; do
	case $set in
	build) wanted+=("${BUILD[@]}") ;;
	run) wanted+=("${RUN[@]}") ;;
	test) wanted+=("${TEST[@]}") ;;
	lint) wanted+=("${LINT[@]}") ;;
	kernels) wanted+=("${KERNELS[@]}") ;;
	cluster) wanted+=("${CLUSTER[@]}") ;;
	p2p) wanted+=("${P2P[@]}") ;;
	images) wanted+=("${IMAGES[@]}") ;;
	arm64) wanted+=("${ARM64[@]}") ;;
	*) die "no set of packages is called '$set': build, run, test, lint, kernels, cluster, p2p, arm64 or images" ;;
	esac
done

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
	die "this is no Debian: install by your own means what the lists in $0 name"

# One query for all: a package that dpkg does not know is simply absent from its answer.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]%%=*}" 2>/dev/null || true)
missing=()
for item in "${wanted[@]}"; do
	package=${item%%=*}
	grep -qx "installed $package" <<<"$installed" && continue
	case $item in
	*=*) PATH=$PATH:/usr/sbin:/sbin command -v "${item##*=}" >/dev/null && continue ;;
	esac
	case " ${missing[*]} " in *" $package "*) ;; *) missing+=("$package") ;; esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || die "missing: ${missing[*]}. Install them with: sudo make deps"
. /etc/os-release
case "${ID:-} ${VERSION_CODENAME:-}" in
"debian bookworm") ;;
*) echo "deps.sh: made for Debian 12, this is ${PRETTY_NAME:-unknown}: going on with the same package names" >&2 ;;
esac

# containerd and the servers must not be started by their packages: the tests and the demonstration start their own. Debian's way to
# say so is policy-rc.d; where the machine has one already, that one decides.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' INT TERM
	stay=$(printf ' | %s*' "${SERVERS[@]##*=}")
	printf '#!/bin/sh\ncase $1 in containerd*%s) exit 101 ;; esac\nexit 0\n' "$stay" >$policy
	chmod 755 $policy
fi

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
echo "deps.sh: installing ${#missing[@]} Debian packages: ${missing[*]}" >&2
install() {
	"${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null
}
# The lists on a fresh machine are absent or old: look again before giving up.
if ! "${apt[@]}" update </dev/null; then
	echo "deps.sh: the package lists could not be renewed; trying with those that are here" >&2
fi
install || die "apt-get could not install: ${missing[*]}. Is the network there, and does /etc/apt/sources.list name a Debian mirror?"

# Nor at the machine's next start: of the servers only those that came just now, since another may be the machine's own.
for item in "${SERVERS[@]}"; do
	case " ${missing[*]} " in *" ${item%%=*} "*) ;; *) continue ;; esac
	if command -v systemctl >/dev/null; then
		systemctl --quiet disable "${item##*=}" || echo "deps.sh: ${item##*=} stays enabled" >&2
	elif [ -e "/etc/init.d/${item##*=}" ]; then
		update-rc.d "${item##*=}" disable
	fi
done
