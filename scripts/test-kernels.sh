#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# test-kernels.sh [OPTION]... [KERNEL]...    the kernel tests, with the programs as built, in guests of other kernels
#
#   KERNEL             5.10, 6.1, 6.12, sid (or 7: Debian's newest), 6.1-v1 (the containers in cgroup v1); default: all.
#                      KERNEL/MODE: in this mode alone
#   --mode MODE        only with these hooks: tracepoint or function (default: both, but 5.10 has the first alone), or auto
#   --filter PATTERN   only these tests, as Criterion names them: 'kernel_file/*'
#   --quick            without the races, the flood and what starts a sensor of its own: a third of the time
#   --jobs N           so many guests at a time (1); one takes one processor
#   --run COMMAND      run this shell command in each guest instead of the tests, and show the console
#   --arch ARCH        amd64 or arm64; default: this machine's
#   --limit SECONDS    kill a guest that has not ended by then (1200)
#   --tap FILE         write there every test of every guest as a line of TAP
#   --gaps             print README.md's table of the known gaps, and nothing else
#
# Kernels are Debian's, fetched once into build/kernels. tests/kernel/gaps says which tests are known to fail where. The
# guests' consoles are kept in build/test/guests. Closes with one line: N passed, N failed, N skipped
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/common.sh
. scripts/packages.sh
. scripts/guest/fetch.sh
. scripts/guest/pack.sh
. scripts/guest/boot.sh
export PATH=$PATH:/usr/sbin:/sbin

# What --quick leaves out: each of these starts a sensor of its own, which takes an emulated processor up to a minute, or races.
slow='bypass_race/*|flood/*|kernel_policy/*|family_*/*|kernel_coverage/*signal*|kernel_compat/families|kernel_compat/what_was_received'
slow+='|kernel_repeat/threads_that*|kernel_socket/a_packet_socket_of_the_old*|bypass_identity/a_process_that_lost*'
slow+='|kernel_flow/a_flow_without*|kernel_flow/a_long_connection*|kernel_sample/the_first*|kernel_sample/flows_to*'
slow+='|kernel_sample/of_a_long*|kernel_sample/what_is_sent*|kernel_sample/before_it*|kernel_sample/a_name_that*'
arch=$(dpkg --print-architecture) kernels=() modes=() filter=() limit=1200 tap='' command='' jobs=1
while [ $# -gt 0 ]; do
	case $1 in
	--gaps) exec scripts/guest/judge.py gaps ;;
	--mode | --filter | --run | --arch | --limit | --tap | --jobs) [ $# -ge 2 ] || die "$1 needs a value" ;;&
	--mode) modes+=("$2") && shift ;;
	--filter) filter=(--filter "$2") && shift ;;
	--run) command=$2 && shift ;;
	--arch) arch=$2 && shift ;;
	--limit) limit=$2 && shift ;;
	--jobs) jobs=$2 && shift ;;
	--quick) filter=(--filter "!($slow)") ;;
	--tap) tap=$2 && shift ;;
	-*) die "there is no option $1: see the head of scripts/test-kernels.sh" ;;
	*) kernels+=("$1") ;;
	esac
	shift
done
[ ${#modes[@]} -gt 0 ] || modes=(tracepoint function)
if [ ${#kernels[@]} = 0 ]; then
	if [ "$arch" = amd64 ]; then kernels=(5.10 6.1 6.1-v1 6.12 sid); else kernels=(6.1 sid); fi
fi
for mode in "${modes[@]}"; do
	case $mode in auto | tracepoint | function) ;; *) die "no mode is called '$mode': tracepoint, function or auto" ;; esac
done

# suite_of KERNEL: whose newest kernel that is.
suite_of() {
	case ${1%-v1} in
	5.10) echo bullseye ;;
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	sid | 7 | 7.*) echo sid ;;
	*) return 1 ;;
	esac
}
for kernel in "${kernels[@]%/*}"; do
	suite_of "$kernel" >/dev/null || die "no kernel is called '$kernel': 5.10, 6.1, 6.1-v1, 6.12 or sid"
