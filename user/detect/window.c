/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each rule with a window has a table of its own, of a fixed size: keys in groups, of which the one that was quiet longest
 * makes room, of those of the container that has most of the group. So one rule's flood of keys takes no other rule's memory,
 * and one container's makes no other's forgotten.
 */
#include <errno.h>
#include <stdlib.h>

#include "detect/evaluator.h"

enum { GROUP = 8, KEY_BYTES = 4096, ANCESTORS_MAX = 256 };

/* What is known of one key: when its last matches were, `times[next]` the oldest. */
struct window_key {
	uint64_t hash;  /* 0: free */
	uint64_t owner; /* the hash of its container's id; 0: the host's */
	uint64_t last_ns;
	uint32_t held, next;
};

struct window_table {
	struct window_key *keys;
	uint64_t *times; /* `count` for each key */
	size_t key_count, count;
};

struct windows {
	struct window_table *thresholds, *sequences; /* by rule */
	size_t rule_count;
	char key[KEY_BYTES];
};

static int open_table(struct window_table *table, const struct window_count *window)
{
	size_t bytes = sizeof(*table->keys) + window->count * sizeof(*table->times);

	if (window->count == 0)
		return 0;
	table->count = window->count;
	table->key_count = WINDOW_BYTES / bytes > WINDOW_KEYS_MAX ? WINDOW_KEYS_MAX : WINDOW_BYTES / bytes;
	table->key_count = table->key_count < GROUP ? GROUP : table->key_count / GROUP * GROUP;
	table->keys = calloc(table->key_count, sizeof(*table->keys));
	table->times = calloc(table->key_count * table->count, sizeof(*table->times));
	return table->keys && table->times ? 0 : -ENOMEM;
}

int windows_open(struct windows **windows, const struct rules *rules)
{
	struct windows *made = calloc(1, sizeof(*made));
	int error = 0;

	*windows = made;
	if (!made)
		return -ENOMEM;
	made->thresholds = calloc(rules->rule_count + 1, sizeof(*made->thresholds));
	made->sequences = calloc(rules->rule_count + 1, sizeof(*made->sequences));
	if (!made->thresholds || !made->sequences)
		return -ENOMEM;
	made->rule_count = rules->rule_count;
	for (size_t i = 0; i < rules->rule_count && !error; i++) {
		error = open_table(&made->thresholds[i], &rules->rules[i].window.threshold);
		if (!error)
			error = open_table(&made->sequences[i], &rules->rules[i].window.sequence);
	}
	return error;
}

void windows_close(struct windows *windows)
{
	if (!windows)
		return;
	for (size_t i = 0; i < windows->rule_count; i++) {
		free(windows->thresholds[i].keys);
		free(windows->thresholds[i].times);
		free(windows->sequences[i].keys);
		free(windows->sequences[i].times);
	}
	free(windows->thresholds);
	free(windows->sequences);
	free(windows);
}

/* The hash of the values of the fields of `by`: never 0. */
static uint64_t hash_values(struct rules_evaluator *evaluator, const struct window_count *window)
{
	char *key = evaluator->windows->key;
	size_t length = 0;

	for (size_t i = 0; i < window->by_count; i++) {
		const struct slot *slot = &evaluator->rules->program.slots[window->by[i]];
		const struct values *values = evaluator_values(evaluator, window->by[i]);
		uint64_t hash = values->known && values->count > 0
					? constant_hash(slot->type, values_at(values, values->count - 1))
					: 0;

		memcpy(key + length, &hash, sizeof(hash));
		length += sizeof(hash);
	}
	return hash_bytes(key, length) | 1;
}

static uint64_t hash_process(const struct event_process *process)
{
	return hash_bytes(process->entity, sizeof(process->entity)) | 1;
}

static uint64_t owner_of(const struct event *event)
{
	return event->container ? hash_bytes(event->container->id, sizeof(event->container->id)) | 1 : 0;
}

/* The key of a group that makes room for one of `owner`: free or over, else the quietest of whoever has most. */
static struct window_key *make_room(
	struct rules_evaluator *evaluator, struct window_key *group, uint64_t owner, uint64_t within_ns)
{
	uint64_t now_ns = evaluator->extraction.event->time_ns;
	struct window_key *chosen = group;
	size_t most = 0;

