/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loss.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/record.h"

enum { GAPS = 32 };
static const uint64_t grace_ns = 1000ull * 1000 * 1000;

/* Numbers from first to last that have not come: `count` of them (fewer than the span where gaps were joined). */
struct gap {
	uint64_t first, last, count;
	uint64_t start_ns, end_ns; /* the records before and after it */
};

/* One numbering: of a CPU's lane, in one ring. */
struct lane {
	uint64_t last; /* the highest number known to have been given out */
	uint64_t last_ns;
	size_t gap_count;
	struct gap gaps[GAPS];
};

struct loss {
	unsigned int cpus, lanes_per_cpu;
	uint64_t total[KERNEL_RINGS];
	uint64_t known, undeclared, late;
	struct kernel_counters *declared;  /* per lane: the counters at the last declaration */
	struct lane lanes[][KERNEL_RINGS]; /* the first of each CPU, then the second, … */
};

static const enum kernel_ring ring_of[KERNEL_KINDS_END] = {
#define KIND(name, number, text, ring) [number] = (ring),
	KERNEL_KINDS(KIND)
#undef KIND
};

int loss_open(struct loss **out, unsigned int cpus, unsigned int lanes)
{
	size_t count = (size_t)cpus * lanes;
	struct loss *loss = calloc(1, sizeof(*loss) + count * sizeof(loss->lanes[0]));

	if (!loss)
		return -ENOMEM;
	loss->cpus = cpus;
	loss->lanes_per_cpu = lanes;
	loss->declared = calloc(count, sizeof(*loss->declared));
	if (!loss->declared) {
		free(loss);
		return -ENOMEM;
	}
	*out = loss;
	return 0;
}

static void add_gap(struct lane *lane, uint64_t first, uint64_t last, uint64_t end_ns)
{
	if (lane->gap_count == GAPS) {
		struct gap *newest = &lane->gaps[GAPS - 1];

		newest->last = last;
		newest->count += last - first + 1;
		newest->end_ns = end_ns;
		return;
	}
	lane->gaps[lane->gap_count++] = (struct gap){first, last, last - first + 1, lane->last_ns, end_ns};
}

/* A number below the highest: it was thought lost and has come after all. */
static bool close_gap(struct lane *lane, uint64_t sequence)
{
	for (size_t i = 0; i < lane->gap_count; i++) {
		struct gap *gap = &lane->gaps[i];

		if (sequence < gap->first || sequence > gap->last)
			continue;
		if (sequence == gap->first)
			gap->first++;
		else if (sequence == gap->last)
			gap->last--;
		if (--gap->count == 0)
			memmove(gap, gap + 1, (--lane->gap_count - i) * sizeof(*gap));
		return true;
	}
	return false;
}

/* All numbers up to this one were given out. */
static void reach(struct loss *loss, struct lane *lane, uint64_t sequence, uint64_t time_ns)
{
	loss->known += sequence - lane->last;
	lane->last = sequence;
	lane->last_ns = time_ns;
}

/* Those before it, and behind the last, have not come. */
static void miss(struct loss *loss, struct lane *lane, enum kernel_ring ring, uint64_t end, uint64_t end_ns)
{
	add_gap(lane, lane->last + 1, end - 1, end_ns);
	loss->total[ring] += end - lane->last - 1;
	loss->undeclared += end - lane->last - 1;
}

bool loss_seen(struct loss *loss, const struct kernel_header *header)
{
	unsigned int cpu = header->cpu & ((1u << KERNEL_LANE_SHIFT) - 1), of = header->cpu >> KERNEL_LANE_SHIFT;

	if (cpu >= loss->cpus || of >= loss->lanes_per_cpu)
		return false;

	struct lane *lane = &loss->lanes[of * loss->cpus + cpu][header->ring];

	if (header->sequence <= lane->last) {
		if (close_gap(lane, header->sequence)) {
			loss->total[header->ring]--;
			loss->undeclared--;
		} else {
			loss->known++;
			loss->late++;
		}
		return true;
	}
	if (header->sequence > lane->last + 1)
		miss(loss, lane, header->ring, header->sequence, header->time_ns);
	reach(loss, lane, header->sequence, header->time_ns);
	return true;
}

