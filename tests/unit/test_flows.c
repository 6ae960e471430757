/* SPDX-License-Identifier: Apache-2.0 */
/* The table of flows, and the names that it knows. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "sensor/flows.h"
#include "sensor/resolved.h"
#include "sensor/unsampled.h"

static const uint64_t second = 1000ull * 1000 * 1000, boot = 1ull << 60;

static struct event_process images[4]; /* told apart by their address alone */
static int holds[4];

static const struct event_process *hold(const struct event_process *image)
{
	holds[image - images]++;
	return image;
}

static void release(const struct event_process *image)
{
	holds[image - images]--;
}

/* --- what is told ----------------------------------------------------------------------------------------------------------- */

static char told[4096];
static struct flow last;

static void tell(const char *what, const struct flows_owner *owner, const struct flow *flow)
{
	size_t length = strlen(told);

	snprintf(told + length, sizeof(told) - length, "%s%s by %d", length ? "; " : "", what,
		owner->image ? (int)(owner->image - images) : -1);
	last = *flow;
}

static void on_flow(void *context, struct flow *flow, const struct flows_owner *owner, uint64_t now_ns)
{
	static const char *const states[] = {"open", "syn", "established", "refused", "timed out"};

	(void)context;
	(void)now_ns;
	tell(states[flow->state], owner, flow);
}

static void on_message(
	void *context, struct flow *flow, const struct flows_owner *owner, const struct flow_message *message)
{
	char what[128];

	(void)context;
	cr_assert_eq(message->payload.from_port, message->out ? flow->local.port : flow->remote.port);
	cr_assert_eq(message->payload.transport, flow->transport);
	snprintf(what, sizeof(what), "%s %u %.*s/%zu", message->out ? "out" : "in", message->number,
		(int)message->payload.length, (const char *)message->payload.bytes, message->payload.whole);
	tell(what, owner, flow);
}

static void on_over(void *context, struct flow *flow, const struct flows_owner *owner)
{
	(void)context;
	tell("over", owner, flow);
}

static struct flows *opened(void)
{
	const struct flows_ops ops = {hold, release};
	const struct flows_watcher watcher = {on_flow, on_message, on_over, NULL};
	struct flows *flows;

	cr_assert_eq(flows_open(&flows, &ops), 0);
	flows_watch(flows, &watcher);
	told[0] = '\0';
	return flows;
}

static void closed(struct flows *flows)
{
	flows_close(flows);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(holds[i], 0, "image %zu is still held %d times", i, holds[i]);
}

/* --- records ------------------------------------------------------------------------------------------------------------------ */

static _Alignas(8) char bytes[1024];

static void fill(struct kernel_header *header, enum kernel_kind kind, size_t size)
{
	*header = (struct kernel_header){.kind = (uint16_t)kind,
		.size = (uint32_t)size,
		.time_ns = 7 * second,
		.flags = KERNEL_IN_CONTAINER,
		.container_id = {1, 2, 3}};
}

static struct kernel_tuple tuple_of(int protocol, const char *remote, uint16_t port)
{
	struct kernel_tuple tuple = {.family = AF_INET, .protocol = (uint16_t)protocol};

	inet_pton(AF_INET, "10.0.0.1", tuple.local.bytes);
	inet_pton(AF_INET, remote, tuple.remote.bytes);
	tuple.local_port_be = htons(40000);
	tuple.remote_port_be = htons(port);
	return tuple;
}

static bool take(struct flows *flows, const struct event_process *image, uint64_t now_ns)
{
	struct record record;
	const char *why;

	cr_assert_eq(record_check(&record, bytes, sizeof(bytes), &why), 0, "%s", why);
	return flows_take(flows, &record, image, boot, now_ns);
}

static void network(struct flows *flows, enum kernel_kind kind, uint64_t id, int result, const char *remote, int image)
{
	struct kernel_network *record = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	fill(&record->header, kind, sizeof(*record));
	record->connection = id;
	record->result = result;
	record->tuple = tuple_of(IPPROTO_TCP, remote, 443);
	take(flows, &images[image], 8 * second);
}

