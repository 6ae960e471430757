/* SPDX-License-Identifier: Apache-2.0 */
/* The ECS face against events.ndjson: one document for each action, whose shape is a contract. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "event/ecs.h"

static const uint64_t when = 1767323045123456789ull; /* 2026-01-02T03:04:05.123456789Z */

static struct event_host host = {
	.id = TEXT_STATIC("4c4c4544004b"),
	.name = TEXT_STATIC("node-1"),
	.boot_id = TEXT_STATIC("0f6c2f0e-7d8e-4c0a-9a30-5b7e1e0d7f11"),
	.cluster = TEXT_STATIC("prod"),
};
static const struct text pod_ip = TEXT_STATIC("10.97.0.12");
static const struct event_label labels[] = {
	{TEXT_STATIC("app"), TEXT_STATIC("web")},
	{TEXT_STATIC("app.kubernetes.io/part-of"), TEXT_STATIC("shop")},
};
static struct event_container container = {
	.name = TEXT_STATIC("main"),
	.image_name = TEXT_STATIC("registry.example/shop/web"),
	.image_tag = TEXT_STATIC("1.4"),
	.image_digest = TEXT_STATIC("sha256:8e109c9c95eb238199e43def4b71dd6354bef1c270b8efffcf0d4cc51d076585"),
	.pod_name = TEXT_STATIC("web-9dbc998d6-fddvs"),
	.pod_namespace = TEXT_STATIC("shop"),
	.pod_uid = TEXT_STATIC("545dffc5-e6c9-49c5-9538-47fab22a8cea"),
	.pod_ips = &pod_ip,
	.pod_ip_count = 1,
	.labels = labels,
	.label_count = 2,
};
static struct event_process shell = {
	.entity = {1},
	.pid = 2311,
	.start_ns = 1,
	.name = TEXT_STATIC("sh"),
	.executable = TEXT_STATIC("/bin/busybox"),
	.args = TEXT_STATIC("/bin/sh\0-c\0wget http://x/\0"),
	.entry = EVENT_ENTRY_CONTAINER,
	.image_known = true,
};
static struct event_process wget = {
	.entity = {2},
	.exec_counter = 2,
	.pid = 2317,
	.vpid = 7,
	.start_ns = 1767323045120000000ull,
	.name = TEXT_STATIC("wget"),
	.executable = TEXT_STATIC("/bin/busybox"),
	.args = TEXT_STATIC("wget\0http://x/\0"),
	.args_count = 2,
	.working_directory = TEXT_STATIC("/"),
	.image_known = true,
	.login_uid = UINT32_MAX,
	.session_id = UINT32_MAX,
	.parent = &shell,
	.entry_leader = &shell,
};

static struct event_address address(const char *ip, uint16_t port)
{
	struct event_address made = {.family = AF_INET, .port = port};

	inet_pton(AF_INET, ip, made.bytes);
	return made;
}

static struct event event_of(enum event_action action)
{
	shell.entry_leader = &shell;
	for (int i = 0; i < EVENT_CONTAINER_ID_SIZE; i++) {
		unsigned int byte;

		sscanf("7d16dfe5e07b92cd02f6ec15acb3bf05bd2c806193006917d6f80d6ff35d829e" + 2 * i, "%2x", &byte);
		container.id[i] = (uint8_t)byte;
	}
	return (struct event){.action = action,
		.time_ns = when,
		.count = 1,
		.host = &host,
		.container = &container,
		.process = &wget};
}

static struct json_object *written(const struct event *event)
{
	struct buffer out = {0};
	struct json_object *document;

	ecs_write(&out, event);
	buffer_append(&out, "", 1);
	cr_assert_not(out.failed);
	document = json_tokener_parse(out.data);
	cr_assert_not_null(document, "%s", out.data);
	buffer_free(&out);
	return document;
}

/* The example document with this event.sequence. */
static struct json_object *example(uint64_t sequence)
{
	FILE *file = fopen("tests/unit/events.ndjson", "re");
	struct json_object *document = NULL, *event, *number;
	char *line = NULL;
	size_t room = 0;

	cr_assert_not_null(file, "run from the project's root");
	while (!document && getline(&line, &room, file) > 0) {
		document = json_tokener_parse(line);
		json_object_object_get_ex(document, "event", &event);
		json_object_object_get_ex(event, "sequence", &number);
		if ((uint64_t)json_object_get_int64(number) != sequence) {
			json_object_put(document);
			document = NULL;
		}
	}
	free(line);
	fclose(file);
	cr_assert_not_null(document);
	return document;
}

