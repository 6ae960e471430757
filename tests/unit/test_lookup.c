/* SPDX-License-Identifier: Apache-2.0 */
/* From all sources to one name: a runtime that answers over a real socket in the same event base, and files below a root. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "sensor/lookup.h"
#include "test_runtime.h"

#define OWN "0e04af54d9273f5bb37eddbe8ace750275d7939612dd4864c792168cce2cff82"
#define POD "134b58ab2e0cfd7432a9db818b1b4ec52fdc747333f0ba2c9342860dc2ea7c50"
#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

enum { PUBLISHED_MAX = 32 };

static struct {
	char root[64];
	struct event_base *base;
	struct grpc_server *server;
	struct cri *cri;
	struct lookup *lookup;
	struct container_meta *published[PUBLISHED_MAX];
	size_t published_count;
	/* The runtime's. */
	int status_calls, runs_until; /* so many calls of ContainerStatus say that it runs */
	bool gone, verbose_fails, created;
} world;

static uint8_t own[EVENT_CONTAINER_ID_SIZE], pod[EVENT_CONTAINER_ID_SIZE];

/* --- the runtime ----------------------------------------------------------------------------------------------------- */

static void on_sandboxes(struct grpc_stream *stream, void *data)
{
	(void)data;
	runtime_send_pods(stream, NULL, 0);
}

/* It has all of them only for who names one, so that nothing is looked up that no test has asked for. */
static void on_containers(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	const struct runtime_container container = {.id = OWN, .pod_id = POD};

	(void)data;
	(void)bytes;
	runtime_send_containers(stream, &container, length > 0 && !world.gone);
}

static void on_status(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Runtime__V1__ContainerStatusRequest *request =
		runtime__v1__container_status_request__unpack(NULL, length, bytes);
	struct runtime_container container = {.id = OWN, .name = "main"};
	bool verbose = request->verbose, known = strcmp(request->container_id, OWN) == 0 && !world.gone;

	(void)data;
	runtime__v1__container_status_request__free_unpacked(request, NULL);
	container.created = world.created;
	container.exited = ++world.status_calls > world.runs_until;
	if (!known)
		runtime_not_found(stream);
	else if (verbose && world.verbose_fails)
		grpc_stream_finish(stream, GRPC_UNKNOWN, "no");
	else
		runtime_send_status(stream, &container, verbose);
}

static void on_sandbox(struct grpc_stream *stream, void *data)
{
	const struct runtime_pod shop = {.id = POD, .name = "web-1", .namespace = "shop"};

	(void)data;
	runtime_send_pod(stream, &shop);
}

static const struct grpc_handler handlers[] = {
	{.path = RUNTIME_METHOD("Version"), .on_half_close = runtime_on_version},
	{.path = RUNTIME_METHOD("ListPodSandbox"), .on_half_close = on_sandboxes},
	{.path = RUNTIME_METHOD("ListContainers"), .on_message = on_containers},
	{.path = RUNTIME_METHOD("ContainerStatus"), .on_message = on_status},
	{.path = RUNTIME_METHOD("PodSandboxStatus"), .on_half_close = on_sandbox},
};

/* --- the world ------------------------------------------------------------------------------------------------------- */

static int publish(void *context, struct container_meta *meta)
{
	(void)context;
	if (memcmp(container_meta_view(meta)->id, own, sizeof(own)) != 0) { /* its sandbox's */
		container_meta_release(meta);
		return 0;
	}
	cr_assert_lt(world.published_count, PUBLISHED_MAX);
	world.published[world.published_count++] = meta;
	return 0;
}

static void open_world(void)
{
	static const char *const annotations[] = {"own*"};
	const struct lookup_ops ops = {publish, NULL};
	struct lookup_options options = {.root = world.root, .annotations = annotations, .annotation_count = 1};

	event_container_id_parse(text_of(OWN), own);
	event_container_id_parse(text_of(POD), pod);
	strcpy(world.root, "/tmp/taffrail-lookup-XXXXXX");
	cr_assert_not_null(mkdtemp(world.root));
	world.base = event_base_new();
	world.runs_until = 1000;
	cr_assert_eq(lookup_open(&world.lookup, world.base, &ops, &options), 0);
	cr_assert(lookup_add_state(world.lookup, "/state"));
}

