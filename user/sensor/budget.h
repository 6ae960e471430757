/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sensor may cost: above it less is taken, in steps, and below it all again. Steps come one after another, each after a
 * window in which its effect could be seen; the way back takes longer, so that it does not swing.
 *
 * Only numbers come in and go out: it knows neither clocks nor the kernel.
 */
#ifndef TAFFRAIL_SENSOR_BUDGET_H
#define TAFFRAIL_SENSOR_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
	BUDGET_STEPS = 4, /* beside 0, at which nothing is left out */
	BUDGET_CALM =
		3, /* so many windows below the budget lead one step back; twice as many after each that led nowhere … */
	BUDGET_CALM_MAX = 48, /* … up to this */
};

/* What a step leaves out. Each has what those before it leave out, or more. */
struct budget_measure {
	bool samples;        /* first bytes are taken */
	unsigned int reads;  /* of opens that only read 1 of 2^reads is told */
	unsigned int others; /* of the other opens 1 of 2^others */
	const char *what;    /* a sentence */
};

const struct budget_measure *budget_measure(unsigned int step);

struct budget {
	uint32_t limit_millicpu; /* thousandths of a CPU; 0: there is none */
	uint64_t window_ns;
	/* Since the window began. */
	uint64_t began_ns, cpu_ns;
	unsigned int step, calm, needed; /* windows below it, and how many lead back */
	bool returned;                   /* the last step led back */
	/* For metrics, and for what is told. */
	uint32_t used_millicpu;            /* in the last window */
	uint64_t window_began_ns, changes; /* when that began; how often the step has changed */
};

/* `cpu_ns`: what both processes have used so far; `now_ns`: of any clock that does not go back. */
void budget_open(struct budget *budget, uint32_t limit_millicpu, uint64_t window_ns, uint64_t cpu_ns, uint64_t now_ns);

/* Is a window over? Asked again and again, and only then it is read what was used. Never without a limit. */
bool budget_due(const struct budget *budget, uint64_t now_ns);

/* At the end of a window it judges. True: the step is another one now. */
bool budget_look(struct budget *budget, uint64_t cpu_ns, uint64_t now_ns);

/* "5%" of one CPU, or "50m" thousandths: in these. False: it is neither, or not from 1m to 1,000,000m. */
bool budget_parse(const char *word, uint32_t *millicpu);

#endif
