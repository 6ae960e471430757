/* SPDX-License-Identifier: Apache-2.0 */
/* The ECS face against events.ndjson: one document for each action, whose shape is a contract. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "test_document.h"

static struct event_address address(const char *ip, uint16_t port)
{
	struct event_address made = {.family = AF_INET, .port = port};

	inet_pton(AF_INET, ip, made.bytes);
	return made;
}

Test(ecs, exec)
{
	struct event event = document_event(EVENT_EXEC);

	document_check(&event, 4712);
}

Test(ecs, an_exec_tells_the_times_of_its_executable)
{
	struct event event = document_event(EVENT_EXEC);
	struct event_process process = document_process;
	struct json_object *document;

	event.process = &process;
	document = document_written(&event);
	cr_assert_str_empty(document_at(document, "taffrail", "process", "executable_ctime"), "they are not known");
	json_object_put(document);
	process.namespace_ns = 1767323045000000000ull;
	process.ctime_ns = 1767323045120000001ull; /* the mtime stays 0: files of reproducible images have that */
	document = document_written(&event);
	cr_assert_str_eq(
		document_at(document, "taffrail", "process", "executable_ctime"), "2026-01-02T03:04:05.120000001Z");
	cr_assert_str_eq(
		document_at(document, "taffrail", "process", "executable_mtime"), "1970-01-01T00:00:00.000000000Z");
	cr_assert_str_eq(
		document_at(document, "taffrail", "process", "namespace_start"), "2026-01-02T03:04:05.000000000Z");
	json_object_put(document);
}

Test(ecs, failed_exec)
{
	struct event event = document_event(EVENT_EXEC);
	struct event_process caller = document_process;

	caller.name = TEXT_LITERAL("sh");
	event.process = &caller;
	event.outcome = EVENT_FAILURE;
	event.error = ENOENT;
	event.file.argument = TEXT_LITERAL("/usr/bin/nope");
	document_check(&event, 4713);
}

Test(ecs, fork)
{
	struct event event = document_event(EVENT_FORK);
	struct event_process child = document_process;

	child.name = TEXT_LITERAL("sh");
	event.process = &child;
	document_check(&event, 4714);
}

Test(ecs, end)
{
	struct event event = document_event(EVENT_END);

	event.end.code = 137;
	event.end.signal = 9;
	document_check(&event, 4715);
}

Test(ecs, open_for_reading)
{
	struct event event = document_event(EVENT_OPEN);

	event.count = 3;
	event.file = (struct event_file){.path = TEXT_LITERAL("/etc/passwd"),
		.argument = TEXT_LITERAL("../etc//passwd"),
		.inode = 264193,
		.mode = 0100644,
		.flags = O_RDONLY | O_CLOEXEC};
	document_check(&event, 4716);
}

Test(ecs, open_that_creates)
{
	struct event event = document_event(EVENT_OPEN);

	event.file = (struct event_file){.path = TEXT_LITERAL("/tmp/q\xffx"),
		.argument = TEXT_LITERAL("/tmp/q\xffx"),
		.inode = 264207,
		.mode = 0100600,
		.flags = O_WRONLY | O_CREAT | O_TRUNC,
		.created = true};
	document_check(&event, 4717);
}

Test(ecs, open_that_fails)
{
	struct event event = document_event(EVENT_OPEN);

	event.outcome = EVENT_FAILURE;
	event.error = ENOENT;
	event.file = (struct event_file){.path = TEXT_LITERAL("/nope"), .argument = TEXT_LITERAL("/nope")};
	document_check(&event, 4718);
}

static struct event network_event(
	enum event_action action, const char *from, uint16_t from_port, const char *to, uint16_t to_port)
{
	struct event event = document_event(action);

	event.network = (struct event_network){.family = AF_INET, .protocol = IPPROTO_TCP, .type = SOCK_STREAM};
	if (from)
		event.network.source = address(from, from_port);
	event.network.destination = address(to, to_port);
	return event;
}

Test(ecs, connect)
{
	struct event event = network_event(EVENT_CONNECT, "10.97.0.12", 40112, "203.0.113.7", 80);

	document_check(&event, 4719);
	event.outcome = EVENT_FAILURE;
	event.error = ECONNREFUSED;
	document_check(&event, 4720);
}

Test(ecs, connect_to_an_abstract_unix_socket)
{
	struct event event = document_event(EVENT_CONNECT);

	event.network = (struct event_network){
		.family = AF_UNIX, .type = SOCK_STREAM, .unix_name = TEXT_LITERAL("\0by-abstract")};
	document_check(&event, 4721);
}

Test(ecs, accept)
{
	struct event event = network_event(EVENT_ACCEPT, "10.97.0.40", 51514, "10.97.0.12", 8080);

	event.network.ingress = true;
	document_check(&event, 4722);
}

