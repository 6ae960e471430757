/* SPDX-License-Identifier: Apache-2.0 */
/* What is pinned for the next life, and what former lives that were killed have pinned for this one. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"

_Static_assert((int)PIN_LEDGER_BYTES == (int)LEDGER_BYTES, "a ledger is one page");
_Static_assert(PIN_NAME_SIZE == 2 * EVENT_EPOCH_SIZE + 1, "named like the epoch");

/* --- this life --------------------------------------------------------------------------------------------------------- */

const char *pipeline_pin_path(const struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;

	/* Without a collector nobody knows what was told. */
	if (settings->replay || settings->collectors.count == 0)
		return NULL;
	if (!settings->bpffs)
		return "/sys/fs/bpf/taffrail";
	return strcmp(settings->bpffs, "none") == 0 ? NULL : settings->bpffs;
}

void pipeline_pin_name(const struct pipeline *pipeline, char name[PIN_NAME_SIZE])
{
	const uint8_t *epoch = host_view(pipeline->host)->epoch;

	for (size_t i = 0; i < EVENT_EPOCH_SIZE; i++)
		snprintf(name + 2 * i, 3, "%02x", epoch[i]);
}

int pipeline_write_page(void *context, void *page, uint32_t lanes, uint32_t repeats_at)
{
	struct pipeline *pipeline = context;
	const struct ledger_life life = {
		.host = *host_view(pipeline->host),
		.started_ns = clock_unix_ns(),
		.lanes = lanes,
		.repeats_at = repeats_at,
	};

	pipeline->life_pinned = life;
	return ledger_format(page, &life);
}

int pipeline_open_ledger(struct pipeline *pipeline)
{
	void *page = pipeline->loader ? loader_ledger(pipeline->loader) : NULL;

	return page ? ledger_open(&pipeline->ledger, page) : 0;
}

void pipeline_unpin(struct pipeline *pipeline, bool kept)
{
	if (!pipeline->loader)
		return;
	/* One that never began has nothing that anybody could miss. */
	if (!pipeline->began || (pipeline->drained && kept))
		loader_unpin(pipeline->loader, true);
	else if (pipeline->drained)
		loader_unpin(pipeline->loader, false);
}

/* --- former lives ------------------------------------------------------------------------------------------------------ */

/* True, once, where something is to be said of a life. */
static bool is_news(struct pipeline *pipeline, const char *name, const char *what)
{
	const size_t max = sizeof(pipeline->said) / sizeof(pipeline->said[0]);
	struct pipeline_said *said;

	for (size_t i = 0; i < pipeline->said_count && i < max; i++)
		if (strcmp(pipeline->said[i].name, name) == 0 && strcmp(pipeline->said[i].what, what) == 0)
			return false;
	said = &pipeline->said[pipeline->said_count++ % max];
	memcpy(said->name, name, sizeof(said->name));
	said->what = what;
	return true;
}

/* True: it was not passed over before. */
static bool pass_over(struct pipeline *pipeline, const char *name)
{
	char own[PIN_NAME_SIZE];

	pipeline_pin_name(pipeline, own);
	if (strcmp(name, own) == 0 || !is_news(pipeline, name, "held"))
		return false;
	log_info("%s/%s: another sensor holds it, or one that has not ended yet: it is looked at again",
		pipeline_pin_path(pipeline), name);
	return true;
}

static void keep(void *context, const struct loader_found *former)
{
	struct pipeline *pipeline = context;
	struct loader_found *more;

	if (!former->former) {
		if (pass_over(pipeline, former->name))
			pipeline->passed_over = true;
		return;
	}
	more = realloc(pipeline->found, (pipeline->found_count + 1) * sizeof(*pipeline->found));
	if (!more) {
		loader_former_close(former->former);
		return;
	}
	pipeline->found = more;
	pipeline->found[pipeline->found_count++] = *former;
}

void pipeline_find_formers(struct pipeline *pipeline)
{
	if (pipeline_pin_path(pipeline))
		(void)loader_formers(pipeline->loader, true, keep, pipeline); /* pinning says what is wrong with it */
}

static void done(void *context, void *pins)
{
	(void)context;
	loader_former_drop(pins);
	loader_former_close(pins);
}

static void left(void *context, void *pins)
{
	(void)context;
	loader_former_close(pins);
}

/* Its batches wait on a spool that is not this sensor's, and that is still there. */
static bool is_elsewhere(const struct pipeline *pipeline, const struct ledger_view *ledger)
{
	struct stat stats;
	char path[LEDGER_PATH_MAX + 1];

	if (ledger->spool_inode == 0)
		return false;
	if (pipeline->settings->spool && stat(pipeline->settings->spool, &stats) == 0 &&
		stats.st_ino == ledger->spool_inode && stats.st_dev == ledger->spool_device)
		return false;
	snprintf(path, sizeof(path), "%.*s", (int)ledger->spool_path.length, ledger->spool_path.data);
	return stat(path, &stats) == 0 && stats.st_ino == ledger->spool_inode && stats.st_dev == ledger->spool_device;
}

/* Kinds of records as those of events. */
static uint64_t actions(uint64_t kinds)
{
	uint64_t bits = 0;

	for (int kind = 1; kind < KERNEL_KINDS_END; kind++)
		if (kinds >> kind & 1)
			bits |= 1ull << record_action((enum kernel_kind)kind);
	return bits & ~1ull;
}

