/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/collector.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "base/utf8.h"
#include "collector/access.h"
#include "collector/cursor.h"
#include "collector/output.h"
#include "collector/publish.h"
#include "collector/owners.h"
#include "collector/query.h"
#include "collector/receive.h"
#include "collector/reread.h"
#include "collector/status.h"
#include "collector/store.h"
#include "grpc/server.h"

enum {
	STOP_GRACE_MS = 2000,  /* for streams to end */
	STOP_IDLE_MS = 2000,   /* an output that takes nothing for so long */
	STOP_MS = 60000,       /* all outputs: one that takes something may take long */
	TROUBLES = 64,         /* kinds of trouble that have lines of their own */
	MESSAGE_MAX = 4 << 20, /* bytes: a sensor makes none that is larger */
	CALLS_MAX = 8,         /* of a connection: our programs make one or two at a time */
	HEADERS_MAX = 4096,    /* bytes of a call: theirs have 300 */
	IDLE_MS = 60000,       /* a connection without a call: there is a next one when there is one to make */
};

struct collector {
	struct event_base *base;
	struct store *store;
	struct grpc_trust *trust; /* the settings', whose files are watched */
	struct access access;
	struct receiver *receiver;
	struct query *query;
	struct status *status;
	struct grpc_server *server;
	struct publish *publish;
	struct reread *reread;
	struct output **outputs;
	size_t output_count;
	struct event *signals[2];
	bool broken; /* an output's reader went away */
};

/* --- the way of what was stored --------------------------------------------------------------------------------------- */

static void on_stored(void *context, const struct received *received)
{
	struct collector *collector = context;

	for (size_t i = 0; i < collector->output_count; i++)
		output_add(collector->outputs[i], received->events, received->first, received->end);
	query_events(collector->query, received->events, received->first);
}

static void on_missed(void *context, uint64_t events)
{
	struct collector *collector = context;

	for (size_t i = 0; i < collector->output_count; i++)
		output_miss(collector->outputs[i]);
	query_missed(collector->query, events);
}

static void on_synced(void *context)
{
	struct collector *collector = context;

	for (size_t i = 0; i < collector->output_count; i++)
		output_flush(collector->outputs[i]);
}

/* --- stopping --------------------------------------------------------------------------------------------------------- */

static void on_stopped(void *context)
{
	struct collector *collector = context;

	event_base_loopbreak(collector->base);
}

static void stop(struct collector *collector)
{
	grpc_server_stop(collector->server, STOP_GRACE_MS, on_stopped, collector);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	(void)number;
	(void)what;
	stop(context);
}

static void on_broken(void *context)
{
	struct collector *collector = context;

	collector->broken = true;
	if (collector->server) /* else it ends already */
		stop(collector);
}

static enum grpc_status on_admit(void *context, const struct grpc_stream *stream, char *why, size_t why_size)
{
	const struct collector *collector = context;

	return access_admit(&collector->access, stream, why, why_size);
}

static bool on_admit_peer(void *context, const struct grpc_identity *identity)
{
	const struct collector *collector = context;

	return access_admit_peer(&collector->access, identity);
}

