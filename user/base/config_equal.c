/* SPDX-License-Identifier: Apache-2.0 */
/* Has a key another value than before? */
#include <string.h>

#include "base/config.h"
#include "base/log.h"

static bool equal_words(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* No deeper than a file can be (DEPTH_MAX of config.c). */
bool config_nodes_equal(const struct config_node *a, const struct config_node *b)
{
	if (!a || !b)
		return a == b;
	if (a->shape != b->shape || a->count != b->count || !equal_words(a->key, b->key) ||
		!equal_words(a->word, b->word))
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!config_nodes_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}

static bool equal_lists(const struct config_list *a, const struct config_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

bool config_equal(const struct config_key *a, const struct config_key *b)
{
	switch (config_type(a)) {
	case CONFIG_BOOL: return *(const bool *)a->target == *(const bool *)b->target;
	case CONFIG_TEXT: return equal_words(*(char *const *)a->target, *(char *const *)b->target);
	case CONFIG_NUMBER:
	case CONFIG_SIZE:
	case CONFIG_DURATION: return *(const uint64_t *)a->target == *(const uint64_t *)b->target;
	case CONFIG_LIST: return equal_lists(a->target, b->target);
	case CONFIG_TREE: break;
	}
	return config_nodes_equal(
		&((const struct config_tree *)a->target)->root, &((const struct config_tree *)b->target)->root);
}

void config_tell_restarts(const struct config_key *start, const struct config_key *last, const struct config_key *now)
{
	for (; now->path; start++, last++, now++)
		if (!(now->type & CONFIG_LIVE) && !config_equal(last, now) && !config_equal(start, now))
			log_warning("%s has changed: that takes a restart", now->path);
}
