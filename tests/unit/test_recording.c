/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "sensor/recording.h"
#include "sensor/recording_format.h"
#include "test_capture.h"

static char path[64];

static const struct event_host machine = {
	.id = TEXT_STATIC("machine"),
	.name = TEXT_STATIC("node"),
	.boot_id = TEXT_STATIC("0f6c2f0e"),
	.cluster = TEXT_STATIC("c"),
	.epoch = "0123456789abcde",
};

static void name_file(void)
{
	snprintf(path, sizeof(path), "/tmp/taffrail-test-recording-XXXXXX");
	close(mkstemp(path));
}

static void remove_file(void)
{
	unlink(path);
}

TestSuite(recording, .init = name_file, .fini = remove_file);

static struct recording *begin(unsigned int cpus)
{
	const struct recording_host host = {.host = &machine, .cpus = cpus, .lanes = 1, .boot_unix_ns = 1700};
	struct recording *recording;

	cr_assert_eq(recording_create(&recording, path), 0);
	recording_host(recording, 1, &host);
	return recording;
}

static struct recording_reader *reread(void)
{
	struct recording_reader *reader;
	struct recording_frame frame;
	const char *why = NULL;

	cr_assert_eq(recording_open(&reader, path, &frame, &why), 0, "%s", why);
	cr_assert_eq(frame.type, RECORDING_HOST);
	cr_assert(text_equal(frame.host.host->id, machine.id) && text_equal(frame.host.host->name, machine.name) &&
		  text_equal(frame.host.host->boot_id, machine.boot_id) &&
		  text_equal(frame.host.host->cluster, machine.cluster));
	cr_assert_arr_eq(frame.host.host->epoch, machine.epoch, sizeof(machine.epoch));
	cr_assert_eq(frame.host.boot_unix_ns, 1700);
	return reader;
}

/* The next frame, which is one of that type and time. */
static struct recording_frame next(struct recording_reader *reader, enum recording_type type, uint64_t now_ns)
{
	struct recording_frame frame;
	const char *why = NULL;
	enum recording_result result = recording_next(reader, &frame, &why);

	cr_assert_eq(result, type == RECORDING_END ? RECORDING_WHOLE : RECORDING_FRAME, "%d, %s", result, why);
	cr_assert_eq(frame.type, type);
	cr_assert_eq(frame.now_ns, now_ns);
	return frame;
}

Test(recording, records_and_processes_come_back_aligned)
{
	struct recording *recording = begin(2);
	struct {
		struct kernel_header header;
		char text[5];
	} record = {.header = {.kind = KERNEL_EXIT, .size = sizeof(record.header) + 5}, .text = "hello"};

	recording_record(recording, 2, &record.header);
	recording_process(recording, 3, &record.header, TEXT_LITERAL("a\0b"));
	recording_record(recording, 4, &record.header);
	recording_end(recording, 5);
	recording_close(recording);

	struct recording_reader *reader = reread();
	const enum recording_type types[] = {RECORDING_RECORD, RECORDING_PROCESS, RECORDING_RECORD};

	for (size_t i = 0; i < 3; i++) {
		struct recording_frame frame = next(reader, types[i], 2 + i);

		cr_assert_eq((uintptr_t)frame.record.bytes % 8, 0);
		cr_assert_eq(frame.record.size, record.header.size);
		cr_assert_arr_eq(frame.record.bytes, &record, record.header.size);
		cr_assert(text_equal(
			frame.record.args, types[i] == RECORDING_PROCESS ? TEXT_LITERAL("a\0b") : (struct text){0}));
	}
	next(reader, RECORDING_END, 5);
	recording_reader_close(reader);
}

static const struct event_mount mounts[] = {
	{TEXT_STATIC("/host\xff"), TEXT_STATIC("/h"), TEXT_STATIC("bind"), TEXT_STATIC("rbind,ro")},
	{.destination = TEXT_STATIC("/proc")},
};
static const struct event_spec spec = {.args = TEXT_STATIC("sh\0-c"),
	.uid = 1000,
	.gid = UINT32_MAX,
	.privileged = true,
	.read_only_root = true,
	.capabilities = 1ull << 63,
	.host_namespaces = EVENT_NAMESPACE_PID | EVENT_NAMESPACE_MOUNT,
	.mounts = mounts,
	.mount_count = 2,
	.mounts_cut = true};

