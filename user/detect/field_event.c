/* SPDX-License-Identifier: Apache-2.0 */
/* evt.*: the call, when it was, how it ended. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "detect/field.h"
#include "event/names.h"

enum which {
	NUMBER,
	TYPE,
	DIRECTION,
	CATEGORY,
	CPU,
	SOURCE,
	HOST_NAME,
	COUNT,
	RESULT,
	RAW_RESULT,
	FAILED,
	OPEN_READ,
	OPEN_WRITE,
	OPEN_EXEC,
	OPEN_CREATE,
	TIME,
	TIME_SECONDS,
	TIME_ISO8601,
	DATE_TIME,
	DATE_TIME_SECONDS,
	RAW_TIME,
	RAW_TIME_SECONDS,
	RAW_TIME_NS,
	ARGUMENTS,
	INFO,
	DATA,
	DATA_LENGTH,
};

enum { ARGUMENTS_MAX = 24 }; /* of a call, in evt.args */

static const int64_t second_ns = 1000ll * 1000 * 1000;

static struct text result_name(struct extraction *extraction)
{
	const struct event *event = extraction->event;
	char room[16];
	const char *name;
	struct field_text text;

	if (event->outcome == EVENT_SUCCESS)
		return TEXT_LITERAL("SUCCESS");
	if (event->error == 0)
		return (struct text){0};
	name = name_of_error(event->error, room);
	if (name != room)
		return text_of(name);
	text = field_text_begin(extraction);
	field_text_add(&text, text_of(name));
	return field_text_end(&text);
}

static int64_t raw_result(const struct event *event)
{
	return event->error && event->result >= 0 ? -event->error : event->result;
}

static struct text category(const struct event *event)
{
	switch (event_action_category(event->action)) {
	case EVENT_FILE:
	case EVENT_CHANGE: return TEXT_LITERAL("file");
	case EVENT_NETWORK: return TEXT_LITERAL("net");
	case EVENT_PROCESS: return TEXT_LITERAL("process");
	default: return TEXT_LITERAL("system");
	}
}

static void call_fields(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event *event = extraction->event;
	bool open = event->action == EVENT_OPEN;
	uint32_t mode = event->file.flags & O_ACCMODE;

	switch ((enum which)use->field->which) {
	case NUMBER: field_give_number(values, (int64_t)event->sequence); break;
	case TYPE: field_give_text(values, text_of(event_call_name(event_call_of(event)))); break;
	case DIRECTION: field_give_text(values, TEXT_LITERAL("<")); break;
	case CATEGORY: field_give_text(values, category(event)); break;
	case CPU: field_give_number(values, event->cpu); break;
	case SOURCE: field_give_text(values, TEXT_LITERAL("syscall")); break;
	case HOST_NAME: field_give_text(values, event->host ? event->host->name : (struct text){0}); break;
	case COUNT: field_give_number(values, 1); break;
	case RESULT: field_give_text(values, result_name(extraction)); break;
	case RAW_RESULT: field_give_number(values, raw_result(event)); break;
	case FAILED: field_give_boolean(values, event->outcome == EVENT_FAILURE); break;
	case OPEN_READ: field_give_boolean(values, open && (mode == O_RDONLY || mode == O_RDWR)); break;
	case OPEN_WRITE: field_give_boolean(values, open && (mode == O_WRONLY || mode == O_RDWR)); break;
	case OPEN_EXEC:
		field_give_boolean(
			values, open && (event->file.created_mode & 0111) &&
					((event->file.flags & O_CREAT) ||
						(event->file.flags & EVENT_OPEN_TEMPORARY) == EVENT_OPEN_TEMPORARY));
		break;
	case OPEN_CREATE: field_give_boolean(values, open && event->file.created); break;
	default: break;
	}
}

/* "15:04:05.123456789" of local time, without the fraction for `seconds`, with the date before it for `date`. */
static struct text clock_text(struct extraction *extraction, bool date, bool seconds)
{
	uint64_t time_ns = extraction->event->time_ns;
	time_t second = (time_t)(time_ns / (uint64_t)second_ns);
	struct field_text text = field_text_begin(extraction);
	char words[64];
	struct tm parts;

