/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/utf8.h"
#include "event/line.h"

static const struct event_container container = {.id = {0xab, 0xcd, 0xef, 1, 2, 3, 4},
	.name = TEXT_STATIC("main"),
	.pod_name = TEXT_STATIC("web-1"),
	.pod_namespace = TEXT_STATIC("shop")};
static struct event_process process = {.pid = 4711,
	.name = TEXT_STATIC("cat"),
	.executable = TEXT_STATIC("/bin/cat"),
	.args = TEXT_STATIC("cat\0/etc/a b\0")};
static struct buffer out;

static const uint64_t left_out[EVENT_ACTIONS_END] = {[EVENT_EXEC] = 2, [EVENT_OPEN] = 5};

static struct event event_of(enum event_action action)
{
	setenv("TZ", "UTC", 1);
	tzset();
	return (struct event){.action = action,
		.time_ns = 1767323045123456789ull,
		.count = 1,
		.container = &container,
		.process = &process};
}

static const char *line_in(const struct event *event, struct line_style style)
{
	buffer_clear(&out);
	line_write(&out, event, &style);
	cr_assert_not(out.failed);
	cr_assert_gt(out.length, 0);
	cr_assert_eq(memchr(out.data, '\n', out.length), out.data + out.length - 1, "exactly one line");
	cr_assert_null(memchr(out.data, '\0', out.length));
	buffer_append(&out, "", 1);
	return out.data;
}

static const char *plain(const struct event *event)
{
	return line_in(event, (struct line_style){0});
}

#define HEAD "03:04:05.123 shop/web-1:main                     cat[4711]           "

Test(line, an_exec_shows_time_place_process_and_command)
{
	struct event event = event_of(EVENT_EXEC);

	cr_assert_str_eq(plain(&event), HEAD "exec      cat '/etc/a b'\n");
	event.outcome = EVENT_FAILURE;
	event.error = ENOENT;
	event.file.argument = TEXT_LITERAL("/nope");
	cr_assert_str_eq(plain(&event), HEAD "exec      /nope ENOENT\n");
}

Test(line, each_action_says_what_it_is_about)
{
	struct event event = event_of(EVENT_END);

	event.end.code = 3;
	cr_assert_str_eq(plain(&event), HEAD "end       exit 3\n");
	event.end.signal = 9;
	cr_assert_str_eq(plain(&event), HEAD "end       killed by signal 9\n");
	event = event_of(EVENT_OPEN);
	event.file = (struct event_file){
		.path = TEXT_LITERAL("/tmp/x"), .flags = O_WRONLY | O_CREAT | O_CLOEXEC, .created = true};
	event.count = 3;
	event.pending = true;
	cr_assert_str_eq(plain(&event), HEAD "open      /tmp/x O_WRONLY O_CREAT (created) (3 times) (names pending)\n");
	event = event_of(EVENT_CONNECT);
	event.outcome = EVENT_UNKNOWN;
	event.network = (struct event_network){.family = AF_INET6,
		.protocol = IPPROTO_TCP,
		.source = {AF_INET, {10, 0, 0, 1}, 1234},
		.destination = {AF_INET6, {0x20, 1, [15] = 1}, 443}};
	cr_assert_str_eq(plain(&event), HEAD "connect   tcp 10.0.0.1:1234 \u2192 [2001::1]:443 (no answer)\n");
	event = event_of(EVENT_LISTEN);
	event.network = (struct event_network){.family = AF_UNIX, .unix_name = TEXT_LITERAL("\0abs\0x")};
	cr_assert_str_eq(plain(&event), HEAD "listen    unix @abs\\x00x\n");
	event = event_of(EVENT_SOCKET);
	event.network = (struct event_network){.family = AF_PACKET, .type = SOCK_RAW, .protocol = htons(3)};
	cr_assert_str_eq(plain(&event), HEAD "socket    packet raw 0x0003\n");
	event = event_of(EVENT_SEND);
	event.io_uring = true;
	event.network = (struct event_network){.family = AF_INET,
		.protocol = IPPROTO_ICMP,
		.type = SOCK_RAW,
		.source = {AF_INET, {10, 0, 0, 1}, 0},
		.destination = {AF_INET, {10, 0, 0, 2}, 0}};
	cr_assert_str_eq(plain(&event), HEAD "send      icmp 10.0.0.1 \u2192 10.0.0.2 (io_uring)\n");
	event = event_of(EVENT_LISTEN);
	event.network = (struct event_network){.family = AF_VSOCK, .destination = {AF_VSOCK, {0, 0, 1, 2}, 70000}};
	cr_assert_str_eq(plain(&event), HEAD "listen    vsock 258:70000\n");
	event = event_of(EVENT_LOST);
	event.container = NULL;
	event.process = NULL;
	event.lost = (struct event_lost){.count = 12, .stage = TEXT_LITERAL("ring-bulk")};
	cr_assert(strstr(plain(&event), "lost      12 events lost in ring-bulk\n"), "%s", out.data);
	cr_assert_eq(strncmp(out.data, "03:04:05.123 host  ", 19), 0, "%s", out.data);
	event.lost.stage = (struct text){0};
	plain(&event);
	event = event_of(EVENT_FILTERED);
	event.container = NULL;
	event.process = NULL;
	event.filtered = (struct event_filtered){.count = 7, .counts = left_out};
	cr_assert(strstr(plain(&event), "filtered  7 events left out: 2 exec, 5 open\n"), "%s", out.data);
}

