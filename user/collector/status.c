/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/status.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/account_wire.h"
#include "collector/reader.h"
#include "collector/words.h"

struct status {
	const struct store *store;
	const struct receiver *receiver;
	struct readers readers;
};

/* One call. */
struct asker {
	struct reader reader;
	struct words hosts;
	struct store_source **sources; /* all that there were when it asked */
	size_t source_count, next;
};

static struct asker *asker_of(struct reader *reader)
{
	return (struct asker *)reader;
}

/* As many as the reader has room for; the end behind the last. */
static void send_epochs(struct reader *reader)
{
	struct asker *asker = asker_of(reader);
	const struct status *status = reader->readers->context;
	struct buffer bytes = {0};
	struct store_epoch epoch;

	while (asker->next < asker->source_count && grpc_stream_queued(reader->stream) < STATUS_QUEUED_MAX) {
		store_source_view(asker->sources[asker->next++], &epoch);
		if (!words_allow(&asker->hosts, epoch.host.id))
			continue;
		buffer_clear(&bytes);
		account_put_status(&bytes, &epoch.host, epoch.account, receiver_build(status->receiver, &epoch.host));
		if (bytes.failed || grpc_stream_send(reader->stream, bytes.data, bytes.length) < 0) {
			grpc_stream_finish(reader->stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
			break;
		}
	}
	buffer_free(&bytes);
	if (asker->next == asker->source_count)
		grpc_stream_finish(reader->stream, GRPC_OK, NULL);
}

static const char *ask(struct reader *reader, const uint8_t *bytes, size_t length, char *room, size_t size)
{
	Taffrail__V1__StatusRequest *request = taffrail__v1__status_request__unpack(NULL, length, bytes);
	const char *why = NULL;

	(void)room;
	(void)size;
	if (!request)
		return "the request cannot be read";
	if (request->n_host > STATUS_HOSTS_MAX)
		why = "it names more than 256 hosts";
	else
		words_take(&asker_of(reader)->hosts, &request->host, &request->n_host);
	taffrail__v1__status_request__free_unpacked(request, NULL);
	return why;
}

static void answer(struct reader *reader)
{
	const struct status *status = reader->readers->context;
	struct asker *asker = asker_of(reader);

	if (store_sources(status->store, &asker->sources, &asker->source_count) < 0) {
		grpc_stream_finish(reader->stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	send_epochs(reader);
}

static void writable(struct reader *reader)
{
	if (asker_of(reader)->sources)
		send_epochs(reader);
}

static void forget(struct reader *reader)
{
	words_free(&asker_of(reader)->hosts);
	if (asker_of(reader)->sources)
		store_sources_free(asker_of(reader)->sources, asker_of(reader)->source_count);
}

static const struct reader_kind status_kind = {
	.path = "/taffrail.v1.Query/Status",
	.size = sizeof(struct asker),
	.max = STATUS_READERS_MAX,
	.too_many = "too many ask for the status already",
	.writable_below = STATUS_QUEUED_MAX / 2,
	.ask = ask,
	.answer = answer,
	.writable = writable,
	.release = forget,
};

struct grpc_handler status_handler(struct status *status)
{
	return readers_handler(&status->readers);
}

int status_open(struct status **out, const struct store *store, const struct receiver *receiver)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	**out = (struct status){.store = store, .receiver = receiver};
	readers_init(&(*out)->readers, &status_kind, *out);
	return 0;
}

void status_close(struct status *status)
{
	free(status);
}
