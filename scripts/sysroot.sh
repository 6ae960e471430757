#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# sysroot.sh ARCH FOLDER    the libraries that the programs are linked with, of another architecture (arm64), in FOLDER
#
# Debian's packages of this machine's own release, from the mirror that apt uses anyway, unpacked and never installed: so
# the machine stays one of its own architecture. A folder that is there is whole: it gets its name last.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/packages.sh

[ $# = 2 ] || die "which architecture, and where to? See the head of this script"
arch=$1 folder=$2
[ ! -e "$folder/var/lib/dpkg/status" ] || exit 0

libraries=(libbpf-dev libelf-dev zlib1g-dev libprotobuf-c-dev libnghttp2-dev libevent-dev libssl-dev libzstd-dev libsqlite3-dev
	libyaml-dev libjson-c-dev libpcre2-dev libpcap-dev libcriterion-dev)
# Of tests/guest/programs.
programs=(coreutils dash mount procps iproute2 bpftool)

. /etc/os-release
apt_state "${VERSION_CODENAME:-bookworm}" "$arch"
# What these need, as apt resolves it on a machine that has nothing.
mapfile -t packages < <(apt-get -s --no-install-recommends install "${libraries[@]}" "${programs[@]}" | awk '/^Inst / { print $2 }')
[ ${#packages[@]} -gt 0 ] || die "Debian does not say what ${libraries[*]} need on $arch"
echo "fetching ${#packages[@]} Debian packages for $arch" >&2
rm -rf "$folder.new"
mkdir -p "$folder.new/var/lib/dpkg/info"
: >"$folder.new/var/lib/dpkg/status"
unpack "$folder.new" "${packages[@]}"
# Links are to be looked up in the folder.
find "$folder.new" -type l -lname '/*' | while read -r link; do
	ln -sfnr "$folder.new$(readlink "$link")" "$link"
done
rm -rf "$folder"
mv "$folder.new" "$folder"
