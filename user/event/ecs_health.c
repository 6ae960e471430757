/* SPDX-License-Identifier: Apache-2.0 */
/* What an ECS document tells of the sensor itself. */
#include "event/ecs_document.h"

void put_own_lost(struct document *document)
{
	const struct event_lost *lost = &document->event->lost;
	struct json *json = &document->json;

	json_key(json, "lost");
	json_object_begin(json);
	json_member_unsigned(json, "count", lost->count);
	json_key(json, "kinds");
	json_array_begin(json);
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (lost->kinds >> action & 1 && event_action_name((enum event_action)action))
			put_name(json, event_action_name(action));
	json_array_end(json);
	put_text(document, "stage", "taffrail.lost.stage", lost->stage);
	if (lost->cpu >= 0)
		json_member_signed(json, "cpu", lost->cpu);
	if (lost->last > 0) {
		json_key(json, "first");
		put_number_text(json, lost->first);
		json_key(json, "last");
		put_number_text(json, lost->last);
	}
	json_object_end(json);
}

void put_own_coverage(struct document *document)
{
	const struct event_coverage *coverage = &document->event->coverage;
	struct json *json = &document->json;
	struct json_mark mark = json_optional_begin(json, "kernel");

	put_text(document, "release", "taffrail.kernel.release", coverage->release);
	put_text(document, "mode", "taffrail.kernel.mode", coverage->mode);
	json_optional_end(json, mark);
	json_key(json, "coverage");
	json_array_begin(json);
	for (size_t i = 0; i < coverage->count; i++) {
		const struct event_promise *promise = &coverage->promises[i];

		json_object_begin(json);
		put_text(document, "promise", "taffrail.coverage.promise", promise->promise);
		put_text(document, "hook", "taffrail.coverage.hook", promise->hook);
		json_key(json, "state");
		put_name(json, event_promise_state_name(promise->state));
		put_text(document, "reason", "taffrail.coverage.reason", promise->reason);
		json_object_end(json);
	}
	json_array_end(json);
}

void put_own_filtered(struct document *document)
{
	const struct event_filtered *filtered = &document->event->filtered;
	struct json *json = &document->json;

	json_key(json, "filtered");
	json_object_begin(json);
	json_member_unsigned(json, "count", filtered->count);
	json_member_unsigned(json, "in_kernel", filtered->in_kernel);
	json_key(json, "kinds");
	json_array_begin(json);
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (filtered->counts[action])
			put_name(json, event_action_name(action));
	json_array_end(json);
	json_key(json, "counts");
	json_object_begin(json);
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (filtered->counts[action]) {
			json_key_text(json, text_of(event_action_name(action)));
			json_unsigned(json, filtered->counts[action]);
		}
	json_object_end(json);
	json_object_end(json);
}

void put_own_budget(struct document *document)
{
	const struct event_budget *budget = &document->event->budget;
	struct json *json = &document->json;

	json_key(json, "budget");
	json_object_begin(json);
	json_member_unsigned(json, "step", budget->step);
	json_member_unsigned(json, "before", budget->before);
	json_member_unsigned(json, "used_millicpu", budget->used);
	json_member_unsigned(json, "limit_millicpu", budget->limit);
	put_text(document, "measure", "taffrail.budget.measure", budget->measure);
	json_object_end(json);
}

void put_own_attribution(struct document *document)
{
	const struct event_attribution *attribution = &document->event->attribution;
	struct json *json = &document->json;

	json_key(json, "attribution");
	json_object_begin(json);
	json_member_unsigned(json, "pending", attribution->pending);
	json_member_unsigned(json, "completed_late", attribution->completed_late);
	json_member_unsigned(json, "never", attribution->never);
	json_member_unsigned(json, "unnamed", attribution->unnamed);
	json_object_end(json);
}
