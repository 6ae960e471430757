/* SPDX-License-Identifier: Apache-2.0 */
/* What a runtime that answers as no runtime should can make its client hold, over a real socket. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/cri.h"
#include "test_runtime.h"

enum { CALLS = 5 };

static struct {
	char root[64];
	struct event_base *base;
	struct grpc_server *server;
	struct cri *cri;
	uint8_t *message;
	size_t length;
	bool ends; /* each call at once, or all when all have come */
	struct grpc_stream *streams[CALLS];
	unsigned int asked, answered, fine, refused;
} world;

static void on_containers(struct grpc_stream *stream, void *data)
{
	(void)data;
	runtime_must(grpc_stream_send(stream, world.message, world.length) == 0);
	if (world.ends)
		grpc_stream_finish(stream, GRPC_OK, NULL);
	world.streams[world.asked++] = stream;
}

static const struct grpc_handler handlers[] = {
	{.path = RUNTIME_METHOD("Version"), .on_half_close = runtime_on_version},
	{.path = RUNTIME_METHOD("ListContainers"), .on_half_close = on_containers},
};

static void on_state(void *context, struct cri *cri, enum cri_state state, const char *why)
{
	(void)context;
	(void)cri;
	(void)why;
	if (state == CRI_UP)
		event_base_loopbreak(world.base);
}

static void on_answer(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	(void)context;
	(void)cri;
	(void)method;
	(void)id;
	cr_assert_eq(error == 0, answer != NULL);
	world.answered++;
	world.fine += error == 0;
	world.refused += error == -ENOMEM || error == -EIO;
	if (world.answered == CALLS)
		event_base_loopbreak(world.base);
}

static void open_world(void)
{
	const struct cri_ops ops = {on_state, NULL};
	char path[100];

	strcpy(world.root, "/tmp/taffrail-cri-XXXXXX");
	cr_assert_not_null(mkdtemp(world.root));
	snprintf(path, sizeof(path), "%s/cri.sock", world.root);
	world.base = event_base_new();
	world.server = runtime_open(world.base, handlers, sizeof(handlers) / sizeof(handlers[0]), path);
	cr_assert_eq(cri_open(world.base, path, &ops, &world.cri), 0);
	runtime_run(world.base, 2000);
	cr_assert_eq(cri_state(world.cri), CRI_UP);
	world.message = malloc(CRI_MESSAGE_MAX);
}

static void close_world(void)
{
	char command[100];

	cri_close(world.cri);
	grpc_server_close(world.server);
	event_base_free(world.base);
	free(world.message);
	snprintf(command, sizeof(command), "rm -r %s", world.root);
	cr_assert_eq(system(command), 0);
}

static void call_all(void)
{
	for (int i = 0; i < CALLS; i++)
		cr_assert_eq(cri_call(world.cri, CRI_LIST_CONTAINERS, "", on_answer, NULL), 0);
}

/* Two bytes a container, which cost a hundred times that decoded, and no trailers behind them. */
Test(cri, answers_that_do_not_end, .init = open_world, .fini = close_world)
{
	for (world.length = 0; world.length < 200000; world.length += 2)
		memcpy(world.message + world.length, "\x0a\x00", 2);
	call_all();
	for (int i = 0; i < 20 && world.asked < CALLS; i++)
		runtime_run(world.base, 50);
	runtime_run(world.base, 200); /* until the answers have come; the calls have two seconds */
	cr_assert_eq(world.asked, CALLS);
	cr_assert_eq(world.answered, 0);
	for (int i = 0; i < CALLS; i++)
		grpc_stream_finish(world.streams[i], GRPC_OK, NULL);
	runtime_run(world.base, 1000);
	cr_assert_eq(world.answered, CALLS);
	cr_assert_gt(world.fine, 0);
	cr_assert_gt(world.refused, 0);

	/* What they had is given back. */
	world.asked = world.answered = world.fine = 0;
	world.ends = true;
	for (int i = 0; i < CALLS; i++) {
		cr_assert_eq(cri_call(world.cri, CRI_LIST_CONTAINERS, "", on_answer, NULL), 0);
		for (int j = 0; j < 20 && world.answered <= (unsigned int)i; j++)
			runtime_run(world.base, 20);
	}
	cr_assert_eq(world.fine, CALLS);
}