done

case $arch in
amd64) multiarch=x86_64-linux-gnu compiler=gcc bin=build/bin ;;
arm64) multiarch=aarch64-linux-gnu compiler=gcc bin=build/bin ;;
*) die "no guests for $arch: amd64 or arm64" ;;
esac

sysroot='' other=''
if [ "$arch" != "$(dpkg --print-architecture)" ]; then
	[ "$arch" = arm64 ] || die "there is no cross build for $arch"
	compiler=aarch64-linux-gnu-gcc bin=build/arm64/bin sysroot=build/arm64/sysroot other=-arm64
	scripts/deps.sh arm64 || exit 1
fi
scripts/deps.sh build test kernels || exit 1
logs=build/test/guests archives=build/guest/$arch
as_owner mkdir -p "$logs" "$archives"
clean_up() {
	local running
	mapfile -t running < <(jobs -p)
	[ ${#running[@]} = 0 ] || kill "${running[@]}"
	rm -f "$archives"/initramfs."$$".*
	hand_back build
}
trap clean_up EXIT
trap 'exit 130' INT TERM

as_owner make -s -j"$(nproc)" ARCH="$arch" "$bin/taffrail-sensor" "$bin/test-kernel" </dev/null || die "the build failed"
for program in init shared_sensor; do
	as_owner "$compiler" -std=gnu11 -O2 -Wall -Wextra -D_GNU_SOURCE -static "tests/guest/$program.c" -o "$archives/$program" ||
		die "tests/guest/$program.c was not built"
done
pack_programs "$arch" "$bin" "$sysroot" "$archives/programs.cpio" || die "the guests' programs were not packed"

# run_guest KERNEL MODE: boots it, and judges what it reported.
run_guest() {
	local kernel=$1 mode=$2 name=$1-$2$other folder started=$SECONDS words=()
	local initramfs=$archives/initramfs.$$.$name
	folder=build/kernels/$(suite_of "$kernel")-$arch
	case $kernel in *-v1) words+=(CGROUPS=v1 TAFFRAIL_CGROUP=v1) ;; esac
	[ "$mode" = auto ] || words+=("TAFFRAIL_HOOKS=$mode")
	pack_modules "$folder" "$command" "$initramfs.modules"
	cat "$initramfs.modules" "$archives/programs.cpio" >"$initramfs"
	boot "$arch" "$folder/vmlinuz" "$initramfs" "$limit" "$logs/$name.log" "${words[@]}" -- "${filter[@]}"
	rm -f "$initramfs" "$initramfs.modules"
	echo "== $kernel ($(cat "$folder/version")), $mode"
	[ -z "$command" ] || { cat "$logs/$name.log" && return; }
	scripts/guest/judge.py guest "$kernel" "$mode" "$logs/$name.log" "$logs/$name.tap" $((SECONDS - started))
}

for kernel in "${kernels[@]%/*}"; do
	kernel_fetch "$(suite_of "$kernel")" "$arch"
done
taps=()
for wanted in "${kernels[@]}"; do
	kernel=${wanted%/*}
	for mode in "${modes[@]}"; do
		[ "$wanted" = "$kernel" ] || [ "$wanted" = "$kernel/$mode" ] || continue
		[ "$kernel-$mode" != 5.10-function ] || continue # function hooks need what 5.15 brought
		while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do wait -n; done
		(
			trap '[ "$guest" = 0 ] || kill "$guest"; exit 130' INT TERM
			run_guest "$kernel" "$mode"
		) &
		taps+=("$logs/$kernel-$mode$other.tap")
	done
done
wait
[ ${#taps[@]} -gt 0 ] || die "there is nothing to run: no kernel has that mode"
[ -z "$command" ] || exit 0
if [ -n "$tap" ]; then
	sed -n '/^\(not \)\{0,1\}ok /p' "${taps[@]}" >"$tap"
	echo "1..$(grep -c . "$tap")" >>"$tap"
fi
exec scripts/guest/judge.py table "${taps[@]}"
