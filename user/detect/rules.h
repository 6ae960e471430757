/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules in Falco's language: files become a set, which never changes; a thread's evaluator finds the rules of the set
 * that an event meets.
 *
 *   rules_loader_open → rules_loader_add … → rules_loader_compile → rules_evaluator_open → rules_evaluate …
 */
#ifndef TAFFRAIL_DETECT_RULES_H
#define TAFFRAIL_DETECT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/buffer.h"
#include "base/text.h"
#include "event/event.h"

/* --- loading ---------------------------------------------------------------------------------------------------------- */

/* The syslog numbers of Falco's priorities. */
enum rules_priority {
	RULES_EMERGENCY,
	RULES_ALERT,
	RULES_CRITICAL,
	RULES_ERROR,
	RULES_WARNING,
	RULES_NOTICE,
	RULES_INFORMATIONAL,
	RULES_DEBUG,
};

/* "Emergency" … "Debug", as Falco writes them. */
const char *rules_priority_name(enum rules_priority priority);
/* The priority of that name, in any case of letters; -1 for a word that is none. */
int rules_priority_find(struct text name);

/* Something wrong with a file. Everything is the loader's. */
struct rules_problem {
	const char *file;
	unsigned int line, column; /* from 1; of characters */
	const char *message;
	struct text text; /* the line; empty where there is none */
	size_t offset;    /* of the place, in bytes of that line */
};

/* What was found in the files, as far as they have been read. Everything is the loader's. */
struct rules_report {
	const struct rules_problem *errors, *warnings;
	size_t error_count, warning_count;
	size_t rules, macros, lists; /* distinct names; rules that are disabled count too */
};

struct rules_options {
	enum rules_priority priority; /* rules that are less urgent are left out; RULES_DEBUG: none is */
	bool all;                     /* every rule that an event meets, not only the first */
	const struct text *tags;      /* only rules with one of these; NULL: all that are enabled */
	size_t tag_count;
	const struct text *without_tags; /* and none with one of these */
	size_t without_tag_count;
};

struct rules;
struct rules_loader;

/* 0 or -ENOMEM. */
int rules_loader_open(struct rules_loader **loader);
/*
 * Adds a file, or the *.yaml and *.yml files of a directory in the order of their names. 0, or -EINVAL: there is an
 * error more in the report.
 */
int rules_loader_add(struct rules_loader *loader, const char *path);
/* The same with a file's bytes; `name` is what problems call it. */
int rules_loader_add_text(struct rules_loader *loader, const char *name, struct text bytes);
/*
 * Makes the set of all that was added. `options` NULL: first match only, nothing left out. 0; -EINVAL: the report has
 * errors; -ENOMEM. May be called once.
 */
int rules_loader_compile(struct rules_loader *loader, const struct rules_options *options, struct rules **rules);
void rules_loader_report(const struct rules_loader *loader, struct rules_report *report);
/* Of the bytes of all files that were added, in their order; of none where memory is short. */
struct digest_sum rules_loader_hash(const struct rules_loader *loader);
/* Frees it and its report; may be called with NULL. Sets that were compiled stay. */
void rules_loader_close(struct rules_loader *loader);

/* --- the set ---------------------------------------------------------------------------------------------------------- */

struct rules_rule {
	struct text name, description, output;
	struct text file; /* it was defined in */
	enum rules_priority priority;
	const struct text *tags;
	size_t tag_count;
	bool enabled;  /* and chosen by the options: it can match */
	size_t number; /* in load order, from 0 */
};

/* How many rules the set has, also those that are disabled. */
size_t rules_count(const struct rules *rules);
/* The rule of a number below rules_count. It lives as long as the set. */
const struct rules_rule *rules_at(const struct rules *rules, size_t number);
/* The rule of that name, or NULL. */
const struct rules_rule *rules_find(const struct rules *rules, struct text name);

/* The calls that rules which can match wait for: bit 1 << enum event_call. */
uint64_t rules_calls(const struct rules *rules);
/* Those of them of which a rule, its output or its windows ask for what was received (evt.buffer). */
uint64_t rules_data_calls(const struct rules *rules);
/* The calls that one rule waits for. */
uint64_t rules_calls_of(const struct rules *rules, const struct rules_rule *rule);
/*
 * The same, less what is told anyway: socket() is wanted only by a rule that can match an ordinary socket, and not by one
 * that asks for packet sockets.
 */
