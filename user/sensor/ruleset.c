/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/ruleset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"
#include "sensor/pack.h"

enum { LOOK_MS = 1000 };

struct ruleset {
	const struct ruleset_options *options;
	uint64_t files; /* as they were when the rules at start were loaded */
	pthread_t thread;
	int call_fd; /* written to: load again, or end */
	atomic_bool ending, hurried;
	_Atomic(struct ruleset_loaded *) loaded;
};

/* --- what files are ---------------------------------------------------------------------------------------------------- */

/* What tells one state of a file from another. */
struct identity {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec written, changed;
};

static uint64_t mix_file(int directory, const char *name)
{
	struct identity identity;
	struct stat stat;

	memset(&identity, 0, sizeof(identity));
	if (fstatat(directory, name, &stat, 0) == 0) {
		identity.device = stat.st_dev;
		identity.inode = stat.st_ino;
		identity.size = stat.st_size;
		identity.written = stat.st_mtim;
		identity.changed = stat.st_ctim;
	}
	return hash_bytes(&identity, sizeof(identity)) ^ hash_bytes(name, strlen(name));
}

/* The same in whatever order the directory tells its files. */
static uint64_t mix_path(const char *path)
{
	const struct dirent *entry;
	uint64_t sum = 0;
	DIR *directory = opendir(path);

	if (!directory)
		return mix_file(AT_FDCWD, path);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			sum += mix_file(dirfd(directory), entry->d_name);
	closedir(directory);
	return sum;
}

static uint64_t fingerprint(const struct ruleset_options *options)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < options->path_count; i++)
		sum = sum * 31 + mix_path(options->paths[i]);
	return sum;
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

static void discard(struct ruleset_loaded *loaded)
{
	if (loaded)
		rules_free(loaded->rules);
	free(loaded);
}

static void *run(void *context)
{
	struct ruleset *ruleset = context;
	uint64_t in_use = ruleset->files, seen = in_use;

	while (!atomic_load(&ruleset->ending)) {
		struct pollfd call = {.fd = ruleset->call_fd, .events = POLLIN};
		uint64_t calls, now;

		if (poll(&call, 1, LOOK_MS) > 0)
			(void)!read(ruleset->call_fd, &calls, sizeof(calls));
		now = fingerprint(ruleset->options);
		if (atomic_exchange(&ruleset->hurried, false) || (now != in_use && now == seen)) {
			discard(atomic_exchange(&ruleset->loaded, ruleset_load(ruleset->options)));
			in_use = now;
		}
		seen = now;
	}
	return NULL;
}

int ruleset_watch(struct ruleset **out, const struct ruleset_options *options, uint64_t files)
{
	struct ruleset *ruleset = calloc(1, sizeof(*ruleset));
	sigset_t all, before;
	int error;

	if (!ruleset)
		return -ENOMEM;
	ruleset->options = options;
	ruleset->files = files;
	ruleset->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = ruleset->call_fd < 0 ? errno : 0;
	if (!error) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&ruleset->thread, NULL, run, ruleset);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (error) {
		if (ruleset->call_fd >= 0)
			close(ruleset->call_fd);
		free(ruleset);
		return -error;
	}
	*out = ruleset;
	return 0;
}

static void call(struct ruleset *ruleset)
{
	uint64_t one = 1;

	(void)!write(ruleset->call_fd, &one, sizeof(one));
}

void ruleset_hurry(struct ruleset *ruleset)
{
	atomic_store(&ruleset->hurried, true);
	call(ruleset);
}

struct ruleset_loaded *ruleset_take(struct ruleset *ruleset)
{
	return atomic_load(&ruleset->loaded) ? atomic_exchange(&ruleset->loaded, NULL) : NULL;
}

void ruleset_close(struct ruleset *ruleset)
{
	if (!ruleset)
		return;
	atomic_store(&ruleset->ending, true);
	call(ruleset);
	pthread_join(ruleset->thread, NULL);
	discard(atomic_load(&ruleset->loaded));
	close(ruleset->call_fd);
	free(ruleset);
}
