/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "sensor/recording_format.h"

enum {
	HAND_OVER = 256 << 10, /* frames for one write */
	FULL = 8 << 20,        /* frames that wait for the disk */
	PATIENCE_S = 1,        /* so long the event thread waits for it … */
	LAST_PATIENCE_S = 10,  /* … and so long at the end */
};

struct recording {
	char *path;
	pthread_t thread;

	/* The event thread's. */
	struct buffer frames; /* not handed over yet */
	bool ended;           /* nothing is recorded any more */
	unsigned int cpus;
	uint64_t *counters; /* as of the last tick that had any: RECORDING_WORDS a CPU */

	/* Both threads', under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct buffer writing; /* the writer's while it is not empty */
	bool ending;
	int error;

	int fd; /* the writer's */
};

/* --- the writer's thread --------------------------------------------------------------------------------------------- */

static int write_all(int fd, const struct buffer *bytes)
{
	for (size_t done = 0; done < bytes->length;) {
		ssize_t written = write(fd, bytes->data + done, bytes->length - done);

		if (written < 0 && errno != EINTR)
			return -errno;
		done += written > 0 ? (size_t)written : 0;
	}
	return 0;
}

static void *run(void *context)
{
	struct recording *recording = context;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_mutex_lock(&recording->lock);
	for (;;) {
		int error;

		while (recording->writing.length == 0 && !recording->ending)
			pthread_cond_wait(&recording->changed, &recording->lock);
		if (recording->writing.length == 0)
			break;
		pthread_mutex_unlock(&recording->lock);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL); /* a disk that hangs must not keep the sensor */
		error = write_all(recording->fd, &recording->writing);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		pthread_mutex_lock(&recording->lock);
		buffer_clear(&recording->writing);
		if (error)
			recording->error = error;
		pthread_cond_broadcast(&recording->changed);
	}
	pthread_mutex_unlock(&recording->lock);
	return NULL;
}

/* --- the event thread's side ----------------------------------------------------------------------------------------- */

static void stop(struct recording *recording, const char *why)
{
	log_error("%s: %s: the recording ends here, the sensor goes on", recording->path, why);
	recording->ended = true;
	buffer_free(&recording->frames);
}

/* Until the writer has nothing to do. False if the time is over first. Under the lock. */
static bool wait_for_disk(struct recording *recording, time_t seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	while (recording->writing.length > 0)
		if (pthread_cond_timedwait(&recording->changed, &recording->lock, &until) == ETIMEDOUT)
			return recording->writing.length == 0;
	return true;
}

/* Gives the frames to the writer if it has nothing to do; waits for it if they are too many. */
static void hand_over(struct recording *recording)
{
	bool slow = false;
	int error;

	pthread_mutex_lock(&recording->lock);
	if (recording->frames.length >= FULL)
		slow = !wait_for_disk(recording, PATIENCE_S);
	error = recording->error;
	if (!error && recording->writing.length == 0) {
		struct buffer empty = recording->writing;

		recording->writing = recording->frames;
		recording->frames = empty;
		pthread_cond_broadcast(&recording->changed);
	}
	pthread_mutex_unlock(&recording->lock);
	if (error)
		stop(recording, strerror(-error));
	else if (slow)
		stop(recording, "the disk is too slow");
}

static void put_head(struct recording *recording, uint64_t now_ns, enum recording_type type, const void *head,
	size_t head_size, size_t size)
{
	const struct recording_frame_head frame = {(uint32_t)size, (uint16_t)type, 0, now_ns};

	/* In one piece, or not at all. */
	if (!buffer_reserve(&recording->frames, sizeof(frame) + size + RECORDING_ALIGN))
		return;
	buffer_append(&recording->frames, &frame, sizeof(frame));
	buffer_append(&recording->frames, head, head_size);
}