/* Which kinds the kernel counted as lost on this CPU and ring since the last declaration. */
static uint64_t lost_kinds(struct kernel_counters *declared, const struct kernel_counters *now, enum kernel_ring ring)
{
	uint64_t kinds = 0;

	for (int kind = 1; kind < KERNEL_KINDS_END; kind++) {
		if (ring_of[kind] != ring)
			continue;
		if (now->lost[kind] != declared->lost[kind] || now->unsent[kind] != declared->unsent[kind])
			kinds |= 1ull << record_action(kind);
		declared->lost[kind] = now->lost[kind];
		declared->unsent[kind] = now->unsent[kind];
	}
	return kinds;
}

/* Takes the gaps that have stood long enough out of the lane, and sums them up. */
static void take_gaps(struct loss *loss, struct lane *lane, uint64_t now_ns, bool final, struct event_lost *lost)
{
	size_t kept = 0;

	for (size_t i = 0; i < lane->gap_count; i++) {
		struct gap *gap = &lane->gaps[i];

		if (!final && gap->end_ns + grace_ns > now_ns) {
			lane->gaps[kept++] = *gap;
			continue;
		}
		if (lost->count == 0 || gap->first < lost->first)
			lost->first = gap->first;
		if (gap->last > lost->last)
			lost->last = gap->last;
		if (lost->count == 0 || gap->start_ns < lost->start_ns)
			lost->start_ns = gap->start_ns;
		if (gap->end_ns > lost->end_ns)
			lost->end_ns = gap->end_ns;
		lost->count += gap->count;
		loss->undeclared -= gap->count;
	}
	lane->gap_count = kept;
}

/* Repeats of opens whose own record was lost: they have no numbers of their own. */
static void take_repeats(struct loss *loss, struct kernel_counters *declared, const struct kernel_counters *now,
	uint64_t now_ns, struct event_lost *lost)
{
	uint64_t repeats = now->lost_repeats - declared->lost_repeats;

	declared->lost_repeats = now->lost_repeats;
	if (repeats == 0)
		return;
	if (lost->count == 0)
		lost->start_ns = lost->end_ns = now_ns;
	lost->count += repeats;
	loss->known += repeats;
	lost->kinds |= 1ull << EVENT_OPEN;
}

void loss_declare(struct loss *loss, const struct kernel_counters *counters, uint64_t now_ns, bool final,
	void (*report)(void *context, const struct event_lost *lost), void *context)
{
	const struct text stages[KERNEL_RINGS] = {
		[KERNEL_RING_CRITICAL] = TEXT_LITERAL("ring-critical"),
		[KERNEL_RING_BULK] = TEXT_LITERAL("ring-bulk"),
	};

	for (unsigned int i = 0; i < loss->cpus * loss->lanes_per_cpu; i++)
		for (int ring = 0; ring < KERNEL_RINGS; ring++) {
			struct lane *lane = &loss->lanes[i][ring];
			unsigned int cpu = i % loss->cpus | i / loss->cpus << KERNEL_LANE_SHIFT;
			struct event_lost lost = {.stage = stages[ring], .cpu = (int32_t)cpu};

			if (counters && counters[i].sequence[ring] > lane->last) {
				miss(loss, lane, ring, counters[i].sequence[ring] + 1, now_ns);
				reach(loss, lane, counters[i].sequence[ring], now_ns);
			}
			take_gaps(loss, lane, now_ns, final, &lost);
			if (counters && ring == KERNEL_RING_BULK)
				take_repeats(loss, &loss->declared[i], &counters[i], now_ns, &lost);
			if (lost.count == 0)
				continue;
			if (counters)
				lost.kinds |= lost_kinds(&loss->declared[i], &counters[i], ring);
			report(context, &lost);
		}
}

uint64_t loss_total(const struct loss *loss, enum kernel_ring ring)
{
	return loss->total[ring];
}

uint64_t loss_known(const struct loss *loss)
{
	return loss->known;
}

uint64_t loss_undeclared(const struct loss *loss)
{
	return loss->undeclared;
}

uint64_t loss_late(const struct loss *loss)
{
	return loss->late;
}

void loss_close(struct loss *loss)
{
	if (!loss)
		return;
	free(loss->declared);
	free(loss);
}