	for (size_t i = 0; i < GROUP; i++) {
		size_t has = group[i].owner == owner; /* with the one that is to come */

		if (!group[i].hash || group[i].last_ns + within_ns < now_ns)
			return &group[i];
		for (size_t k = 0; k < GROUP; k++)
			has += group[k].owner == group[i].owner;
		if (has > most || (has == most && group[i].last_ns < chosen->last_ns))
			chosen = &group[i];
		most = has > most ? has : most;
	}
	evaluator->counters.windows_full++;
	return chosen;
}

/* The key of that hash; with `add` it is made. */
static struct window_key *find_key(
	struct rules_evaluator *evaluator, struct window_table *table, uint64_t hash, uint64_t within_ns, bool add)
{
	struct window_key *group = &table->keys[(hash >> 3) % (table->key_count / GROUP) * GROUP], *key;
	uint64_t owner;

	for (size_t i = 0; i < GROUP; i++)
		if (group[i].hash == hash)
			return &group[i];
	if (!add)
		return NULL;
	owner = owner_of(evaluator->extraction.event);
	key = make_room(evaluator, group, owner, within_ns);
	*key = (struct window_key){.hash = hash, .owner = owner};
	return key;
}

/* One match more of a key: is it the last of `count` within the time? Then the count begins anew. */
static bool count_match(
	struct rules_evaluator *evaluator, struct window_table *table, const struct window_count *window, uint64_t hash)
{
	struct window_key *key = find_key(evaluator, table, hash, window->within_ns, true);
	uint64_t *times = &table->times[(size_t)(key - table->keys) * table->count];
	uint64_t now_ns = evaluator->extraction.event->time_ns, oldest_ns;

	key->last_ns = now_ns;
	times[key->next] = now_ns;
	key->next = (uint32_t)((key->next + 1) % table->count);
	if (key->held < table->count)
		key->held++;
	/* The ring is full: what comes next is the oldest. */
	oldest_ns = times[key->next];
	if (key->held < table->count || now_ns > oldest_ns + window->within_ns)
		return false;
	key->held = 0;
	return true;
}

/* Was the key noted within the time? Then it is forgotten: one beginning, one end. */
static bool take_note(
	struct rules_evaluator *evaluator, struct window_table *table, const struct window_count *window, uint64_t hash)
{
	struct window_key *key = find_key(evaluator, table, hash, window->within_ns, false);
	uint64_t now_ns = evaluator->extraction.event->time_ns;

	if (!key || now_ns > key->last_ns + window->within_ns)
		return false;
	key->hash = 0;
	return true;
}

static bool sequence_passes(struct rules_evaluator *evaluator, size_t rule, const struct window_count *window)
{
	struct window_table *table = &evaluator->windows->sequences[rule];
	const struct event_process *process = evaluator->extraction.event->process;

	if (!window->by_process)
		return take_note(evaluator, table, window, hash_values(evaluator, window));
	for (int i = 0; process && i < ANCESTORS_MAX; i++, process = process->parent)
		if (take_note(evaluator, table, window, hash_process(process)))
			return true;
	return false;
}

bool windows_pass(struct rules_evaluator *evaluator, size_t rule)
{
	const struct window *window = &evaluator->rules->rules[rule].window;
	const struct event *event = evaluator->extraction.event;
	uint64_t hash;

	if (window->hours.present && !window_is_outside(&window->hours, event->time_ns))
		return false;
	if (window->sequence.count && !sequence_passes(evaluator, rule, &window->sequence))
		return false;
	if (!window->threshold.count)
		return true;
	if (window->threshold.by_process)
		hash = event->process ? hash_process(event->process) : 1;
	else
		hash = hash_values(evaluator, &window->threshold);
	return count_match(evaluator, &evaluator->windows->thresholds[rule], &window->threshold, hash);
}

void windows_note(struct rules_evaluator *evaluator, size_t rule)
{
	const struct window_count *window = &evaluator->rules->rules[rule].window.sequence;
	const struct event *event = evaluator->extraction.event;
	struct window_key *key;
	uint64_t hash;

	if (window->by_process && !event->process)
		return;
	hash = window->by_process ? hash_process(event->process) : hash_values(evaluator, window);
	key = find_key(evaluator, &evaluator->windows->sequences[rule], hash, window->within_ns, true);
	key->last_ns = event->time_ns;
}
