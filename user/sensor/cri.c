/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/cri.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "cri/runtime.pb-c.h"
#include "grpc/client.h"

enum {
	RETRY_MIN_MS = 50,
	VERSION_RETRY_MS = 1000, /* of a peer that listens and has no answer to Version */
	KEEPALIVE_MS = 5000,
	WHY_SIZE = 256,
	NAME_SIZE = 64,
	ID_SIZE = 2 * EVENT_CONTAINER_ID_SIZE + 1,
};
static const uint64_t hurry_ns = 20ull * 1000 * 1000;

struct call {
	LIST_ENTRY(call) entry;
	struct cri *cri;
	enum cri_method method;
	char id[ID_SIZE];
	void (*on_answer)(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
		const struct cri_answer *answer);
	void *context;
	int error; /* of the message; -EIO until it came */
	struct cri_answer answer;
};

struct cri {
	struct event_base *base;
	struct cri_ops ops;
	struct grpc_address address;
	struct grpc_client *client;
	struct event *version_timer;
	enum cri_state state;
	bool shut_said; /* that its folder may not be entered */
	char name[NAME_SIZE];
	uint64_t tried_ns; /* when the last attempt to connect ended */
	LIST_HEAD(calls, call) calls;
	size_t decoded_bytes; /* of answers whose calls have not ended */
	struct cri_counters counters;
};

static const char *const paths[CRI_METHODS] = {
	[CRI_VERSION] = "/runtime.v1.RuntimeService/Version",
	[CRI_STATUS] = "/runtime.v1.RuntimeService/Status",
	[CRI_LIST_SANDBOXES] = "/runtime.v1.RuntimeService/ListPodSandbox",
	[CRI_SANDBOX_STATUS] = "/runtime.v1.RuntimeService/PodSandboxStatus",
	[CRI_LIST_CONTAINERS] = "/runtime.v1.RuntimeService/ListContainers",
	[CRI_CONTAINER_STATUS] = "/runtime.v1.RuntimeService/ContainerStatus",
	[CRI_CONTAINER_STATE] = "/runtime.v1.RuntimeService/ContainerStatus",
};

/* Words of a peer, for the log: nothing but printable ASCII. */
static void add_printable(char why[WHY_SIZE], struct text words)
{
	size_t at = strlen(why);

	for (size_t i = 0; i < words.length && at + 1 < WHY_SIZE; i++)
		why[at++] = (char)(words.data[i] >= ' ' && words.data[i] <= '~' ? words.data[i] : '?');
	why[at] = '\0';
}

static void set_state(struct cri *cri, enum cri_state state, const char *why)
{
	cri->state = state;
	cri->ops.on_state(cri->ops.context, cri, state, why);
}

/* --- calls ----------------------------------------------------------------------------------------------------------- */

/* Packs the request of a method. Returns its length, or 0 if `room` is too small; an empty request has length 0 too. */
static size_t pack_request(enum cri_method method, const char *id, uint8_t *bytes, size_t room)
{
	char *text = (char *)(uintptr_t)(id ? id : "");
	Runtime__V1__VersionRequest version = RUNTIME__V1__VERSION_REQUEST__INIT;
	Runtime__V1__StatusRequest status = RUNTIME__V1__STATUS_REQUEST__INIT;
	Runtime__V1__PodSandboxFilter sandbox_filter = RUNTIME__V1__POD_SANDBOX_FILTER__INIT;
	Runtime__V1__ListPodSandboxRequest list_sandboxes = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__PodSandboxStatusRequest sandbox_status = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
	Runtime__V1__ContainerFilter container_filter = RUNTIME__V1__CONTAINER_FILTER__INIT;
	Runtime__V1__ListContainersRequest list_containers = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
	Runtime__V1__ContainerStatusRequest container_status = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
	const ProtobufCMessage *const requests[CRI_METHODS] = {
		[CRI_VERSION] = &version.base,
		[CRI_STATUS] = &status.base,
		[CRI_LIST_SANDBOXES] = &list_sandboxes.base,
		[CRI_SANDBOX_STATUS] = &sandbox_status.base,
		[CRI_LIST_CONTAINERS] = &list_containers.base,
		[CRI_CONTAINER_STATUS] = &container_status.base,
		[CRI_CONTAINER_STATE] = &container_status.base,
	};

	version.version = (char *)(uintptr_t) "v1";
	status.verbose = true;
	sandbox_filter.id = container_filter.id = text;
	sandbox_status.pod_sandbox_id = container_status.container_id = text;
	/* The pause image, and what is not in the bundle of a host that cannot be read, are told nowhere else. */
	sandbox_status.verbose = true;
	container_status.verbose = method == CRI_CONTAINER_STATUS;
	if (*text) {
		list_sandboxes.filter = &sandbox_filter;
		list_containers.filter = &container_filter;
	}
	if (protobuf_c_message_get_packed_size(requests[method]) > room)
		return 0;
	return protobuf_c_message_pack(requests[method], bytes);
}

