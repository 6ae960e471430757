/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader.h"

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
#include "sensor/loader_ring.h"

enum {
	BULK_CALL_BYTES = 256 * 1024, /* as BULK_WAKE_BYTES of bpf/ring.h */
};

struct loader {
	struct object object;
	struct taffrail_bpf *skeleton; /* the object's */
	struct ring rings[KERNEL_RINGS];
	struct attach *attach;
	struct pins *pins; /* NULL: nothing is pinned */
	void *ledger;
	bool canary;                       /* between expect and leave */
	__u32 sensor_tgid;                 /* as the programs know this process */
	uint64_t sweep_ns, sweep_every_ns; /* when idle flows are looked for next */
	int wait_fd, cgroup_fd;
	unsigned int cpus;
};

/* --- rings --------------------------------------------------------------------------------------------------------- */

size_t loader_read(
	struct loader *loader, enum kernel_ring which, loader_callback *callback, void *context, size_t limit)
{
	return ring_read(&loader->rings[which], callback, context, limit);
}

bool loader_is_crowded(const struct loader *loader)
{
	return ring_holds(&loader->rings[KERNEL_RING_BULK]) > bpf_map__max_entries(loader->skeleton->maps.bulk) / 2;
}

int loader_wait_fd(const struct loader *loader)
{
	return loader->wait_fd;
}

bool loader_sleep(struct loader *loader, bool asleep)
{
	_Atomic __u32 *flag = (_Atomic __u32 *)&loader->skeleton->bss->reader_asleep;

	atomic_store(flag, asleep);
	if (!asleep) {
		struct epoll_event events[KERNEL_RINGS];

		(void)epoll_wait(loader->wait_fd, events, KERNEL_RINGS, 0); /* takes the calls back */
		return false;
	}
	return ring_holds(&loader->rings[KERNEL_RING_CRITICAL]) > 0 ||
	       ring_holds(&loader->rings[KERNEL_RING_BULK]) >= BULK_CALL_BYTES;
}

static int rings_open(struct loader *loader)
{
	struct taffrail_bpf *skeleton = loader->skeleton;
	struct bpf_map *maps[KERNEL_RINGS];

	if (!skeleton)
		return -EINVAL;
	maps[KERNEL_RING_CRITICAL] = skeleton->maps.critical;
	maps[KERNEL_RING_BULK] = skeleton->maps.bulk;
	loader->wait_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loader->wait_fd < 0)
		return -errno;
	for (int i = 0; i < KERNEL_RINGS; i++) {
		/* By edge: a ring that holds something but did not call does not end the wait. */
		struct epoll_event event = {.events = EPOLLIN | EPOLLET};
		int fd = bpf_map__fd(maps[i]);
		int error = ring_open(&loader->rings[i], fd);

		if (error)
			return error;
		if (epoll_ctl(loader->wait_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			return -errno;
	}
	return 0;
}

/* --- what the programs tell ----------------------------------------------------------------------------------------- */

unsigned int loader_cpus(const struct loader *loader)
{
	return loader->cpus;
}

unsigned int loader_lanes(const struct loader *loader)
{
	return loader->object.classic ? KERNEL_LANES : 1;
}

int loader_counters(const struct loader *loader, struct kernel_counters *counters, size_t count)
{
	if (count != (size_t)loader->cpus * loader_lanes(loader))
		return -EINVAL;
	/* The values of all CPUs stand one after another, each rounded up to 8 bytes: so is the struct. */
	for (__u32 lane = 0; lane < loader_lanes(loader); lane++, counters += loader->cpus)
		if (bpf_map_lookup_elem(bpf_map__fd(loader->skeleton->maps.counters), &lane, counters) < 0)
			return -errno;
	return 0;
}

int loader_policy_container(struct loader *loader, const uint8_t id[KERNEL_CONTAINER_ID_SIZE], uint64_t rules)
{
	int fd = bpf_map__fd(loader->skeleton->maps.policy_containers);

	if (rules)
		return bpf_map_update_elem(fd, id, &rules, BPF_ANY) < 0 ? -errno : 0;
	return bpf_map_delete_elem(fd, id) < 0 && errno != ENOENT ? -errno : 0;
}

void loader_policy_over(struct loader *loader)
{
	atomic_store((_Atomic __u32 *)&loader->skeleton->bss->policy_over, 1);
}

int loader_policy_counts(const struct loader *loader, uint64_t counts[KERNEL_KINDS_END])
{
	__u64(*values)[KERNEL_LOSS_KINDS] = calloc(loader->cpus, sizeof(*values));
	__u32 zero = 0;
	int error = 0;

	memset(counts, 0, KERNEL_KINDS_END * sizeof(*counts));
	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(loader->skeleton->maps.policy_left_out), &zero, values) < 0)
		error = -errno;
	for (unsigned int cpu = 0; !error && cpu < loader->cpus; cpu++)
		for (int kind = 0; kind < KERNEL_KINDS_END; kind++)
			counts[kind] += values[cpu][kind];
	free(values);
	return error;
}

