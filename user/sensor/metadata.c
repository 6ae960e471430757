/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/metadata.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/rooted.h"
#include "sensor/container.h"
#include "sensor/cri.h"
#include "sensor/lookup.h"

enum {
	ASKED_MAX = 4096,
	ANSWERS_MAX = 8192,
	LIST_MS = 1000,
	TICK_MS = 100,
	SETTLE_POLL_MS = 2,
};

/* Where runtimes listen, and where what they write of their containers is, unless they are told; on the host. */
static const char *const usual_sockets[] = {
	"/run/containerd/containerd.sock",
	"/run/crio/crio.sock",
	"/run/k3s/containerd/containerd.sock",
	"/var/run/cri-dockerd.sock",
};
static const char *const usual_states[] = {
	"/run/containerd",
	"/run/k3s/containerd",
	"/run/docker/containerd/daemon", /* Docker's own containerd */
	"/run/containers/storage",
	"/var/lib/containers/storage",
	"/var/lib/docker",
};
/* Below a state directory: where a new bundle shows itself. */
static const char *const bundle_folders[] = {
	"io.containerd.runtime.v2.task/k8s.io",
	"io.containerd.runtime.v2.task/moby",
	"overlay-containers",
};
static const char *const usual_annotations[] = {"kubernetes.io/config.source", "taffrail.io/allow"};

enum { BUNDLE_FOLDERS = sizeof(bundle_folders) / sizeof(bundle_folders[0]) };

/* A runtime, and what was said of it last. */
struct runtime {
	struct cri *cri;
	bool named;
	enum cri_state said;
};

/* A directory in which a new bundle shows itself. */
struct watched {
	char *bundles; /* below the host's root */
	int watch;     /* -1: not there yet */
};

struct asked {
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	bool exit; /* how it ended, not its names */
};

struct metadata {
	pthread_t thread;
	bool started;
	struct event_base *base;
	struct lookup *lookup;
	char *host_root;
	struct runtime runtimes[LOOKUP_RUNTIMES_MAX];
	size_t runtime_count;
	struct watched watched[LOOKUP_STATES_MAX * BUNDLE_FOLDERS];
	size_t watched_count;
	bool nobody_said;
	char **annotations;
	size_t annotation_count;
	struct mailbox *asked;   /* struct asked, on the heap: event thread → here */
	struct mailbox *answers; /* struct container_meta: here → event thread */
	int stop_fd, inotify_fd;
	struct event *events[5];
	size_t event_count;
	uint64_t list_ns; /* when to list next */
	_Atomic bool settled;
	_Atomic bool met; /* a runtime has answered once */
};

/* --- bundles ---------------------------------------------------------------------------------------------------------- */

