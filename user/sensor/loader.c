/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sensor/confine.h"
#include "sensor/loader_flow.h"
#include "sensor/loader_inside.h"
#include "sensor/loader_list.h"
#include "sensor/loader_object.h"
#include "sensor/loader_serve.h"

enum {
	BULK_CALL_BYTES = 256 * 1024, /* as BULK_WAKE_BYTES of bpf/ring.h */
	ANSWER_MS = 10 * 1000,        /* for what takes microseconds: who stops it so long has ended it */
	LOAD_MS = 600 * 1000,         /* the verifier's time */
	END_MS = 10 * 1000,
};

/* --- requests -------------------------------------------------------------------------------------------------------- */

static void lose(struct loader *loader, int error)
{
	if (!atomic_exchange(&loader->lost, true))
		log_error("the process that holds the BPF programs (taffrail-loader) %s: nothing is seen any more",
			error == -EPIPE ? "has ended" : "does not answer");
}

int loader_ask(struct loader *loader, const struct request *request, struct reply *reply, int *fds, size_t *fd_count)
{
	const int wait_ms = request->kind == REQUEST_LOAD || request->kind == REQUEST_ATTACH ? LOAD_MS : ANSWER_MS;
	size_t none = 0, *count = fd_count ? fd_count : &none;
	ssize_t length;

	memset(reply, 0, sizeof(*reply));
	if (atomic_load(&loader->lost)) {
		*count = 0;
		return -EPIPE;
	}
	pthread_mutex_lock(&loader->lock);
	length = call_send(loader->socket, request, request_size(request->kind), NULL, 0, wait_ms);
	if (length == 0)
		length = call_receive(loader->socket, reply, sizeof(*reply), fds, count, wait_ms);
	else
		*count = 0;
	pthread_mutex_unlock(&loader->lock);
	if (length < (ssize_t)sizeof(reply->result)) {
		lose(loader, length < 0 ? (int)length : -EPIPE);
		return -EPIPE;
	}
	return reply->result;
}

int loader_ask_plainly(struct loader *loader, const struct request *request, struct reply *reply)
{
	return loader_ask(loader, request, reply, NULL, NULL);
}

static int ask_kind(struct loader *loader, enum request_kind kind)
{
	const struct request request = {.kind = kind};
	struct reply reply;

	return loader_ask_plainly(loader, &request, &reply);
}

pid_t loader_pid(const struct loader *loader)
{
	return loader->child;
}

bool loader_is_lost(const struct loader *loader)
{
	return atomic_load(&loader->lost);
}

bool loader_has_ended(struct loader *loader)
{
	struct pollfd socket = {.fd = loader->socket};

	if (poll(&socket, 1, 0) > 0 && socket.revents & (POLLHUP | POLLERR))
		lose(loader, -EPIPE);
	return loader_is_lost(loader);
}

/* --- rings ----------------------------------------------------------------------------------------------------------- */

size_t loader_read(
	struct loader *loader, enum kernel_ring which, loader_callback *callback, void *context, size_t limit)
{
	return ring_read(&loader->rings[which], callback, context, limit);
}

bool loader_is_crowded(const struct loader *loader)
{
	return ring_holds(&loader->rings[KERNEL_RING_BULK]) > loader->rings[KERNEL_RING_BULK].size / 2;
}

size_t loader_waiting(const struct loader *loader, enum kernel_ring ring, size_t *size)
{
	*size = loader->rings[ring].size;
	return ring_holds(&loader->rings[ring]);
}

int loader_wait_fd(const struct loader *loader)
{
	return loader->wait_fd;
}

bool loader_sleep(struct loader *loader, bool asleep)
{
	_Atomic __u32 *flag = (_Atomic __u32 *)&loader->variables->reader_asleep;

	atomic_store(flag, asleep);
	if (!asleep) {
		struct epoll_event events[KERNEL_RINGS];

		(void)epoll_wait(loader->wait_fd, events, KERNEL_RINGS, 0); /* takes the calls back */
		return false;
	}
	return ring_holds(&loader->rings[KERNEL_RING_CRITICAL]) > 0 ||
	       ring_holds(&loader->rings[KERNEL_RING_BULK]) >= BULK_CALL_BYTES;
}