static bool sample(struct flows *flows, uint64_t id, struct kernel_tuple tuple, bool out, bool inbound,
	unsigned int number, struct text data, int image)
{
	struct kernel_sample *record = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	fill(&record->header, KERNEL_SAMPLE, sizeof(*record) + data.length);
	record->connection = id;
	record->start_ns = 6 * second;
	record->tuple = tuple;
	record->whole = (uint32_t)data.length;
	record->out = out;
	record->inbound = inbound;
	record->number = (uint8_t)number;
	record->data = (struct kernel_string){sizeof(*record), (uint16_t)data.length};
	memcpy(bytes + sizeof(*record), data.data, data.length);
	return take(flows, image < 0 ? NULL : &images[image], 8 * second);
}

static void disconnect(struct flows *flows, uint64_t id, const char *remote, bool accepted)
{
	struct kernel_disconnect *record = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	fill(&record->header, KERNEL_DISCONNECT, sizeof(*record));
	record->connection = id;
	record->bytes_sent = 100;
	record->packets_received = 9;
	record->accepted = accepted;
	record->tuple = tuple_of(IPPROTO_TCP, remote, 443);
	take(flows, &images[1], 9 * second);
}

static struct text describe(struct flows *flows, const char *remote, uint64_t id, uint64_t now_ns)
{
	struct kernel_network *record = (void *)bytes;
	struct event_network network_of = {.destination = {.family = AF_INET, .port = 443}};
	const struct record checked = {.network = record};

	memset(bytes, 0, sizeof(bytes));
	fill(&record->header, KERNEL_CONNECT_DONE, sizeof(*record));
	record->connection = id;
	inet_pton(AF_INET, remote, network_of.destination.bytes);
	flows_describe(flows, &checked, now_ns, &network_of);
	return network_of.domain;
}

/* --- tests -------------------------------------------------------------------------------------------------------------------- */

Test(flows, a_connection_from_its_beginning_to_its_end)
{
	struct flows *flows = opened();
	struct kernel_tuple tuple = tuple_of(IPPROTO_TCP, "203.0.113.7", 443);

	network(flows, KERNEL_CONNECT, 5, 0, "203.0.113.7", 1);
	network(flows, KERNEL_CONNECT_DONE, 5, 0, "203.0.113.7", 1);
	cr_assert_not(sample(flows, 5, tuple, true, false, 0, TEXT_LITERAL("hello"), 1));
	cr_assert_not(sample(flows, 5, tuple, true, false, 1, TEXT_LITERAL("again"), 1));
	disconnect(flows, 5, "203.0.113.7", false);
	cr_assert_str_eq(told, "syn by 1; established by 1; established by 1; out 0 hello/5 by 1; out 1 again/5 by 1; "
			       "established by 1");
	cr_assert_eq(last.bytes_out, 100, "the kernel's number, not that of the samples");
	cr_assert_eq(last.packets_in, 9);
	cr_assert_eq(last.start_ns, boot + 7 * second);
	cr_assert_eq(last.remote.port, 443);
	cr_assert_not(last.partial || last.inbound);
	cr_assert_eq(flows_count(flows), 1, "its last record may wait for names");
	flows_expire(flows, 9 * second + FLOWS_KEPT_NS);
	cr_assert_eq(flows_count(flows), 1);
	flows_expire(flows, 9 * second + FLOWS_KEPT_NS + 1);
	cr_assert_eq(flows_count(flows), 0);
	closed(flows);
}

Test(flows, a_connect_that_fails_has_ended)
{
	struct flows *flows = opened();

	network(flows, KERNEL_CONNECT, 5, 0, "203.0.113.7", 1);
	network(flows, KERNEL_CONNECT_DONE, 5, -ECONNREFUSED, "203.0.113.7", 1);
	network(flows, KERNEL_CONNECT, 6, 0, "203.0.113.7", 1);
	network(flows, KERNEL_CONNECT_DONE, 6, -ETIMEDOUT, "203.0.113.7", 1);
	cr_assert_str_eq(told, "syn by 1; refused by 1; syn by 1; timed out by 1");
	flows_expire(flows, 100 * second);
	cr_assert_eq(flows_count(flows), 0);
	closed(flows);
}

