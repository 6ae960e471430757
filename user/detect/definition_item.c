/* SPDX-License-Identifier: Apache-2.0 */
/* The items of a file: versions that it needs, lists, macros; and what all items have in common. */
#include <errno.h>

#include "detect/definitions.h"

/* What Falco's engine would be whose rules are understood here. */
enum { ENGINE_MAJOR = 0, ENGINE_MINOR = 63, ENGINE_PATCH = 0 };

static bool matches(const struct table_node *node, const void *key)
{
	const struct definition_name *name = table_entry(node, const struct definition_name, node), *wanted = key;

	return name->kind == wanted->kind && text_equal(name->name, wanted->name);
}

static uint64_t hash_of(char kind, struct text name)
{
	return hash_bytes(name.data, name.length) + (unsigned char)kind;
}

void *definitions_find(const struct definitions *definitions, char kind, struct text name)
{
	struct definition_name wanted = {.kind = kind, .name = name};
	struct table_node *found = table_find(&definitions->names, hash_of(kind, name), matches, &wanted);

	return found ? table_entry(found, struct definition_name, node)->definition : NULL;
}

int definitions_name(struct definitions *definitions, char kind, struct text name, void *definition)
{
	struct definition_name *added = arena_take(definitions->arena, sizeof(*added));

	if (!added)
		return -ENOMEM;
	added->kind = kind;
	added->name = name;
	added->definition = definition;
	return table_insert(&definitions->names, &added->node, hash_of(kind, name));
}

/* --- members ------------------------------------------------------------------------------------------------------------- */

int item_word(struct definitions *definitions, const struct document_node *item, const char *key, bool needed,
	const struct document_node **word)
{
	*word = document_member(item, key);
	if (!*word)
		return needed ? sources_error(definitions->sources, item->place, "the item has no `%s`", key) : 0;
	if ((*word)->shape != DOCUMENT_WORD)
		return sources_error(definitions->sources, (*word)->place, "`%s` takes a text", key);
	if (needed && (*word)->word.length == 0)
		return sources_error(definitions->sources, (*word)->place, "`%s` is empty", key);
	return 0;
}

int item_flag(struct definitions *definitions, const struct document_node *item, const char *key, bool *flag)
{
	static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"};
	static const char *const no[] = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"};
	const struct document_node *word;

	if (item_word(definitions, item, key, false, &word) < 0)
		return -EINVAL;
	if (!word)
		return 0;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (text_equal(word->word, text_of(yes[i])) || text_equal(word->word, text_of(no[i]))) {
			*flag = text_equal(word->word, text_of(yes[i]));
			return 0;
		}
	}
	return sources_error(definitions->sources, word->place, "`%s` takes true or false, not \"%.*s\"", key,
		SOURCE_WORDS(word->word));
}

/* The number of the name among those; -1: it is none of them. */
static int find_name(struct text name, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (text_equal(name, text_of(names[i])))
			return i;
	return -1;
}

static bool is_among(struct text name, const char *const *names)
{
	return find_name(name, names) >= 0;
}

void item_warn_unknown(struct definitions *definitions, const struct document_node *item, const char *const *known)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < item->count; i++) {
		int number = find_name(item->keys[i]->word, known);

		if (number < 0)
			sources_warning(definitions->sources, item->keys[i]->place,
				"the key `%.*s` is not known: it is ignored", SOURCE_WORDS(item->keys[i]->word));
		else if (seen >> number & 1)
			sources_warning(definitions->sources, item->keys[i]->place,
				"the item has a `%.*s` already: this one is ignored",
				SOURCE_WORDS(item->keys[i]->word));
		else
			seen |= 1ull << number;
	}
}

bool item_appends(const struct item_override *override, const char *key)
{
	const struct document_node *how = override->keys ? document_member(override->keys, key) : NULL;

	return override->append || (how && text_equal(how->word, TEXT_LITERAL("append")));
}

/* Every other key of the item must stand under `override`, and every key there in the item. */
static int check_override(struct definitions *definitions, const struct document_node *item, const char *name,
	const char *const *appendable, const char *const *replaceable, const struct document_node *keys)
{
	struct sources *sources = definitions->sources;
	int result = 0;

	if (keys->shape != DOCUMENT_MAPPING)
		return sources_error(sources, keys->place, "`override` takes keys, each with append or replace");
	for (size_t i = 0; i < keys->count; i++) {
		const struct document_node *key = keys->keys[i], *how = keys->items[i];
		bool append = how->shape == DOCUMENT_WORD && text_equal(how->word, TEXT_LITERAL("append"));
		bool replace = how->shape == DOCUMENT_WORD && text_equal(how->word, TEXT_LITERAL("replace"));

		if (!append && !replace)
			result = sources_error(sources, how->place, "a key is overridden by append or replace");
		else if (!is_among(key->word, append ? appendable : replaceable))
			result = sources_error(sources, key->place, "`%.*s` of a %s cannot be overridden by %.*s",
				SOURCE_WORDS(key->word), name, SOURCE_WORDS(how->word));
		else if (!document_member(item, key->word.data))
			result = sources_error(sources, key->place,
				"`%.*s` is overridden, but the item does not have it", SOURCE_WORDS(key->word));
	}
	for (size_t i = 0; i < item->count; i++) {
		struct text key = item->keys[i]->word;

		if (!text_equal(key, text_of(name)) && !text_equal(key, TEXT_LITERAL("override")) &&
			!text_equal(key, TEXT_LITERAL("append")) && is_among(key, replaceable) &&
			!document_member(keys, key.data))
			result = sources_error(sources, item->keys[i]->place,
				"`%.*s` must be listed under `override`, too", SOURCE_WORDS(key));
	}
	return result;
}