static void on_trouble(void *context, const char *peer, const char *reason)
{
	static struct {
		uint64_t hash; /* of the reason; 0: free */
		struct log_limit limit;
	} kinds[TROUBLES];
	uint64_t hash = hash_bytes(reason, strlen(reason)) | 1;
	size_t at = hash / 2 % TROUBLES;

	(void)context;
	/* Whoever makes much of one kind of trouble does not hide another kind. Of more kinds than there are places some share one. */
	for (size_t i = 0; i < TROUBLES && kinds[at].hash && kinds[at].hash != hash; i++)
		at = (at + 1) % TROUBLES;
	kinds[at].hash = hash;
	log_limited_at(&kinds[at].limit, "%s: %s", peer, reason);
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */

static int open_outputs(struct collector *collector, const struct settings *settings, char *why, size_t why_size)
{
	struct output_options options = {
		.data = settings->data,
		.base = collector->base,
		.store = collector->store,
		.on_broken = on_broken,
		.context = collector,
	};
	struct store_position furthest;
	int failed = cursor_furthest(settings->data, &furthest, why, why_size);

	if (failed)
		return failed;
	store_begin_behind(collector->store, furthest);
	collector->outputs = calloc(settings->outputs.count + 1, sizeof(struct output *));
	if (!collector->outputs)
		return -ENOMEM;
	for (size_t i = 0; i < settings->outputs.count; i++) {
		int error;

		options.spec = settings->outputs.items[i];
		error = output_open(&collector->outputs[i], &options, why, why_size);
		if (error)
			return error;
		collector->output_count++;
	}
	return 0;
}

static int open_trust(struct collector *collector, struct settings *settings, char *why, size_t why_size)
{
	collector->trust = &settings->trust;
	collector->access = (struct access){&settings->allow, &settings->allow_reader, NULL};
	if (settings->trust.tls && settings->allow.count == 0)
		log_warning("no --allow: over TLS nobody may write here");
	if (settings->trust.tls && settings->allow_reader.count == 0)
		log_info("no --allow-reader: over TLS nobody may read here");
	if (grpc_trust_watch(&settings->trust, collector->base) < 0)
		return -ENOMEM;
	if (!settings->trust.tls)
		return 0;
	return owners_open(&collector->access.owners, settings->data, settings->max_hosts, why, why_size);
}

/* What of the configuration a running collector takes. Rights count from the next call on, ages from the next connection on. */
static void on_reread(void *context, const struct settings *now)
{
	struct collector *collector = context;

	collector->access.writers = &now->allow;
	collector->access.readers = &now->allow_reader;
	grpc_server_age(collector->server, (uint32_t)now->max_age_ms);
}

static int open_rooms(struct collector *collector)
{
	const struct receiver_options options = {
		.base = collector->base,
		.store = collector->store,
		.access = &collector->access,
		.on_stored = on_stored,
		.on_missed = on_missed,
		.on_synced = on_synced,
		.context = collector,
	};
	const int numbers[] = {SIGTERM, SIGINT};
	int error = receiver_open(&collector->receiver, &options);

	error = error ? error : query_open(&collector->query);
	error = error ? error : status_open(&collector->status, collector->store, collector->receiver);
	for (size_t i = 0; i < 2 && !error; i++) {
		collector->signals[i] = evsignal_new(collector->base, numbers[i], on_signal, collector);
		if (!collector->signals[i] || event_add(collector->signals[i], NULL) < 0)
			error = -ENOMEM;
	}
	return error;
}

static int open_publish(struct collector *collector, const struct settings *settings, struct http_board *board)
{
	const struct publish_options options = {
		.base = collector->base,
		.board = board,
		.data = settings->data,
		.store = collector->store,
		.receiver = collector->receiver,
		.server = collector->server,
		.access = &collector->access,
		.trust = collector->trust,
		.reread = collector->reread,
		.outputs = collector->outputs,
		.output_count = collector->output_count,
	};

	return publish_open(&collector->publish, &options);
}

static int open_server(struct collector *collector, const struct settings *settings, struct http_board *board,
	char *why, size_t why_size)
{
	const struct grpc_handler handlers[] = {
		receiver_handler(collector->receiver),
		query_watch_handler(collector->query),
		status_handler(collector->status),
	};
	const struct grpc_server_options options = {
		.handlers = handlers,
		.handler_count = sizeof(handlers) / sizeof(handlers[0]),
		.max_message_bytes = MESSAGE_MAX,
		.on_trouble = on_trouble,
		.admit = on_admit,
		.admit_peer = on_admit_peer,
		.max_connections = (uint32_t)settings->max_connections,
		.max_streams = CALLS_MAX,
		.max_header_bytes = HEADERS_MAX,
		.idle_timeout_ms = IDLE_MS,
		.context = collector,
		.max_connection_age_ms = (uint32_t)settings->max_age_ms,
		.tls = settings->trust.tls,
		.insecure = settings->trust.insecure,
	};
	char text[GRPC_ADDRESS_TEXT_SIZE];
	struct grpc_address bound;
	int error = grpc_server_open(collector->base, &options, &collector->server);

	error = error ? error : grpc_server_listen(collector->server, &settings->address, &bound, why, why_size);
	error = error ? error : open_publish(collector, settings, board);
	if (!error)
		log_info("ready %s", grpc_address_format(&bound, text, sizeof(text)));
	return error;
}

int collector_open(struct collector **out, struct settings *settings, struct http_board *board)
{
	struct collector *collector = calloc(1, sizeof(*collector));
	char why[1024] = "out of memory";
	int error = collector ? 0 : -ENOMEM;

	if (collector) {
		collector->base = event_base_new();
		error = collector->base ? 0 : -ENOMEM;
	}
	error = error ? error : store_open(&collector->store, settings->data, 0, why, sizeof(why));
	error = error ? error : open_outputs(collector, settings, why, sizeof(why));
	error = error ? error : open_trust(collector, settings, why, sizeof(why));
	error = error ? error : open_rooms(collector);
	error = error ? error : reread_open(&collector->reread, collector->base, settings, on_reread, collector);
	error = error ? error : open_server(collector, settings, board, why, sizeof(why));
	if (error) {
		log_error("%s", why);
		collector_close(collector);
		return error;
	}
	*out = collector;
	return 0;
}

int collector_run(struct collector *collector)
{
	uint64_t until_ns;

	event_base_dispatch(collector->base);
	publish_close(collector->publish);
	collector->publish = NULL;
	reread_pause(collector->reread); /* it speaks to the server */
	grpc_server_close(collector->server);
	collector->server = NULL;
	receiver_finish(collector->receiver);
	until_ns = clock_boottime_ns() + STOP_MS * 1000000ull;
	for (size_t i = 0; i < collector->output_count; i++)
		output_finish(collector->outputs[i], STOP_IDLE_MS, until_ns);
	return collector->broken ? -EPIPE : 0;
}

void collector_close(struct collector *collector)
{
	if (!collector)
		return;
	publish_close(collector->publish);
	grpc_server_close(collector->server);
	receiver_close(collector->receiver);
	query_close(collector->query);
	status_close(collector->status);
	owners_close(collector->access.owners);
	if (collector->trust)
		grpc_trust_unwatch(collector->trust);
	for (size_t i = 0; i < collector->output_count; i++)
		output_close(collector->outputs[i]);
	free(collector->outputs);
	store_close(collector->store);
	reread_close(collector->reread);
	for (size_t i = 0; i < 2; i++)
		if (collector->signals[i])
			event_free(collector->signals[i]);
	if (collector->base)
		event_base_free(collector->base);
	free(collector);
}
