/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the kernel's memory, in the two ways there are:
 *
 *	kernel_read(task, mm, exe_file)   what the verifier knows by its type: arguments of tp_btf programs, the current task,
 *	                                  and what these point to. Plain loads
 *	kernel_get(file, f_path.dentry)   any other pointer. Plain loads too where the kernel has bpf_rdonly_cast; else each
 *	                                  step is a call of a helper, which costs ten times as much
 *
 * Memory that is not there reads as 0 either way. In the classic object each step goes through a helper: before 5.11 there
 * is no current task that the verifier knows.
 */
#ifndef TAFFRAIL_READ_H
#define TAFFRAIL_READ_H

const volatile bool direct_loads __weak = false; /* set by the loader: is bpf_rdonly_cast there? */

#ifdef TAFFRAIL_CLASSIC
#define kernel_read(from, ...) BPF_CORE_READ(from, __VA_ARGS__)
#define kernel_get(from, ...) BPF_CORE_READ(from, __VA_ARGS__)
#define kernel_load(type, address)                                                                                     \
	({                                                                                                             \
		type loaded = 0;                                                                                       \
		bpf_probe_read_kernel((void *)&loaded, sizeof(loaded), (void *)(address));                             \
		loaded;                                                                                                \
	})
/* bpf_get_current_task_btf came with 5.11. */
#define bpf_get_current_task_btf() ((struct task_struct *)bpf_get_current_task())
#else
/* a35b9af4ec2c ("bpf: Add a kfunc for generic type cast", 6.2). The verifier makes nothing of it. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

/*
 * A pointer that is loaded from where the verifier trusts it may be trusted too: it looks through all types of the kernel
 * to learn that, several times a load, for more than a third of the time that it takes in all. So a cast takes the trust away.
 */
#define kernel_read(from, ...)                                                                                         \
	({                                                                                                             \
		typeof(from) known = (from);                                                                           \
		if (direct_loads)                                                                                      \
			known = bpf_rdonly_cast(known, bpf_core_type_id_kernel(typeof(*known)));                       \
		___arrow(known, __VA_ARGS__);                                                                          \
	})

/*
 * A number or pointer of up to eight bytes at a kernel address. It is taken for a struct timespec64, which is nothing but
 * numbers, so that a pointer comes as one too, and can be compared and hashed.
 */
#define kernel_load(type, address)                                                                                     \
	({                                                                                                             \
		type loaded = 0;                                                                                       \
		if (direct_loads)                                                                                      \
			loaded = *(type volatile *)bpf_rdonly_cast(                                                    \
				(void *)(address), bpf_core_type_id_kernel(struct timespec64));                        \
		else                                                                                                   \
			bpf_probe_read_kernel((void *)&loaded, sizeof(loaded), (void *)(address));                     \
		loaded;                                                                                                \
	})

#define kernel_get_1(from, a) kernel_load(typeof((from)->a), (char *)(from) + bpf_core_field_offset(typeof(*(from)), a))
#define kernel_get_2(from, a, b) kernel_get_1(kernel_get_1(from, a), b)
#define kernel_get_3(from, a, b, c) kernel_get_1(kernel_get_2(from, a, b), c)
#define kernel_get_4(from, a, b, c, d) kernel_get_1(kernel_get_3(from, a, b, c), d)
#define kernel_get_5(from, a, b, c, d, e) kernel_get_1(kernel_get_4(from, a, b, c, d), e)
#define kernel_get(from, ...) ___apply(kernel_get_, ___narg(__VA_ARGS__))(from, __VA_ARGS__)
#endif

#endif