static void expect_spec(const struct event_spec *back)
{
	cr_assert_not_null(back);
	cr_assert(text_equal(back->args, spec.args) && back->uid == 1000 && back->gid == UINT32_MAX);
	cr_assert(back->privileged && back->read_only_root && back->mounts_cut && back->capabilities == 1ull << 63);
	cr_assert_eq(back->host_namespaces, spec.host_namespaces);
	cr_assert_eq(back->mount_count, 2);
	for (size_t i = 0; i < 2; i++)
		cr_assert(text_equal(back->mounts[i].source, mounts[i].source) &&
			  text_equal(back->mounts[i].destination, mounts[i].destination) &&
			  text_equal(back->mounts[i].type, mounts[i].type) &&
			  text_equal(back->mounts[i].options, mounts[i].options));
}

Test(recording, a_container_comes_back_with_all_it_has)
{
	const struct text ips[] = {TEXT_LITERAL("10.0.0.1"), TEXT_LITERAL("fd00::1")};
	const struct event_label labels[] = {{TEXT_LITERAL("app"), TEXT_LITERAL("web")}, {TEXT_LITERAL("x"), {0}}};
	const struct event_label annotations[] = {{TEXT_LITERAL("owner"), TEXT_LITERAL("team-a")}};
	const struct event_container view = {
		.id = {1, 2, 3},
		.name = TEXT_LITERAL("main"),
		.image_name = TEXT_LITERAL("example.test/web"),
		.image_tag = TEXT_LITERAL("1.4"),
		.image_digest = TEXT_LITERAL("sha256:0"),
		.pod_name = TEXT_LITERAL("web-1"),
		.pod_namespace = TEXT_LITERAL("shop"),
		.pod_uid = TEXT_LITERAL("uid"),
		.sandbox_id = TEXT_LITERAL("box"),
		.pod_ips = ips,
		.pod_ip_count = 2,
		.labels = labels,
		.label_count = 2,
		.annotations = annotations,
		.annotation_count = 1,
		.runtime = TEXT_LITERAL("cri-o"),
		.workload_kind = TEXT_LITERAL("deployment"),
		.workload_name = TEXT_LITERAL("web"),
		.attempt = 7,
		.qos = EVENT_BEST_EFFORT,
		.source = EVENT_SOURCE_STATE,
		.sandbox = true,
		.spec = &spec,
		.exited = true,
		.exit_code = -1,
		.exit_reason = TEXT_LITERAL("Error"),
	};
	struct recording *recording = begin(1);

	recording_container(recording, 2, &view, 3);
	recording_container(recording, 3, &(struct event_container){0}, 0);
	recording_close(recording);

	struct recording_reader *reader = reread();
	struct recording_frame frame = next(reader, RECORDING_CONTAINER, 2);
	const struct event_container *back = &frame.container.view;

	cr_assert_eq(frame.container.standing, 3);
	cr_assert_arr_eq(back->id, view.id, sizeof(view.id));
	cr_assert(text_equal(back->name, view.name) && text_equal(back->image_name, view.image_name) &&
		  text_equal(back->image_tag, view.image_tag) && text_equal(back->image_digest, view.image_digest));
	cr_assert(text_equal(back->pod_name, view.pod_name) && text_equal(back->pod_namespace, view.pod_namespace) &&
		  text_equal(back->pod_uid, view.pod_uid) && text_equal(back->sandbox_id, view.sandbox_id));
	cr_assert(back->attempt == 7 && back->sandbox && back->pod_ip_count == 2 && back->label_count == 2);
	for (size_t i = 0; i < 2; i++)
		cr_assert(text_equal(back->pod_ips[i], ips[i]) && text_equal(back->labels[i].key, labels[i].key) &&
			  text_equal(back->labels[i].value, labels[i].value));
	cr_assert(back->annotation_count == 1 && text_equal(back->annotations[0].key, annotations[0].key) &&
		  text_equal(back->annotations[0].value, annotations[0].value));
	cr_assert(text_equal(back->runtime, view.runtime) && text_equal(back->workload_kind, view.workload_kind) &&
		  text_equal(back->workload_name, view.workload_name) &&
		  text_equal(back->exit_reason, view.exit_reason));
	cr_assert(back->qos == EVENT_BEST_EFFORT && back->source == EVENT_SOURCE_STATE && back->exited &&
		  back->exit_code == -1);
	expect_spec(back->spec);
	frame = next(reader, RECORDING_CONTAINER, 3);
	cr_assert(frame.container.view.name.length == 0 && frame.container.view.label_count == 0 &&
		  frame.container.view.annotation_count == 0 && !frame.container.view.exited);
	cr_assert_null(frame.container.view.spec);
	recording_reader_close(reader);
}

