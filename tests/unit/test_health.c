/* SPDX-License-Identifier: Apache-2.0 */
/* What the sensor says of itself: coverage and alerts in their faces, and what proves a promise. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/ecs.h"
#include "event/line.h"
#include "sensor/canary_inside.h"
#include "sensor/cgroup.h"
#include "sensor/coverage.h"
#include "sensor/guard.h"

/* --- faces ------------------------------------------------------------------------------------------------------------ */

static const struct event_host host = {.id = TEXT_STATIC("h")};
static const struct event_promise promises[] = {
	{TEXT_STATIC("open"), TEXT_STATIC("tp_btf/sys_exit"), TEXT_STATIC(""), EVENT_SEEN},
	{TEXT_STATIC("connect"), TEXT_STATIC("cgroup/connect4"), TEXT_STATIC("no record came"), EVENT_MISSED},
	{TEXT_STATIC("raw socket"), TEXT_STATIC(""), TEXT_STATIC("not allowed here: EPERM"), EVENT_UNSUPPORTED}};

static struct event coverage_event(void)
{
	return (struct event){.action = EVENT_COVERAGE,
		.host = &host,
		.sequence = 1,
		.count = 1,
		.coverage = {promises, 3, TEXT_LITERAL("6.18.0"), TEXT_LITERAL("tracepoint")}};
}

static const char *document(const struct event *event)
{
	static struct buffer out;

	buffer_clear(&out);
	ecs_write(&out, event);
	buffer_append(&out, "", 1);
	return out.data;
}

static const char *line(const struct event *event)
{
	static struct buffer out;

	buffer_clear(&out);
	line_write(&out, event, &(struct line_style){0});
	buffer_append(&out, "", 1);
	return out.data;
}

Test(health, coverage_as_a_document)
{
	struct event event = coverage_event();
	const char *text = document(&event);

	cr_assert(strstr(text, "\"kind\":\"metric\",\"category\":[\"host\"]"), "%s", text);
	cr_assert(
		strstr(text, "\"taffrail\":{\"kernel\":{\"release\":\"6.18.0\",\"mode\":\"tracepoint\"},\"coverage\":["
			     "{\"promise\":\"open\",\"hook\":\"tp_btf/sys_exit\",\"state\":\"seen\"},"
			     "{\"promise\":\"connect\",\"hook\":\"cgroup/connect4\",\"state\":\"missed\","
			     "\"reason\":\"no record came\"},"
			     "{\"promise\":\"raw socket\",\"state\":\"unsupported\","
			     "\"reason\":\"not allowed here: EPERM\"}]}}"),
		"%s", text);
	cr_assert_null(strstr(text, "\"rule\""));
}

Test(health, a_rule_makes_an_alert_of_an_event)
{
	const struct event_rule rule = {.name = TEXT_LITERAL("R"),
		.description = TEXT_LITERAL("D"),
		.ruleset = TEXT_LITERAL("taffrail"),
		.message = TEXT_LITERAL("by \xff"),
		.severity = EVENT_CRITICAL};
	struct event event = coverage_event();
	struct json_object *parsed, *object, *kind;

	event.rule = &rule;
	parsed = json_tokener_parse(document(&event));
	cr_assert_not_null(parsed);
	cr_assert(json_object_object_get_ex(parsed, "rule", &object));
	cr_assert_str_eq(json_object_to_json_string_ext(object, 0),
		"{\"name\":\"R\",\"description\":\"D\",\"ruleset\":\"taffrail\"}");
	cr_assert(json_object_object_get_ex(parsed, "message", &object));
	cr_assert_str_eq(json_object_get_string(object), "by \\xff");
	cr_assert(json_object_object_get_ex(parsed, "event", &object));
	cr_assert(json_object_object_get_ex(object, "kind", &kind));
	cr_assert_str_eq(json_object_get_string(kind), "alert");
	cr_assert(json_object_object_get_ex(object, "severity", &kind));
	cr_assert_eq(json_object_get_int(kind), 2);
	json_object_put(parsed);
}