int item_override(struct definitions *definitions, const struct document_node *item, const char *name,
	const char *const *appendable, const char *const *replaceable, struct item_override *override)
{
	const struct document_node *append = document_member(item, "append");

	*override = (struct item_override){.keys = document_member(item, "override")};
	if (override->keys && (document_is_nothing(override->keys) ||
				      (override->keys->shape == DOCUMENT_MAPPING && override->keys->count == 0)))
		override->keys = NULL;
	if (item_flag(definitions, item, "append", &override->append) < 0)
		return -EINVAL;
	if (override->append && override->keys)
		return sources_error(definitions->sources, append->place, "`append` and `override` exclude each other");
	return override->keys ? check_override(definitions, item, name, appendable, replaceable, override->keys) : 0;
}

/* --- versions ------------------------------------------------------------------------------------------------------------ */

/* "57", which is 0.57.0, or "0.57.0", with what stands behind a - or + left out. */
static bool read_version(struct text text, uint32_t parts[3])
{
	const char *at = text.data;

	if (text.length == 0 || !document_take_number(&at, &parts[0]))
		return false;
	if (*at == '\0') {
		parts[1] = parts[0];
		parts[0] = parts[2] = 0;
		return true;
	}
	for (int i = 1; i < 3; i++)
		if (*at++ != '.' || !document_take_number(&at, &parts[i]))
			return false;
	return *at == '\0' || *at == '-' || *at == '+';
}

static int read_engine_version(struct definitions *definitions, const struct document_node *item)
{
	const struct document_node *word = document_member(item, "required_engine_version");
	uint32_t parts[3];

	if (word->shape != DOCUMENT_WORD || !read_version(word->word, parts))
		return sources_error(definitions->sources, word->place,
			"`required_engine_version` takes a number, or a version such as 0.57.0");
	if (parts[0] == ENGINE_MAJOR &&
		(parts[1] < ENGINE_MINOR || (parts[1] == ENGINE_MINOR && parts[2] <= ENGINE_PATCH)))
		return 0;
	return sources_error(definitions->sources, word->place,
		"these rules need an engine of version %u.%u.%u, and this is %d.%d.%d", parts[0], parts[1], parts[2],
		ENGINE_MAJOR, ENGINE_MINOR, ENGINE_PATCH);
}

/* Containers are known here without a plugin; of others the rules are of sources that are skipped. */
static int read_plugin_versions(struct definitions *definitions, const struct document_node *item)
{
	const struct document_node *list = document_member(item, "required_plugin_versions"), *name, *version;
	uint32_t parts[3];
	int result = 0;

	if (list->shape != DOCUMENT_SEQUENCE)
		return sources_error(definitions->sources, list->place,
			"`required_plugin_versions` takes a list of name and version");
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i]->shape != DOCUMENT_MAPPING) {
			result = sources_error(
				definitions->sources, list->items[i]->place, "a plugin has a name and a version");
			continue;
		}
		if (item_word(definitions, list->items[i], "name", true, &name) < 0 ||
			item_word(definitions, list->items[i], "version", true, &version) < 0) {
			result = -EINVAL;
			continue;
		}
		if (!read_version(version->word, parts))
			result = sources_error(definitions->sources, version->place, "\"%.*s\" is no version",
				SOURCE_WORDS(version->word));
		else if (!text_equal(name->word, TEXT_LITERAL("container")))
			sources_warning(definitions->sources, name->place,
				"there is no plugin %.*s here: rules of its source are skipped",
				SOURCE_WORDS(name->word));
	}
	return result;
}

/* --- lists and macros ------------------------------------------------------------------------------------------------------ */

static struct definition_list *add_list(struct definitions *definitions, const struct document_node *name)
{
	struct definition_list *list = arena_take(definitions->arena, sizeof(*list)), **slot;

	if (!list || definitions_name(definitions, 'L', name->word, list) < 0)
		return NULL;
	slot = arena_append(
		definitions->arena, &definitions->lists, &definitions->list_count, sizeof(struct definition_list *));
	if (!slot)
		return NULL;
	*slot = list;
	*list = (struct definition_list){.name = name->word, .place = name->place, .position = definitions->position};
	return list;
}