static const struct event_mount mount = {.destination = TEXT_STATIC("/proc")};

Test(line, what_becomes_of_a_container)
{
	struct event_container named = container;
	struct event_spec spec = {.args = TEXT_LITERAL("sh\0-c\0a b"),
		.privileged = true,
		.host_namespaces = EVENT_NAMESPACE_PID | EVENT_NAMESPACE_NETWORK,
		.mounts = &mount,
		.mount_count = 1};
	struct event event = event_of(EVENT_CONTAINER_STARTED);

	cr_assert_str_eq(plain(&event), HEAD "start     container started\n");
	named.image_name = TEXT_LITERAL("registry.example/web");
	named.image_tag = TEXT_LITERAL("1.4");
	named.image_digest = TEXT_LITERAL("sha256:1");
	named.source = EVENT_SOURCE_CRI;
	named.spec = &spec;
	event.container = &named;
	cr_assert_str_eq(plain(&event), HEAD "start     container started, image registry.example/web:1.4\n");
	event.life.spec = &spec;
	cr_assert_str_eq(plain(&event), HEAD "start     container started, image registry.example/web:1.4, privileged, "
					     "host pid network: sh -c 'a b'\n");
	spec = (struct event_spec){0};
	named.image_name = (struct text){0};
	named.sandbox = true;
	cr_assert_str_eq(plain(&event), HEAD "start     sandbox started, image sha256:1\n");
	event = event_of(EVENT_CONTAINER_STOPPED);
	event.life.exit_code = 137;
	cr_assert_str_eq(plain(&event), HEAD "stop      exit code 137\n");
	event.life.exit_reason = TEXT_LITERAL("OOMKilled");
	cr_assert_str_eq(plain(&event), HEAD "stop      exit code 137, OOMKilled\n");
	event = event_of(EVENT_CONTAINER_NAMED);
	event.container = &named;
	cr_assert_str_eq(plain(&event), HEAD "named     names known by cri, image sha256:1\n");
	event.container = NULL;
	plain(&event);
}