static void open_runtime(void)
{
	const struct cri_ops ops = {runtime_on_state, &world.lookup};
	char path[100];

	open_world();
	snprintf(path, sizeof(path), "%s/cri.sock", world.root);
	world.server = runtime_open(world.base, handlers, sizeof(handlers) / sizeof(handlers[0]), path);
	cr_assert_eq(cri_open(world.base, path, &ops, &world.cri), 0);
	cr_assert_eq(lookup_add_runtime(world.lookup, world.cri, false), 0);
	for (int i = 0; i < 1000 && !lookup_settled(world.lookup); i++)
		event_base_loop(world.base, EVLOOP_ONCE);
	cr_assert_eq(cri_state(world.cri), CRI_UP);
	cr_assert_str_eq(cri_name(world.cri), "containerd");
}

static void close_world(void)
{
	char command[100];

	lookup_stop(world.lookup);
	cri_close(world.cri);
	lookup_close(world.lookup);
	grpc_server_close(world.server);
	for (size_t i = 0; i < world.published_count; i++)
		container_meta_release(world.published[i]);
	event_base_free(world.base);
	snprintf(command, sizeof(command), "rm -r %s", world.root);
	cr_assert_eq(system(command), 0);
}

/* Runs until so many names were published, or so long. */
static void run(size_t count, unsigned int wait_ms)
{
	const struct timeval tick = {0, 2000};
	uint64_t deadline_ns = clock_boottime_ns() + wait_ms * 1000000ull;

	while (world.published_count < count && clock_boottime_ns() < deadline_ns) {
		event_base_loopexit(world.base, &tick);
		event_base_dispatch(world.base);
	}
}

static const struct event_container *last(enum container_standing standing)
{
	const struct container_meta *meta = world.published[world.published_count - 1];

	cr_assert_gt(world.published_count, 0);
	cr_assert_eq(container_meta_standing(meta), standing);
	return container_meta_view(meta);
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "mkdir -p %s/state/%s", world.root, folder);
	cr_assert_eq(system(path), 0);
	snprintf(path, sizeof(path), "%s/state/%s/%s", world.root, folder, name);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

/* --- names ----------------------------------------------------------------------------------------------------------- */

static void expect_names(const struct event_container *view)
{
	EXPECT(view->name, "main");
	EXPECT(view->pod_name, "web-1");
	EXPECT(view->pod_namespace, "shop");
	EXPECT(view->runtime, "containerd");
	EXPECT(view->sandbox_id, POD);
	EXPECT(view->workload_kind, "Pod");
	cr_assert_eq(view->source, EVENT_SOURCE_CRI);
	cr_assert_eq(view->annotation_count, 1);
	EXPECT(view->annotations[0].value, "us");
}

Test(lookup, all_that_a_runtime_tells, .init = open_runtime, .fini = close_world)
{
	const struct event_container *view;

	lookup_ask(world.lookup, own);
	run(1, 2000);
	view = last(CONTAINER_COMPLETE);
	expect_names(view);
	cr_assert_eq(view->qos, EVENT_BURSTABLE);
	cr_assert_not(view->exited);
	cr_assert_not_null(view->spec);
	cr_assert(view->spec->privileged);
	cr_assert_eq(view->spec->host_namespaces, EVENT_NAMESPACE_NETWORK, "by its pod's");
	cr_assert(text_equal(view->spec->args, TEXT_LITERAL("/web\0")));
}

Test(lookup, without_its_verbose_part_an_answer_is_one_too, .init = open_runtime, .fini = close_world)
{
	world.verbose_fails = true;
	lookup_ask(world.lookup, own);
	run(1, 2000);
	expect_names(last(CONTAINER_COMPLETE));
	cr_assert_null(last(CONTAINER_COMPLETE)->spec);
}

#define BUNDLE                                                                                                         \
	"{\"process\":{\"args\":[\"/bundle\"]},\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"" POD               \
	"\",\"io.kubernetes.cri.container-name\":\"early\",\"io.kubernetes.cri.sandbox-name\":\"web-0\"},"             \
	"\"linux\":{\"cgroupsPath\":\"/kubepods/podu/x\"}}"