static void put_text(struct recording *recording, struct text text)
{
	uint32_t length = (uint32_t)text.length;

	buffer_append(&recording->frames, &length, sizeof(length));
	buffer_append(&recording->frames, text.data, text.length);
}

static size_t text_size(struct text text)
{
	return sizeof(uint32_t) + text.length;
}

static void put_end(struct recording *recording, size_t size)
{
	buffer_append(&recording->frames, "\0\0\0\0\0\0\0", recording_padding(size));
	if (recording->frames.failed)
		stop(recording, "out of memory");
	else if (recording->frames.length >= HAND_OVER)
		hand_over(recording);
}

/* A frame of one struct, or none. */
static void put_frame(
	struct recording *recording, uint64_t now_ns, enum recording_type type, const void *content, size_t size)
{
	if (!recording || recording->ended)
		return;
	put_head(recording, now_ns, type, content, size, size);
	put_end(recording, size);
}

void recording_host(struct recording *recording, uint64_t now_ns, const struct recording_host *host)
{
	const struct event_host *view = host->host;
	const struct text texts[] = {view->id, view->name, view->boot_id, view->cluster};
	struct recording_host_head head = {.cpus = host->cpus,
		.lanes = host->lanes,
		.boot_unix_ns = host->boot_unix_ns,
		.opens_window_ns = host->opens_window_ns,
		.calls = host->calls};
	size_t size = sizeof(head);

	if (!recording || recording->ended)
		return;
	recording->cpus = host->cpus * host->lanes;
	recording->counters = calloc((size_t)recording->cpus * RECORDING_WORDS, sizeof(*recording->counters));
	if (!recording->counters) {
		stop(recording, "out of memory");
		return;
	}
	memcpy(head.epoch, view->epoch, sizeof(head.epoch));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		size += text_size(texts[i]);
	put_head(recording, now_ns, RECORDING_HOST, &head, sizeof(head), size);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		put_text(recording, texts[i]);
	put_end(recording, size);
}

void recording_process(
	struct recording *recording, uint64_t now_ns, const struct kernel_header *record, struct text args)
{
	const struct recording_process_head head = {record->size, (uint32_t)args.length};
	size_t size = sizeof(head) + record->size + args.length;

	if (!recording || recording->ended)
		return;
	put_head(recording, now_ns, RECORDING_PROCESS, &head, sizeof(head), size);
	buffer_append(&recording->frames, record, record->size);
	buffer_append(&recording->frames, args.data, args.length);
	put_end(recording, size);
}

void recording_record(struct recording *recording, uint64_t now_ns, const struct kernel_header *record)
{
	put_frame(recording, now_ns, RECORDING_RECORD, record, record->size);
}

static size_t labels_size(const struct event_label *labels, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += text_size(labels[i].key) + text_size(labels[i].value);
	return size;
}

static void put_labels(struct recording *recording, const struct event_label *labels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		put_text(recording, labels[i].key);
		put_text(recording, labels[i].value);
	}
}

/* Fills the head's part of the spec, and returns the size of what follows. */
static size_t spec_head(struct recording_container_head *head, const struct event_spec *spec)
{
	size_t size = text_size(spec->args);

	head->has_spec = true;
	head->privileged = spec->privileged;
	head->read_only_root = spec->read_only_root;
	head->mount_count = (uint16_t)(spec->mount_count < EVENT_MOUNTS_MAX ? spec->mount_count : EVENT_MOUNTS_MAX);
	head->mounts_cut = spec->mounts_cut || head->mount_count < spec->mount_count;
	head->uid = spec->uid;
	head->gid = spec->gid;
	head->host_namespaces = spec->host_namespaces;
	head->capabilities = spec->capabilities;
	for (size_t i = 0; i < head->mount_count; i++)
		size += text_size(spec->mounts[i].source) + text_size(spec->mounts[i].destination) +
			text_size(spec->mounts[i].type) + text_size(spec->mounts[i].options);
	return size;
}