Test(flows, what_comes_before_the_accept_waits_for_who_accepts)
{
	struct flows *flows = opened();
	struct kernel_tuple tuple = tuple_of(IPPROTO_TCP, "203.0.113.7", 443);

	sample(flows, 5, tuple, false, true, 0, TEXT_LITERAL("early"), -1);
	cr_assert_str_eq(told, "");
	network(flows, KERNEL_ACCEPT, 5, 4, "203.0.113.7", 2);
	cr_assert_str_eq(told, "established by 2; in 0 early/5 by 2");
	cr_assert(last.inbound);
	told[0] = '\0';
	sample(flows, 5, tuple, true, true, 0, TEXT_LITERAL("late"), 2);
	cr_assert_str_eq(told, "established by 2; out 0 late/4 by 2");
	closed(flows);
}

Test(flows, of_a_number_that_is_used_again_nothing_of_before_stays)
{
	struct flows *flows = opened();

	network(flows, KERNEL_CONNECT, 5, 0, "203.0.113.7", 1);
	sample(flows, 5, tuple_of(IPPROTO_TCP, "203.0.113.8", 443), false, true, 0, TEXT_LITERAL("x"), -1);
	cr_assert_str_eq(told, "syn by 1; over by 1");
	network(flows, KERNEL_ACCEPT, 5, 4, "203.0.113.8", 2);
	cr_assert_str_eq(told, "syn by 1; over by 1; established by 2; in 0 x/1 by 2");
	network(flows, KERNEL_CONNECT, 5, 0, "203.0.113.8", 3);
	cr_assert_eq(flows_count(flows), 1);
	closed(flows);
}

Test(flows, more_connections_than_there_is_room_for_wait_without_their_messages)
{
	struct flows *flows = opened();

	for (uint64_t id = 1; id <= FLOWS_EARLY_MAX + 1; id++)
		sample(flows, id, tuple_of(IPPROTO_TCP, "203.0.113.7", 443), false, true, 0, TEXT_LITERAL("x"), -1);
	cr_assert_str_eq(told, "established by -1; in 0 x/1 by -1", "the last comes at once");
	told[0] = '\0';
	network(flows, KERNEL_ACCEPT, 1, 4, "203.0.113.7", 1);
	cr_assert_str_eq(told, "established by 1; in 0 x/1 by 1");
	closed(flows);
}

Test(flows, the_one_of_which_nothing_was_heard_longest_makes_room)
{
	struct flows *flows = opened();

	for (uint64_t id = 1; id <= FLOWS_MAX; id++)
		network(flows, KERNEL_CONNECT, id, 0, "203.0.113.7", 1);
	network(flows, KERNEL_CONNECT_DONE, 1, 0, "203.0.113.7", 1);
	cr_assert_eq(flows_pushed_out(flows), 0);
	network(flows, KERNEL_CONNECT, FLOWS_MAX + 1, 0, "203.0.113.7", 1);
	cr_assert_eq(flows_count(flows), FLOWS_MAX);
	cr_assert_eq(flows_pushed_out(flows), 1);
	told[0] = '\0';
	disconnect(flows, 1, "203.0.113.7", false);
	cr_assert(last.start_ns == boot + 7 * second, "it was heard of");
	network(flows, KERNEL_CONNECT, FLOWS_MAX + 2, 0, "203.0.113.7", 1);
	cr_assert_eq(flows_pushed_out(flows), 1, "those that have ended go first");
	closed(flows);
}

/* --- names ---------------------------------------------------------------------------------------------------------------------- */