/* Ids are made otherwise than in the examples; and more may stand in our documents, but never less, or another type. */
static void compare(struct json_object *expected, struct json_object *found, const char *path)
{
	const char *last = strrchr(path, '.');

	cr_assert_not_null(found, "%s is missing", path);
	cr_assert_eq(json_object_get_type(expected), json_object_get_type(found), "%s is %s", path,
		json_object_get_string(found));
	if (json_object_is_type(expected, json_type_object)) {
		json_object_object_foreach(expected, key, value)
		{
			struct json_object *child = NULL;
			char below[256];

			snprintf(below, sizeof(below), "%s.%s", path, key);
			json_object_object_get_ex(found, key, &child);
			compare(value, child, below);
		}
		return;
	}
	if (strcmp(path, ".event.id") == 0 ||
		(last && (strcmp(last, ".entity_id") == 0 || strcmp(last, ".exec_id") == 0 ||
				 strcmp(last, ".community_id") == 0)))
		return;
	cr_assert_str_eq(json_object_get_string(found), json_object_get_string(expected), "%s: %s, expected %s", path,
		json_object_get_string(found), json_object_get_string(expected));
}

/* Nothing may stand in our document, outside "taffrail" and the exec's own credentials, that the example has not. */
static void no_more(struct json_object *expected, struct json_object *found, const char *path)
{
	if (!json_object_is_type(found, json_type_object))
		return;
	json_object_object_foreach(found, key, value)
	{
		struct json_object *child = NULL;
		char below[256];

		snprintf(below, sizeof(below), "%s.%s", path, key);
		if (strcmp(below, ".taffrail") == 0 || strcmp(below, ".process.real_user") == 0 ||
			strcmp(below, ".process.real_group") == 0 || strcmp(below, ".process.thread") == 0)
			continue;
		cr_assert(json_object_object_get_ex(expected, key, &child), "%s is too much", below);
		no_more(child, value, below);
	}
}

static void check(struct event *event, uint64_t sequence)
{
	struct json_object *found, *expected = example(sequence);

	event->sequence = sequence;
	found = written(event);
	compare(expected, found, "");
	no_more(expected, found, "");
	json_object_put(found);
	json_object_put(expected);
}

Test(ecs, exec)
{
	struct event event = event_of(EVENT_EXEC);

	check(&event, 4712);
}

Test(ecs, failed_exec)
{
	struct event event = event_of(EVENT_EXEC);
	struct event_process caller = wget;

	caller.name = TEXT_LITERAL("sh");
	event.process = &caller;
	event.outcome = EVENT_FAILURE;
	event.error = ENOENT;
	event.file.argument = TEXT_LITERAL("/usr/bin/nope");
	check(&event, 4713);
}

Test(ecs, fork)
{
	struct event event = event_of(EVENT_FORK);
	struct event_process child = wget;

	child.name = TEXT_LITERAL("sh");
	event.process = &child;
	check(&event, 4714);
}

Test(ecs, end)
{
	struct event event = event_of(EVENT_END);

	event.end.code = 137;
	event.end.signal = 9;
	check(&event, 4715);
}

Test(ecs, open_for_reading)
{
	struct event event = event_of(EVENT_OPEN);

	event.count = 3;
	event.file = (struct event_file){.path = TEXT_LITERAL("/etc/passwd"),
		.argument = TEXT_LITERAL("../etc//passwd"),
		.inode = 264193,
		.mode = 0100644,
		.flags = O_RDONLY | O_CLOEXEC};
	check(&event, 4716);
}

Test(ecs, open_that_creates)
{
	struct event event = event_of(EVENT_OPEN);

	event.file = (struct event_file){.path = TEXT_LITERAL("/tmp/q\xffx"),
		.argument = TEXT_LITERAL("/tmp/q\xffx"),
		.inode = 264207,
		.mode = 0100600,
		.flags = O_WRONLY | O_CREAT | O_TRUNC,
		.created = true};
	check(&event, 4717);
}

Test(ecs, open_that_fails)
{
	struct event event = event_of(EVENT_OPEN);

	event.outcome = EVENT_FAILURE;
	event.error = ENOENT;
	event.file = (struct event_file){.path = TEXT_LITERAL("/nope"), .argument = TEXT_LITERAL("/nope")};
	check(&event, 4718);
}

static struct event network_event(
	enum event_action action, const char *from, uint16_t from_port, const char *to, uint16_t to_port)
{
	struct event event = event_of(action);

	event.network = (struct event_network){.family = AF_INET, .protocol = IPPROTO_TCP, .type = SOCK_STREAM};
	if (from)
		event.network.source = address(from, from_port);
	event.network.destination = address(to, to_port);
	return event;
}

