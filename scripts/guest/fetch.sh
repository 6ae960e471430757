# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian's packages from other suites and for other machines, unpacked and never installed. Sourced by test-kernels.sh.
#
# apt fetches them from the mirror that it uses anyway, with a state of its own below build/kernels; it checks the
# archive's signature and each package's hash, so what is damaged or forged does not come through.

# apt_state SUITE ARCH: APT_CONFIG names a private state with the suite's list of packages, renewed once a day.
apt_state() {
	local suite=$1 arch=$2 mirror state
	state=$PWD/build/kernels/apt-$suite-$arch
	export APT_CONFIG=$state/apt.conf
	[ -z "$(find "$state/fresh" -mtime -1 2>/dev/null)" ] || return 0
	mirror=$(APT_CONFIG='' apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
		head -n 1)
	[ -n "$mirror" ] || die "apt knows no mirror of Debian on this machine: the guests' kernels come from one"
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

# unpack FOLDER PACKAGE...: fetches packages of apt_state's suite and unpacks them into FOLDER.
unpack() {
	local folder=$1 downloads package
	shift
	downloads=$(mktemp -d)
	for package in "$@"; do
		if ! (cd "$downloads" && apt-get -q download "$package") >"$downloads/log" 2>&1; then
			cat "$downloads/log" >&2
			rm -rf "$downloads"
			die "Debian's package $package cannot be fetched: is the mirror there?"
		fi
	done
	for package in "$downloads"/*.deb; do
		dpkg -x "$package" "$folder" || die "Debian's package ${package##*/} cannot be unpacked"
	done
	rm -rf "$downloads"
}

# kernel_packages PACKAGE: itself and what it needs of a kernel's parts: 7.x comes as linux-image, -binary and -modules.
kernel_packages() {
	local package
	echo "$1"
	apt-cache depends --important "$1" | sed -nE 's/^ *(Pre)?Depends: (linux-(image|binary|modules)-.*)$/\2/p' |
		while read -r package; do kernel_packages "$package"; done
}

# kernel_fetch SUITE ARCH: unpacks the suite's newest cloud kernel to build/kernels/SUITE-ARCH: vmlinuz, its version in
# `version`, and its modules. A folder that is there is whole: it gets its name last.
kernel_fetch() {
	local suite=$1 arch=$2 folder=build/kernels/$1-$2 packages version modules
	[ ! -d "$folder" ] || return 0
	apt_state "$suite" "$arch"
	mapfile -t packages < <(kernel_packages "linux-image-cloud-$arch" | sed 1d | sort -u)
	[ ${#packages[@]} -gt 0 ] || die "Debian's $suite has no cloud kernel for $arch"
	echo "fetching ${packages[*]} of Debian's $suite" >&2
	rm -rf "$folder.new"
	mkdir -p "$folder.new"
	unpack "$folder.new" "${packages[@]}"
	modules=$(find "$folder.new" -path '*/lib/modules/*' -type d -prune)
	version=${modules##*/}
	# A file of /boot, or since 7.x in the modules' folder.
	find "$folder.new" \( -path "*/$version/vmlinuz" -o -name "vmlinu[xz]-$version" \) -exec cp {} "$folder.new/vmlinuz" \;
	[ -s "$folder.new/vmlinuz" ] && [ -n "$version" ] || die "no kernel in Debian's packages ${packages[*]}"
	mkdir -p "$folder.new/modules/lib/modules"
	mv "$modules" "$folder.new/modules/lib/modules/"
	depmod -b "$folder.new/modules" "$version" 2>/dev/null
	echo "$version" >"$folder.new/version"
	rm -rf "$folder.new"/{boot,usr,lib}
	mv "$folder.new" "$folder"
}
