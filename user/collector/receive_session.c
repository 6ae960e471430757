/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/receive_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "base/version.h"
#include "collector/access.h"
#include "collector/account_wire.h"
#include "taffrail/v1/stream.pb-c.h"

/* --- life ------------------------------------------------------------------------------------------------------------ */

struct session *session_open(struct receiver *receiver, struct grpc_stream *stream)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->receiver = receiver;
	session->stream = stream;
	session->references = 1;
	snprintf(session->name, sizeof(session->name), "no hello yet");
	return session;
}

void session_release(struct session *session)
{
	if (--session->references == 0)
		free(session);
}

static void session_unlist(struct session *session)
{
	if (session->listed)
		table_remove(&session->receiver->sessions, &session->node);
	session->listed = false;
}

void session_close(struct session *session)
{
	session_unlist(session);
	session->stream = NULL;
	session_release(session);
}

void session_finish(struct session *session, enum grpc_status status, const char *message)
{
	session_unlist(session);
	if (session->stream)
		grpc_stream_finish(session->stream, status, message);
}

void session_drain(struct session *session)
{
	if (session->batches > 0 || !(session->draining || session->half_closed))
		return;
	if (session->half_closed)
		session_finish(session, GRPC_OK, NULL);
	else
		session_finish(session, GRPC_UNAVAILABLE, "the collector stops");
}

void session_refuse(struct session *session, const char *why)
{
	session->receiver->counters.messages_refused++;
	log_limited("%s (%s): %s", grpc_stream_peer(session->stream), session->name, why);
	session_finish(session, GRPC_INVALID_ARGUMENT, why);
}

static void send_down(struct session *session, const Taffrail__V1__Down *down)
{
	uint8_t bytes[256];

	if (session->stream && taffrail__v1__down__get_packed_size(down) <= sizeof(bytes))
		(void)grpc_stream_send(session->stream, bytes, taffrail__v1__down__pack(down, bytes));
}

void session_acknowledge(struct session *session)
{
	Taffrail__V1__Down down = TAFFRAIL__V1__DOWN__INIT;
	Taffrail__V1__Ack ack = TAFFRAIL__V1__ACK__INIT;

	if (!session->stream || !session->ack_due || grpc_stream_queued(session->stream) > ACKS_QUEUED_MAX)
		return;
	ack.sequence = store_synced(session->receiver->options.store, session_host(session), session->epoch);
	down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_ACK;
	down.ack = &ack;
	send_down(session, &down);
	session->ack_due = false;
}

static bool session_matches(const struct table_node *node, const void *wanted)
{
	const struct session *a = table_entry(node, struct session, node), *b = wanted;

	return memcmp(a->epoch, b->epoch, EVENT_EPOCH_SIZE) == 0 && text_equal(session_host(a), session_host(b));
}

static uint64_t session_hash(const struct session *session)
{
	return store_hash(hash_bytes(session->host, session->host_length), session->epoch);
}

/* A sensor that connects anew does not know yet that its old connection is dead: the newest speaks for it. */
static int session_list(struct session *session)
{
	struct table *sessions = &session->receiver->sessions;
	uint64_t hash = session_hash(session);
	struct table_node *node = table_find(sessions, hash, session_matches, session);

	if (node) {
		struct session *older = table_entry(node, struct session, node);

		log_limited("sensor %s: a newer connection takes the place of %s", older->name,
			grpc_stream_peer(older->stream));
		session_finish(older, GRPC_ABORTED, "a newer connection of this sensor took its place");
	}
	if (table_insert(sessions, &session->node, hash) < 0)
		return -ENOMEM;
	session->listed = true;
	return 0;
}

/* --- hello ----------------------------------------------------------------------------------------------------------- */

/* An older sensor says that some collector has it, and not which. */
static void take_elsewhere(struct session *session, const Taffrail__V1__UpHello *hello)
{
	const uint8_t *id = store_id(session->receiver->options.store);

	session->elsewhere = hello->n_elsewhere > 0 ? 0 : hello->acknowledged;
	for (size_t i = 0; i < hello->n_elsewhere; i++) {
		const Taffrail__V1__Elsewhere *entry = hello->elsewhere[i];
		bool ours =
			id && entry->store.len == STORE_ID_SIZE && memcmp(entry->store.data, id, STORE_ID_SIZE) == 0;
		uint64_t *sequence = ours ? &session->here : &session->elsewhere;

		if (entry->sequence > *sequence)
			*sequence = entry->sequence;
	}
}

