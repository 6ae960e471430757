/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_programs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/membarrier.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/attach.h"
#include "sensor/hierarchy.h"
#include "sensor/loader_flow.h"
#include "sensor/loader_list.h"
#include "sensor/loader_object.h"
#include "sensor/loader_pin.h"

struct programs {
	const struct loader_options *options;
	struct object object;
	struct taffrail_bpf *skeleton; /* the object's */
	struct attach *attach;
	struct pins *pins;              /* NULL: nothing is pinned */
	bool canary;                    /* between expect and leave */
	__u32 sensor_tgid, loader_tgid; /* as the programs know them */
	uint64_t calls;                 /* that are asked for at the start */
	int wait_fd, cgroup_fd;
	int stats_fd; /* while it is open the kernel counts runs; -1: it is not asked to */
	unsigned int cpus;
};

/* --- rings --------------------------------------------------------------------------------------------------------- */

static const struct bpf_map *map_of(const struct programs *programs, int which)
{
	const struct taffrail_bpf *skeleton = programs->skeleton;

	return which == KERNEL_RING_CRITICAL ? skeleton->maps.critical
	       : which == KERNEL_RING_BULK   ? skeleton->maps.bulk
					     : skeleton->maps.bss;
}

int programs_map(const struct programs *programs, int which, uint32_t *bytes)
{
	const struct bpf_map *map = map_of(programs, which);

	*bytes = which < KERNEL_RINGS ? bpf_map__max_entries(map) : bpf_map__value_size(map);
	return bpf_map__fd(map);
}

int programs_wait_fd(const struct programs *programs)
{
	return programs->wait_fd;
}

static int rings_open(struct programs *programs)
{
	programs->wait_fd = epoll_create1(EPOLL_CLOEXEC);
	if (programs->wait_fd < 0)
		return -errno;
	for (int i = 0; i < KERNEL_RINGS; i++) {
		/* By edge: a ring that holds something but did not call does not end the wait. */
		struct epoll_event event = {.events = EPOLLIN | EPOLLET};

		if (epoll_ctl(programs->wait_fd, EPOLL_CTL_ADD, bpf_map__fd(map_of(programs, i)), &event) < 0)
			return -errno;
	}
	return 0;
}

/* --- what the programs tell ----------------------------------------------------------------------------------------- */

unsigned int programs_lanes(const struct programs *programs)
{
	return programs->object.classic ? KERNEL_LANES : 1;
}

uint32_t programs_repeats_at(const struct programs *programs)
{
	const struct taffrail_bpf *skeleton = programs->skeleton;

	return (uint32_t)((const char *)&skeleton->bss->repeats - (const char *)skeleton->bss);
}

int programs_counters(const struct programs *programs, struct kernel_counters *counters)
{
	/* The values of all CPUs stand one after another, each rounded up to 8 bytes: so is the struct. */
	for (__u32 lane = 0; lane < programs_lanes(programs); lane++, counters += programs->cpus)
		if (bpf_map_lookup_elem(bpf_map__fd(programs->skeleton->maps.counters), &lane, counters) < 0)
			return -errno;
	return 0;
}

int programs_container(struct programs *programs, const uint8_t id[KERNEL_CONTAINER_ID_SIZE], uint64_t rules)
{
	int fd = bpf_map__fd(programs->skeleton->maps.policy_containers);

	if (rules)
		return bpf_map_update_elem(fd, id, &rules, BPF_ANY) < 0 ? -errno : 0;
	return bpf_map_delete_elem(fd, id) < 0 && errno != ENOENT ? -errno : 0;
}

int programs_left_out(const struct programs *programs, uint64_t counts[KERNEL_KINDS_END])
{
	__u64(*values)[KERNEL_LOSS_KINDS] = calloc(programs->cpus, sizeof(*values));
	__u32 zero = 0;
	int error = 0;

	memset(counts, 0, KERNEL_KINDS_END * sizeof(*counts));
	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(programs->skeleton->maps.policy_left_out), &zero, values) < 0)
		error = -errno;
	for (unsigned int cpu = 0; !error && cpu < programs->cpus; cpu++)
		for (int kind = 0; kind < KERNEL_KINDS_END; kind++)
			counts[kind] += values[cpu][kind];
	free(values);
	return error;
}

uint64_t programs_missed(const struct programs *programs)
{
	struct bpf_program *program;
	uint64_t missed = programs->skeleton->bss->unnumbered;

	bpf_object__for_each_program(program, programs->skeleton->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0)
			missed += info.recursion_misses;
	}
	return missed;
}

