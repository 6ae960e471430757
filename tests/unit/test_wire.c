/* SPDX-License-Identifier: Apache-2.0 */
/* What a sensor writes a collector reads: the same documents come out of both ends, and nothing broken goes in. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "event/ecs.h"
#include "event/wire.h"
#include "test_wire.h"
#include "taffrail/v1/stream.pb-c.h"

static const struct event_host host = {.id = TEXT_STATIC("4c4c4544004b"),
	.name = TEXT_STATIC("node-1"),
	.boot_id = TEXT_STATIC("0f6c2f0e"),
	.cluster = TEXT_STATIC("prod"),
	.epoch = {1, 2, 3}};
enum { EVENTS_MAX = EVENT_ACTIONS_END + 1 };

static const struct text ips[] = {TEXT_STATIC("10.97.0.12"), TEXT_STATIC("fd00::12")};
static const struct event_label labels[] = {
	{TEXT_STATIC("app"), TEXT_STATIC("web")}, {TEXT_STATIC("x"), TEXT_STATIC("")}};
static const struct event_label annotations[] = {{TEXT_STATIC("owner"), TEXT_STATIC("team-a")}};
static const struct event_mount mounts[] = {
	{TEXT_STATIC("/host\xff"), TEXT_STATIC("/h"), TEXT_STATIC("bind"), TEXT_STATIC("rbind,ro")},
	{.destination = TEXT_STATIC("/proc"), .type = TEXT_STATIC("proc")}};
static const struct event_spec spec = {.args = TEXT_STATIC("sh\0-c\0x\xff"),
	.uid = 1000,
	.gid = UINT32_MAX,
	.privileged = true,
	.read_only_root = true,
	.capabilities = 1ull << 63 | 1,
	.host_namespaces = EVENT_NAMESPACE_PID | EVENT_NAMESPACE_MOUNT,
	.mounts = mounts,
	.mount_count = 2,
	.mounts_cut = true};
static const uint8_t nested_id[EVENT_CONTAINER_ID_SIZE] = {0xee, [31] = 0xff};
static const struct event_container container = {.id = {0xab, 0xcd},
	.name = TEXT_STATIC("main"),
	.image_name = TEXT_STATIC("registry.example/web"),
	.image_tag = TEXT_STATIC("1.4"),
	.image_digest = TEXT_STATIC("sha256:1"),
	.pod_name = TEXT_STATIC("web-1"),
	.pod_namespace = TEXT_STATIC("shop"),
	.pod_uid = TEXT_STATIC("u-1"),
	.pod_ips = ips,
	.pod_ip_count = 2,
	.labels = labels,
	.label_count = 2,
	.annotations = annotations,
	.annotation_count = 1,
	.sandbox_id = TEXT_STATIC("b0"),
	.runtime = TEXT_STATIC("containerd"),
	.workload_kind = TEXT_STATIC("deployment"),
	.workload_name = TEXT_STATIC("web"),
	.attempt = 3,
	.qos = EVENT_BURSTABLE,
	.source = EVENT_SOURCE_BUNDLE,
	.sandbox = true,
	.spec = &spec,
	.exited = true,
	.exit_code = 1,
	.exit_reason = TEXT_STATIC("Error")};
static struct event_process leader = {.entity = {9},
	.exec_counter = 1,
	.pid = 10,
	.start_ns = 5,
	.name = TEXT_STATIC("sh"),
	.args = TEXT_STATIC("sh\0-c\0x\xff\0"),
	.args_count = 3,
	.image_known = true,
	.entry = EVENT_ENTRY_RUNTIME_EXEC,
	.login_uid = UINT32_MAX,
	.session_id = 7,
	.in_container = true,
	.container_id = {0xab, 0xcd}};
static struct event_process child = {.entity = {8},
	.exec_counter = 4,
	.pid = 11,
	.vpid = 2,
	.start_ns = 6,
	.name = TEXT_STATIC("cat"),
	.executable = TEXT_STATIC("/bin/cat"),
	.script = TEXT_STATIC("/x.sh"),
	.args = TEXT_STATIC("cat\0"),
	.args_count = 1,
	.working_directory = TEXT_STATIC("/"),
	.tty = TEXT_STATIC("pts0"),
	.tty_major = 136,
	.tty_minor = 1,
	.uid = 1,
	.gid = 2,
	.real_uid = 3,
	.real_gid = 4,
	.login_uid = 5,
	.session_id = 6,
	.cap_effective = 1ull << 40,
	.cap_permitted = 3,
	.inode = 9,
	.ctime_ns = 1700000000123456789u,
	.mtime_ns = 1,
	.namespace_ns = 2,
	.fd_types = {1, 6, 7},
	.upper = true,
	.memfd = true,
	.image_known = true,
	.truncated = EVENT_CUT_ARGS,
	.setup = true,
	.parent = &leader,
	.entry_leader = &leader};

static const struct event_promise promises[] = {
	{TEXT_STATIC("open"), TEXT_STATIC("tp_btf/sys_exit"), TEXT_STATIC(""), EVENT_SEEN},
	{TEXT_STATIC("connect"), TEXT_STATIC("cgroup/connect4"), TEXT_STATIC("no record came"), EVENT_MISSED},
	{TEXT_STATIC("raw socket"), TEXT_STATIC(""), TEXT_STATIC("not allowed here: EPERM"), EVENT_UNSUPPORTED}};
static const struct event_coverage coverage = {promises, 3, TEXT_STATIC("6.18.0"), TEXT_STATIC("tracepoint")};
static const struct event_rule rule = {.name = TEXT_STATIC("Attack on the sensor"),
	.description = TEXT_STATIC("Somebody does."),
	.ruleset = TEXT_STATIC("taffrail"),
	.message = TEXT_STATIC("by \xff[1]"),
	.severity = EVENT_CRITICAL};
static const uint64_t left_out[EVENT_ACTIONS_END] = {[EVENT_OPEN] = 1ull << 40, [EVENT_FORK] = 3};

static void make_health(struct event *event)
{
	switch (event->action) {
	case EVENT_FILTERED: event->filtered = (struct event_filtered){9, 8, left_out, 1, 2}; break;
	case EVENT_ATTRIBUTION: event->attribution = (struct event_attribution){1ull << 40, 2, 3, 4, 5, 6}; break;
	case EVENT_TAMPER: event->rule = &rule; break;
	case EVENT_COVERAGE: event->coverage = coverage; break;
	default:
		event->lost = (struct event_lost){.count = 4,
			.kinds = 1ull << EVENT_OPEN | 1ull << EVENT_EXEC,
			.stage = TEXT_LITERAL("ring-bulk"),
			.cpu = -1,
			.first = 3,
			.last = 9,
			.start_ns = 1,
			.end_ns = 2};
		break;
	}
}

static void make_life(struct event *event)
{
	switch (event->action) {
	case EVENT_CONTAINER_STARTED: event->life.spec = &spec; break;
	case EVENT_CONTAINER_STOPPED:
		event->life = (struct event_life){.exit_code = -1, .exit_reason = TEXT_LITERAL("OOMKilled")};
		break;
	case EVENT_CGROUP_LEFT:
		event->rule = &rule;
		event->cgroup = (struct event_cgroup){TEXT_LITERAL("/a\xff"), 7, TEXT_LITERAL("s\xff"), true, {9, 8}};
		break;
	default: break;
	}
}

static void make_change(struct event_change *change)
{
	*change = (struct event_change){.path = TEXT_LITERAL("/a\xff"),
		.argument = TEXT_LITERAL("a\xff"),
		.named = TEXT_LITERAL("/x/a"),
		.new_path = TEXT_LITERAL("/b\xff"),
		.new_argument = TEXT_LITERAL("../b"),
		.new_named = TEXT_LITERAL("/b\xff"),
		.target = TEXT_LITERAL("/etc\xff"),
		.mode = 04755,
		.flags = 0x80000001,
		.inode = 1ull << 50};
}

static void make_deed(struct event_deed *deed)
{
	*deed = (struct event_deed){.request = 1ull << 40 | 5,
		.flags = 1ull << 63 | 1,
		.id = UINT32_MAX - 1,
		.other = 7,
		.other_name = TEXT_LITERAL("t\xff"),
		.path = TEXT_LITERAL("/m\xff"),
		.source = TEXT_LITERAL("s\xff"),
		.type = TEXT_LITERAL("tmpfs"),
		.data = TEXT_LITERAL("d\xff"),
		.descriptor_type = 7,
		.socket = {.family = AF_INET,
			.protocol = IPPROTO_TCP,
			.type = SOCK_STREAM,
			.source = {AF_INET, {10}, 1234},
			.destination = {AF_INET, {11}, 80}}};
}

/* One event of each kind, sequences 5, 6, … */
static size_t make_events(struct event events[EVENTS_MAX])
{
	const struct event common = {.time_ns = 1767323045123456789ull,
		.count = 1,
		.host = &host,
		.container = &container,
		.process = &child,
		.ring = 1,
		.cpu = 3,
		.ring_sequence = 77};
	size_t count = 0;

	leader.entry_leader = &leader;
	for (int action = 1; action < EVENT_ACTIONS_END; action++) {
		struct event *event = &events[count];

		if (!event_action_name(action)) /* a number that is given out, but not built in here */
			continue;
		*event = common;
		event->io_uring = action == EVENT_OPEN;
		event->action = action;
		event->sequence = 5 + count++;
		event->call = (enum event_call)(1 + action % (EVENT_CALLS_END - 1));
		event->result = -action;
		event->descriptor = action - 2;
		switch (event_action_category(action)) {
		case EVENT_NETWORK: make_network(event, action); break;
		case EVENT_FILE:
			event->file = (struct event_file){.path = TEXT_LITERAL("/a\xff"),
				.argument = TEXT_LITERAL("a\xff"),
				.flags = O_RDWR | O_CREAT,
				.inode = 1ull << 50,
				.mode = 0100640,
				.created = true,
				.named = TEXT_LITERAL("/b\xff"),
				.created_mode = 0600,
				.foreign = true};
			event->pending = true;
			event->count = 12;
			event->truncated = EVENT_CUT_FILE_PATH;
			break;
		case EVENT_CHANGE: make_change(&event->change); break;
		case EVENT_DEED: make_deed(&event->deed); break;
		case EVENT_HEALTH:
			event->process = NULL;
			event->container = NULL;
			make_health(event);
			break;
		case EVENT_CONTAINER:
			event->runtime_setup = event->left_cgroup = true;
			event->nested_id = nested_id;
			make_life(event);
			break;
		default:
			if (action == EVENT_END) {
				event->end.code = 137;
				event->end.signal = 9;
			}
			break;
		}
	}
	events[count] = common;
	events[count].action = EVENT_EXEC;
	events[count].outcome = EVENT_FAILURE;
	events[count].error = ENOENT;
	events[count].file.argument = TEXT_LITERAL("/nope");
	events[count].sequence = 5 + count;
	return count + 1;
}