Test(ecs, listen)
{
	struct event event = network_event(EVENT_LISTEN, NULL, 0, "0.0.0.0", 8080);

	event.network.ingress = true;
	document_check(&event, 4723);
}

Test(ecs, send)
{
	struct event event = network_event(EVENT_SEND, "10.97.0.12", 39001, "203.0.113.53", 53);

	event.network.protocol = IPPROTO_UDP;
	document_check(&event, 4724);
}

Test(ecs, socket)
{
	struct event event = document_event(EVENT_SOCKET);

	event.outcome = EVENT_FAILURE;
	event.error = EPERM;
	event.io_uring = true;
	event.network = (struct event_network){.family = AF_INET, .type = SOCK_RAW, .protocol = IPPROTO_ICMP};
	document_check(&event, 4740);
}

Test(ecs, a_raw_send_has_no_ports)
{
	struct event event = network_event(EVENT_SEND, "10.97.0.12", 0, "203.0.113.53", 0);

	event.network.protocol = IPPROTO_ICMP;
	event.network.type = SOCK_RAW;
	document_check(&event, 4741);
}

Test(ecs, vsock_has_a_context_id_and_a_port)
{
	struct event event = document_event(EVENT_CONNECT);

	event.outcome = EVENT_UNKNOWN;
	event.network = (struct event_network){.family = AF_VSOCK,
		.type = SOCK_STREAM,
		.source = {AF_VSOCK, {0, 0, 0, 3}, UINT32_MAX},
		.destination = {AF_VSOCK, {0, 0, 0, 2}, 70000}};
	document_check(&event, 4742);
}

Test(ecs, a_packet_socket_has_a_device)
{
	struct event event = document_event(EVENT_SEND);

	event.network = (struct event_network){
		.family = AF_PACKET, .type = SOCK_RAW, .protocol = htons(0x0800), .interface = 2};
	document_check(&event, 4743);
}

Test(ecs, disconnect)
{
	struct event event = network_event(EVENT_DISCONNECT, "10.97.0.12", 40112, "203.0.113.7", 80);

	event.network.source_bytes = 412;
	event.network.destination_bytes = 88211;
	event.network.duration_ns = 120000000;
	document_check(&event, 4725);
}

Test(ecs, flow)
{
	struct event event = network_event(EVENT_FLOW, "10.97.0.12", 40112, "203.0.113.7", 443);
	struct json_object *document;

	event.network.protocol = IPPROTO_UDP;
	event.network.source_bytes = 412;
	event.network.destination_bytes = 88211;
	event.network.source_packets = 4;
	event.network.destination_packets = 70;
	event.network.duration_ns = 120000000;
	event.network.state = EVENT_FLOW_OPEN;
	event.network.domain = TEXT_LITERAL("www.example.test");
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "event", "action", NULL), "flow");
	cr_assert_str_eq(document_at(document, "event", "type", NULL), "[ \"connection\", \"end\" ]");
	cr_assert_str_eq(document_at(document, "event", "start", NULL), "2026-01-02T03:04:05.003456789Z");
	cr_assert_str_eq(document_at(document, "event", "end", NULL), "2026-01-02T03:04:05.123456789Z");
	cr_assert_str_eq(document_at(document, "event", "duration", NULL), "120000000");
	cr_assert_str_eq(document_at(document, "source", "packets", NULL), "4");
	cr_assert_str_eq(document_at(document, "destination", "packets", NULL), "70");
	cr_assert_str_eq(document_at(document, "destination", "domain", NULL), "www.example.test");
	cr_assert_str_eq(document_at(document, "network", "bytes", NULL), "88623");
	cr_assert_str_eq(document_at(document, "network", "packets", NULL), "74");
	cr_assert_str_eq(document_at(document, "taffrail", "flow", "state"), "open");
	json_object_put(document);
	event.network.going_on = true;
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "event", "type", NULL), "[ \"connection\", \"info\" ]");
	json_object_put(document);
}

Test(ecs, dns)
{
	static const struct event_address addresses[] = {{AF_INET, {203, 0, 113, 7}, 0}, {AF_INET6, {[15] = 1}, 0}};
	struct event_dns dns = {
		.question = TEXT_LITERAL("www.example.test"), .type = 28, .addresses = addresses, .address_count = 2};
	struct event event = network_event(EVENT_DNS, "10.97.0.12", 40112, "10.96.0.10", 53);
	struct json_object *document, *absent;

	event.network.dns = &dns;
	event.truncated = EVENT_CUT_RESOLVED_IP;
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "event", "type", NULL), "[ \"protocol\", \"info\" ]");
	cr_assert_str_eq(document_at(document, "network", "protocol", NULL), "dns");
	cr_assert_str_eq(document_at(document, "dns", "type", NULL), "answer");
	cr_assert_str_eq(document_at(document, "dns", "question", "name"), "www.example.test");
	cr_assert_str_eq(document_at(document, "dns", "question", "type"), "AAAA");
	cr_assert_str_eq(document_at(document, "dns", "response_code", NULL), "NOERROR");
	cr_assert_str_eq(document_at(document, "dns", "resolved_ip", NULL), "[ \"203.0.113.7\", \"::1\" ]");
	cr_assert_str_eq(document_at(document, "taffrail", "truncated", NULL), "[ \"dns.resolved_ip\" ]");
	json_object_put(document);
	dns = (struct event_dns){.question = TEXT_LITERAL("x"), .type = 4711, .response_code = 250};
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "dns", "question", "type"), "TYPE4711");
	cr_assert_str_eq(document_at(document, "dns", "response_code", NULL), "RCODE250");
	cr_assert_not(json_object_object_get_ex(json_object_object_get(document, "dns"), "resolved_ip", &absent));
	json_object_put(document);
}