/* As repeat_take of bpf/repeat.h, from this side of the shared memory. */
static uint64_t take_word(_Atomic uint64_t *word, uint64_t number)
{
	uint64_t before = atomic_load(word);

	while ((before ^ number) >> KERNEL_REPEAT_SHIFT == 0)
		if (atomic_compare_exchange_weak(word, &before, 0))
			return before & KERNEL_REPEAT_COUNT;
	return 0;
}

uint64_t loader_take_repeats(struct loader *loader, uint64_t number)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)loader->variables->repeats.words;

	return take_word(&words[KERNEL_REPEAT_FIRST(number)], number) +
	       take_word(&words[KERNEL_REPEAT_SECOND(number)], number);
}

void loader_flows(struct loader *loader, uint64_t now_ns)
{
	int error;

	loader_flow_clock(loader->variables, now_ns);
	if (now_ns < loader->sweep_ns || loader->detached)
		return;
	loader->sweep_ns = now_ns + loader->sweep_every_ns;
	error = ask_kind(loader, REQUEST_SWEEP);
	if (error < 0 && !loader_is_lost(loader))
		log_limited("flows that are idle cannot be ended: %s", strerror(-error));
}

/* --- what the programs tell ------------------------------------------------------------------------------------------ */

unsigned int loader_cpus(const struct loader *loader)
{
	return loader->cpus;
}

unsigned int loader_lanes(const struct loader *loader)
{
	return loader->lanes;
}

int loader_counters(struct loader *loader, struct kernel_counters *counters, size_t count)
{
	int error;

	if (count != (size_t)loader->cpus * loader->lanes)
		return -EINVAL;
	error = ask_kind(loader, REQUEST_COUNTERS);
	if (!error)
		memcpy(counters, loader->counters, count * sizeof(*counters));
	return error;
}

int loader_policy_container(struct loader *loader, const uint8_t id[KERNEL_CONTAINER_ID_SIZE], uint64_t rules)
{
	struct request request = {.kind = REQUEST_CONTAINER, .container = {.rules = rules}};
	struct reply reply;

	memcpy(request.container.id, id, sizeof(request.container.id));
	return loader_ask_plainly(loader, &request, &reply);
}

void loader_policy_over(struct loader *loader)
{
	atomic_store((_Atomic __u32 *)&loader->variables->policy_over, 1);
}

int loader_policy_counts(struct loader *loader, uint64_t counts[KERNEL_KINDS_END])
{
	const struct request request = {.kind = REQUEST_LEFT_OUT};
	struct reply reply;
	int error = loader_ask_plainly(loader, &request, &reply);

	memcpy(counts, reply.left_out, sizeof(reply.left_out));
	return error;
}

uint64_t loader_missed(struct loader *loader)
{
	const struct request request = {.kind = REQUEST_MISSED};
	struct reply reply;

	return loader_ask_plainly(loader, &request, &reply) < 0 ? 0 : reply.number;
}

size_t loader_runs(struct loader *loader, struct loader_run runs[LOADER_RUNS_MAX])
{
	const struct request request = {.kind = REQUEST_RUNS};
	struct reply reply;
	int count = loader_ask_plainly(loader, &request, &reply);

	if (count <= 0)
		return 0;
	memcpy(runs, reply.runs, sizeof(reply.runs));
	for (int i = 0; i < LOADER_RUNS_MAX; i++)
		runs[i].name[sizeof(runs[i].name) - 1] = '\0';
	return (size_t)count < LOADER_RUNS_MAX ? (size_t)count : LOADER_RUNS_MAX;
}

ssize_t loader_processes(struct loader *loader, loader_callback *callback, void *context)
{
	const struct request request = {.kind = REQUEST_PROCESSES};
	size_t fd_count = 1;
	struct reply reply;
	ssize_t count;
	int fd, error = loader_ask(loader, &request, &reply, &fd, &fd_count);

	if (error || fd_count == 0)
		return error ? error : -EPROTO;
	count = loader_list(fd, callback, context);
	close(fd);
	return count;
}

