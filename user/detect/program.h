/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What conditions compile to. Each thing is there once, however many rules ask for it: a slot is a field or transformer with
 * its arguments, a check compares a slot, a node joins checks and nodes. For each call a list of rules with a node each,
 * in which what the call's name decides has been decided, and an index that says which of them an event can meet.
 */
#ifndef TAFFRAIL_DETECT_PROGRAM_H
#define TAFFRAIL_DETECT_PROGRAM_H

#include "base/table.h"
#include "detect/arena.h"
#include "detect/event_types.h"
#include "detect/expression.h"
#include "detect/field.h"

struct pcre2_real_code_8;

enum transformer { TOLOWER, TOUPPER, B64, BASENAME, LEN, JOIN, CONCAT, GETOPT, VAL, TRANSFORMERS };

enum slot_kind { SLOT_FIELD, SLOT_TRANSFORMER, SLOT_WORD };

struct slot {
	enum slot_kind kind;
	enum field_type type;
	enum field_shape shape;
	struct field_use use;
	enum transformer transformer;
	const uint32_t *inputs; /* slots */
	size_t input_count;
	struct text word;
	struct text name; /* as it is written */
};

/* A word that a slot is compared with, read as the slot's type. */
struct constant {
	struct text text;
	int64_t number;
	struct event_address address;
	uint8_t bits; /* of a network */
	uint64_t hash;
	struct pcre2_real_code_8 *regex;
};

struct check {
	uint32_t slot, right; /* right: a slot and 1; 0: the constants */
	enum expression_operator relation;
	enum expression_quantifier quantifier;
	struct constant *constants;
	size_t constant_count;
	/* Of `=` and `in` with many constants: their numbers and 1, at the place of their hashes; 0: free. */
	uint32_t *set;
	size_t set_mask;
	unsigned int cost;
};

enum node_kind { NODE_FALSE, NODE_TRUE, NODE_AND, NODE_OR, NODE_NOT, NODE_CHECK };

struct node {
	enum node_kind kind;
	uint32_t count;           /* of children */
	const uint32_t *children; /* nodes; of NODE_CHECK one: the check */
	unsigned int cost;
};

enum { FALSE_NODE, TRUE_NODE, NO_NODE = -1 };

struct index;

/* The rules that can match one call's events, in load order. */
struct call_program {
	uint32_t *rules, *nodes;
	size_t count, node_count;
	struct index *index;
	/* The rules whose sequence can begin with such an event, and the nodes that say so. */
	uint32_t *after_rules, *after_nodes;
	size_t after_count, after_node_count;
};

struct program {
	struct arena *arena;
	struct slot *slots;
	struct check *checks;
	struct node *nodes;
	size_t slot_count, check_count, node_count;
	struct table names; /* of slots, checks and nodes by what they are */
	struct call_program calls[EVENT_CALLS_END];
};

/* A macro, as far as it has been compiled. */
struct definition_macro {
	struct text name;
	uint32_t place;
	struct phrase condition;
	struct expression *expression;
	unsigned int position, visibility; /* it sees the macros of positions below its visibility */
	bool used, broken, linking, linked, resolved;
	int error;          /* of `resolved` */
	unsigned int depth; /* of its expression, macros and all, once it is linked */
	bool typed[2];      /* are `types` known: by negation */
	struct event_types types[2];
	int64_t nodes[EVENT_CALLS_END]; /* by call: the node and 1; 0: not compiled yet */
};

/* 0 or -ENOMEM. */
int program_open(struct program *program, struct arena *arena);
/* Frees what is not the arena's. */
void program_close(struct program *program);

/* The thing that `key` describes: its number and 1; 0: there is none yet. program_remember adds it. 0 or -ENOMEM. */
uint32_t program_recall(const struct program *program, const struct buffer *key);
int program_remember(struct program *program, const struct buffer *key, uint32_t number);

/* --- resolve.c: what is written becomes checks ---------------------------------------------------------------------------- */

/*
 * Compiles all checks of an expression whose macros are linked. 0; -ENOENT: a field is not known; -EINVAL: the condition
 * makes no sense. Problems are noted once; a field that is not known only with `report`.
 */
int program_resolve(struct program *program, struct sources *sources, struct expression *expression, bool report);
/* The slot of a field or transformer: 0, -ENOENT, -EINVAL as above. */
int program_slot(
	struct program *program, struct sources *sources, const struct operand *operand, bool report, uint32_t *slot);
/* The types of events that an expression can be true for. */
void program_types(struct expression *expression, bool negated, struct event_types *types);

/* --- constant.c ------------------------------------------------------------------------------------------------------------- */

/* Reads a word as a check's slot wants it. 0, or -EINVAL after a problem was noted. */
int constant_read(struct program *program, struct sources *sources, const struct slot *slot,
	enum expression_operator relation, const struct expression_word *word, struct constant *constant);
/* Fills check->set where it pays. 0 or -ENOMEM. */
int constant_make_set(struct program *program, struct check *check);
/* What tells constants of this type apart: a text, or the bytes of a number or an address. Of networks it is not all. */
struct text constant_key(enum field_type type, const struct constant *constant);
/* The hash of a value of this type. */
uint64_t constant_hash(enum field_type type, const struct value *value);

/* --- node.c: checks become nodes ------------------------------------------------------------------------------------------ */

/* The node of an expression for events of a call; NO_NODE without memory. */
int64_t program_node(struct program *program, struct expression *expression, enum event_call call);

/* --- index.c ---------------------------------------------------------------------------------------------------------------- */

/* Makes the index of a call's rules. 0 or -ENOMEM. */
int index_build(struct program *program, struct call_program *call);

#endif