static int error_of(enum grpc_status status)
{
	switch (status) {
	case GRPC_OK: return 0;
	case GRPC_NOT_FOUND: return -ENOENT;
	case GRPC_DEADLINE_EXCEEDED: return -ETIMEDOUT;
	case GRPC_CANCELLED:
	case GRPC_UNAVAILABLE: return -ECANCELED;
	case GRPC_UNIMPLEMENTED: return -EOPNOTSUPP;
	default: return -EIO;
	}
}

static void on_message(void *context, struct grpc_call *grpc_call, const uint8_t *bytes, size_t length)
{
	struct call *call = context;
	struct cri *cri = call->cri;

	(void)grpc_call;
	if (call->error != -EIO) /* a second answer to one question */
		return;
	call->error = cri_decode(call->method, bytes, length, &call->answer);
	/* Whoever answers and does not end the call has its memory until the deadline. */
	if (call->error == 0 && cri_answer_bytes(&call->answer) > CRI_DECODED_MAX - cri->decoded_bytes) {
		cri_answer_free(&call->answer);
		call->error = -ENOMEM;
	}
	cri->decoded_bytes += cri_answer_bytes(&call->answer);
}

static void on_done(void *context, struct grpc_call *grpc_call, enum grpc_status status, const char *message)
{
	struct call *call = context;
	struct cri *cri = call->cri;
	int error = status == GRPC_OK ? call->error : error_of(status);

	(void)grpc_call;
	(void)message;
	cri->counters.failed += error != 0 && error != -ENOENT;
	cri->counters.timed_out += error == -ETIMEDOUT;
	cri->counters.malformed += status == GRPC_OK && error != 0;
	LIST_REMOVE(call, entry);
	cri->decoded_bytes -= cri_answer_bytes(&call->answer);
	call->on_answer(call->context, cri, call->method, call->id, error, error ? NULL : &call->answer);
	if (call->error == 0)
		cri_answer_free(&call->answer);
	free(call);
}

static int start_call(struct cri *cri, enum cri_method method, const char *id,
	void (*on_answer)(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
		const struct cri_answer *answer),
	void *context)
{
	uint8_t request[ID_SIZE + 32];
	struct call *call = calloc(1, sizeof(*call));
	struct grpc_call *grpc_call;
	int error;

	if (!call)
		return -ENOMEM;
	*call = (struct call){.cri = cri, .method = method, .on_answer = on_answer, .context = context, .error = -EIO};
	snprintf(call->id, sizeof(call->id), "%s", id ? id : "");

	const struct grpc_call_options options = {
		.context = call, .on_message = on_message, .on_done = on_done, .deadline_ms = CRI_DEADLINE_MS};

	error = grpc_call_open(cri->client, paths[method], &options, &grpc_call);
	if (error) {
		free(call);
		return error == -ENOMEM ? error : -ENOTCONN;
	}
	LIST_INSERT_HEAD(&cri->calls, call, entry);
	cri->counters.calls++;
	error = grpc_call_send(grpc_call, request, pack_request(method, call->id, request, sizeof(request)));
	if (error) {
		grpc_call_cancel(grpc_call);
		LIST_REMOVE(call, entry);
		free(call);
		return -ENOMEM;
	}
	grpc_call_half_close(grpc_call);
	return 0;
}

int cri_call(struct cri *cri, enum cri_method method, const char *id,
	void (*on_answer)(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
		const struct cri_answer *answer),
	void *context)
{
	return cri->state == CRI_UP ? start_call(cri, method, id, on_answer, context) : -ENOTCONN;
}

/* --- the connection -------------------------------------------------------------------------------------------------- */

