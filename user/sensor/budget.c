/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/budget.h"

#include <stdlib.h>
#include <string.h>

/*
 * First what costs least to miss: first bytes are for detectors and for names beside DNS. Then opens that only read, which are
 * most of what a node does; those that write last, and none of them all. What is executed and who is talked to is never left out.
 */
static const struct budget_measure measures[BUDGET_STEPS + 1] = {
	{true, 0, 0, "nothing is left out"},
	{false, 0, 0, "first bytes of flows are not taken, but of DNS"},
	{false, 3, 0, "besides, of opens that only read 1 of 8 is told"},
	{false, 6, 0, "besides, of opens that only read 1 of 64 is told"},
	{false, 10, 6, "besides, of opens that only read 1 of 1024 is told, of the others 1 of 64"},
};

const struct budget_measure *budget_measure(unsigned int step)
{
	return &measures[step <= BUDGET_STEPS ? step : BUDGET_STEPS];
}

void budget_open(struct budget *budget, uint32_t limit_millicpu, uint64_t window_ns, uint64_t cpu_ns, uint64_t now_ns)
{
	*budget = (struct budget){.limit_millicpu = limit_millicpu,
		.window_ns = window_ns,
		.began_ns = now_ns,
		.cpu_ns = cpu_ns,
		.needed = BUDGET_CALM};
}

static void step_up(struct budget *budget)
{
	/* It had come back too soon: what was left out is what it costs. */
	if (budget->returned && budget->needed < BUDGET_CALM_MAX)
		budget->needed *= 2;
	budget->returned = false;
	budget->calm = 0;
	budget->step++;
	budget->changes++;
}

static void step_down(struct budget *budget)
{
	budget->returned = true;
	budget->calm = 0;
	budget->step--;
	budget->changes++;
}

bool budget_due(const struct budget *budget, uint64_t now_ns)
{
	return budget->limit_millicpu && now_ns - budget->began_ns >= budget->window_ns;
}

bool budget_look(struct budget *budget, uint64_t cpu_ns, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - budget->began_ns, used;
	unsigned int before = budget->step;

	if (!budget_due(budget, now_ns))
		return false;
	used = cpu_ns > budget->cpu_ns ? (cpu_ns - budget->cpu_ns) * 1000 / passed_ns : 0;
	budget->used_millicpu = used < UINT32_MAX ? (uint32_t)used : UINT32_MAX;
	budget->window_began_ns = budget->began_ns;
	budget->began_ns = now_ns;
	budget->cpu_ns = cpu_ns;
	if (used > budget->limit_millicpu) {
		budget->calm = 0;
		if (budget->step < BUDGET_STEPS)
			step_up(budget);
	} else if (used * 10 > (uint64_t)budget->limit_millicpu * 7) {
		budget->calm = 0; /* near it: neither more nor less */
	} else if (++budget->calm >= budget->needed) {
		if (budget->step > 0) {
			step_down(budget);
		} else { /* all is told, and it costs little: whatever it was is over */
			budget->calm = 0;
			budget->needed = BUDGET_CALM;
			budget->returned = false;
		}
	}
	return budget->step != before;
}

bool budget_parse(const char *word, uint32_t *millicpu)
{
	char *end;
	double number = strtod(word, &end);

	if (end == word || word[0] < '0' || word[0] > '9' || strpbrk(word, "xXpPeE"))
		return false;
	if (strcmp(end, "%") == 0)
		number *= 10;
	else if (strcmp(end, "m") != 0)
		return false;
	if (!(number >= 1 && number <= 1000000))
		return false;
	*millicpu = (uint32_t)number;
	return true;
}
