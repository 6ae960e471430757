/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/watch.h"
#include "sensor/pack.h"

static uint64_t fingerprint(const struct ruleset_options *options)
{
	return watch_look((const char *const *)options->paths, options->path_count);
}

void ruleset_discard(struct ruleset_loaded *loaded)
{
	if (loaded)
		rules_free(loaded->rules);
	free(loaded);
}

/* --- loading ----------------------------------------------------------------------------------------------------------- */

static void add_pack(struct rules_loader *loader)
{
	for (const struct pack_file *file = pack_files; file->name; file++)
		(void)rules_loader_add_text(loader, file->name,
			(struct text){(const char *)file->begin, (size_t)(file->end - file->begin)});
}

struct ruleset_options ruleset_options_of(const struct config_list *paths, const char *matching, bool bare)
{
	return (struct ruleset_options){paths->items, paths->count, matching && strcmp(matching, "all") == 0, bare};
}

struct digest_sum ruleset_pack_hash(void)
{
	struct digest digest;

	digest_open(&digest);
	for (const struct pack_file *file = pack_files; file->name; file++)
		digest_add(&digest, file->begin, (size_t)(file->end - file->begin));
	return digest_close(&digest);
}

static void take_report(
	const struct ruleset_options *options, struct ruleset_loaded *loaded, const struct rules_loader *loader)
{
	struct rules_report report;

	rules_loader_report(loader, &report);
	loaded->errors = report.error_count;
	loaded->warnings = report.warning_count;
	for (size_t i = 0; i < report.warning_count; i++)
		log_debug("%s:%u:%u: %s", report.warnings[i].file, report.warnings[i].line, report.warnings[i].column,
			report.warnings[i].message);
	for (size_t i = 0; i < report.error_count; i++)
		log_error_at(options->bare, report.errors[i].file, report.errors[i].line, report.errors[i].column, "%s",
			report.errors[i].message);
	if (report.error_count > 0)
		snprintf(loaded->why, sizeof(loaded->why), "%s:%u:%u: %s", report.errors->file, report.errors->line,
			report.errors->column, report.errors->message);
}

struct ruleset_loaded *ruleset_load(const struct ruleset_options *options)
{
	const struct rules_options how = {.priority = RULES_DEBUG, .all = options->all};
	struct ruleset_loaded *loaded = calloc(1, sizeof(*loaded));
	struct rules_loader *loader = NULL;
	bool empty = false;

	if (!loaded || rules_loader_open(&loader) < 0) {
		free(loaded);
		return NULL;
	}
	loaded->files = fingerprint(options);
	for (size_t i = 0; i < options->path_count; i++)
		(void)rules_loader_add(loader, options->paths[i]);
	if (options->path_count == 0)
		add_pack(loader);
	if (rules_loader_compile(loader, &how, &loaded->rules) < 0)
		loaded->rules = NULL;
	if (loaded->rules && rules_count(loaded->rules) == 0) {
		/* An empty folder is a mistake, or a volume that is not there yet: who wants none says so. */
		rules_free(loaded->rules);
		loaded->rules = NULL;
		empty = true;
	}
	take_report(options, loaded, loader);
	loaded->hash = rules_loader_hash(loader);
	if (empty)
		snprintf(
			loaded->why, sizeof(loaded->why), "there is not one rule in them (--no-rules: none is wanted)");
	else if (!loaded->rules && loaded->errors == 0)
		snprintf(loaded->why, sizeof(loaded->why), "there is no memory for them");
	rules_loader_close(loader);
	return loaded;
}

/* --- the thread -------------------------------------------------------------------------------------------------------- */

struct ruleset {
	const struct ruleset_options *options;
	struct watcher *watcher;
};

static uint64_t look(void *context)
{
	const struct ruleset *ruleset = context;

	return fingerprint(ruleset->options);
}

static void *load(void *context)
{
	const struct ruleset *ruleset = context;

	return ruleset_load(ruleset->options);
}

static void discard(void *loaded)
{
	ruleset_discard(loaded);
}

int ruleset_watch(struct ruleset **out, const struct ruleset_options *options, uint64_t files)
{
	struct ruleset *ruleset = calloc(1, sizeof(*ruleset));
	const struct watcher_ops ops = {look, load, discard, ruleset};
	int error;

	if (!ruleset)
		return -ENOMEM;
	ruleset->options = options;
	error = watcher_open(&ruleset->watcher, &ops, files);
	if (error) {
		free(ruleset);
		return error;
	}
	*out = ruleset;
	return 0;
}

void ruleset_hurry(struct ruleset *ruleset)
{
	watcher_hurry(ruleset->watcher);
}

struct ruleset_loaded *ruleset_take(struct ruleset *ruleset)
{
	return watcher_take(ruleset->watcher);
}

void ruleset_close(struct ruleset *ruleset)
{
	if (!ruleset)
		return;
	watcher_close(ruleset->watcher);
	free(ruleset);
}
