/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that are loaded: at start, and again by a thread of its own when a file of theirs is another one, or when it is
 * told to. What a directory has and what each file is are looked at once a second, so that a swapped symbolic link (a
 * ConfigMap) counts like a file that was written; a change is loaded when it has lasted for a second.
 */
#ifndef TAFFRAIL_SENSOR_RULESET_H
#define TAFFRAIL_SENSOR_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/digest.h"
#include "detect/rules.h"

struct ruleset_options {
	char *const *paths; /* files and directories, in their order; none: the sensor's own pack */
	size_t path_count;
	bool all;  /* every rule that an event meets, not only the first */
	bool bare; /* errors are told as FILE:LINE:COLUMN: reason, with nothing before it */
};

/* As the configuration says it (`matching`: first, all or NULL); the paths must stay. */
struct ruleset_options ruleset_options_of(const struct config_list *paths, const char *matching, bool bare);

/* What a load has come to. */
struct ruleset_loaded {
	struct rules *rules; /* NULL: they cannot be loaded */
	size_t errors, warnings;
	struct digest_sum hash; /* of the files' bytes, in the order in which they were read */
	uint64_t files;         /* what the files were before they were read, as ruleset_watch takes it */
	char why[512];          /* the first error, or "": FILE:LINE:COLUMN: reason */
};

/* Loads at once. The caller's to free: ruleset_discard, or free where `rules` was taken out. NULL without memory. */
struct ruleset_loaded *ruleset_load(const struct ruleset_options *options);
/* NULL is allowed. */
void ruleset_discard(struct ruleset_loaded *loaded);

/* The hash of the sensor's own pack. */
struct digest_sum ruleset_pack_hash(void);

struct ruleset;

/* Starts the thread; `options` must stay. `files`: as the rules that are in use were loaded. 0 or -errno. */
int ruleset_watch(struct ruleset **ruleset, const struct ruleset_options *options, uint64_t files);

/* Load again at once, whether anything has changed or not. Safe in a signal handler. */
void ruleset_hurry(struct ruleset *ruleset);

/* What was loaded since the last call, as ruleset_load, or NULL. */
struct ruleset_loaded *ruleset_take(struct ruleset *ruleset);

/* Ends the thread. NULL is allowed. */
void ruleset_close(struct ruleset *ruleset);

#endif
