/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the detectors of outbound behaviour cost: nanoseconds for each thing that they are told, and bytes for each program that
 * they remember. One line each; the fastest of some rounds, in time of the processor.
 */
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "detect/outbound.h"

enum { PROGRAMS = 200, ROUNDS = 25, TIMES = 20000 };

static const uint64_t second = 1000ull * 1000 * 1000;

static struct outbound_settings settings;
static struct event_process programs[PROGRAMS];
static char paths[PROGRAMS][32];
static uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
static uint64_t now_ns;
static size_t findings;

static void count_finding(void *context, const struct outbound_finding *finding)
{
	(void)context;
	(void)finding;
	findings++;
}

static struct outbound *open_outbound(void)
{
	const struct outbound_ops ops = {.finding = count_finding, .seed = 7};
	struct outbound *outbound;

	if (outbound_open(&outbound, &settings, &ops) < 0)
		abort();
	now_ns = 1700000000 * second;
	return outbound;
}

static struct outbound_who who_of(unsigned int i)
{
	return (struct outbound_who){container_id, &programs[i % PROGRAMS]};
}

static struct flow flow_to(bool inside, unsigned int i, uint16_t port, uint8_t transport)
{
	struct flow flow = {.start_ns = now_ns,
		.local = {.family = AF_INET, .bytes = {10, 1, 1, 1}, .port = 40000 + i % 20000},
		.remote = {.family = AF_INET, .port = port},
		.transport = transport,
		.state = transport == IPPROTO_TCP ? FLOW_ESTABLISHED : FLOW_OPEN,
		.packets_in = 1};

	memcpy(flow.remote.bytes,
		(uint8_t[]){inside ? 10 : 198, inside ? 2 : 18, (uint8_t)(i / 200), (uint8_t)(i % 200 + 1)}, 4);
	return flow;
}

/* --- what is done --------------------------------------------------------------------------------------------------------- */

static void exec_one(struct outbound *outbound, unsigned int i)
{
	const struct outbound_who who = who_of(i);

	outbound_exec(outbound, &who, now_ns);
}

static void file_one(struct outbound *outbound, unsigned int i)
{
	static const struct text names[] = {TEXT_STATIC("/data/a"), TEXT_STATIC("/data/b"),
		TEXT_STATIC("/usr/lib/libc.so.6"), TEXT_STATIC("/var/log/app.log")};
	const struct outbound_who who = who_of(i / 4);

	outbound_file(outbound, &who, names[i % 4], i % 2, now_ns);
}

/* A flow of a service to the inside: it begins, and is told of once more. */
static void inside_one(struct outbound *outbound, unsigned int i)
{
	const struct outbound_who who = who_of(i / 4);
	struct flow flow = flow_to(true, i / 4 % 5, 5432, IPPROTO_TCP);

	outbound_flow(outbound, &who, &flow, now_ns);
}

/* … to three ends outside, with some bytes. */
static void outside_one(struct outbound *outbound, unsigned int i)
{
	const struct outbound_who who = who_of(i / 4);
	struct flow flow = flow_to(false, i / 4 % 3, 443, IPPROTO_TCP);

	flow.name = TEXT_LITERAL("api.example");
	flow.bytes_out = 1000;
	outbound_flow(outbound, &who, &flow, now_ns);
}

/* … to many ends outside: a program with a detector of peers. */
static void crawler_one(struct outbound *outbound, unsigned int i)
{
	const struct outbound_who who = who_of(0);
	struct flow flow = flow_to(false, i, 443, IPPROTO_TCP);

	outbound_flow(outbound, &who, &flow, now_ns);
}

static void say(
	struct outbound *outbound, unsigned int i, const void *bytes, size_t length, uint8_t transport, uint16_t port)
{
	static struct flow flow;
	const struct outbound_who who = who_of(i / 4);
	struct flow_message message = {.time_ns = now_ns, .out = true, .number = i % 4};

