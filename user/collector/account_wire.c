/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/account_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static uint64_t bounded(uint64_t count)
{
	return count < ACCOUNT_COUNT_MAX ? count : ACCOUNT_COUNT_MAX;
}

Taffrail__V1__Books *account_put_books(Taffrail__V1__Books *message, const struct account_books *books)
{
	if (!books->there)
		return NULL;
	message->seen = books->seen;
	message->settled = books->settled;
	message->held = books->held;
	message->undeclared = books->undeclared;
	message->closed = books->closed;
	return message;
}

/* A copy for a field that is to be UTF-8, whatever a sensor said. */
static char *clean(char room[SEGMENT_HOST_MAX + 1], struct text text)
{
	size_t length = text.length < SEGMENT_HOST_MAX ? text.length : SEGMENT_HOST_MAX;

	if (length > 0)
		memcpy(room, text.data, length);
	room[length] = '\0';
	utf8_defuse(room, length);
	return room;
}

static void take_word(char to[ACCOUNT_WORD_SIZE], const char *word)
{
	snprintf(to, ACCOUNT_WORD_SIZE, "%s", word);
	utf8_defuse(to, strlen(to));
}

static void take_sum(struct digest_sum *sum, ProtobufCBinaryData bytes)
{
	if (bytes.len == sizeof(sum->bytes))
		memcpy(sum->bytes, bytes.data, sizeof(sum->bytes));
}

void account_take_build(struct account_build *build, const char *version, const char *commit, ProtobufCBinaryData rules,
	ProtobufCBinaryData configuration)
{
	*build = (struct account_build){.version = ""};
	take_word(build->version, version);
	take_word(build->commit, commit);
	take_sum(&build->rules, rules);
	take_sum(&build->configuration, configuration);
}

static ProtobufCBinaryData bytes_of(const struct digest_sum *sum)
{
	static const struct digest_sum none;

	return (ProtobufCBinaryData){
		memcmp(sum, &none, sizeof(none)) == 0 ? 0 : sizeof(sum->bytes), (uint8_t *)(uintptr_t)sum->bytes};
}

void account_put_status(struct buffer *out, const struct event_host *host, const struct account *account,
	const struct account_build *build)
{
	Taffrail__V1__EpochStatus message = TAFFRAIL__V1__EPOCH_STATUS__INIT;
	Taffrail__V1__StageLoss losses[ACCOUNT_STAGES], *lost[ACCOUNT_STAGES];
	Taffrail__V1__Host name = TAFFRAIL__V1__HOST__INIT;
	Taffrail__V1__Books books = TAFFRAIL__V1__BOOKS__INIT;
	char words[4][SEGMENT_HOST_MAX + 1];
	char *to;

	name.id = clean(words[0], host->id);
	name.name = clean(words[1], host->name);
	name.boot_id = clean(words[2], host->boot_id);
	name.cluster = clean(words[3], host->cluster);
	message.host = &name;
	message.epoch = (ProtobufCBinaryData){EVENT_EPOCH_SIZE, (uint8_t *)(uintptr_t)host->epoch};
	message.first_ns = account->first_ns;
	message.last_ns = account->last_ns;
	message.made = account->made;
	message.events = account->events;
	message.taken_out = account->taken_out;
	message.elsewhere = account->elsewhere;
	message.lost_elsewhere = account->lost_elsewhere;
	message.folded = account->folded;
	message.lost = lost;
	for (int stage = 0; stage < ACCOUNT_STAGES; stage++) {
		if (account->lost[stage] == 0)
			continue;
		taffrail__v1__stage_loss__init(&losses[stage]);
		losses[stage].stage = (char *)(uintptr_t)account_stage_name((enum account_stage)stage);
		losses[stage].count = account->lost[stage];
		lost[message.n_lost++] = &losses[stage];
	}
	message.books = account_put_books(&books, &account->books);
	message.connected = build != NULL;
	if (build) {
		message.version = (char *)(uintptr_t)build->version;
		message.commit = (char *)(uintptr_t)build->commit;
		message.rules = bytes_of(&build->rules);
		message.configuration = bytes_of(&build->configuration);
	}
	to = buffer_reserve(out, taffrail__v1__epoch_status__get_packed_size(&message));
	if (to)
		out->length += taffrail__v1__epoch_status__pack(&message, (uint8_t *)to);
}

int account_read_status(const Taffrail__V1__EpochStatus *message, struct event_host *host, struct account *account,
	struct account_build *build)
{
	account_take_build(build, message->version, message->commit, message->rules, message->configuration);
	*account = (struct account){.made = message->made,
		.events = message->events,
		.taken_out = message->taken_out,
		.elsewhere = message->elsewhere,
		.lost_elsewhere = bounded(message->lost_elsewhere),
		.folded = bounded(message->folded),
		.first_ns = message->first_ns,
		.last_ns = message->last_ns};
	if (!message->host || message->epoch.len != EVENT_EPOCH_SIZE)
		return -EBADMSG;
	*host = (struct event_host){.id = text_of(message->host->id),
		.name = text_of(message->host->name),
		.boot_id = text_of(message->host->boot_id),
		.cluster = text_of(message->host->cluster)};
	memcpy(host->epoch, message->epoch.data, EVENT_EPOCH_SIZE);
	for (size_t i = 0; i < message->n_lost; i++) {
		uint64_t *lost = &account->lost[account_stage_find(text_of(message->lost[i]->stage))];

		*lost = bounded(*lost + bounded(message->lost[i]->count));
	}
	if (message->books)
		account->books = (struct account_books){.there = true,
			.closed = message->books->closed,
			.seen = bounded(message->books->seen),
			.settled = bounded(message->books->settled),
			.held = bounded(message->books->held),
			.undeclared = bounded(message->books->undeclared)};
	return 0;
}