/* www.example.test is 203.0.113.7. */
#define ANSWER "\0\1\x81\x80\0\1\0\1\0\0\0\0\3www\7example\4test\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xcb\0\x71\7"
static const struct text answer = {ANSWER, sizeof(ANSWER) - 1};

Test(flows, an_answer_names_the_address_for_its_container_from_then_on)
{
	struct flows *flows = opened();
	struct kernel_tuple server = tuple_of(IPPROTO_UDP, "10.0.0.10", 53);
	const struct record record = {.header = (const void *)bytes};
	const struct event_dns *dns;

	network(flows, KERNEL_CONNECT, 5, 0, "203.0.113.7", 1);
	cr_assert_eq(last.name.length, 0);
	cr_assert(sample(flows, 9, server, false, false, 0, answer, 1), "an event comes of it");
	dns = flows_answer(flows, &record);
	cr_assert_not_null(dns);
	cr_assert(text_equal(dns->question, TEXT_LITERAL("www.example.test")));
	cr_assert_eq(dns->type, 1);
	cr_assert_eq(dns->address_count, 1);
	cr_assert_not(dns->cut);
	cr_assert_eq(describe(flows, "203.0.113.7", 5, 9 * second).length, 0, "what had begun before has no name");
	cr_assert(text_equal(describe(flows, "203.0.113.7", 0, 9 * second), TEXT_LITERAL("www.example.test")));
	cr_assert_eq(describe(flows, "203.0.113.7", 0, 9 * second + RESOLVED_AGE_NS).length, 0, "old");
	network(flows, KERNEL_CONNECT, 6, 0, "203.0.113.7", 1);
	cr_assert(text_equal(last.name, TEXT_LITERAL("www.example.test")));
	cr_assert(text_equal(describe(flows, "203.0.113.7", 6, 9 * second), TEXT_LITERAL("www.example.test")));
	closed(flows);
}

Test(flows, only_who_asked_believes_an_answer)
{
	struct flows *flows = opened();
	struct kernel_tuple server = tuple_of(IPPROTO_UDP, "10.0.0.10", 53), other = server;

	cr_assert_not(sample(flows, 1, server, true, false, 0, answer, 1), "out to a server");
	cr_assert_not(sample(flows, 2, server, false, true, 0, answer, 1), "in, of a flow that the server opened");
	other.remote_port_be = htons(54);
	cr_assert_not(sample(flows, 3, other, false, false, 0, answer, 1), "of another port");
	other.local_port_be = htons(53);
	cr_assert(sample(flows, 4, other, true, true, 0, answer, 1), "a server of names answers others …");
	cr_assert_eq(describe(flows, "203.0.113.7", 0, 9 * second).length, 0, "… and resolves nothing by that");
	closed(flows);
}

Test(flows, over_tcp_the_length_may_come_by_itself)
{
	static const char whole[] = "\0\x32" ANSWER;
	struct flows *flows = opened();
	struct kernel_tuple server = tuple_of(IPPROTO_TCP, "10.0.0.10", 53);

	cr_assert_eq(answer.length, 0x32);
	cr_assert_not(sample(flows, 1, server, false, false, 0, (struct text){whole, 2}, 1));
	cr_assert(sample(flows, 1, server, false, false, 1, answer, 1));
	cr_assert(sample(flows, 2, server, false, false, 0, (struct text){whole, sizeof(whole) - 1}, 1));
	closed(flows);
}

Test(flows, hostile_answers_are_none)
{
	struct flows *flows = opened();
	struct kernel_tuple server = tuple_of(IPPROTO_UDP, "10.0.0.10", 53);

	for (size_t length = 0; length < sizeof(ANSWER) - 1; length++)
		cr_assert_not(
			sample(flows, 1, server, false, false, 0, (struct text){ANSWER, length}, 1), "%zu", length);
	cr_assert_not(sample(flows, 1, server, false, false, 0, TEXT_LITERAL("GET / HTTP/1.1\r\n\r\n"), 1));
	closed(flows);
}

