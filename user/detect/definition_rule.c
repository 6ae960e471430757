/* SPDX-License-Identifier: Apache-2.0 */
/* Rules as files define them: new, in place of one of that name, or added to it. */
#include <errno.h>

#include "detect/definitions.h"

enum { TAGS_MAX = 1000 };

static const char *const known_keys[] = {"rule", "condition", "output", "desc", "priority", "enabled", "tags", "source",
	"exceptions", "warn_evttypes", "skip-if-unknown-filter", "capture", "capture_duration", "append", "override",
	"threshold", "sequence", "hours", NULL};
static const char *const appendable[] = {"condition", "output", "desc", "tags", "exceptions", NULL};
static const char *const replaceable[] = {"condition", "output", "desc", "tags", "exceptions", "priority", "enabled",
	"warn_evttypes", "skip-if-unknown-filter", "capture", "capture_duration", NULL};

static struct definition_rule *add_rule(struct definitions *definitions, struct text name)
{
	struct definition_rule *rule = arena_take(definitions->arena, sizeof(*rule)), **slot;

	if (!rule || definitions_name(definitions, 'R', name, rule) < 0)
		return NULL;
	slot = arena_append(
		definitions->arena, &definitions->rules, &definitions->rule_count, sizeof(struct definition_rule *));
	if (slot)
		*slot = rule;
	return slot ? rule : NULL;
}

/* Takes a text member over into a phrase: in place of what is there, or behind it. */
static int take_text(struct definitions *definitions, const struct document_node *item, const char *key,
	const struct item_override *override, struct phrase *phrase)
{
	const struct document_node *word;

	if (item_word(definitions, item, key, false, &word) < 0)
		return -EINVAL;
	if (!word)
		return 0;
	if (item_appends(override, key))
		phrase_add(phrase, TEXT_LITERAL(" "), word->place);
	else
		*phrase = (struct phrase){.arena = definitions->arena};
	phrase_add_node(phrase, definitions->sources, word);
	if (!phrase->bytes) /* an empty text is one, too */
		phrase_add(phrase, TEXT_LITERAL(""), word->place);
	return 0;
}

static int take_tags(
	struct definitions *definitions, const struct document_node *item, bool append, struct definition_rule *rule)
{
	const struct document_node *tags = document_member(item, "tags");
	struct text *tag;

	if (!tags || document_is_nothing(tags))
		return 0;
	if (tags->shape != DOCUMENT_SEQUENCE)
		return sources_error(definitions->sources, tags->place, "`tags` takes a list of texts");
	if (!append)
		rule->tags = NULL, rule->tag_count = 0;
	if (tags->count + rule->tag_count > TAGS_MAX)
		return sources_error(definitions->sources, tags->place, "a rule has at most %d `tags`", (int)TAGS_MAX);
	for (size_t i = 0; i < tags->count; i++) {
		bool there = false;

		if (tags->items[i]->shape != DOCUMENT_WORD)
			return sources_error(definitions->sources, tags->items[i]->place, "a tag is a text");
		for (size_t k = 0; k < rule->tag_count; k++)
			there = there || text_equal(rule->tags[k], tags->items[i]->word);
		if (there)
			continue;
		tag = arena_append(definitions->arena, &rule->tags, &rule->tag_count, sizeof(*tag));
		if (!tag)
			return -ENOMEM;
		*tag = tags->items[i]->word;
	}
	return 0;
}

static int take_priority(
	struct definitions *definitions, const struct document_node *item, struct definition_rule *rule)
{
	const struct document_node *word;
	int priority;

	if (item_word(definitions, item, "priority", false, &word) < 0)
		return -EINVAL;
	if (!word)
		return 0;
	priority = rules_priority_find(word->word);
	if (priority < 0)
		return sources_error(definitions->sources, word->place,
			"\"%.*s\" is no priority: Emergency, Alert, Critical, "
			"Error, Warning, Notice, Informational or Debug",
			SOURCE_WORDS(word->word));
	rule->priority = (enum rules_priority)priority;
	return 0;
}

/* How long Falco would record after a match, in milliseconds: nothing is recorded here, but it must be a number. */
static int take_duration(struct definitions *definitions, const struct document_node *item)
{
	const struct document_node *word;
	uint32_t number;
	const char *at;

	if (item_word(definitions, item, "capture_duration", false, &word) < 0)
		return -EINVAL;
	if (!word)
		return 0;
	at = word->word.data;
	if (document_take_number(&at, &number) && *at == '\0')
		return 0;
	return sources_error(definitions->sources, word->place, "`capture_duration` takes a number of milliseconds");
}

