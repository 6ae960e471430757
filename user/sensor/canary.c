/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/canary.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sensor/canary_inside.h"

struct canary {
	struct canary_ops ops;
	struct canary_flight *flight; /* the nest's */
	bool flies, killed;
	unsigned int progress;
	uint64_t deadline_ns;
};

const char canary_other[] = "of another deed";

static const uint64_t deadline_after_ns = CANARY_DEADLINE_MS * 1000000ull;

size_t canary_count(void)
{
	size_t count = 0;

	while (canary_rows[count].promise)
		count++;
	return count;
}

const char *canary_promise(size_t promise)
{
	return canary_rows[promise].promise;
}

const char *canary_served(size_t promise, enum canary_served which)
{
	return canary_rows[promise].served[which];
}

void deed_text(struct canary_deed *deed, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(deed->text, sizeof(deed->text), format, arguments);
	va_end(arguments);
	deed->text_length = length < 0 ? 0 : (size_t)length;
	if (deed->text_length >= sizeof(deed->text))
		deed->text_length = sizeof(deed->text) - 1;
}

int canary_start(struct canary **out, const struct canary_ops *ops)
{
	struct canary *canary = calloc(1, sizeof(*canary));
	int error;

	if (!canary)
		return -ENOMEM;
	canary->ops = *ops;
	canary->flight = canary_flight(ops->nest);
	memset(canary->flight, 0, sizeof(*canary->flight));
	canary->deadline_ns = clock_boottime_ns() + deadline_after_ns;
	error = ops->start(ops->context);
	if (error) {
		free(canary);
		return error;
	}
	canary->flies = true;
	*out = canary;
	return 0;
}

enum canary_state canary_poll(struct canary *canary, uint64_t now_ns)
{
	unsigned int progress = atomic_load(&canary->flight->progress);

	if (!canary->flies)
		return CANARY_LANDED;
	if (canary->ops.landed(canary->ops.context)) {
		canary->flies = false;
		return CANARY_LANDED;
	}
	if (progress != canary->progress) {
		canary->progress = progress;
		canary->deadline_ns = now_ns + deadline_after_ns;
	} else if (now_ns > canary->deadline_ns && !canary->killed) {
		canary->killed = true;
		canary->ops.end(canary->ops.context);
	}
	return CANARY_FLIES;
}

enum canary_outcome canary_outcome(const struct canary *canary, size_t promise, int *error)
{
	const struct canary_deed *deed = &canary->flight->deeds[promise];

	*error = 0;
	switch (atomic_load(&deed->state)) {
	case DEED_DONE: return CANARY_DONE;
	case DEED_REFUSED: *error = deed->error; return CANARY_REFUSED;
	case DEED_BEGUN: return CANARY_HUNG;
	default: *error = atomic_load(&canary->flight->error); return CANARY_NOT_REACHED;
	}
}

const char *canary_differs(const struct canary *canary, size_t promise, const struct record *record)
{
	const struct canary_row *row = &canary_rows[promise];

	if (record->header->kind != row->kind)
		return canary_other;
	return row->differs(record, &canary->flight->deeds[promise]);
}

void canary_close(struct canary *canary)
{
	if (!canary)
		return;
	if (canary->flies)
		canary->ops.end(canary->ops.context);
	for (int i = 0; canary->flies && i < CANARY_DEADLINE_MS; i++) {
		canary->flies = !canary->ops.landed(canary->ops.context);
		if (canary->flies)
			(void)poll(NULL, 0, 1);
	}
	free(canary);
}
