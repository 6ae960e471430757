/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/status.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/account_wire.h"
#include "collector/words.h"

struct status {
	const struct store *store;
	const struct receiver *receiver;
	size_t count;
};

/* One call. */
struct reader {
	struct status *status;
	struct grpc_stream *stream;
	bool asked; /* it has said what it wants: */
	struct words hosts;
	const struct store_source **sources; /* all that there were when it asked */
	size_t source_count, next;
};

/* As many as the reader has room for; the end behind the last. */
static void send_epochs(struct reader *reader)
{
	const struct status *status = reader->status;
	struct buffer bytes = {0};
	struct store_epoch epoch;

	while (reader->next < reader->source_count && grpc_stream_queued(reader->stream) < STATUS_QUEUED_MAX) {
		store_source_view(reader->sources[reader->next++], &epoch);
		if (!words_allow(&reader->hosts, epoch.host.id))
			continue;
		buffer_clear(&bytes);
		account_put_status(
			&bytes, &epoch.host, epoch.account, receiver_is_connected(status->receiver, &epoch.host));
		if (bytes.failed || grpc_stream_send(reader->stream, bytes.data, bytes.length) < 0) {
			grpc_stream_finish(reader->stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
			break;
		}
	}
	buffer_free(&bytes);
	if (reader->next == reader->source_count)
		grpc_stream_finish(reader->stream, GRPC_OK, NULL);
}

static void on_open(struct grpc_stream *stream, void *data)
{
	struct status *status = data;
	struct reader *reader = status->count < STATUS_READERS_MAX ? calloc(1, sizeof(*reader)) : NULL;

	grpc_stream_set_data(stream, reader);
	if (!reader) {
		grpc_stream_finish(stream, GRPC_RESOURCE_EXHAUSTED, "too many ask for the status already");
		return;
	}
	reader->status = status;
	reader->stream = stream;
	status->count++;
}

static void on_message(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Taffrail__V1__StatusRequest *request = taffrail__v1__status_request__unpack(NULL, length, bytes);
	struct reader *reader = data;

	const char *why = NULL;

	if (!request)
		why = "the request cannot be read";
	else if (reader->asked)
		why = "a second request";
	else if (request->n_host > STATUS_HOSTS_MAX)
		why = "it names more than 256 hosts";
	else
		words_take(&reader->hosts, &request->host, &request->n_host);
	if (request)
		taffrail__v1__status_request__free_unpacked(request, NULL);
	if (why) {
		grpc_stream_finish(stream, GRPC_INVALID_ARGUMENT, why);
		return;
	}
	reader->asked = true;
	if (store_sources(reader->status->store, &reader->sources, &reader->source_count) < 0) {
		grpc_stream_finish(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	send_epochs(reader);
}

static void on_half_close(struct grpc_stream *stream, void *data)
{
	const struct reader *reader = data;

	if (reader && !reader->asked)
		grpc_stream_finish(stream, GRPC_INVALID_ARGUMENT, "there was no request");
}

static void on_writable(struct grpc_stream *stream, void *data)
{
	struct reader *reader = data;

	(void)stream;
	if (reader && reader->sources)
		send_epochs(reader);
}

static void on_drain(struct grpc_stream *stream, void *data)
{
	(void)data;
	grpc_stream_finish(stream, GRPC_UNAVAILABLE, "the collector stops");
}

static void on_close(struct grpc_stream *stream, void *data, enum grpc_status code, const char *reason)
{
	struct reader *reader = data;

	(void)stream;
	(void)code;
	(void)reason;
	if (!reader)
		return;
	reader->status->count--;
	words_free(&reader->hosts);
	free(reader->sources);
	free(reader);
}

struct grpc_handler status_handler(struct status *status)
{
	return (struct grpc_handler){
		.path = "/taffrail.v1.Query/Status",
		.max_message_bytes = WORDS_REQUEST_MAX,
		.context = status,
		.writable_below = STATUS_QUEUED_MAX / 2,
		.on_open = on_open,
		.on_message = on_message,
		.on_half_close = on_half_close,
		.on_writable = on_writable,
		.on_drain = on_drain,
		.on_close = on_close,
	};
}

int status_open(struct status **out, const struct store *store, const struct receiver *receiver)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	**out = (struct status){.store = store, .receiver = receiver};
	return 0;
}

void status_close(struct status *status)
{
	free(status);
}