/* The bytes of the Batch within what wire_batch_finish gives. */
static struct text batch_of(const struct buffer *up)
{
	return (struct text){up->data + 6, up->length - 6};
}

static struct buffer *written(const struct event *events, size_t count)
{
	struct wire_batch *batch;
	struct buffer *up;

	cr_assert_eq(wire_batch_open(&batch), 0);
	for (size_t i = 0; i < count; i++)
		wire_batch_add(batch, &events[i]);
	up = wire_batch_finish(batch, &host, events[0].sequence, events[count - 1].sequence);
	cr_assert_not_null(up);
	cr_assert_eq(wire_batch_size(batch), 0, "the next batch is empty");
	wire_batch_close(batch);
	return up;
}

Test(wire, every_document_is_the_same_at_the_other_end)
{
	struct event events[EVENTS_MAX];
	size_t count = make_events(events);
	struct buffer *up = written(events, count), sent = {0}, got = {0};
	struct wire_events read;
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), 0, "%s", why);
	cr_assert_eq(read.count, count);
	cr_assert_eq(read.first, 5);
	for (size_t i = 0; i < count; i++) {
		buffer_clear(&sent);
		buffer_clear(&got);
		ecs_write(&sent, &events[i]);
		ecs_write(&got, &read.events[i]);
		buffer_append(&sent, "", 1);
		buffer_append(&got, "", 1);
		cr_assert_str_eq(got.data, sent.data);
		cr_assert_eq(read.events[i].ring_sequence, 77);
		cr_assert_eq(read.events[i].call, events[i].call);
		cr_assert_eq(read.events[i].result, events[i].result);
		cr_assert_eq(read.events[i].descriptor, events[i].descriptor);
	}
	wire_free(&read);
	buffer_free(&sent);
	buffer_free(&got);
	wire_bytes_free(up);
}

