/* SPDX-License-Identifier: Apache-2.0 */
/* What the sensor says of itself: does it see everything, and is it attacked? */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "event/wire.h"
#include "sensor/guard.h"

static const uint64_t guard_check_ns = 1000ull * 1000 * 1000;
static const uint64_t attribution_ns = 60ull * 1000 * 1000 * 1000;

/* The event as it goes into a recording: a Batch of it alone, in its Up. NULL without memory. */
static struct buffer *pack(const struct event *event)
{
	struct wire_batch *batch;
	struct buffer *up;

	if (wire_batch_open(&batch) < 0)
		return NULL;
	wire_batch_add(batch, event);
	up = wire_batch_finish(batch, event->host, event->sequence, event->sequence);
	wire_batch_close(batch);
	return up;
}

static void record_own(struct pipeline *pipeline, const struct event *event)
{
	struct buffer *up = pipeline->recording ? pack(event) : NULL;

	if (up)
		recording_own(pipeline->recording, pipeline->now_ns,
			(struct text){up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER});
	wire_bytes_free(up);
}

/* An event that comes of no record. */
static void send_own(struct pipeline *pipeline, struct event *event)
{
	event->time_ns = pipeline->boot_unix_ns + pipeline->now_ns;
	event->count = 1;
	pipeline_send(pipeline, event);
	record_own(pipeline, event);
}

const char *pipeline_replay_own(struct pipeline *pipeline, const void *bytes, size_t size)
{
	const char *wrong = NULL;
	char why[WIRE_WHY_SIZE];
	struct wire_events events;
	int error = wire_read(&events, bytes, size, why);

	if (error)
		return error == -ENOMEM ? "out of memory" : "an event of the sensor's own that cannot be read";
	if (events.count != 1 || events.events[0].process || events.events[0].container ||
		(events.events[0].action != EVENT_COVERAGE && events.events[0].action != EVENT_TAMPER &&
			events.events[0].action != EVENT_LOST && events.events[0].action != EVENT_BUDGET &&
			events.events[0].action != EVENT_ATTRIBUTION))
		wrong = "an event of the sensor's own that is none";
	if (!wrong)
		pipeline_send(pipeline, &events.events[0]);
	wire_free(&events);
	return wrong;
}

bool pipeline_take_canary(struct pipeline *pipeline, const struct record *record)
{
	if (!pipeline->reader && record->header->flags & KERNEL_IN_CONTAINER && !coverage_under_way(pipeline->coverage))
		return false;
	recording_record(pipeline->recording, pipeline->now_ns, record->header); /* for its number */
	if (pipeline->reader)
		return true;
	if (record->header->kind == KERNEL_OPEN && record->open->repeat)
		(void)loader_take_repeats(pipeline->loader, record->open->repeat); /* frees the number */
	coverage_take(pipeline->coverage, record);
	return true;
}

bool pipeline_unmark(struct pipeline *pipeline, struct record *record)
{
	struct buffer *copy = &pipeline->unmarked;

	buffer_clear(copy);
	buffer_append(copy, record->header, record->header->size);
	if (copy->failed)
		return false;
	((struct kernel_header *)(void *)copy->data)->flags &= (uint8_t)~KERNEL_CANARY;
	record->header = (const void *)copy->data;
	return true;
}

void pipeline_watch_missed(struct pipeline *pipeline)
{
	uint64_t missed = loader_missed(pipeline->loader), before_ns = pipeline->missed_ns;
	struct event event = {.action = EVENT_LOST};

	pipeline->missed_ns = pipeline->now_ns;
	if (missed <= pipeline->missed)
		return;
	event.lost = (struct event_lost){
		.count = missed - pipeline->missed,
		.stage = TEXT_LITERAL("kernel"),
		.cpu = -1,
		.start_ns = pipeline->boot_unix_ns + (before_ns ? before_ns : pipeline->now_ns),
		.end_ns = pipeline->boot_unix_ns + pipeline->now_ns,
	};
	pipeline->missed = missed;
	pipeline_found_missed(pipeline, event.lost.count);
	send_own(pipeline, &event);
	log_limited("up to %llu events missed: the kernel passed over programs that were running already",
		(unsigned long long)event.lost.count);
}

