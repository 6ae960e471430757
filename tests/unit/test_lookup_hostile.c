/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that lies, over a real socket: what is asked of it and what is kept of it stay bounded, and nobody dies of it. */
#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sensor/lookup.h"
#include "test_runtime.h"

#define OWN "0e04af54d9273f5bb37eddbe8ace750275d7939612dd4864c792168cce2cff82"
#define OTHER "134b58ab2e0cfd7432a9db818b1b4ec52fdc747333f0ba2c9342860dc2ea7c50"

enum { NAMES_BYTES = 1 << 20 };

static struct {
	char root[64];
	struct event_base *base;
	struct grpc_server *server;
	struct cri *cri;
	struct lookup *lookup;
	/* The runtime's. */
	const char *own_sandbox, *other_sandbox; /* what it says that these two are in */
	size_t listed;                           /* of so many it says that they run, each time others */
	unsigned int lists;
	bool answers;  /* for one of them */
	bool all_pods; /* whatever is asked for is one, with a long name */
	unsigned int asked;
	size_t named; /* bytes of the names that were published, the sensor's */
} world;

/* --- the runtime ----------------------------------------------------------------------------------------------------- */

static void on_sandboxes(struct grpc_stream *stream, void *data)
{
	(void)data;
	runtime_send_pods(stream, NULL, 0);
}

static struct runtime_container container_of(const char *id)
{
	return (struct runtime_container){
		.id = id, .pod_id = strcmp(id, OWN) == 0 ? world.own_sandbox : world.other_sandbox, .name = "main"};
}

static void send_many(struct grpc_stream *stream, size_t count)
{
	Runtime__V1__Container *messages = calloc(count + 1, sizeof(*messages)),
			       **all = calloc(count + 1, sizeof(*all));
	char(*ids)[65] = calloc(count + 1, sizeof(*ids));
	Runtime__V1__ListContainersResponse list = RUNTIME__V1__LIST_CONTAINERS_RESPONSE__INIT;

	world.lists++;
	for (size_t i = 0; i < count; i++) {
		snprintf(ids[i], sizeof(ids[i]), "%032x%032zx", world.lists, i);
		all[i] = &messages[i];
		runtime__v1__container__init(all[i]);
		all[i]->id = ids[i];
	}
	list.containers = all;
	list.n_containers = count;
	runtime_send(stream, &list.base);
	free(ids);
	free(all);
	free(messages);
}

static void on_containers(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Runtime__V1__ListContainersRequest *request = runtime__v1__list_containers_request__unpack(NULL, length, bytes);
	struct runtime_container container = {0};

	(void)data;
	world.asked++;
	if (request->filter) {
		container = container_of(strcmp(request->filter->id, OWN) == 0 ? OWN : OTHER);
		runtime_send_containers(stream, &container, 1);
	} else {
		send_many(stream, world.listed);
	}
	runtime__v1__list_containers_request__free_unpacked(request, NULL);
}

static void on_status(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Runtime__V1__ContainerStatusRequest *request =
		runtime__v1__container_status_request__unpack(NULL, length, bytes);
	struct runtime_container container = container_of(strcmp(request->container_id, OWN) == 0 ? OWN : OTHER);

	(void)data;
	world.asked++;
	if (world.all_pods)
		runtime_not_found(stream);
	else if (world.answers)
		runtime_send_status(stream, &container, request->verbose);
	runtime__v1__container_status_request__free_unpacked(request, NULL);
}

static void on_sandbox(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	static char name[CRI_TEXT_MAX + 1];
	Runtime__V1__PodSandboxStatusRequest *request =
		runtime__v1__pod_sandbox_status_request__unpack(NULL, length, bytes);
	struct runtime_pod pod = {.id = request->pod_sandbox_id, .name = name, .namespace = "n"};

	(void)data;
	world.asked++;
	memset(name, 'x', CRI_TEXT_MAX);
	if (world.all_pods)
		runtime_send_pod(stream, &pod);
	else
		runtime_not_found(stream);
	runtime__v1__pod_sandbox_status_request__free_unpacked(request, NULL);
}

static const struct grpc_handler handlers[] = {
	{.path = RUNTIME_METHOD("Version"), .on_half_close = runtime_on_version},
	{.path = RUNTIME_METHOD("ListPodSandbox"), .on_half_close = on_sandboxes},
	{.path = RUNTIME_METHOD("ListContainers"), .on_message = on_containers},
	{.path = RUNTIME_METHOD("ContainerStatus"), .on_message = on_status},
	{.path = RUNTIME_METHOD("PodSandboxStatus"), .on_message = on_sandbox},
};

/* --- the world ------------------------------------------------------------------------------------------------------- */

static int publish(void *context, struct container_meta *meta)
{
	(void)context;
	if (container_meta_standing(meta) == CONTAINER_COMPLETE)
		world.named += container_meta_bytes(meta);
	container_meta_release(meta);
	return 0;
}

