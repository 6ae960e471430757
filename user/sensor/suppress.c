/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/suppress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/table.h"

struct key {
	uint64_t rule; /* the hash of its name: a set that is loaded anew numbers its rules anew */
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	uint8_t inside, zero[7];
};

struct window {
	struct table_node node;
	TAILQ_ENTRY(window) next;
	struct key key;
	uint64_t begin_ns, first_held_ns, last_held_ns;
	uint64_t told, held;
	uint8_t severity;
	struct text rule, ruleset, priority; /* parts of `text` */
	char text[];
};

struct suppress {
	struct suppress_limit limit;
	struct suppress_ops ops;
	struct table windows;
	TAILQ_HEAD(windows, window) by_begin; /* the oldest first */
};

int suppress_open(struct suppress **out, const struct suppress_limit *limit, const struct suppress_ops *ops)
{
	struct suppress *suppress = calloc(1, sizeof(*suppress));

	if (!suppress)
		return -ENOMEM;
	suppress->limit = *limit;
	suppress->ops = *ops;
	table_init(&suppress->windows);
	TAILQ_INIT(&suppress->by_begin);
	*out = suppress;
	return 0;
}

void suppress_limit_set(struct suppress *suppress, const struct suppress_limit *limit)
{
	suppress->limit = *limit;
}

static bool matches(const struct table_node *node, const void *key)
{
	return memcmp(&table_entry(node, struct window, node)->key, key, sizeof(struct key)) == 0;
}

static void forget(struct suppress *suppress, struct window *window)
{
	table_remove(&suppress->windows, &window->node);
	TAILQ_REMOVE(&suppress->by_begin, window, next);
	free(window);
}

static void end(struct suppress *suppress, struct window *window)
{
	const struct suppress_held held = {
		.container_id = window->key.inside ? window->key.container_id : NULL,
		.rule = window->rule,
		.ruleset = window->ruleset,
		.priority = window->priority,
		.severity = window->severity,
		.count = window->held,
		.first_ns = window->first_held_ns,
		.last_ns = window->last_held_ns,
	};

	if (held.count > 0)
		suppress->ops.held(suppress->ops.context, &held);
	forget(suppress, window);
}

static struct text copy(char **to, struct text from)
{
	struct text text = {*to, from.length};

	if (from.length > 0)
		memcpy(*to, from.data, from.length);
	*to += from.length;
	return text;
}

static struct window *begin(struct suppress *suppress, const struct key *key, const struct event_rule *rule)
{
	struct window *window =
		calloc(1, sizeof(*window) + rule->name.length + rule->ruleset.length + rule->priority.length);
	char *to;

	if (!window)
		return NULL;
	if (table_count(&suppress->windows) >= SUPPRESS_MAX)
		end(suppress, TAILQ_FIRST(&suppress->by_begin));
	if (table_insert(&suppress->windows, &window->node, hash_bytes(key, sizeof(*key))) < 0) {
		free(window);
		return NULL;
	}
	to = window->text;
	window->key = *key;
	window->severity = rule->severity;
	window->rule = copy(&to, rule->name);
	window->ruleset = copy(&to, rule->ruleset);
	window->priority = copy(&to, rule->priority);
	TAILQ_INSERT_TAIL(&suppress->by_begin, window, next);
	return window;
}

bool suppress_allows(struct suppress *suppress, const uint8_t *container_id, const struct event_rule *rule,
	uint64_t now_ns, uint64_t *before)
{
	struct key key = {.rule = hash_bytes(rule->name.data, rule->name.length), .inside = container_id != NULL};
	struct table_node *node;
	struct window *window = NULL;

	*before = 0;
	if (suppress->limit.count == 0)
		return true;
	if (container_id)
		memcpy(key.container_id, container_id, sizeof(key.container_id));
	node = table_find(&suppress->windows, hash_bytes(&key, sizeof(key)), matches, &key);
	if (node)
		window = table_entry(node, struct window, node);
	if (window && now_ns - window->begin_ns >= suppress->limit.window_ns) {
		*before = window->held;
		forget(suppress, window);
		window = NULL;
	}
	if (!window) {
		window = begin(suppress, &key, rule);
		if (!window)
			return true;
		window->begin_ns = now_ns;
	}
	if (window->told < suppress->limit.count) {
		window->told++;
		return true;
	}
	if (window->held++ == 0)
		window->first_held_ns = now_ns;
	window->last_held_ns = now_ns;
	return false;
}

void suppress_expire(struct suppress *suppress, uint64_t now_ns)
{
	struct window *window;

	while ((window = TAILQ_FIRST(&suppress->by_begin)) &&
		(now_ns == UINT64_MAX || now_ns - window->begin_ns >= suppress->limit.window_ns))
		end(suppress, window);
}

void suppress_close(struct suppress *suppress)
{
	struct window *window;

	if (!suppress)
		return;
	while ((window = TAILQ_FIRST(&suppress->by_begin)))
		forget(suppress, window);
	table_free(&suppress->windows);
	free(suppress);
}
