/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads without a network, and what is found of them. */
#ifndef TAFFRAIL_TEST_OUTBOUND_H
#define TAFFRAIL_TEST_OUTBOUND_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "detect/outbound.h"

static const uint64_t second = 1000ull * 1000 * 1000;

enum { FOUND_MAX = 64, FOUND_TEXT = 2048, PROGRAMS = 128 };

struct found {
	enum outbound_rule rule;
	enum p2p_verdict verdict;
	unsigned int score;
	uint64_t suppressed, bytes_out;
	uint64_t ns;
	char family[32], text[FOUND_TEXT], files[1024];
};

struct world {
	struct outbound *outbound;
	struct outbound_settings settings;
	struct found found[FOUND_MAX];
	size_t found_count;
	uint64_t held[OUTBOUND_RULES_END];
	int references;
	uint64_t start_ns, now_ns;
	uint16_t next_port;
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	struct event_process programs[PROGRAMS], *process; /* each image is another one */
	size_t program_count;
	struct outbound_who who;
};

static void world_finding(void *context, const struct outbound_finding *finding)
{
	struct world *world = context;
	const struct event_detector *detector = finding->event_rule.detector;
	struct found *found = &world->found[world->found_count];
	struct buffer text = {0};
	size_t length;

	cr_assert_lt(world->found_count, FOUND_MAX);
	cr_assert_not_null(detector);
	world->found_count++;
	*found = (struct found){.rule = finding->rule,
		.verdict = finding->verdict,
		.score = detector->score,
		.suppressed = finding->event_rule.suppressed,
		.bytes_out = detector->bytes_out,
		.ns = finding->time_ns};
	snprintf(found->family, sizeof(found->family), "%.*s", (int)detector->family.length, detector->family.data);
	outbound_sentence(&text, finding, NULL);
	length = text.length < FOUND_TEXT - 1 ? text.length : FOUND_TEXT - 1;
	memcpy(found->text, text.data, length);
	buffer_free(&text);
	for (size_t i = 0; i < detector->file_count; i++) {
		length = strlen(found->files);
		snprintf(found->files + length, sizeof(found->files) - length, "%c:%.*s ",
			detector->files[i].written ? 'w' : 'r', (int)detector->files[i].path.length,
			detector->files[i].path.data);
	}
	cr_log_info("%s", found->text);
}

static void world_held(void *context, const struct outbound_held *held)
{
	((struct world *)context)->held[held->rule] += held->count;
}

static void world_hold(void *context, const struct event_process *process)
{
	(void)process;
	((struct world *)context)->references++;
}

static void world_release(void *context, const struct event_process *process)
{
	(void)process;
	((struct world *)context)->references--;
}

static inline void world_program(struct world *world, const char *executable)
{
	const char *slash = strrchr(executable, '/');

	cr_assert_lt(world->program_count, PROGRAMS);
	world->process = &world->programs[world->program_count++];
	world->process->pid = 42;
	world->process->executable = text_of(executable);
	world->process->name = text_of(slash ? slash + 1 : executable);
	world->who.process = world->process;
}

/* With the settings that are in world->settings. */
static inline void world_open_set(struct world *world)
{
	const struct outbound_ops ops = {world_finding, world_held, world_hold, world_release, world, 7};

	world->start_ns = world->now_ns = 1700000000 * second;
	world->next_port = 32768;
	memset(world->container_id, 7, sizeof(world->container_id));
	world->who.container_id = world->container_id;
	world_program(world, "/usr/bin/app");
	cr_assert_eq(outbound_open(&world->outbound, &world->settings, &ops), 0);
}

static inline struct world *world_open(void)
{
	struct world *world = calloc(1, sizeof(*world));

	cr_assert_not_null(world);
	outbound_settings_default(&world->settings);
	world_open_set(world);
	return world;
}

static inline void world_close(struct world *world)
{
	outbound_close(world->outbound);
	cr_assert_eq(world->references, 0);
	free(world);
}

static inline void world_tick(struct world *world, uint64_t ns)
{
	world->now_ns += ns;
	outbound_tick(world->outbound, world->now_ns);
}

/* The last finding of the rule; NULL: there is none. */
static inline const struct found *world_last(const struct world *world, enum outbound_rule rule)
{
	const struct found *last = NULL;

	for (size_t i = 0; i < world->found_count; i++)
		if (world->found[i].rule == rule)
			last = &world->found[i];
	return last;
}

static inline enum p2p_verdict world_verdict(const struct world *world, enum outbound_rule rule)
{
	const struct found *last = world_last(world, rule);

	return last ? last->verdict : P2P_NONE;
}

