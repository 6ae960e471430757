/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the loader: which hook serves which promise on this kernel. For each promise there is a list of ways, best first:
 * function hooks, which cost calls that do not come by nothing, then tracepoints and the one program at the exit of system
 * calls, of which only that part runs that no function hook serves; where none is left it is not attached at all.
 */
#ifndef TAFFRAIL_SENSOR_ATTACH_H
#define TAFFRAIL_SENSOR_ATTACH_H

#include "sensor/loader.h"

struct bpf_object;
struct attach;

/* Returns 0 or -ENOMEM. */
int attach_open(struct attach **attach);

/*
 * Before the object is loaded: chooses the variants of those hooks that differ between kernels, a way for each promise, points the programs to the functions that this kernel has,
 * and leaves out those that nothing needs. LOADER_AUTO takes function hooks if this kernel lets one be loaded and attached,
 * which is tried. Returns 0, or for LOADER_FUNCTION -errno, if it does not.
 */
int attach_choose(struct attach *attach, struct bpf_object *object, enum loader_mode mode);

/* After attach_choose: has this kernel a function of this name, that programs may call or hook? */
bool attach_kernel_has(const struct attach *attach, const char *function);

/* Did it choose any function hook? */
bool attach_by_function(const struct attach *attach);

/*
 * After it was loaded: attaches what was chosen; where a hook is refused after all, the promise's next way. Tells
 * the program at the exit of system calls in `*syscall_spares` what others serve (KERNEL_SYSCALL_*). Returns 0, or -errno with one sentence in `why`.
 */
int attach_all(struct attach *attach, struct bpf_object *object, int cgroup_fd, uint32_t *syscall_spares, char *why,
	size_t why_size);

/*
 * After attach_all: attaches the program at the exit of system calls for calls that are asked for (loader_want), or, if
 * nothing else needs it, takes it away again. 0 or -errno.
 */
int attach_calls(struct attach *attach, struct bpf_object *object, bool wanted);

/* What serves what. Good as long as `attach`. */
const struct loader_hook *attach_hooks(const struct attach *attach, size_t *count);

/* As loader_gone. */
size_t attach_gone(struct attach *attach, void (*each)(void *context, const struct loader_hook *hook), void *context);

/* Detaches everything. */
void attach_end(struct attach *attach);

/* NULL is allowed. */
void attach_close(struct attach *attach);

#endif
