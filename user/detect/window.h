/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules over several events, by keys of our own, which Falco passes over:
 *   threshold: {count: 5, within: 60s, by: [container.id, proc.name]}   the 5th match within a minute, of the same values
 *   sequence: {after: CONDITION, within: 10m, by: process}              a match after an event of the condition, by the
 *                                                                       same process or one that came from it, or `by` fields
 *   hours: {outside: "08:00-18:00", days: [mon, …], zone: Europe/Berlin}
 */
#ifndef TAFFRAIL_DETECT_WINDOW_H
#define TAFFRAIL_DETECT_WINDOW_H

#include "detect/phrase.h"

enum { WINDOW_BY_MAX = 4, WINDOW_COUNT_MAX = 4096, WINDOW_BYTES = 256 * 1024, WINDOW_KEYS_MAX = 1024 };

/* Matches are counted by the values of fields. */
struct window_count {
	uint64_t count, within_ns; /* count 0: there is none */
	bool by_process;           /* the process, and those that came from it */
	const struct document_node *by_nodes[WINDOW_BY_MAX];
	uint32_t by[WINDOW_BY_MAX]; /* their slots */
	size_t by_count;
};

/* A time zone: from each transition on (Unix time) an offset; before the first, the first. */
struct window_zone {
	int64_t *transitions;
	int32_t *offsets; /* seconds east of UTC */
	size_t count;
};

struct window_hours {
	bool present;
	uint32_t from, to; /* minutes of the day */
	uint32_t days;     /* bits, Sunday's first */
	struct window_zone zone;
};

struct window {
	struct window_count threshold, sequence;
	struct phrase after; /* of the sequence */
	struct window_hours hours;
};

struct rules_evaluator;
struct rules;
struct windows;

/* window_read.c: reads a rule's keys. 0 or -EINVAL after a problem was noted. */
int window_read(struct sources *sources, const struct document_node *item, struct window *window);
/* window_zone.c: a zone's name, or +HH:MM. 0, -ENOENT or -ENOMEM. */
int window_zone_read(struct arena *arena, struct text name, struct window_zone *zone);

/* Is this time outside the hours? */
bool window_is_outside(const struct window_hours *hours, uint64_t time_ns);

/* The room of an evaluator for a set's windows; NULL in `windows` where no rule has one. 0 or -ENOMEM. */
int windows_open(struct windows **windows, const struct rules *rules);
void windows_close(struct windows *windows);
/* The event meets the conditions of a rule: do its windows say so, too? */
bool windows_pass(struct rules_evaluator *evaluator, size_t rule);
/* The event is one that a rule's sequence begins with. */
void windows_note(struct rules_evaluator *evaluator, size_t rule);

#endif
