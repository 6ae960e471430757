# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Kernels of Debian's suites. Sourced by test-kernels.sh, after packages.sh.

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