static enum recording_result read_back(void)
{
	struct recording_reader *reader = reread();
	struct recording_frame frame;
	const char *why = NULL;
	enum recording_result result = recording_next(reader, &frame, &why);

	cr_assert_eq(result == RECORDING_CORRUPT, why != NULL);
	recording_reader_close(reader);
	return result;
}

/* Every byte of a container's head is changed: what it counts is read, refused or ends too early, never beyond its frame. */
Test(recording, a_containers_numbers_are_not_trusted)
{
	const struct event_label label = {TEXT_LITERAL("k"), TEXT_LITERAL("v")};
	const struct event_container view = {
		.labels = &label, .label_count = 1, .annotations = &label, .annotation_count = 1, .spec = &spec};
	struct recording *recording = begin(1);
	size_t start, refused = 0;
	struct stat stat;
	int fd;

	recording_close(recording);
	cr_assert_eq(lstat(path, &stat), 0);
	start = (size_t)stat.st_size + sizeof(struct recording_frame_head);
	recording = begin(1);
	recording_container(recording, 2, &view, 3);
	recording_close(recording);
	cr_assert_eq(read_back(), RECORDING_FRAME);
	fd = open(path, O_RDWR | O_CLOEXEC);
	for (size_t i = EVENT_CONTAINER_ID_SIZE; i < sizeof(struct recording_container_head); i++) {
		const uint8_t large = 0xf0;
		uint8_t was;

		cr_assert_eq(pread(fd, &was, 1, (off_t)(start + i)), 1);
		cr_assert_eq(pwrite(fd, &large, 1, (off_t)(start + i)), 1);
		refused += read_back() == RECORDING_CORRUPT;
		cr_assert_eq(pwrite(fd, &was, 1, (off_t)(start + i)), 1);
	}
	close(fd);
	cr_assert_geq(refused, 3 * 4 + 3 + 2, "three counts, standing, qos, source, and the mounts");
}

Test(recording, one_of_the_version_before_is_refused)
{
	const uint32_t before = RECORDING_VERSION - 1;
	struct recording_reader *reader;
	struct recording_frame frame;
	const char *why = NULL;
	int fd;

	recording_close(begin(1));
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, &before, sizeof(before), 8), (ssize_t)sizeof(before));
	close(fd);
	cr_assert_eq(recording_open(&reader, path, &frame, &why), -EBADMSG);
	cr_assert(strstr(why, "another version"), "%s", why);
}

