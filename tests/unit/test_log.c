/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "test_capture.h"

static char text[1 << 16];

Test(log, lines_say_who_and_how_urgent)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	log_open("taffrail-test", LOG_INFO);
	log_error("%s %d", "broken", 7);
	log_warning("odd");
	log_info("ready");
	log_debug("not wanted");
	log_at("/etc/x.yaml", 12, "no key %s", "a");
	log_at("x", 0, "early");
	cr_assert_str_eq(capture_end(&capture, text, sizeof(text)),
		"taffrail-test: error: broken 7\ntaffrail-test: warning: odd\ntaffrail-test: ready\n"
		"/etc/x.yaml:12: no key a\nx:1: early\n");
}

Test(log, debug_shows_only_where_it_is_wanted)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	log_open("t", LOG_DEBUG);
	log_debug("here");
	log_open("t", LOG_ERROR);
	log_warning("no");
	log_info("no");
	log_error("yes");
	cr_assert_str_eq(capture_end(&capture, text, sizeof(text)), "t: debug: here\nt: error: yes\n");
}

Test(log, a_line_too_long_is_cut_and_shows_it)
{
	static char word[8000];
	struct capture capture;

	memset(word, 'x', sizeof(word) - 1);
	for (size_t length = 4070; length <= sizeof(word) - 1; length = length < 4110 ? length + 1 : length + 1971) {
		size_t got;

		capture = capture_begin(STDERR_FILENO);
		log_info("%.*s", (int)length, word);
		got = strlen(capture_end(&capture, text, sizeof(text)));
		cr_assert_leq(got, 4096);
		cr_assert_eq(text[got - 1], '\n');
		cr_assert_eq(strchr(text, '\n'), text + got - 1, "one line");
		cr_assert(
			got == length + strlen("taffrail: \n") || strcmp(text + got - 4, "...\n") == 0, "%zu", length);
	}
	capture = capture_begin(STDERR_FILENO);
	log_at(word, 1, "%s", word);
	cr_assert_eq(strlen(capture_end(&capture, text, sizeof(text))), 4096);
}

/* The line as another parser reads it; the caller's. */
static struct json_object *parse(const char *line)
{
	struct json_object *object = json_tokener_parse(line);

	cr_assert(object && json_object_is_type(object, json_type_object), "%s", line);
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1, "one line: %s", line);
	return object;
}

static const char *field(struct json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

Test(log, json_has_time_level_program_and_message)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	struct json_object *object;
	time_t now = time(NULL);
	struct tm parts = {0};

	log_open("taffrail-test", LOG_INFO);
	log_set(LOG_JSON, LOG_DEBUG);
	log_debug("said \"%s\"", "a\\b\n\tc\x01\x7f\xc2\x85\xff\xc3\xa9");
	object = parse(capture_end(&capture, text, sizeof(text)));
	cr_assert_str_eq(field(object, "level"), "debug");
	cr_assert_str_eq(field(object, "program"), "taffrail-test");
	cr_assert_str_eq(field(object, "msg"), "said \"a\\b\n\tc\x01\x7f\xc2\x85\xef\xbf\xbd\xc3\xa9\"");
	cr_assert_null(json_object_object_get(object, "file"));
	cr_assert_str_eq(
		strptime(field(object, "ts"), "%Y-%m-%dT%H:%M:%S", &parts) + 4, "Z", "%s", field(object, "ts"));
	cr_assert_leq(labs((long)(timegm(&parts) - now)), 2);
	json_object_put(object);
}

Test(log, what_is_about_a_file_names_it_in_fields)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	struct json_object *object;

	log_set(LOG_JSON, LOG_ERROR);
	log_at("/etc/\"x\".yaml", 12, "no key %s", "a");
	object = parse(capture_end(&capture, text, sizeof(text)));
	cr_assert_str_eq(field(object, "level"), "error");
	cr_assert_str_eq(field(object, "file"), "/etc/\"x\".yaml");
	cr_assert_eq(json_object_get_int(json_object_object_get(object, "line")), 12);
	cr_assert_str_eq(field(object, "msg"), "no key a");
	json_object_put(object);
	capture = capture_begin(STDERR_FILENO);
	log_set(LOG_TEXT, LOG_INFO);
	log_open("t", LOG_INFO);
	log_error_at(false, "r.yaml", 3, 7, "no %s", "field");
	log_error_at(true, "r.yaml", 3, 7, "no field");
	log_set(LOG_LOGFMT, LOG_INFO);
	log_error_at(true, "r.yaml", 3, 7, "no field");
	capture_end(&capture, text, sizeof(text));
	cr_assert_eq(text, strstr(text, "t: error: r.yaml:3:7: no field\nr.yaml:3:7: no field\nts=2"), "%s", text);
	cr_assert(
		strstr(text, "Z level=error program=t file=\"r.yaml\" line=3 column=7 msg=\"no field\"\n"), "%s", text);
}

