/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/loader.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

static const char *const priorities[] = {
	"Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"};

const char *rules_priority_name(enum rules_priority priority)
{
	return (unsigned int)priority < sizeof(priorities) / sizeof(priorities[0]) ? priorities[priority] : NULL;
}

int rules_priority_find(struct text name)
{
	if (name.length == 4 && strncasecmp(name.data, "info", 4) == 0)
		return RULES_INFORMATIONAL;
	for (int i = 0; i <= RULES_DEBUG; i++)
		if (strlen(priorities[i]) == name.length && strncasecmp(priorities[i], name.data, name.length) == 0)
			return i;
	return -1;
}

int rules_loader_open(struct rules_loader **loader)
{
	struct rules_loader *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->sources.arena = &made->arena;
	made->definitions = (struct definitions){.arena = &made->arena, .sources = &made->sources};
	table_init(&made->definitions.names);
	*loader = made;
	return 0;
}

void rules_loader_close(struct rules_loader *loader)
{
	if (!loader)
		return;
	table_free(&loader->definitions.names);
	arena_free(&loader->arena);
	free(loader);
}

/* --- files ---------------------------------------------------------------------------------------------------------------- */

/* A document: a sequence of items. One that is wrong does not keep the others from being read. */
static int read_items(void *context, const struct document_node *root)
{
	struct rules_loader *loader = context;

	if (root->shape != DOCUMENT_SEQUENCE)
		return sources_error(&loader->sources, root->place, "rules are a list of items: - rule: …");
	for (size_t i = 0; i < root->count; i++)
		if (!document_is_nothing(root->items[i]) &&
			definitions_read(&loader->definitions, root->items[i]) == -ENOMEM)
			return -ENOMEM;
	return 0;
}

int rules_loader_add_text(struct rules_loader *loader, const char *name, struct text bytes)
{
	size_t before = loader->sources.error_count;
	struct source_file *file = sources_add(&loader->sources, name, bytes);

	if (file && document_read(&loader->sources, file, read_items, loader) == -ENOMEM)
		loader->sources.failed = true;
	return file && loader->sources.error_count == before ? 0 : -EINVAL;
}

/* A file's bytes, or how that failed: negative. */
static int read_file(const char *path, struct buffer *bytes)
{
	FILE *file = fopen(path, "re");
	char *room = file ? buffer_reserve(bytes, SOURCE_FILE_MAX + 1) : NULL;
	int error = 0;

	if (!file)
		return -errno;
	if (!room)
		error = -ENOMEM;
	else
		bytes->length = fread(room, 1, SOURCE_FILE_MAX + 1, file);
	if (!error && ferror(file))
		error = errno ? -errno : -EIO;
	fclose(file);
	return error;
}

static int add_file(struct rules_loader *loader, const char *path)
{
	struct buffer bytes = {0};
	int error = read_file(path, &bytes);

	if (error)
		error = sources_refuse(&loader->sources, path, "cannot be read: %s", strerror(-error));
	else
		error = rules_loader_add_text(loader, path, (struct text){bytes.data, bytes.length});
	buffer_free(&bytes);
	return error;
}

static int is_rules(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* A pipe or a device among the files would be waited for, or be read for ever. */
static int add_member(struct rules_loader *loader, const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return sources_refuse(&loader->sources, path, "is no file");
	return add_file(loader, path);
}

static int add_directory(struct rules_loader *loader, const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_rules, compare_names), result = 0;
	char name[4096];

	if (count < 0)
		return sources_refuse(&loader->sources, path, "cannot be read: %s", strerror(errno));
	for (int i = 0; i < count; i++) {
		if (snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name) >= (int)sizeof(name))
			result = sources_refuse(&loader->sources, path, "has a path that is too long");
		else if (add_member(loader, name) < 0)
			result = -EINVAL;
		free(entries[i]);
	}
	free(entries);
	return result;
}

int rules_loader_add(struct rules_loader *loader, const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return add_directory(loader, path);
	return add_file(loader, path);
}

/* --- the set -------------------------------------------------------------------------------------------------------------- */

int rules_loader_compile(struct rules_loader *loader, const struct rules_options *options, struct rules **rules)
{
	static const struct rules_options usual = {.priority = RULES_DEBUG};
	struct expression **expressions =
		arena_take(&loader->arena, loader->definitions.rule_count * sizeof(struct expression *));
	struct rules *made = calloc(1, sizeof(*made));
	int error = -ENOMEM;

	*rules = NULL;
	if (expressions && made) {
		loader_link(loader, expressions);
		error = loader_build(loader, made, expressions, options ? options : &usual);
		if (!error && loader->sources.error_count > 0)
			error = -EINVAL;
	}
	if (loader->sources.failed)
		error = -ENOMEM;
	if (error)
		rules_free(made);
	else
		*rules = made;
	return error;
}

void rules_loader_report(const struct rules_loader *loader, struct rules_report *report)
{
	*report = (struct rules_report){
		.errors = loader->sources.errors,
		.warnings = loader->sources.warnings,
		.error_count = loader->sources.error_count,
		.warning_count = loader->sources.warning_count,
		.rules = loader->definitions.rule_count,
		.macros = loader->definitions.macro_count,
		.lists = loader->definitions.list_count,
	};
}

struct digest_sum rules_loader_hash(const struct rules_loader *loader)
{
	struct digest digest;

	digest_open(&digest);
	for (size_t i = 0; i < loader->sources.file_count; i++)
		digest_add(&digest, loader->sources.files[i].bytes.data, loader->sources.files[i].bytes.length);
	return digest_close(&digest);
}
