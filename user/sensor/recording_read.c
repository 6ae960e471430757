/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sensor/recording_format.h"

enum { READ_BYTES = 256 << 10 };

struct recording_reader {
	int fd;
	char *bytes; /* what was read and not given out yet starts at `at`; both are multiples of 8 */
	size_t room, at, length;
	bool over;
	uint64_t offset; /* of bytes[at] in the file */
	struct event_host host;
	unsigned int cpus;
	struct kernel_counters *counters; /* one per CPU and lane, as of the last tick that had any */
	struct event_label *labels;
	struct text *ips;
	size_t label_room, ip_room;
	struct event_spec spec;
	struct event_mount mounts[EVENT_MOUNTS_MAX];
};

/* --- bytes ----------------------------------------------------------------------------------------------------------- */

/* Has `wanted` bytes at `at`, or all that the file still has. 0 or -errno. */
static int fill(struct recording_reader *reader, size_t wanted)
{
	if (reader->length - reader->at >= wanted || reader->over)
		return 0;
	memmove(reader->bytes, reader->bytes + reader->at, reader->length - reader->at);
	reader->length -= reader->at;
	reader->at = 0;
	if (wanted > reader->room) {
		char *bytes = realloc(reader->bytes, wanted);

		if (!bytes)
			return -ENOMEM;
		reader->bytes = bytes;
		reader->room = wanted;
	}
	while (reader->length < wanted) {
		ssize_t got = read(reader->fd, reader->bytes + reader->length, reader->room - reader->length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0) {
			reader->over = true;
			break;
		}
		reader->length += (size_t)got;
	}
	return 0;
}

/* What is left of a frame's content. */
struct content {
	const char *at;
	size_t left;
};

/* The next `size` bytes, or NULL where there are fewer. */
static const void *take(struct content *content, size_t size)
{
	const char *at = content->at;

	if (size > content->left)
		return NULL;
	content->at += size;
	content->left -= size;
	return at;
}

static bool take_text(struct content *content, struct text *text)
{
	const void *at = take(content, sizeof(uint32_t));
	uint32_t length;

	if (!at)
		return false;
	memcpy(&length, at, sizeof(length));
	*text = (struct text){take(content, length), length};
	return text->data != NULL;
}

/* --- contents -------------------------------------------------------------------------------------------------------- */

/* All return NULL, or a literal that says what is wrong. */

static const char *read_host(struct recording_reader *reader, struct content content, struct recording_frame *frame)
{
	const struct recording_host_head *head = take(&content, sizeof(*head));
	struct event_host *host = &reader->host;

	if (!head || !take_text(&content, &host->id) || !take_text(&content, &host->name) ||
		!take_text(&content, &host->boot_id) || !take_text(&content, &host->cluster) || content.left > 0)
		return "a host of another length";
	if (head->cpus == 0 || head->cpus > RECORDING_CPUS_MAX || head->lanes == 0 || head->lanes > KERNEL_LANES)
		return "a host of so many CPUs";
	memcpy(host->epoch, head->epoch, sizeof(host->epoch));
	reader->counters = calloc((size_t)head->cpus * head->lanes, sizeof(*reader->counters));
	if (!reader->counters)
		return "out of memory";
	reader->cpus = head->cpus * head->lanes;
	frame->host = (struct recording_host){
		host, head->cpus, head->lanes, head->boot_unix_ns, head->opens_window_ns, head->calls};
	return NULL;
}

static const char *read_process(struct content content, struct recording_frame *frame)
{
	const struct recording_process_head *head = take(&content, sizeof(*head));

	if (!head || (uint64_t)head->record_size + head->args_size != content.left)
		return "a process of another length";
	frame->record.size = head->record_size;
	frame->record.bytes = take(&content, head->record_size);
	frame->record.args = (struct text){content.at, content.left};
	return NULL;
}

/* `items` with room for `count` of them; NULL without memory, and they stay as they were. */
static void *grow(void *items, size_t *room, size_t count, size_t size)
{
	void *more;

	if (items && count <= *room)
		return items;
	more = realloc(items, (count ? count : 1) * size);
	if (more)
		*room = count;
	return more;
}

/* Are the numbers such as a sensor writes? Each address has a length of its own at least, each label and annotation two. */
static bool container_fits(const struct recording_container_head *head, size_t left)
{
	return head->standing <= 3 && head->qos <= EVENT_BEST_EFFORT && head->source <= EVENT_SOURCE_STATE &&
	       head->ip_count <= left / sizeof(uint32_t) &&
	       (uint64_t)head->label_count + head->annotation_count <= left / (2 * sizeof(uint32_t)) &&
	       head->mount_count <= EVENT_MOUNTS_MAX && (head->has_spec || head->mount_count == 0);
}