Test(ecs, connect)
{
	struct event event = network_event(EVENT_CONNECT, "10.97.0.12", 40112, "203.0.113.7", 80);

	check(&event, 4719);
	event.outcome = EVENT_FAILURE;
	event.error = ECONNREFUSED;
	check(&event, 4720);
}

Test(ecs, connect_to_an_abstract_unix_socket)
{
	struct event event = event_of(EVENT_CONNECT);

	event.network = (struct event_network){
		.family = AF_UNIX, .type = SOCK_STREAM, .unix_name = TEXT_LITERAL("\0by-abstract")};
	check(&event, 4721);
}

Test(ecs, accept)
{
	struct event event = network_event(EVENT_ACCEPT, "10.97.0.40", 51514, "10.97.0.12", 8080);

	event.network.ingress = true;
	check(&event, 4722);
}

Test(ecs, listen)
{
	struct event event = network_event(EVENT_LISTEN, NULL, 0, "0.0.0.0", 8080);

	event.network.ingress = true;
	check(&event, 4723);
}

Test(ecs, send)
{
	struct event event = network_event(EVENT_SEND, "10.97.0.12", 39001, "203.0.113.53", 53);

	event.network.protocol = IPPROTO_UDP;
	check(&event, 4724);
}

Test(ecs, socket)
{
	struct event event = event_of(EVENT_SOCKET);

	event.outcome = EVENT_FAILURE;
	event.error = EPERM;
	event.io_uring = true;
	event.network = (struct event_network){.family = AF_INET, .type = SOCK_RAW, .protocol = IPPROTO_ICMP};
	check(&event, 4740);
}

Test(ecs, a_raw_send_has_no_ports)
{
	struct event event = network_event(EVENT_SEND, "10.97.0.12", 0, "203.0.113.53", 0);

	event.network.protocol = IPPROTO_ICMP;
	event.network.type = SOCK_RAW;
	check(&event, 4741);
}

Test(ecs, vsock_has_a_context_id_and_a_port)
{
	struct event event = event_of(EVENT_CONNECT);

	event.outcome = EVENT_UNKNOWN;
	event.network = (struct event_network){.family = AF_VSOCK,
		.type = SOCK_STREAM,
		.source = {AF_VSOCK, {0, 0, 0, 3}, UINT32_MAX},
		.destination = {AF_VSOCK, {0, 0, 0, 2}, 70000}};
	check(&event, 4742);
}

Test(ecs, a_packet_socket_has_a_device)
{
	struct event event = event_of(EVENT_SEND);

	event.network = (struct event_network){
		.family = AF_PACKET, .type = SOCK_RAW, .protocol = htons(0x0800), .interface = 2};
	check(&event, 4743);
}

Test(ecs, disconnect)
{
	struct event event = network_event(EVENT_DISCONNECT, "10.97.0.12", 40112, "203.0.113.7", 80);

	event.network.source_bytes = 412;
	event.network.destination_bytes = 88211;
	event.network.duration_ns = 120000000;
	check(&event, 4725);
}

Test(ecs, events_lost)
{
	struct event event = {.action = EVENT_LOST, .time_ns = when, .count = 1, .host = &host};

	event.lost = (struct event_lost){.count = 512,
		.kinds = 1ull << EVENT_OPEN,
		.stage = TEXT_LITERAL("ring-bulk"),
		.cpu = 1,
		.first = 88121,
		.last = 88632,
		.start_ns = 1767323044000000000ull,
		.end_ns = 1767323045000000000ull};
	check(&event, 4726);
}

Test(ecs, events_filtered)
{
	static const uint64_t left_out[EVENT_ACTIONS_END] = {[EVENT_OPEN] = 4200, [EVENT_CONNECT] = 7};
	struct event event = {.action = EVENT_FILTERED, .time_ns = when, .count = 1, .host = &host};

	event.filtered = (struct event_filtered){.count = 4207,
		.in_kernel = 4200,
		.counts = left_out,
		.start_ns = 1767322985000000000ull,
		.end_ns = 1767323045000000000ull};
	check(&event, 4727);
}