Test(lookup, a_bundle_is_first_and_a_runtime_has_the_last_word, .init = open_runtime, .fini = close_world)
{
	write_file("io.containerd.runtime.v2.task/k8s.io/" OWN, "config.json", BUNDLE);
	lookup_ask(world.lookup, own);
	run(2, 2000);
	cr_assert_eq(container_meta_standing(world.published[0]), CONTAINER_PARTIAL);
	EXPECT(container_meta_view(world.published[0])->name, "early");
	cr_assert_eq(container_meta_view(world.published[0])->source, EVENT_SOURCE_BUNDLE);
	expect_names(last(CONTAINER_COMPLETE));
	cr_assert(text_equal(last(CONTAINER_COMPLETE)->spec->args, TEXT_LITERAL("/bundle\0")));
	cr_assert(last(CONTAINER_COMPLETE)->spec->privileged, "the CRI says so");
}

#define ROOTED "{\"root\":{\"path\":\"rootfs\"},\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"" POD "\"}}"

/* A runtime lists a container that it has not started yet, and its names are whole then but for those of its users. */
Test(lookup, the_users_of_what_was_listed_before_its_bundle_was_made, .init = open_runtime, .fini = close_world)
{
	world.created = true;
	lookup_expect(world.lookup, own);
	run(1, 100);
	cr_assert_eq(world.status_calls, 1);
	cr_assert_eq(world.published_count, 0, "nobody has asked");
	write_file("io.containerd.runtime.v2.task/k8s.io/" OWN, "config.json", ROOTED);
	write_file("io.containerd.runtime.v2.task/k8s.io/" OWN "/rootfs/etc", "passwd", "shop:x:7:7::/:/bin/sh\n");
	lookup_ask(world.lookup, own);
	expect_names(last(CONTAINER_COMPLETE));
	EXPECT(last(CONTAINER_COMPLETE)->users, "7:shop\n");
}

/* Its bundle is gone, or never was where this looks: somebody may have its events as pending. */
Test(lookup, what_has_started_is_told_without_its_users, .init = open_runtime, .fini = close_world)
{
	lookup_expect(world.lookup, own);
	run(1, 2000);
	expect_names(last(CONTAINER_COMPLETE));
}

Test(lookup, without_a_runtime_a_bundles_names_are_all, .init = open_world, .fini = close_world)
{
	write_file("io.containerd.runtime.v2.task/k8s.io/" OWN, "config.json", BUNDLE);
	lookup_ask(world.lookup, own);
	EXPECT(last(CONTAINER_ALONE)->name, "early");
	EXPECT(last(CONTAINER_ALONE)->pod_name, "web-0");
	cr_assert_eq(last(CONTAINER_ALONE)->source, EVENT_SOURCE_BUNDLE);
	cr_assert_eq(last(CONTAINER_ALONE)->qos, EVENT_GUARANTEED);
}

#define DOCKERS "{\"ID\":\"" OWN "\",\"Name\":\"/stress\",\"Image\":\"sha256:1\",\"Config\":{\"Image\":\"a:2\"}}"

Test(lookup, what_its_maker_writes_after_its_folder_was_seen_is_read_too, .init = open_world, .fini = close_world)
{
	write_file("containers/" OWN, "config.v2.json", DOCKERS);
	lookup_expect(world.lookup, own);
	run(1, 10);
	cr_assert_eq(world.published_count, 0, "nobody has asked");
	write_file("io.containerd.runtime.v2.task/moby/" OWN, "config.json", "{\"process\":{\"user\":{\"uid\":7}}}");
	lookup_ask(world.lookup, own);
	EXPECT(last(CONTAINER_ALONE)->name, "stress");
	cr_assert_not_null(last(CONTAINER_ALONE)->spec);
	cr_assert_eq(last(CONTAINER_ALONE)->spec->uid, 7);
}

Test(lookup, what_no_cri_knows_is_told_at_once, .init = open_runtime, .fini = close_world)
{
	write_file("containers/" OWN, "config.v2.json", DOCKERS);
	write_file("io.containerd.runtime.v2.task/moby/" OWN, "config.json", "{\"process\":{\"user\":{\"uid\":7}}}");
	lookup_ask(world.lookup, own);
	cr_assert_eq(world.published_count, 1);
	EXPECT(last(CONTAINER_ALONE)->name, "stress");
	EXPECT(last(CONTAINER_ALONE)->runtime, "docker");
	EXPECT(last(CONTAINER_ALONE)->image_tag, "2");
	cr_assert_eq(last(CONTAINER_ALONE)->source, EVENT_SOURCE_STATE);
	cr_assert_eq(last(CONTAINER_ALONE)->spec->uid, 7);
	lookup_ask(world.lookup, own);
	cr_assert_eq(world.published_count, 2, "again, as it is asked again");
	lookup_ask_exit(world.lookup, own);
	run(3, 50);
	cr_assert_eq(world.status_calls, 0);
	cr_assert_eq(world.published_count, 2);
}

