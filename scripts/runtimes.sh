#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# runtimes.sh RUNTIME    fetches a runtime that is not installed, and prints the folder with its programs
#
#   1.7       containerd of Debian's trixie       podman    this release's, with conmon and the libraries that are missing
#   2         the newest containerd of Debian's sid; 2.1: if that is what sid has
#
# Fetched once, into build/runtimes, from the mirror that apt uses anyway, unpacked and never installed. A folder that is
# there is whole: it gets its name last. For CONTAINERD of lab.sh, and for PATH; runc and the CNI plugins are this machine's.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/packages.sh

folder=$PWD/build/runtimes/${1-}
case ${1-} in
1.7) suite=trixie ;;
2 | 2.*) suite=sid folder=$PWD/build/runtimes/2 ;;
podman) suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}") ;;
*) die "which runtime? See the head of this script" ;;
esac
work=$folder.new.$$

clean_up() {
	rm -rf "$work"
	hand_back build
}

containerd() {
	local program
	unpack "$work/all" containerd
	for program in containerd containerd-shim-runc-v2 ctr; do
		mv "$work/all/usr/bin/$program" "$work/" || die "Debian's package containerd of $suite has no $program"
	done
	rm -rf "$work/all"
	"$work/containerd" --version >"$work/version" || die "containerd of Debian's $suite does not run on this machine"
}

podman() {
	local packages program
	# What is not installed. A line "Inst NAME [VERSION]" would renew what is.
	mapfile -t packages < <(apt-get -s -o Dir::State::Status=/var/lib/dpkg/status --no-install-recommends install podman |
		awk '/^Inst / && $3 !~ /^\[/ { print $2 }')
	[ ${#packages[@]} -gt 0 ] || die "podman is installed already"
	unpack "$work/root" "${packages[@]}"
	for program in podman conmon; do
		# From its own place, so that the folder may move; what conmon starts at a container's end finds its libraries too.
		cat >"$work/$program" <<-'SH'
			#!/bin/sh
			root=$(dirname "$(realpath "$0")")/root
			for folder in "$root"/usr/lib/*-linux-gnu; do
				[ ! -d "$folder" ] || export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
			done
			exec "$root/usr/bin/$(basename "$0")" "$@"
		SH
		chmod 755 "$work/$program"
	done
	"$work/podman" --version >"$work/version" || die "podman does not run on this machine"
}

if [ ! -d "$folder" ]; then
	trap clean_up EXIT
	trap 'exit 130' INT TERM
	apt_state "$suite" "$(dpkg --print-architecture)"
	case $1 in
	podman) fetch=podman ;;
	*) fetch=containerd ;;
	esac
	echo "fetching $fetch of Debian's $suite" >&2
	mkdir -p "$work"
	$fetch
	mv -T "$work" "$folder" 2>/dev/null || [ -d "$folder" ] # or somebody else was faster
fi
if [ "$1" != podman ]; then
	version=$(sed -n 's/^containerd [^ ]* \([0-9][^ ]*\).*/\1/p' "$folder/version")
	[[ $version. == "$1".* || $version == "$1"[~+-]* ]] ||
		die "Debian's $suite has containerd $version, not $1 (what was fetched stays in $folder until that is removed)"
fi
echo "$folder"
