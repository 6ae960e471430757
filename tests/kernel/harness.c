/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DOCUMENTS_MAX = 65536, READY_SECONDS = 300, ARGUMENTS_MAX = 16 };

static char group[512];      /* our cgroup, above the containers' */
static char cgroups[3][640]; /* by enum place: <group>/<64 hex>, twice, and <group>/no-container */
static char ids[3][65];
static int prepared[2] = {-1, -1}, ready[2] = {-1, -1}; /* pipes: a deed that began early, the sensor */
static bool (*filter)(struct json_object *document);
static char output[64] = "/tmp/taffrail-kernel-XXXXXX";
static pid_t sensor = -1;
static struct json_object *kept[DOCUMENTS_MAX];
static size_t kept_count;
static const char *more_arguments[ARGUMENTS_MAX];

void sensor_arguments(const char *const *arguments)
{
	size_t count = 0;

	for (; arguments[count]; count++) {
		cr_assert_lt(count, ARGUMENTS_MAX);
		more_arguments[count] = arguments[count];
	}
}

/* Did the test give it rules of its own? */
static bool has_rules(void)
{
	for (size_t i = 0; i < ARGUMENTS_MAX && more_arguments[i]; i++)
		if (strcmp(more_arguments[i], "--rules") == 0)
			return true;
	return false;
}

static void clean_up(void)
{
	if (sensor > 0) {
		kill(sensor, SIGKILL);
		waitpid(sensor, NULL, 0);
		sensor = -1;
	}
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(cgroups[0]); i++)
		rmdir(cgroups[i]);
	rmdir(group);
	unlink(output);
}

static const char *v2_root(void)
{
	return access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
}

/* A machine whose containers are in cgroup v1, as an old one's are: every test is made there. */
static bool only_v1(void)
{
	const char *version = getenv("TAFFRAIL_CGROUP");

	return version && strcmp(version, "v1") == 0;
}

static void make_cgroups(enum watch_mode mode)
{
	unsigned char random[32];

	for (int place = PLACE_CONTAINER; place <= PLACE_SECOND; place++) {
		cr_assert_eq(getrandom(random, sizeof(random), 0), sizeof(random));
		for (size_t i = 0; i < sizeof(random); i++)
			sprintf(ids[place] + 2 * i, "%02x", random[i]);
	}
	snprintf(group, sizeof(group), "%s/taffrail-test-%.16s",
		mode == WATCH_V1 || only_v1() ? "/sys/fs/cgroup/pids" : v2_root(), ids[PLACE_CONTAINER]);
	cr_assert_eq(mkdir(group, 0755), 0, "%s: %s", group, strerror(errno));
	for (int place = PLACE_CONTAINER; place <= PLACE_OUTSIDE; place++) {
		snprintf(cgroups[place], sizeof(cgroups[place]), "%s/%s", group,
			place == PLACE_OUTSIDE ? "no-container" : ids[place]);
		cr_assert_eq(mkdir(cgroups[place], 0755), 0, "%s: %s", cgroups[place], strerror(errno));
	}
}

const char *place_cgroup(enum place place)
{
	return cgroups[place];
}

const char *place_id(enum place place)
{
	return ids[place];
}

void place_enter(enum place place)
{
	char path[700];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroups[place]);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(126);
	close(fd);
}

/* Starts the sensor and waits until it says that it is ready. */
static void start_sensor(void)
{
	const char *program = getenv("TAFFRAIL_SENSOR");
	char hooks[64];
	char log[8192] = "";
	size_t length = 0;
	int errors[2], lines = mkostemp(output, O_CLOEXEC);
	time_t start = time(NULL);

	if (!program)
		program = "build/bin/taffrail-sensor";
	snprintf(hooks, sizeof(hooks), "hooks=%s", getenv("TAFFRAIL_HOOKS"));
	cr_assert_geq(lines, 0);
	cr_assert_eq(pipe2(errors, O_CLOEXEC), 0);
	sensor = fork();
	cr_assert_geq(sensor, 0);
	if (sensor == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(lines, STDOUT_FILENO);
		dup2(errors[1], STDERR_FILENO);
		/* No runtime is named: who names one waits for it, and a usual one of this machine knows none of these containers. */
		const char *words[ARGUMENTS_MAX + 8] = {program, "--stdout"};
		int count = 2;

		if (!has_rules())
			words[count++] = "--no-rules";
		if (getenv("TAFFRAIL_HOOKS")) {
			words[count++] = "--set";
			words[count++] = hooks;
		}
		memcpy(words + count, more_arguments, sizeof(more_arguments));
		execv(program, (char *const *)(uintptr_t)words);
		dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
		_exit(127);
	}
	close(errors[1]);
	close(lines);
	while (!strstr(log, "taffrail-sensor: ready")) {
		struct pollfd wait = {.fd = errors[0], .events = POLLIN};
		ssize_t got = poll(&wait, 1, 1000) > 0 ? read(errors[0], log + length, sizeof(log) - 1 - length) : -1;

		if (got > 0)
			length += (size_t)got;
		log[length] = '\0';
		cr_assert(got != 0 && time(NULL) - start < READY_SECONDS, "the sensor did not start: %s", log);
	}
	/* The rest of its log goes nowhere, but it must not block: a process of our own drains it. */
	if (fork() == 0) {
		char rest[4096];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (read(errors[0], rest, sizeof(rest)) > 0)
			;
		_exit(0);
	}
	close(errors[0]);
}

static pid_t begin_deed(enum place place, int (*deed)(void *argument), void *argument)
{
	pid_t child = fork();

	cr_assert_geq(child, 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		place_enter(place);
		_exit(deed(argument));
	}
	return child;
}

