/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of events as they are on a busy node: but for their times the same numbers are the same events. */
#include "sensors.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "event/wire.h"

enum { CONTAINERS = 10, PROCESSES = 3, PATHS = 64 };

struct batches {
	struct wire_batch *batch;
	struct event_container containers[CONTAINERS];
	struct event_process processes[CONTAINERS * PROCESSES];
	char paths[PATHS][80];
	char pods[CONTAINERS][40];
};

static const struct event_label labels[] = {
	{TEXT_STATIC("app"), TEXT_STATIC("shop")},
	{TEXT_STATIC("pod-template-hash"), TEXT_STATIC("6d4cf56db6")},
};

static void fill_container(struct batches *batches, uint32_t number)
{
	struct event_container *container = &batches->containers[number];

	snprintf(batches->pods[number], sizeof(batches->pods[number]), "web-6d4cf56db6-x7k2%u", number);
	*container = (struct event_container){
		.name = TEXT_LITERAL("main"),
		.image_name = TEXT_LITERAL("registry.example/shop/web"),
		.image_tag = TEXT_LITERAL("1.4"),
		.image_digest = TEXT_LITERAL("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
		.pod_name = text_of(batches->pods[number]),
		.pod_namespace = TEXT_LITERAL("shop"),
		.pod_uid = TEXT_LITERAL("0f6c2f0e-0000-4000-8000-000000000001"),
		.labels = labels,
		.label_count = 2,
		.version = number + 1,
	};
	memset(container->id, 0xab, sizeof(container->id));
	memcpy(container->id, &number, sizeof(number));
}

static void fill_process(struct batches *batches, uint32_t number)
{
	struct event_process *process = &batches->processes[number];
	static const char args[] = "/usr/local/bin/worker\0--queue=incoming\0--verbose";

	*process = (struct event_process){
		.exec_counter = 5,
		.pid = 1000 + number,
		.vpid = 1 + number % PROCESSES,
		.start_ns = 1700000000000000000ull + number,
		.name = TEXT_LITERAL("worker"),
		.executable = TEXT_LITERAL("/usr/local/bin/worker"),
		.args = {args, sizeof(args)},
		.args_count = 3,
		.working_directory = TEXT_LITERAL("/var/lib/worker"),
		.login_uid = UINT32_MAX,
		.session_id = UINT32_MAX,
		.cap_bounding = 0xa80425fb,
		.inode = 815,
		.image_known = true,
		.in_container = true,
	};
	memcpy(process->entity, &number, sizeof(number));
	memcpy(process->container_id, batches->containers[number / PROCESSES].id, sizeof(process->container_id));
	if (number % PROCESSES > 0)
		process->parent = &batches->processes[number - number % PROCESSES];
}

int batches_open(struct batches **out)
{
	struct batches *batches = calloc(1, sizeof(*batches));

	if (!batches)
		return -ENOMEM;
	if (wire_batch_open(&batches->batch) < 0 || wire_batch_keep(batches->batch) < 0) {
		batches_close(batches);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < CONTAINERS; i++)
		fill_container(batches, i);
	for (uint32_t i = 0; i < CONTAINERS * PROCESSES; i++)
		fill_process(batches, i);
	for (int i = 0; i < PATHS; i++)
		snprintf(batches->paths[i], sizeof(batches->paths[i]),
			"/usr/lib/x86_64-linux-gnu/some-package/module-%d.so.1", i);
	*out = batches;
	return 0;
}

static void fill_connection(struct event *event)
{
	static const enum event_action actions[] = {EVENT_CONNECT, EVENT_ACCEPT, EVENT_DISCONNECT};

	event->action = actions[event->sequence % 3];
	event->network.source = (struct event_address){.family = AF_INET, .bytes = {10, 0, 0, 7}};
	event->network.source.port = (uint16_t)(32768 + event->sequence % 28000);
	event->network.destination = (struct event_address){.family = AF_INET, .bytes = {10, 96, 0, 10}, .port = 443};
	event->network.family = AF_INET;
	event->network.type = SOCK_STREAM;
	event->network.protocol = IPPROTO_TCP;
}

static void fill(struct batches *batches, struct event *event)
{
	static const enum event_action life[] = {EVENT_FORK, EVENT_EXEC, EVENT_END};
	uint64_t turn = event->sequence % 100;
	const char *path = batches->paths[event->sequence % PATHS];

	if (turn >= 96) {
		event->action = life[turn % 3];
	} else if (turn >= 90) {
		fill_connection(event);
	} else {
		event->action = EVENT_OPEN;
		event->file.path = text_of(path);
		event->file.argument = text_of(path + 9);
		event->file.flags = O_RDONLY | O_CLOEXEC;
		event->file.inode = 4711 + event->sequence % PATHS;
		event->file.mode = 0100644;
		event->result = event->descriptor = 3;
	}
}

struct buffer *batches_make(struct batches *batches, const struct event_host *host, uint64_t first, uint64_t last)
{
	uint64_t now_ns = clock_unix_ns();

	for (uint64_t sequence = first; sequence <= last; sequence++) {
		/* A prime: neighbours are of other containers. */
		const struct event_process *process = &batches->processes[sequence * 7919 % (CONTAINERS * PROCESSES)];
		struct event event = {
			.sequence = sequence,
			.time_ns = now_ns + sequence - first,
			.host = host,
			.process = process,
			.container = &batches->containers[(process - batches->processes) / PROCESSES],
			.descriptor = -1,
			.count = 1,
			.ring_sequence = sequence,
		};

		fill(batches, &event);
		wire_batch_add(batches->batch, &event);
	}
	return wire_batch_finish(batches->batch, host, first, last);
}

void batches_close(struct batches *batches)
{
	if (!batches)
		return;
	wire_batch_close(batches->batch);
	free(batches);
}