size_t programs_runs(const struct programs *programs, struct loader_run runs[LOADER_RUNS_MAX])
{
	struct bpf_program *program;
	size_t count = 0;

	memset(runs, 0, LOADER_RUNS_MAX * sizeof(*runs));
	bpf_object__for_each_program(program, programs->skeleton->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);

		if (count == LOADER_RUNS_MAX || bpf_program__fd(program) < 0 ||
			bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) < 0)
			continue;
		snprintf(runs[count].name, sizeof(runs[count].name), "%s", bpf_program__name(program));
		runs[count].runs = info.run_cnt;
		runs[count++].run_ns = info.run_time_ns;
	}
	return count;
}

const struct loader_hook *programs_hooks(const struct programs *programs, size_t *count)
{
	return attach_hooks(programs->attach, count);
}

int programs_processes(const struct programs *programs)
{
	return loader_iterator(programs->skeleton->progs.process_list);
}

int programs_sweep(struct programs *programs)
{
	return loader_iterate(programs->skeleton->progs.flow_sweep, bpf_map__fd(programs->skeleton->maps.flows));
}

/* --- the sensor itself ---------------------------------------------------------------------------------------------- */

/* Runs a raw_tp program here and now. 0 or -errno. */
static int run_program(struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);

	return bpf_prog_test_run_opts(bpf_program__fd(program), &options) < 0 ? -errno : 0;
}

void programs_canary_expect(struct programs *programs)
{
	programs->canary = true;
	atomic_store((_Atomic __u32 *)&programs->skeleton->bss->canary_tgid, UINT32_MAX); /* CANARY_EXPECTED */
}

int programs_canary_enter(const struct programs *programs)
{
	return run_program(programs->skeleton->progs.canary_enter);
}

void programs_canary_leave(struct programs *programs)
{
	programs->canary = false;
	atomic_store((_Atomic __u32 *)&programs->skeleton->bss->canary_tgid, 0);
}

bool programs_true(struct programs *programs)
{
	_Atomic __u32 *sensor = (_Atomic __u32 *)&programs->skeleton->bss->sensor_tgid;
	_Atomic __u32 *loader = (_Atomic __u32 *)&programs->skeleton->bss->loader_tgid;
	_Atomic __u32 *canary = (_Atomic __u32 *)&programs->skeleton->bss->canary_tgid;
	bool good = atomic_exchange(sensor, programs->sensor_tgid) == programs->sensor_tgid;

	good = atomic_exchange(loader, programs->loader_tgid) == programs->loader_tgid && good;
	return (programs->canary || atomic_exchange(canary, 0) == 0) && good;
}

size_t programs_gone(
	struct programs *programs, void (*each)(void *context, const struct loader_hook *hook), void *context)
{
	return attach_gone(programs->attach, each, context);
}

/* --- calls by need --------------------------------------------------------------------------------------------------- */

int programs_want(struct programs *programs, uint64_t calls, char *why, size_t why_size)
{
	_Atomic __u64 *wanted = (_Atomic __u64 *)&programs->skeleton->bss->calls_wanted;
	uint64_t before = atomic_exchange(wanted, calls);
	int error = run_program(programs->skeleton->progs.calls_choose);

	if (!error)
		error = attach_calls(programs->attach, programs->skeleton->obj, (calls & KERNEL_CALLS_BY_NEED) != 0);
	if (!error)
		return 0;
	atomic_store(wanted, before);
	(void)run_program(programs->skeleton->progs.calls_choose);
	snprintf(why, why_size, "the calls that are asked for cannot be watched: %s", strerror(-error));
	return error;
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

static int print_quietly(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[1024];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line);
	return 0;
}

static size_t ring_size(size_t wanted, size_t usual)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	for (wanted = wanted ? wanted : usual; size < wanted && size < 1u << 31; size *= 2)
		;
	return size;
}

static void set_options(struct programs *programs, const struct kernel_policy *policy, size_t prefix_count,
	const struct hierarchies *hierarchies)
{
	const struct loader_options *options = programs->options;
	struct taffrail_bpf *skeleton = programs->object.skeleton;
	unsigned int cpus = programs->cpus;

	_Static_assert(sizeof(skeleton->rodata->cgroup_roots) == sizeof(hierarchies->roots), "as many hierarchies");
	skeleton->rodata->cgroup_v1 = hierarchies->v1;
	memcpy((void *)skeleton->rodata->cgroup_roots, hierarchies->roots, sizeof(hierarchies->roots));
	skeleton->rodata->trace_host = options->host;
	skeleton->rodata->record_environment = options->environment;
	skeleton->rodata->repeat_collapse = options->collapse && !programs->object.classic;
	if (getrandom((void *)skeleton->rodata->repeat_key, sizeof(skeleton->rodata->repeat_key), 0) < 0)
		skeleton->rodata->repeat_collapse = false; /* without a key anybody could make opens look equal */
	skeleton->rodata->policy = *policy;
	if (prefix_count > 0)
		bpf_map__set_max_entries(skeleton->maps.policy_paths, (__u32)prefix_count);
	loader_flow_options(skeleton, &options->flows);
	bpf_map__set_max_entries(skeleton->maps.critical, (__u32)ring_size(options->critical_bytes, 8u << 20));
	bpf_map__set_max_entries(skeleton->maps.bulk, (__u32)ring_size(options->bulk_bytes, 16u << 20));
	bpf_map__set_max_entries(skeleton->maps.scratches, bpf_map__max_entries(skeleton->maps.scratches) * cpus);
}