Test(health, both_as_a_line)
{
	const struct event_rule rule = {.message = TEXT_LITERAL("SIGKILL\x1b[31m")};
	struct event event = coverage_event();

	cr_assert(strstr(line(&event), "coverage  1 seen, 1 missed, 1 unsupported: connect\n"), "%s", line(&event));
	event = (struct event){.action = EVENT_TAMPER, .host = &host, .count = 1, .rule = &rule};
	cr_assert(strstr(line(&event), "tamper     ! SIGKILL\\x1b[31m\n"), "%s", line(&event));
}

/* --- proofs ----------------------------------------------------------------------------------------------------------- */

static const struct canary_row *row(const char *promise)
{
	for (const struct canary_row *at = canary_rows; at->promise; at++)
		if (strcmp(at->promise, promise) == 0)
			return at;
	cr_assert_fail("no promise is called %s", promise);
	return NULL;
}

static struct canary_deed deed;

struct open_record {
	struct kernel_open open;
	char text[256];
};

static struct record make_open(struct open_record *out, const char *path, const char *argument)
{
	*out = (struct open_record){.open.result = 3, .open.flags = O_WRONLY | O_NONBLOCK};
	strcpy(out->text, path);
	strcpy(out->text + 128, argument);
	out->open.path = (struct kernel_string){sizeof(out->open), (__u16)strlen(path)};
	out->open.argument = (struct kernel_string){sizeof(out->open) + 128, (__u16)strlen(argument)};
	return (struct record){.open = &out->open};
}

Test(health, an_open_is_proved_by_path_result_and_flags_of_its_own_argument)
{
	const struct canary_row *openat = row("openat");
	struct open_record room;
	struct record record = make_open(&room, "/usr/bin/sensor", "/proc/self/fd/5");

	deed_text(&deed, "/proc/self/fd/5");
	strcpy(deed.path, "/bin/sensor");
	deed.flags = O_WRONLY;
	cr_assert_null(openat->differs(&record, &deed));
	deed.flags = O_WRONLY | O_APPEND;
	cr_assert_str_eq(openat->differs(&record, &deed), "flags");
	room.open.result = -ENOENT;
	cr_assert_str_eq(openat->differs(&record, &deed), "result");
	record = make_open(&room, "/usr/bin/other", "/proc/self/fd/5");
	cr_assert_str_eq(openat->differs(&record, &deed), "path");
	record = make_open(&room, "/usr/bin/sensor", "/proc/self/fd/6");
	cr_assert_eq(openat->differs(&record, &deed), canary_other);
	record = make_open(&room, "r", "/proc/self/fd/5");
	cr_assert_str_eq(openat->differs(&record, &deed), "path");
}

Test(health, a_connect_is_proved_by_its_address_and_its_outcome_by_its_ports)
{
	const struct canary_row *connect = row("TCP connect over IPv4"), *outcome = row("outcome of a TCP connect");
	struct kernel_network network = {.tuple = {.family = 2, .remote.bytes = {127, 0, 0, 1}, .remote_port_be = 80}};
	struct record record = {.network = &network};

	deed.family = 2;
	deed.remote_port_be = 80;
	deed.local_port_be = 4;
	memcpy(deed.address, network.tuple.remote.bytes, sizeof(deed.address));
	cr_assert_null(connect->differs(&record, &deed));
	cr_assert_str_eq(outcome->differs(&record, &deed), "port");
	network.tuple.local_port_be = 4;
	cr_assert_null(outcome->differs(&record, &deed));
	network.result = -ECONNREFUSED;
	cr_assert_str_eq(outcome->differs(&record, &deed), "result");
	network.tuple.remote.bytes[3] = 2;
	cr_assert_str_eq(connect->differs(&record, &deed), "address");
	network.tuple.remote_port_be = 81;
	cr_assert_eq(connect->differs(&record, &deed), canary_other);
}

Test(health, what_io_uring_does_is_proved_by_its_mark)
{
	struct open_record room;
	struct record record = make_open(&room, "/bin/sensor", "/proc/self/././exe");

	deed_text(&deed, "/proc/self/././exe");
	strcpy(deed.path, "/bin/sensor");
	deed.flags = O_NONBLOCK;
	cr_assert_eq(row("open by io_uring")->differs(&record, &deed), canary_other, "other hooks see it too");
	room.open.header.flags = KERNEL_URING;
	cr_assert_null(row("open by io_uring")->differs(&record, &deed));
	room.open.result = -EAGAIN;
	cr_assert_str_eq(row("open by io_uring")->differs(&record, &deed), "result");
}