static bool take_labels(struct content *content, struct event_label *labels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!take_text(content, &labels[i].key) || !take_text(content, &labels[i].value))
			return false;
	return true;
}

static bool take_spec(
	struct recording_reader *reader, struct content *content, const struct recording_container_head *head)
{
	reader->spec = (struct event_spec){
		.uid = head->uid,
		.gid = head->gid,
		.privileged = head->privileged,
		.read_only_root = head->read_only_root,
		.capabilities = head->capabilities,
		.host_namespaces = head->host_namespaces,
		.mounts = reader->mounts,
		.mount_count = head->mount_count,
		.mounts_cut = head->mounts_cut,
	};
	if (!take_text(content, &reader->spec.args))
		return false;
	for (size_t i = 0; i < head->mount_count; i++) {
		struct event_mount *mount = &reader->mounts[i];

		if (!take_text(content, &mount->source) || !take_text(content, &mount->destination) ||
			!take_text(content, &mount->type) || !take_text(content, &mount->options))
			return false;
	}
	return true;
}

/* Room for a container's lists. False without memory. */
static bool make_room(struct recording_reader *reader, const struct recording_container_head *head)
{
	size_t labels_count = (size_t)head->label_count + head->annotation_count;
	struct text *ips = grow(reader->ips, &reader->ip_room, head->ip_count, sizeof(*ips));

	reader->ips = ips ? ips : reader->ips;

	struct event_label *labels = grow(reader->labels, &reader->label_room, labels_count, sizeof(*labels));

	reader->labels = labels ? labels : reader->labels;
	return ips && labels;
}

static const char *read_container(
	struct recording_reader *reader, struct content content, struct recording_frame *frame)
{
	const struct recording_container_head *head = take(&content, sizeof(*head));
	struct event_container *view = &frame->container.view;
	bool whole = true;

	if (!head || !container_fits(head, content.left))
		return "a container that is none";
	if (!make_room(reader, head))
		return "out of memory";
	*view = (struct event_container){
		.attempt = head->attempt,
		.sandbox = head->sandbox,
		.qos = (enum event_qos)head->qos,
		.source = (enum event_source)head->source,
		.exited = head->exited,
		.exit_code = head->exit_code,
		.pod_ips = reader->ips,
		.pod_ip_count = head->ip_count,
		.labels = reader->labels,
		.label_count = head->label_count,
		.annotations = reader->labels + head->label_count,
		.annotation_count = head->annotation_count,
		.spec = head->has_spec ? &reader->spec : NULL,
	};
	memcpy(view->id, head->id, sizeof(view->id));
	frame->container.standing = head->standing;
	for (size_t i = 0; i < RECORDING_TEXTS && whole; i++)
		whole = take_text(&content, recording_text(view, i));
	for (size_t i = 0; i < head->ip_count && whole; i++)
		whole = take_text(&content, &reader->ips[i]);
	whole = whole && take_labels(&content, reader->labels, (size_t)head->label_count + head->annotation_count) &&
		(!head->has_spec || take_spec(reader, &content, head));
	return whole && content.left == 0 ? NULL : "a container of another length";
}

static const char *read_tick(struct recording_reader *reader, struct content content, struct recording_frame *frame)
{
	const struct recording_tick_head *head = take(&content, sizeof(*head));
	const struct recording_change *changes = (const void *)content.at;

	if (!head || head->changes != content.left / sizeof(*changes) || content.left % sizeof(*changes) != 0)
		return "a tick of another length";
	for (uint32_t i = 0; i < head->changes; i++) {
		if (changes[i].cpu >= reader->cpus || changes[i].word >= RECORDING_WORDS)
			return "a counter that there is not";
		memcpy((char *)&reader->counters[changes[i].cpu] + changes[i].word * sizeof(uint64_t),
			&changes[i].value, sizeof(uint64_t));
	}
	frame->tick = (struct recording_tick){
		head->boot_unix_ns, head->bulk_ns, head->final, head->has_counters ? reader->counters : NULL};
	return NULL;
}