/* --- hooks ----------------------------------------------------------------------------------------------------------- */

static int look_at_hooks(struct loader *loader)
{
	const struct request request = {.kind = REQUEST_HOOKS};
	struct reply reply;
	int count = loader_ask_plainly(loader, &request, &reply);

	if (count < 0)
		return count;
	loader->hook_count = (size_t)count < REPLY_HOOKS ? (size_t)count : REPLY_HOOKS;
	memcpy(loader->hook_words, reply.hooks, sizeof(reply.hooks));
	for (size_t i = 0; i < loader->hook_count; i++)
		loader->hooks[i] = (struct loader_hook){
			loader->hook_words[i].promise, loader->hook_words[i].hook, loader->hook_words[i].attached};
	return 0;
}

const struct loader_hook *loader_hooks(const struct loader *loader, size_t *count)
{
	*count = loader->hook_count;
	return loader->hooks;
}

size_t loader_gone(struct loader *loader, void (*each)(void *context, const struct loader_hook *hook), void *context)
{
	const struct request request = {.kind = REQUEST_GONE};
	struct reply reply;
	int count = loader->detached ? 0 : loader_ask_plainly(loader, &request, &reply);

	for (int i = 0; i < count && i < REPLY_GONE; i++)
		if (reply.gone[i] < loader->hook_count)
			each(context, &loader->hooks[reply.gone[i]]);
	return count > 0 ? (size_t)count : 0;
}

int loader_want(struct loader *loader, uint64_t calls, char *why, size_t why_size)
{
	const struct request request = {.kind = REQUEST_WANT, .calls = calls};
	struct reply reply;
	int error = loader->detached ? 0 : loader_ask_plainly(loader, &request, &reply);

	if (error) {
		snprintf(why, why_size, "%s", reply.why);
		return error;
	}
	loader->calls = calls;
	return loader->detached ? 0 : look_at_hooks(loader);
}

void loader_thin_out(struct loader *loader, unsigned int reads, unsigned int others, bool unsampled)
{
	loader->thinned = (reads & 31) | (others & 31) << 8;
	loader->unsampled = unsampled;
	atomic_store((_Atomic __u32 *)&loader->variables->opens_thinned, loader->thinned);
	atomic_store((_Atomic __u32 *)&loader->variables->flow_samples_paused, loader->unsampled);
}

/* What loader_thin_out wrote; it is put right again. */
static bool thinned_as_told(struct loader *loader)
{
	_Atomic __u32 *thinned = (_Atomic __u32 *)&loader->variables->opens_thinned;
	_Atomic __u32 *unsampled = (_Atomic __u32 *)&loader->variables->flow_samples_paused;
	bool good = atomic_exchange(thinned, loader->thinned) == loader->thinned;

	return atomic_exchange(unsampled, loader->unsampled) == loader->unsampled && good;
}

bool loader_true(struct loader *loader)
{
	bool good = thinned_as_told(loader);

	return (loader->detached || ask_kind(loader, REQUEST_TRUE) != 0) && good;
}

/* --- the canary ------------------------------------------------------------------------------------------------------ */

int loader_canary_start(struct loader *loader)
{
	return loader->detached ? -ESHUTDOWN : ask_kind(loader, REQUEST_CANARY_START);
}

bool loader_canary_landed(struct loader *loader)
{
	return ask_kind(loader, REQUEST_CANARY_LANDED) != 0;
}

void loader_canary_end(struct loader *loader)
{
	(void)ask_kind(loader, REQUEST_CANARY_END);
}

/* --- opening --------------------------------------------------------------------------------------------------------- */

enum loader_mode loader_mode(const char *word)
{
	if (word && strcmp(word, "function") == 0)
		return LOADER_FUNCTION;
	return word && strcmp(word, "tracepoint") == 0 ? LOADER_TRACEPOINT : LOADER_AUTO;
}

