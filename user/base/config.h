/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: a table of keys that a program registers, and three ways to set one, in the order in which they win:
 * an option, --set, the YAML file. Assign them in the opposite order; a later one replaces what an earlier one said.
 *
 * The file is YAML 1.1 as libyaml reads it, without aliases, bounded in size and depth.
 */
#ifndef TAFFRAIL_CONFIG_H
#define TAFFRAIL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

struct config_list {
	char **items;
	size_t count;
};

enum config_type {
	CONFIG_BOOL,     /* bool: true, false, yes, no */
	CONFIG_TEXT,     /* char *, owned by the table; NULL as long as nothing was said */
	CONFIG_NUMBER,   /* uint64_t, from min to max */
	CONFIG_SIZE,     /* uint64_t, bytes: 4096, 64K, 16M, 1G (of 1024) */
	CONFIG_DURATION, /* uint64_t, milliseconds: 250ms, 5s, 2m, 1h; a bare number is seconds */
	CONFIG_LIST,     /* struct config_list, owned by the table: a sequence, or one word */
	CONFIG_TREE, /* struct config_tree, owned by the table: of any shape; only a file says it, a room reads it */
};

enum config_shape { CONFIG_WORD, CONFIG_SEQUENCE, CONFIG_MAPPING };

/* A part of a tree. The keys of a mapping are all different. */
struct config_node {
	enum config_shape shape;
	unsigned int line;         /* from 1; of a mapping's member: its key's */
	char *key;                 /* of a mapping's member, else NULL */
	char *word;                /* CONFIG_WORD; "" where nothing was said */
	struct config_node *items; /* of the others */
	size_t count;
};

struct config_tree {
	char *file; /* NULL as long as nothing was said */
	struct config_node root;
};

/* Beside the type: a change of the value is taken while the program runs. Without it a restart takes it, as the log says. */
#define CONFIG_LIVE 0x100u

struct config_key {
	const char *path;  /* dotted: rings.critical */
	unsigned int type; /* enum config_type, and perhaps CONFIG_LIVE */
	void *target;
	uint64_t min, max; /* of numbers, sizes and durations; max 0: no limit */
	const char *help;
};

static inline enum config_type config_type(const struct config_key *key)
{
	return (enum config_type)(key->type & ~CONFIG_LIVE);
}

enum { CONFIG_KEYS_MAX = 128, CONFIG_FILES_MAX = 8 };

/* Where a table's values were said, by the keys' order. All zero at first. */
struct config_places {
	const char *files[CONFIG_FILES_MAX]; /* as they were named; they must stay */
	size_t file_count;
	struct digest_sum hash; /* of the files' bytes, in their order */
	struct {
		uint8_t file;      /* in files */
		unsigned int line; /* 0: it was not said in a file, or an option or --set has beaten that */
	} keys[CONFIG_KEYS_MAX];
};

/* How often files were read again while the program ran, and what came of it. */
struct config_reloads {
	uint64_t taken, refused;
	bool last_taken; /* also before the first */
	uint64_t last_s; /* when, Unix time; 0: never */
};

/* The end of a table. */
#define CONFIG_END                                                                                                     \
	{                                                                                                              \
		0                                                                                                      \
	}

/*
 * Reads a file into the keys' targets. Returns 0, or -EINVAL after it has logged `FILE:LINE: reason`; then some
 * targets may have been set.
 */
int config_read(const struct config_key *keys, const char *file);

/* The same of several files, of which a later one beats those before it; notes where what was said. */
int config_read_files(const struct config_key *keys, struct config_places *places);

/* NULL: there is none of that path. */
const struct config_key *config_find(const struct config_key *keys, const char *path);

/* Have two keys of the same type the same value? Of trees: whatever lines they stand in. */
bool config_equal(const struct config_key *a, const struct config_key *b);

/* The same of parts of trees; NULL is like NULL alone. */
bool config_nodes_equal(const struct config_node *a, const struct config_node *b);

/*
 * Warns of each key that takes a restart and has another value than when it was read last, unless that is the start's again.
 * Three tables of the same keys.
 */
void config_tell_restarts(const struct config_key *start, const struct config_key *last, const struct config_key *now);

/*
 * Sets one key from a word, as an option or --set does. `more`: adds to a list instead of replacing it.
 * Returns 0, or -EINVAL with the reason in `why`.
 */
int config_assign(
	const struct config_key *keys, const char *path, const char *value, bool more, char *why, size_t why_size);

/* Logs `FILE:LINE: reason` about a part of the tree, and returns -EINVAL: a room's reader refuses as the file's does. */
int config_refuse(const struct config_tree *tree, const struct config_node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Frees what the targets own, and sets them to nothing. */
void config_free(const struct config_key *keys);

#endif
