/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "sensor/canary.h"
#include "sensor/confine.h"
#include "sensor/loader_call.h"
#include "sensor/loader_pin.h"
#include "sensor/loader_programs.h"

enum loader_stage {
	STAGE_STARTED = 1,
	STAGE_LOADED = 2,
	STAGE_ATTACHED = 4,
	STAGE_DETACHED = 8,
	STAGE_FAILED = 16, /* what has failed half way is not tried again */
	STAGE_ANY = 31,
};

struct server {
	int socket;
	const struct loader_options *options;
	struct kernel_counters *counters;
	struct programs *programs;
	enum loader_stage stage;
	bool pinned; /* or unpinned: once in a life */
	size_t prefixes_left;
	struct pins *formers[FORMER_HANDLES];
	struct pins_former found[FORMER_HANDLES]; /* that the worker has not taken yet */
	size_t found_count;
};

/* What goes back: the size of what the kind answers beside the result, and descriptors. */
struct answer {
	struct reply reply;
	size_t size;
	int fds[REPLY_FDS];
	size_t fd_count;
	bool ours; /* the descriptors are closed once they are sent */
};

#define ANSWERED(member) (sizeof(((struct reply *)0)->member))

/* --- the programs ------------------------------------------------------------------------------------------------------ */

static void load(struct server *server, const struct request *request, struct answer *answer)
{
	struct programs *programs = server->programs;
	struct reply *reply = &answer->reply;
	uint32_t bytes[KERNEL_RINGS + 1];

	answer->size = ANSWERED(why);
	server->stage = STAGE_FAILED;
	reply->result = programs_load(
		programs, &request->load.policy, request->load.calls, request->number, reply->why, sizeof(reply->why));
	if (reply->result < 0)
		return;
	server->stage = STAGE_LOADED;
	server->prefixes_left = request->number;
	answer->fds[answer->fd_count++] = programs_wait_fd(programs);
	for (int i = 0; i <= KERNEL_RINGS; i++)
		answer->fds[answer->fd_count++] = programs_map(programs, i, &bytes[i]);
	answer->size = ANSWERED(load);
	reply->load.lanes = programs_lanes(programs);
	reply->load.critical_bytes = bytes[KERNEL_RING_CRITICAL];
	reply->load.bulk_bytes = bytes[KERNEL_RING_BULK];
	reply->load.variables_bytes = bytes[KERNEL_RINGS];
	reply->load.repeats_at = programs_repeats_at(programs);
}

static void take_prefixes(struct server *server, const struct request *request, struct answer *answer)
{
	if (request->number > server->prefixes_left) {
		answer->reply.result = -E2BIG;
		return;
	}
	server->prefixes_left -= request->number;
	for (uint32_t i = 0; i < request->number && answer->reply.result == 0; i++)
		answer->reply.result =
			programs_prefix(server->programs, &request->prefix.prefixes[i], request->prefix.rules[i]);
}

static void pin(struct server *server, const struct request *request, struct answer *answer)
{
	int fd = programs_pin(server->programs, request->pin.name, request->pin.page);

	server->pinned = true;
	if (fd >= 0)
		answer->fds[answer->fd_count++] = fd;
	answer->ours = true;
}

static void attach(struct server *server, struct answer *answer)
{
	struct reply *reply = &answer->reply;

	answer->size = ANSWERED(why);
	server->stage = STAGE_FAILED;
	reply->result = programs_attach(server->programs, reply->why, sizeof(reply->why));
	if (reply->result)
		return;
	reply->result = confine_loader(programs_mounted(server->programs));
	if (reply->result == 0)
		server->stage = STAGE_ATTACHED;
	else
		snprintf(reply->why, sizeof(reply->why), "the loader cannot give up what it does not need: %s",
			strerror(-reply->result));
}

