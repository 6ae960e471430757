/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/watch.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/options.h"
#include "cli/terminal.h"
#include "event/ecs.h"
#include "event/line.h"
#include "event/wire.h"
#include "grpc/client.h"
#include "grpc/trust.h"
#include "taffrail/v1/stream.pb-c.h"

enum {
	CONNECT_MS = 5000,
};

struct watch {
	char *collector;
	struct config_list pods, namespaces, kinds;
	bool json;
	struct grpc_trust trust;

	struct event_base *base;
	struct grpc_client *client;
	struct grpc_call *call;
	struct line_style style;
	struct buffer lines;
	uint64_t passed_over;
	bool moving; /* to another connection */
	int code;
};

static void leave(struct watch *watch, int code)
{
	watch->code = code;
	event_base_loopbreak(watch->base);
}

/* --- events -> stdout -------------------------------------------------------------------------------------------------- */

static void write_lines(struct watch *watch)
{
	struct buffer *lines = &watch->lines;

	for (size_t done = 0; done < lines->length;) {
		ssize_t written = write(STDOUT_FILENO, lines->data + done, lines->length - done);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0) { /* `taffrail watch | head`: the reader has enough */
			leave(watch, errno == EPIPE ? EXIT_SUCCESS : EXIT_FAILURE);
			if (errno != EPIPE)
				log_error("stdout: %s", strerror(errno));
			break;
		}
		done += (size_t)written;
	}
	buffer_clear(lines);
}

static void show_batch(struct watch *watch, struct text batch)
{
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	if (wire_read_part(&events, batch.data, batch.length, why) < 0) {
		log_limited("collector %s: a batch cannot be used: %s", watch->collector, why);
		return;
	}
	for (size_t i = 0; i < events.count; i++) {
		if (watch->json) {
			ecs_write(&watch->lines, &events.events[i]);
			buffer_append(&watch->lines, "\n", 1);
		} else {
			line_write(&watch->lines, &events.events[i], &watch->style);
		}
	}
	wire_free(&events);
	write_lines(watch);
}

static void show_passed_over(struct watch *watch, uint64_t passed_over)
{
	if (passed_over <= watch->passed_over)
		return;
	log_warning("%llu events were passed over: this reader is too slow",
		(unsigned long long)(passed_over - watch->passed_over));
	watch->passed_over = passed_over;
}

static void on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	struct watch *watch = context;
	Taffrail__V1__WatchResponse *response = taffrail__v1__watch_response__unpack(NULL, length, bytes);
	uint8_t *packed;

	(void)call;
	if (!response) {
		log_limited("collector %s: a message cannot be read", watch->collector);
		return;
	}
	if (response->batch) {
		size_t size = taffrail__v1__batch__get_packed_size(response->batch);

		packed = malloc(size ? size : 1);
		if (packed) {
			taffrail__v1__batch__pack(response->batch, packed);
			show_batch(watch, (struct text){(const char *)packed, size});
		}
		free(packed);
	}
	show_passed_over(watch, response->passed_over);
	taffrail__v1__watch_response__free_unpacked(response, NULL);
}

/* --- the call ---------------------------------------------------------------------------------------------------------- */

static int open_call(struct watch *watch);

static void on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct watch *watch = context;

	(void)call;
	watch->call = NULL;
	if (watch->moving)
		return;
	log_error("collector %s: %s", watch->collector, message[0] ? message : "it ended the call");
	leave(watch, status == GRPC_INVALID_ARGUMENT ? 2 : EXIT_FAILURE);
}

/* Connections have an age: what happens until the next one is there is not shown. A collector that stops says the same. */
static void on_draining(void *context, const char *reason)
{
	struct watch *watch = context;

	(void)reason;
	watch->moving = watch->call != NULL;
}

static void on_up(void *context)
{
	struct watch *watch = context;

	if (!watch->moving)
		return;
	watch->moving = false;
	if (open_call(watch) < 0) {
		log_error("collector %s: it cannot be asked again", watch->collector);
		leave(watch, EXIT_FAILURE);
	}
}

static void on_down(void *context, int error, const char *reason)
{
	struct watch *watch = context;

	if (event_base_got_break(watch->base))
		return; /* on_done has said it */
	if (watch->moving && !error && grpc_client_reconnect(watch->client, 0) == 0) {
		log_info("collector %s: it asks for another connection", watch->collector);
		return;
	}
	log_error("collector %s: %s", watch->collector, error ? reason : "it went away");
	leave(watch, EXIT_FAILURE);
}

static int send_request(struct watch *watch)
{
	Taffrail__V1__WatchRequest request = TAFFRAIL__V1__WATCH_REQUEST__INIT;
	uint8_t *bytes;
	size_t size;
	int error;

	request.pod = watch->pods.items;
	request.n_pod = watch->pods.count;
	request.namespace_ = watch->namespaces.items;
	request.n_namespace_ = watch->namespaces.count;
	request.action = watch->kinds.items;
	request.n_action = watch->kinds.count;
	size = taffrail__v1__watch_request__get_packed_size(&request);
	bytes = malloc(size ? size : 1);
	if (!bytes)
		return -ENOMEM;
	taffrail__v1__watch_request__pack(&request, bytes);
	error = grpc_call_send(watch->call, bytes, size);
	free(bytes);
	if (!error)
		grpc_call_half_close(watch->call);
	return error;
}

static void on_interrupt(evutil_socket_t number, short what, void *context)
{
	(void)number;
	(void)what;
	leave(context, EXIT_SUCCESS);
}

static int open_call(struct watch *watch)
{
	const struct grpc_call_options call = {.context = watch, .on_message = on_message, .on_done = on_done};
	int error = grpc_call_open(watch->client, "/taffrail.v1.Query/Watch", &call, &watch->call);

	watch->passed_over = 0;
	return error ? error : send_request(watch);
}