static const struct event_label annotations[] = {
	{TEXT_STATIC("owner"), TEXT_STATIC("team-a")},
	{TEXT_STATIC("empty"), TEXT_STATIC("")},
};
static const struct event_mount mounts[] = {
	{TEXT_STATIC("/srv/q\xffx"), TEXT_STATIC("/data"), TEXT_STATIC("bind"), TEXT_STATIC("rbind,,ro,")},
	{TEXT_STATIC("proc"), TEXT_STATIC("/proc"), TEXT_STATIC("proc"), {NULL, 0}},
};
static const struct event_spec spec = {.args = TEXT_STATIC("/bin/web\0--listen\0:80"),
	.uid = 1000,
	.gid = 2000,
	.read_only_root = true,
	.capabilities = 1 | 1 << 13,
	.host_namespaces = EVENT_NAMESPACE_PID | EVENT_NAMESPACE_MOUNT,
	.mounts = mounts,
	.mount_count = 2,
	.mounts_cut = true};
static const uint8_t other_id[EVENT_CONTAINER_ID_SIZE] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
	0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb,
	0xcc, 0xdd, 0xee, 0xff};

/* The container with all that is known of one; its spec and its end are the event's to tell, not its. */
static struct event_container known(void)
{
	struct event_container made = container;

	made.runtime = TEXT_LITERAL("containerd");
	made.annotations = annotations;
	made.annotation_count = 2;
	made.sandbox_id = TEXT_LITERAL("0b7d4f1c9a35e2684d0f7a6b5c3e1d2f4a596877869504132231405f6e7d8c9b");
	made.workload_kind = TEXT_LITERAL("deployment");
	made.workload_name = TEXT_LITERAL("web");
	made.qos = EVENT_BURSTABLE;
	made.source = EVENT_SOURCE_CRI;
	made.spec = &spec;
	made.exited = true;
	made.exit_code = 9;
	made.exit_reason = TEXT_LITERAL("Error");
	return made;
}

/* What stands below "taffrail" too is what the example has, and nothing else. */
static void check_whole(struct event *event, uint64_t sequence)
{
	struct json_object *found, *expected = example(sequence), *own, *expected_own;

	check(event, sequence);
	found = written(event);
	cr_assert(json_object_object_get_ex(found, "taffrail", &own));
	cr_assert(json_object_object_get_ex(expected, "taffrail", &expected_own));
	cr_assert_str_eq(json_object_get_string(own), json_object_get_string(expected_own));
	json_object_put(found);
	json_object_put(expected);
}

Test(ecs, container_started)
{
	struct event event = event_of(EVENT_CONTAINER_STARTED);
	const struct event_spec plain = {.privileged = true};
	struct event_container made = known();

	event.process = NULL;
	event.container = &made;
	event.life.spec = &spec;
	check_whole(&event, 4728);
	made.sandbox = true;
	event.life.spec = &plain;
	check_whole(&event, 4729);
}

Test(ecs, container_stopped)
{
	struct event event = event_of(EVENT_CONTAINER_STOPPED);
	struct event_container made = known();

	event.process = NULL;
	event.container = &made;
	event.life = (struct event_life){.exit_code = 137, .exit_reason = TEXT_LITERAL("OOMKilled")};
	check_whole(&event, 4730);
}

Test(ecs, container_named)
{
	struct event event = event_of(EVENT_CONTAINER_NAMED);
	struct event_container made = known();

	event.process = NULL;
	event.container = &made;
	check_whole(&event, 4731);
}

Test(ecs, cgroup_left)
{
	struct event event = event_of(EVENT_CGROUP_LEFT);
	struct event_process child = wget;
	struct event_container made = known();

	child.name = TEXT_LITERAL("sh");
	event.process = &child;
	event.container = &made;
	event.left_cgroup = true;
	event.cgroup = (struct event_cgroup){.path = TEXT_LITERAL("/kubepods.slice"),
		.actor_pid = 4711,
		.actor_name = TEXT_LITERAL("e\xff"),
		.has_other = true};
	memcpy(event.cgroup.other_id, other_id, sizeof(other_id));
	check(&event, 4732);
}

Test(ecs, attribution_degraded)
{
	struct event event = {.action = EVENT_ATTRIBUTION, .time_ns = when, .count = 1, .host = &host};

	event.attribution = (struct event_attribution){.pending = 12,
		.completed_late = 3,
		.never = 1,
		.start_ns = 1767322985000000000ull,
		.end_ns = 1767323045000000000ull};
	check_whole(&event, 4733);
}

Test(ecs, what_the_runtime_does_and_a_container_within)
{
	struct event event = event_of(EVENT_FORK);
	struct event_process child = wget;

	child.name = TEXT_LITERAL("sh");
	event.process = &child;
	event.runtime_setup = true;
	event.nested_id = other_id;
	check(&event, 4734);
}

static const char *at(struct json_object *document, const char *first, const char *second, const char *third)
{
	const char *const keys[] = {first, second, third};

	for (size_t i = 0; i < 3 && keys[i]; i++)
		if (!json_object_object_get_ex(document, keys[i], &document))
			return "";
	return json_object_get_string(document);
}