Test(health, a_socket_is_proved_by_its_kind_and_that_it_was_made)
{
	const struct canary_row *raw = row("raw socket");
	struct kernel_socket made = {.family = AF_INET, .type = SOCK_RAW, .protocol = 253, .result = 3};
	struct record record = {.socket = &made};

	deed.family = AF_INET;
	deed.flags = SOCK_RAW;
	deed.number = 253;
	cr_assert_null(raw->differs(&record, &deed));
	made.result = -EPERM;
	cr_assert_str_eq(raw->differs(&record, &deed), "result");
	made.protocol = 1;
	cr_assert_str_eq(raw->differs(&record, &deed), "protocol");
	made.family = AF_PACKET;
	cr_assert_eq(raw->differs(&record, &deed), canary_other);
}

Test(health, a_refused_connect_is_proved_by_its_error)
{
	const struct canary_row *refused = row("refused TCP connect");
	struct kernel_network network = {.tuple = {.family = AF_INET, .remote_port_be = 80}, .result = -ECONNREFUSED};
	struct record record = {.network = &network};

	deed.family = AF_INET;
	deed.remote_port_be = 80;
	deed.number = -ECONNREFUSED;
	cr_assert_null(refused->differs(&record, &deed));
	network.result = 0;
	cr_assert_str_eq(refused->differs(&record, &deed), "result");
	network.result = -ECONNREFUSED;
	network.result_unknown = 1;
	cr_assert_str_eq(refused->differs(&record, &deed), "result");
}

/* --- coverage: a canary that flies where nothing looks ------------------------------------------------------------------ */

static int entered, left;

static void expect_canary(void *context)
{
	(void)context;
}

static int enter(void *context)
{
	return *(const int *)context;
}

static void leave(void *context)
{
	(void)context;
	left++;
}

/* The nest is in this process too. */
static struct canary_nest *nest;
static struct canary_nest_ops nest_ops;

static int start_here(void *context)
{
	return canary_nest_start(context, &nest_ops);
}

static bool landed_here(void *context)
{
	return canary_nest_landed(context);
}

static void end_here(void *context)
{
	canary_nest_end(context);
}

static struct canary_ops canary_here(int (*enters)(void *context), void *context)
{
	nest_ops = (struct canary_nest_ops){expect_canary, enters, leave, context};
	if (!nest)
		cr_assert_eq(canary_nest_open(&nest), 0);
	return (struct canary_ops){nest, start_here, landed_here, end_here, nest};
}

static const struct loader_hook hooks[] = {
	{"exec", "tp_btf/sched_process_exec", true}, {"open, failed exec", "tp_btf/sys_exit", true}};

static enum coverage_news fly(struct coverage *coverage, uint64_t lost)
{
	enum coverage_news news = COVERAGE_NOTHING;
	uint64_t end_ns = clock_boottime_ns() + 20000000000ull;

	while (news == COVERAGE_NOTHING && clock_boottime_ns() < end_ns) {
		uint64_t now_ns = clock_boottime_ns();

		news = coverage_poll(coverage, now_ns, now_ns, lost);
		usleep(1000);
	}
	return news;
}

static const struct event_promise *find(const struct coverage *coverage, const char *promise)
{
	const struct event_coverage *view = coverage_view(coverage);

	for (size_t i = 0; i < view->count; i++)
		if (text_equal(view->promises[i].promise, text_of(promise)))
			return &view->promises[i];
	cr_assert_fail("%s is not told", promise);
	return NULL;
}

