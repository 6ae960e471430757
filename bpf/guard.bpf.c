/* SPDX-License-Identifier: Apache-2.0 */
/* The sensor itself: its canary, and who sends it signals. */
#include "bpf/ring.h"
#include "bpf/task.h"

enum {
	SIGNAL_OF_KERNEL = 1, /* SEND_SIG_PRIV, which stands where a pointer to struct kernel_siginfo is expected */
	CODES_OF_FILES = 6,   /* POLL_IN to POLL_HUP */
	/* Signals that have codes above 0 of their own (SIG_SPECIFIC_SICODES_MASK). */
	SIGNALS_WITH_CODES = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 17 | 1 << 29 | 1u << 31,
};

/*
 * Was it a file that signals (F_SETOWN with F_SETSIG)? Its code is above 0 on any signal. Who runs now made it signal, as a rule:
 * of a socket it may have been anybody's turn.
 */
static __always_inline bool signal_of_file(int signal, s32 code)
{
	return code <= CODES_OF_FILES && !(signal < 32 && 1u << (signal & 31) & SIGNALS_WITH_CODES);
}

/*
 * Run once by the loader, whose parent is the worker, and by the canary (BPF_PROG_TEST_RUN), never attached: in a pid
 * namespace of their own they do not know the numbers by which the other programs know them.
 */
SEC("raw_tp/sensor_enter")
int sensor_enter(void *unused)
{
	struct task_struct *task = bpf_get_current_task_btf();

	loader_tgid = bpf_get_current_pid_tgid() >> 32;
	sensor_tgid = kernel_read(task, real_parent, tgid);
	return 0;
}

SEC("raw_tp/canary_enter")
int canary_enter(void *unused)
{
	canary_tgid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

/*
 * A signal is made for the sensor, by whoever runs now. From outside containers that is administration. Signals of the
 * kernel's own have a code above 0, as those of files have; one below 0 is the sender's to choose, whatever it sends.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(guard_signal, int signal, struct kernel_siginfo *info, struct task_struct *target)
{
	struct task_struct *sender = bpf_get_current_task_btf();
	struct kernel_tamper tamper = {};
	struct container container;

	if (!sensor_is(target) || (u64)info == SIGNAL_OF_KERNEL)
		return 0;
	tamper.code = kernel_get(info, si_code); /* not readable, and 0, for SEND_SIG_NOINFO: a program's */
	if (tamper.code > 0 && !signal_of_file(signal, tamper.code))
		return 0;
	if (sensor_is(sender) || !task_wanted(sender, &container) ||
		!(container.flags & (KERNEL_IN_CONTAINER | KERNEL_CANARY)))
		return 0;
	tamper.signal = signal;
	tamper.header.time_ns = bpf_ktime_get_boot_ns();
	bpf_get_current_comm(tamper.name, sizeof(tamper.name));
	task_fill(&tamper.header, sender, &container);
	ring_send(&tamper.header, KERNEL_TAMPER, KERNEL_RING_CRITICAL, sizeof(tamper));
	return 0;
}