static void tell_hooks(const struct server *server, struct answer *answer)
{
	struct reply *reply = &answer->reply;
	size_t count;
	const struct loader_hook *hooks = programs_hooks(server->programs, &count);

	if (count > REPLY_HOOKS)
		count = REPLY_HOOKS;
	memset(reply->hooks, 0, sizeof(reply->hooks));
	for (size_t i = 0; i < count; i++) {
		snprintf(reply->hooks[i].promise, sizeof(reply->hooks[i].promise), "%s", hooks[i].promise);
		snprintf(reply->hooks[i].hook, sizeof(reply->hooks[i].hook), "%s", hooks[i].hook);
		reply->hooks[i].attached = hooks[i].attached;
	}
	reply->result = (int32_t)count;
	answer->size = ANSWERED(hooks);
}

struct gone {
	struct reply *reply;
	const struct loader_hook *first;
};

static void note_gone(void *context, const struct loader_hook *hook)
{
	struct gone *gone = context;

	if (gone->reply->result < REPLY_GONE)
		gone->reply->gone[gone->reply->result++] = (uint8_t)(hook - gone->first);
}

static void tell_gone(const struct server *server, struct answer *answer)
{
	size_t count;
	struct gone gone = {&answer->reply, programs_hooks(server->programs, &count)};

	answer->size = ANSWERED(gone);
	(void)programs_gone(server->programs, note_gone, &gone);
}

static void tell_processes(const struct server *server, struct answer *answer)
{
	int fd = programs_processes(server->programs);

	if (fd < 0)
		answer->reply.result = fd;
	else
		answer->fds[answer->fd_count++] = fd;
	answer->ours = true;
}

/* --- the canary -------------------------------------------------------------------------------------------------------- */

static void canary_expected(void *context)
{
	programs_canary_expect(context);
}

/* In the canary: from here on it has no right over BPF. */
static int canary_enters(void *context)
{
	int error = programs_canary_enter(context);

	return error ? error : confine_canary();
}

static void canary_leaves(void *context)
{
	programs_canary_leave(context);
}

static int start_canary(const struct server *server)
{
	const struct canary_nest_ops ops = {canary_expected, canary_enters, canary_leaves, server->programs};

	return server->options->nest ? canary_nest_start(server->options->nest, &ops) : -ENOENT;
}

/* --- former lives ------------------------------------------------------------------------------------------------------ */

static void keep(void *context, const struct pins_former *former)
{
	struct server *server = context;

	if (server->found_count < FORMER_HANDLES) {
		server->found[server->found_count++] = *former;
		return;
	}
	if (former->ledger >= 0)
		close(former->ledger);
	pins_close(former->pins);
}

static void give_back(const struct pins_former *former)
{
	if (former->ledger >= 0)
		close(former->ledger);
	pins_close(former->pins);
}

static void find_formers(struct server *server, const struct request *request, struct answer *answer)
{
	const char *path = server->options->pin_path;

	while (server->found_count > 0)
		give_back(&server->found[--server->found_count]);
	if (path)
		answer->reply.result = pins_find(path, request->number, keep, server);
}

/* The result is a handle; -ENOENT: there are no more; -EBUSY: somebody holds it. */
static void tell_former(struct server *server, struct answer *answer)
{
	struct reply *reply = &answer->reply;
	struct pins_former *former;
	int handle = 0;

	if (server->found_count == 0) {
		reply->result = -ENOENT;
		return;
	}
	former = &server->found[--server->found_count];
	memset(&reply->former, 0, sizeof(reply->former));
	memcpy(reply->former.name, former->name, PIN_NAME_SIZE);
	reply->former.held = !former->pins;
	reply->former.damaged = former->damaged;
	answer->size = ANSWERED(former);
	if (!former->pins)
		return;
	while (handle < FORMER_HANDLES && server->formers[handle])
		handle++;
	if (handle == FORMER_HANDLES) { /* the next look finds it again */
		give_back(former);
		reply->result = -ENOENT;
		return;
	}
	server->formers[handle] = former->pins;
	reply->result = handle;
	if (former->ledger >= 0)
		answer->fds[answer->fd_count++] = former->ledger;
	answer->ours = true;
}

