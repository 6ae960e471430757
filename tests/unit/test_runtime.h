/* SPDX-License-Identifier: Apache-2.0 */
/* A container runtime on a real socket: the messages in which it tells of pods and containers. What it tells is the test's. */
#ifndef TAFFRAIL_TEST_RUNTIME_H
#define TAFFRAIL_TEST_RUNTIME_H

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "cri/runtime.pb-c.h"
#include "grpc/server.h"
#include "sensor/lookup.h"

enum { RUNTIME_LIST_MAX = 1024 };

/* A pod in its own sandbox, on the host's network, that somebody owns. */
struct runtime_pod {
	const char *id, *name, *namespace;
};

/* One of its containers: it runs, privileged, or was killed. */
struct runtime_container {
	const char *id, *pod_id, *name;
	bool created, exited; /* else it runs */
};

/* Also where no test is: in another process, which must not run on as one that has failed. */
#define runtime_must(condition)                                                                                        \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                  \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

#define RUNTIME_METHOD(name) "/runtime.v1.RuntimeService/" name

static inline char *runtime_word(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* Answers a call. */
static inline void runtime_send(struct grpc_stream *stream, const ProtobufCMessage *message)
{
	size_t length = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = malloc(length + 1);
	int error;

	protobuf_c_message_pack(message, bytes);
	error = grpc_stream_send(stream, bytes, length);
	runtime_must(error == 0 || error == -EPIPE); /* whoever asked may have given up */
	free(bytes);
	grpc_stream_finish(stream, GRPC_OK, NULL);
}

static inline void runtime_not_found(struct grpc_stream *stream)
{
	grpc_stream_finish(stream, GRPC_NOT_FOUND, "no");
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

static inline void runtime_on_version(struct grpc_stream *stream, void *data)
{
	Runtime__V1__VersionResponse version = RUNTIME__V1__VERSION_RESPONSE__INIT;

	(void)data;
	version.runtime_name = runtime_word("ContainerD");
	version.runtime_version = runtime_word("1.7");
	runtime_send(stream, &version.base);
}

static inline void runtime_send_pods(struct grpc_stream *stream, const struct runtime_pod *pods, size_t count)
{
	static Runtime__V1__PodSandbox messages[RUNTIME_LIST_MAX], *all[RUNTIME_LIST_MAX];
	static Runtime__V1__PodSandboxMetadata metadata[RUNTIME_LIST_MAX];
	Runtime__V1__ListPodSandboxResponse list = RUNTIME__V1__LIST_POD_SANDBOX_RESPONSE__INIT;

	runtime_must(count <= RUNTIME_LIST_MAX);
	for (size_t i = 0; i < count; i++) {
		all[i] = &messages[i];
		runtime__v1__pod_sandbox__init(all[i]);
		runtime__v1__pod_sandbox_metadata__init(&metadata[i]);
		metadata[i].name = runtime_word(pods[i].name);
		metadata[i].namespace_ = runtime_word(pods[i].namespace);
		metadata[i].uid = runtime_word("u");
		all[i]->id = runtime_word(pods[i].id);
		all[i]->metadata = &metadata[i];
	}
	list.items = all;
	list.n_items = count;
	runtime_send(stream, &list.base);
}

static inline void runtime_send_containers(
	struct grpc_stream *stream, const struct runtime_container *containers, size_t count)
{
	static Runtime__V1__Container messages[RUNTIME_LIST_MAX], *all[RUNTIME_LIST_MAX];
	Runtime__V1__ListContainersResponse list = RUNTIME__V1__LIST_CONTAINERS_RESPONSE__INIT;

	runtime_must(count <= RUNTIME_LIST_MAX);
	for (size_t i = 0; i < count; i++) {
		all[i] = &messages[i];
		runtime__v1__container__init(all[i]);
		all[i]->id = runtime_word(containers[i].id);
		all[i]->pod_sandbox_id = runtime_word(containers[i].pod_id);
	}
	list.containers = all;
	list.n_containers = count;
	runtime_send(stream, &list.base);
}

static inline void runtime_send_pod(struct grpc_stream *stream, const struct runtime_pod *pod)
{
	Runtime__V1__PodSandboxStatusResponse response = RUNTIME__V1__POD_SANDBOX_STATUS_RESPONSE__INIT;
	Runtime__V1__PodSandboxStatus status = RUNTIME__V1__POD_SANDBOX_STATUS__INIT;
	Runtime__V1__PodSandboxMetadata metadata = RUNTIME__V1__POD_SANDBOX_METADATA__INIT;
	Runtime__V1__LinuxPodSandboxStatus on_linux = RUNTIME__V1__LINUX_POD_SANDBOX_STATUS__INIT;
	Runtime__V1__Namespace namespaces = RUNTIME__V1__NAMESPACE__INIT;
	Runtime__V1__NamespaceOption options = RUNTIME__V1__NAMESPACE_OPTION__INIT;
	Runtime__V1__Pair source = RUNTIME__V1__PAIR__INIT, owner = RUNTIME__V1__PAIR__INIT,
			  *annotations[] = {&source, &owner};

	metadata.name = runtime_word(pod->name);
	metadata.namespace_ = runtime_word(pod->namespace);
	metadata.uid = runtime_word("u");
	options.network = RUNTIME__V1__NAMESPACE_MODE__NODE;
	namespaces.options = &options;
	on_linux.namespaces = &namespaces;
	source.key = runtime_word("kubernetes.io/config.source");
	source.value = runtime_word("api");
	owner.key = runtime_word("owner");
	owner.value = runtime_word("us");
	status.id = runtime_word(pod->id);
	status.metadata = &metadata;
	status.on_linux = &on_linux;
	status.annotations = annotations;
	status.n_annotations = 2;
	response.status = &status;
	runtime_send(stream, &response.base);
}

static inline void runtime_send_status(
	struct grpc_stream *stream, const struct runtime_container *container, bool verbose)
{
	Runtime__V1__ContainerStatusResponse response = RUNTIME__V1__CONTAINER_STATUS_RESPONSE__INIT;
	Runtime__V1__ContainerStatus status = RUNTIME__V1__CONTAINER_STATUS__INIT;
	Runtime__V1__ContainerMetadata metadata = RUNTIME__V1__CONTAINER_METADATA__INIT;
	Runtime__V1__Pair info = RUNTIME__V1__PAIR__INIT, *infos[] = {&info};
	char words[1024];

	metadata.name = runtime_word(container->name);
	status.id = runtime_word(container->id);
	status.metadata = &metadata;
	status.state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
	if (container->created)
		status.state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED;
	if (container->exited) {
		status.state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
		status.exit_code = 137;
		status.reason = runtime_word("OOMKilled");
	}
	response.status = &status;
	snprintf(words, sizeof(words),
		"{\"config\":{\"linux\":{\"security_context\":{\"privileged\":true}}},\"runtimeSpec\":{\"process\":"
		"{\"args\":[\"/web\"]},\"linux\":{\"cgroupsPath\":\"/kubepods/burstable/podu/%s"
		"\",\"namespaces\":[{\"type\":\"network\",\"path\":\"/proc/7/ns/net\"},{\"type\":\"pid\"},"
		"{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}]}}}",
		container->id);
	info.key = runtime_word("info");
	info.value = words;
	response.info = infos;
	response.n_info = verbose;
	runtime_send(stream, &response.base);
}

/* --- its socket ------------------------------------------------------------------------------------------------------ */

static inline struct grpc_server *runtime_open(
	struct event_base *base, const struct grpc_handler *handlers, size_t count, const char *path)
{
	const struct grpc_server_options options = {.handlers = handlers, .handler_count = count};
	struct grpc_address address = {.kind = GRPC_ADDRESS_UNIX};
	struct grpc_server *server;
	char error[200];

	snprintf(address.path, sizeof(address.path), "%s", path);
	runtime_must(grpc_server_open(base, &options, &server) == 0);
	runtime_must(grpc_server_listen(server, &address, NULL, error, sizeof(error)) == 0);
	return server;
}

/* cri_ops.on_state of a lookup's runtime; the context says where the lookup is, which may not be open yet. */
static inline void runtime_on_state(void *context, struct cri *cri, enum cri_state state, const char *why)
{
	struct lookup *lookup = *(struct lookup *const *)context;

	(void)state;
	(void)why;
	if (lookup)
		lookup_runtime_changed(lookup, cri);
}

/* Runs the loop for so long, or until somebody breaks it. */
static inline void runtime_run(struct event_base *base, unsigned int wait_ms)
{
	const struct timeval wait = {wait_ms / 1000, (suseconds_t)(wait_ms % 1000 * 1000)};

	event_base_loopexit(base, &wait);
	event_base_dispatch(base);
}

#endif