/* The event of that action, of a batch with one of each. */
static const struct event *find(const struct wire_events *read, enum event_action action)
{
	for (size_t i = 0; i < read->count; i++)
		if (read->events[i].action == action)
			return &read->events[i];
	cr_assert_fail("no %s", event_action_name(action));
	return NULL;
}

Test(wire, names_travel_beside_paths)
{
	struct event events[EVENTS_MAX];
	struct buffer *up = written(events, make_events(events));
	const struct event_change *change;
	struct wire_events read;
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), 0, "%s", why);
	cr_assert(text_equal(find(&read, EVENT_OPEN)->file.named, TEXT_LITERAL("/b\xff")));
	cr_assert_eq(find(&read, EVENT_OPEN)->file.created_mode, 0600);
	cr_assert_eq(find(&read, EVENT_EXEC)->file.named.length, 0, "not known");
	change = &find(&read, EVENT_RENAME)->change;
	cr_assert(text_equal(change->named, TEXT_LITERAL("/x/a")));
	cr_assert(text_equal(change->new_named, change->new_path) && change->new_path.length > 0);
	cr_assert_eq(change->flags, 0x80000001);
	cr_assert_eq(find(&read, EVENT_DUP)->deed.socket.destination.port, 80);
	cr_assert_eq(find(&read, EVENT_SETUID)->deed.id, UINT32_MAX - 1);
	wire_free(&read);
	wire_bytes_free(up);
}