	localtime_r(&second, &parts);
	strftime(words, sizeof(words), date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &parts);
	field_text_add(&text, text_of(words));
	if (!seconds) {
		snprintf(words, sizeof(words), ".%09u", (unsigned int)(time_ns % (uint64_t)second_ns));
		field_text_add(&text, text_of(words));
	}
	return field_text_end(&text);
}

static void time_fields(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	int64_t time_ns = (int64_t)extraction->event->time_ns;
	struct field_text text;
	char words[CLOCK_TEXT_SIZE];

	switch ((enum which)use->field->which) {
	case TIME: field_give_text(values, clock_text(extraction, false, false)); break;
	case TIME_SECONDS: field_give_text(values, clock_text(extraction, false, true)); break;
	case DATE_TIME: field_give_text(values, clock_text(extraction, true, false)); break;
	case DATE_TIME_SECONDS: field_give_text(values, clock_text(extraction, true, true)); break;
	case TIME_ISO8601:
		clock_format(words, (uint64_t)time_ns);
		text = field_text_begin(extraction);
		field_text_add(&text, text_of(words));
		field_give_text(values, field_text_end(&text));
		break;
	case RAW_TIME: field_give_number(values, time_ns); break;
	case RAW_TIME_SECONDS: field_give_number(values, time_ns / second_ns); break;
	case RAW_TIME_NS: field_give_number(values, time_ns % second_ns); break;
	default: break;
	}
}

/* name=value for each argument, blanks between. */
static void all_arguments(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const char *const *names;
	size_t count = field_call_arguments(extraction->event, &names);
	struct text parts[ARGUMENTS_MAX] = {0}, joined;
	struct field_text text;

	(void)use;
	/* The values first: each is put together in the same room as the whole. */
	for (size_t i = 0; i < count && i < ARGUMENTS_MAX; i++) {
		struct values one = {0};

		field_call_argument(extraction, text_of(names[i]), false, &one);
		parts[i] = one.known ? values_at(&one, one.count - 1)->text : TEXT_LITERAL("<NA>");
	}
	text = field_text_begin(extraction);
	for (size_t i = 0; i < count && i < ARGUMENTS_MAX; i++) {
		if (i > 0)
			field_text_byte(&text, ' ');
		field_text_add(&text, text_of(names[i]));
		field_text_byte(&text, '=');
		field_text_add(&text, parts[i]);
	}
	joined = field_text_end(&text);
	field_give_any_text(values, joined);
}

/* which: is it evt.rawarg? */
static void one_argument(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const char *const *names;
	size_t count = field_call_arguments(extraction->event, &names);

	if (use->index < 0)
		field_call_argument(extraction, use->key, use->field->which, values);
	else if ((size_t)use->index < count)
		field_call_argument(extraction, text_of(names[use->index]), use->field->which, values);
}

/* What was received: the program's own bytes, of any kind. */
static void data_fields(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	struct text data = field_data(extraction->event);

	if (data.length == 0)
		return;
	if (use->field->which == DATA)
		field_give_text(values, data);
	else
		field_give_number(values, (int64_t)data.length);
}

struct text field_data(const struct event *event)
{
	return event->action == EVENT_RECEIVE ? event->network.data : (struct text){0};
}

bool field_asks_for_data(const struct field_use *use)
{
	return use->field->extract == data_fields ||
	       (use->field->extract == one_argument && text_equal(use->key, TEXT_LITERAL("data")));
}

/* An event does not tell it: always missing. */
static void unknown(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	(void)extraction;
	(void)use;
	(void)values;
}