static const char *read_content(struct recording_reader *reader, struct content content, struct recording_frame *frame)
{
	switch (frame->type) {
	case RECORDING_HOST: return reader->cpus ? "a second host" : read_host(reader, content, frame);
	case RECORDING_PROCESS: return read_process(content, frame);
	case RECORDING_RECORD:
	case RECORDING_OWN:
	case RECORDING_FORMER:
		frame->record.size = content.left;
		frame->record.bytes = content.at;
		return NULL;
	case RECORDING_CONTAINER: return read_container(reader, content, frame);
	case RECORDING_TICK: return read_tick(reader, content, frame);
	case RECORDING_REPEAT:
		if (content.left != sizeof(frame->repeat))
			return "a repeat of another length";
		memcpy(&frame->repeat, content.at, sizeof(frame->repeat));
		return NULL;
	case RECORDING_SETTLE:
		if (content.left != sizeof(frame->read_ns))
			return "an end of another length";
		memcpy(&frame->read_ns, content.at, sizeof(frame->read_ns));
		return NULL;
	case RECORDING_FILTERED: /* from a build that knew fewer kinds, maybe */
		if (content.left > sizeof(frame->left_out) || content.left % sizeof(frame->left_out[0]) != 0)
			return "what was left out is of another length";
		memcpy(frame->left_out, content.at, content.left);
		return NULL;
	case RECORDING_TYPES_END: break;
	case RECORDING_EXPIRE:
	case RECORDING_END: return content.left ? "a frame that is longer than its type allows" : NULL;
	}
	return "a frame of no known type";
}

enum recording_result recording_next(struct recording_reader *reader, struct recording_frame *frame, const char **why)
{
	struct recording_frame_head head;
	size_t size;

	memset(frame, 0, sizeof(*frame));
	frame->offset = reader->offset;
	*why = "cannot be read";
	if (fill(reader, sizeof(head)) < 0)
		return RECORDING_CORRUPT;
	if (reader->length - reader->at < sizeof(head))
		return RECORDING_TORN;
	memcpy(&head, reader->bytes + reader->at, sizeof(head));
	*why = "a frame of no known type";
	if (head.type < RECORDING_HOST || head.type >= RECORDING_TYPES_END || head.zero != 0)
		return RECORDING_CORRUPT;
	*why = "a frame that is longer than any";
	if (head.size > RECORDING_FRAME_MAX)
		return RECORDING_CORRUPT;
	size = sizeof(head) + head.size + recording_padding(head.size);
	*why = "cannot be read";
	if (fill(reader, size) < 0)
		return RECORDING_CORRUPT;
	if (reader->length - reader->at < size)
		return RECORDING_TORN;
	frame->type = (enum recording_type)head.type;
	frame->now_ns = head.now_ns;
	*why = read_content(reader, (struct content){reader->bytes + reader->at + sizeof(head), head.size}, frame);
	if (*why)
		return RECORDING_CORRUPT;
	reader->at += size;
	reader->offset += size;
	return frame->type == RECORDING_END ? RECORDING_WHOLE : RECORDING_FRAME;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static int read_file_head(struct recording_reader *reader, struct recording_frame *host, const char **why)
{
	struct recording_file_head head;
	int error = fill(reader, sizeof(head));

	if (error)
		return error;
	if (reader->length < sizeof(head)) {
		*why = "no recording: too short for one";
		return -EBADMSG;
	}
	memcpy(&head, reader->bytes, sizeof(head));
	if (memcmp(head.magic, RECORDING_MAGIC, sizeof(head.magic)) != 0) {
		*why = "no recording: it starts otherwise";
		return -EBADMSG;
	}
	if (head.version != RECORDING_VERSION) {
		*why = "a recording of another version, or of a machine of another byte order";
		return -EBADMSG;
	}
	reader->at = sizeof(head);
	reader->offset = sizeof(head);
	switch (recording_next(reader, host, why)) {
	case RECORDING_CORRUPT: return -EBADMSG;
	case RECORDING_FRAME:
		if (host->type == RECORDING_HOST)
			return 0;
		break;
	default: break;
	}
	*why = "a recording that does not say of which machine it is";
	return -EBADMSG;
}

int recording_open(struct recording_reader **out, const char *path, struct recording_frame *host, const char **why)
{
	struct recording_reader *reader = calloc(1, sizeof(*reader));
	int error = 0;

	if (!reader)
		return -ENOMEM;
	reader->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (reader->fd < 0)
		error = -errno;
	reader->room = READ_BYTES;
	reader->bytes = malloc(reader->room);
	if (!error && !reader->bytes)
		error = -ENOMEM;
	error = error ? error : read_file_head(reader, host, why);
	if (error) {
		recording_reader_close(reader);
		return error;
	}
	*out = reader;
	return 0;
}

void recording_reader_close(struct recording_reader *reader)
{
	if (!reader)
		return;
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader->bytes);
	free(reader->counters);
	free(reader->labels);
	free(reader->ips);
	free(reader);
}
