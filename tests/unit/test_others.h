/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Those with whom a sensor speaks, in a process of their own, so that its memory is its own: a container runtime that
 * tells of numbered pods, and a collector that counts what it gets.
 */
#ifndef TAFFRAIL_TEST_OTHERS_H
#define TAFFRAIL_TEST_OTHERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <event2/event.h>

#include "collector/envelope.h"
#include "event/wire.h"
#include "taffrail/v1/stream.pb-c.h"
#include "test_runtime.h"

/* What the id of a container says of it. */
enum role { MAIN, SANDBOX, INNER };

/* What both processes see. Pods are numbered as they come. */
static struct others {
	_Atomic uint32_t born, ended, removed;        /* so many of them */
	_Atomic uint64_t events, pending;             /* that the collector got, and that were without names */
	_Atomic uint64_t started, stopped, explained; /* of containers; with the runtime's word */
	_Atomic bool lists_fail;                      /* those of everything */
	_Atomic uint64_t batches, unbalanced;         /* that came, and whose books did not balance */
	_Atomic uint64_t seen, held, lost;            /* of the last batch's books, and what all events_lost count */
} * others;

static inline void make_id(uint8_t id[EVENT_CONTAINER_ID_SIZE], uint32_t number, enum role role)
{
	memset(id, 0x5a, EVENT_CONTAINER_ID_SIZE);
	memcpy(id, &number, sizeof(number));
	id[sizeof(number)] = (uint8_t)role;
}

/* --- the runtime ----------------------------------------------------------------------------------------------------- */

/* Texts of as many pods as one answer tells of. */
struct texts {
	char id[2 * EVENT_CONTAINER_ID_SIZE + 1], pod_id[2 * EVENT_CONTAINER_ID_SIZE + 1], name[32];
};
static struct texts texts[RUNTIME_LIST_MAX];

static inline void write_texts(struct texts *to, uint32_t number)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	make_id(id, number, MAIN);
	event_container_id_format(id, to->id);
	make_id(id, number, SANDBOX);
	event_container_id_format(id, to->pod_id);
	snprintf(to->name, sizeof(to->name), "web-%u", number);
}

static inline struct runtime_pod pod_of(uint32_t number, struct texts *words)
{
	write_texts(words, number);
	return (struct runtime_pod){words->pod_id, words->name, number % 2 ? "shop" : "batch"};
}

static inline struct runtime_container container_of(uint32_t number, struct texts *words)
{
	write_texts(words, number);
	return (struct runtime_container){words->id, words->pod_id, "main", .exited = number < others->ended};
}

/* Does the runtime know the pod that this is the id of? */
static inline bool knows(const char *text, enum role role, uint32_t *number)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	if (!event_container_id_parse(text_of(text), id) || id[sizeof(*number)] != role)
		return false;
	memcpy(number, id, sizeof(*number));
	return *number >= others->removed && *number < others->born;
}

static inline void on_sandboxes(struct grpc_stream *stream, void *data)
{
	static struct runtime_pod pods[RUNTIME_LIST_MAX];
	size_t count = 0;

	(void)data;
	if (others->lists_fail) {
		grpc_stream_finish(stream, GRPC_UNKNOWN, "no");
		return;
	}
	for (uint32_t number = others->removed; number < others->born; number++, count++)
		pods[count] = pod_of(number, &texts[count]);
	runtime_send_pods(stream, pods, count);
}

static inline void on_containers(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	static struct runtime_container containers[RUNTIME_LIST_MAX];
	Runtime__V1__ListContainersRequest *request = runtime__v1__list_containers_request__unpack(NULL, length, bytes);
	uint32_t number = others->removed, end = others->born;
	bool all = !request->filter || !request->filter->id[0];
	size_t count = 0;

	(void)data;
	if (!all)
		end = knows(request->filter->id, MAIN, &number) ? number + 1 : number;
	runtime__v1__list_containers_request__free_unpacked(request, NULL);
	if (all && others->lists_fail) {
		grpc_stream_finish(stream, GRPC_UNKNOWN, "no");
		return;
	}
	for (; number < end; number++, count++)
		containers[count] = container_of(number, &texts[count]);
	runtime_send_containers(stream, containers, count);
}

static inline void on_status(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Runtime__V1__ContainerStatusRequest *request =
		runtime__v1__container_status_request__unpack(NULL, length, bytes);
	bool verbose = request->verbose;
	uint32_t number;
	bool known = knows(request->container_id, MAIN, &number);

	(void)data;
	runtime__v1__container_status_request__free_unpacked(request, NULL);
	if (known) {
		const struct runtime_container container = container_of(number, texts);

		runtime_send_status(stream, &container, verbose);
	} else {
		runtime_not_found(stream);
	}
}

static inline void on_sandbox(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Runtime__V1__PodSandboxStatusRequest *request =
		runtime__v1__pod_sandbox_status_request__unpack(NULL, length, bytes);
	uint32_t number;
	bool known = knows(request->pod_sandbox_id, SANDBOX, &number);

	(void)data;
	runtime__v1__pod_sandbox_status_request__free_unpacked(request, NULL);
	if (known) {
		const struct runtime_pod pod = pod_of(number, texts);

		runtime_send_pod(stream, &pod);
	} else {
		runtime_not_found(stream);
	}
}