static int open_client(struct watch *watch, const struct grpc_address *address)
{
	const struct grpc_client_options client = {.context = watch,
		.on_up = on_up,
		.on_draining = on_draining,
		.on_down = on_down,
		.connect_timeout_ms = CONNECT_MS,
		.tls = watch->trust.tls,
		.tls_name = watch->trust.name,
		.insecure = watch->trust.insecure};
	int error = grpc_client_open(watch->base, address, &client, &watch->client);

	error = error ? error : grpc_trust_watch(&watch->trust, watch->base);
	return error ? error : open_call(watch);
}

static int run(struct watch *watch, const struct grpc_address *address)
{
	struct event *interrupt = NULL, *terminate = NULL;
	int error;

	watch->base = event_base_new();
	if (watch->base) {
		interrupt = evsignal_new(watch->base, SIGINT, on_interrupt, watch);
		terminate = evsignal_new(watch->base, SIGTERM, on_interrupt, watch);
	}
	if (!interrupt || !terminate || event_add(interrupt, NULL) < 0 || event_add(terminate, NULL) < 0)
		error = -ENOMEM;
	else
		error = open_client(watch, address);
	if (error) {
		log_error("collector %s: %s", watch->collector, strerror(-error));
		watch->code = EXIT_FAILURE;
	} else {
		event_base_dispatch(watch->base);
	}
	if (watch->call)
		grpc_call_cancel(watch->call);
	grpc_client_close(watch->client);
	grpc_trust_unwatch(&watch->trust);
	if (interrupt)
		event_free(interrupt);
	if (terminate)
		event_free(terminate);
	if (watch->base)
		event_base_free(watch->base);
	buffer_free(&watch->lines);
	return watch->code;
}

/* --- the command line --------------------------------------------------------------------------------------------------- */

/* On a terminal: in colour, unless NO_COLOR or TERM=dumb says otherwise, and no longer than the terminal is wide. */
static struct line_style find_style(void)
{
	struct line_style style = {.colour = terminal_has_colour()};
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return style;
	style.width = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		style.width = size.ws_col;
	return style;
}

static int check_kinds(const struct config_list *kinds)
{
	char all[512] = "";
	size_t length = 0;

	for (int action = 1; action < EVENT_ACTIONS_END && length < sizeof(all); action++)
		length += (size_t)snprintf(all + length, sizeof(all) - length, "%s%s", action > 1 ? ", " : "",
			event_action_name((enum event_action)action));
	for (size_t i = 0; i < kinds->count; i++)
		if (event_action_find(text_of(kinds->items[i])) == 0)
			return options_wrong("--kind \"%s\" is no kind of event: %s", kinds->items[i], all);
	return -1;
}

int watch_run(int argc, char **argv)
{
	struct watch watch = {0};
	const struct config_key keys[] = {
		{"collector", CONFIG_TEXT, &watch.collector, 0, 0, "where the collector listens"},
		{"pod", CONFIG_LIST, &watch.pods, 0, 0, "only these pods"},
		{"namespace", CONFIG_LIST, &watch.namespaces, 0, 0, "only these namespaces"},
		{"kind", CONFIG_LIST, &watch.kinds, 0, 0, "only these kinds"},
		{"json", CONFIG_BOOL, &watch.json, 0, 0, "ECS JSON lines"},
		GRPC_TRUST_KEYS(&watch.trust),
		GRPC_TRUST_NAME_KEY(&watch.trust),
		CONFIG_END,
	};
	static const struct option_spec options[] = {
		{"collector", "ADDR", "collector", "HOST:PORT or unix:PATH (127.0.0.1:7443)"},
		GRPC_TRUST_OPTIONS,
		{"tls-name", "NAME", "tls.name", "what the collector's certificate is for, if not HOST"},
		{"pod", "NAME", "pod", "only events of this pod; may be repeated"},
		{"namespace", "NAME", "namespace", "only events of this namespace; may be repeated"},
		{"kind", "KIND", "kind",
			"only events of this kind; may be repeated: exec, fork,\nend, open, connection_attempted, "
			"connection_accepted,\nlisten, send, disconnect_received, socket, flow, "
			"dns,\ncontainer_started, container_stopped, cgroup_left,\nevents_lost"},
		{"json", NULL, "json", "ECS JSON, one document a line"},
		{0},
	};
	const struct program_spec program = {
		.name = "taffrail",
		.usage = "watch [OPTIONS]",
		.summary = "shows events as they happen, one line each",
		.options = options,
		.keys = keys,
		.no_file = true,
		.notes = "In colour on a terminal; NO_COLOR=1 turns it off. Ctrl-C ends it.\n"
			 "Exit: 0 ended by a signal or by stdout's reader; 1 no collector, or it went\n"
			 "away; 2 wrong usage.",
	};
	struct grpc_address address;
	char why[256];
	int code = options_read(&program, argc, argv);

	if (code < 0)
		code = check_kinds(&watch.kinds);
	if (code < 0 && !watch.collector)
		watch.collector = strdup("127.0.0.1:7443");
	if (code < 0 && (!watch.collector || grpc_address_parse(watch.collector, &address, why, sizeof(why)) < 0))
		code = options_wrong("--collector \"%s\": %s", watch.collector ? watch.collector : "", why);
	if (code < 0)
		code = grpc_trust_read(&watch.trust, &program);
	if (code < 0)
		code = grpc_trust_allows(&watch.trust, &program, "collector", watch.collector, &address);
	if (code < 0) {
		watch.style = find_style();
		code = run(&watch, &address);
	}
	grpc_trust_close(&watch.trust);
	config_free(keys);
	return code;
}
