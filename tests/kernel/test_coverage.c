/* SPDX-License-Identifier: Apache-2.0 */
/* Coverage: the sensor's own canary proves each promise on this kernel; and a signal from a container is told. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* What --check --json says; the exit code in `*code`. */
static struct json_object *check(int *code)
{
	const char *program = getenv("TAFFRAIL_SENSOR");
	char command[512], *text = calloc(1, 65536);
	struct json_object *said;
	FILE *output;
	int status;

	snprintf(command, sizeof(command), "%s --check --json --cri /nonexistent/taffrail-test.sock",
		program ? program : "build/bin/taffrail-sensor");
	output = popen(command, "re");
	cr_assert_not_null(output);
	(void)!fread(text, 1, 65535, output);
	status = pclose(output);
	cr_assert(WIFEXITED(status));
	*code = WEXITSTATUS(status);
	said = json_tokener_parse(text);
	cr_assert_not_null(said, "no JSON: %s", text);
	free(text);
	return said;
}

static const char *text_at(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

Test(kernel_coverage, every_promise_is_seen_or_refused_for_a_reason)
{
	static const char *const must[] = {"exec", "failed exec", "fork", "end", "openat", "openat2", "failed open",
		"TCP listen", "TCP connect over IPv4", "outcome of a TCP connect", "TCP accept", "TCP disconnect",
		"refused TCP connect", "failed TCP fast open", "UDP send over IPv4", "source of a UDP send",
		"UDP send without a packet", "raw socket", "raw send", "unix listen", "unix connect", "unix accept",
		"unix send", "signal to the sensor"};
	struct json_object *hooks = NULL, *said;
	size_t seen = 0;
	int code;

	said = check(&code);
	cr_assert(json_object_object_get_ex(said, "hooks", &hooks));
	for (size_t i = 0; i < json_object_array_length(hooks); i++) {
		struct json_object *hook = json_object_array_get_idx(hooks, i);
		const char *state = text_at(hook, "state"), *promise = text_at(hook, "promise");

		cr_assert(strcmp(state, "seen") == 0 || (strcmp(state, "unsupported") == 0 && *text_at(hook, "reason")),
			"%s", json_object_to_json_string(hook));
		if (strcmp(state, "seen") != 0)
			continue;
		cr_assert(*text_at(hook, "hook"), "%s is seen without a hook", promise);
		for (size_t j = 0; j < sizeof(must) / sizeof(must[0]); j++)
			seen += strcmp(must[j], promise) == 0;
	}
	cr_assert_eq(seen, sizeof(must) / sizeof(must[0]), "%s", json_object_to_json_string(hooks));
	cr_assert_eq(code, 0);
	json_object_put(said);
}

static int signal_sensor(void *argument)
{
	(void)argument;
	return kill(harness_sensor(), SIGWINCH) < 0;
}

Test(kernel_coverage, a_signal_from_a_container_is_an_alert)
{
	struct json_object *alert;
	char message[128];

	setenv("TAFFRAIL_OWN_SENSOR", "1", 1); /* the one that a guest's tests share hides behind another program */
	cr_assert_eq(watch(signal_sensor, NULL), 0);
	alert = one("tamper", "rule.name", "Attack on the sensor");
	snprintf(message, sizeof(message), "SIGWINCH was sent to the sensor from a container, by test-kernel[%s]",
		at(alert, "process.pid"));
	expect(alert, "message", message);
	expect(alert, "event.kind", "alert");
	expect(alert, "event.category.1", "intrusion_detection");
	expect(alert, "event.severity", "2");
	expect(alert, "rule.ruleset", "taffrail");
}

/* A pipe signals the sensor when something comes. */
static int signal_by_pipe(void *argument)
{
	int ends[2], sensor = harness_sensor();

	(void)argument;
	if (pipe(ends) || fcntl(ends[0], F_SETOWN, sensor) || fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK))
		return 1;
	if (write(ends[1], "x", 1) != 1) /* SIGIO, which ends whoever does not expect it */
		return 2;
	if (fcntl(ends[0], F_SETSIG, SIGALRM) || write(ends[1], "x", 1) != 1)
		return 3;
	if (kill(sensor, SIGUSR1) || kill(sensor, SIGSEGV))
		return 4;
	usleep(200 * 1000);
	return kill(sensor, 0) ? 5 : 0;
}

Test(kernel_coverage, no_signal_but_an_order_to_end_ends_it)
{
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	cr_assert_eq(watch(signal_by_pipe, NULL), 0);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"SIGALRM", "SIGUSR1", "SIGSEGV"};
		struct json_object *found[8];
		size_t told = 0, count = documents("tamper", found, 8);

		for (size_t j = 0; j < count && j < 8; j++)
			told += strncmp(at(found[j], "message"), names[i], strlen(names[i])) == 0;
		cr_assert_geq(told, 1, "%s", names[i]);
	}
}

Test(kernel_coverage, a_signal_from_outside_is_administration)
{
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	cr_assert_eq(watch_in(WATCH_OUTSIDE, signal_sensor, NULL), 0);
	cr_assert_eq(count("tamper", "event.action", "tamper"), 0);
}
