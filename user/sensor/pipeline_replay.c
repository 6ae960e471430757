/* SPDX-License-Identifier: Apache-2.0 */
/* A recording in place of the kernel: each frame goes to the function that took it when it was made. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { SLICE = 1024 }; /* frames between two looks at the encoder */

/* NULL, or what is wrong with the record. */
static const char *check_record(const struct recording_frame *frame, struct record *record)
{
	const char *why = NULL;
	bool census = frame->type == RECORDING_PROCESS;

	if (record_check(record, frame->record.bytes, frame->record.size, &why) < 0)
		return why;
	return (record->header->kind == KERNEL_PROCESS) == census ? NULL : "a record that does not come this way";
}

static const char *take_names(struct pipeline *pipeline, const struct recording_frame *frame)
{
	struct container_meta *meta =
		container_meta_make(&frame->container.view, (enum container_standing)frame->container.standing);

	if (!meta)
		return "out of memory";
	pipeline_take_names(pipeline, meta);
	return NULL;
}

uint64_t pipeline_replay_repeats(struct pipeline *pipeline, uint64_t number)
{
	struct recording_frame frame;
	const char *why = NULL;

	if (pipeline->replay_why || pipeline->replay_over)
		return 0;
	switch (recording_next(pipeline->reader, &frame, &why)) {
	case RECORDING_FRAME:
		if (frame.type == RECORDING_REPEAT && frame.repeat.number == number)
			return frame.repeat.count;
		why = "a count of repeats is missing";
		break;
	case RECORDING_CORRUPT: break;
	default: pipeline->replay_over = true; return 0;
	}
	pipeline->replay_why = why;
	return 0;
}

/* NULL, or what is wrong with the frame. */
static const char *take_frame(struct pipeline *pipeline, const struct recording_frame *frame)
{
	struct record record;
	const char *why = NULL;

	pipeline->now_ns = frame->now_ns;
	switch (frame->type) {
	case RECORDING_PROCESS:
		why = check_record(frame, &record);
		if (!why)
			pipeline_take_process(pipeline, &record, frame->record.args);
		return why;
	case RECORDING_RECORD:
		why = check_record(frame, &record);
		if (!why)
			(void)pipeline_take_record(pipeline, frame->record.bytes, frame->record.size);
		return why ? why : pipeline->replay_why;
	case RECORDING_CONTAINER: return take_names(pipeline, frame);
	case RECORDING_TICK:
		pipeline->boot_unix_ns = frame->tick.boot_unix_ns;
		pipeline->bulk_ns = frame->tick.bulk_ns;
		pipeline_tick(pipeline, frame->tick.counters, frame->tick.final);
		return pipeline->replay_why;
	case RECORDING_EXPIRE: pipeline_expire(pipeline); return NULL;
	case RECORDING_SETTLE: pipeline_settle(pipeline, frame->read_ns); return pipeline->replay_why;
	case RECORDING_FILTERED:
		memcpy(pipeline->left_out, frame->left_out, sizeof(pipeline->left_out));
		pipeline_filtered(pipeline);
		return NULL;
	case RECORDING_OWN: return pipeline_replay_own(pipeline, frame->record.bytes, frame->record.size);
	case RECORDING_FORMER: return pipeline_replay_former(pipeline, frame->record.bytes, frame->record.size);
	case RECORDING_REPEAT: return "a count of repeats that nothing asks for";
	case RECORDING_HOST:
	case RECORDING_END:
	case RECORDING_TYPES_END: break;
	}
	return NULL;
}

/* Takes at most SLICE frames. */
static enum recording_result take_slice(struct pipeline *pipeline)
{
	const char *path = pipeline->settings->replay, *why = NULL;
	enum recording_result result = RECORDING_FRAME;
	struct recording_frame frame;

	for (int i = 0; i < SLICE && result == RECORDING_FRAME; i++) {
		result = recording_next(pipeline->reader, &frame, &why);
		if (result != RECORDING_FRAME)
			break;
		why = take_frame(pipeline, &frame);
		if (why)
			result = RECORDING_CORRUPT;
	}
	if (result == RECORDING_CORRUPT)
		log_error("%s: offset %llu: %s", path, (unsigned long long)frame.offset, why);
	else if (result == RECORDING_TORN)
		log_warning("%s: offset %llu: it ends here without an end: its sensor was killed, or its disk was full",
			path, (unsigned long long)frame.offset);
	return result;
}

static void wait_for_room(struct pipeline *pipeline)
{
	struct pollfd fds[] = {
		{.fd = pipeline->stream ? stream_fd(pipeline->stream) : -1, .events = POLLIN},
		{.fd = pipeline->stop_fd, .events = POLLIN},
	};

	(void)poll(fds, sizeof(fds) / sizeof(fds[0]), -1);
}

int pipeline_replay(struct pipeline *pipeline)
{
	enum recording_result result = RECORDING_FRAME;
	int error = 0;

	while (result == RECORDING_FRAME && error == 0 && !atomic_load(&pipeline->stopping)) {
		result = take_slice(pipeline);
		error = encode_flush(pipeline->encoder, clock_boottime_ns(), false);
		while (error == 0 && !encode_room(pipeline->encoder) && !atomic_load(&pipeline->stopping))
			wait_for_room(pipeline);
	}
	/* Where the end is missing, what waits for something that followed leaves as it is. */
	if (result != RECORDING_WHOLE)
		pipeline_tick(pipeline, NULL, true);
	pipeline_filtered(pipeline); /* and by rules that the recording's sensor had not */
	return error == 0 && result == RECORDING_CORRUPT ? -EBADMSG : error;
}
