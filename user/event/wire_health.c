/* SPDX-License-Identifier: Apache-2.0 */
/* Losses and coverage on the wire: what is rare, and may take memory for it. */
#include <stdlib.h>
#include <string.h>

#include "event/wire_inside.h"

char *wire_string(struct wire_strings *strings, struct text text)
{
	char *string = strings->room + strings->used;

	if (text.length == 0 || strings->used + text.length + 1 > strings->size)
		return (char *)(uintptr_t)protobuf_c_empty_string;
	memcpy(string, text.data, text.length);
	string[text.length] = '\0';
	strings->used += text.length + 1;
	return string;
}

void wire_set_lost(Taffrail__V1__Event *message, struct wire_health *health, const struct event_lost *lost)
{
	struct wire_strings strings = {.room = health->stage, .size = sizeof(health->stage)};

	taffrail__v1__lost__init(&health->lost);
	health->lost.count = lost->count;
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (lost->kinds >> action & 1 && event_action_name((enum event_action)action))
			health->kinds[health->lost.n_kind++] = (Taffrail__V1__Action)action;
	health->lost.kind = health->kinds;
	health->lost.stage = wire_string(&strings, lost->stage);
	health->lost.cpu = lost->cpu;
	health->lost.first = lost->first;
	health->lost.last = lost->last;
	health->lost.start_ns = lost->start_ns;
	health->lost.end_ns = lost->end_ns;
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_LOST;
	message->lost = &health->lost;
}

void wire_set_filtered(Taffrail__V1__Event *message, struct wire_health *health, const struct event_filtered *filtered)
{
	taffrail__v1__filtered__init(&health->filtered);
	health->filtered.count = filtered->count;
	health->filtered.in_kernel = filtered->in_kernel;
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (filtered->counts[action]) {
			health->counts[health->filtered.n_kind] = filtered->counts[action];
			health->kinds[health->filtered.n_kind++] = (Taffrail__V1__Action)action;
		}
	health->filtered.n_kind_count = health->filtered.n_kind;
	health->filtered.kind = health->kinds;
	health->filtered.kind_count = health->counts;
	health->filtered.start_ns = filtered->start_ns;
	health->filtered.end_ns = filtered->end_ns;
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_FILTERED;
	message->filtered = &health->filtered;
}

static size_t promises_size(const struct event_coverage *coverage)
{
	size_t size = coverage->release.length + coverage->mode.length + 2;

	for (size_t i = 0; i < coverage->count; i++) {
		const struct event_promise *promise = &coverage->promises[i];

		size += sizeof(Taffrail__V1__Promise) + sizeof(Taffrail__V1__Promise *) + promise->promise.length +
			promise->hook.length + promise->reason.length + 3;
	}
	return size;
}

void wire_set_coverage(Taffrail__V1__Event *message, struct wire_health *health, const struct event_coverage *coverage)
{
	size_t size = promises_size(coverage), lists;
	Taffrail__V1__Promise *promises;
	Taffrail__V1__Promise **pointers;
	struct wire_strings strings;

	taffrail__v1__coverage__init(&health->coverage);
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_COVERAGE;
	message->coverage = &health->coverage;
	health->room = promises = malloc(size);
	if (!promises)
		return;
	pointers = (void *)(promises + coverage->count);
	lists = coverage->count * (sizeof(*promises) + sizeof(Taffrail__V1__Promise *));
	strings = (struct wire_strings){.room = (char *)promises + lists, .size = size - lists};
	for (size_t i = 0; i < coverage->count; i++) {
		const struct event_promise *from = &coverage->promises[i];

		taffrail__v1__promise__init(&promises[i]);
		promises[i].promise = wire_string(&strings, from->promise);
		promises[i].hook = wire_string(&strings, from->hook);
		promises[i].reason = wire_string(&strings, from->reason);
		promises[i].state = (Taffrail__V1__PromiseState)from->state;
		pointers[i] = &promises[i];
	}
	health->coverage.n_promise = coverage->count;
	health->coverage.promise = pointers;
	health->coverage.kernel_release = wire_string(&strings, coverage->release);
	health->coverage.kernel_mode = wire_string(&strings, coverage->mode);
}

void wire_set_attribution(
	Taffrail__V1__Event *message, struct wire_health *health, const struct event_attribution *attribution)
{
	taffrail__v1__attribution__init(&health->attribution);
	health->attribution.pending = attribution->pending;
	health->attribution.completed_late = attribution->completed_late;
	health->attribution.never = attribution->never;
	health->attribution.unnamed = attribution->unnamed;
	health->attribution.start_ns = attribution->start_ns;
	health->attribution.end_ns = attribution->end_ns;
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_ATTRIBUTION;
	message->attribution = &health->attribution;
}

void wire_set_budget(Taffrail__V1__Event *message, struct wire_health *health, const struct event_budget *budget)
{
	taffrail__v1__budget__init(&health->budget);
	health->budget.step = budget->step;
	health->budget.before = budget->before;
	health->budget.used = budget->used;
	health->budget.limit = budget->limit;
	if (budget->measure.length > 0)
		health->budget.measure = (char *)(uintptr_t)budget->measure.data;
	health->budget.start_ns = budget->start_ns;
	health->budget.end_ns = budget->end_ns;
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_BUDGET;
	message->budget = &health->budget;
}

void wire_read_budget(struct event_budget *budget, const Taffrail__V1__Budget *message)
{
	*budget = (struct event_budget){
		.step = message->step,
		.before = message->before,
		.used = message->used,
		.limit = message->limit,
		.measure = text_of(message->measure),
		.start_ns = message->start_ns,
		.end_ns = message->end_ns,
	};
}

void wire_read_lost(struct event_lost *lost, const Taffrail__V1__Lost *message)
{
	lost->count = message->count;
	for (size_t i = 0; i < message->n_kind; i++) {
		int kind = (int)message->kind[i]; /* proto3's enums are open: any number may stand there */

		if (event_action_name((enum event_action)kind))
			lost->kinds |= 1ull << kind;
	}
	lost->stage = text_of(message->stage);
	lost->cpu = message->cpu;
	lost->first = message->first;
	lost->last = message->last;
	lost->start_ns = message->start_ns;
	lost->end_ns = message->end_ns;
}

bool wire_read_promises(struct event_promise *promises, const Taffrail__V1__Coverage *message)
{
	for (size_t i = 0; i < message->n_promise; i++) {
		const Taffrail__V1__Promise *from = message->promise[i];

		if (!event_promise_state_name((enum event_promise_state)from->state))
			return false;
		promises[i] = (struct event_promise){text_of(from->promise), text_of(from->hook), text_of(from->reason),
			(enum event_promise_state)from->state};
	}
	return true;
}

void wire_read_attribution(struct event_attribution *attribution, const Taffrail__V1__Attribution *message)
{
	*attribution = (struct event_attribution){
		.pending = message->pending,
		.completed_late = message->completed_late,
		.never = message->never,
		.unnamed = message->unnamed,
		.start_ns = message->start_ns,
		.end_ns = message->end_ns,
	};
}
