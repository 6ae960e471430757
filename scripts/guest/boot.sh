# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# One guest: an emulated machine that boots a kernel and an initramfs and ends when the tests have. Sourced by
# test-kernels.sh.
#
# Emulation (TCG), not KVM: it is there on every machine, also inside other virtual machines. The processor is the newest
# that all of the kernels boot on under it. One thread emulates both of its cores: with a thread for each, now and then a core
# trips over the breakpoint of another that is patching the kernel's text (static keys, tracepoints), already at boot.

guest=0 # the process of the guest that runs

# boot ARCH KERNEL INITRAMFS SECONDS LOG PARAMETER...: 0 when the guest has switched itself off. It is killed when it has
# not by then.
boot() {
	local arch=$1 kernel=$2 initramfs=$3 seconds=$4 log=$5 status machine
	# Less what emulation has not got.
	local processor='Haswell-v4,-pcid,-x2apic,-tsc-deadline,-invpcid,-spec-ctrl'
	shift 5
	case $arch in
	amd64) machine=(qemu-system-x86_64 -cpu "$processor" -append "console=ttyS0 $(parameters "$@")") ;;
	arm64) machine=(qemu-system-aarch64 -machine virt -cpu cortex-a72 -append "console=ttyAMA0 $(parameters "$@")") ;;
	esac
	timeout -k 5 "$seconds" "${machine[@]}" -accel tcg,thread=single -smp 2 -m 1024 -nodefaults -no-user-config -display none \
		-no-reboot -serial stdio -kernel "$kernel" -initrd "$initramfs" </dev/null >"$log" 2>&1 &
	guest=$!
	wait "$guest"
	status=$?
	guest=0
	[ "$status" != 124 ] || echo "the guest was killed after $seconds s" >>"$log"
	return $status
}

# The kernel's command line: a kernel that trips over itself ends the guest. What follows "--" is for init.
parameters() {
	echo "quiet loglevel=3 oops=panic panic=-1 rdinit=/init $*"
}
