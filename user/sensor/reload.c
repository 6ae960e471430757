/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/reload.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/watch.h"

struct reload {
	const struct options_call *call;
	struct watcher *watcher;
	_Atomic uint64_t taken, refused, last_s;
	atomic_bool last_taken;
};

static uint64_t look(void *context)
{
	const struct reload *reload = context;

	return watch_look(reload->call->places.files, reload->call->places.file_count);
}

void reloaded_free(struct reloaded *reloaded)
{
	if (!reloaded)
		return;
	ruleset_discard(reloaded->rules);
	sensor_settings_free(&reloaded->settings);
	free(reloaded);
}

/* NULL after it was said what is wrong. */
static struct reloaded *read_again(const struct options_call *call)
{
	struct reloaded *reloaded = calloc(1, sizeof(*reloaded));

	if (!reloaded)
		return NULL;
	if (sensor_settings_again(&reloaded->settings, call) < 0) {
		free(reloaded);
		return NULL;
	}
	grpc_trust_close(&reloaded->settings.trust); /* judged; the one in use is watched where it is used */
	if (!reloaded->settings.no_rules) {
		const struct ruleset_options options =
			ruleset_options_of(&reloaded->settings.rule_paths, reloaded->settings.rule_matching, true);

		reloaded->rules = ruleset_load(&options);
		if (!reloaded->rules || !reloaded->rules->rules) {
			if (reloaded->rules && reloaded->rules->errors == 0)
				log_error("the rules: %s", reloaded->rules->why);
			reloaded_free(reloaded);
			return NULL;
		}
	}
	return reloaded;
}

static void *load(void *context)
{
	struct reload *reload = context;
	struct reloaded *reloaded = read_again(reload->call);

	if (!reloaded)
		log_error("the new configuration is refused: the one of before stays");
	reload->taken += reloaded != NULL;
	reload->refused += reloaded == NULL;
	reload->last_taken = reloaded != NULL;
	reload->last_s = (uint64_t)time(NULL);
	return reloaded;
}

static void discard(void *loaded)
{
	reloaded_free(loaded);
}

int reload_open(struct reload **out, const struct options_call *call)
{
	struct watcher_ops ops = {look, load, discard, NULL};
	struct reload *reload;
	int error;

	*out = NULL;
	if (call->places.file_count == 0)
		return 0;
	reload = calloc(1, sizeof(*reload));
	if (!reload)
		return -ENOMEM;
	reload->call = call;
	reload->last_taken = true;
	ops.context = reload;
	error = watcher_open(&reload->watcher, &ops, call->files_seen);
	if (error) {
		free(reload);
		return error;
	}
	*out = reload;
	return 0;
}

void reload_hurry(struct reload *reload)
{
	watcher_hurry(reload->watcher);
}

struct reloaded *reload_take(struct reload *reload)
{
	return watcher_take(reload->watcher);
}

void reload_counters(const struct reload *reload, struct config_reloads *counters)
{
	*counters = (struct config_reloads){.last_taken = true};
	if (!reload)
		return;
	counters->taken = reload->taken;
	counters->refused = reload->refused;
	counters->last_taken = reload->last_taken;
	counters->last_s = reload->last_s;
}

void reload_close(struct reload *reload)
{
	if (!reload)
		return;
	watcher_close(reload->watcher);
	free(reload);
}