const struct field field_event[] = {
	{"evt.num", FIELD_NUMBER, 0, 0, call_fields, NUMBER, "the event's number, from 1"},
	{"evt.type", FIELD_TEXT, 0, 0, call_fields, TYPE, "the system call: openat, execve, …"},
	{"syscall.type", FIELD_TEXT, 0, 0, call_fields, TYPE, "the same"},
	{"evt.dir", FIELD_TEXT, 0, 0, call_fields, DIRECTION, "always \"<\": rules see a call when it returns"},
	{"evt.category", FIELD_TEXT, 0, 0, call_fields, CATEGORY, "file, net, process or system"},
	{"evt.source", FIELD_TEXT, 0, 0, call_fields, SOURCE, "always \"syscall\""},
	{"evt.cpu", FIELD_NUMBER, 0, 0, call_fields, CPU, "the processor it happened on"},
	{"evt.hostname", FIELD_TEXT, 0, 0, call_fields, HOST_NAME, "the machine's name"},
	{"evt.count", FIELD_NUMBER, 0, 0, call_fields, COUNT, "always 1"},
	{"evt.res", FIELD_TEXT, 0, 0, call_fields, RESULT, "SUCCESS, or the error's name: ENOENT"},
	{"evt.rawres", FIELD_NUMBER, 0, 0, call_fields, RAW_RESULT, "what the call returned; an error is negative"},
	{"evt.failed", FIELD_BOOLEAN, 0, 0, call_fields, FAILED, "did the call fail?"},
	{"evt.is_open_read", FIELD_BOOLEAN, 0, 0, call_fields, OPEN_READ, "an open for reading"},
	{"evt.is_open_write", FIELD_BOOLEAN, 0, 0, call_fields, OPEN_WRITE, "an open for writing"},
	{"evt.is_open_exec", FIELD_BOOLEAN, 0, 0, call_fields, OPEN_EXEC, "an open that creates an executable file"},
	{"evt.is_open_create", FIELD_BOOLEAN, 0, 0, call_fields, OPEN_CREATE, "an open that created the file"},
	{"evt.time", FIELD_TEXT, 0, 0, time_fields, TIME, "local time with nanoseconds"},
	{"evt.time.s", FIELD_TEXT, 0, 0, time_fields, TIME_SECONDS, "local time in seconds"},
	{"evt.time.iso8601", FIELD_TEXT, 0, 0, time_fields, TIME_ISO8601, "date and time in UTC, with nanoseconds"},
	{"evt.datetime", FIELD_TEXT, 0, 0, time_fields, DATE_TIME, "local date and time with nanoseconds"},
	{"evt.datetime.s", FIELD_TEXT, 0, 0, time_fields, DATE_TIME_SECONDS, "local date and time in seconds"},
	{"evt.rawtime", FIELD_NUMBER, 0, 0, time_fields, RAW_TIME, "Unix time in nanoseconds"},
	{"evt.rawtime.s", FIELD_NUMBER, 0, 0, time_fields, RAW_TIME_SECONDS, "Unix time in seconds"},
	{"evt.rawtime.ns", FIELD_NUMBER, 0, 0, time_fields, RAW_TIME_NS, "its fraction of a second, in nanoseconds"},
	{"evt.args", FIELD_TEXT, 0, 0, all_arguments, ARGUMENTS, "the call's arguments: name=value …"},
	{"evt.info", FIELD_TEXT, 0, 0, all_arguments, INFO, "the same"},
	{"evt.arg", FIELD_TEXT, FIELD_EITHER, ARGUMENT_NAME, one_argument, 0, "an argument of the call, as text"},
	{"evt.rawarg", FIELD_NUMBER, 0, ARGUMENT_NAME, one_argument, 1, "an argument of the call, as a number"},
	{"evt.buffer", FIELD_TEXT, 0, 0, data_fields, DATA,
		"what recvfrom, recvmsg or recvmmsg has received: its first 80 bytes"},
	{"evt.buflen", FIELD_NUMBER, 0, 0, data_fields, DATA_LENGTH, "how many bytes evt.buffer has"},
	{"evt.deltatime", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.latency", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.in", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.out", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.file", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.file.in", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.file.out", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.net", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.net.in", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.buflen.net.out", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.error", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.error.file", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.error.net", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.error.memory", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.error.other", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.exit", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.procinfo", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.count.threadinfo", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.deltatime.s", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.deltatime.ns", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.reltime", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.reltime.s", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.reltime.ns", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.latency.s", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.latency.ns", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.latency.quantized", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.wait_latency", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"evt.latency.human", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"evt.outputtime", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"evt.is_syslog", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"evt.is_async", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"evt.is_io", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"evt.is_io_read", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"evt.is_io_write", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"evt.is_wait", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"evt.io_dir", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"evt.pluginname", FIELD_TEXT, 0, 0, unknown, 0, "of plugins: always missing"},
	{"evt.plugininfo", FIELD_TEXT, 0, 0, unknown, 0, "of plugins: always missing"},
	{"evt.asynctype", FIELD_TEXT, 0, 0, unknown, 0, "of plugins: always missing"},
	{0},
};