Test(line, where_a_process_is_and_what_is_not_the_containers_own)
{
	static const uint8_t other[EVENT_CONTAINER_ID_SIZE] = {0xab, 0xcd, 0xef, 1, 2, 3, 4};
	struct event event = event_of(EVENT_CGROUP_LEFT);

	event.cgroup = (struct event_cgroup){
		.path = TEXT_LITERAL("/system.slice"), .actor_pid = 4711, .actor_name = TEXT_LITERAL("cat")};
	cr_assert_str_eq(plain(&event), HEAD "cgroup    left \u2192 /system.slice\n");
	event.cgroup.actor_pid = 1;
	event.cgroup.actor_name = TEXT_LITERAL("e\x1b");
	event.cgroup.has_other = true;
	memcpy(event.cgroup.other_id, other, sizeof(other));
	cr_assert_str_eq(plain(&event),
		HEAD "cgroup    left \u2192 /system.slice of container abcdef010203, moved by e\\x1b[1]\n");
	event = event_of(EVENT_FORK);
	event.runtime_setup = true;
	cr_assert_str_eq(plain(&event), HEAD "fork       (runtime)\n");
	event.left_cgroup = true;
	event.nested_id = other;
	cr_assert_str_eq(plain(&event), HEAD "fork       (runtime) (outside its cgroup) (nested abcdef010203)\n");
	event = event_of(EVENT_ATTRIBUTION);
	event.attribution = (struct event_attribution){.pending = 12, .completed_late = 3, .never = 1, .unnamed = 2};
	cr_assert_str_eq(plain(&event),
		HEAD "names     12 events without all names; containers: 3 named late, 1 never, 2 wait\n");
}

Test(line, a_container_without_names_is_shown_by_its_id)
{
	struct event_container bare = {.id = {0xab, 0xcd, 0xef, 1, 2, 3, 4}};
	struct event event = event_of(EVENT_FORK);

	event.container = &bare;
	cr_assert_eq(strncmp(plain(&event), "03:04:05.123 abcdef010203 ", 26), 0, "%s", out.data);
}

Test(line, nothing_that_a_container_chose_drives_a_terminal)
{
	static char all[256 + 2 * 128 + 4], args[sizeof(all) * 2];
	struct event_container hostile = container;
	struct event_process bad = process;
	struct event_spec spec = {0};
	size_t length = 0;

	for (int byte = 1; byte < 256; byte++) /* 0 parts arguments */
		all[length++] = (char)byte;
	for (int byte = 0x80; byte < 0x100; byte++) {
		all[length++] = byte < 0xc0 ? '\xc2' : '\xc3';
		all[length++] = (char)(byte & 0xbf);
	}
	hostile.pod_name = hostile.pod_namespace = hostile.name = hostile.image_name = bad.name = bad.executable =
		(struct text){all, length};
	memcpy(args, all, length);
	memcpy(args + length + 1, all, length);
	spec.args = bad.args = (struct text){args, 2 * length + 1};
	for (int action = 1; action < EVENT_ACTIONS_END; action++) {
		if (!event_action_name(action))
			continue;
		struct event event = event_of(action);

		event.container = &hostile;
		event.process = &bad;
		if (event_action_category(action) == EVENT_FILE)
			event.file.path = event.file.argument = bad.name;
		if (event_action_category(action) == EVENT_NETWORK)
			event.network = (struct event_network){.family = AF_UNIX, .unix_name = bad.name};
		if (action == EVENT_LOST)
			event.lost.stage = bad.name;
		if (action == EVENT_FILTERED)
			event.filtered.counts = left_out;
		if (action == EVENT_CONTAINER_STARTED)
			event.life.spec = &spec;
		if (action == EVENT_CONTAINER_STOPPED)
			event.life.exit_reason = bad.name;
		if (action == EVENT_CGROUP_LEFT)
			event.cgroup = (struct event_cgroup){.path = bad.name, .actor_pid = 1, .actor_name = bad.name};
		plain(&event);
		for (size_t i = 0, step; i + 2 < out.length; i += step) { /* without the newline and the NUL */
			const unsigned char *c = (const unsigned char *)out.data + i;

			step = utf8_length(c, out.length - i);
			cr_assert_neq(step, 0, "action %d: no UTF-8 at %zu", action, i);
			cr_assert(*c >= ' ' && *c != 127, "action %d: a control character at %zu", action, i);
			cr_assert(*c != 0xc2 || c[1] >= 0xa0, "action %d: a C1 control at %zu", action, i);
		}
		cr_assert(strstr(out.data, "\\x1b"), "and the bytes are shown");
	}
}