Test(recording, counters_are_what_they_were_at_each_tick)
{
	const uint64_t left_out[KERNEL_KINDS_END] = {[KERNEL_OPEN] = 1ull << 50, [KERNEL_SEND] = 3};
	struct kernel_counters counters[3] = {0};
	struct recording *recording = begin(3);

	counters[2].sequence[KERNEL_RING_BULK] = 17;
	recording_tick(recording, 2, &(struct recording_tick){1701, 5, false, counters});
	counters[0].lost[KERNEL_OPEN] = 4;
	recording_tick(recording, 3, &(struct recording_tick){1702, 6, false, NULL});
	recording_tick(recording, 4, &(struct recording_tick){1703, 7, true, counters});
	recording_repeat(recording, 5, &(struct recording_repeat){8, 9});
	recording_filtered(recording, 5, left_out);
	recording_expire(recording, 6);
	recording_end(recording, 7);
	recording_close(recording);

	struct recording_reader *reader = reread();
	struct recording_frame frame = next(reader, RECORDING_TICK, 2);

	cr_assert(frame.tick.boot_unix_ns == 1701 && frame.tick.bulk_ns == 5 && !frame.tick.final);
	cr_assert(frame.tick.counters[2].sequence[KERNEL_RING_BULK] == 17 &&
		  frame.tick.counters[0].lost[KERNEL_OPEN] == 0);
	frame = next(reader, RECORDING_TICK, 3);
	cr_assert_null(frame.tick.counters);
	frame = next(reader, RECORDING_TICK, 4);
	cr_assert(frame.tick.final && memcmp(frame.tick.counters, counters, sizeof(counters)) == 0);
	frame = next(reader, RECORDING_REPEAT, 5);
	cr_assert(frame.repeat.number == 8 && frame.repeat.count == 9);
	frame = next(reader, RECORDING_FILTERED, 5);
	cr_assert_arr_eq(frame.left_out, left_out, sizeof(left_out));
	next(reader, RECORDING_EXPIRE, 6);
	next(reader, RECORDING_END, 7);
	recording_reader_close(reader);
}

/* Every place where a writer may have been killed: what was whole comes back, and then it is torn, never corrupt. */
Test(recording, every_cut_is_torn)
{
	struct kernel_header record = {.kind = KERNEL_EXIT, .size = sizeof(record)};
	struct recording *recording = begin(1);
	struct stat stat;

	recording_record(recording, 2, &record);
	recording_close(recording);
	cr_assert_eq(lstat(path, &stat), 0);

	off_t frame_start = stat.st_size - 16 - (off_t)sizeof(record);

	for (off_t cut = stat.st_size; cut > frame_start; cut--) {
		struct recording_frame frame;
		const char *why;

		cr_assert_eq(truncate(path, cut), 0);

		struct recording_reader *reader = reread();

		if (cut == stat.st_size)
			next(reader, RECORDING_RECORD, 2);
		cr_assert_eq(recording_next(reader, &frame, &why), RECORDING_TORN);
		cr_assert_eq(frame.offset, (uint64_t)(cut == stat.st_size ? cut : frame_start));
		recording_reader_close(reader);
	}
}

Test(recording, a_head_that_is_cut_is_no_recording)
{
	struct recording_reader *reader;
	struct recording_frame frame;
	const char *why = NULL;

	recording_close(begin(1));
	for (off_t cut = 100; cut >= 0; cut -= 4) {
		cr_assert_eq(truncate(path, cut), 0);
		cr_assert_eq(recording_open(&reader, path, &frame, &why), -EBADMSG);
		cr_assert(why && *why);
	}
	cr_assert_eq(recording_open(&reader, "/no/such/file", &frame, &why), -ENOENT);
	cr_assert_eq(recording_open(&reader, "/", &frame, &why), -EISDIR);
}

/* A pipe that nobody empties is a disk that hangs: the event thread waits for a second, once, and goes on. */
Test(recording, a_disk_that_hangs_ends_the_recording)
{
	static union {
		struct kernel_header header;
		char bytes[KERNEL_RECORD_MAX];
	} record = {.header = {.kind = KERNEL_EXIT, .size = KERNEL_RECORD_MAX}};
	struct capture capture = capture_begin(STDERR_FILENO);
	uint64_t start_ns, took_ms;
	struct recording *recording;
	char said[4096];
	int pipe_fd;

	cr_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	pipe_fd = open(path, O_RDWR | O_CLOEXEC);
	recording = begin(1);
	start_ns = clock_boottime_ns();
	for (int i = 0; i < 1000; i++)
		recording_record(recording, 2, &record.header);
	recording_close(recording);
	took_ms = (clock_boottime_ns() - start_ns) / 1000000;
	close(pipe_fd);
	capture_end(&capture, said, sizeof(said));
	cr_assert(took_ms >= 900 && took_ms < 8000, "%llu ms", (unsigned long long)took_ms);
	cr_assert(strstr(said, "too slow"), "%s", said);
	cr_assert_eq(strstr(strstr(said, "ends here") + 1, "ends here"), NULL, "said once: %s", said);
}