/* Tells what the configuration left out, if there is anything; pipeline->left_out counts what the kernel has. */
void pipeline_filtered(struct pipeline *pipeline)
{
	struct event event = {.action = EVENT_FILTERED, .count = 1};

	recording_filtered(pipeline->recording, pipeline->now_ns, pipeline->left_out);
	if (!policy_tell(pipeline->policy, pipeline->left_out, pipeline->now_ns, &event.filtered))
		return;
	event.time_ns = pipeline->boot_unix_ns + pipeline->now_ns;
	event.filtered.start_ns += pipeline->boot_unix_ns;
	event.filtered.end_ns += pipeline->boot_unix_ns;
	pipeline_send(pipeline, &event);
	log_debug("%llu events left out by record", (unsigned long long)event.filtered.count);
}

static void send_alert(struct pipeline *pipeline, const struct guard_alert *alert)
{
	struct event event = {.action = EVENT_TAMPER, .rule = &alert->rule};

	send_own(pipeline, &event);
	log_error("%s", alert->message);
}

static void tell_gone(void *context, const struct loader_hook *hook)
{
	struct guard_alert alert;

	guard_detached(&alert, hook->hook, hook->promise);
	send_alert(context, &alert);
}

static void watch_claims(struct pipeline *pipeline)
{
	uint64_t claimed = pipeline->stream ? stream_unmade(pipeline->stream) : 0;
	struct guard_alert alert;

	if (claimed == 0)
		return;
	guard_claimed(&alert, claimed);
	send_alert(pipeline, &alert);
}

static void watch_tracer(struct pipeline *pipeline, struct pipeline_guarded *guarded)
{
	pid_t tracer = guarded->status_fd >= 0 ? guard_tracer(guarded->status_fd) : 0;

	if (tracer > 0 && tracer != guarded->tracer) {
		struct guard_alert alert;

		guard_traced(&alert, tracer);
		send_alert(pipeline, &alert);
	}
	guarded->tracer = tracer;
}

/* Is somebody tracing the sensor, or has taken its programs away? Once a second. */
static void watch_guard(struct pipeline *pipeline)
{
	watch_tracer(pipeline, &pipeline->guarded[0]);
	watch_tracer(pipeline, &pipeline->guarded[1]);
	if (!loader_true(pipeline->loader)) {
		struct guard_alert alert;

		guard_forged(&alert);
		send_alert(pipeline, &alert);
	}
	watch_claims(pipeline);
	(void)loader_gone(pipeline->loader, tell_gone, pipeline);
}

/* The record is told when it says something new, the alarm at every canary that missed something. */
static void watch_coverage(struct pipeline *pipeline)
{
	uint64_t lost = loss_total(pipeline->loss, KERNEL_RING_CRITICAL) + loss_total(pipeline->loss, KERNEL_RING_BULK);
	enum coverage_news news = coverage_poll(pipeline->coverage, pipeline->now_ns, pipeline->bulk_ns, lost);
	struct event event = {.action = EVENT_COVERAGE, .coverage = *coverage_view(pipeline->coverage)};
	struct event_rule rule;

	if (news == COVERAGE_NOTHING)
		return;
	if (news == COVERAGE_NEW) {
		send_own(pipeline, &event);
		log_info("coverage: %zu promises seen, %zu missed, %zu unsupported",
			coverage_number(pipeline->coverage, EVENT_SEEN),
			coverage_number(pipeline->coverage, EVENT_MISSED),
			coverage_number(pipeline->coverage, EVENT_UNSUPPORTED));
	}
	if (!coverage_alert(pipeline->coverage, &rule))
		return;
	event.rule = &rule;
	send_own(pipeline, &event);
	log_error("%.*s", (int)rule.message.length, rule.message.data);
}

