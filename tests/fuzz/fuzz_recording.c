/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording of any bytes, through the whole pipeline as --replay runs it: read, checked, named, held back, expired,
 * counted and written as documents. The file's head and its host are given, so that the bytes get beyond them; the first
 * byte says whether to.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sensor/pipeline.h"
#include "sensor/recording.h"

static int file = -1, documents = -1;
static char path[64], head_bytes[4096];
static size_t head_length;

static void write_all(const void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t written = write(file, (const char *)bytes + done, length - done);

		fuzz_expect(written > 0);
		done += (size_t)written;
	}
}

/* What the sensor itself writes at the start of a recording. */
static void make_head(void)
{
	static const struct event_host view = {
		.id = TEXT_STATIC("machine"), .name = TEXT_STATIC("node"), .boot_id = TEXT_STATIC("0f6c2f0e")};
	const struct recording_host host = {
		.host = &view, .cpus = 2, .lanes = 1, .boot_unix_ns = 1700000000000000000ull};
	struct recording *recording;
	ssize_t length;

	fuzz_expect(recording_create(&recording, path) == 0);
	recording_host(recording, 1000000000, &host);
	recording_close(recording);
	length = pread(file, head_bytes, sizeof(head_bytes), 0);
	fuzz_expect(length > 0);
	head_length = (size_t)length;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	file = memfd_create("recording", MFD_CLOEXEC);
	documents = memfd_create("documents", MFD_CLOEXEC);
	fuzz_expect(file >= 0 && documents >= 0 && dup2(documents, STDOUT_FILENO) == STDOUT_FILENO);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	make_head();
	return fuzz_without_messages(argc, argv);
}

/* Each line that came out is one document. */
static void expect_documents(void)
{
	off_t length = lseek(documents, 0, SEEK_CUR);
	char *text = length > 0 ? mmap(NULL, (size_t)length, PROT_READ, MAP_SHARED, documents, 0) : NULL;

	fuzz_expect(text != MAP_FAILED);
	for (off_t at = 0; at < length;) {
		const char *end = memchr(text + at, '\n', (size_t)(length - at));
		struct buffer line = {.data = text + at};

		fuzz_expect(end);
		line.length = (size_t)(end - line.data);
		fuzz_expect_document(&line);
		at += (off_t)line.length + 1;
	}
	if (text)
		munmap(text, (size_t)length);
	fuzz_expect(ftruncate(documents, 0) == 0 && lseek(documents, 0, SEEK_SET) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct settings settings = {.stdout_lines = true};
	struct pipeline *pipeline = NULL;

	if (length == 0)
		return 0;
	settings.replay = path;
	outbound_settings_default(&settings.outbound_settings);
	fuzz_expect(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
	if (bytes[0] % 8 == 0)
		write_all(head_bytes, head_length);
	write_all(bytes + 1, length - 1);
	if (pipeline_part(&pipeline, &settings) == 0 && pipeline_open(pipeline, NULL) == 0) {
		(void)pipeline_run(pipeline);
		pipeline_close(pipeline);
		expect_documents();
	}
	return 0;
}
