/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker may ask of the process that holds the rights over BPF, and all of it: numbers and bytes of a fixed size.
 * There is no path in it, no pointer, no program and no code. loader.c asks, loader_serve.c answers.
 */
#ifndef TAFFRAIL_SENSOR_LOADER_CALL_H
#define TAFFRAIL_SENSOR_LOADER_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/kernel_event.h"
#include "sensor/loader.h"

enum {
	REQUEST_PREFIXES = 16, /* in one REQUEST_PREFIX */
	REQUEST_PREFIXES_MAX = 4096,
	REPLY_HOOKS = 48,
	REPLY_GONE = 64,
	REPLY_RUNS = LOADER_RUNS_MAX,
	REPLY_WHY = 512,
	REPLY_FDS = 4,
	FORMER_HANDLES = 64, /* lives of former sensors that are looked after at a time */
};

/* Each belongs to a time (enum loader_stage); the former lives may be looked after at any. */
enum request_kind {
	REQUEST_LOAD = 1, /* the programs, by the policy */
	REQUEST_PREFIX,   /* path prefixes of the policy */
	REQUEST_PIN,      /* what is to outlive this life, under its name */
	REQUEST_ATTACH,
	REQUEST_HOOKS,     /* what is attached */
	REQUEST_PROCESSES, /* a descriptor that tells those which live now */
	REQUEST_COUNTERS,  /* into the memory that is shared */
	REQUEST_LEFT_OUT,
	REQUEST_MISSED,
	REQUEST_RUNS,      /* which programs there are, and how often and how long they ran */
	REQUEST_CONTAINER, /* the rules that hold for one */
	REQUEST_WANT,      /* which calls are told */
	REQUEST_SWEEP,     /* flows that are idle end */
	REQUEST_TRUE,
	REQUEST_GONE,
	REQUEST_CANARY_START,
	REQUEST_CANARY_LANDED,
	REQUEST_CANARY_END,
	REQUEST_DETACH,
	REQUEST_UNPIN,
	REQUEST_FORMERS,     /* looks for them */
	REQUEST_FORMER_NEXT, /* one that was found, with its ledger's descriptor */
	REQUEST_FORMER_COUNTED,
	REQUEST_FORMER_REST,
	REQUEST_FORMER_DROP_RINGS,
	REQUEST_FORMER_DROP,
	REQUEST_FORMER_CLOSE,
	REQUEST_KINDS_END,
};

struct request {
	uint32_t kind;
	uint32_t number; /* a boolean, a handle, a count: what the kind says */
	union {
		struct {
			struct kernel_policy policy;
			uint64_t calls;
		} load; /* number: how many prefixes will come */
		struct {
			struct kernel_prefix prefixes[REQUEST_PREFIXES];
			uint64_t rules[REQUEST_PREFIXES];
		} prefix; /* number: how many */
		struct {
			char name[PIN_NAME_SIZE];
			char page[PIN_LEDGER_BYTES];
		} pin;
		struct {
			uint8_t id[KERNEL_CONTAINER_ID_SIZE];
			uint64_t rules;
		} container;
		uint64_t calls;      /* REQUEST_WANT */
		uint32_t lanes;      /* REQUEST_FORMER_COUNTED; number: the handle */
		uint32_t repeats_at; /* REQUEST_FORMER_REST; number: the handle */
	};
};

/* What of it is sent: the head and the part of its kind. 0: there is no such kind. */
size_t request_size(uint32_t kind);

/* NULL, or what is wrong with it: the kind, the size, or a number or bits that nothing has. */
const char *request_check(const struct request *request, size_t length);

struct reply_hook {
	char promise[64], hook[192];
	uint8_t attached;
};

struct reply {
	int32_t result; /* 0, a number, or -errno */
	union {
		char why[REPLY_WHY]; /* where the result is -errno */
		struct {
			uint32_t lanes, critical_bytes, bulk_bytes, variables_bytes, repeats_at;
		} load;                               /* descriptors: to wait for, the two rings, the variables */
		struct reply_hook hooks[REPLY_HOOKS]; /* the result: how many */
		uint64_t left_out[KERNEL_KINDS_END];
		struct loader_run runs[REPLY_RUNS]; /* the result: how many */
		uint64_t number;                    /* missed; counted */
		uint8_t gone[REPLY_GONE];           /* places in the list of hooks; the result: how many */
		struct {
			char name[PIN_NAME_SIZE];
			uint8_t held, damaged;
		} former; /* the result: its handle; descriptor: its ledger */
		struct pins_rest rest;
	};
};

/*
 * Sends a message with descriptors, which stay the caller's. `wait_ms` for room; -1: for ever. 0, or -errno: -EPIPE when
 * nobody is there.
 */
int call_send(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count, int wait_ms);

/*
 * Takes a message and at most `*fd_count` descriptors, which are the caller's then; others that came are closed. Returns its
 * length, or -errno: -EPIPE at the end, -EMSGSIZE if it is longer than `size`, -ETIMEDOUT.
 */
ssize_t call_receive(int socket, void *bytes, size_t size, int *fds, size_t *fd_count, int wait_ms);

#endif
