/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many sensors at one collector: what it takes, how long it takes to acknowledge, and whether slow ones make the others slow.
 *
 *	bench-sensors --collector ADDR [OPTIONS]
 *
 * What happens is told on stdout, a JSON object a line: {"up": S} once all sensors were answered, {"back": S, "lost": N} once all
 * are again, so many seconds after the first was lost; a phase's figures at its end; and the counters last of all. SIGUSR1
 * cuts all connections at once.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/options.h"
#include "grpc/tls.h"
#include "sensors.h"

enum { LOOK_MS = 20 };

struct bench {
	/* What it was told. */
	char *collector, *prefix, *slow_kind, *ca, *certificate, *key;
	uint64_t sensors, events, batches, window, interval_us, limit_ms, phase_ms;
	struct config_list slow; /* of each phase: how many slow ones */

	struct event_base *base;
	struct grpc_tls *tls;
	struct crowd *crowd;
	struct event *look, *signal, *phase_end;
	size_t phase;
	uint64_t start_ns, phase_ns, lost_ns, losses;
	double cpu;
	bool up, whole, late;
};

static double seconds_since(uint64_t then_ns)
{
	return (double)(clock_boottime_ns() - then_ns) / 1e9;
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- phases ------------------------------------------------------------------------------------------------------------- */

static uint64_t slow_now(const struct bench *bench)
{
	return bench->phase < bench->slow.count ? strtoull(bench->slow.items[bench->phase], NULL, 10) : 0;
}

static enum sensor_kind kind_of(const char *word)
{
	static const char *const words[] = {[SENSOR_DEAF] = "deaf",
		[SENSOR_BLOCKED] = "blocked",
		[SENSOR_TRICKLE] = "trickle",
		[SENSOR_KINDS] = "mixed"};

	for (enum sensor_kind kind = SENSOR_DEAF; word && kind <= SENSOR_KINDS; kind++)
		if (strcmp(word, words[kind]) == 0)
			return kind;
	return SENSOR_ORDINARY;
}

static void begin_phase(struct bench *bench)
{
	struct crowd_figures since;
	int error = crowd_add_slow(bench->crowd, slow_now(bench), kind_of(bench->slow_kind));

	if (error) {
		fprintf(stderr, "bench-sensors: slow sensors: %s\n", strerror(-error));
		exit(1);
	}
	crowd_measure(bench->crowd, &since);
	bench->phase_ns = clock_boottime_ns();
	bench->cpu = cpu_seconds();
	if (bench->batches == UINT64_MAX)
		event_add(bench->phase_end, &(struct timeval){(time_t)(bench->phase_ms / 1000),
						    (suseconds_t)(bench->phase_ms % 1000 * 1000)});
}

static void print_figures(struct bench *bench)
{
	double seconds = seconds_since(bench->phase_ns), cpu = cpu_seconds() - bench->cpu;
	struct crowd_figures figures;

	crowd_measure(bench->crowd, &figures);
	printf("{\"phase\": %zu, \"slow\": %llu, \"seconds\": %.3f, \"batches\": %llu, \"events\": %llu, \"bytes\": "
	       "%llu, "
	       "\"events_per_s\": %.0f, \"mib_per_s\": %.2f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
	       "\"least\": %llu, \"median\": %llu, \"most\": %llu, \"own_cpu\": %.3f}\n",
		bench->phase, (unsigned long long)slow_now(bench), seconds, (unsigned long long)figures.batches,
		(unsigned long long)figures.events, (unsigned long long)figures.bytes, (double)figures.events / seconds,
		(double)figures.bytes / seconds / (1 << 20), (double)figures.p50_us / 1e3, (double)figures.p99_us / 1e3,
		(double)figures.max_us / 1e3, (unsigned long long)figures.least, (unsigned long long)figures.median,
		(unsigned long long)figures.most, cpu / seconds);
	fflush(stdout);
}

static void on_phase_end(evutil_socket_t fd, short what, void *context)
{
	struct bench *bench = context;

	(void)fd;
	(void)what;
	print_figures(bench);
	crowd_remove_slow(bench->crowd);
	if (++bench->phase < bench->slow.count)
		begin_phase(bench);
	else
		event_base_loopbreak(bench->base);
}

/* --- what happens ------------------------------------------------------------------------------------------------------- */

static void on_up(void *context)
{
	struct bench *bench = context;
	struct crowd_counters counters;

	crowd_counters(bench->crowd, &counters);
	if (!bench->up) {
		printf("{\"up\": %.3f}\n", seconds_since(bench->start_ns));
		bench->up = true;
		begin_phase(bench);
	} else {
		printf("{\"back\": %.3f, \"lost\": %llu}\n", bench->lost_ns ? seconds_since(bench->lost_ns) : 0,
			(unsigned long long)(counters.losses - bench->losses));
	}
	bench->losses = counters.losses;
	bench->lost_ns = 0;
	fflush(stdout);
}

static void check_end(struct bench *bench)
{
	struct crowd_counters counters;

	crowd_counters(bench->crowd, &counters);
	/* All that were lost meanwhile are there again, too. */
	if (bench->whole && counters.greeted == bench->sensors) {
		print_figures(bench);
		event_base_loopbreak(bench->base);
	}
}

static void on_all(void *context)
{
	struct bench *bench = context;

	bench->whole = true;
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
	struct bench *bench = context;
	struct crowd_counters counters;

	(void)fd;
	(void)what;
	crowd_counters(bench->crowd, &counters);
	if (counters.losses > bench->losses && bench->lost_ns == 0)
		bench->lost_ns = clock_boottime_ns();
	if (bench->limit_ms && seconds_since(bench->start_ns) * 1000 > (double)bench->limit_ms) {
		bench->late = true;
		event_base_loopbreak(bench->base);
	}
	check_end(bench);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct bench *bench = context;

	(void)number;
	(void)what;
	crowd_cut(bench->crowd);
}

/* --- opening ------------------------------------------------------------------------------------------------------------ */

static int read_options(struct bench *bench, int argc, char **argv)
{
	const struct config_key keys[] = {
		{"collector", CONFIG_TEXT, &bench->collector, 0, 0, ""},
		{"prefix", CONFIG_TEXT, &bench->prefix, 0, 0, ""},
		{"sensors", CONFIG_NUMBER, &bench->sensors, 1, 100000, ""},
		{"events", CONFIG_NUMBER, &bench->events, 1, 100000, ""},
		{"batches", CONFIG_NUMBER, &bench->batches, 1, 0, ""},
		{"window", CONFIG_NUMBER, &bench->window, 1, SENSOR_WINDOW_MAX, ""},
		{"interval", CONFIG_DURATION, &bench->interval_us, 0, 0, ""},
		{"limit", CONFIG_DURATION, &bench->limit_ms, 0, 0, ""},
		{"phase", CONFIG_DURATION, &bench->phase_ms, 1, 0, ""},
		{"slow", CONFIG_LIST, &bench->slow, 0, 0, ""},
		{"slow_kind", CONFIG_TEXT, &bench->slow_kind, 0, 0, ""},
		{"tls.ca", CONFIG_TEXT, &bench->ca, 0, 0, ""},
		{"tls.cert", CONFIG_TEXT, &bench->certificate, 0, 0, ""},
		{"tls.key", CONFIG_TEXT, &bench->key, 0, 0, ""},
		CONFIG_END,
	};
	static const struct option_spec options[] = {
		{"collector", "ADDR", "collector", "where the collector listens"},
		{"prefix", "TEXT", "prefix", "what the hosts' ids begin with (sensor)"},
		{"sensors", "N", "sensors", "ordinary ones (1000)"},
		{"events", "N", "events", "of a batch (100)"},
		{"batches", "N", "batches", "of each sensor, then it ends; else it ends after the last phase"},
		{"window", "N", "window", "batches of a sensor under way (4)"},
		{"interval", "TIME", "interval", "between two of its batches; else as fast as they are acknowledged"},
		{"limit", "TIME", "limit", "at the latest it ends then, with 1"},
		{"phase", "TIME", "phase", "how long a phase is (5s)"},
		{"slow", "N", "slow", "slow sensors beside them, one for each phase; may be repeated"},
		{"slow-kind", "KIND", "slow_kind", "deaf, blocked, trickle or mixed (mixed)"},
		{"tls-ca", "FILE", "tls.ca", NULL},
		{"tls-cert", "FILE", "tls.cert", NULL},
		{"tls-key", "FILE", "tls.key", "mutual TLS; the slow ones are all deaf then"},
		{0},
	};
	const struct program_spec program = {.name = "bench-sensors",
		.usage = "--collector ADDR [OPTIONS]",
		.summary = "many sensors at one collector",
		.options = options,
		.keys = keys,
		.no_file = true,
		.notes = "Exit: 0 all was acknowledged and nothing forgotten; 1 it was not; 2 wrong usage."};
	int code = options_read(&program, argc, argv);

	bench->interval_us *= 1000;
	if (code < 0 && !bench->collector)
		return options_wrong("it needs --collector ADDR");
	if (code < 0 && bench->slow_kind && !kind_of(bench->slow_kind))
		return options_wrong("--slow-kind is deaf, blocked, trickle or mixed");
	return code;
}

static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_bench(struct bench *bench)
{
	struct crowd_options options = {
		.prefix = bench->prefix ? bench->prefix : "sensor",
		.sensors = bench->sensors,
		.events = bench->events,
		.batches = bench->batches,
		.window = bench->window,
		.interval_us = bench->interval_us,
		.on_up = on_up,
		.on_all = on_all,
		.context = bench,
	};
	const struct timeval look = {0, LOOK_MS * 1000};
	char why[300];

	if (grpc_address_parse(bench->collector, &options.address, why, sizeof(why)) < 0 ||
		(bench->ca &&
			grpc_tls_open(&bench->tls, bench->ca, bench->certificate, bench->key, why, sizeof(why)) < 0)) {
		fprintf(stderr, "bench-sensors: %s\n", why);
		return -EINVAL;
	}
	if (bench->tls)
		bench->slow_kind = "deaf";
	options.tls = bench->tls;
	options.base = bench->base = event_base_new();
	bench->look = event_new(bench->base, -1, EV_PERSIST, on_look, bench);
	bench->signal = evsignal_new(bench->base, SIGUSR1, on_signal, bench);
	bench->phase_end = evtimer_new(bench->base, on_phase_end, bench);
	event_add(bench->look, &look);
	event_add(bench->signal, NULL);
	bench->start_ns = clock_boottime_ns();
	return crowd_open(&bench->crowd, &options);
}

static int report(const struct bench *bench)
{
	struct crowd_counters counters;

	crowd_counters(bench->crowd, &counters);
	printf("{\"greeted\": %llu, \"whole\": %llu, \"losses\": %llu, \"forgotten\": %llu, \"slow_ended\": %llu}\n",
		(unsigned long long)counters.greeted, (unsigned long long)counters.whole,
		(unsigned long long)counters.losses, (unsigned long long)counters.forgotten,
		(unsigned long long)counters.slow_ended);
	if (bench->late || counters.losses > 0)
		fprintf(stderr, "bench-sensors: the last that was lost: %s\n", counters.said);
	return bench->late || counters.forgotten > 0;
}

int main(int argc, char **argv)
{
	struct bench bench = {.sensors = 1000,
		.events = 100,
		.batches = UINT64_MAX,
		.window = 4,
		.phase_ms = 5000,
		.slow_kind = NULL};
	int code = read_options(&bench, argc, argv), error;

	if (code >= 0)
		return code;
	if (!bench.slow_kind)
		bench.slow_kind = "mixed";
	raise_limit();
	error = open_bench(&bench);
	if (error) {
		fprintf(stderr, "bench-sensors: %s\n", strerror(-error));
		return 1;
	}
	event_base_dispatch(bench.base);
	code = report(&bench);
	crowd_close(bench.crowd);
	event_free(bench.look);
	event_free(bench.signal);
	event_free(bench.phase_end);
	event_base_free(bench.base);
	grpc_tls_close(bench.tls);
	return code;
}