Test(wire, what_attribution_tells_travels_where_it_belongs)
{
	struct event events[EVENTS_MAX];
	struct buffer *up = written(events, make_events(events));
	const struct event *event;
	struct wire_events read;
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), 0, "%s", why);
	event = find(&read, EVENT_CONTAINER_STARTED);
	cr_assert(event->runtime_setup && event->left_cgroup && event->process->setup);
	cr_assert_not(event->process->parent->setup);
	cr_assert_arr_eq(event->nested_id, nested_id, sizeof(nested_id));
	cr_assert_eq(event->life.spec->capabilities, spec.capabilities);
	cr_assert_eq(event->life.spec->mount_count, 2);
	cr_assert(text_equal(event->life.spec->args, spec.args));
	/* Names are repeated in each batch; what is told once is not among them. */
	cr_assert_null(event->container->spec);
	cr_assert(!event->container->exited && event->container->exit_reason.length == 0);
	cr_assert_eq(find(&read, EVENT_CONTAINER_STOPPED)->life.exit_code, -1);
	cr_assert_null(find(&read, EVENT_CONTAINER_STOPPED)->life.spec);
	cr_assert_eq(find(&read, EVENT_CGROUP_LEFT)->cgroup.other_id[1], 8);
	cr_assert_eq(find(&read, EVENT_ATTRIBUTION)->attribution.end_ns, 6);
	cr_assert_null(find(&read, EVENT_OPEN)->nested_id);
	cr_assert(!find(&read, EVENT_OPEN)->runtime_setup && !find(&read, EVENT_OPEN)->left_cgroup);
	wire_free(&read);
	wire_bytes_free(up);
}

Test(wire, a_spec_that_is_not_known_stays_unknown_and_mounts_are_bounded)
{
	struct event event = {
		.action = EVENT_CONTAINER_STARTED, .sequence = 5, .count = 1, .host = &host, .container = &container};
	struct event_mount many[EVENT_MOUNTS_MAX + 1];
	struct event_spec cut = {.mounts = many, .mount_count = EVENT_MOUNTS_MAX + 1};
	struct wire_events read;
	char why[WIRE_WHY_SIZE];
	struct buffer *up = written(&event, 1);

	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), 0, "%s", why);
	cr_assert_null(read.events[0].life.spec);
	wire_free(&read);
	wire_bytes_free(up);
	for (size_t i = 0; i < EVENT_MOUNTS_MAX + 1; i++)
		many[i] = mounts[1];
	event.life.spec = &cut;
	up = written(&event, 1);
	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), 0, "%s", why);
	cr_assert_eq(read.events[0].life.spec->mount_count, EVENT_MOUNTS_MAX);
	cr_assert(read.events[0].life.spec->mounts_cut);
	wire_free(&read);
	wire_bytes_free(up);
}

