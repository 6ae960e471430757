/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workloads do, in any order: bytes become executions, files, flows with their states and messages, and time that passes.
 * Whatever comes, memory is bounded, each image is given back, and what is told can be written.
 */
#include "fuzz.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "detect/outbound.h"
#include "event/ecs.h"

enum { PROGRAMS = 6, FLOWS = 8, ACTIVE = 3, IDLE = 4, DETECTORS = 2 };

struct input {
	const uint8_t *bytes;
	size_t left;
};

static uint8_t next(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

struct world {
	struct outbound *outbound;
	struct event_process programs[PROGRAMS];
	int references[PROGRAMS];
	struct flow flows[FLOWS];
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	uint64_t now_ns;
};

static void take_finding(void *context, const struct outbound_finding *finding)
{
	struct world *world = context;
	size_t program = (size_t)(finding->process - world->programs);
	const struct event_detector *detector = finding->event_rule.detector;
	struct event_rule rule = finding->event_rule;
	const struct event_host host = {.id = TEXT_LITERAL("node")};
	struct event event = {
		.action = EVENT_VERDICT, .count = 1, .process = finding->process, .host = &host, .rule = &rule};
	struct buffer sentence = {0}, document = {0};

	fuzz_expect(program < PROGRAMS && world->references[program] > 0);
	fuzz_expect(finding->verdict != P2P_NONE && finding->rule < OUTBOUND_RULES_END);
	fuzz_expect(detector && detector->score <= 100 && detector->reason_count <= EVENT_REASONS_MAX);
	fuzz_expect(detector->peer_count <= EVENT_PEERS_MAX && detector->file_count <= EVENT_TOUCHED_MAX);
	for (size_t i = 0; i < detector->reason_count; i++) {
		fuzz_expect(detector->reasons[i].points > 0 && detector->reasons[i].sample_count <= EVENT_SAMPLES_MAX);
		fuzz_expect_clean(detector->reasons[i].what.data, detector->reasons[i].what.length, false);
		for (size_t j = 0; j < detector->reasons[i].sample_count; j++)
			fuzz_expect_clean(
				detector->reasons[i].samples[j].data, detector->reasons[i].samples[j].length, false);
	}
	outbound_sentence(&sentence, finding, NULL);
	rule.message = (struct text){sentence.data, sentence.length};
	ecs_write(&document, &event);
	fuzz_expect_document(&document);
	buffer_free(&sentence);
	buffer_free(&document);
}

static void hold(void *context, const struct event_process *process)
{
	struct world *world = context;

	world->references[process - world->programs]++;
}

static void release(void *context, const struct event_process *process)
{
	struct world *world = context;

	world->references[process - world->programs]--;
}

static void change_flow(struct world *world, const struct outbound_who *who, struct flow *flow, struct input *input)
{
	uint8_t how = next(input), what = next(input);

	if (how & 1) {
		*flow = (struct flow){.start_ns = world->now_ns,
			.local = {.family = AF_INET, .bytes = {10, 1, 1, 1}, .port = 40000 + how},
			.remote = {.family = how & 2 ? AF_INET6 : AF_INET,
				.bytes = {how & 4 ? 10 : 198, 18, how & 8 ? what : 1, what},
				.port = how & 16 ? 53 : 1000u + (how & 32 ? what * 3u : 0)},
			.transport = how & 64 ? IPPROTO_UDP : IPPROTO_TCP,
			.inbound = how & 128 && what & 1};
		flow->local.family = flow->remote.family;
		if (what & 2)
			flow->name = TEXT_LITERAL("host.example");
	} else {
		flow->packets_in += how >> 1 & 1;
		flow->bytes_out += (uint64_t)what << (how >> 3);
	}
	flow->state = (enum flow_state)(next(input) % (FLOW_TIMED_OUT + 1));
	outbound_flow(world->outbound, who, flow, world->now_ns);
}

static void say(struct world *world, const struct outbound_who *who, struct flow *flow, struct input *input)
{
	uint8_t how = next(input), length = next(input);
	struct flow_message message = {.time_ns = world->now_ns, .out = how & 1, .number = how >> 1 & 7};
	uint8_t *bytes;

	length = length < input->left ? length : (uint8_t)input->left;
	if (flow->remote.family == 0 || length == 0)
		return;
	bytes = malloc(length); /* of its own, so that a byte behind it is seen */
	fuzz_expect(bytes);
	memcpy(bytes, input->bytes, length);
	input->bytes += length;
	input->left -= length;
	message.payload = (struct payload){.bytes = bytes,
		.length = length,
		.whole = length + (how >> 4),
		.transport = flow->transport,
		.from_port = (uint16_t)(message.out ? flow->local.port : flow->remote.port),
		.to_port = (uint16_t)(message.out ? flow->remote.port : flow->local.port)};
	outbound_message(world->outbound, who, flow, &message);
	free(bytes);
}

static void ask(struct world *world, const struct outbound_who *who, struct input *input)
{
	struct payload_dns dns = {.answer = next(input) & 1, .type = (uint16_t)(next(input) % 40)};
	size_t length = next(input);

	length = length < input->left ? length : input->left;
	length = length < PAYLOAD_NAME_MAX ? length : PAYLOAD_NAME_MAX;
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = next(input);

		dns.question.text[i] = byte > ' ' && byte < 127 ? (char)byte : '.';
	}
	dns.question.length = strlen(dns.question.text);
	outbound_dns(world->outbound, who, &dns, next(input) & 1, world->now_ns);
}