static int take_flags(struct definitions *definitions, const struct document_node *item, struct definition_rule *rule)
{
	bool warn = !rule->quiet_types, capture;

	if (item_flag(definitions, item, "enabled", &rule->enabled) < 0 ||
		item_flag(definitions, item, "warn_evttypes", &warn) < 0 ||
		item_flag(definitions, item, "skip-if-unknown-filter", &rule->skip_unknown) < 0 ||
		item_flag(definitions, item, "capture", &capture) < 0)
		return -EINVAL;
	rule->quiet_types = !warn;
	return take_duration(definitions, item);
}

/* All that the item says, onto the rule. Problems of several members are all noted. */
static int take_members(struct definitions *definitions, const struct document_node *item,
	const struct item_override *override, struct definition_rule *rule)
{
	const struct document_node *exceptions = document_member(item, "exceptions");
	int result = 0;

	if (take_text(definitions, item, "condition", override, &rule->condition) < 0)
		result = -EINVAL;
	if (exceptions &&
		definitions_read_exceptions(definitions, rule, exceptions, item_appends(override, "exceptions")) < 0)
		result = -EINVAL;
	if (override->append) /* of old: nothing else is looked at */
		return result;
	if (take_text(definitions, item, "output", override, &rule->output) < 0 ||
		take_text(definitions, item, "desc", override, &rule->description) < 0)
		result = -EINVAL;
	if (take_tags(definitions, item, item_appends(override, "tags"), rule) < 0)
		result = -EINVAL;
	if (take_priority(definitions, item, rule) < 0 || take_flags(definitions, item, rule) < 0)
		result = -EINVAL;
	return result;
}

/* An item that adds to a rule, or switches it. */
static int change_rule(struct definitions *definitions, const struct document_node *item,
	const struct document_node *name, const struct item_override *override)
{
	struct definition_rule *rule = definitions_find(definitions, 'R', name->word);
	int error;

	if (!rule && definitions_find(definitions, 'S', name->word)) {
		sources_warning(definitions->sources, name->place,
			"the rule %.*s was skipped for its source: so is this", SOURCE_WORDS(name->word));
		return 0;
	}
	if (!rule)
		return sources_error(definitions->sources, name->place, "there is no rule %.*s before this to change",
			SOURCE_WORDS(name->word));
	if (override->append && !document_member(item, "condition") && !document_member(item, "exceptions"))
		return sources_error(
			definitions->sources, item->place, "an appended rule has a `condition` or `exceptions`");
	error = take_members(definitions, item, override, rule);
	if (error)
		rule->broken = true;
	return error;
}

static int define_rule(struct definitions *definitions, const struct document_node *item,
	const struct document_node *name, const struct item_override *override)
{
	static const char *const needed[] = {"condition", "output", "desc", "priority", NULL};
	struct definition_rule *rule = definitions_find(definitions, 'R', name->word), made = {.enabled = true};
	const struct document_node *word;
	int result = 0;

	made.name = name->word;
	made.place = name->place;
	made.condition.arena = made.output.arena = made.description.arena = definitions->arena;
	made.file = sources_find(definitions->sources, name->place)->name;
	for (const char *const *key = needed; *key; key++)
		if (item_word(definitions, item, *key, strcmp(*key, "condition") == 0 || !document_member(item, *key),
			    &word) < 0)
			result = -EINVAL;
	if (take_members(definitions, item, override, &made) < 0)
		result = -EINVAL;
	if (window_read(definitions->sources, item, &made.window) < 0)
		result = -EINVAL;
	made.broken = result < 0;
	if (!rule)
		rule = add_rule(definitions, name->word);
	if (!rule)
		return -ENOMEM;
	*rule = made; /* in the place of the one before */
	return result;
}

/* Remembers a rule that is not taken, for what changes it later. */
static int skip_rule(struct definitions *definitions, struct text name)
{
	return definitions_find(definitions, 'S', name) ? 0 : definitions_name(definitions, 'S', name, definitions);
}

int definitions_read_rule(struct definitions *definitions, const struct document_node *item)
{
	static const char *const defining[] = {"condition", "output", "desc", "priority", "exceptions", NULL};
	const struct document_node *name, *source;
	struct item_override override;
	bool defines = false;

	if (item_word(definitions, item, "rule", true, &name) < 0 ||
		item_word(definitions, item, "source", false, &source) < 0)
		return -EINVAL;
	item_warn_unknown(definitions, item, known_keys);
	if (source && !document_is_nothing(source) && !text_equal(source->word, TEXT_LITERAL("syscall"))) {
		sources_warning(definitions->sources, source->place,
			"there is no source %.*s here: the rule is skipped", SOURCE_WORDS(source->word));
		return skip_rule(definitions, name->word);
	}
	if (item_override(definitions, item, "rule", appendable, replaceable, &override) < 0)
		return -EINVAL;
	for (const char *const *key = defining; *key; key++)
		defines = defines || document_member(item, *key);
	if (override.append || override.keys || (!defines && document_member(item, "enabled")))
		return change_rule(definitions, item, name, &override);
	return define_rule(definitions, item, name, &override);
}