static int open_cgroups(struct programs *programs, struct hierarchies *hierarchies, char *why, size_t why_size)
{
	int error = hierarchy_find(hierarchies, "/proc/self", programs->options->host_root, why, why_size);

	if (error)
		return error;
	programs->cgroup_fd = open(hierarchies->v2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (programs->cgroup_fd >= 0)
		return 0;
	error = errno ? -errno : -EIO;
	snprintf(why, why_size, "cannot open the cgroup root %s: %s", hierarchies->v2, strerror(-error));
	return error;
}

/* Opens the programs and loads those that the hooks need which `mode` allows. */
static int load_programs(struct programs *programs, const struct kernel_policy *policy, size_t prefix_count,
	enum loader_mode mode, const struct hierarchies *hierarchies, char *why, size_t why_size)
{
	int error = object_open(&programs->object, object_needs_classic());

	if (error) {
		snprintf(why, why_size, "the BPF programs cannot be opened: %s", strerror(-error));
		return error;
	}
	programs->skeleton = programs->object.skeleton;
	set_options(programs, policy, prefix_count, hierarchies);
	/* The classic object's function hooks are there for the skeleton alone: they need what came with 5.15. */
	if (programs->object.classic && mode == LOADER_FUNCTION)
		error = -EOPNOTSUPP;
	else
		error = attach_choose(
			programs->attach, programs->skeleton->obj, programs->object.classic ? LOADER_TRACEPOINT : mode);
	programs->skeleton->rodata->direct_loads =
		!programs->object.classic && attach_kernel_has(programs->attach, "bpf_rdonly_cast");
	programs->skeleton->rodata->unix_by_exit = !bpf_program__autoload(programs->skeleton->progs.unix_sendmsg);
	if (!error)
		return object_load(&programs->object, why, why_size);
	snprintf(why, why_size,
		"hooks: function: this kernel or this process's rights do not allow function hooks (%s): set hooks to "
		"auto",
		strerror(-error));
	return error;
}

static int load(
	struct programs *programs, const struct kernel_policy *policy, size_t prefix_count, char *why, size_t why_size)
{
	const enum loader_mode hooks = programs->options->hooks;
	struct hierarchies hierarchies;
	int error;

	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		snprintf(why, why_size,
			"this kernel does not show its types (BTF) in /sys/kernel/btf/vmlinux: "
			"use a kernel with CONFIG_DEBUG_INFO_BTF=y and mount sysfs");
		return -ENOENT;
	}
	error = open_cgroups(programs, &hierarchies, why, why_size);
	if (error)
		return error;
	error = load_programs(programs, policy, prefix_count, hooks, &hierarchies, why, why_size);
	if (error && hooks == LOADER_AUTO && attach_by_function(programs->attach)) {
		/* A kernel that nobody has tried: function hooks are allowed, but its verifier refuses one of ours. */
		log_warning("function hooks do not load (%s): the exit of system calls is watched instead",
			strerror(-error));
		object_close(&programs->object);
		error = load_programs(programs, policy, prefix_count, LOADER_TRACEPOINT, &hierarchies, why, why_size);
	}
	return error;
}

int programs_prefix(struct programs *programs, const struct kernel_prefix *prefix, uint64_t rules)
{
	int fd = bpf_map__fd(programs->skeleton->maps.policy_paths);

	return bpf_map_update_elem(fd, prefix, &rules, BPF_ANY) < 0 ? -errno : 0;
}

/* --- pins ----------------------------------------------------------------------------------------------------------- */

