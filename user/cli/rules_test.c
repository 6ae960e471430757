/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rules_test.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/segment.h"
#include "event/falco.h"
#include "event/wire.h"

static const char recording_magic[8] = "taffrec\n"; /* user/sensor/recording_format.h */

struct run {
	const struct rules_test *test;
	struct rules_evaluator *evaluator;
	const struct event *event;
	struct buffer out;
	struct rules_outputs outputs;
	uint64_t events, findings;
	bool damaged;
};

/* --- findings ---------------------------------------------------------------------------------------------------------- */

static void print_finding(void *context, const struct rules_rule *met)
{
	struct run *run = context;
	struct buffer message = {0};
	struct event_rule rule = {
		.name = met->name,
		.priority = text_of(rules_priority_name(met->priority)),
		.tags = met->tags,
		.tag_count = met->tag_count,
	};
	struct event finding = *run->event;

	run->findings++;
	rules_output(run->evaluator, met, &message);
	rules_outputs_take(&run->outputs, run->evaluator, met);
	rule.message = (struct text){message.data, message.length};
	rule.outputs = run->outputs.items;
	rule.output_count = run->outputs.count;
	finding.rule = &rule;
	if (run->test->json)
		falco_write(&run->out, &finding);
	else
		falco_write_line(&run->out, &finding);
	buffer_append(&run->out, "\n", 1);
	fwrite(run->out.data, 1, run->out.failed ? 0 : run->out.length, stdout);
	buffer_clear(&run->out);
	buffer_free(&message);
}

/* --- what a collector has stored --------------------------------------------------------------------------------------- */

static void judge_event(struct run *run, const struct event *event)
{
	run->event = event;
	run->events++;
	(void)rules_evaluate(run->evaluator, event, print_finding, run);
}

static void judge_frame(struct run *run, const char *path, const struct segment_frame *frame)
{
	char why[WIRE_WHY_SIZE];
	struct wire_events events;
	int error = wire_read(&events, frame->batch.data, frame->batch.length, why);

	if (error) {
		log_warning("%s: a batch that cannot be read: %s", path, error == -ENOMEM ? "out of memory" : why);
		run->damaged = true;
		return;
	}
	for (size_t i = 0; i < events.count; i++) {
		/*
		 * Older events are another frame's; what is an alert already is no event of its own, and what the runtime
		 * did on its way into a container is none that a sensor judges.
		 */
		if (events.events[i].sequence < frame->first || events.events[i].rule || events.events[i].runtime_setup)
			continue;
		judge_event(run, &events.events[i]);
	}
	wire_free(&events);
}

static void judge_segment(struct run *run, const char *path)
{
	struct segment_reader reader = {0};
	struct segment_frame frame;
	int fd = open(path, O_RDONLY | O_CLOEXEC), got;
	struct stat stat;

	got = fd < 0 || fstat(fd, &stat) < 0 ? -errno : segment_reader_open(&reader, fd, (uint64_t)stat.st_size);
	if (got == 0) {
		while ((got = segment_next(&reader, &frame)) > 0)
			judge_frame(run, path, &frame);
		segment_reader_close(&reader);
	}
	if (got < 0) {
		log_warning("%s: %s", path, got == -EBADMSG ? "no segment, or damaged from here on" : strerror(-got));
		run->damaged = true;
	}
	if (fd >= 0)
		close(fd);
}

/* In the order of their numbers, which is that of their names. */
static void judge_directory(struct run *run, const char *path)
{
	char pattern[PATH_MAX];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/segments/*.seg", path);
	if (glob(pattern, 0, NULL, &found) != 0) {
		log_error("%s: there are no segments of a collector in it", path);
		run->damaged = true;
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		judge_segment(run, found.gl_pathv[i]);
	globfree(&found);
}

static int judge_store(const struct rules_test *test, bool directory)
{
	struct run run = {.test = test};

	if (rules_evaluator_open(&run.evaluator, test->rules, NULL) < 0) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	if (directory)
		judge_directory(&run, test->events);
	else
		judge_segment(&run, test->events);
	fflush(stdout);
	fprintf(stderr, "%" PRIu64 " findings in %" PRIu64 " events\n", run.findings, run.events);
	rules_evaluator_close(run.evaluator);
	buffer_free(&run.out);
	rules_outputs_free(&run.outputs);
	return run.damaged ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- a sensor's recording ---------------------------------------------------------------------------------------------- */

/* The sensor beside this program, which knows what a record of the kernel's means. */
static char *sensor_path(void)
{
	char own[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *path = NULL;

	if (length <= 0)
		return NULL;
	own[length] = '\0';
	return asprintf(&path, "%s/taffrail-sensor", dirname(own)) < 0 ? NULL : path;
}

static int replay(const struct rules_test *test)
{
	char *path = sensor_path();
	char **words = calloc((size_t)test->file_count * 2 + 12, sizeof(*words));
	int count = 0, status;
	pid_t child;

	if (!path || !words) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	words[count++] = path;
	words[count++] = (char *)(uintptr_t) "--replay";
	words[count++] = (char *)(uintptr_t)test->events;
	words[count++] = (char *)(uintptr_t) "--stdout";
	words[count++] = (char *)(uintptr_t) "--set";
	words[count++] = (char *)(uintptr_t)(test->json ? "falco_json=true" : "falco_text=true");
	words[count++] = (char *)(uintptr_t) "--set";
	words[count++] = (char *)(uintptr_t) "findings.limit=0";
	for (int i = 0; i < test->file_count; i++) {
		words[count++] = (char *)(uintptr_t) "--rules";
		words[count++] = test->files[i];
	}
	child = fork();
	if (child == 0) {
		execv(path, words);
		log_error("%s: %s", path, strerror(errno));
		_exit(EXIT_FAILURE);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = -1;
	free(words);
	free(path);
	return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int rules_test_run(const struct rules_test *test)
{
	char magic[sizeof(recording_magic)];
	struct stat stat_;
	ssize_t got;
	int fd;

	if (stat(test->events, &stat_) < 0) {
		log_error("%s: %s", test->events, strerror(errno));
		return EXIT_FAILURE;
	}
	if (S_ISDIR(stat_.st_mode))
		return judge_store(test, true);
	fd = open(test->events, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, magic, sizeof(magic));
	if (fd >= 0)
		close(fd);
	if (got == sizeof(magic) && memcmp(magic, recording_magic, sizeof(magic)) == 0)
		return replay(test);
	return judge_store(test, false);
}
