#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# runtimes.sh VERSION    fetches another containerd than this machine's, and prints the folder with its programs
#
#   1.7    Debian trixie's              2    the newest of Debian's sid; 2.1: if that is what sid has
#
# Fetched once, into build/runtimes, from the mirror that apt uses anyway, unpacked and never installed. A folder that is
# there is whole: it gets its name last. For CONTAINERD of lab.sh; runc and the CNI plugins are this machine's.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/packages.sh

case ${1-} in
1.7) suite=trixie folder=$PWD/build/runtimes/1.7 ;;
2 | 2.*) suite=sid folder=$PWD/build/runtimes/2 ;;
*) die "which version? See the head of this script" ;;
esac

work=$folder.new.$$
clean_up() {
	rm -rf "$work"
	hand_back build
}

fetch() {
	local program
	echo "fetching containerd of Debian's $suite" >&2
	apt_state $suite "$(dpkg --print-architecture)"
	mkdir -p "$work"
	trap clean_up EXIT
	trap 'exit 130' INT TERM
	unpack "$work/all" containerd
	for program in containerd containerd-shim-runc-v2 ctr; do
		mv "$work/all/usr/bin/$program" "$work/" || die "Debian's package containerd of $suite has no $program"
	done
	rm -rf "$work/all"
	"$work/containerd" --version >"$work/version" || die "containerd of Debian's $suite does not run on this machine"
	rm -rf "$folder"
	mv "$work" "$folder"
}

[ -d "$folder" ] || fetch
version=$(sed -n 's/^containerd [^ ]* \([0-9][^ ]*\).*/\1/p' "$folder/version")
[[ $version. == "$1".* || $version == "$1"[~+-]* ]] || die "Debian's $suite has containerd $version, not $1 (an older one stays in $folder until it is removed)"
echo "$folder"