/* The ledger's descriptor, or -errno. */
static int pin_all(struct programs *programs, const void *page, char *why, size_t why_size)
{
	const struct taffrail_bpf *skeleton = programs->skeleton;
	const struct bpf_map *maps[PINS] = {
		[PIN_CRITICAL] = skeleton->maps.critical,
		[PIN_BULK] = skeleton->maps.bulk,
		[PIN_COUNTERS] = skeleton->maps.counters,
		[PIN_SHARED] = skeleton->maps.bss,
	};
	int error = 0;

	for (int pin = 0; pin < PIN_LEDGER && !error; pin++)
		error = pins_put(programs->pins, (enum pin)pin, bpf_map__fd(maps[pin]));
	/* It says that all is there. */
	if (!error)
		error = pins_ledger(programs->pins, page);
	if (error < 0)
		snprintf(why, why_size, "%s: %s", programs->options->pin_path, strerror(-error));
	return error;
}

int programs_pin(struct programs *programs, const char *name, const void *page)
{
	const char *path = programs->options->pin_path;
	char why[512];
	int result;

	if (!path || programs->pins)
		return -1;
	result = pins_open(&programs->pins, path, name, why, sizeof(why));
	if (!result)
		result = pin_all(programs, page, why, sizeof(why));
	if (result >= 0)
		return result;
	log_warning("%s: should this sensor be killed, what it loses cannot be told", why);
	programs_unpin(programs, true);
	return -1;
}

bool programs_mounted(const struct programs *programs)
{
	return programs->pins && pins_mounted(programs->pins);
}

void programs_unpin(struct programs *programs, bool all)
{
	if (!programs->pins)
		return;
	if (!all) {
		pins_drop_rings(programs->pins);
		return;
	}
	pins_drop(programs->pins);
	pins_close(programs->pins);
	programs->pins = NULL;
}

/* --- from open to close --------------------------------------------------------------------------------------------- */

int programs_open(struct programs **out, const struct loader_options *options)
{
	struct programs *programs = calloc(1, sizeof(*programs));
	int cpus = libbpf_num_possible_cpus(), error;

	if (!programs || cpus <= 0) {
		free(programs);
		return cpus < 0 ? cpus : -ENOMEM;
	}
	libbpf_set_print(print_quietly);
	programs->options = options;
	programs->wait_fd = programs->cgroup_fd = programs->stats_fd = -1;
	programs->cpus = (unsigned int)cpus;
	error = attach_open(&programs->attach);
	if (error) {
		programs_close(programs);
		return error;
	}
	*out = programs;
	return 0;
}

/* It works as well without. */
static void count_runs(struct programs *programs)
{
	if (!programs->options->count_runs)
		return;
	programs->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (programs->stats_fd < 0)
		log_warning("--bpf-stats: the kernel does not count how long programs run: %s%s", strerror(errno),
			errno == EPERM ? " (it takes CAP_SYS_ADMIN)" : "");
}

int programs_load(struct programs *programs, const struct kernel_policy *policy, uint64_t calls, size_t prefix_count,
	char *why, size_t why_size)
{
	int error = load(programs, policy, prefix_count, why, why_size);

	programs->calls = calls;
	if (error)
		return error;
	count_runs(programs);
	error = rings_open(programs);
	if (error) {
		snprintf(why, why_size, "the rings cannot be waited for: %s", strerror(-error));
		return error;
	}
	error = run_program(programs->skeleton->progs.sensor_enter);
	programs->sensor_tgid = programs->skeleton->bss->sensor_tgid;
	programs->loader_tgid = programs->skeleton->bss->loader_tgid;
	if (error) {
		snprintf(why, why_size, "the BPF program sensor_enter cannot be run: %s", strerror(-error));
		return error;
	}
	error = loader_flow_ranges(programs->skeleton, &programs->options->flows);
	if (error)
		snprintf(why, why_size, "the networks that are not sampled cannot be set: %s", strerror(-error));
	return error;
}

int programs_attach(struct programs *programs, char *why, size_t why_size)
{
	int error;

	loader_flow_clock(programs->skeleton->bss, clock_boottime_ns());
	error = attach_all(programs->attach, programs->skeleton->obj, programs->cgroup_fd,
		&programs->skeleton->bss->syscall_spares, why, why_size);
	if (!error)
		error = programs_want(programs, programs->calls, why, why_size);
	if (!error && loader_iterate(programs->skeleton->progs.network_list, -1) < 0)
		log_warning("connections that are open already cannot be listed: their ends will not be told");
	return error;
}

void programs_detach(struct programs *programs)
{
	attach_end(programs->attach);
	/* A program that had begun is at its end when this returns: it runs within RCU. */
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

void programs_close(struct programs *programs)
{
	if (!programs)
		return;
	attach_close(programs->attach);
	if (programs->wait_fd >= 0)
		close(programs->wait_fd);
	if (programs->cgroup_fd >= 0)
		close(programs->cgroup_fd);
	if (programs->stats_fd >= 0)
		close(programs->stats_fd);
	object_close(&programs->object);
	pins_close(programs->pins);
	free(programs);
}