/* NULL, or what is wrong. */
static const char *take_hello(struct session *session, const Taffrail__V1__UpHello *hello)
{
	size_t length = hello && hello->host ? strlen(hello->host->id) : 0;

	if (!hello)
		return "the hello cannot be read";
	if (length == 0)
		return "the hello does not name its host";
	if (length > SEGMENT_HOST_MAX)
		return "the host's id is longer than 255 bytes";
	if (hello->epoch.len != EVENT_EPOCH_SIZE)
		return "the hello's epoch has not 16 bytes";
	memcpy(session->epoch, hello->epoch.data, EVENT_EPOCH_SIZE);
	take_elsewhere(session, hello);
	memcpy(session->host, hello->host->id, length + 1);
	memcpy(session->name, hello->host->id, length + 1);
	utf8_defuse(session->name, length);
	session->host_length = length;
	account_take_build(&session->build, hello->version, hello->commit, hello->rules, hello->configuration);
	return NULL;
}

/* Which program it is, for whoever looks for it. */
static void tell_build(const struct session *session)
{
	const struct account_build *build = &session->build;
	char rules[DIGEST_TEXT_SIZE], configuration[DIGEST_TEXT_SIZE];

	log_debug("sensor %s: version %s, commit %s, rules %s, configuration %s", session->name, build->version,
		build->commit[0] ? build->commit : "unknown", digest_format(&build->rules, rules),
		digest_format(&build->configuration, configuration));
}

bool session_may_write(struct session *session, bool claim)
{
	const char *why = "";
	enum grpc_status status =
		access_host(session->receiver->options.access, session->stream, session_host(session), claim, &why);

	if (status == GRPC_OK)
		return true;
	session->receiver->counters.hosts_refused++;
	session_finish(session, status, why);
	return false;
}

void session_hello(struct session *session, struct text bytes)
{
	Taffrail__V1__UpHello *hello = taffrail__v1__up_hello__unpack(NULL, bytes.length, (const uint8_t *)bytes.data);
	Taffrail__V1__Down down = TAFFRAIL__V1__DOWN__INIT;
	Taffrail__V1__DownHello answer = TAFFRAIL__V1__DOWN_HELLO__INIT;
	const struct store *store = session->receiver->options.store;
	const struct account *account;
	Taffrail__V1__Books books = TAFFRAIL__V1__BOOKS__INIT;
	const char *why = session->greeted ? "a second hello" : take_hello(session, hello);

	if (hello)
		taffrail__v1__up_hello__free_unpacked(hello, NULL);
	if (why) {
		session_refuse(session, why);
		return;
	}
	if (!session_may_write(session, false))
		return;
	if (session_list(session) < 0) {
		session_finish(session, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	session->greeted = true;
	tell_build(session);
	answer.version = (char *)(uintptr_t)TAFFRAIL_VERSION;
	account = store_account(store, session_host(session), session->epoch, true);
	answer.stored = account ? account->made : 0;
	answer.books = account ? account_put_books(&books, &account->books) : NULL;
	if (store_id(store))
		answer.store = (ProtobufCBinaryData){STORE_ID_SIZE, (uint8_t *)(uintptr_t)store_id(store)};
	down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_HELLO;
	down.hello = &answer;
	send_down(session, &down);
}

const struct account_build *receiver_build(const struct receiver *receiver, const struct event_host *host)
{
	struct session wanted = {.host_length = host->id.length};
	struct table_node *node;

	if (host->id.length > SEGMENT_HOST_MAX)
		return NULL;
	memcpy(wanted.host, host->id.data, host->id.length);
	memcpy(wanted.epoch, host->epoch, EVENT_EPOCH_SIZE);
	node = table_find(&receiver->sessions, session_hash(&wanted), session_matches, &wanted);
	return node ? &table_entry(node, struct session, node)->build : NULL;
}