Test(health, what_no_record_tells_is_missed_and_what_no_hook_serves_is_unsupported)
{
	const struct canary_ops ops = canary_here(enter, &entered);
	struct coverage *coverage;
	struct event_rule rule;

	cr_assert_eq(coverage_open(&coverage, &ops, hooks, 2, 1000000), 0);
	cr_assert_not(coverage_alert(coverage, &rule), "no result, no alert");
	cr_assert_eq(fly(coverage, 0), COVERAGE_NEW);
	cr_assert_eq(left, 1, "the programs must forget the child before its number is another's");
	cr_assert_eq(find(coverage, "exec")->state, EVENT_MISSED);
	cr_assert(text_equal(find(coverage, "exec")->hook, TEXT_LITERAL("tp_btf/sched_process_exec")));
	cr_assert_eq(find(coverage, "openat")->state, EVENT_MISSED);
	cr_assert(text_equal(find(coverage, "openat")->reason, TEXT_LITERAL("no record came")));
	cr_assert_eq(find(coverage, "fork")->state, EVENT_UNSUPPORTED);
	cr_assert(text_equal(find(coverage, "fork")->reason, TEXT_LITERAL("no hook for it on this kernel")));
	cr_assert(coverage_alert(coverage, &rule));
	cr_assert(text_starts_with(rule.message,
		TEXT_LITERAL("The sensor does not see: exec (no record came), failed exec (no record came)")));
	cr_assert_eq(fly(coverage, 0), COVERAGE_SAME);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no child is left");
	cr_assert_eq(errno, ECHILD);
	coverage_close(coverage);
}

Test(health, a_promise_has_the_first_hook_that_serves_it_here)
{
	static const struct loader_hook both[] = {{"open", "fexit/do_filp_open", true},
		{"what comes of io_uring", "tp_btf/io_uring_complete", true},
		{"fast open, packets sent", "tp_btf/sys_exit", true},
		{"datagrams to unix sockets", "cgroup/sendmsg_unix", true}};
	static const struct loader_hook before[] = {{"open", "tp_btf/sys_exit", true},
		{"what comes of io_uring", "tp_btf/io_uring_complete", true},
		{"fast open, packets sent", "tp_btf/sys_exit", true}};
	const struct canary_ops ops = canary_here(enter, &entered);
	struct coverage *coverage;

	cr_assert_eq(coverage_open(&coverage, &ops, both, 4, 0), 0);
	cr_assert_eq(fly(coverage, 0), COVERAGE_NEW);
	cr_assert(text_equal(find(coverage, "open by io_uring")->hook, TEXT_LITERAL("fexit/do_filp_open")));
	cr_assert(text_equal(find(coverage, "unix send")->hook, TEXT_LITERAL("cgroup/sendmsg_unix")));
	coverage_close(coverage);
	cr_assert_eq(coverage_open(&coverage, &ops, before, 3, 0), 0);
	cr_assert_eq(fly(coverage, 0), COVERAGE_NEW);
	cr_assert(text_equal(find(coverage, "open by io_uring")->hook, TEXT_LITERAL("tp_btf/io_uring_complete")));
	cr_assert(text_equal(find(coverage, "unix send")->hook, TEXT_LITERAL("tp_btf/sys_exit")));
	coverage_close(coverage);
}

Test(health, a_canary_that_lost_records_flies_again)
{
	const struct canary_ops ops = canary_here(enter, &entered);
	struct coverage *coverage;
	uint64_t lost = 0;
	enum coverage_news news = COVERAGE_NOTHING;

	cr_assert_eq(coverage_open(&coverage, &ops, hooks, 2, 0), 0);
	for (int i = 0; i < 20000 && news == COVERAGE_NOTHING; i++) {
		uint64_t now_ns = clock_boottime_ns();

		news = coverage_poll(coverage, now_ns, now_ns, lost++);
		usleep(1000);
	}
	cr_assert_eq(news, COVERAGE_NEW);
	cr_assert_eq(left, 3, "%d canaries", left);
	coverage_close(coverage);
}

Test(health, a_canary_that_the_programs_do_not_know_proves_nothing)
{
	static int refused = -EPERM;
	const struct canary_ops ops = canary_here(enter, &refused);
	struct coverage *coverage;

	cr_assert_eq(coverage_open(&coverage, &ops, hooks, 2, 0), 0);
	cr_assert_eq(fly(coverage, 0), COVERAGE_NEW);
	cr_assert_eq(find(coverage, "exec")->state, EVENT_MISSED);
	cr_assert(text_equal(find(coverage, "exec")->reason, TEXT_LITERAL("not tried: EPERM")));
	coverage_close(coverage);
}

