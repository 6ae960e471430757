# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian's packages from other suites and for other machines, unpacked and never installed. Sourced.
#
# apt fetches them from the mirror that it uses anyway, with a state of its own below build/packages; it checks the
# archive's signature and each package's hash, so what is damaged or forged does not come through.

# apt_state SUITE ARCH: APT_CONFIG names a private state with the suite's list of packages, renewed once a day.
apt_state() {
	local suite=$1 arch=$2 mirror state
	state=$PWD/build/packages/apt-$suite-$arch
	export APT_CONFIG=$state/apt.conf
	[ -z "$(find "$state/fresh" -mtime -1 2>/dev/null)" ] || return 0
	mirror=$(APT_CONFIG='' apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
		head -n 1)
	[ -n "$mirror" ] || die "apt knows no mirror of Debian on this machine: packages of other suites come from one"
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	: >"$state/status"
	echo "deb [arch=$arch signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/sources.list"
	cat >"$APT_CONFIG" <<-END
		Dir::Etc::SourceList "$state/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State "$state";
		Dir::State::Lists "$state/lists";
		Dir::State::Status "$state/status";
		Dir::Cache "$state/cache";
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "root";
		APT::Get::List-Cleanup "false";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::Languages "none";
		Acquire::Retries "3";
	END
	apt-get -q update -o APT::Update::Error-Mode=any >"$state/log" 2>&1 || {
		cat "$state/log" >&2
		die "the packages of Debian's $suite cannot be listed: is the mirror $mirror there?"
	}
	touch "$state/fresh"
}

# Notes a package as dpkg does, in a folder that has dpkg's files: for scripts/dpkg_data.py.
noted() { # FOLDER PACKAGE
	local known=$1/var/lib/dpkg
	{ dpkg-deb -f "$2" && printf 'Status: install ok installed\n\n'; } >>"$known/status"
	dpkg-deb --fsys-tarfile "$2" | tar -t | sed 's,^\.,,; s,/$,,' >"$known/info/$(dpkg-deb -f "$2" Package).list"
}

# unpack FOLDER PACKAGE...: fetches packages of apt_state's suite and unpacks them into FOLDER.
unpack() {
	local folder=$1 downloads package
	shift
	downloads=$(mktemp -d)
	if ! (cd "$downloads" && apt-get -q download "$@") >"$downloads/log" 2>&1; then
		cat "$downloads/log" >&2
		rm -rf "$downloads"
		die "Debian's packages $* cannot be fetched: is the mirror there?"
	fi
	for package in "$downloads"/*.deb; do
		dpkg -x "$package" "$folder" || die "Debian's package ${package##*/} cannot be unpacked"
		[ ! -e "$folder/var/lib/dpkg/status" ] || noted "$folder" "$package"
	done
	rm -rf "$downloads"
}