static void take_name(struct cri *cri, struct text name)
{
	size_t at = 0;

	for (; at < name.length && at + 1 < NAME_SIZE; at++) {
		char letter = name.data[at];

		letter = (char)(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
		cri->name[at] = (char)(letter > ' ' && letter <= '~' ? letter : '?');
	}
	cri->name[at] = '\0';
}

static void on_version(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	const struct timeval again = {VERSION_RETRY_MS / 1000, VERSION_RETRY_MS % 1000 * 1000L};
	char why[WHY_SIZE] = "";

	(void)context;
	(void)method;
	(void)id;
	if (error == -ECANCELED) /* on_down tells */
		return;
	if (error) {
		snprintf(why, sizeof(why), "%s",
			error == -EOPNOTSUPP  ? "it does not offer the Container Runtime Interface v1"
			: error == -ETIMEDOUT ? "it takes connections but does not answer"
					      : "its answer to Version is none of a container runtime");
		event_add(cri->version_timer, &again);
		set_state(cri, CRI_FAILING, why);
		return;
	}
	take_name(cri, answer->runtime_name);
	add_printable(why, answer->runtime_name);
	add_printable(why, TEXT_LITERAL(" "));
	add_printable(why, answer->runtime_version);
	set_state(cri, CRI_UP, why);
}

static void ask_version(struct cri *cri)
{
	const struct timeval again = {VERSION_RETRY_MS / 1000, VERSION_RETRY_MS % 1000 * 1000L};

	if (start_call(cri, CRI_VERSION, NULL, on_version, NULL) < 0)
		event_add(cri->version_timer, &again);
}

static void on_version_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ask_version(context);
}

static void on_up(void *context)
{
	ask_version(context);
}

/* Is it in a folder that a user without rights, though it be root, may not enter? Then nobody knows whether it is there. */
static bool is_shut(const char *path)
{
	struct stat stats;

	return lstat(path, &stats) < 0 && errno == EACCES;
}

static void on_down(void *context, int error, const char *reason)
{
	struct cri *cri = context;
	bool shut = error == -EACCES && is_shut(cri_path(cri));
	bool absent = shut || error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR;
	char why[WHY_SIZE] = "";

	event_del(cri->version_timer);
	cri->tried_ns = clock_boottime_ns();
	add_printable(why, text_of(reason));
	if (shut && !cri->shut_said)
		log_info(
			"%s: its folder may not be entered (mode, owner): a runtime there is not asked", cri_path(cri));
	cri->shut_said = shut;
	set_state(cri, absent ? CRI_ABSENT : CRI_FAILING, why);
}

int cri_open(struct event_base *base, const char *path, const struct cri_ops *ops, struct cri **out)
{
	struct cri *cri = calloc(1, sizeof(*cri));
	const struct grpc_client_options options = {
		.context = cri,
		.on_up = on_up,
		.on_down = on_down,
		.max_message_bytes = CRI_MESSAGE_MAX,
		.window_bytes = CRI_MESSAGE_MAX,
		.max_buffered_bytes = CRI_UNFINISHED_MAX,
		.connect_timeout_ms = CRI_DEADLINE_MS,
		.keepalive_ms = KEEPALIVE_MS,
		.retry_min_ms = RETRY_MIN_MS,
		.retry_max_ms = CRI_RETRY_MAX_MS,
		.authority = "localhost", /* a Go server refuses a path here */
	};
	int error = -ENOMEM;

	if (!cri)
		return -ENOMEM;
	cri->base = base;
	cri->ops = *ops;
	cri->address.kind = GRPC_ADDRESS_UNIX;
	LIST_INIT(&cri->calls);
	if (strlen(path) >= sizeof(cri->address.path)) {
		free(cri);
		return -EINVAL;
	}
	strcpy(cri->address.path, path);
	cri->version_timer = evtimer_new(base, on_version_timer, cri);
	if (cri->version_timer)
		error = grpc_client_open(base, &cri->address, &options, &cri->client);
	if (error) {
		cri_close(cri);
		return error;
	}
	*out = cri;
	return 0;
}

const char *cri_path(const struct cri *cri)
{
	return cri->address.path;
}

const char *cri_name(const struct cri *cri)
{
	return cri->name;
}

enum cri_state cri_state(const struct cri *cri)
{
	return cri->state;
}

bool cri_hurry(struct cri *cri)
{
	if (cri->state != CRI_ABSENT || clock_boottime_ns() - cri->tried_ns < hurry_ns ||
		grpc_client_reconnect(cri->client, 0) < 0)
		return false;
	cri->state = CRI_CONNECTING;
	return true;
}

void cri_counters(const struct cri *cri, struct cri_counters *counters)
{
	*counters = cri->counters;
}

void cri_close(struct cri *cri)
{
	if (!cri)
		return;
	cri->state = CRI_ABSENT; /* whoever gets an answer now asks nothing more */
	if (cri->client)
		grpc_client_close(cri->client);
	if (cri->version_timer)
		event_free(cri->version_timer);
	free(cri);
}