/* --- the collector --------------------------------------------------------------------------------------------------- */

static inline struct text namespace_of(const uint8_t *id)
{
	return text_of(id[0] % 2 ? "shop" : "batch");
}

static inline void count_event(const struct event *event)
{
	others->events++;
	others->pending += event->pending;
	if (event->action == EVENT_LOST)
		others->lost += event->lost.count;
	others->started += event->action == EVENT_CONTAINER_STARTED;
	others->stopped += event->action == EVENT_CONTAINER_STOPPED;
	others->explained += event->action == EVENT_CONTAINER_STOPPED && event->life.exit_code == 137 &&
			     text_equal(event->life.exit_reason, text_of("OOMKilled")) &&
			     text_equal(event->container->pod_namespace, namespace_of(event->container->id));
}

/* What it has seen so far is settled, held, told as lost up to this batch, or about to be. */
static inline void check_books(const struct wire_events *events)
{
	const struct wire_books *books = &events->books;

	others->batches++;
	others->unbalanced +=
		!events->has_books || books->seen != books->settled + books->held + books->undeclared + others->lost;
	others->seen = books->seen;
	others->held = books->held;
}

static inline void send_down(struct grpc_stream *stream, const Taffrail__V1__Down *down)
{
	uint8_t bytes[256];

	runtime_must(grpc_stream_send(stream, bytes, taffrail__v1__down__pack(down, bytes)) == 0);
}

static inline void on_up(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Taffrail__V1__Down down = TAFFRAIL__V1__DOWN__INIT;
	Taffrail__V1__DownHello hello = TAFFRAIL__V1__DOWN_HELLO__INIT;
	Taffrail__V1__Ack ack = TAFFRAIL__V1__ACK__INIT;
	char why[WIRE_WHY_SIZE];
	struct wire_events events;
	enum envelope_kind kind;
	struct text inside;

	(void)data;
	runtime_must(envelope_open((struct text){(const char *)bytes, length}, &kind, &inside) == 0);
	if (kind == ENVELOPE_HELLO) {
		down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_HELLO;
		down.hello = &hello;
		send_down(stream, &down);
		return;
	}
	runtime_must(wire_read(&events, inside.data, inside.length, why) == 0);
	for (size_t i = 0; i < events.count; i++)
		count_event(&events.events[i]);
	check_books(&events);
	down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_ACK;
	down.ack = &ack;
	ack.sequence = events.last;
	wire_free(&events);
	send_down(stream, &down);
}

static const struct grpc_handler runtime_handlers[] = {
	{.path = RUNTIME_METHOD("Version"), .on_half_close = runtime_on_version},
	{.path = RUNTIME_METHOD("ListPodSandbox"), .on_half_close = on_sandboxes},
	{.path = RUNTIME_METHOD("ListContainers"), .on_message = on_containers},
	{.path = RUNTIME_METHOD("ContainerStatus"), .on_message = on_status},
	{.path = RUNTIME_METHOD("PodSandboxStatus"), .on_message = on_sandbox},
};
static const struct grpc_handler collector_handlers[] = {
	{.path = "/taffrail.v1.Collector/Stream", .on_message = on_up},
};

/* The test has ended, however it did. */
static inline void on_gone(evutil_socket_t fd, short what, void *root)
{
	char command[100];

	(void)fd;
	(void)what;
	snprintf(command, sizeof(command), "rm -r %s", (const char *)root);
	_exit(system(command) != 0);
}

/* The other process: both, until nobody is at the other end. */
static inline void serve(char *root, int end)
{
	struct event_base *base = event_base_new();
	struct event *gone = event_new(base, end, EV_READ, on_gone, root);
	char path[100];

	snprintf(path, sizeof(path), "%s/cri.sock", root);
	runtime_open(base, runtime_handlers, sizeof(runtime_handlers) / sizeof(runtime_handlers[0]), path);
	snprintf(path, sizeof(path), "%s/collector.sock", root);
	runtime_open(base, collector_handlers, 1, path);
	runtime_must(event_add(gone, NULL) == 0 && write(end, "", 1) == 1);
	event_base_dispatch(base);
	_exit(1);
}

static struct {
	pid_t child;
	int end;
} at_others;

/* On ROOT/cri.sock and ROOT/collector.sock, in a folder that they take away. They see `others`, and stay until others_close. */
static inline void others_open(char *root)
{
	int ends[2];
	char byte;

	others = mmap(NULL, sizeof(*others), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)others, MAP_FAILED);
	cr_assert_not_null(mkdtemp(root));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	at_others.end = ends[0];
	at_others.child = fork();
	if (at_others.child == 0) {
		close(ends[0]);
		serve(root, ends[1]);
	}
	close(ends[1]);
	cr_assert_eq(read(ends[0], &byte, 1), 1, "they are not ready");
}

static inline void others_close(void)
{
	int status;

	close(at_others.end);
	cr_assert_eq(waitpid(at_others.child, &status, 0), at_others.child);
	cr_assert_eq(status, 0);
}

#endif