Test(ecs, what_was_cut_or_waits_is_said)
{
	struct event event = event_of(EVENT_OPEN);
	struct event_process cut = wget;
	struct json_object *document;

	cut.truncated = EVENT_CUT_ARGS;
	event.process = &cut;
	event.pending = true;
	event.truncated = EVENT_CUT_FILE_PATH;
	event.file.path = TEXT_LITERAL("/a/b.tar.gz");
	document = written(&event);
	cr_assert_str_eq(at(document, "taffrail", "truncated", NULL), "[ \"process.args\", \"file.path\" ]");
	cr_assert_str_eq(at(document, "taffrail", "pending", NULL), "true");
	cr_assert_str_eq(at(document, "file", "extension", NULL), "gz");
	json_object_put(document);
}

/* The example of the specification: 128.232.110.120:34855 to 66.35.250.204:80 over TCP. */
Test(ecs, community_id_is_that_of_the_specification_from_either_end)
{
	struct event event = network_event(EVENT_CONNECT, "128.232.110.120", 34855, "66.35.250.204", 80);
	struct json_object *document = written(&event);

	cr_assert_str_eq(at(document, "network", "community_id", NULL), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
	json_object_put(document);
	event = network_event(EVENT_CONNECT, "66.35.250.204", 80, "128.232.110.120", 34855);
	document = written(&event);
	cr_assert_str_eq(at(document, "network", "community_id", NULL), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
	json_object_put(document);
}

Test(ecs, hostile_labels_are_still_json)
{
	struct event event = event_of(EVENT_FORK);
	const struct event_label odd = {TEXT_LITERAL("a\"\n\xff"), TEXT_LITERAL("\\")};
	struct event_container odd_container = container;
	struct json_object *document;

	odd_container.labels = &odd;
	odd_container.label_count = 1;
	event.container = &odd_container;
	document = written(&event);
	cr_assert_str_eq(at(document, "kubernetes", "labels", "a\"\n\\xff"), "\\");
	json_object_put(document);
}

Test(ecs, the_example_of_no_pod_and_no_container)
{
	struct event event = event_of(EVENT_FORK);
	struct json_object *document, *none;

	event.container = NULL;
	document = written(&event);
	cr_assert_not(json_object_object_get_ex(document, "container", &none));
	cr_assert_not(json_object_object_get_ex(document, "orchestrator", &none));
	cr_assert_not(json_object_object_get_ex(document, "kubernetes", &none));
	json_object_put(document);
}

Test(ecs, what_is_not_known_of_a_container_is_not_told)
{
	struct event event = event_of(EVENT_CONTAINER_STARTED);
	struct event_container bare = {.id = {1}, .spec = &spec, .attempt = 3, .exited = true, .exit_code = 1};
	struct json_object *document, *none;

	event.process = NULL;
	event.container = &bare;
	document = written(&event);
	cr_assert_not(json_object_object_get_ex(document, "taffrail", &none), "%s", json_object_get_string(none));
	cr_assert_str_eq(at(document, "container", NULL, NULL),
		"{ \"id\": \"0100000000000000000000000000000000000000000000000000000000000000\" }");
	json_object_put(document);
	event.container = NULL;
	json_object_put(written(&event));
}

Test(ecs, an_annotation_of_any_length_and_bytes_is_one_string)
{
	static char bytes[4096];
	struct event event = event_of(EVENT_FORK);
	struct event_container odd = container;
	const struct event_label annotation = {TEXT_LITERAL("k:\xff"), {bytes, sizeof(bytes)}};
	struct json_object *document, *list;

	memset(bytes, '"', sizeof(bytes));
	odd.annotations = &annotation;
	odd.annotation_count = 1;
	event.container = &odd;
	document = written(&event);
	cr_assert(json_object_object_get_ex(document, "orchestrator", &list));
	cr_assert(json_object_object_get_ex(list, "resource", &list));
	cr_assert(json_object_object_get_ex(list, "annotation", &list));
	cr_assert_eq(json_object_array_length(list), 1);
	cr_assert_eq(json_object_get_string_len(json_object_array_get_idx(list, 0)), 2 + 4 + 1 + sizeof(bytes));
	cr_assert_eq(strncmp(json_object_get_string(json_object_array_get_idx(list, 0)), "k:\\xff:\"", 8), 0);
	cr_assert_str_eq(at(document, "taffrail", "escaped", NULL),
		"[ \"orchestrator.resource.annotation\", \"kubernetes.annotations\" ]");
	json_object_put(document);
}