Test(log, whatever_a_message_holds_it_is_one_line)
{
	static const enum log_format formats[] = {LOG_TEXT, LOG_LOGFMT, LOG_JSON};
	char word[5000];
	unsigned random = 7;

	log_open("t", LOG_INFO);
	for (int round = 0; round < 3000; round++) {
		struct capture capture = capture_begin(STDERR_FILENO);
		size_t length = (size_t)(rand_r(&random) % (int)(round % 10 ? 200 : sizeof(word)));
		enum log_format format = formats[round % 3];

		for (size_t i = 0; i < length; i++)
			word[i] = (char)(1 + rand_r(&random) % (round % 4 ? 255 : 34));
		word[length] = '\0';
		log_set(format, LOG_INFO);
		if (round % 2)
			log_info("%s", word);
		else
			log_at(word, (unsigned int)round, "%s", word);
		capture_end(&capture, text, sizeof(text));
		cr_assert_leq(strlen(text), 4096);
		cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "%d: %s", round, text);
		for (const char *c = text; c[1]; c++)
			cr_assert((unsigned char)*c >= ' ' && *c != 127, "%d: %s", round, text);
		if (format == LOG_JSON)
			json_object_put(parse(text));
	}
}

Test(log, words_for_formats_and_levels)
{
	enum log_format format = LOG_TEXT;
	enum log_level level = LOG_INFO;

	cr_assert(log_format_of("json", &format) && format == LOG_JSON);
	cr_assert(log_format_of("logfmt", &format) && format == LOG_LOGFMT);
	cr_assert(log_format_of("text", &format) && format == LOG_TEXT);
	cr_assert(log_level_of("error", &level) && level == LOG_ERROR);
	cr_assert(log_level_of("debug", &level) && level == LOG_DEBUG);
	cr_assert_not(log_format_of("JSON", &format));
	cr_assert_not(log_level_of("", &level));
	cr_assert_eq(format, LOG_TEXT);
}

static void limited(int i)
{
	log_limited("it happened, %d of %d%%", i, 100);
}

Test(log, what_comes_often_is_said_once_a_second_with_the_number_held_back)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	struct log_limit limit = {0};
	uint64_t start = clock_boottime_ns();

	for (int i = 0; i < 1000; i++)
		log_limited_at(&limit, "at %d", i);
	cr_assert_lt(clock_boottime_ns() - start, 900000000ull, "the machine is too slow for this test");
	limit.next_ns = 0; /* the second is over */
	log_limited_at(&limit, "at %d%%", 5);
	limit.next_ns = 0;
	log_limited_at(&limit, "at %d", 6);
	limited(1); /* a place of its own has a second of its own */
	limited(2);
	cr_assert_str_eq(capture_end(&capture, text, sizeof(text)),
		"taffrail: warning: at 0\ntaffrail: warning: at 5% (and 999 more like it)\ntaffrail: warning: at 6\n"
		"taffrail: warning: it happened, 1 of 100%\n");
}

static struct log_limit shared;

static void *hammer(void *unused)
{
	for (int i = 0; i < 5000; i++)
		log_limited_at(&shared, "hammered");
	return unused;
}

Test(log, threads_share_one_limit)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	unsigned long held_back;
	pthread_t threads[4];
	int lines = 0;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	held_back = shared.held_back;
	capture_end(&capture, text, sizeof(text));
	for (const char *c = text; (c = strchr(c, '\n')); c++)
		lines++;
	cr_assert_eq(lines, 1, "%s", text);
	cr_assert_eq(held_back, 4 * 5000 - 1);
}