static int hang(void *context)
{
	(void)context;
	while (pause() != 0)
		;
	return 0;
}

Test(health, a_canary_that_hangs_is_killed)
{
	const struct canary_ops ops = canary_here(hang, NULL);
	struct coverage *coverage;
	uint64_t start_ns = clock_boottime_ns();

	cr_assert_eq(coverage_open(&coverage, &ops, hooks, 2, 0), 0);
	cr_assert_eq(fly(coverage, 0), COVERAGE_NEW);
	cr_assert_geq(clock_boottime_ns() - start_ns, CANARY_DEADLINE_MS * 1000000ull);
	cr_assert_eq(find(coverage, "exec")->state, EVENT_MISSED);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	coverage_close(coverage);
}

Test(health, one_that_flies_is_ended_with_the_sensor)
{
	const struct canary_ops ops = canary_here(hang, NULL);
	struct coverage *coverage;

	cr_assert_eq(coverage_open(&coverage, &ops, hooks, 2, 0), 0);
	(void)coverage_poll(coverage, 1, 1, 0);
	cr_assert(coverage_under_way(coverage));
	coverage_close(coverage);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_eq(left, 1);
}

/* --- the guard -------------------------------------------------------------------------------------------------------- */

Test(health, a_signals_sender_is_named_in_words_that_harm_no_terminal)
{
	struct kernel_tamper tamper = {.header.tgid = 77, .signal = SIGKILL, .name = "e\x1b[31mvil"};
	const struct record record = {.tamper = &tamper};
	struct guard_alert alert;

	guard_signal(&alert, &record);
	cr_assert_str_eq(alert.message, "SIGKILL was sent to the sensor from a container, by e?[31mvil[77]");
	cr_assert_eq(alert.rule.severity, EVENT_CRITICAL);
	tamper.signal = 40;
	memset(tamper.name, 'x', sizeof(tamper.name));
	guard_signal(&alert, &record);
	cr_assert_str_eq(alert.message, "Signal 40 was sent to the sensor from a container, by xxxxxxxxxxxxxxx[77]");
}

Test(health, nobody_traces_this_process)
{
	int fd = guard_open(getpid());

	cr_assert_geq(fd, 0);
	cr_assert_eq(guard_tracer(fd), 0);
	close(fd);
}

Test(health, a_tracer_stands_in_the_status)
{
	static const struct {
		const char *status;
		pid_t tracer;
	} cases[] = {
		{"Name:\tx\nTracerPid:\t0\nUid:\t0\n", 0},
		{"Name:\tx\nTracerPid:\t4711\nUid:\t0\n", 4711},
		{"Name:\tx\nTracerPid:\t4711", 4711},
		{"Name:\tx\nTracerPid:\t99999999999\n", -ENODATA},
		{"Name:\tx\nTracerPid:\t", -ENODATA},
		{"Name:\tTracerPid:\t7\nUid:\t0\n", -ENODATA},
		{"", -ENODATA},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(guard_parse_tracer(text_of(cases[i].status)), cases[i].tracer, "%s", cases[i].status);
}

Test(health, cgroup_modes)
{
	static const struct {
		const char *mounts, *mode;
	} cases[] = {
		{"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "v2"},
		{"cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n", "v1"},
		{"c /sys/fs/cgroup/pids cgroup rw,pids 0 0\nc /sys/fs/cgroup/unified cgroup2 rw 0 0\n", "hybrid"},
		{"c /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\nc /sys/fs/cgroup cgroup2 rw 0 0\n", "v2"},
		{"proc /proc proc rw 0 0\n", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[] = "/tmp/taffrail-mounts-XXXXXX";
		int fd = mkstemp(path);

		cr_assert_eq(write(fd, cases[i].mounts, strlen(cases[i].mounts)), strlen(cases[i].mounts));
		close(fd);
		cr_expect_str_eq(cgroup_mode(path), cases[i].mode, "%s", cases[i].mounts);
		unlink(path);
	}
	cr_assert_str_eq(cgroup_mode("/nonexistent"), "");
}