/* A batch of one event and its container, as a hostile sensor may write it. */
static int read_hostile(
	struct wire_events *read, Taffrail__V1__Event *event, Taffrail__V1__Container *container_message, char *why)
{
	static uint8_t bytes[8192], id[EVENT_CONTAINER_ID_SIZE] = {1}, epoch[EVENT_EPOCH_SIZE];
	Taffrail__V1__Record first = TAFFRAIL__V1__RECORD__INIT, second = TAFFRAIL__V1__RECORD__INIT;
	Taffrail__V1__Record *records[] = {&first, &second};
	Taffrail__V1__Batch batch = TAFFRAIL__V1__BATCH__INIT;
	Taffrail__V1__Host sender = TAFFRAIL__V1__HOST__INIT;

	container_message->id = event->container_id = (ProtobufCBinaryData){sizeof(id), id};
	first.record_case = TAFFRAIL__V1__RECORD__RECORD_CONTAINER;
	first.container = container_message;
	second.record_case = TAFFRAIL__V1__RECORD__RECORD_EVENT;
	second.event = event;
	event->sequence = batch.first = batch.last = 1;
	sender.id = (char *)(uintptr_t) "h";
	batch.host = &sender;
	batch.epoch = (ProtobufCBinaryData){sizeof(epoch), epoch};
	batch.record = records;
	batch.n_record = 2;
	cr_assert_leq(taffrail__v1__batch__get_packed_size(&batch), sizeof(bytes));
	return wire_read(read, bytes, taffrail__v1__batch__pack(&batch, bytes), why);
}

Test(wire, numbers_and_ids_of_containers_are_not_trusted)
{
	static uint8_t short_id[EVENT_CONTAINER_ID_SIZE - 1];
	Taffrail__V1__Mount mount = TAFFRAIL__V1__MOUNT__INIT, *many[EVENT_MOUNTS_MAX + 1];
	Taffrail__V1__Container named = TAFFRAIL__V1__CONTAINER__INIT;
	Taffrail__V1__Cgroup cgroup = TAFFRAIL__V1__CGROUP__INIT;
	Taffrail__V1__Event event = TAFFRAIL__V1__EVENT__INIT;
	Taffrail__V1__Life life = TAFFRAIL__V1__LIFE__INIT;
	Taffrail__V1__Spec made = TAFFRAIL__V1__SPEC__INIT;
	struct wire_events read;
	char why[WIRE_WHY_SIZE];

	for (size_t i = 0; i < EVENT_MOUNTS_MAX + 1; i++)
		many[i] = &mount;
	event.action = TAFFRAIL__V1__ACTION__ACTION_CONTAINER_STARTED;
	named.qos = (Taffrail__V1__Qos)-1;
	named.source = (Taffrail__V1__Source)4;
	cr_assert_eq(read_hostile(&read, &event, &named, why), 0, "%s", why);
	cr_assert_eq(read.events[0].container->qos, EVENT_QOS_UNKNOWN);
	cr_assert_eq(read.events[0].container->source, EVENT_SOURCE_NONE);
	cr_assert_null(read.events[0].life.spec);
	wire_free(&read);

	event.detail_case = TAFFRAIL__V1__EVENT__DETAIL_LIFE;
	event.life = &life;
	life.spec = &made;
	made.mount = many;
	made.n_mount = EVENT_MOUNTS_MAX;
	cr_assert_eq(read_hostile(&read, &event, &named, why), 0, "%s", why);
	cr_assert_eq(read.events[0].life.spec->mount_count, EVENT_MOUNTS_MAX);
	wire_free(&read);
	made.n_mount++;
	cr_assert_eq(read_hostile(&read, &event, &named, why), -EBADMSG);
	cr_assert(strstr(why, "65 mounts"), "%s", why);
	event.action = TAFFRAIL__V1__ACTION__ACTION_CONTAINER_NAMED;
	cr_assert_eq(read_hostile(&read, &event, &named, why), -EBADMSG, "a life is of who starts or stops");

	event.action = TAFFRAIL__V1__ACTION__ACTION_CGROUP_LEFT;
	event.detail_case = TAFFRAIL__V1__EVENT__DETAIL_CGROUP;
	event.cgroup = &cgroup;
	cgroup.other_id = (ProtobufCBinaryData){sizeof(short_id), short_id};
	cr_assert_eq(read_hostile(&read, &event, &named, why), -EBADMSG);
	cr_assert(strstr(why, "31 bytes"), "%s", why);
	cgroup.other_id.len = 0;
	cr_assert_eq(read_hostile(&read, &event, &named, why), 0, "%s", why);
	cr_assert_not(read.events[0].cgroup.has_other);
	wire_free(&read);
	event.nested_id = (ProtobufCBinaryData){sizeof(short_id), short_id};
	cr_assert_eq(read_hostile(&read, &event, &named, why), -EBADMSG);
	cr_assert(strstr(why, "31 bytes"), "%s", why);
}