uint64_t rules_wants(const struct rules *rules);
uint64_t rules_wants_of(const struct rules *rules, const struct rules_rule *rule);
/* Appends what a rule compiles to, as lines for a person. */
void rules_explain(const struct rules *rules, const struct rules_rule *rule, struct buffer *out);

/* Frees the set; its evaluators must be closed. May be called with NULL. */
void rules_free(struct rules *rules);

/* --- evaluation ------------------------------------------------------------------------------------------------------- */

/*
 * What an event does not say itself. Each function may be NULL. Texts are good until the evaluator is given the next
 * event; an empty one says that there is no name.
 */
struct rules_names {
	void *context;
	/* The name of an id in the event's own container, as its /etc/passwd and /etc/group say. */
	struct text (*user)(void *context, const struct event *event, uint32_t uid);
	struct text (*group)(void *context, const struct event *event, uint32_t gid);
	/* The `number`th name, from 0, that the address was resolved from. */
	struct text (*host)(
		void *context, const struct event *event, const struct event_address *address, size_t number);
};

/* What did not go as it should; ever growing. */
struct rules_counters {
	uint64_t events;
	uint64_t regex_limits; /* matches that were given up at PCRE2's limits: they count as no match */
	uint64_t cut;          /* values that were cut because an event's room was full */
	uint64_t windows_full; /* keys that a threshold or sequence forgot for want of room */
	/* The rules that the last of these were for; NULL: there was none. */
	const struct rules_rule *regex_rule, *windows_rule;
};

struct rules_evaluator;

/* 0 or -ENOMEM. `names` may be NULL; it is copied. The set must outlive the evaluator, which is for one thread. */
int rules_evaluator_open(
	struct rules_evaluator **evaluator, const struct rules *rules, const struct rules_names *names);
/*
 * Calls `matched` for the rules that the event meets, in load order: the first, or all as the options say. Inside it the
 * functions below may be called. Allocates nothing. Returns how many.
 */
size_t rules_evaluate(struct rules_evaluator *evaluator, const struct event *event,
	void (*matched)(void *context, const struct rules_rule *rule), void *context);
/* Inside `matched`: appends the rule's output with the event's values. */
void rules_output(struct rules_evaluator *evaluator, const struct rules_rule *rule, struct buffer *out);

enum rules_value_type { RULES_MISSING, RULES_TEXT, RULES_NUMBER, RULES_BOOLEAN };

struct rules_value {
	enum rules_value_type type;
	struct text text; /* as the output has it; "<NA>" where it is missing */
	int64_t number;   /* RULES_NUMBER; RULES_BOOLEAN: 0 or 1 */
};

/* Inside `matched`: calls `each` for the fields of the rule's output, in their order, each once. */
void rules_output_fields(struct rules_evaluator *evaluator, const struct rules_rule *rule,
	void (*each)(void *context, struct text name, const struct rules_value *value), void *context);

/* The same as an event has them. Zeroed at first. */
struct rules_outputs {
	struct event_output items[EVENT_OUTPUTS_MAX];
	size_t count;
	struct buffer values; /* what the items point into, until the next are taken */
};

/* Inside `matched`. Without memory for them there are none. */
void rules_outputs_take(
	struct rules_outputs *outputs, struct rules_evaluator *evaluator, const struct rules_rule *rule);
void rules_outputs_free(struct rules_outputs *outputs);

void rules_evaluator_counters(const struct rules_evaluator *evaluator, struct rules_counters *counters);
/* May be called with NULL. */
void rules_evaluator_close(struct rules_evaluator *evaluator);

/* --- the fields ------------------------------------------------------------------------------------------------------- */

struct rules_field {
	const char *name;
	const char *type;     /* "text", "number", "boolean", "address", "network" */
	const char *argument; /* what stands in [brackets], or NULL */
	const char *help;     /* one line */
};

/* The `number`th field that a condition can ask for, from 0. False at the end. */
bool rules_field_at(size_t number, struct rules_field *field);

#endif