uint64_t loader_missed(const struct loader *loader)
{
	struct bpf_program *program;
	uint64_t missed = loader->skeleton->bss->unnumbered;

	bpf_object__for_each_program(program, loader->skeleton->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0)
			missed += info.recursion_misses;
	}
	return missed;
}

const struct loader_hook *loader_hooks(const struct loader *loader, size_t *count)
{
	return attach_hooks(loader->attach, count);
}

/* As repeat_take of bpf/repeat.h, from this side of the shared memory. */
static uint64_t take_word(_Atomic uint64_t *word, uint64_t number)
{
	uint64_t before = atomic_load(word);

	while ((before ^ number) >> KERNEL_REPEAT_SHIFT == 0)
		if (atomic_compare_exchange_weak(word, &before, 0))
			return before & KERNEL_REPEAT_COUNT;
	return 0;
}

uint64_t loader_take_repeats(struct loader *loader, uint64_t number)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)loader->skeleton->bss->repeats.words;

	return take_word(&words[KERNEL_REPEAT_FIRST(number)], number) +
	       take_word(&words[KERNEL_REPEAT_SECOND(number)], number);
}

ssize_t loader_processes(struct loader *loader, loader_callback *callback, void *context)
{
	return loader_list(loader->skeleton->progs.process_list, callback, context);
}

void loader_flows(struct loader *loader, uint64_t now_ns)
{
	bool sweep = now_ns >= loader->sweep_ns;
	int error;

	if (sweep)
		loader->sweep_ns = now_ns + loader->sweep_every_ns;
	error = loader_flow_tick(loader->skeleton, now_ns, sweep);
	if (error < 0)
		log_limited("flows that are idle cannot be ended: %s", strerror(-error));
}

/* --- the sensor itself ---------------------------------------------------------------------------------------------- */

/* Runs a raw_tp program here and now. 0 or -errno. */
static int run_program(struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);

	return bpf_prog_test_run_opts(bpf_program__fd(program), &options) < 0 ? -errno : 0;
}

void loader_canary_expect(struct loader *loader)
{
	loader->canary = true;
	atomic_store((_Atomic __u32 *)&loader->skeleton->bss->canary_tgid, UINT32_MAX); /* CANARY_EXPECTED */
}

int loader_canary_enter(const struct loader *loader)
{
	return run_program(loader->skeleton->progs.canary_enter);
}

void loader_canary_leave(struct loader *loader)
{
	loader->canary = false;
	atomic_store((_Atomic __u32 *)&loader->skeleton->bss->canary_tgid, 0);
}

bool loader_true(struct loader *loader)
{
	_Atomic __u32 *sensor = (_Atomic __u32 *)&loader->skeleton->bss->sensor_tgid;
	_Atomic __u32 *canary = (_Atomic __u32 *)&loader->skeleton->bss->canary_tgid;
	bool good = atomic_exchange(sensor, loader->sensor_tgid) == loader->sensor_tgid;

	return (loader->canary || atomic_exchange(canary, 0) == 0) && good;
}