	flow = flow_to(false, 1, port, transport);
	message.payload = (struct payload){bytes, length, length, transport, 40000, port};
	outbound_message(outbound, &who, &flow, &message);
}

static void http_one(struct outbound *outbound, unsigned int i)
{
	static const char text[] = "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: x";

	say(outbound, i, text, sizeof(text) - 1, IPPROTO_TCP, 80);
}

static void dns_one(struct outbound *outbound, unsigned int i)
{
	static const char text[] = "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03"
				   "www\x07"
				   "example\x03"
				   "org\0\0\x01\0\x01";

	say(outbound, i, text, sizeof(text) - 1, IPPROTO_UDP, 53);
}

static void random_one(struct outbound *outbound, unsigned int i)
{
	uint8_t bytes[64];

	for (size_t j = 0; j < sizeof(bytes); j++)
		bytes[j] = (uint8_t)(0x80 | (i * 31 + j * 7));
	say(outbound, i, bytes, sizeof(bytes), IPPROTO_UDP, 7000);
}

/* --- measuring ------------------------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void measure(const char *name, void (*one)(struct outbound *outbound, unsigned int i))
{
	struct outbound *outbound = open_outbound();
	double ns[ROUNDS] = {0};

	for (int round = -1; round < ROUNDS; round++) {
		double start = seconds();

		for (unsigned int i = 0; i < TIMES; i++) {
			now_ns += second / 5000;
			one(outbound, i);
		}
		if (round >= 0)
			ns[round] = (seconds() - start) * 1e9 / TIMES;
	}
	qsort(ns, ROUNDS, sizeof(*ns), compare);
	printf("%-44s %8.0f ns\n", name, ns[0]);
	outbound_close(outbound);
}

static void weigh(const char *name, void (*one)(struct outbound *outbound, unsigned int i), unsigned int times)
{
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	struct outbound *outbound = open_outbound();
	struct outbound_counters counters;
	size_t bytes;

	for (unsigned int i = 0; i < times; i++)
		one(outbound, i);
	outbound_counters(outbound, &counters);
	bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	printf("%-44s %8zu bytes each of %llu\n", name, bytes / (counters.active + counters.idle),
		(unsigned long long)(counters.active + counters.idle));
	outbound_close(outbound);
}

static void tick_all(void)
{
	struct outbound *outbound = open_outbound();
	double start;

	for (unsigned int i = 0; i < 64; i++)
		for (unsigned int j = 0; j < 200; j++) {
			const struct outbound_who who = who_of(i);
			struct flow flow = flow_to(false, j, (uint16_t)(1000 + 13 * j), IPPROTO_TCP);

			outbound_flow(outbound, &who, &flow, now_ns);
		}
	now_ns += second * 4;
	start = seconds();
	outbound_tick(outbound, now_ns);
	printf("%-44s %8.0f us\n", "a tick, 64 detectors of peers with 200 ends", (seconds() - start) * 1e6);
	outbound_close(outbound);
}

int main(void)
{
	outbound_settings_default(&settings);
	for (unsigned int i = 0; i < PROGRAMS; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/usr/local/bin/program-%u", i);
		programs[i] = (struct event_process){.executable = text_of(paths[i]),
			.name = TEXT_LITERAL("program"),
			.args = TEXT_LITERAL("program\0--config\0/etc/program/config.yaml\0--verbose\0")};
	}
	measure("exec", exec_one);
	measure("file", file_one);
	measure("flow, inside", inside_one);
	measure("flow, three ends outside", outside_one);
	measure("flow, ever another end outside", crawler_one);
	measure("message, HTTP", http_one);
	measure("message, DNS", dns_one);
	measure("message, random", random_one);
	tick_all();
	weigh("a program that was started", exec_one, PROGRAMS);
	weigh("one with a flow inside", inside_one, 4 * PROGRAMS);
	weigh("one with many flows to three ends outside", outside_one, TIMES);
	weigh("one with a detector of peers", crawler_one, 600);
	printf("(%zu findings)\n", findings);
	return 0;
}
