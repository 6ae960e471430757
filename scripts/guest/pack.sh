# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A guest's file system: the very programs and libraries of this machine, and the kernel's modules, as two archives that
# the kernel unpacks one after the other. Not compressed: unpacking costs an emulated processor more than it saves.
# Sourced by test-kernels.sh.

# words FILE: its lines without comments.
words() {
	sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"
}

archive() { # FOLDER FILE
	(cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$2"
}

# libraries_of SYSROOT FILE...: the shared libraries and the loader that these need, each once, as paths below SYSROOT.
# Read from the files themselves, for programs of another machine cannot be asked by ldd.
libraries_of() {
	local sysroot=$1 file name path
	local -A seen=()
	shift
	while [ $# -gt 0 ]; do
		file=$1
		shift
		while read -r name; do
			[ -z "${seen[$name]-}" ] || continue
			seen[$name]=1
			case $name in
			/*) path=$name ;;
			*) path=$(library_path "$sysroot" "$name") || die "the library $name of $file is not there" ;;
			esac
			echo "$path"
			set -- "$@" "$sysroot$path"
		done < <(readelf -dl "$file" 2>/dev/null |
			sed -nE -e 's/.*\(NEEDED\).*\[(.*)\]/\1/p' -e 's/.*program interpreter: (.*)\]/\1/p')
	done
}

library_path() { # SYSROOT NAME
	local folder
	# shellcheck disable=SC2154 # multiarch: the machine's name in paths, of test-kernels.sh
	for folder in "/lib/$multiarch" "/usr/lib/$multiarch" "/usr/local/lib/$multiarch" /lib /usr/lib /usr/local/lib; do
		if [ -e "$1$folder/$2" ]; then
			echo "$folder/$2"
			return
		fi
	done
	return 1
}

# put SYSROOT ROOT PATH...: copies files into ROOT, at the same paths, links followed.
put() {
	local sysroot=$1 root=$2 path
	shift 2
	for path in "$@"; do
		mkdir -p "$root$(dirname "$path")"
		cp -L "$sysroot$path" "$root$path"
	done
}

# pack_programs ARCH BIN SYSROOT OUTPUT: the programs of BIN, what tests/guest/programs names, and their libraries.
pack_programs() {
	local arch=$1 bin=$2 sysroot=$3 output=$4 root programs folder
	root=build/guest/$arch/root
	rm -rf "$root"
	mkdir -p "$root"/{dev,proc,sys,tmp,run,etc,root,usr/share,usr/bin,usr/sbin,usr/lib,usr/lib64}
	for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
	cp "$bin/test-kernel" "$bin/taffrail-sensor" "$root/usr/bin/"
	cp "build/guest/$arch/init" "$root/init"
	cp "build/guest/$arch/shared_sensor" "$root/usr/bin/shared-sensor"
	cp "${bin%/bin}/bpf/"taffrail*.o "$root/" # for bpftool, to read what the verifier says
	mapfile -t programs < <(words tests/guest/programs)
	put "$sysroot" "$root" "${programs[@]}"
	# The users are root and nobody: names of this machine's are nobody's business.
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	echo guest >"$root/etc/hostname"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
	mapfile -t programs < <(libraries_of "$sysroot" "$root"/usr/bin/* "$root"/usr/sbin/*)
	# glibc opens this one by itself when a thread ends with pthread_exit.
	programs+=("$(library_path "$sysroot" libgcc_s.so.1)") || die "there is no libgcc_s.so.1"
	put "$sysroot" "$root" "${programs[@]}"
	chmod 644 "$root/etc/passwd" "$root/etc/group"
	archive "$root" "$output"
}

# pack_modules KERNEL_FOLDER COMMAND OUTPUT: the modules of tests/guest/modules and what they need, numbered in loading
# order; and the command that init runs instead of the tests, if it is not empty.
pack_modules() {
	local folder=$1 command=$2 output=$3 version name path number=100 root=$3.packed
	version=$(cat "$folder/version")
	rm -rf "$root"
	mkdir -p "$root/modules"
	for name in $(words tests/guest/modules); do
		# What is built in, or not there at all, has no file.
		modprobe -d "$PWD/$folder/modules" -S "$version" --show-depends "$name" 2>/dev/null
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r path; do
		number=$((number + 1))
		name=$(basename "$path")
		case $name in
		*.xz) xz -dc "$path" >"$root/modules/$number-${name%.xz}" ;;
		*.zst) zstd -qdc "$path" >"$root/modules/$number-${name%.zst}" ;;
		*) cp "$path" "$root/modules/$number-$name" ;;
		esac
	done
	[ -z "$command" ] || printf '%s\n' "$command" >"$root/command"
	archive "$root" "$output"
	rm -rf "$root"
}