static void put_spec(struct recording *recording, const struct event_spec *spec, size_t mounts)
{
	put_text(recording, spec->args);
	for (size_t i = 0; i < mounts; i++) {
		put_text(recording, spec->mounts[i].source);
		put_text(recording, spec->mounts[i].destination);
		put_text(recording, spec->mounts[i].type);
		put_text(recording, spec->mounts[i].options);
	}
}

void recording_container(
	struct recording *recording, uint64_t now_ns, const struct event_container *view, unsigned int standing)
{
	struct recording_container_head head = {
		.attempt = view->attempt,
		.ip_count = (uint32_t)view->pod_ip_count,
		.label_count = (uint32_t)view->label_count,
		.annotation_count = (uint32_t)view->annotation_count,
		.exit_code = view->exit_code,
		.sandbox = view->sandbox,
		.standing = (uint8_t)standing,
		.qos = (uint8_t)view->qos,
		.source = (uint8_t)view->source,
		.exited = view->exited,
	};
	struct event_container copy = *view;
	size_t size = sizeof(head);

	if (!recording || recording->ended)
		return;
	memcpy(head.id, view->id, sizeof(head.id));
	for (size_t i = 0; i < RECORDING_TEXTS; i++)
		size += text_size(*recording_text(&copy, i));
	for (size_t i = 0; i < view->pod_ip_count; i++)
		size += text_size(view->pod_ips[i]);
	size += labels_size(view->labels, view->label_count) + labels_size(view->annotations, view->annotation_count);
	size += view->spec ? spec_head(&head, view->spec) : 0;
	if (size > RECORDING_FRAME_MAX) {
		stop(recording, "a container has more names than a recording holds");
		return;
	}
	put_head(recording, now_ns, RECORDING_CONTAINER, &head, sizeof(head), size);
	for (size_t i = 0; i < RECORDING_TEXTS; i++)
		put_text(recording, *recording_text(&copy, i));
	for (size_t i = 0; i < view->pod_ip_count; i++)
		put_text(recording, view->pod_ips[i]);
	put_labels(recording, view->labels, view->label_count);
	put_labels(recording, view->annotations, view->annotation_count);
	if (view->spec)
		put_spec(recording, view->spec, head.mount_count);
	put_end(recording, size);
}

/* Appends what has changed, and returns how much that was. */
static uint32_t put_changes(struct recording *recording, const struct kernel_counters *counters)
{
	uint32_t changes = 0;

	for (uint32_t cpu = 0; cpu < recording->cpus; cpu++) {
		uint64_t now[RECORDING_WORDS], *before = recording->counters + (size_t)cpu * RECORDING_WORDS;

		memcpy(now, &counters[cpu], sizeof(now));
		for (uint32_t word = 0; word < RECORDING_WORDS; word++) {
			const struct recording_change change = {cpu, word, now[word]};

			if (now[word] == before[word])
				continue;
			buffer_append(&recording->frames, &change, sizeof(change));
			before[word] = now[word];
			changes++;
		}
	}
	return changes;
}

void recording_tick(struct recording *recording, uint64_t now_ns, const struct recording_tick *tick)
{
	struct recording_tick_head head = {
		.boot_unix_ns = tick->boot_unix_ns,
		.bulk_ns = tick->bulk_ns,
		.final = tick->final,
		.has_counters = tick->counters != NULL,
	};
	struct recording_frame_head frame = {.type = RECORDING_TICK, .now_ns = now_ns};
	size_t start;

	if (!recording || recording->ended)
		return;
	start = recording->frames.length;
	buffer_append(&recording->frames, &frame, sizeof(frame));
	buffer_append(&recording->frames, &head, sizeof(head));
	if (tick->counters)
		head.changes = put_changes(recording, tick->counters);
	if (!recording->frames.failed) { /* now that it is known */
		frame.size = (uint32_t)(sizeof(head) + head.changes * sizeof(struct recording_change));
		memcpy(recording->frames.data + start, &frame, sizeof(frame));
		memcpy(recording->frames.data + start + sizeof(frame), &head, sizeof(head));
	}
	put_end(recording, 0);
	if (!recording->ended && recording->frames.length > 0)
		hand_over(recording);
}

