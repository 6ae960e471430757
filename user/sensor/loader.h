/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel programs. A process of their own, taffrail-loader, holds the rights over BPF, loads and attaches them and serves the
 * few requests of loader_call.h; here, in the worker, which has no rights at all, their rings are read in shared memory. Nothing
 * of libbpf is seen outside.
 *
 * One thread uses a loader; another may use its former lives (loader_former.h).
 */
#ifndef TAFFRAIL_SENSOR_LOADER_H
#define TAFFRAIL_SENSOR_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/kernel_event.h"

struct loader;
struct canary_nest;

/* Which hooks are used where there is a choice (the configuration's `hooks`). */
enum loader_mode {
	LOADER_AUTO,       /* function hooks where they load, else the others */
	LOADER_TRACEPOINT, /* no function hooks */
	LOADER_FUNCTION,   /* function hooks, or loader_open fails */
};

/* By the word of the configuration; NULL and any other: LOADER_AUTO. */
enum loader_mode loader_mode(const char *word);

enum { LOADER_FLOW_IDLE_S = 60 };

/* Flows, and the first bytes of their messages. All zero: flows are told at their end, nothing is sampled. */
struct loader_flow_options {
	uint32_t interval_s; /* a flow that goes on is told so often; 0: at its end alone */
	uint32_t idle_s;     /* without a packet for so long, a flow of datagrams has ended; 0: LOADER_FLOW_IDLE_S */
	bool samples;
	const struct kernel_network_prefix *ranges; /* flows to these are not sampled, but of DNS. At most 64 */
	size_t range_count;
};

enum {
	PIN_NAME_SIZE = 2 * 16 + 1, /* an epoch in hexadecimal digits */
	PIN_LEDGER_BYTES = 4096,
};

/* What is left in the rings of a life that has ended, and in the words of opens that were counted. */
struct pins_rest {
	uint64_t records;
	uint64_t kinds;     /* bits 1 << enum kernel_kind */
	uint64_t newest_ns; /* boot time; 0: no record */
	bool has_repeats;   /* the variables are still there */
	uint64_t repeats;   /* opens */
};

/* What the configuration says: the process has it from its start, and nobody can change it afterwards. */
struct loader_options {
	bool host;        /* also tasks outside containers */
	bool environment; /* exec records carry the environment */
	bool collapse;    /* repeats of opens are counted: loader_take_repeats */
	bool count_runs;  /* the kernel counts how often and how long all programs of the machine run */
	enum loader_mode hooks;
	size_t critical_bytes, bulk_bytes; /* of the rings, rounded up to a power of two; 0: 8 MiB, 16 MiB */
	struct loader_flow_options flows;
	const char
		*pin_path; /* a directory of a bpffs for what is to outlive kill -9 (loader_pin.h); NULL: nothing is */
	const char
		*host_root; /* where the host's file system is mounted, with its cgroups; NULL or "": / (hierarchy.h) */
	struct canary_nest *nest; /* the canary's, which is that process's child; NULL: there is none */
};

/* What is known only when the rules are. */
struct loader_start {
	const struct kernel_policy *policy;   /* what is not recorded; NULL: everything is */
	const struct kernel_prefix *prefixes; /* its path prefixes … */
	const uint64_t *prefix_rules;         /* … and the rules of each */
	size_t prefix_count;
	uint64_t calls;       /* as loader_want takes them */
	const char *pin_name; /* of this life, PIN_NAME_SIZE; NULL: nothing is pinned */
	/* Writes the ledger's page, of PIN_LEDGER_BYTES. `repeats_at`: where the kernel_repeats stand in what is shared. 0 or -errno. */
	int (*page)(void *context, void *page, uint32_t lanes, uint32_t repeats_at);
	void *context;
};

/* A program that is loaded. The numbers are 0 unless loader_options.count_runs. */
enum { LOADER_RUNS_MAX = 64 };
struct loader_run {
	char name[32]; /* of the source: the kernel keeps 15 bytes of it, which some share */
	uint64_t runs, run_ns;
};

/* A promise, and the hook that serves it. */
struct loader_hook {
	const char *promise; /* "exec", "open", … */
	const char *hook;    /* "tp_btf/sched_process_exec", "fexit/do_filp_open, fexit/do_sys_openat2", … */
	bool attached;
};

/*
 * Takes `size` bytes of a record, aligned to 8, good until it returns. They were not checked.
 * Negative: stop after this record; later ones stay where they are.
 */
typedef int loader_callback(void *context, const void *bytes, size_t size);

/*
 * Starts the process, which holds what rights this one has. To be called while there is one thread and nothing from outside but
 * the configuration was read. Returns 0, or -errno with one sentence in `why`: which right is missing and what to do.
 */
int loader_open(struct loader **loader, const struct loader_options *options, char *why, size_t why_size);

/*
 * Has it load and attach everything, and give up the rights that this took. Returns 0, or -errno with one sentence in `why`.
 * From then on records arrive. Of connections that are open already the end will be told.
 */
int loader_attach(struct loader *loader, const struct loader_start *start, char *why, size_t why_size);

/* The process's number. */
pid_t loader_pid(const struct loader *loader);

/* Has the process ended, or stopped to answer? Then no record comes any more; what the rings hold can still be read. */
bool loader_is_lost(const struct loader *loader);

/* The same, looked at now, for who asks it nothing. */
bool loader_has_ended(struct loader *loader);

/*
 * Gives each PROCESS record of the processes that live now (in containers, or all with `host`) to `callback`, from the
 * task iterator. Returns how many, or -errno. A process that starts or ends meanwhile may be there or not: its own
 * records are in the ring.
 */