Test(ecs, events_lost)
{
	struct event event = {.action = EVENT_LOST, .time_ns = DOCUMENT_TIME, .count = 1, .host = &document_host};

	event.lost = (struct event_lost){.count = 512,
		.kinds = 1ull << EVENT_OPEN,
		.stage = TEXT_LITERAL("ring-bulk"),
		.cpu = 1,
		.first = 88121,
		.last = 88632,
		.start_ns = 1767323044000000000ull,
		.end_ns = 1767323045000000000ull};
	document_check(&event, 4726);
}

Test(ecs, events_filtered)
{
	static const uint64_t left_out[EVENT_ACTIONS_END] = {[EVENT_OPEN] = 4200, [EVENT_CONNECT] = 7};
	struct event event = {.action = EVENT_FILTERED, .time_ns = DOCUMENT_TIME, .count = 1, .host = &document_host};

	event.filtered = (struct event_filtered){.count = 4207,
		.in_kernel = 4200,
		.counts = left_out,
		.start_ns = 1767322985000000000ull,
		.end_ns = 1767323045000000000ull};
	document_check(&event, 4727);
}

Test(ecs, what_was_cut_or_waits_is_said)
{
	struct event event = document_event(EVENT_OPEN);
	struct event_process cut = document_process;
	struct json_object *document;

	cut.truncated = EVENT_CUT_ARGS;
	event.process = &cut;
	event.pending = true;
	event.truncated = EVENT_CUT_FILE_PATH;
	event.file.path = TEXT_LITERAL("/a/b.tar.gz");
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "taffrail", "truncated", NULL), "[ \"process.args\", \"file.path\" ]");
	cr_assert_str_eq(document_at(document, "taffrail", "pending", NULL), "true");
	cr_assert_str_eq(document_at(document, "file", "extension", NULL), "gz");
	json_object_put(document);
}

/* The example of the specification: 128.232.110.120:34855 to 66.35.250.204:80 over TCP. */
Test(ecs, community_id_is_that_of_the_specification_from_either_end)
{
	struct event event = network_event(EVENT_CONNECT, "128.232.110.120", 34855, "66.35.250.204", 80);
	struct json_object *document = document_written(&event);

	cr_assert_str_eq(document_at(document, "network", "community_id", NULL), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
	json_object_put(document);
	event = network_event(EVENT_CONNECT, "66.35.250.204", 80, "128.232.110.120", 34855);
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "network", "community_id", NULL), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
	json_object_put(document);
}

/* Whatever protocol a sensor says that it has. */
Test(ecs, what_has_no_ip_addresses_has_no_community_id)
{
	struct event event = network_event(EVENT_CONNECT, "10.0.0.1", 1, "10.0.0.2", 80);
	struct json_object *document;

	event.network.family = event.network.source.family = event.network.destination.family = AF_VSOCK;
	document = document_written(&event);
	cr_assert_str_empty(document_at(document, "network", "community_id", NULL));
	json_object_put(document);
}

Test(ecs, hostile_labels_are_still_json)
{
	struct event event = document_event(EVENT_FORK);
	const struct event_label odd = {TEXT_LITERAL("a\"\n\xff"), TEXT_LITERAL("\\")};
	struct event_container odd_container = document_container;
	struct json_object *document;

	odd_container.labels = &odd;
	odd_container.label_count = 1;
	event.container = &odd_container;
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "kubernetes", "labels", "a\"\n\\xff"), "\\");
	json_object_put(document);
}

Test(ecs, the_example_of_no_pod_and_no_container)
{
	struct event event = document_event(EVENT_FORK);
	struct json_object *document, *none;

	event.container = NULL;
	document = document_written(&event);
	cr_assert_not(json_object_object_get_ex(document, "container", &none));
	cr_assert_not(json_object_object_get_ex(document, "orchestrator", &none));
	cr_assert_not(json_object_object_get_ex(document, "kubernetes", &none));
	json_object_put(document);
}
