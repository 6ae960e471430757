/* SPDX-License-Identifier: Apache-2.0 */
/* The families in both faces that people read: ECS documents and lines. */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "event/line.h"
#include "event/names.h"
#include "test_document.h"
#include "tests/documents.h"

struct expected {
	const char *path, *value;
};

/* Writes the event; every path has its value ("": it is absent). */
static void expect(const struct event *event, const struct expected *expected)
{
	struct json_object *document = document_written(event);

	for (; expected->path; expected++)
		cr_assert_str_eq(at(document, expected->path), expected->value, "%s is \"%s\" in %s", expected->path,
			at(document, expected->path), json_object_to_json_string(document));
	json_object_put(document);
}

/* What the line says of the event, behind its columns. */
static void expect_line(const struct event *event, const char *what)
{
	static const struct line_style plain = {false, 0};
	struct buffer out = {0};

	line_write(&out, event, &plain);
	buffer_append(&out, "", 1);
	cr_assert(strstr(out.data, what), "\"%s\" is not in %s", what, out.data);
	buffer_free(&out);
}

static struct event event_by(enum event_action action, enum event_call call)
{
	struct event event = document_event(action);

	event.call = call;
	event.descriptor = -1;
	return event;
}

Test(ecs_family, changes_of_names)
{
	struct event event = event_by(EVENT_RENAME, EVENT_CALL_RENAMEAT2);

	event.change = (struct event_change){.path = TEXT_LITERAL("/d/a.txt"),
		.named = TEXT_LITERAL("/d/a.txt"),
		.argument = TEXT_LITERAL("a.txt"),
		.new_path = TEXT_LITERAL("/e/b"),
		.new_named = TEXT_LITERAL("/e/b"),
		.new_argument = TEXT_LITERAL("../e/b"),
		.flags = 2};
	expect(&event,
		(struct expected[]){{"event.action", "rename"}, {"event.category.0", "file"},
			{"event.type.0", "change"}, {"event.dataset", "taffrail.file"}, {"file.path", "/d/a.txt"},
			{"file.name", "a.txt"}, {"file.directory", "/d"}, {"file.extension", "txt"},
			{"file.target_path", "/e/b"}, {"taffrail.file.argument", "a.txt"}, {"taffrail.file.named", ""},
			{"taffrail.file.new_argument", "../e/b"}, {"taffrail.file.flags.0", "RENAME_EXCHANGE"},
			{"taffrail.call", "renameat2"}, {"file.mode", ""}, {NULL, NULL}});
	expect_line(&event, "rename    /d/a.txt \u2192 /e/b\n");
	event = event_by(EVENT_SYMLINK, EVENT_CALL_SYMLINK);
	event.change = (struct event_change){
		.path = TEXT_LITERAL("/l"), .named = TEXT_LITERAL("/l"), .target = TEXT_LITERAL("/etc/\xff")};
	expect(&event, (struct expected[]){{"event.type.0", "creation"}, {"file.target_path", "/etc/\\xff"},
			       {"taffrail.escaped.0", "file.target_path"}, {"taffrail.file", ""}, {NULL, NULL}});
	expect_line(&event, "symlink   /l \u2192 /etc/\\xff\n");
	event = event_by(EVENT_RMDIR, EVENT_CALL_UNLINKAT);
	event.outcome = EVENT_FAILURE;
	event.error = ENOTEMPTY;
	event.change = (struct event_change){.argument = TEXT_LITERAL("d"), .flags = 0x200};
	expect(&event,
		(struct expected[]){{"event.type.0", "deletion"}, {"file", ""}, {"error.code", "ENOTEMPTY"},
			{"taffrail.file.argument", "d"}, {"taffrail.file.flags.0", "AT_REMOVEDIR"}, {NULL, NULL}});
	expect_line(&event, "rmdir     d ENOTEMPTY\n");
}

Test(ecs_family, changes_of_modes)
{
	struct event event = event_by(EVENT_CHMOD, EVENT_CALL_FCHMOD);

	event.change = (struct event_change){
		.path = TEXT_LITERAL("/x"), .named = TEXT_LITERAL("/x"), .mode = 06711, .inode = 1ull << 60};
	event.truncated = EVENT_CUT_TARGET_PATH;
	expect(&event, (struct expected[]){{"file.mode", "6711"}, {"file.inode", "1152921504606846976"},
			       {"taffrail.truncated.0", "file.target_path"}, {NULL, NULL}});
	expect_line(&event, "chmod     /x 6711\n");
}

Test(ecs_family, ids)
{
	struct event event = event_by(EVENT_SETUID, EVENT_CALL_SETRESUID);
	char own[16];

	snprintf(own, sizeof(own), "%u", document_process.uid);
	event.deed.id = 33;
	expect(&event, (struct expected[]){{"user.id", own}, {"user.changes.id", "33"}, {"user.changes.group", ""},
			       {"event.category.0", "process"}, {"event.type.0", "change"},
			       {"taffrail.call", "setresuid"}, {NULL, NULL}});
	expect_line(&event, "setuid    setresuid 33\n");
	event.call = EVENT_CALL_SETGID;
	expect(&event, (struct expected[]){{"user.changes.group.id", "33"}, {"user.changes.id", ""}, {NULL, NULL}});
	event.deed.id = UINT32_MAX;
	expect(&event, (struct expected[]){{"user", ""}, {NULL, NULL}});
}