#define PODMANS "[{\"id\":\"" OWN "\",\"names\":[\"job\"],\"metadata\":\"{\\\"image-name\\\":\\\"evil:1\\\"}\"}]"
#define FORGED                                                                                                         \
	"{\"process\":{\"user\":{\"uid\":7}},\"annotations\":{\"io.container.manager\":\"libpod\","                    \
	"\"io.kubernetes.cri-o.ContainerID\":\"" POD "\",\"io.kubernetes.cri-o.SandboxID\":\"" POD "\","               \
	"\"io.kubernetes.pod.name\":\"dns\",\"io.kubernetes.pod.namespace\":\"kube-system\"}}"

/* Podman adds the annotations of an image to the container's. */
Test(lookup, an_images_words_are_nobodys_names, .init = open_runtime, .fini = close_world)
{
	write_file("overlay-containers/" OWN "/userdata", "config.json", FORGED);
	write_file("overlay-containers", "containers.json", PODMANS);
	lookup_ask(world.lookup, own);
	EXPECT(last(CONTAINER_ALONE)->name, "job");
	EXPECT(last(CONTAINER_ALONE)->runtime, "podman");
	EXPECT(last(CONTAINER_ALONE)->pod_name, "");
	EXPECT(last(CONTAINER_ALONE)->pod_namespace, "");
	cr_assert_eq(last(CONTAINER_ALONE)->spec->uid, 7);
}

/* --- how it ended ---------------------------------------------------------------------------------------------------- */

Test(lookup, a_runtime_is_asked_until_it_says_how_it_ended, .init = open_runtime, .fini = close_world)
{
	const struct event_container *view;

	lookup_ask(world.lookup, own);
	run(1, 2000);
	cr_assert_eq(world.status_calls, 1);
	world.runs_until = 4;
	lookup_ask_exit(world.lookup, own);
	lookup_ask_exit(world.lookup, own);
	run(2, 2000);
	cr_assert_eq(world.status_calls, 5);
	view = last(CONTAINER_COMPLETE);
	expect_names(view);
	cr_assert(view->exited);
	cr_assert_eq(view->exit_code, 137);
	EXPECT(view->exit_reason, "OOMKilled");
	cr_assert(view->spec->privileged, "what a terse answer lacks is kept");
	cr_assert_eq(view->spec->host_namespaces, EVENT_NAMESPACE_NETWORK);
	run(3, 50);
	cr_assert_eq(world.published_count, 2, "once");
	lookup_ask_exit(world.lookup, own);
	cr_assert_eq(world.published_count, 3, "known already");
}

Test(lookup, what_has_ended_before_is_told_with_the_names, .init = open_runtime, .fini = close_world)
{
	world.runs_until = 0;
	lookup_ask_exit(world.lookup, own);
	run(1, 2000);
	expect_names(last(CONTAINER_COMPLETE));
	cr_assert(last(CONTAINER_COMPLETE)->exited);
}

Test(lookup, of_what_is_gone_nobody_tells, .init = open_runtime, .fini = close_world)
{
	lookup_ask(world.lookup, own);
	run(1, 2000);
	world.gone = true;
	world.status_calls = 0;
	lookup_ask_exit(world.lookup, own);
	run(2, 100);
	cr_assert_eq(world.published_count, 1);
	cr_assert_eq(world.status_calls, 1, "once, and no more");
	/* A pause container is not asked for. */
	lookup_ask_exit(world.lookup, pod);
	run(2, 50);
	cr_assert_eq(world.status_calls, 1);
}

Test(lookup, a_runtime_that_never_says_so_is_not_asked_for_ever, .init = open_runtime, .fini = close_world)
{
	lookup_ask(world.lookup, own);
	run(1, 2000);
	lookup_ask_exit(world.lookup, own);
	run(2, 1200);
	cr_assert_eq(world.published_count, 1);
	world.status_calls = 0;
	run(2, 300);
	cr_assert_eq(world.status_calls, 0);
}
