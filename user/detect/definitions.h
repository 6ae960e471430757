/* SPDX-License-Identifier: Apache-2.0 */
/* What the files define, by name, before it is compiled: lists, macros, rules. */
#ifndef TAFFRAIL_DETECT_DEFINITIONS_H
#define TAFFRAIL_DETECT_DEFINITIONS_H

#include "detect/set.h"

struct definition_list {
	struct text name;
	uint32_t place;
	struct text *items; /* as written */
	size_t item_count;
	unsigned int position, visibility;
	bool used;
};

/* (fields compare values): what a rule does not speak of. */
struct definition_exception {
	struct text name;
	uint32_t place;
	bool scalar; /* one field, and a list of its values */
	const struct document_node **fields;
	size_t field_count;
	struct text *comparisons; /* as many as fields */
	const struct document_node **values;
	size_t value_count;
};

struct definition_rule {
	struct text name, file;
	uint32_t place;
	struct phrase condition, output, description;
	enum rules_priority priority;
	bool enabled, quiet_types, skip_unknown, broken;
	struct text *tags;
	size_t tag_count;
	struct definition_exception *exceptions;
	size_t exception_count;
	struct window window;
	struct expression *after; /* of its sequence */
};

/* A definition by its name: rules, macros and lists have names of their own. */
struct definition_name {
	struct table_node node;
	char kind; /* 'R', 'M', 'L'; 'S': a rule that was skipped for its source */
	struct text name;
	void *definition;
};

struct definitions {
	struct arena *arena;
	struct sources *sources;
	struct table names;
	struct definition_list **lists;
	struct definition_macro **macros;
	struct definition_rule **rules;
	size_t list_count, macro_count, rule_count;
	unsigned int position; /* counts the definitions, in the order of the files */
};

/* The definition of that kind and name, or NULL. */
void *definitions_find(const struct definitions *definitions, char kind, struct text name);
/* Adds one. 0 or -ENOMEM. */
int definitions_name(struct definitions *definitions, char kind, struct text name, void *definition);

/* definition_item.c: reads one item of a file. 0, or -EINVAL after a problem was noted. */
int definitions_read(struct definitions *definitions, const struct document_node *item);

/* What the readers of items share. Each notes a problem and returns -EINVAL if the member is of another shape. */
int item_word(struct definitions *definitions, const struct document_node *item, const char *key, bool needed,
	const struct document_node **word);
int item_flag(struct definitions *definitions, const struct document_node *item, const char *key, bool *flag);
/* How an item adds to what is there: by `append: true`, or key by key under `override`. */
struct item_override {
	bool append;                      /* append: true */
	const struct document_node *keys; /* override, or NULL */
};
int item_override(struct definitions *definitions, const struct document_node *item, const char *name,
	const char *const *appendable, const char *const *replaceable, struct item_override *override);
/* Is the key to be appended? */
bool item_appends(const struct item_override *override, const char *key);
/* Warns of keys that are not in the list, which has at most 64, and of those that are there twice. */
void item_warn_unknown(struct definitions *definitions, const struct document_node *item, const char *const *known);

/* definition_rule.c */
int definitions_read_rule(struct definitions *definitions, const struct document_node *item);

/* definition_exception.c: the exceptions of a rule's item; `append` adds values to those that are there. */
int definitions_read_exceptions(struct definitions *definitions, struct definition_rule *rule,
	const struct document_node *exceptions, bool append);
/* Puts the exceptions behind the condition: "(condition) and not (…)". 0 or -EINVAL. */
int definitions_add_exceptions(
	struct definitions *definitions, const struct definition_rule *rule, struct phrase *condition);

#endif