static void serve_former(struct server *server, const struct request *request, struct answer *answer)
{
	struct pins *pins = server->formers[request->number];
	struct reply *reply = &answer->reply;

	if (!pins) {
		reply->result = -EBADF;
		return;
	}
	switch (request->kind) {
	case REQUEST_FORMER_COUNTED:
		answer->size = ANSWERED(number);
		reply->number = 0;
		reply->result = pins_counted(pins, request->lanes, &reply->number);
		break;
	case REQUEST_FORMER_REST:
		answer->size = ANSWERED(rest);
		memset(&reply->rest, 0, sizeof(reply->rest));
		pins_rest(pins, request->repeats_at, &reply->rest);
		break;
	case REQUEST_FORMER_DROP_RINGS: pins_drop_rings(pins); break;
	case REQUEST_FORMER_DROP: pins_drop(pins); break;
	default:
		pins_close(pins);
		server->formers[request->number] = NULL;
		break;
	}
}

/* --- one request ------------------------------------------------------------------------------------------------------- */

/* When each may come. */
static int stages_of(uint32_t kind)
{
	switch (kind) {
	case REQUEST_LOAD: return STAGE_STARTED;
	case REQUEST_PREFIX:
	case REQUEST_PIN:
	case REQUEST_ATTACH: return STAGE_LOADED;
	case REQUEST_PROCESSES:
	case REQUEST_WANT:
	case REQUEST_SWEEP:
	case REQUEST_TRUE:
	case REQUEST_GONE:
	case REQUEST_CANARY_START:
	case REQUEST_DETACH: return STAGE_ATTACHED;
	case REQUEST_CONTAINER:
	case REQUEST_HOOKS:
	case REQUEST_COUNTERS:
	case REQUEST_LEFT_OUT:
	case REQUEST_RUNS:
	case REQUEST_MISSED: return STAGE_ATTACHED | STAGE_DETACHED;
	default: return STAGE_ANY;
	}
}

static bool has_its_time(const struct server *server, uint32_t kind)
{
	return stages_of(kind) & (int)server->stage && !(kind == REQUEST_PIN && server->pinned);
}

static void serve_programs(struct server *server, const struct request *request, struct answer *answer)
{
	struct programs *programs = server->programs;
	struct reply *reply = &answer->reply;

	switch (request->kind) {
	case REQUEST_LOAD: load(server, request, answer); break;
	case REQUEST_PREFIX: take_prefixes(server, request, answer); break;
	case REQUEST_PIN: pin(server, request, answer); break;
	case REQUEST_ATTACH: attach(server, answer); break;
	case REQUEST_HOOKS: tell_hooks(server, answer); break;
	case REQUEST_PROCESSES: tell_processes(server, answer); break;
	case REQUEST_COUNTERS: reply->result = programs_counters(programs, server->counters); break;
	case REQUEST_LEFT_OUT:
		answer->size = ANSWERED(left_out);
		reply->result = programs_left_out(programs, reply->left_out);
		break;
	case REQUEST_RUNS:
		answer->size = ANSWERED(runs);
		reply->result = (int32_t)programs_runs(programs, reply->runs);
		break;
	case REQUEST_MISSED:
		answer->size = ANSWERED(number);
		reply->number = programs_missed(programs);
		break;
	case REQUEST_CONTAINER:
		reply->result = programs_container(programs, request->container.id, request->container.rules);
		break;
	case REQUEST_WANT:
		answer->size = ANSWERED(why);
		reply->result = programs_want(programs, request->calls, reply->why, sizeof(reply->why));
		break;
	case REQUEST_SWEEP: reply->result = programs_sweep(programs); break;
	case REQUEST_TRUE: reply->result = programs_true(programs); break;
	case REQUEST_GONE: tell_gone(server, answer); break;
	case REQUEST_DETACH:
		programs_detach(programs);
		server->stage = STAGE_DETACHED;
		break;
	default:
		server->pinned = true;
		programs_unpin(programs, request->number);
		break;
	}
}