ssize_t loader_processes(struct loader *loader, loader_callback *callback, void *context);

/*
 * Gives at most `limit` records of a ring to `callback`, and returns how many it gave. The callback may read the OTHER
 * ring; reading the same one from inside returns 0.
 */
size_t loader_read(
	struct loader *loader, enum kernel_ring ring, loader_callback *callback, void *context, size_t limit);

/* Bytes of a ring that wait to be read; `*size` becomes its size. */
size_t loader_waiting(const struct loader *loader, enum kernel_ring ring, size_t *size);

/* Is the bulk ring half full? */
bool loader_is_crowded(const struct loader *loader);

/* Readable (poll) when a ring calls: only between loader_sleep(true) and loader_sleep(false). */
int loader_wait_fd(const struct loader *loader);

/*
 * Before waiting: loader_sleep(true) asks the programs to call, once, when a critical record comes or the bulk ring is
 * filled to 256 KiB. Returns true if that is the case already: then do not wait. Fewer bulk records never call: look
 * for them every 10 to 20 ms. After waiting: loader_sleep(false).
 */
bool loader_sleep(struct loader *loader, bool asleep);

/* Tells the programs the time (boot time), of which they take the seconds, and now and then ends flows that are idle. */
void loader_flows(struct loader *loader, uint64_t now_ns);

/* How many CPUs the kernel may number. */
unsigned int loader_cpus(const struct loader *loader);

/* How many lanes of numbers each CPU has: 1, or KERNEL_LANES before Linux 5.17. */
unsigned int loader_lanes(const struct loader *loader);

/* Copies the counters: each CPU's of lane 0, then of lane 1, … `count` is loader_cpus() * loader_lanes(). 0 or -errno. */
int loader_counters(struct loader *loader, struct kernel_counters *counters, size_t count);

/*
 * Takes away how many opens were counted under a kernel_open.repeat, 0 for a number that is not in use. The number is free
 * from then on: the next equal open leaves as a record again.
 */
uint64_t loader_take_repeats(struct loader *loader, uint64_t number);

/*
 * Records that were never numbered, of all programs since loader_open: how many times the kernel passed over a program
 * because it was preempted in another task on that CPU (bpf_prog_info.recursion_misses, since 5.12: tracepoints since 7.0,
 * function hooks wherever the kernel is preemptible), or no lane was free. Most of what was passed over mattered to nobody:
 * of calls that are not watched there are more.
 */
uint64_t loader_missed(struct loader *loader);

/*
 * From now on calls are told by need: bits 1 << enum kernel_call. What is told always stays as it is, and its bits ask for
 * more of it: opens tell what a relative path starts from, socket() also the ordinary sockets, connect what it returned.
 * KERNEL_WANT_DATA: those calls that receive tell everything, and its first bytes. 0, or -errno with one sentence in `why`;
 * then everything is as it was.
 */
int loader_want(struct loader *loader, uint64_t calls, char *why, size_t why_size);

/* The rules of `policy` with namespaces or labels that hold for a container; 0: none any more. 0 or -errno. */
int loader_policy_container(struct loader *loader, const uint8_t id[KERNEL_CONTAINER_ID_SIZE], uint64_t rules);

/* The programs leave out nothing any more: what is not recorded has changed. For good. */
void loader_policy_over(struct loader *loader);

/* How many events of each kind the programs have left out since loader_open. 0 or -errno. */
int loader_policy_counts(struct loader *loader, uint64_t counts[KERNEL_KINDS_END]);

/* The programs, at most LOADER_RUNS_MAX of them; returns how many. */
size_t loader_runs(struct loader *loader, struct loader_run runs[LOADER_RUNS_MAX]);

/*
 * From now on less is taken, or all again (0, 0, false): of opens that only read 1 of 2^reads, of the others 1 of 2^others, up to
 * 31 each; what is left out counts as policy's. Flows that begin are not sampled, but for DNS.
 */
void loader_thin_out(struct loader *loader, unsigned int reads, unsigned int others, bool unsampled);

/* What is attached, for the coverage record. Good as long as the loader. */
const struct loader_hook *loader_hooks(const struct loader *loader, size_t *count);

/*
 * The sensor's canary (canary.h), which is a child of the loader's process: it has the rights that the sensor was started with,
 * but for BPF. The programs record what it and its children do, with KERNEL_CANARY set. 0 or -errno.
 */
int loader_canary_start(struct loader *loader);
/* Has it ended, and been reaped? Also if the loader has. */
bool loader_canary_landed(struct loader *loader);
/* Kills it: it lands soon. */
void loader_canary_end(struct loader *loader);

/*
 * Do the programs still know this process, and no canary that is not there? They are told so in memory that whoever
 * holds rights over BPF can write to: what was forged is put right again. False if something was.
 */
bool loader_true(struct loader *loader);

/* Calls `each` once for each hook that somebody has detached since the last call. Returns how many. */
size_t loader_gone(struct loader *loader, void (*each)(void *context, const struct loader_hook *hook), void *context);

/* The ledger's page, which others see as it is written, until loader_close. NULL: nothing is pinned, as was said. */
void *loader_ledger(const struct loader *loader);

/* What is pinned goes: the rings, or all of it. What stays is the next life's. */
void loader_unpin(struct loader *loader, bool all);

/* No record comes any more, from no CPU; what the rings hold can still be read. */
void loader_detach(struct loader *loader);

/* Ends the process, and waits for it. NULL is allowed. */
void loader_close(struct loader *loader);

#endif
