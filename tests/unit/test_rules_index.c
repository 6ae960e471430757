/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index only spares work. Each condition stands here twice, once so that words and gates lead to its rule, and once
 * negated, where nothing does: of the two exactly one must match.
 */
#include "test_rules.h"

enum { PAIRS = 90, EVENTS = 300, SETS = 12, WORD_MAX = 12, TEXT_MAX = 24 };

static uint64_t seed;

static unsigned int below(unsigned int limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)(seed >> 20) % limit;
}

/* Few letters, so that words meet texts often. */
static size_t put_word(char *out, unsigned int most, const char *letters)
{
	size_t length = 1 + below(most);

	for (size_t i = 0; i < length; i++)
		out[i] = letters[below((unsigned int)strlen(letters))];
	out[length] = '\0';
	return length;
}

static void put_check(struct buffer *yaml)
{
	static const char *const fields[] = {
		"fd.name", "fd.name", "fd.nameraw", "taffrail.fd.path", "fd.filename", "proc.name"};
	static const char *const relations[] = {
		"=", "startswith", "endswith", "contains", "glob", "in", "icontains", "!="};
	const char *relation = relations[below(8)];
	char words[128] = "", one[WORD_MAX + 1] = "", other[WORD_MAX + 1] = "";

	put_word(one, WORD_MAX, strcmp(relation, "glob") == 0 ? "ab/*?ab[]" : "ab/ab");
	put_word(other, WORD_MAX, "ab/");
	if (strcmp(relation, "in") == 0)
		snprintf(words, sizeof(words), "%s in ('%s', '%s', x)", fields[below(6)], one, other);
	else if (below(8) == 0)
		snprintf(words, sizeof(words), "fd.num in (%u, %u)", below(5), below(5));
	else
		snprintf(words, sizeof(words), "%s %s '%s'", fields[below(6)], relation, one);
	buffer_append(yaml, words, strlen(words));
}

static void put_condition(struct buffer *yaml, unsigned int depth)
{
	static const char *const gates[] = {"evt.is_open_write = true", "evt.is_open_read = true", "fd.num >= 2",
		"evt.res = SUCCESS", "not container.id = host"};
	unsigned int kind = depth == 0 ? 0 : below(6);
	const char *gate = gates[below(5)];

	if (kind <= 1) {
		put_check(yaml);
	} else if (kind == 2) {
		buffer_append(yaml, gate, strlen(gate));
	} else {
		buffer_append(yaml, kind == 5 ? "not (" : "(", kind == 5 ? 5 : 1);
		put_condition(yaml, depth - 1);
		buffer_append(yaml, kind == 3 ? " or " : " and ", kind == 3 ? 4 : 5);
		put_condition(yaml, depth - 1);
		buffer_append(yaml, ")", 1);
	}
}

static void put_rule(struct buffer *yaml, unsigned int number, const char *condition)
{
	char words[4096] = "";
	int length = snprintf(words, sizeof(words),
		"- rule: r%u\n  desc: d\n  priority: info\n  output: o\n  condition: >\n    evt.type = openat and %s "
		"(%s)\n",
		number, number % 2 ? "not" : "not evt.num = 77 and", condition);

	cr_assert(length > 0 && (size_t)length < sizeof(words));
	buffer_append(yaml, words, (size_t)length);
}

static struct rules *make_set(struct buffer *yaml)
{
	struct rules_options options = {.priority = RULES_DEBUG, .all = true};
	struct rules *rules;
	const char *said;

	for (unsigned int i = 0; i < PAIRS; i++) {
		struct buffer condition = {0};

		put_condition(&condition, 3);
		buffer_append(&condition, "", 1);
		put_rule(yaml, 2 * i, condition.data);
		put_rule(yaml, 2 * i + 1, condition.data);
		buffer_free(&condition);
	}
	buffer_append(yaml, "", 1);
	rules = test_load(yaml->data, &options, &said);
	cr_assert(rules, "%s", said);
	return rules;
}