/* Watches for bundles; a directory that does not exist yet is tried again at every list. */
static void watch_bundles(struct metadata *metadata)
{
	char path[32];

	for (size_t i = 0; i < metadata->watched_count; i++) {
		struct watched *watched = &metadata->watched[i];
		int fd = watched->watch < 0 ? rooted_open(metadata->host_root, watched->bundles, O_DIRECTORY) : -1;

		if (fd < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		watched->watch = inotify_add_watch(metadata->inotify_fd, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
		close(fd);
	}
}

static void add_state(struct metadata *metadata, const char *directory)
{
	if (!lookup_add_state(metadata->lookup, directory))
		return;
	for (size_t i = 0; i < BUNDLE_FOLDERS; i++) {
		struct watched *watched = &metadata->watched[metadata->watched_count];

		if (asprintf(&watched->bundles, "%s/%s", directory, bundle_folders[i]) < 0) {
			watched->bundles = NULL;
			return;
		}
		watched->watch = -1;
		metadata->watched_count++;
	}
	watch_bundles(metadata);
}

static void on_bundle(evutil_socket_t fd, short what, void *context)
{
	struct metadata *metadata = context;
	_Alignas(struct inotify_event) char bytes[4096];
	ssize_t length = read(fd, bytes, sizeof(bytes));

	(void)what;
	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (const void *)(bytes + at);
		uint8_t id[EVENT_CONTAINER_ID_SIZE];

		if (event->mask & IN_IGNORED) /* the directory is gone: it may come again */
			for (size_t i = 0; i < metadata->watched_count; i++)
				if (metadata->watched[i].watch == event->wd)
					metadata->watched[i].watch = -1;
		if (event->len > 0 && event_container_id_parse(text_of(event->name), id))
			lookup_expect(metadata->lookup, id);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
}

/* --- runtimes --------------------------------------------------------------------------------------------------------- */

static void on_status(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	char directory[PATH_MAX];

	(void)cri;
	(void)method;
	(void)id;
	if (error || !answer->state_directory.length || answer->state_directory.length >= sizeof(directory))
		return;
	memcpy(directory, answer->state_directory.data, answer->state_directory.length);
	directory[answer->state_directory.length] = '\0';
	if (directory[0] == '/')
		add_state(context, directory);
}

/* Once for each change; a socket that nobody named and that is not there is not worth a word. */
static void say(struct runtime *runtime, enum cri_state state, const char *why)
{
	if (state == runtime->said || state == CRI_CONNECTING)
		return;
	if (state == CRI_UP)
		log_info("%s: %s", cri_path(runtime->cri), why);
	else if (state == CRI_FAILING)
		log_warning("%s: %s: events of its containers leave as pending until it answers",
			cri_path(runtime->cri), why);
	else if (runtime->named || runtime->said == CRI_UP)
		log_warning("%s: %s: container ids alone until a runtime answers there", cri_path(runtime->cri), why);
	runtime->said = state;
}

static void on_state(void *context, struct cri *cri, enum cri_state state, const char *why)
{
	struct metadata *metadata = context;
	bool nobody = true;

	for (size_t i = 0; i < metadata->runtime_count; i++) {
		struct runtime *runtime = &metadata->runtimes[i];

		if (runtime->cri == cri)
			say(runtime, state, why);
		nobody &= !runtime->named && runtime->said == CRI_ABSENT;
	}
	if (nobody && !metadata->nobody_said)
		log_info("no container runtime answers on the usual sockets: container ids alone (--cri PATH names "
			 "one)");
	metadata->nobody_said |= nobody;
	if (state == CRI_UP) {
		atomic_store(&metadata->met, true);
		(void)cri_call(cri, CRI_STATUS, NULL, on_status, metadata);
	}
	lookup_runtime_changed(metadata->lookup, cri);
}

static int add_runtime(struct metadata *metadata, const char *path, bool named)
{
	const struct cri_ops ops = {on_state, metadata};
	struct runtime *runtime = &metadata->runtimes[metadata->runtime_count];
	int error;

	if (metadata->runtime_count == LOOKUP_RUNTIMES_MAX)
		return -ENOSPC;
	*runtime = (struct runtime){.named = named, .said = CRI_CONNECTING};
	error = cri_open(metadata->base, path, &ops, &runtime->cri);
	if (error)
		return error;
	metadata->runtime_count++;
	return lookup_add_runtime(metadata->lookup, runtime->cri, named);
}

/* --- the thread ------------------------------------------------------------------------------------------------------- */

static int publish(void *context, struct container_meta *meta)
{
	struct metadata *metadata = context;

	return mailbox_send(metadata->answers, meta);
}

static void on_asked(evutil_socket_t fd, short what, void *context)
{
	struct metadata *metadata = context;
	struct asked *asked;

	(void)fd;
	(void)what;
	while ((asked = mailbox_receive(metadata->asked))) {
		if (asked->exit)
			lookup_ask_exit(metadata->lookup, asked->id);
		else
			lookup_ask(metadata->lookup, asked->id);
		free(asked);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct metadata *metadata = context;
	uint64_t now_ns = clock_boottime_ns();

	(void)fd;
	(void)what;
	lookup_tick(metadata->lookup, now_ns);
	if (now_ns < metadata->list_ns)
		return;
	metadata->list_ns = now_ns + LIST_MS * 1000000ull;
	lookup_list(metadata->lookup);
	watch_bundles(metadata);
}

static void on_settle_poll(evutil_socket_t fd, short what, void *context)
{
	struct metadata *metadata = context;

	(void)fd;
	(void)what;
	if (!lookup_settled(metadata->lookup))
		return;
	atomic_store(&metadata->settled, true);
	event_del(metadata->events[metadata->event_count - 1]);
}

static void on_stop(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(context);
}

static void *run(void *context)
{
	struct metadata *metadata = context;

	(void)event_base_dispatch(metadata->base);
	return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

static int add_event(
	struct metadata *metadata, int fd, short what, unsigned milliseconds, event_callback_fn callback, void *context)
{
	const struct timeval every = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000};
	struct event *event = event_new(metadata->base, fd, (short)(what | EV_PERSIST), callback, context);

	if (!event)
		return -ENOMEM;
	metadata->events[metadata->event_count++] = event;
	return event_add(event, milliseconds ? &every : NULL) < 0 ? -ENOMEM : 0;
}

static int add_events(struct metadata *metadata)
{
	int error = add_event(metadata, mailbox_fd(metadata->asked), EV_READ, 0, on_asked, metadata);

	error = error ? error : add_event(metadata, metadata->stop_fd, EV_READ, 0, on_stop, metadata->base);
	error = error ? error : add_event(metadata, metadata->inotify_fd, EV_READ, 0, on_bundle, metadata);
	error = error ? error : add_event(metadata, -1, 0, TICK_MS, on_tick, metadata);
	/* The last: on_settle_poll takes it out. */
	return error ? error : add_event(metadata, -1, 0, SETTLE_POLL_MS, on_settle_poll, metadata);
}

static const char *root_of(const struct metadata_options *options)
{
	return options->host_root && strcmp(options->host_root, "/") != 0 ? options->host_root : "";
}

static size_t socket_count(const struct metadata_options *options)
{
	return options->socket_count ? options->socket_count : sizeof(usual_sockets) / sizeof(usual_sockets[0]);
}

/*
 * The usual sockets may be one by links; one that was named is used as it was said, for where a link leads may change. One
 * that is too long stays as it was said too: cri_open refuses it.
 */
static void resolve_socket(const struct metadata_options *options, size_t index, char path[PATH_MAX])
{
	const char *root = root_of(options);

	if (options->socket_count)
		snprintf(path, PATH_MAX, "%s", options->sockets[index]);
	else if (rooted_resolve(root, usual_sockets[index], path) < 0)
		snprintf(path, PATH_MAX, "%s%s", root, usual_sockets[index]);
}

bool metadata_socket(const struct metadata_options *options, size_t index, char path[PATH_MAX])
{
	char earlier[PATH_MAX];

	for (size_t i = 0, found = 0; i < socket_count(options); i++) {
		bool again = false;

		resolve_socket(options, i, path);
		for (size_t j = 0; !again && j < i; j++) {
			resolve_socket(options, j, earlier);
			again = strcmp(path, earlier) == 0;
		}
		if (!again && found++ == index)
			return true;
	}
	return false;
}

static int add_sources(struct metadata *metadata, const struct metadata_options *options)
{
	char path[PATH_MAX];
	int error = 0;

	for (size_t i = 0; i < options->state_count; i++)
		add_state(metadata, options->states[i]);
	if (!options->state_count)
		for (size_t i = 0; i < sizeof(usual_states) / sizeof(usual_states[0]); i++)
			add_state(metadata, usual_states[i]);
	for (size_t i = 0; !error && metadata_socket(options, i, path); i++) {
		error = add_runtime(metadata, path, options->socket_count > 0);
		if (error)
			log_error("%s: not usable as the socket of a container runtime: %s", path, strerror(-error));
	}
	return error;
}

/* Keys of annotations that live as long as the thread. */
static int copy_annotations(struct metadata *metadata, const struct metadata_options *options)
{
	const char *const *keys =
		options->annotation_count ? (const char *const *)options->annotations : usual_annotations;
	size_t count = options->annotation_count ? options->annotation_count
						 : sizeof(usual_annotations) / sizeof(usual_annotations[0]);

	metadata->annotations = calloc(count, sizeof(*metadata->annotations));
	if (!metadata->annotations)
		return -ENOMEM;
	for (; metadata->annotation_count < count; metadata->annotation_count++)
		if (!(metadata->annotations[metadata->annotation_count] = strdup(keys[metadata->annotation_count])))
			return -ENOMEM;
	return 0;
}

static int open_lookup(struct metadata *metadata)
{
	const struct lookup_ops ops = {publish, metadata};
	const struct lookup_options options = {
		.root = metadata->host_root,
		.annotations = (const char *const *)metadata->annotations,
		.annotation_count = metadata->annotation_count,
	};

	return lookup_open(&metadata->lookup, metadata->base, &ops, &options);
}

int metadata_open(struct metadata **out, const struct metadata_options *options)
{
	struct metadata *metadata = calloc(1, sizeof(*metadata));
	int error;

	if (!metadata)
		return -ENOMEM;
	metadata->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	metadata->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	error = metadata->stop_fd < 0 || metadata->inotify_fd < 0 ? -errno : 0;
	metadata->base = event_base_new();
	metadata->host_root = strdup(root_of(options));
	if (!error && (!metadata->base || !metadata->host_root))
		error = -ENOMEM;
	error = error ? error : mailbox_open(&metadata->asked, ASKED_MAX);
	error = error ? error : mailbox_open(&metadata->answers, ANSWERS_MAX);
	error = error ? error : copy_annotations(metadata, options);
	error = error ? error : open_lookup(metadata);
	error = error ? error : add_sources(metadata, options);
	error = error ? error : add_events(metadata);
	error = error ? error : -pthread_create(&metadata->thread, NULL, run, metadata);
	if (error) {
		metadata_close(metadata);
		return error;
	}
	metadata->started = true;
	*out = metadata;
	return 0;
}

int metadata_settle(struct metadata *metadata, uint32_t timeout_ms)
{
	const struct timespec pause = {0, SETTLE_POLL_MS * 1000000L};
	uint64_t deadline_ns = clock_boottime_ns() + timeout_ms * 1000000ull;

	while (!atomic_load(&metadata->settled)) {
		if (clock_boottime_ns() >= deadline_ns)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static int ask(struct metadata *metadata, const uint8_t id[EVENT_CONTAINER_ID_SIZE], bool exit)
{
	struct asked *asked = malloc(sizeof(*asked));
	int error;

	if (!asked)
		return -EAGAIN;
	memcpy(asked->id, id, sizeof(asked->id));
	asked->exit = exit;
	error = mailbox_send(metadata->asked, asked);
	if (error)
		free(asked);
	return error;
}

int metadata_ask(struct metadata *metadata, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	return ask(metadata, id, false);
}

int metadata_ask_exit(struct metadata *metadata, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	return atomic_load(&metadata->met) ? ask(metadata, id, true) : -ENOENT;
}

int metadata_fd(const struct metadata *metadata)
{
	return mailbox_fd(metadata->answers);
}

void metadata_answers(
	struct metadata *metadata, void (*answer)(void *context, struct container_meta *meta), void *context)
{
	struct container_meta *meta;

	while ((meta = mailbox_receive(metadata->answers)))
		answer(context, meta);
}

/* Frees what nobody received. */
static void empty(struct metadata *metadata)
{
	struct container_meta *meta;
	struct asked *asked;

	while (metadata->asked && (asked = mailbox_receive(metadata->asked)))
		free(asked);
	while (metadata->answers && (meta = mailbox_receive(metadata->answers)))
		container_meta_release(meta);
	mailbox_close(metadata->asked);
	mailbox_close(metadata->answers);
}

void metadata_close(struct metadata *metadata)
{
	uint64_t one = 1;

	if (!metadata)
		return;
	if (metadata->started) {
		(void)!write(metadata->stop_fd, &one, sizeof(one));
		pthread_join(metadata->thread, NULL);
	}
	lookup_stop(metadata->lookup);
	for (size_t i = 0; i < metadata->runtime_count; i++)
		cri_close(metadata->runtimes[i].cri);
	lookup_close(metadata->lookup);
	for (size_t i = 0; i < metadata->event_count; i++)
		event_free(metadata->events[i]);
	empty(metadata);
	for (size_t i = 0; i < metadata->watched_count; i++)
		free(metadata->watched[i].bundles);
	if (metadata->base)
		event_base_free(metadata->base);
	if (metadata->stop_fd >= 0)
		close(metadata->stop_fd);
	if (metadata->inotify_fd >= 0)
		close(metadata->inotify_fd);
	for (size_t i = 0; i < metadata->annotation_count; i++)
		free(metadata->annotations[i]);
	free(metadata->annotations);
	free(metadata->host_root);
	free(metadata);
}