/* What the rings hold is noted in the ledger, and their memory goes. */
static void take_rest(const struct loader_found *found, const struct ledger_view *ledger)
{
	struct pins_rest rest;

	loader_former_rest(found->former, ledger->life.repeats_at, &rest);
	ledger_leave(found->ledger, rest.has_repeats ? rest.repeats : ledger->repeats, actions(rest.kinds),
		rest.newest_ns ? rest.newest_ns + clock_unix_offset_ns() : 0);
	loader_former_drop_rings(found->former);
}

/* Nobody can tell of it now: it stays, for whoever can, and each life of the sensor says so. */
static int leave(struct pipeline *pipeline, const char *name, const char *what)
{
	if (is_news(pipeline, name, what))
		log_error(
			"%s/%s: its %s cannot be read: what that life of a sensor lost is not declared. It stays until "
			"somebody removes it (rm -r)",
			pipeline_pin_path(pipeline), name, what);
	return -EAGAIN;
}

/* False: it is left. The directory's name says which epoch it was, and that a sensor like this one left it is likely. */
static bool read_ledger(struct pipeline *pipeline, const struct loader_found *found, struct ledger_view *ledger)
{
	struct ledger_life life = pipeline->life_pinned;

	if (found->ledger && ledger_read(ledger, found->ledger, PIN_LEDGER_BYTES))
		return true;
	for (size_t i = 0; i < EVENT_EPOCH_SIZE; i++) {
		const char digits[] = {found->name[2 * i], found->name[2 * i + 1], '\0'};

		life.host.epoch[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	if (!found->ledger || life.lanes == 0 || !ledger_mend(found->ledger, &life) ||
		!ledger_read(ledger, found->ledger, PIN_LEDGER_BYTES))
		return false;
	log_error("%s/%s: its ledger is damaged: what that life of the sensor lost is declared by its counters and by "
		  "what "
		  "a collector has: it may be more than was lost",
		pipeline_pin_path(pipeline), found->name);
	return true;
}

/* 0: the pins are the formers'. -EAGAIN: it is left; -ENOENT: it is nothing; else -errno. */
static int adopt(struct pipeline *pipeline, const struct loader_found *found)
{
	struct ledger_view ledger;
	uint64_t counted;
	int error;

	if (!found->ledger && !found->damaged) /* it was just being made */
		return -ENOENT;
	if (!read_ledger(pipeline, found, &ledger))
		return leave(pipeline, found->name, "ledger");
	if (!text_equal(ledger.life.host.id, host_view(pipeline->host)->id))
		return -EAGAIN;
	if (is_elsewhere(pipeline, &ledger)) {
		if (is_news(pipeline, found->name, "spool"))
			log_warning("%s/%s: its spool is %.*s: a sensor with that one declares what it lost",
				pipeline_pin_path(pipeline), found->name, (int)ledger.spool_path.length,
				ledger.spool_path.data);
		return -EAGAIN;
	}
	error = loader_former_counted(found->former, ledger.life.lanes, &counted);
	if (error)
		return leave(pipeline, found->name, "counters");
	take_rest(found, &ledger);
	(void)ledger_read(&ledger, found->ledger, PIN_LEDGER_BYTES);
	error = formers_add(pipeline->formers, &ledger, counted, found->former);
	if (error == -ENOBUFS)
		log_error("%s: more than %d lives of the sensor were killed: what the youngest lost is declared when "
			  "that of others is",
			pipeline_pin_path(pipeline), FORMER_MAX);
	return error == -ENOBUFS ? 0 : error;
}

/* All that were found. 0 or -ENOMEM: those that are left are so. */
static int adopt_found(struct pipeline *pipeline, int error)
{
	for (size_t i = 0; i < pipeline->found_count; i++) {
		int result = error ? error : adopt(pipeline, &pipeline->found[i]);

		if (result == -ENOENT)
			done(NULL, pipeline->found[i].former);
		else if (result)
			left(NULL, pipeline->found[i].former);
		if (result == -ENOMEM)
			error = result;
	}
	pipeline->found_count = 0;
	return error;
}

/* former_ops.look, on the stream's thread. */
static bool look(void *context)
{
	struct pipeline *pipeline = context;

	pipeline->passed_over = false;
	(void)loader_formers(pipeline->loader, false, keep, pipeline);
	(void)adopt_found(pipeline, 0);
	return pipeline->passed_over;
}

int pipeline_adopt_formers(struct pipeline *pipeline)
{
	const struct former_ops ops = {.done = done, .left = left, .context = pipeline, .look = look};

	if (!pipeline_pin_path(pipeline))
		return 0;
	return adopt_found(pipeline, formers_open(&pipeline->formers, &ops));
}

void pipeline_close_formers(struct pipeline *pipeline)
{
	for (size_t i = 0; i < pipeline->found_count; i++)
		loader_former_close(pipeline->found[i].former);
	free(pipeline->found);
	formers_close(pipeline->formers);
}

void pipeline_note_spool(struct pipeline *pipeline)
{
	const char *path = pipeline->settings->spool;
	char *absolute = path ? realpath(path, NULL) : NULL;
	struct stat stats;

	if (path && stat(path, &stats) == 0)
		ledger_spool(pipeline->ledger, stats.st_dev, stats.st_ino, absolute ? absolute : path);
	free(absolute);
}