static void count(void *context, const struct rules_rule *rule)
{
	unsigned int *counts = context;

	counts[rule->number]++;
}

/* Of the three texts two are often the same. */
static void make_event(struct event *event, char texts[4][TEXT_MAX + 2])
{
	struct event_file *file = &event->file;

	for (int i = 0; i < 4; i++) {
		texts[i][0] = '/';
		put_word(texts[i] + 1, TEXT_MAX, "ab/");
	}
	file->named = text_of(texts[0]);
	file->path = below(3) ? file->named : text_of(texts[1]);
	file->argument = below(3) ? text_of(texts[0] + 1) : text_of(texts[2]);
	file->flags = below(2) ? O_RDONLY : O_WRONLY | O_CREAT;
	event->result = event->descriptor = (int)below(5);
}

Test(rules_index, leads_to_every_rule_that_an_event_meets)
{
	unsigned int both = 0;

	for (unsigned int set = 0; set < SETS; set++) {
		struct rules_evaluator *evaluator;
		struct buffer yaml = {0};
		struct rules *rules;

		seed = 0x9e3779b97f4a7c15u + set;
		rules = make_set(&yaml);
		cr_assert_eq(rules_evaluator_open(&evaluator, rules, &test_names), 0);
		for (unsigned int i = 0; i < EVENTS; i++) {
			unsigned int counts[2 * PAIRS] = {0};
			struct event_process process = test_curl;
			struct event event = test_write;
			char texts[4][TEXT_MAX + 2];

			make_event(&event, texts);
			process.name = text_of(texts[3] + 1);
			event.process = &process;
			rules_evaluate(evaluator, &event, count, counts);
			for (unsigned int k = 0; k < PAIRS; k++) {
				cr_assert_eq(counts[2 * k] + counts[2 * k + 1], 1,
					"set %u, event %u, rule %u (%u, %u): %s %s %s", set, i, 2 * k, counts[2 * k],
					counts[2 * k + 1], texts[0], texts[1], texts[3]);
				both += counts[2 * k];
			}
		}
		rules_evaluator_close(evaluator);
		rules_free(rules);
		buffer_free(&yaml);
	}
	cr_assert_gt(both, SETS * EVENTS * PAIRS / 50, "the conditions are hardly ever true");
}

/* Sets of values that are no texts: which of them share a place differs from run to run. */
Test(rules_index, sets_hold_each_number_and_address)
{
	struct buffer yaml = {0};
	struct rules *rules;
	const char *said;
	char word[64] = "";

	buffer_append(&yaml, "", 0);
	for (int kind = 0; kind < 2; kind++) {
		const char *head = kind == 0 ? "- rule: ports\n  desc: d\n  priority: info\n  output: o\n"
					       "  condition: evt.type = connect and fd.sport in (1"
					     : "- rule: hosts\n  desc: d\n  priority: info\n  output: o\n"
					       "  condition: evt.type = connect and fd.sip in (10.0.0.1";

		buffer_append(&yaml, head, strlen(head));
		for (unsigned int i = 2; i <= 250; i++)
			buffer_append(&yaml, word,
				(size_t)snprintf(word, sizeof(word), kind == 0 ? ", %u" : ", 10.0.0.%u", i));
		buffer_append(&yaml, ")\n", 2);
	}
	buffer_append(&yaml, "", 1);
	rules = test_load(yaml.data, &(struct rules_options){.priority = RULES_DEBUG, .all = true}, &said);
	cr_assert(rules, "%s", said);
	for (unsigned int i = 0; i <= 255; i++) {
		struct event event = test_connect;
		struct test_matches matches;

		event.network.destination = (struct event_address)ADDRESS4(10, 0, 0, (uint8_t)i, (uint16_t)i);
		matches = test_match(rules, &event);
		cr_expect_eq(matches.count, i >= 1 && i <= 250 ? 2 : 0, "%u", i);
		buffer_free(&matches.output);
	}
	rules_free(rules);
	buffer_free(&yaml);
}