static int end_deed(pid_t child)
{
	int status;

	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) || WIFSIGNALED(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void await_sensor(void)
{
	char byte = 0;

	if (write(prepared[1], &byte, 1) != 1 || read(ready[0], &byte, 1) != 1)
		_exit(125);
}

static void stop_sensor(void)
{
	int status = 0;

	cr_assert_eq(kill(sensor, SIGTERM), 0);
	for (int i = 0; i < 200; i++) {
		if (waitpid(sensor, &status, WNOHANG) == sensor) {
			sensor = -1;
			cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the sensor ended with status %x",
				status);
			return;
		}
		usleep(100 * 1000);
	}
	cr_assert_fail("the sensor did not end within 20 s of SIGTERM");
}

static bool wanted(struct json_object *document, bool outside)
{
	const char *id = at(document, "container.id");

	return outside || strcmp(id, ids[PLACE_CONTAINER]) == 0 || strcmp(id, ids[PLACE_SECOND]) == 0 ||
	       strcmp(at(document, "event.action"), "events_filtered") == 0;
}

static long passed_over;

static bool note_passed_over(struct json_object *document)
{
	if (strcmp(at(document, "taffrail.lost.stage"), "kernel") != 0)
		return false;
	passed_over += atol(at(document, "taffrail.lost.count"));
	return true;
}

long watch_passed_over(void)
{
	return passed_over;
}

bool watch_all_told(long told, long made)
{
	return told <= made && made - told <= passed_over;
}

static void read_documents(bool outside)
{
	FILE *file = fopen(output, "re");
	char *line = NULL;
	size_t room = 0;

	cr_assert_not_null(file);
	while (getline(&line, &room, file) > 0) {
		struct json_object *document = json_tokener_parse(line);

		cr_assert_not_null(document, "no JSON: %s", line);
		if (!note_passed_over(document) && (filter ? filter(document) : wanted(document, outside))) {
			cr_assert_lt(kept_count, DOCUMENTS_MAX);
			kept[kept_count++] = document;
		} else {
			json_object_put(document);
		}
	}
	free(line);
	fclose(file);
}

int watch_in(enum watch_mode mode, int (*deed)(void *argument), void *argument)
{
	int result;

	atexit(clean_up);
	make_cgroups(mode);
	start_sensor();
	result = end_deed(begin_deed(mode == WATCH_OUTSIDE ? PLACE_OUTSIDE : PLACE_CONTAINER, deed, argument));
	stop_sensor();
	read_documents(mode == WATCH_OUTSIDE);
	clean_up();
	return result;
}

int watch(int (*deed)(void *argument), void *argument)
{
	return watch_in(WATCH_V2, deed, argument);
}

bool watch_by_function(void)
{
	const char *hooks = getenv("TAFFRAIL_HOOKS");

	return hooks && strcmp(hooks, "function") == 0;
}

int harness_sensor(void)
{
	return sensor;
}

int watch_early(int (*deed)(void *argument), void *argument)
{
	char byte = 0;
	pid_t child;
	int result;

	setenv("TAFFRAIL_OWN_SENSOR", "1", 1); /* not the one that a guest's tests share: it is there already */
	atexit(clean_up);
	make_cgroups(WATCH_V2);
	cr_assert(pipe2(prepared, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0);
	child = begin_deed(PLACE_CONTAINER, deed, argument);
	close(prepared[1]);
	cr_assert_eq(read(prepared[0], &byte, 1), 1, "the deed ended before it awaited the sensor");
	start_sensor();
	cr_assert_eq(write(ready[1], &byte, 1), 1);
	result = end_deed(child);
	stop_sensor();
	read_documents(false);
	clean_up();
	return result;
}

void watch_filter(bool (*wanted_document)(struct json_object *document))
{
	filter = wanted_document;
}

int old_open(const char *path, int flags, unsigned int mode)
{
#ifdef SYS_open
	return (int)syscall(SYS_open, path, flags, mode);
#else
	return openat(AT_FDCWD, path, flags, mode);
#endif
}

int old_creat(const char *path, unsigned int mode)
{
#ifdef SYS_creat
	return (int)syscall(SYS_creat, path, mode);
#else
	return openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
#endif
}

size_t documents(const char *action, struct json_object **found, size_t room)
{
	size_t number = 0;

	for (size_t i = 0; i < kept_count; i++)
		if (!action || strcmp(at(kept[i], "event.action"), action) == 0) {
			if (number < room)
				found[number] = kept[i];
			number++;
		}
	return number;
}

size_t count(const char *action, const char *path, const char *value)
{
	size_t number = 0;

	for (size_t i = 0; i < kept_count; i++)
		if (strcmp(at(kept[i], "event.action"), action) == 0 && strcmp(at(kept[i], path), value) == 0)
			number++;
	return number;
}

struct json_object *one(const char *action, const char *path, const char *value)
{
	struct json_object *found = NULL;
	size_t number = count(action, path, value);

	if (number != 1)
		for (size_t i = 0; i < kept_count; i++)
			fprintf(stderr, "%s\n", json_object_to_json_string_ext(kept[i], JSON_C_TO_STRING_PLAIN));
	cr_assert_eq(number, 1, "%zu documents with event.action %s and %s = %s; the kernel passed over %ld", number,
		action, path, value, passed_over);
	for (size_t i = 0; i < kept_count && !found; i++)
		if (strcmp(at(kept[i], "event.action"), action) == 0 && strcmp(at(kept[i], path), value) == 0)
			found = kept[i];
	return found;
}

void expect(struct json_object *document, const char *path, const char *value)
{
	cr_assert_str_eq(at(document, path), value, "%s is \"%s\", not \"%s\", in\n%s", path, at(document, path), value,
		json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN));
}
