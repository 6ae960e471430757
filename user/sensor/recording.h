/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording: everything that came into the pipeline, in the order in which it was taken, so that the same documents
 * come out of it again, without a kernel. It knows nothing of loader and metadata: a reader needs no rights.
 *
 * A file is a head of 16 bytes (magic, version), then frames. A frame is a head of 16 bytes, its content, and zeros up
 * to a multiple of 8, so that records lie as they lay in their ring. Numbers are in the machine's byte order, as those
 * of the records are.
 *
 *	head     u8 magic[8] "taffrec\n" · u32 version · u32 zero
 *	frame    u32 bytes of content · u16 type · u16 zero · u64 the pipeline's clock (boot time)
 *
 * The clock of a frame is the pipeline's own, which stands still while it takes records: deadlines pass in a replay
 * where they passed live.
 */
#ifndef TAFFRAIL_SENSOR_RECORDING_H
#define TAFFRAIL_SENSOR_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "bpf/kernel_event.h"
#include "event/event.h"

enum {
	RECORDING_VERSION = 5,
	RECORDING_CPUS_MAX = 8192,
	RECORDING_FRAME_MAX = 1 << 22, /* bytes of content */
};

/* Append only; each line says what the content is. */
enum recording_type {
	RECORDING_HOST = 1,      /* the first: struct recording_host */
	RECORDING_PROCESS = 2,   /* a process of the census: its record, and what /proc had of its arguments */
	RECORDING_RECORD = 3,    /* a record of a ring, as it lay there */
	RECORDING_CONTAINER = 4, /* names that came for a container */
	RECORDING_TICK = 5,      /* deadlines were looked at, and losses: struct recording_tick */
	RECORDING_EXPIRE = 6,    /* only the deadlines of names, while draining */
	RECORDING_REPEAT = 7,    /* what the kernel had counted when the frame before asked: struct recording_repeat */
	RECORDING_END = 8,       /* the last: the sensor ended by itself */
	RECORDING_SETTLE = 9,    /* ends and counts that had waited left: u64 read_ns */
	RECORDING_FILTERED = 10, /* what the kernel had left out by then: u64 for each kind, by enum kernel_kind */
	RECORDING_OWN = 11,      /* an event that the sensor told of itself: a Batch of it alone (event/wire.h) */
	RECORDING_FORMER = 12,   /* processes that a former life knew, before the census: a Batch (handover.h) */
	RECORDING_TYPES_END,
};

struct recording_host {
	const struct event_host *host;
	unsigned int cpus;  /* as many as the kernel may number */
	unsigned int lanes; /* of numbers, of each CPU */
	uint64_t boot_unix_ns;
	uint64_t opens_window_ns; /* 0: opens were not collapsed */
	uint64_t calls;           /* that were asked for when it began: as loader_want takes them */
};

struct recording_tick {
	uint64_t boot_unix_ns; /* from here on */
	uint64_t bulk_ns;      /* records of the bulk ring up to this time had been read */
	bool final;
	const struct kernel_counters *counters; /* one per CPU and lane; NULL: the rings were not empty */
};

struct recording_repeat {
	uint64_t number, count;
};

/* --- writing --------------------------------------------------------------------------------------------------------- */

struct recording;

/*
 * Creates the file, or empties it, and starts the thread that writes it: the event thread waits for the disk a second
 * at most. When the disk is full, fails or is too slow this is said once and the recording ends; the calls below then
 * do nothing. 0 or -errno.
 */
int recording_create(struct recording **recording, const char *path);

/* One frame each, with the pipeline's clock. `recording` may be NULL: nothing happens. */
void recording_host(struct recording *recording, uint64_t now_ns, const struct recording_host *host);
void recording_process(
	struct recording *recording, uint64_t now_ns, const struct kernel_header *record, struct text args);
void recording_record(struct recording *recording, uint64_t now_ns, const struct kernel_header *record);
/* `standing` is an enum container_standing. */
void recording_container(
	struct recording *recording, uint64_t now_ns, const struct event_container *view, unsigned int standing);
/* What was recorded so far goes to the file too. */
void recording_tick(struct recording *recording, uint64_t now_ns, const struct recording_tick *tick);
void recording_expire(struct recording *recording, uint64_t now_ns);
void recording_repeat(struct recording *recording, uint64_t now_ns, const struct recording_repeat *repeat);
void recording_settle(struct recording *recording, uint64_t now_ns, uint64_t read_ns);
void recording_filtered(struct recording *recording, uint64_t now_ns, const uint64_t counts[KERNEL_KINDS_END]);
/* `batch` as wire_batch_finish gives it, within its Up. */
void recording_own(struct recording *recording, uint64_t now_ns, struct text batch);
/* As recording_own: a batch of handover.h. */
void recording_former(struct recording *recording, uint64_t now_ns, struct text batch);
void recording_end(struct recording *recording, uint64_t now_ns);

/* Waits until all is written. NULL is allowed. */
void recording_close(struct recording *recording);

/* --- reading --------------------------------------------------------------------------------------------------------- */

struct recording_reader;

/* One frame; everything in it is good until the next call. */
struct recording_frame {
	enum recording_type type;
	uint64_t now_ns;
	uint64_t offset; /* in the file */
	union {
		struct recording_host host;
		struct {
			const void *bytes; /* 8-byte aligned, not checked */
			size_t size;
			struct text args; /* of PROCESS */
		} record;                 /* RECORD, PROCESS; OWN, FORMER: the batch */
		struct {
			struct event_container view;
			unsigned int standing; /* 0 to 3 */
		} container;
		struct recording_tick tick;
		struct recording_repeat repeat;
		uint64_t read_ns;                    /* of SETTLE */
		uint64_t left_out[KERNEL_KINDS_END]; /* of FILTERED; kinds that were not there yet are 0 */
	};
};

enum recording_result {
	RECORDING_FRAME,   /* here is a frame */
	RECORDING_WHOLE,   /* this was RECORDING_END: nothing is missing */
	RECORDING_TORN,    /* it ends without it, or within a frame: its sensor was killed, or its disk full */
	RECORDING_CORRUPT, /* what stands at `offset` cannot be read */
};

/*
 * Opens a recording and reads its head and its first frame, which is RECORDING_HOST. Returns 0, -EBADMSG when it is no
 * recording (`*why` is a literal), or -errno.
 */
int recording_open(struct recording_reader **reader, const char *path, struct recording_frame *host, const char **why);

/* The next frame. For all but FRAME `frame->offset` is where reading ended; for CORRUPT `*why` is a literal. */
enum recording_result recording_next(struct recording_reader *reader, struct recording_frame *frame, const char **why);

void recording_reader_close(struct recording_reader *reader);

#endif