void pipeline_watch_attribution(struct pipeline *pipeline, bool final)
{
	struct container_counters now, before = pipeline->attributed;
	struct event event = {.action = EVENT_ATTRIBUTION};

	if (pipeline->attributed_ns == 0)
		pipeline->attributed_ns = pipeline->now_ns;
	if (!final && pipeline->now_ns - pipeline->attributed_ns < attribution_ns)
		return;
	container_counters(pipeline->containers, &now);
	event.attribution = (struct event_attribution){
		.pending = now.pending_late + now.pending_full + now.pending_at_once - before.pending_late -
			   before.pending_full - before.pending_at_once,
		.completed_late = now.completed_late - before.completed_late,
		.never = now.never - before.never + (final ? now.late : 0),
		.unnamed = now.late,
		.start_ns = pipeline->boot_unix_ns + pipeline->attributed_ns,
		.end_ns = pipeline->boot_unix_ns + pipeline->now_ns,
	};
	pipeline->attributed = now;
	pipeline->attributed_ns = pipeline->now_ns;
	if (!event.attribution.pending && !event.attribution.completed_late && !event.attribution.never)
		return;
	send_own(pipeline, &event);
	log_warning("%llu events left without their container's names; of %llu containers the names came late, of %llu "
		    "never, %llu wait",
		(unsigned long long)event.attribution.pending, (unsigned long long)event.attribution.completed_late,
		(unsigned long long)event.attribution.never, (unsigned long long)event.attribution.unnamed);
}

static bool read_cpu_ns(clockid_t clock, uint64_t *used_ns)
{
	struct timespec used;

	if (clock_gettime(clock, &used) < 0)
		return false;
	*used_ns += (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
	return true;
}

/*
 * Of the worker and of the loader, but not of the thread that answers strangers: they would lead the sensor to see less. False: the loader is gone, and so will the sensor be.
 */
static bool used_cpu_ns(const struct pipeline *pipeline, uint64_t *used_ns)
{
	uint64_t answering_ns = http_board_cpu_ns(pipeline->board.http); /* before the whole, of which it is a part */
	clockid_t loader;

	*used_ns = 0;
	if (loader_is_lost(pipeline->loader) || clock_getcpuclockid(loader_pid(pipeline->loader), &loader) != 0 ||
		!read_cpu_ns(CLOCK_PROCESS_CPUTIME_ID, used_ns) || !read_cpu_ns(loader, used_ns))
		return false;
	*used_ns -= answering_ns;
	return true;
}

/* Takes less where the sensor costs more than it may, and says so. */
static void watch_budget(struct pipeline *pipeline)
{
	struct budget *budget = &pipeline->budget;
	unsigned int before = budget->step;
	const struct budget_measure *measure;
	struct event event = {.action = EVENT_BUDGET};
	uint64_t used_ns;

	if (!pipeline->settings->budget_millicpu)
		return;
	if (!budget->window_ns && used_cpu_ns(pipeline, &used_ns))
		budget_open(budget, pipeline->settings->budget_millicpu, pipeline->settings->budget_window_ms * 1000000,
			used_ns, pipeline->now_ns);
	if (budget_measure(budget->step)->reads)
		policy_thinned(
			pipeline->policy); /* again and again: rules that were read anew make another one of it */
	if (!budget_due(budget, pipeline->now_ns) || !used_cpu_ns(pipeline, &used_ns) ||
		!budget_look(budget, used_ns, pipeline->now_ns))
		return;
	measure = budget_measure(budget->step);
	loader_thin_out(pipeline->loader, measure->reads, measure->others, !measure->samples);
	if (measure->reads)
		policy_thinned(pipeline->policy);
	event.budget = (struct event_budget){.step = budget->step,
		.before = before,
		.used = budget->used_millicpu,
		.limit = budget->limit_millicpu,
		.measure = text_of(measure->what),
		.start_ns = pipeline->boot_unix_ns + budget->window_began_ns,
		.end_ns = pipeline->boot_unix_ns + pipeline->now_ns};
	send_own(pipeline, &event);
	log_warning("budget: %u of %u thousandths of a CPU were used: step %u of %d: %s", budget->used_millicpu,
		budget->limit_millicpu, budget->step, BUDGET_STEPS, measure->what);
}

void pipeline_watch_health(struct pipeline *pipeline)
{
	watch_coverage(pipeline);
	watch_budget(pipeline);
	pipeline_watch_attribution(pipeline, false);
	if (pipeline->now_ns < pipeline->next_guard_ns)
		return;
	watch_guard(pipeline);
	pipeline_watch_missed(pipeline);
	pipeline->next_guard_ns = pipeline->now_ns + guard_check_ns;
}