static void open_world(void)
{
	const struct lookup_ops ops = {publish, NULL};
	const struct lookup_options options = {.root = "", .names_bytes = NAMES_BYTES};
	const struct cri_ops cri_ops = {runtime_on_state, &world.lookup};
	char path[100];

	strcpy(world.root, "/tmp/taffrail-hostile-XXXXXX");
	cr_assert_not_null(mkdtemp(world.root));
	snprintf(path, sizeof(path), "%s/cri.sock", world.root);
	world.base = event_base_new();
	cr_assert_eq(lookup_open(&world.lookup, world.base, &ops, &options), 0);
	world.server = runtime_open(world.base, handlers, sizeof(handlers) / sizeof(handlers[0]), path);
	cr_assert_eq(cri_open(world.base, path, &cri_ops, &world.cri), 0);
	cr_assert_eq(lookup_add_runtime(world.lookup, world.cri, false), 0);
	for (int i = 0; i < 1000 && !lookup_settled(world.lookup); i++)
		event_base_loop(world.base, EVLOOP_ONCE);
	cr_assert_eq(cri_state(world.cri), CRI_UP);
	world.asked = 0;
	world.answers = true;
}

static void close_world(void)
{
	char command[100];

	lookup_stop(world.lookup);
	cri_close(world.cri);
	lookup_close(world.lookup);
	grpc_server_close(world.server);
	event_base_free(world.base);
	snprintf(command, sizeof(command), "rm -r %s", world.root);
	cr_assert_eq(system(command), 0);
}

static void ask(const char *text)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	event_container_id_parse(text_of(text), id);
	lookup_ask(world.lookup, id);
}

/* --- sandboxes that are none ------------------------------------------------------------------------------------------ */

/* Some ten attempts in a second, of three calls each. */
static void expect_patience(void)
{
	runtime_run(world.base, 400);
	cr_assert_lt(world.asked, 60, "asked %u times", world.asked);
	/* The runtime goes away in the middle of it. */
	grpc_server_close(world.server);
	world.server = NULL;
	runtime_run(world.base, 200);
}

Test(lookup_hostile, a_container_in_itself, .init = open_world, .fini = close_world)
{
	world.own_sandbox = OWN;
	ask(OWN);
	expect_patience();
}

Test(lookup_hostile, containers_in_one_another, .init = open_world, .fini = close_world)
{
	world.own_sandbox = OTHER;
	world.other_sandbox = OWN;
	ask(OWN);
	ask(OTHER);
	expect_patience();
}

/* --- lists without end ------------------------------------------------------------------------------------------------ */

static void list_many(size_t count)
{
	world.listed = count;
	world.answers = false;
	for (unsigned int before = world.lists, i = 0; world.lists == before && i < 1000; i++) {
		lookup_list(world.lookup);
		runtime_run(world.base, 10);
	}
	runtime_run(world.base, 500);
}

Test(lookup_hostile, many_that_wait_when_it_goes_away, .init = open_world, .fini = close_world)
{
	list_many(100000);
	grpc_server_close(world.server);
	world.server = NULL;
	runtime_run(world.base, 500);
}

Test(lookup_hostile, others_in_each_list, .init = open_world, .fini = close_world)
{
	for (int i = 0; i < 4; i++) {
		list_many(20000);
		cr_assert_leq(lookup_count(world.lookup), (size_t)LOOKUP_LISTED_MAX);
		lookup_tick(world.lookup, clock_boottime_ns() + LOOKUP_WAIT_NS);
	}
	/* There is room again for what is really there. */
	list_many(10);
	lookup_tick(world.lookup, clock_boottime_ns() + LOOKUP_WAIT_NS);
	cr_assert_leq(lookup_count(world.lookup), (size_t)LOOKUP_SUBJECTS_MAX + 64);
}

/* --- names without end ------------------------------------------------------------------------------------------------ */

static void ask_many(unsigned int from, unsigned int count)
{
	char id[65];

	for (unsigned int i = from; i < from + count; i++) {
		snprintf(id, sizeof(id), "%064x", i);
		ask(id);
		runtime_run(world.base, 1);
	}
	runtime_run(world.base, 300);
}

Test(lookup_hostile, more_names_than_fit, .init = open_world, .fini = close_world)
{
	size_t before;

	world.all_pods = true;
	ask_many(0, 300);
	cr_assert_gt(world.named, NAMES_BYTES / 2);
	cr_assert_leq(world.named, NAMES_BYTES);
	/* When they are forgotten there is room for others. */
	lookup_list(world.lookup);
	runtime_run(world.base, 300);
	lookup_tick(world.lookup, clock_boottime_ns() + 2 * LOOKUP_KEEP_NS);
	lookup_tick(world.lookup, clock_boottime_ns() + 2 * LOOKUP_KEEP_NS);
	before = world.named;
	ask_many(1000, 10);
	cr_assert_gt(world.named, before);
}