static void serve(struct server *server, const struct request *request, struct answer *answer)
{
	struct canary_nest *nest = server->options->nest;

	switch (request->kind) {
	case REQUEST_CANARY_START: answer->reply.result = start_canary(server); break;
	case REQUEST_CANARY_LANDED: answer->reply.result = !nest || canary_nest_landed(nest); break;
	case REQUEST_CANARY_END:
		if (nest)
			canary_nest_end(nest);
		break;
	case REQUEST_FORMERS: find_formers(server, request, answer); break;
	case REQUEST_FORMER_NEXT: tell_former(server, answer); break;
	case REQUEST_FORMER_COUNTED:
	case REQUEST_FORMER_REST:
	case REQUEST_FORMER_DROP_RINGS:
	case REQUEST_FORMER_DROP:
	case REQUEST_FORMER_CLOSE: serve_former(server, request, answer); break;
	default: serve_programs(server, request, answer); break;
	}
}

/* --- the process ------------------------------------------------------------------------------------------------------- */

/* False: it is over. */
static bool serve_next(struct server *server, struct request *request, struct answer *answer)
{
	size_t none = 0;
	ssize_t length = call_receive(server->socket, request, sizeof(*request), NULL, &none, -1);
	const char *wrong;
	int error;

	if (length < 0) {
		if (length != -EPIPE)
			log_error("a request to the loader cannot be read: %s", strerror((int)-length));
		return false;
	}
	wrong = request_check(request, (size_t)length);
	if (!wrong && !has_its_time(server, request->kind))
		wrong = "it is not the time for it";
	if (wrong) {
		log_error("a request to the loader (kind %u, %zd bytes) is refused, and it ends: %s",
			length >= (ssize_t)sizeof(request->kind) ? request->kind : 0, length, wrong);
		return false;
	}
	answer->reply.result = 0;
	answer->size = answer->fd_count = 0;
	answer->ours = false;
	serve(server, request, answer);
	error = call_send(server->socket, &answer->reply, offsetof(struct reply, why) + answer->size, answer->fds,
		answer->fd_count, -1);
	for (size_t i = 0; answer->ours && i < answer->fd_count; i++)
		close(answer->fds[i]);
	return error == 0;
}

/* Only its worker ends it: what a terminal or a service manager sends to all of them must not, before the rings are read. */
static void settle_down(void)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)prctl(PR_SET_NAME, "taffrail-loader");
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	for (int fd = STDIN_FILENO; nowhere >= 0 && fd <= STDOUT_FILENO; fd++)
		(void)dup2(nowhere, fd);
	if (nowhere > STDERR_FILENO)
		close(nowhere);
}

void loader_serve(int socket, const struct loader_options *options, struct kernel_counters *counters)
{
	struct server server = {.socket = socket, .options = options, .counters = counters, .stage = STAGE_STARTED};
	struct request *request = calloc(1, sizeof(*request));
	struct answer *answer = calloc(1, sizeof(*answer));

	settle_down();
	if (confine_loading() < 0 || !request || !answer || programs_open(&server.programs, options) < 0)
		_exit(EXIT_FAILURE);
	while (serve_next(&server, request, answer))
		;
	/* The links first: when the pins' lock is free, the counters are final. */
	if (options->nest)
		canary_nest_close(options->nest);
	programs_close(server.programs);
	while (server.found_count > 0)
		give_back(&server.found[--server.found_count]);
	for (size_t i = 0; i < FORMER_HANDLES; i++)
		pins_close(server.formers[i]);
	_exit(EXIT_SUCCESS);
}
