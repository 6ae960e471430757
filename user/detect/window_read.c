/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of rules over several events, as files have them. */
#include <errno.h>

#include "detect/window.h"

static const uint64_t within_max_ns = 7ull * 86400 * 1000000000u;

/* A member that is a word; NULL after a problem was noted. */
static const struct document_node *word_of(struct sources *sources, const struct document_node *node, const char *key)
{
	const struct document_node *word = document_member(node, key);

	if (word && word->shape == DOCUMENT_WORD && word->word.length > 0)
		return word;
	sources_error(sources, word ? word->place : node->place, "`%s` is expected here, a word", key);
	return NULL;
}

static int check_keys(struct sources *sources, const struct document_node *node, const char *const *known)
{
	if (node->shape != DOCUMENT_MAPPING)
		return sources_error(sources, node->place, "keys and values are expected here");
	for (size_t i = 0; i < node->count; i++) {
		const char *const *key = known;

		while (*key && !text_equal(node->keys[i]->word, text_of(*key)))
			key++;
		if (!*key)
			return sources_error(sources, node->keys[i]->place, "there is no key `%.*s` here",
				SOURCE_WORDS(node->keys[i]->word));
	}
	return 0;
}

/* 90s, 10m, 2h, 1d. */
static int read_within(struct sources *sources, const struct document_node *node, uint64_t *within_ns)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	const struct document_node *word = word_of(sources, node, "within");
	uint64_t number = 0;
	size_t i = 0;

	if (!word)
		return -EINVAL;
	for (; i < word->word.length && i < 9 && word->word.data[i] >= '0' && word->word.data[i] <= '9'; i++)
		number = 10 * number + (uint64_t)(word->word.data[i] - '0');
	for (size_t k = 0; k < 4 && i > 0 && i + 1 == word->word.length; k++)
		if (units[k].unit == word->word.data[i]) {
			*within_ns = number * units[k].seconds * 1000000000u;
			if (*within_ns > 0 && *within_ns <= within_max_ns)
				return 0;
		}
	return sources_error(sources, word->place, "`within` takes a time up to 7d: 90s, 10m, 2h");
}

static int read_by(struct sources *sources, const struct document_node *node, struct window_count *count)
{
	const struct document_node *by = document_member(node, "by");

	if (!by)
		return 0;
	if (by->shape == DOCUMENT_WORD) {
		count->by_process = text_equal(by->word, TEXT_LITERAL("process"));
		if (!count->by_process)
			count->by_nodes[count->by_count++] = by;
		return 0;
	}
	if (by->shape != DOCUMENT_SEQUENCE || by->count > WINDOW_BY_MAX)
		return sources_error(sources, by->place, "`by` takes at most %d fields", WINDOW_BY_MAX);
	for (size_t i = 0; i < by->count; i++) {
		if (by->items[i]->shape != DOCUMENT_WORD)
			return sources_error(sources, by->items[i]->place, "`by` takes fields");
		count->by_nodes[count->by_count++] = by->items[i];
	}
	return 0;
}

static int read_threshold(struct sources *sources, const struct document_node *node, struct window_count *threshold)
{
	static const char *const known[] = {"count", "within", "by", NULL};
	const struct document_node *word;
	uint64_t count = 0;

	if (check_keys(sources, node, known) < 0 || !(word = word_of(sources, node, "count")) ||
		read_within(sources, node, &threshold->within_ns) < 0 || read_by(sources, node, threshold) < 0)
		return -EINVAL;
	for (size_t i = 0; i < word->word.length; i++) {
		unsigned int digit = (unsigned int)(word->word.data[i] - '0');

		count = digit <= 9 ? 10 * count + digit : WINDOW_COUNT_MAX + 1;
		if (count > WINDOW_COUNT_MAX)
			break;
	}
	if (count < 1 || count > WINDOW_COUNT_MAX)
		return sources_error(sources, word->place, "`count` takes a number from 1 to %d", WINDOW_COUNT_MAX);
	threshold->count = count;
	return 0;
}

static int read_sequence(struct sources *sources, const struct document_node *node, struct window *window)
{
	static const char *const known[] = {"after", "within", "by", NULL};
	const struct document_node *after;

	if (check_keys(sources, node, known) < 0 || !(after = word_of(sources, node, "after")) ||
		read_within(sources, node, &window->sequence.within_ns) < 0 ||
		read_by(sources, node, &window->sequence) < 0)
		return -EINVAL;
	window->after = (struct phrase){.arena = sources->arena};
	phrase_add_node(&window->after, sources, after);
	window->sequence.count = 1;
	if (window->sequence.by_count == 0)
		window->sequence.by_process = true;
	return 0;
}

static int read_days(struct sources *sources, const struct document_node *node, uint32_t *days)
{
	static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
	const struct document_node *list = document_member(node, "days");

	*days = 0x3e; /* Monday to Friday */
	if (!list)
		return 0;
	*days = 0;
	if (list->shape != DOCUMENT_SEQUENCE)
		return sources_error(sources, list->place, "`days` takes a list: [mon, tue]");
	for (size_t i = 0; i < list->count; i++) {
		unsigned int day = 0;

		while (day < 7 && !text_equal(list->items[i]->word, text_of(names[day])))
			day++;
		if (day == 7)
			return sources_error(
				sources, list->items[i]->place, "a day is sun, mon, tue, wed, thu, fri or sat");
		*days |= 1u << day;
	}
	return 0;
}

/* HH:MM, in minutes. */
static bool take_time(const char **words, uint32_t *minutes)
{
	uint32_t hour, minute;

	if (!document_take_number(words, &hour) || *(*words)++ != ':' || !document_take_number(words, &minute))
		return false;
	*minutes = 60 * hour + minute;
	return hour <= 24 && minute < 60 && *minutes <= 24 * 60;
}

static int read_hours(struct sources *sources, const struct document_node *node, struct window_hours *hours)
{
	static const char *const known[] = {"outside", "days", "zone", NULL};
	const struct document_node *word, *zone = document_member(node, "zone");
	struct text name = zone ? zone->word : TEXT_LITERAL("UTC");
	const char *at;
	int error;

	if (check_keys(sources, node, known) < 0 || !(word = word_of(sources, node, "outside")) ||
		read_days(sources, node, &hours->days) < 0)
		return -EINVAL;
	at = word->word.data;
	if (!take_time(&at, &hours->from) || *at++ != '-' || !take_time(&at, &hours->to) || *at)
		return sources_error(sources, word->place, "`outside` takes two times: \"08:00-18:00\"");
	error = window_zone_read(sources->arena, name, &hours->zone);
	if (error == -ENOENT)
		return sources_error(
			sources, (zone ? zone : node)->place, "there is no time zone %.*s here", SOURCE_WORDS(name));
	hours->present = !error;
	return error;
}

int window_read(struct sources *sources, const struct document_node *item, struct window *window)
{
	const struct document_node *threshold = document_member(item, "threshold");
	const struct document_node *sequence = document_member(item, "sequence"),
				   *hours = document_member(item, "hours");
	int result = 0;

	if (threshold && read_threshold(sources, threshold, &window->threshold) < 0)
		result = -EINVAL;
	if (sequence && read_sequence(sources, sequence, window) < 0)
		result = -EINVAL;
	if (hours && read_hours(sources, hours, &window->hours) < 0)
		result = -EINVAL;
	return result;
}