static int add_items(struct definitions *definitions, struct definition_list *list, const struct document_node *items)
{
	for (size_t i = 0; i < items->count; i++) {
		struct text *item;

		if (items->items[i]->shape != DOCUMENT_WORD)
			return sources_error(definitions->sources, items->items[i]->place, "a list's items are texts");
		item = arena_append(definitions->arena, &list->items, &list->item_count, sizeof(*item));
		if (!item)
			return -ENOMEM;
		*item = items->items[i]->word;
	}
	return 0;
}

static int read_list(struct definitions *definitions, const struct document_node *item)
{
	static const char *const known[] = {"list", "items", "append", "override", NULL};
	static const char *const overridable[] = {"items", NULL};
	const struct document_node *name, *items = document_member(item, "items");
	struct definition_list *list;
	struct item_override override;

	if (item_word(definitions, item, "list", true, &name) < 0)
		return -EINVAL;
	item_warn_unknown(definitions, item, known);
	list = definitions_find(definitions, 'L', name->word);
	if (item_override(definitions, item, "list", overridable, overridable, &override) < 0)
		return -EINVAL;
	if (!items || items->shape != DOCUMENT_SEQUENCE) {
		if (!list && !add_list(definitions, name))
			return -ENOMEM;
		return sources_error(
			definitions->sources, items ? items->place : item->place, "a list has `items`, a sequence");
	}
	if (!list && item_appends(&override, "items"))
		return sources_error(definitions->sources, name->place, "there is no list %.*s before this to add to",
			SOURCE_WORDS(name->word));
	if (!list)
		list = add_list(definitions, name);
	if (!list)
		return -ENOMEM;
	list->visibility = definitions->position;
	if (!item_appends(&override, "items"))
		list->items = NULL, list->item_count = 0;
	return add_items(definitions, list, items);
}

static struct definition_macro *add_macro(struct definitions *definitions, const struct document_node *name)
{
	struct definition_macro *macro = arena_take(definitions->arena, sizeof(*macro)), **slot;

	if (!macro || definitions_name(definitions, 'M', name->word, macro) < 0)
		return NULL;
	slot = arena_append(
		definitions->arena, &definitions->macros, &definitions->macro_count, sizeof(struct definition_macro *));
	if (!slot)
		return NULL;
	*slot = macro;
	macro->name = name->word;
	macro->place = name->place;
	macro->position = definitions->position;
	macro->condition.arena = definitions->arena;
	return macro;
}

static int read_macro(struct definitions *definitions, const struct document_node *item)
{
	static const char *const known[] = {"macro", "condition", "append", "override", NULL};
	static const char *const overridable[] = {"condition", NULL};
	const struct document_node *name, *condition;
	struct definition_macro *macro;
	struct item_override override;
	bool there;

	if (item_word(definitions, item, "macro", true, &name) < 0)
		return -EINVAL;
	item_warn_unknown(definitions, item, known);
	macro = definitions_find(definitions, 'M', name->word);
	there = macro != NULL;
	if (item_override(definitions, item, "macro", overridable, overridable, &override) < 0 ||
		item_word(definitions, item, "condition", true, &condition) < 0) {
		/* What uses it need not be told that it is not there. */
		if (!there)
			macro = add_macro(definitions, name);
		if (macro)
			macro->broken = true;
		return -EINVAL;
	}
	if (!there && item_appends(&override, "condition"))
		return sources_error(definitions->sources, name->place, "there is no macro %.*s before this to add to",
			SOURCE_WORDS(name->word));
	if (!there)
		macro = add_macro(definitions, name);
	if (!macro)
		return -ENOMEM;
	macro->visibility = definitions->position;
	if (item_appends(&override, "condition"))
		phrase_add(&macro->condition, TEXT_LITERAL(" "), condition->place);
	else
		macro->condition = (struct phrase){.arena = definitions->arena};
	phrase_add_node(&macro->condition, definitions->sources, condition);
	return 0;
}

int definitions_read(struct definitions *definitions, const struct document_node *item)
{
	static const struct {
		const char *key;
		int (*read)(struct definitions *definitions, const struct document_node *item);
	} kinds[] = {
		{"required_engine_version", read_engine_version},
		{"required_plugin_versions", read_plugin_versions},
		{"list", read_list},
		{"macro", read_macro},
		{"rule", definitions_read_rule},
	};

	if (item->shape != DOCUMENT_MAPPING)
		return sources_error(
			definitions->sources, item->place, "an item is made of keys: rule, macro, list, …");
	definitions->position++;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (document_member(item, kinds[i].key))
			return kinds[i].read(definitions, item);
	sources_warning(definitions->sources, item->place, "an item `%.*s` is not known: it is ignored",
		SOURCE_WORDS(item->count ? item->keys[0]->word : TEXT_LITERAL("{}")));
	return 0;
}