static void note(struct resolved *resolved, uint8_t container, uint32_t address, const char *name)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE] = {container};
	struct event_address at = {.family = AF_INET};

	memcpy(at.bytes, &address, sizeof(address));
	resolved_note(resolved, id, &at, text_of(name), second);
}

static const char *name_of(struct resolved *resolved, uint8_t container, uint32_t address)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE] = {container};
	struct event_address at = {.family = AF_INET};
	static char name[RESOLVED_NAME_MAX + 1];
	struct text found;

	memcpy(at.bytes, &address, sizeof(address));
	found = resolved_find(resolved, id, &at, second);
	memcpy(name, found.data ? found.data : "", found.length);
	name[found.length] = '\0';
	return name;
}

Test(resolved, the_newest_name_wins_and_each_container_has_its_own)
{
	struct resolved *resolved;

	cr_assert_eq(resolved_open(&resolved), 0);
	note(resolved, 1, 7, "one");
	note(resolved, 2, 7, "two");
	note(resolved, 1, 7, "one again");
	cr_assert_str_eq(name_of(resolved, 1, 7), "one again");
	cr_assert_str_eq(name_of(resolved, 2, 7), "two");
	cr_assert_str_eq(name_of(resolved, 3, 7), "");
	cr_assert_eq(resolved_count(resolved), 2);
	resolved_close(resolved);
}

Test(resolved, nobody_pushes_out_what_others_know)
{
	struct resolved *resolved;

	cr_assert_eq(resolved_open(&resolved), 0);
	note(resolved, 1, 7, "kept");
	for (uint32_t address = 0; address < 5 * RESOLVED_CONTAINER_MAX; address++)
		note(resolved, 2, address, "flood");
	cr_assert_eq(resolved_count(resolved), RESOLVED_CONTAINER_MAX + 1);
	cr_assert_str_eq(name_of(resolved, 1, 7), "kept");
	cr_assert_str_eq(name_of(resolved, 2, 0), "");
	cr_assert_str_eq(name_of(resolved, 2, 5 * RESOLVED_CONTAINER_MAX - 1), "flood");
	for (uint8_t container = 3; container < 30; container++)
		for (uint32_t address = 0; address < RESOLVED_CONTAINER_MAX; address++)
			note(resolved, container, address, "many");
	cr_assert_eq(resolved_count(resolved), RESOLVED_MAX);
	cr_assert_str_eq(name_of(resolved, 1, 7), "", "the oldest of all made room");
	cr_assert_str_eq(name_of(resolved, 29, 0), "many");
	resolved_close(resolved);
}

Test(unsampled, words_become_prefixes_as_the_kernel_has_them)
{
	char *words[] = {
		(char *)(uintptr_t) "10.0.0.0/8", (char *)(uintptr_t) "fd00::/8", (char *)(uintptr_t) "192.0.2.1"};
	char *none[] = {(char *)(uintptr_t) "none"}, *wrong[] = {(char *)(uintptr_t) "10.0.0.0/33"};
	struct config_list list = {.items = words, .count = 3};
	struct unsampled unsampled;

	cr_assert_null(unsampled_read(&unsampled, &list));
	cr_assert_eq(unsampled.count, 3);
	cr_assert_eq(unsampled.ranges[0].bits, 96 + 8);
	cr_assert_eq(memcmp(unsampled.ranges[0].address.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\0", 16), 0);
	cr_assert_eq(unsampled.ranges[1].bits, 8);
	cr_assert_eq(unsampled.ranges[1].address.bytes[0], 0xfd);
	cr_assert_eq(unsampled.ranges[2].bits, 128);
	cr_assert_null(unsampled_read(&unsampled, &(struct config_list){0}));
	cr_assert_eq(unsampled.count, 9, "those of pods and services, and the machine's own");
	cr_assert_null(unsampled_read(&unsampled, &(struct config_list){.items = none, .count = 1}));
	cr_assert_eq(unsampled.count, 0);
	cr_assert_str_eq(unsampled_read(&unsampled, &(struct config_list){.items = wrong, .count = 1}), "10.0.0.0/33");
}
