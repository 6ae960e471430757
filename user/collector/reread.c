/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/reread.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/watch.h"

struct reread {
	const struct settings *start, *last; /* as they were read last; `start` or its own */
	void (*taken)(void *context, const struct settings *now);
	void *context;
	struct event *look, *hangup;
	struct watch watch;
	struct config_reloads counters;
};

static void forget(struct reread *reread, const struct settings *settings)
{
	if (settings == reread->start)
		return;
	collector_settings_free((struct settings *)(uintptr_t)settings);
	free((void *)(uintptr_t)settings);
}

static bool read_again(struct reread *reread)
{
	struct settings *now = malloc(sizeof(*now));
	const struct settings *before = reread->last;
	char hash[DIGEST_TEXT_SIZE];

	if (!now || collector_settings_again(now, &reread->start->call) < 0) {
		free(now);
		return false;
	}
	grpc_trust_close(&now->trust); /* judged; the one in use is watched where it is used */
	collector_settings_tell(reread->start, before, now);
	options_log_use(&now->log);
	reread->last = now;
	reread->taken(reread->context, now);
	forget(reread, before);
	log_info("the configuration was read again (%s)", digest_format(&now->call.places.hash, hash));
	return true;
}

static void read_and_count(struct reread *reread)
{
	bool taken = read_again(reread);

	if (!taken)
		log_error("the new configuration is refused: the one of before stays");
	reread->counters.taken += taken;
	reread->counters.refused += !taken;
	reread->counters.last_taken = taken;
	reread->counters.last_s = (uint64_t)time(NULL);
}

static uint64_t look(const struct reread *reread)
{
	return watch_look(reread->start->call.places.files, reread->start->call.places.file_count);
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
	struct reread *reread = context;

	(void)fd;
	(void)what;
	if (watch_settled(&reread->watch, look(reread)))
		read_and_count(reread);
}

static void on_hangup(evutil_socket_t number, short what, void *context)
{
	struct reread *reread = context;

	(void)number;
	(void)what;
	watch_begin(&reread->watch, look(reread));
	read_and_count(reread);
}

int reread_open(struct reread **out, struct event_base *base, const struct settings *settings,
	void (*taken)(void *context, const struct settings *now), void *context)
{
	const struct timeval second = {1, 0};
	struct reread *reread = calloc(1, sizeof(*reread));

	*out = reread;
	if (!reread)
		return -ENOMEM;
	reread->start = reread->last = settings;
	reread->taken = taken;
	reread->context = context;
	reread->counters.last_taken = true;
	watch_begin(&reread->watch, settings->call.files_seen);
	reread->look = event_new(base, -1, EV_PERSIST, on_look, reread);
	reread->hangup = evsignal_new(base, SIGHUP, on_hangup, reread);
	if (!reread->look || !reread->hangup || event_add(reread->hangup, NULL) < 0 ||
		event_add(reread->look, &second) < 0)
		return -ENOMEM;
	return 0;
}

void reread_counters(const struct reread *reread, struct config_reloads *counters)
{
	*counters = reread->counters;
}

void reread_pause(struct reread *reread)
{
	if (reread->look)
		event_free(reread->look);
	if (reread->hangup)
		event_free(reread->hangup);
	reread->look = reread->hangup = NULL;
}

void reread_close(struct reread *reread)
{
	if (!reread)
		return;
	reread_pause(reread);
	forget(reread, reread->last);
	free(reread);
}
