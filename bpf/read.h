/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what the verifier knows by its type: arguments of tp_btf programs, the current task, and what these point to.
 * Modern kernels let a program read them directly. Before 5.11 there is no current task that the verifier knows, so in
 * the classic object each step goes through a helper.
 */
#ifndef TAFFRAIL_READ_H
#define TAFFRAIL_READ_H

/* kernel_read(task, group_leader, start_boottime) is task->group_leader->start_boottime. */
#ifdef TAFFRAIL_CLASSIC
#define kernel_read(from, ...) BPF_CORE_READ(from, __VA_ARGS__)
/* bpf_get_current_task_btf came with 5.11. */
#define bpf_get_current_task_btf() ((struct task_struct *)bpf_get_current_task())
#else
#define kernel_read(from, ...) ___arrow(from, __VA_ARGS__)
#endif

#endif