/* Columns of a line, with its colours left out; characters of two columns counted as such where `wide` says so. */
static size_t columns_of(const char *line, size_t wide)
{
	size_t columns = 0;

	for (const unsigned char *c = (const unsigned char *)line; *c && *c != '\n';) {
		size_t length = utf8_length(c, 4);

		if (*c == '\033') {
			c = (const unsigned char *)strchr((const char *)c, 'm') + 1;
			continue;
		}
		columns += length >= wide ? 2 : 1;
		c += length;
	}
	return columns;
}

static void expect_fits(const struct event *event, size_t wide)
{
	for (size_t width = 1; width < 200; width++)
		for (int colour = 0; colour < 2; colour++) {
			const char *line = line_in(event, (struct line_style){colour, width});

			cr_assert_leq(columns_of(line, wide), width, "%zu columns of %zu: %s", columns_of(line, wide),
				width, line);
		}
}

Test(line, no_line_is_wider_than_the_terminal)
{
	struct event event = event_of(EVENT_OPEN);

	event.file = (struct event_file){
		.path = TEXT_LITERAL("/a/very/long/path/gr\xc3\xbc\xc3\x9f/\x1b[2J\xff/that/goes/on/and/on"
				     "/and/on/and/on/and/on/and/on/and/on/and/on/and/on/and/on"),
		.flags = O_RDWR};
	expect_fits(&event, 9);
	cr_assert(strstr(line_in(&event, (struct line_style){.width = 80}), "\u2026\n"), "what is cut shows it: %s",
		out.data);
	cr_assert_null(strstr(plain(&event), "\u2026"), "nothing is cut where there is no terminal");
}

Test(line, characters_of_two_columns_count_as_two)
{
	struct event event = event_of(EVENT_OPEN);

	event.file.path = TEXT_LITERAL(
		"/\u5bb9\u5668\u5bb9\u5668\u5bb9\u5668\u5bb9\u5668\u5bb9\u5668\u5bb9\u5668\u5bb9\u5668"
		"\u5bb9\u5668\u5bb9\u5668\U0001f6a2\U0001f6a2\uff21\ud55c\u5bb9\u5668\u5bb9\u5668\u5bb9\u5668");
	for (size_t width = 83; width < 160; width++) {
		const char *line = line_in(&event, (struct line_style){.width = width});
		const char *cut = strstr(line, "\u2026");
		size_t columns = columns_of(line, 3) - (cut != NULL);

		cr_assert_leq(columns, width, "%zu columns of %zu: %s", columns, width, line);
	}
}

Test(line, colours_are_only_where_they_are_wanted_and_end_with_the_line)
{
	struct event event = event_of(EVENT_EXEC);

	event.error = EACCES;
	event.outcome = EVENT_FAILURE;
	event.file.argument = TEXT_LITERAL("/x");
	for (size_t width = 0; width < 130; width++) {
		const char *last = NULL;

		cr_assert_null(strchr(line_in(&event, (struct line_style){false, width}), '\033'));
		for (const char *c = line_in(&event, (struct line_style){true, width}); (c = strchr(c, '\033')); c++)
			last = c;
		cr_assert_not_null(last);
		cr_assert_eq(strncmp(last, "\033[0m", 4), 0, "width %zu: %s", width, out.data);
	}
}

Test(line, parts_that_are_too_long_push_the_others_and_then_the_columns_are_found_again)
{
	struct event_container longer = container;
	struct event event = event_of(EVENT_FORK);

	longer.pod_name = TEXT_LITERAL("a-pod-with-a-name-longer-than-its-column");
	event.container = &longer;
	cr_assert_str_eq(
		plain(&event), "03:04:05.123 shop/a-pod-with-a-name-longer-than-its-column:main cat[4711] fork \n");
	longer.pod_name = TEXT_LITERAL("a-pod-with-a-name-longer-");
	cr_assert_str_eq(
		plain(&event), "03:04:05.123 shop/a-pod-with-a-name-longer-:main cat[4711]           fork      \n");
}