void recording_expire(struct recording *recording, uint64_t now_ns)
{
	put_frame(recording, now_ns, RECORDING_EXPIRE, NULL, 0);
}

void recording_repeat(struct recording *recording, uint64_t now_ns, const struct recording_repeat *repeat)
{
	put_frame(recording, now_ns, RECORDING_REPEAT, repeat, sizeof(*repeat));
}

void recording_settle(struct recording *recording, uint64_t now_ns, uint64_t read_ns)
{
	put_frame(recording, now_ns, RECORDING_SETTLE, &read_ns, sizeof(read_ns));
}

void recording_filtered(struct recording *recording, uint64_t now_ns, const uint64_t counts[KERNEL_KINDS_END])
{
	put_frame(recording, now_ns, RECORDING_FILTERED, counts, KERNEL_KINDS_END * sizeof(*counts));
}

void recording_own(struct recording *recording, uint64_t now_ns, struct text batch)
{
	put_frame(recording, now_ns, RECORDING_OWN, batch.data, batch.length);
}

void recording_former(struct recording *recording, uint64_t now_ns, struct text batch)
{
	put_frame(recording, now_ns, RECORDING_FORMER, batch.data, batch.length);
}

void recording_end(struct recording *recording, uint64_t now_ns)
{
	put_frame(recording, now_ns, RECORDING_END, NULL, 0);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static int open_file(struct recording *recording, const char *path)
{
	const struct recording_file_head head = {RECORDING_MAGIC, RECORDING_VERSION, 0};
	pthread_condattr_t monotonic;

	recording->path = strdup(path);
	if (!recording->path)
		return -ENOMEM;
	/* Arguments of programs are nobody else's business. */
	recording->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (recording->fd < 0)
		return -errno;
	buffer_append(&recording->frames, &head, sizeof(head));
	pthread_mutex_init(&recording->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&recording->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return recording->frames.failed ? -ENOMEM : -pthread_create(&recording->thread, NULL, run, recording);
}

static void free_recording(struct recording *recording)
{
	if (recording->fd >= 0)
		close(recording->fd);
	buffer_free(&recording->frames);
	buffer_free(&recording->writing);
	free(recording->counters);
	free(recording->path);
	free(recording);
}

int recording_create(struct recording **out, const char *path)
{
	struct recording *recording = calloc(1, sizeof(*recording));
	int error;

	if (!recording)
		return -ENOMEM;
	recording->fd = -1;
	error = open_file(recording, path);
	if (error) {
		free_recording(recording);
		return error;
	}
	*out = recording;
	return 0;
}

/* The rest; false if the disk did not take it in time. */
static bool write_rest(struct recording *recording)
{
	bool done = true;

	for (int i = 0; i < 2 && done && !recording->ended; i++) { /* what is being written, then what is left */
		pthread_mutex_lock(&recording->lock);
		done = wait_for_disk(recording, LAST_PATIENCE_S);
		pthread_mutex_unlock(&recording->lock);
		if (done)
			hand_over(recording);
	}
	return done;
}

void recording_close(struct recording *recording)
{
	if (!recording)
		return;
	if (!write_rest(recording))
		stop(recording, "the disk is too slow");
	pthread_mutex_lock(&recording->lock);
	recording->ending = true;
	pthread_cond_broadcast(&recording->changed);
	pthread_mutex_unlock(&recording->lock);
	if (recording->ended)
		pthread_cancel(recording->thread);
	pthread_join(recording->thread, NULL);
	pthread_mutex_destroy(&recording->lock);
	pthread_cond_destroy(&recording->changed);
	free_recording(recording);
}
