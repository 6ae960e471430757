/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where stored events go: a table of kinds, one row and one file of sinks/ each.
 *
 * An output is a cursor over the store. While it keeps up it is handed events as they are stored; when it does not (a
 * reader is slow, a disk is full, the collector was away) it goes on from the store. DIR/outputs/ remembers how far it
 * is, so that nothing is left out. After a crash a kind that can read its target leaves out what that holds already; of
 * another the last lines may come twice. A new output begins with what is stored from then on.
 */
#ifndef TAFFRAIL_COLLECTOR_OUTPUT_H
#define TAFFRAIL_COLLECTOR_OUTPUT_H

#include "collector/store.h"
#include "event/wire.h"

struct event_base;
struct output;

/* A kind of output. `sink` is what its open made. */
struct output_kind {
	const char *name;    /* what stands before the colon */
	const char *targets; /* what may stand behind it */
	/* 0, or -errno with a sentence in `why`. */
	int (*open)(void **sink, const char *target, char *why, size_t why_size);
	/* Adds an event to what the next flush writes. 0 or -ENOMEM. */
	int (*add)(void *sink, const struct event *event);
	/* Bytes that wait to be written. */
	size_t (*waiting)(const void *sink);
	/* Writes without blocking. 0: nothing waits any more; -EAGAIN: try again when `fd` is writable; or -errno. */
	int (*flush)(void *sink);
	int (*fd)(const void *sink);
	void (*close)(void *sink);
	/*
	 * The three are NULL where the target cannot be read. How far it is written, after a flush; from there on it holds
	 * what was written without being noted (CURSOR_NO_MARK: that is not known), and does not take that again (0 or
	 * -errno), until all of the store was added.
	 */
	uint64_t (*mark)(const void *sink);
	int (*resume)(void *sink, uint64_t mark);
	void (*caught_up)(void *sink);
};

struct output_options {
	const char *spec; /* KIND:TARGET */
	const char *data; /* the data directory */
	struct event_base *base;
	const struct store *store;
	void (*on_broken)(void *context); /* its reader went away for good */
	void *context;
};

/* Is `spec` a kind and a target? 0, or -EINVAL with what is wrong in `why`. */
int output_check(const char *spec, char *why, size_t why_size);

/* 0, or -errno with a sentence in `why`. */
int output_open(struct output **output, const struct output_options *options, char *why, size_t why_size);

/* Events that were stored now, those before `first` not among them; `end`: the place in the store behind them. */
void output_add(struct output *output, const struct wire_events *events, uint64_t first, struct store_position end);

/* Something was stored now that cannot be handed on: it comes from the store. */
void output_miss(struct output *output);

/* Writes what can be written; what cannot is tried again from the loop. */
void output_flush(struct output *output);

struct output_figures {
	const char *spec;      /* as it was given */
	uint64_t behind_bytes; /* of the store, about: what it has not written yet */
	uint64_t events;       /* that were written, or wait to be */
	bool failing;          /* what it writes to does not take it now, or has gone */
};
void output_figures(const struct output *output, struct output_figures *figures);

/*
 * The last flush: catches up with the store, as long as something is taken every `idle_ms` (a reader may be slow) and it is
 * not `until_ns` (boot time).
 */
void output_finish(struct output *output, unsigned idle_ms, uint64_t until_ns);

/* NULL is allowed. */
void output_close(struct output *output);

#endif