Test(ecs_family, a_doubled_socket)
{
	struct event event = event_by(EVENT_DUP, EVENT_CALL_DUP2);

	event.descriptor = 0;
	event.deed = (struct event_deed){.request = 7,
		.descriptor_type = 7,
		.socket = {.family = AF_INET,
			.protocol = IPPROTO_TCP,
			.source = {AF_INET, {10, 0, 0, 1}, 4000},
			.destination = {AF_INET, {10, 0, 0, 2}, 443}}};
	expect(&event, (struct expected[]){{"taffrail.deed.old_descriptor", "7"}, {"taffrail.deed.descriptor", "0"},
			       {"taffrail.deed.descriptor_type", "inet"}, {"source.ip", "10.0.0.1"},
			       {"destination.port", "443"}, {"network.transport", "tcp"},
			       {"event.category.0", "process"}, {"file", ""}, {NULL, NULL}});
	expect_line(&event, "dup       7 \u2192 0 inet 10.0.0.1:4000 \u2192 10.0.0.2:443\n");
	event.deed = (struct event_deed){.request = 3, .descriptor_type = 1, .path = TEXT_LITERAL("/a/b")};
	expect(&event, (struct expected[]){{"file.path", "/a/b"}, {"source", ""}, {NULL, NULL}});
	event.deed.path = TEXT_LITERAL("pipefs:");
	expect(&event, (struct expected[]){{"file", ""}, {"taffrail.deed.descriptor_name", "pipefs:"}, {NULL, NULL}});
}

Test(ecs_family, other_deeds)
{
	struct event event = event_by(EVENT_PTRACE, EVENT_CALL_PTRACE);

	event.deed = (struct event_deed){.request = 0x4206, .other = 12, .other_name = TEXT_LITERAL("sshd")};
	expect(&event,
		(struct expected[]){{"taffrail.deed.request", "PTRACE_SEIZE"}, {"taffrail.deed.tracee.pid", "12"},
			{"taffrail.deed.tracee.name", "sshd"}, {"event.type.0", "access"}, {NULL, NULL}});
	expect_line(&event, "ptrace    PTRACE_SEIZE sshd[12]\n");
	event = event_by(EVENT_UNSHARE, EVENT_CALL_UNSHARE);
	event.deed.flags = 0x20000 | 0x40000000 | 1;
	expect(&event,
		(struct expected[]){{"taffrail.deed.flags.0", "CLONE_NEWNS"}, {"taffrail.deed.flags.1", "CLONE_NEWNET"},
			{"taffrail.deed.flags.2", "0x1"}, {"taffrail.deed.descriptor", ""}, {NULL, NULL}});
	event = event_by(EVENT_MODULE, EVENT_CALL_FINIT_MODULE);
	event.deed = (struct event_deed){.path = TEXT_LITERAL("/x.ko"), .data = TEXT_LITERAL("a=1")};
	expect(&event, (struct expected[]){{"event.category.0", "driver"}, {"event.type.0", "start"},
			       {"file.path", "/x.ko"}, {"taffrail.deed.data", "a=1"}, {NULL, NULL}});
	expect_line(&event, "module    /x.ko a=1\n");
	event = event_by(EVENT_MOUNT, EVENT_CALL_MOUNT);
	event.deed = (struct event_deed){.path = TEXT_LITERAL("/m"),
		.source = TEXT_LITERAL("/dev/sda"),
		.type = TEXT_LITERAL("ext4"),
		.flags = 0x1001};
	expect(&event, (struct expected[]){{"file.path", "/m"}, {"taffrail.deed.source", "/dev/sda"},
			       {"taffrail.deed.type", "ext4"}, {"taffrail.deed.flags.1", "MS_BIND"}, {NULL, NULL}});
	expect_line(&event, "mount     /dev/sda \u2192 /m ext4 MS_RDONLY MS_BIND\n");
}

Test(ecs_family, requests_have_their_names_or_their_numbers)
{
	char room[24];
	struct event event = event_by(EVENT_BPF, EVENT_CALL_BPF);

	event.deed.request = 5;
	cr_assert_str_eq(name_of_request(&event, room), "BPF_PROG_LOAD");
	event.deed.request = UINT64_MAX;
	cr_assert_str_eq(name_of_request(&event, room), "18446744073709551615");
	event.action = EVENT_PTRACE;
	cr_assert_str_eq(name_of_request(&event, room), "18446744073709551615");
	event.deed.request = 10;
	cr_assert_str_eq(name_of_request(&event, room), "10", "a number between the others");
	event.deed.request = 16;
	cr_assert_str_eq(name_of_request(&event, room), "PTRACE_ATTACH");
	event.action = EVENT_SETNS;
	event.deed.request = 0x40000000;
	cr_assert_str_eq(name_of_request(&event, room), "CLONE_NEWNET");
	event.deed.request = 0;
	cr_assert_str_eq(name_of_request(&event, room), "0");
}

Test(ecs_family, names_of_opens)
{
	struct event event = event_by(EVENT_OPEN, EVENT_CALL_OPENAT);

	event.file = (struct event_file){
		.path = TEXT_LITERAL("/usr/x"), .argument = TEXT_LITERAL("../x"), .named = TEXT_LITERAL("/x")};
	expect(&event, (struct expected[]){{"taffrail.file.named", "/x"}, {"taffrail.call", ""}, {NULL, NULL}});
	event.file.named = event.file.path;
	expect(&event, (struct expected[]){{"taffrail.file.named", ""}, {NULL, NULL}});
	event = event_by(EVENT_EXEC, EVENT_CALL_EXECVE);
	event.file.argument = TEXT_LITERAL("./x");
	event.file.named = TEXT_LITERAL("/d/x");
	expect(&event, (struct expected[]){{"taffrail.file", ""}, {"file", ""}, {NULL, NULL}});
}