static inline void world_expect_nothing(struct world *world)
{
	world_tick(world, 4 * second);
	world_tick(world, 4 * second);
	world_tick(world, 4 * second);
	for (size_t i = 0; i < world->found_count; i++)
		cr_expect_fail("%s", world->found[i].text);
	world_close(world);
}

/* "198.18.0.1", or the `number`th address of `prefix` (two octets). */
static inline struct event_address end_at(const char *prefix, unsigned int number, uint16_t port)
{
	struct event_address address = {.family = AF_INET, .port = port};
	char text[32];

	snprintf(text, sizeof(text), "%s.%u.%u", prefix, number / 250, number % 250 + 1);
	cr_assert_eq(inet_pton(AF_INET, text, address.bytes), 1);
	return address;
}

static inline struct flow flow_begin(
	struct world *world, uint8_t transport, struct event_address remote, const char *name)
{
	struct flow flow = {.start_ns = world->now_ns,
		.last_ns = world->now_ns,
		.local = end_at("10.1", 1, world->next_port++),
		.remote = remote,
		.transport = transport,
		.state = transport == IPPROTO_TCP ? FLOW_SYN_SENT : FLOW_OPEN,
		.name = text_of(name)};

	world->next_port = world->next_port < 32768 ? 32768 : world->next_port;
	outbound_flow(world->outbound, &world->who, &flow, world->now_ns);
	return flow;
}

static inline void flow_becomes(struct world *world, struct flow *flow, enum flow_state state)
{
	flow->state = state;
	flow->last_ns = world->now_ns;
	flow->packets_in += state == FLOW_ESTABLISHED || state == FLOW_OPEN;
	outbound_flow(world->outbound, &world->who, flow, world->now_ns);
}

static inline void flow_carries(struct world *world, struct flow *flow, uint64_t out, uint64_t in)
{
	flow->bytes_out += out;
	flow->bytes_in += in;
	outbound_flow(world->outbound, &world->who, flow, world->now_ns);
}

/* A connection that is made, carries this, and ends. */
static inline void flow_whole(
	struct world *world, struct event_address remote, const char *name, uint64_t out, uint64_t in)
{
	struct flow flow = flow_begin(world, IPPROTO_TCP, remote, name);

	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	flow_carries(world, &flow, out, in);
}

static inline void flow_says_bytes(
	struct world *world, struct flow *flow, bool out, unsigned int number, const void *bytes, size_t length)
{
	bool dns = flow->remote.port == 53 || flow->local.port == 53;
	size_t most = dns ? FLOW_SAMPLE_NAME_BYTES : FLOW_SAMPLE_BYTES;
	struct flow_message message = {.time_ns = world->now_ns, .out = out, .number = number};

	message.payload = (struct payload){.bytes = bytes,
		.length = length < most ? length : most,
		.whole = length,
		.transport = flow->transport,
		.from_port = (uint16_t)(out ? flow->local.port : flow->remote.port),
		.to_port = (uint16_t)(out ? flow->remote.port : flow->local.port)};
	outbound_message(world->outbound, &world->who, flow, &message);
}
#define flow_says(world, flow, out, number, string)                                                                    \
	flow_says_bytes(world, flow, out, number, string, sizeof(string) - 1)

/* A question for the name, and an answer to it with one address. */
static inline void world_asks(struct world *world, const char *name, uint16_t type, const char *answer)
{
	uint8_t bytes[512] = {0x12, 0x34, 1, 0, 0, 1};
	size_t at = 12;
	struct flow flow = flow_begin(world, IPPROTO_UDP, end_at("10.96", 9, 53), NULL);

	for (const char *label = name; *label;) {
		size_t length = strcspn(label, ".");

		bytes[at++] = (uint8_t)length;
		memcpy(bytes + at, label, length);
		at += length;
		label += length + (label[length] == '.');
	}
	at++;
	bytes[at++] = (uint8_t)(type >> 8);
	bytes[at++] = (uint8_t)type;
	bytes[at + 1] = 1;
	at += 2;
	flow_says_bytes(world, &flow, true, 0, bytes, at);
	bytes[2] = 0x81;
	if (answer) {
		static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4};

		bytes[7] = 1;
		memcpy(bytes + at, record, sizeof(record));
		at += sizeof(record);
		cr_assert_eq(inet_pton(AF_INET, answer, bytes + at), 1);
		at += 4;
	}
	flow_says_bytes(world, &flow, false, 0, bytes, at);
}

/* A command, NUL-separated. */
#define world_execs(world, path, arguments)                                                                            \
	do {                                                                                                           \
		world_program(world, path);                                                                            \
		(world)->process->args = TEXT_LITERAL(arguments);                                                      \
		outbound_exec((world)->outbound, &(world)->who, (world)->now_ns);                                      \
	} while (0)

#endif