static void send_raw(struct world *world, const struct outbound_who *who, struct input *input)
{
	uint8_t how = next(input);
	struct event_address remote = {.family = how & 1   ? AF_INET
						 : how & 2 ? AF_INET6
							   : AF_PACKET,
		.bytes = {10, 1, 1, next(input)},
		.port = (uint16_t)(next(input) << (how >> 5))};

	outbound_raw(world->outbound, who, how & 4 ? IPPROTO_TCP : how & 8 ? IPPROTO_UDP : how, &remote, world->now_ns);
}

static void execute(struct world *world, const struct outbound_who *who, struct input *input)
{
	struct event_process *process = &world->programs[who->process - world->programs];
	size_t length = next(input);

	length = length < input->left ? length : input->left;
	process->args = (struct text){(const char *)input->bytes, length};
	input->bytes += length;
	input->left -= length;
	outbound_exec(world->outbound, who, world->now_ns);
}

static void step(struct world *world, struct input *input)
{
	uint8_t what = next(input), who_byte = next(input);
	struct outbound_who who = {
		who_byte & 1 ? world->container_id : NULL, &world->programs[who_byte / 2 % PROGRAMS]};
	struct flow *flow = &world->flows[who_byte / 16 % FLOWS];
	size_t length;

	switch (what % 8) {
	case 0: execute(world, &who, input); break;
	case 1:
		length = next(input);
		length = length < input->left ? length : input->left;
		outbound_file(world->outbound, &who, (struct text){(const char *)input->bytes, length}, what & 64,
			world->now_ns);
		break;
	case 2:
	case 3: change_flow(world, &who, flow, input); break;
	case 4: say(world, &who, flow, input); break;
	case 5: ask(world, &who, input); break;
	case 6:
		world->now_ns += 1ull << (next(input) % 46);
		outbound_tick(world->outbound, world->now_ns);
		break;
	case 7:
		if (what == 7)
			outbound_forget(world->outbound, world->container_id);
		else
			send_raw(world, &who, input);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct outbound_settings settings;
	static const struct text names[PROGRAMS] = {TEXT_STATIC("/bin/a"), TEXT_STATIC("/usr/bin/xmrig"),
		TEXT_STATIC(""), TEXT_STATIC("/bin/nmap"), TEXT_STATIC("/bin/\xff"), TEXT_STATIC("/bin/tor")};
	struct world world = {.now_ns = 1700000000ull * 1000 * 1000 * 1000};
	const struct outbound_ops ops = {take_finding, NULL, hold, release, &world, 7};
	struct input input = {bytes, length};
	struct outbound_counters counters;

	outbound_settings_default(&settings);
	settings.values[OUTBOUND_SET_ACTIVE] = ACTIVE;
	settings.values[OUTBOUND_SET_IDLE] = IDLE;
	settings.values[OUTBOUND_SET_DETECTORS] = DETECTORS;
	/* Thresholds that few bytes reach. */
	settings.values[OUTBOUND_SET_SCAN_HOSTS] = settings.values[OUTBOUND_SET_SCAN_PORTS] = 5;
	settings.values[OUTBOUND_SET_TUNNEL_NAMES] = 5;
	settings.values[OUTBOUND_SET_EGRESS_COLD] = settings.values[OUTBOUND_SET_EGRESS_FLOOR] = 1 << 20;
	settings.values[OUTBOUND_SET_EGRESS_LEARN] = 2;
	settings.values[OUTBOUND_SET_BEACON_COUNT] = 8;
	settings.values[OUTBOUND_SET_BEACON_SPAN] = 60000;
	for (size_t i = 0; i < PROGRAMS; i++)
		world.programs[i] = (struct event_process){.executable = names[i], .name = TEXT_LITERAL("p")};
	fuzz_expect(outbound_open(&world.outbound, &settings, &ops) == 0);
	for (int i = 0; i < 4096 && input.left > 0; i++) {
		step(&world, &input);
		outbound_counters(world.outbound, &counters);
		fuzz_expect(counters.active <= ACTIVE && counters.idle <= IDLE && counters.detectors <= DETECTORS);
	}
	outbound_close(world.outbound);
	for (size_t i = 0; i < PROGRAMS; i++)
		fuzz_expect(world.references[i] == 0);
	return 0;
}
