/* SPDX-License-Identifier: Apache-2.0 */
/* What a detector of behaviour has found, on the wire. */
#include <errno.h>
#include <stdlib.h>

#include "event/wire_inside.h"

struct wire_detector {
	Taffrail__V1__Detector message;
	Taffrail__V1__Reason reasons[EVENT_REASONS_MAX], *reason_list[EVENT_REASONS_MAX];
	ProtobufCBinaryData samples[EVENT_REASONS_MAX][EVENT_SAMPLES_MAX];
	ProtobufCBinaryData peers[EVENT_PEERS_MAX], written[EVENT_TOUCHED_MAX], opened[EVENT_TOUCHED_MAX];
	char text[128];
};

static size_t at_most(size_t count, size_t most)
{
	return count < most ? count : most;
}

struct wire_detector *wire_set_detector(Taffrail__V1__Rule *message, const struct event_detector *detector)
{
	struct wire_detector *parts = malloc(sizeof(*parts));
	struct wire_strings strings;
	Taffrail__V1__Detector *to;

	if (!parts)
		return NULL;
	strings = (struct wire_strings){.room = parts->text, .size = sizeof(parts->text)};
	to = &parts->message;
	taffrail__v1__detector__init(to);
	to->key = wire_string(&strings, detector->key);
	to->verdict = wire_string(&strings, detector->verdict);
	to->family = wire_string(&strings, detector->family);
	to->score = detector->score;
	to->bytes_out = detector->bytes_out;
	to->bytes_in = detector->bytes_in;
	to->first_ns = detector->first_ns;
	to->n_reason = at_most(detector->reason_count, EVENT_REASONS_MAX);
	to->reason = parts->reason_list;
	for (size_t i = 0; i < to->n_reason; i++) {
		const struct event_reason *from = &detector->reasons[i];
		Taffrail__V1__Reason *reason = &parts->reasons[i];

		taffrail__v1__reason__init(reason);
		parts->reason_list[i] = reason;
		reason->points = from->points;
		reason->what = bytes_of(from->what);
		reason->n_sample = at_most(from->sample_count, EVENT_SAMPLES_MAX);
		reason->sample = parts->samples[i];
		for (size_t j = 0; j < reason->n_sample; j++)
			parts->samples[i][j] = bytes_of(from->samples[j]);
	}
	to->n_peer = at_most(detector->peer_count, EVENT_PEERS_MAX);
	to->peer = parts->peers;
	for (size_t i = 0; i < to->n_peer; i++)
		parts->peers[i] = bytes_of(detector->peers[i]);
	to->written = parts->written;
	to->opened = parts->opened;
	for (size_t i = 0; i < at_most(detector->file_count, EVENT_TOUCHED_MAX); i++) {
		const struct event_touched *file = &detector->files[i];

		if (file->written)
			parts->written[to->n_written++] = bytes_of(file->path);
		else
			parts->opened[to->n_opened++] = bytes_of(file->path);
	}
	message->detector = to;
	return parts;
}

static void read_texts(struct text *texts, const ProtobufCBinaryData *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		texts[i] = text_of_bytes(bytes[i]);
}

static int read_reason(struct wire_arena *arena, struct event_reason *reason, const Taffrail__V1__Reason *message)
{
	struct text *samples = wire_arena_zeroed(arena, message->n_sample, sizeof(*samples));

	if (!samples)
		return -ENOMEM;
	if (message->n_sample > EVENT_SAMPLES_MAX)
		return -EBADMSG;
	read_texts(samples, message->sample, message->n_sample);
	*reason = (struct event_reason){message->points, text_of_bytes(message->what), samples, message->n_sample};
	return 0;
}

int wire_read_detector(struct wire_arena *arena, struct event_detector *detector, const Taffrail__V1__Detector *message)
{
	size_t file_count = message->n_written + message->n_opened;
	struct event_reason *reasons;
	struct event_touched *files;
	struct text *peers;
	int error = 0;

	if (message->n_reason > EVENT_REASONS_MAX || message->n_peer > EVENT_PEERS_MAX || message->score > 100 ||
		message->n_written > EVENT_TOUCHED_MAX || message->n_opened > EVENT_TOUCHED_MAX ||
		file_count > EVENT_TOUCHED_MAX)
		return -EBADMSG;
	reasons = wire_arena_zeroed(arena, message->n_reason, sizeof(*reasons));
	files = wire_arena_zeroed(arena, file_count, sizeof(*files));
	peers = wire_arena_zeroed(arena, message->n_peer, sizeof(*peers));
	if (!reasons || !files || !peers)
		return -ENOMEM;
	for (size_t i = 0; i < message->n_reason && !error; i++)
		error = read_reason(arena, &reasons[i], message->reason[i]);
	read_texts(peers, message->peer, message->n_peer);
	for (size_t i = 0; i < file_count; i++)
		files[i] =
			i < message->n_written
				? (struct event_touched){text_of_bytes(message->written[i]), true}
				: (struct event_touched){text_of_bytes(message->opened[i - message->n_written]), false};
	*detector = (struct event_detector){
		.key = text_of(message->key),
		.verdict = text_of(message->verdict),
		.family = text_of(message->family),
		.score = message->score,
		.reasons = reasons,
		.reason_count = message->n_reason,
		.peers = peers,
		.peer_count = message->n_peer,
		.files = files,
		.file_count = file_count,
		.bytes_out = message->bytes_out,
		.bytes_in = message->bytes_in,
		.first_ns = message->first_ns,
	};
	return error;
}