static int open_memory(struct loader *loader)
{
	void *memory;

	loader->counters_size = (size_t)loader->cpus * KERNEL_LANES * sizeof(*loader->counters);
	memory = mmap(NULL, loader->counters_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	loader->counters = memory;
	return 0;
}

/* The child ends with this process, whatever ends it. */
static int start(struct loader *loader, const struct loader_options *options)
{
	int sockets[2];
	pid_t parent = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	loader->child = fork();
	if (loader->child == 0) {
		close(sockets[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		loader_serve(sockets[1], options, loader->counters);
	}
	close(sockets[1]);
	loader->socket = sockets[0];
	return loader->child < 0 ? -errno : 0;
}

int loader_open(struct loader **out, const struct loader_options *options, char *why, size_t why_size)
{
	int cpus = libbpf_num_possible_cpus(), error = confine_lacks(why, why_size);
	struct loader *loader = error ? NULL : calloc(1, sizeof(*loader));

	if (error)
		return error;
	if (!loader || cpus <= 0) {
		free(loader);
		snprintf(why, why_size, "cannot tell how many CPUs there are");
		return cpus < 0 ? cpus : -ENOMEM;
	}
	pthread_mutex_init(&loader->lock, NULL);
	loader->socket = loader->wait_fd = -1;
	loader->cpus = (unsigned int)cpus;
	loader->sweep_every_ns = (options->flows.idle_s / 4 + 1) * 1000000000ull;
	error = open_memory(loader);
	if (!error)
		error = start(loader, options);
	if (error) {
		snprintf(why, why_size, "the loader's process cannot be started: %s", strerror(-error));
		loader_close(loader);
		return error;
	}
	*out = loader;
	return 0;
}

/* --- attaching ------------------------------------------------------------------------------------------------------- */

/* `fds`: to wait for, the rings, the variables. The maps' are not needed any longer than this. */
static int open_shared(struct loader *loader, const struct reply *reply, const int fds[REPLY_FDS])
{
	const uint32_t bytes[] = {
		[KERNEL_RING_CRITICAL] = reply->load.critical_bytes, [KERNEL_RING_BULK] = reply->load.bulk_bytes};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory;
	int error = 0;

	loader->wait_fd = fds[0];
	loader->lanes = reply->load.lanes;
	loader->repeats_at = reply->load.repeats_at;
	for (int i = 0; i < KERNEL_RINGS && !error; i++)
		error = ring_open(&loader->rings[i], fds[1 + i], bytes[i]);
	if (error)
		return error;
	if (reply->load.variables_bytes < sizeof(*loader->variables))
		return -EPROTO;
	loader->variables_size = (reply->load.variables_bytes + page - 1) & ~(page - 1);
	memory = mmap(NULL, loader->variables_size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1 + KERNEL_RINGS], 0);
	if (memory == MAP_FAILED)
		return -errno;
	loader->variables = memory;
	return 0;
}

static int load(struct loader *loader, const struct loader_start *start, char *why, size_t why_size)
{
	struct request request = {
		.kind = REQUEST_LOAD, .number = (uint32_t)start->prefix_count, .load = {.calls = start->calls}};
	struct reply reply;
	int fds[REPLY_FDS], error;
	size_t fd_count = REPLY_FDS;

	if (start->policy)
		request.load.policy = *start->policy;
	error = loader_ask(loader, &request, &reply, fds, &fd_count);
	if (error) {
		snprintf(why, why_size, "%s", loader_is_lost(loader) ? "the loader has ended" : reply.why);
	} else {
		error = fd_count == REPLY_FDS ? open_shared(loader, &reply, fds) : -EMFILE;
		if (error)
			snprintf(why, why_size, "cannot read the rings: %s", strerror(-error));
	}
	for (size_t i = 0; i < fd_count; i++)
		if (fds[i] != loader->wait_fd)
			close(fds[i]);
	return error;
}

static int send_prefixes(struct loader *loader, const struct loader_start *start, char *why, size_t why_size)
{
	struct request request = {.kind = REQUEST_PREFIX};
	struct reply reply;
	int error = 0;

	for (size_t at = 0; at < start->prefix_count && !error; at += request.number) {
		size_t left = start->prefix_count - at;

		request.number = left < REQUEST_PREFIXES ? (uint32_t)left : REQUEST_PREFIXES;
		for (size_t i = 0; i < request.number; i++) {
			request.prefix.prefixes[i] = start->prefixes[at + i];
			request.prefix.rules[i] = start->prefix_rules[at + i];
		}
		error = loader_ask_plainly(loader, &request, &reply);
	}
	if (error)
		snprintf(why, why_size, "the paths that are not recorded cannot be set: %s", strerror(-error));
	return error;
}

/* Without it the sensor works as well. */
static void pin(struct loader *loader, const struct loader_start *start)
{
	struct request request = {.kind = REQUEST_PIN};
	size_t fd_count = 1;
	struct reply reply;
	void *memory;
	int fd;

	memcpy(request.pin.name, start->pin_name, PIN_NAME_SIZE);
	if (start->page(start->context, request.pin.page, loader->lanes, loader->repeats_at) < 0 ||
		loader_ask(loader, &request, &reply, &fd, &fd_count) < 0 || fd_count == 0)
		return;
	memory = mmap(NULL, PIN_LEDGER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (memory != MAP_FAILED)
		loader->ledger = memory;
	else
		loader_unpin(loader, true);
}

int loader_attach(struct loader *loader, const struct loader_start *start, char *why, size_t why_size)
{
	const struct request request = {.kind = REQUEST_ATTACH};
	struct reply reply;
	int error = load(loader, start, why, why_size);

	if (!error)
		error = send_prefixes(loader, start, why, why_size);
	if (error)
		return error;
	if (start->pin_name)
		pin(loader, start);
	error = loader_ask_plainly(loader, &request, &reply);
	if (!error)
		error = look_at_hooks(loader);
	if (error) {
		snprintf(why, why_size, "%s", loader_is_lost(loader) ? "the loader has ended" : reply.why);
		loader_unpin(loader, true);
		return error;
	}
	loader->calls = start->calls;
	return 0;
}

/* --- pins, and closing ----------------------------------------------------------------------------------------------- */

void *loader_ledger(const struct loader *loader)
{
	return loader->ledger;
}

void loader_unpin(struct loader *loader, bool all)
{
	const struct request request = {.kind = REQUEST_UNPIN, .number = all};
	struct reply reply;

	(void)loader_ask_plainly(loader, &request, &reply);
	if (!all || !loader->ledger)
		return;
	munmap(loader->ledger, PIN_LEDGER_BYTES);
	loader->ledger = NULL;
}

void loader_detach(struct loader *loader)
{
	if (!loader->detached && ask_kind(loader, REQUEST_DETACH) == 0) {
		loader->detached = true;
		(void)look_at_hooks(loader);
	}
}

/* It ends as soon as nobody can ask it any more; one that was stopped is left. */
static void wait_for_end(pid_t child)
{
	for (int waited_ms = 0; waited_ms < END_MS; waited_ms++) {
		pid_t ended = waitpid(child, NULL, WNOHANG);

		if (ended == child || (ended < 0 && errno != EINTR))
			return;
		(void)poll(NULL, 0, 1);
	}
}

void loader_close(struct loader *loader)
{
	if (!loader)
		return;
	if (loader->socket >= 0)
		close(loader->socket);
	if (loader->child > 0)
		wait_for_end(loader->child);
	for (int i = 0; i < KERNEL_RINGS; i++)
		ring_close(&loader->rings[i]);
	if (loader->wait_fd >= 0)
		close(loader->wait_fd);
	if (loader->variables)
		munmap(loader->variables, loader->variables_size);
	if (loader->ledger)
		munmap(loader->ledger, PIN_LEDGER_BYTES);
	if (loader->counters)
		munmap(loader->counters, loader->counters_size);
	pthread_mutex_destroy(&loader->lock);
	free(loader);
}