Test(wire, vsock_addresses_and_devices_travel)
{
	struct event event = {.action = EVENT_CONNECT, .sequence = 5, .count = 1, .host = &host};
	struct wire_events read;
	char why[WIRE_WHY_SIZE];
	struct buffer *up;

	event.io_uring = true;
	event.network = (struct event_network){
		.family = AF_VSOCK, .destination = {AF_VSOCK, {1, 2, 3, 4}, 1u << 31}, .interface = 9};
	up = written(&event, 1);
	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), 0, "%s", why);
	cr_assert_eq(read.events[0].network.destination.family, AF_VSOCK);
	cr_assert_eq(event_vsock_id(&read.events[0].network.destination), 0x01020304);
	cr_assert_eq(read.events[0].network.destination.port, 1u << 31);
	cr_assert_eq(read.events[0].network.interface, 9);
	cr_assert(read.events[0].io_uring);
	wire_free(&read);
	wire_bytes_free(up);
	/* The same port of any other family is a lie. */
	event.network.family = AF_INET;
	event.network.destination.family = AF_INET;
	up = written(&event, 1);
	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), -EBADMSG);
	wire_bytes_free(up);
}

Test(wire, what_events_refer_to_travels_once)
{
	struct event events[EVENTS_MAX], many[1000];
	struct buffer *few_up, *many_up;

	make_events(events);
	for (size_t i = 0; i < 1000; i++) {
		many[i] = events[1];
		many[i].sequence = i + 1;
	}
	few_up = written(many, 500);
	many_up = written(many, 1000);
	cr_assert_lt((many_up->length - few_up->length) / 500, 100, "bytes an event");
	wire_bytes_free(few_up);
	wire_bytes_free(many_up);
}

Test(wire, a_batch_that_is_cut_or_changed_is_refused_or_read_never_a_crash)
{
	struct event events[EVENTS_MAX];
	size_t count = make_events(events);
	struct buffer *up = written(events, count);
	struct text batch = batch_of(up);
	struct wire_events read;
	char why[WIRE_WHY_SIZE], *copy = malloc(batch.length);

	for (size_t length = 0; length < batch.length; length++) {
		memcpy(copy, batch.data, length);
		cr_assert_neq(wire_read(&read, copy, length, why), 0, "cut at %zu of %zu", length, batch.length);
		cr_assert_str_not_empty(why);
	}
	for (size_t i = 0; i < batch.length; i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(copy, batch.data, batch.length);
			copy[i] = (char)(copy[i] ^ 1 << bit);
			if (wire_read(&read, copy, batch.length, why) == 0)
				wire_free(&read);
		}
	free(copy);
	wire_bytes_free(up);
}

Test(wire, sequences_with_a_gap_are_refused)
{
	struct event events[EVENTS_MAX];
	size_t count = make_events(events);
	struct wire_events read;
	char why[WIRE_WHY_SIZE];
	struct buffer *up;

	events[3].sequence++;
	up = written(events, count);
	cr_assert_eq(wire_read(&read, batch_of(up).data, batch_of(up).length, why), -EBADMSG);
	cr_assert(strstr(why, "9"), "%s", why);
	wire_bytes_free(up);
}

Test(wire, a_part_may_leave_sequences_out_but_never_goes_back)
{
	struct event events[EVENTS_MAX];
	size_t count = make_events(events);
	struct wire_events read;
	char why[WIRE_WHY_SIZE];
	struct buffer *up;

	for (size_t i = 3; i < count; i++)
		events[i].sequence += 5;
	up = written(events, count);
	cr_assert_eq(wire_read_part(&read, batch_of(up).data, batch_of(up).length, why), 0, "%s", why);
	cr_assert_eq(read.count, count);
	cr_assert_eq(read.events[3].sequence, events[3].sequence);
	wire_free(&read);
	wire_bytes_free(up);
	events[3].sequence = events[2].sequence;
	up = written(events, count);
	cr_assert_eq(wire_read_part(&read, batch_of(up).data, batch_of(up).length, why), -EBADMSG);
	wire_bytes_free(up);
}