size_t loader_gone(struct loader *loader, void (*each)(void *context, const struct loader_hook *hook), void *context)
{
	return attach_gone(loader->attach, each, context);
}

/* --- calls by need --------------------------------------------------------------------------------------------------- */

int loader_want(struct loader *loader, uint64_t calls, char *why, size_t why_size)
{
	_Atomic __u64 *wanted = (_Atomic __u64 *)&loader->skeleton->bss->calls_wanted;
	uint64_t before = atomic_exchange(wanted, calls);
	int error = run_program(loader->skeleton->progs.calls_choose);

	if (!error)
		error = attach_calls(loader->attach, loader->skeleton->obj, (calls & KERNEL_CALLS_BY_NEED) != 0);
	if (!error)
		return 0;
	atomic_store(wanted, before);
	(void)run_program(loader->skeleton->progs.calls_choose);
	snprintf(why, why_size, "the calls that are asked for cannot be watched: %s", strerror(-error));
	return error;
}

uint64_t loader_wanted(const struct loader *loader)
{
	return loader->skeleton->bss->calls_wanted;
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

static void set_options(
	struct loader *loader, const struct loader_options *options, const struct hierarchies *hierarchies)
{
	struct taffrail_bpf *skeleton = loader->object.skeleton;
	unsigned int cpus = loader->cpus;

	_Static_assert(sizeof(skeleton->rodata->cgroup_roots) == sizeof(hierarchies->roots), "as many hierarchies");
	skeleton->rodata->cgroup_v1 = hierarchies->v1;
	memcpy((void *)skeleton->rodata->cgroup_roots, hierarchies->roots, sizeof(hierarchies->roots));
	skeleton->rodata->trace_host = options->host;
	skeleton->rodata->record_environment = options->environment;
	skeleton->rodata->repeat_collapse = options->collapse && !loader->object.classic;
	if (getrandom((void *)skeleton->rodata->repeat_key, sizeof(skeleton->rodata->repeat_key), 0) < 0)
		skeleton->rodata->repeat_collapse = false; /* without a key anybody could make opens look equal */
	if (options->policy)
		skeleton->rodata->policy = *options->policy;
	if (options->prefix_count > 0)
		bpf_map__set_max_entries(skeleton->maps.policy_paths, (__u32)options->prefix_count);
	loader_flow_options(skeleton, &options->flows);
	bpf_map__set_max_entries(skeleton->maps.critical, (__u32)ring_size(options->critical_bytes, 8u << 20));
	bpf_map__set_max_entries(skeleton->maps.bulk, (__u32)ring_size(options->bulk_bytes, 16u << 20));
	bpf_map__set_max_entries(skeleton->maps.scratches, bpf_map__max_entries(skeleton->maps.scratches) * cpus);
}

static int open_cgroups(struct loader *loader, const struct loader_options *options, struct hierarchies *hierarchies,
	char *why, size_t why_size)
{
	int error = hierarchy_find(hierarchies, "/proc/self", options->host_root, why, why_size);

	if (error)
		return error;
	loader->cgroup_fd = open(hierarchies->v2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (loader->cgroup_fd >= 0)
		return 0;
	error = errno ? -errno : -EIO;
	snprintf(why, why_size, "cannot open the cgroup root %s: %s", hierarchies->v2, strerror(-error));
	return error;
}

/* Opens the programs and loads those that the hooks need which `mode` allows. */
static int load_programs(struct loader *loader, const struct loader_options *options, enum loader_mode mode,
	const struct hierarchies *hierarchies, char *why, size_t why_size)
{
	int error = object_open(&loader->object, object_needs_classic());

	if (error) {
		snprintf(why, why_size, "the BPF programs cannot be opened: %s", strerror(-error));
		return error;
	}
	loader->skeleton = loader->object.skeleton;
	set_options(loader, options, hierarchies);
	/* The classic object's function hooks are there for the skeleton alone: they need what came with 5.15. */
	if (loader->object.classic && mode == LOADER_FUNCTION)
		error = -EOPNOTSUPP;
	else
		error = attach_choose(
			loader->attach, loader->skeleton->obj, loader->object.classic ? LOADER_TRACEPOINT : mode);
	loader->skeleton->rodata->direct_loads =
		!loader->object.classic && attach_kernel_has(loader->attach, "bpf_rdonly_cast");
	loader->skeleton->rodata->unix_by_exit = !bpf_program__autoload(loader->skeleton->progs.unix_sendmsg);
	if (!error)
		return object_load(&loader->object, why, why_size);
	snprintf(why, why_size,
		"hooks: function: this kernel or this process's rights do not allow function hooks (%s): set hooks to "
		"auto",
		strerror(-error));
	return error;
}

static int load(struct loader *loader, const struct loader_options *options, char *why, size_t why_size)
{
	struct hierarchies hierarchies;
	int error;

	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		snprintf(why, why_size,
			"this kernel does not show its types (BTF) in /sys/kernel/btf/vmlinux: "
			"use a kernel with CONFIG_DEBUG_INFO_BTF=y and mount sysfs");
		return -ENOENT;
	}
	error = open_cgroups(loader, options, &hierarchies, why, why_size);
	if (error)
		return error;
	error = load_programs(loader, options, options->hooks, &hierarchies, why, why_size);
	if (error && options->hooks == LOADER_AUTO && attach_by_function(loader->attach)) {
		/* A kernel that nobody has tried: function hooks are allowed, but its verifier refuses one of ours. */
		log_warning("function hooks do not load (%s): the exit of system calls is watched instead",
			strerror(-error));
		object_close(&loader->object);
		error = load_programs(loader, options, LOADER_TRACEPOINT, &hierarchies, why, why_size);
	}
	return error;
}

/* Before the programs are attached: so not one record sees a part of it. */
static int set_prefixes(struct loader *loader, const struct loader_options *options, char *why, size_t why_size)
{
	int fd = bpf_map__fd(loader->skeleton->maps.policy_paths), error;

	for (size_t i = 0; i < options->prefix_count; i++)
		if (bpf_map_update_elem(fd, &options->prefixes[i], &options->prefix_rules[i], BPF_ANY) < 0) {
			error = -errno;
			snprintf(why, why_size, "the paths that are not recorded cannot be set: %s", strerror(-error));
			return error;
		}
	error = loader_flow_ranges(loader->skeleton, &options->flows);
	if (error)
		snprintf(why, why_size, "the networks that are not sampled cannot be set: %s", strerror(-error));
	return error;
}

/* --- pins ----------------------------------------------------------------------------------------------------------- */

static int pin_all(struct loader *loader, const struct loader_pins *options, char *why, size_t why_size)
{
	const struct taffrail_bpf *skeleton = loader->skeleton;
	const struct bpf_map *maps[PINS] = {
		[PIN_CRITICAL] = skeleton->maps.critical,
		[PIN_BULK] = skeleton->maps.bulk,
		[PIN_COUNTERS] = skeleton->maps.counters,
		[PIN_SHARED] = skeleton->maps.bss,
	};
	char page[PIN_LEDGER_BYTES];
	int error = options->page(options->context, page, loader_lanes(loader),
		(uint32_t)((const char *)&skeleton->bss->repeats - (const char *)skeleton->bss));

	for (int pin = 0; pin < PIN_LEDGER && !error; pin++)
		error = pins_put(loader->pins, (enum pin)pin, bpf_map__fd(maps[pin]));
	/* It says that all is there. */
	if (!error && !(loader->ledger = pins_ledger(loader->pins, page)))
		error = -errno;
	if (error)
		snprintf(why, why_size, "%s: %s", options->path, strerror(-error));
	return error;
}

/* Without it the sensor works as well. */
static void pin(struct loader *loader, const struct loader_pins *options)
{
	char why[512];
	int error = options->path ? pins_open(&loader->pins, options->path, options->name, why, sizeof(why)) : 0;

	if (!error && loader->pins)
		error = pin_all(loader, options, why, sizeof(why));
	if (!error)
		return;
	log_warning("%s: should this sensor be killed, what it loses cannot be told", why);
	loader_unpin(loader, true);
}

void *loader_ledger(const struct loader *loader)
{
	return loader->ledger;
}

void loader_unpin(struct loader *loader, bool all)
{
	if (!loader->pins)
		return;
	if (!all) {
		pins_drop_rings(loader->pins);
		return;
	}
	pins_drop(loader->pins);
	pins_close(loader->pins);
	loader->pins = NULL;
	loader->ledger = NULL;
}

enum loader_mode loader_mode(const char *word)
{
	if (word && strcmp(word, "function") == 0)
		return LOADER_FUNCTION;
	return word && strcmp(word, "tracepoint") == 0 ? LOADER_TRACEPOINT : LOADER_AUTO;
}

int loader_open(struct loader **out, const struct loader_options *options, char *why, size_t why_size)
{
	struct loader *loader = calloc(1, sizeof(*loader));
	int cpus = libbpf_num_possible_cpus(), error;

	if (!loader || cpus <= 0) {
		free(loader);
		snprintf(why, why_size, "cannot tell how many CPUs there are");
		return cpus < 0 ? cpus : -ENOMEM;
	}
	libbpf_set_print(print_quietly);
	loader->wait_fd = loader->cgroup_fd = -1;
	loader->cpus = (unsigned int)cpus;
	loader->sweep_every_ns = (options->flows.idle_s / 4 + 1) * 1000000000ull;
	error = attach_open(&loader->attach);
	if (error)
		snprintf(why, why_size, "no memory");
	if (!error)
		error = load(loader, options, why, why_size);
	if (!error) {
		error = rings_open(loader);
		if (error)
			snprintf(why, why_size, "cannot read the rings: %s", strerror(-error));
	}
	if (!error) {
		error = run_program(loader->skeleton->progs.sensor_enter);
		loader->sensor_tgid = loader->skeleton->bss->sensor_tgid;
		if (error)
			snprintf(why, why_size, "the BPF program sensor_enter cannot be run: %s", strerror(-error));
	}
	if (!error)
		error = set_prefixes(loader, options, why, why_size);
	if (!error)
		error = loader_flow_tick(loader->skeleton, clock_boottime_ns(), false);
	if (!error)
		pin(loader, &options->pins);
	if (!error)
		error = attach_all(loader->attach, loader->skeleton->obj, loader->cgroup_fd,
			&loader->skeleton->bss->syscall_spares, why, why_size);
	if (!error)
		error = loader_want(loader, options->calls, why, why_size);
	if (!error && loader_iterate(loader->skeleton->progs.network_list, -1) < 0)
		log_warning("connections that are open already cannot be listed: their ends will not be told");
	if (error) {
		loader_unpin(loader, true);
		loader_close(loader);
		return error;
	}
	*out = loader;
	return 0;
}

/* --- closing -------------------------------------------------------------------------------------------------------- */

void loader_detach(struct loader *loader)
{
	attach_end(loader->attach);
	/* A program that had begun is at its end when this returns: it runs within RCU. */
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

void loader_close(struct loader *loader)
{
	if (!loader)
		return;
	attach_close(loader->attach);
	for (int i = 0; i < KERNEL_RINGS; i++)
		ring_close(&loader->rings[i]);
	if (loader->wait_fd >= 0)
		close(loader->wait_fd);
	if (loader->cgroup_fd >= 0)
		close(loader->cgroup_fd);
	object_close(&loader->object);
	pins_close(loader->pins);
	free(loader);
}
