/* SPDX-License-Identifier: Apache-2.0 */
/* What documents tell of containers, beside their names. */
#include <criterion/criterion.h>

#include "test_document.h"

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
	struct event_container made = document_container;

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
	struct json_object *found, *expected = document_example(sequence), *own, *expected_own;

	document_check(event, sequence);
	found = document_written(event);
	cr_assert(json_object_object_get_ex(found, "taffrail", &own));
	cr_assert(json_object_object_get_ex(expected, "taffrail", &expected_own));
	cr_assert_str_eq(json_object_get_string(own), json_object_get_string(expected_own));
	json_object_put(found);
	json_object_put(expected);
}

Test(ecs_container, container_started)
{
	struct event event = document_event(EVENT_CONTAINER_STARTED);
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

Test(ecs_container, container_stopped)
{
	struct event event = document_event(EVENT_CONTAINER_STOPPED);
	struct event_container made = known();

	event.process = NULL;
	event.container = &made;
	event.life = (struct event_life){.exit_code = 137, .exit_reason = TEXT_LITERAL("OOMKilled")};
	check_whole(&event, 4730);
}

Test(ecs_container, container_named)
{
	struct event event = document_event(EVENT_CONTAINER_NAMED);
	struct event_container made = known();

	event.process = NULL;
	event.container = &made;
	check_whole(&event, 4731);
}

Test(ecs_container, cgroup_left)
{
	struct event event = document_event(EVENT_CGROUP_LEFT);
	struct event_process child = document_process;
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
	document_check(&event, 4732);
}

Test(ecs_container, attribution_degraded)
{
	struct event event = {
		.action = EVENT_ATTRIBUTION, .time_ns = DOCUMENT_TIME, .count = 1, .host = &document_host};

	event.attribution = (struct event_attribution){.pending = 12,
		.completed_late = 3,
		.never = 1,
		.start_ns = 1767322985000000000ull,
		.end_ns = 1767323045000000000ull};
	check_whole(&event, 4733);
}

Test(ecs_container, what_the_runtime_does_and_a_container_within)
{
	struct event event = document_event(EVENT_FORK);
	struct event_process child = document_process;

	child.name = TEXT_LITERAL("sh");
	event.process = &child;
	event.runtime_setup = true;
	event.nested_id = other_id;
	document_check(&event, 4734);
}

Test(ecs_container, what_is_not_known_of_a_container_is_not_told)
{
	struct event event = document_event(EVENT_CONTAINER_STARTED);
	struct event_container bare = {.id = {1}, .spec = &spec, .attempt = 3, .exited = true, .exit_code = 1};
	struct json_object *document, *none;

	event.process = NULL;
	event.container = &bare;
	document = document_written(&event);
	cr_assert_not(json_object_object_get_ex(document, "taffrail", &none), "%s", json_object_get_string(none));
	cr_assert_str_eq(document_at(document, "container", NULL, NULL),
		"{ \"id\": \"0100000000000000000000000000000000000000000000000000000000000000\" }");
	json_object_put(document);
	event.container = NULL;
	json_object_put(document_written(&event));
}

Test(ecs_container, an_annotation_of_any_length_and_bytes_is_one_string)
{
	static char bytes[4096];
	struct event event = document_event(EVENT_FORK);
	struct event_container odd = document_container;
	const struct event_label annotation = {TEXT_LITERAL("k:\xff"), {bytes, sizeof(bytes)}};
	struct json_object *document, *list;

	memset(bytes, '"', sizeof(bytes));
	odd.annotations = &annotation;
	odd.annotation_count = 1;
	event.container = &odd;
	document = document_written(&event);
	cr_assert(json_object_object_get_ex(document, "orchestrator", &list));
	cr_assert(json_object_object_get_ex(list, "resource", &list));
	cr_assert(json_object_object_get_ex(list, "annotation", &list));
	cr_assert_eq(json_object_array_length(list), 1);
	cr_assert_eq(json_object_get_string_len(json_object_array_get_idx(list, 0)), 2 + 4 + 1 + sizeof(bytes));
	cr_assert_eq(strncmp(json_object_get_string(json_object_array_get_idx(list, 0)), "k:\\xff:\"", 8), 0);
	cr_assert_str_eq(document_at(document, "taffrail", "escaped", NULL),
		"[ \"orchestrator.resource.annotation\", \"kubernetes.annotations\" ]");
	json_object_put(document);
}
