/* SPDX-License-Identifier: Apache-2.0 */
/* What is opened through io_uring is told like what is opened by system calls. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "uring.h"

static char directory[] = "/tmp/taffrail-uring-XXXXXX";

static void set_up(void)
{
	struct uring ring;

	if (uring_open(&ring, 4, 0, 0) < 0)
		cr_skip_test("io_uring cannot be used here: %s", strerror(errno));
	close(ring.fd);
	cr_assert_not_null(mkdtemp(directory));
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (strncmp(directory, "/tmp/taffrail-uring-", 20) == 0 && system(command) != 0)
		fprintf(stderr, "%s stays\n", directory);
}

TestSuite(kernel_uring, .init = set_up, .fini = tear_down);

static const char *below(const char *name)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void take_open(struct uring *ring, const char *path, int open_flags, unsigned int flags, uint64_t user_data)
{
	struct io_uring_sqe *sqe = uring_take(ring, IORING_OP_OPENAT, AT_FDCWD, flags, user_data);

	sqe->addr = (uintptr_t)path;
	sqe->open_flags = (uint32_t)open_flags;
	sqe->len = 0640;
}

static void expect_open(const char *name, const char *first_flag)
{
	struct json_object *document = one("open", "file.path", below(name));

	expect(document, "taffrail.io_uring", "true");
	expect(document, "event.outcome", "success");
	expect(document, "taffrail.file.flags.0", first_flag);
	expect(document, "taffrail.file.unsure", "");
	expect(document, "file.type", "file");
}

static int open_every_way(void *argument)
{
	struct open_how how = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0600};
	struct io_uring_sqe *sqe;
	struct uring ring;
	int fd;

	(void)argument;
	umask(0);
	if (uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	take_open(&ring, below("openat"), O_WRONLY | O_CREAT, 0, 1);
	fd = uring_do(&ring);
	if (fd < 0)
		return 2;
	sqe = uring_take(&ring, IORING_OP_OPENAT2, AT_FDCWD, 0, 2);
	sqe->addr = (uintptr_t)below("openat2");
	sqe->off = (uintptr_t)&how;
	sqe->len = sizeof(how);
	if (uring_do(&ring) < 0)
		return 3;
	if (chdir(directory))
		return 4;
	take_open(&ring, "openat", O_RDONLY, IOSQE_ASYNC, 3);
	if (uring_do(&ring) < 0)
		return 5;
	take_open(&ring, "/tmp/taffrail-no-such-file", O_RDONLY, 0, 4);
	return uring_do(&ring) == -ENOENT ? 0 : 6;
}

Test(kernel_uring, opens_are_told_with_the_kernels_path)
{
	struct json_object *document;

	cr_assert_eq(watch(open_every_way, NULL), 0);
	document = one("open", "taffrail.file.argument", below("openat"));
	expect(document, "file.path", below("openat"));
	expect(document, "taffrail.io_uring", "true");
	expect(document, "taffrail.file.flags.0", "O_WRONLY");
	expect(document, "taffrail.file.flags.1", "O_CREAT");
	expect(document, "taffrail.file.flags.2", "");
	expect(document, "taffrail.file.unsure", "");
	expect(document, "event.type.0", "creation");
	expect(document, "file.mode", "0640");
	expect_open("openat2", "O_RDWR");

	document = one("open", "taffrail.file.argument", "openat");
	expect(document, "file.path", below("openat"));
	expect(document, "taffrail.io_uring", "true");
	expect(document, "taffrail.file.unsure", "");
	expect(document, "event.type.0", "access");

	document = one("open", "error.code", "ENOENT");
	expect(document, "file.path", "/tmp/taffrail-no-such-file");
	expect(document, "taffrail.io_uring", "true");
	expect(document, "event.outcome", "failure");
	cr_assert_eq(count("open", "taffrail.io_uring", "true"), 4);
}

static int register_slots(struct uring *ring)
{
	int empty[4] = {-1, -1, -1, -1};

	return (int)syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_FILES, empty, 4);
}

static int open_direct(void *argument)
{
	struct uring ring;
	struct io_uring_sqe *sqe;
	int fd = open(below("direct"), O_WRONLY | O_CREAT, 0600);

	(void)argument;
	close(fd);
	fd = open(below("chosen"), O_WRONLY | O_CREAT, 0600);
	close(fd);
	if (uring_open(&ring, 4, 0, 0) < 0 || register_slots(&ring) < 0)
		return 1;
	sqe = uring_take(&ring, IORING_OP_OPENAT, AT_FDCWD, 0, 1);
	sqe->addr = (uintptr_t)below("direct");
	sqe->open_flags = O_RDONLY;
	sqe->file_index = 3; /* the third slot */
	if (uring_do(&ring) != 0)
		return 2;
	sqe = uring_take(&ring, IORING_OP_OPENAT, AT_FDCWD, 0, 2);
	sqe->addr = (uintptr_t)below("chosen");
	sqe->open_flags = O_RDONLY;
	sqe->file_index = (uint32_t)IORING_FILE_INDEX_ALLOC; /* the kernel chooses */
	return uring_do(&ring) < 0 ? 3 : 0;
}

Test(kernel_uring, a_direct_descriptors_file_is_found_in_its_slot)
{
	cr_assert_eq(watch(open_direct, NULL), 0);
	cr_assert_eq(count("open", "taffrail.io_uring", "true"), 2);
	for (int i = 0; i < 2; i++) {
		const char *path = below(i ? "chosen" : "direct");
		struct json_object *found[4];
		size_t number = documents("open", found, 4), seen = 0;

		for (size_t j = 0; j < number && j < 4; j++)
			if (strcmp(at(found[j], "file.path"), path) == 0 &&
				strcmp(at(found[j], "taffrail.io_uring"), "true") == 0) {
				expect(found[j], "taffrail.file.unsure", "");
				expect(found[j], "file.type", "file");
				seen++;
			}
		cr_assert_eq(seen, 1, "%s", path);
	}
}

static int open_by_polling_thread(void *argument)
{
	struct uring ring;

	(void)argument;
	if (uring_open(&ring, 4, 0, IORING_SETUP_SQPOLL) < 0)
		return 1;
	take_open(&ring, below("polled"), O_WRONLY | O_CREAT, 0, 1);
	return uring_do(&ring) < 0 ? 2 : 0;
}

Test(kernel_uring, what_the_kernels_thread_submits_is_its_owners)
{
	struct json_object *document;

	cr_assert_eq(watch(open_by_polling_thread, NULL), 0);
	expect_open("polled", "O_WRONLY");
	document = one("open", "file.path", below("polled"));
	cr_assert_str_neq(at(document, "process.entity_id"), "");
	expect(document, "process.entity_id", at(one("end", "event.action", "end"), "process.entity_id"));
}

static int open_linked(void *argument)
{
	struct uring ring;
	struct io_uring_cqe event;

	(void)argument;
	if (uring_open(&ring, 8, 0, 0) < 0)
		return 1;
	take_open(&ring, below("first"), O_WRONLY | O_CREAT, IOSQE_IO_LINK, 1);
	take_open(&ring, below("second"), O_WRONLY | O_CREAT, IOSQE_IO_LINK, 2);
	take_open(&ring, below("third"), O_RDONLY, IOSQE_IO_LINK, 3); /* is not there */
	take_open(&ring, below("never"), O_WRONLY | O_CREAT, 0, 4);
	if (uring_submit(&ring, 4) < 0)
		return 2;
	for (int i = 0; i < 4; i++)
		if (!uring_completion(&ring, &event))
			return 3;
	return event.res == -ECANCELED ? 0 : 4;
}

Test(kernel_uring, a_chain_is_told_link_by_link)
{
	cr_assert_eq(watch(open_linked, NULL), 0);
	expect_open("first", "O_WRONLY");
	expect_open("second", "O_WRONLY");
	expect(one("open", "file.path", below("third")), "error.code", "ENOENT");
	/* A request that was cancelled has called nothing. */
	if (!watch_by_function())
		expect(one("open", "file.path", below("never")), "error.code", "ECANCELED");
}

static int open_without_completion(void *argument)
{
	struct uring ring;

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0 || chdir(directory))
		return 1;
	take_open(&ring, "./silent", O_WRONLY | O_CREAT, IOSQE_CQE_SKIP_SUCCESS, 1);
	if (uring_submit(&ring, 0) < 0)
		return 2;
	for (int i = 0; i < 2000 && access(below("silent"), F_OK) != 0; i++)
		usleep(10 * 1000);
	return access(below("silent"), F_OK);
}

Test(kernel_uring, a_success_that_is_kept_silent_is_told)
{
	struct json_object *document;

	cr_assert_eq(watch(open_without_completion, NULL), 0);
	document = one("open", "file.path", below("silent"));
	expect(document, "event.outcome", watch_by_function() ? "success" : "unknown");
	expect(document, "taffrail.file.argument", "./silent");
	expect(document, "taffrail.io_uring", "true");
	expect(document, "file.type", watch_by_function() ? "file" : "");
}

static int open_by_child(void *argument)
{
	struct uring ring;
	int status;
	pid_t child;

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	child = fork();
	if (child == 0) { /* the parent's ring, inherited */
		take_open(&ring, below("childs"), O_WRONLY | O_CREAT, 0, 1);
		_exit(uring_do(&ring) < 0);
	}
	return waitpid(child, &status, 0) != child || status != 0;
}

Test(kernel_uring, a_child_that_submits_to_its_parents_ring_is_told_as_itself)
{
	struct json_object *document;

	cr_assert_eq(watch(open_by_child, NULL), 0);
	expect_open("childs", "O_WRONLY");
	document = one("open", "file.path", below("childs"));
	expect(document, "process.entity_id", at(one("fork", "event.action", "fork"), "process.entity_id"));
}

/* Guesses the descriptor, closes it and puts another file in its place, all in one submission. */
static int open_and_replace(void *argument)
{
	struct uring ring;
	struct io_uring_cqe event;
	int next, spare = open(below("decoy"), O_WRONLY | O_CREAT, 0600);

	(void)argument;
	close(spare);
	spare = open(below("secret"), O_WRONLY | O_CREAT, 0600);
	close(spare);
	if (uring_open(&ring, 8, 0, 0) < 0)
		return 1;
	next = dup(ring.fd);
	close(next);
	take_open(&ring, below("secret"), O_RDONLY, 0, 1);
	uring_take(&ring, IORING_OP_CLOSE, next, 0, 2);
	take_open(&ring, below("decoy"), O_RDONLY, 0, 3);
	if (uring_submit(&ring, 3) < 0)
		return 2;
	for (int i = 0; i < 3; i++)
		if (!uring_completion(&ring, &event) || event.res < 0)
			return 3;
	return 0;
}

Test(kernel_uring, a_file_that_was_replaced_in_the_same_batch_is_in_doubt_and_named)
{
	struct json_object *found[8], *document = NULL;
	size_t number;

	cr_assert_eq(watch(open_and_replace, NULL), 0);
	number = documents("open", found, 8);
	for (size_t i = 0; i < number && i < 8; i++)
		if (strcmp(at(found[i], "taffrail.io_uring"), "true") == 0 &&
			strcmp(at(found[i], "taffrail.file.argument"), below("secret")) == 0)
			document = found[i];
	cr_assert_not_null(document, "the open of the secret is not told");
	if (strcmp(at(document, "file.path"), below("secret")) != 0)
		expect(document, "taffrail.file.unsure", "true");
}

/*
 * One after another, each when the one before it is told: a worker makes a file that is seen before its open has returned,
 * and where that worker is preempted in the sensor's program, the kernel passes over the next one's (README, events_lost).
 */
static int open_with_full_queue(void *argument)
{
	struct uring ring;
	char path[128];
	int fdinfo;

	(void)argument;
	if (uring_open(&ring, 2, 2, 0) < 0 || (fdinfo = uring_fdinfo(&ring)) < 0)
		return 1;
	for (unsigned int i = 0; i < 6; i++) { /* nobody takes a completion */
		snprintf(path, sizeof(path), "%s/full-%u", directory, i);
		take_open(&ring, path, O_WRONLY | O_CREAT, 0, 100 + i);
		if (uring_submit(&ring, 0) < 0)
			return 2;
		if (!uring_await(&ring, fdinfo, i + 1))
			return 3;
	}
	/* Two on their way with one user_data: nobody can tell which is which. Linked, for they must not run at a time. */
	take_open(&ring, below("twin-1"), O_WRONLY | O_CREAT, IOSQE_IO_LINK, 7);
	take_open(&ring, below("twin-2"), O_WRONLY | O_CREAT, 0, 7);
	if (uring_submit(&ring, 0) < 0)
		return 4;
	return uring_await(&ring, fdinfo, 8) ? 0 : 5;
}

/* Each is told, or declared lost: who else of the machine is preempted while he opens has the next one passed over, too. */
Test(kernel_uring, completions_that_find_the_queue_full_are_told)
{
	long told = 0;
	char name[32];

	cr_assert_eq(watch(open_with_full_queue, NULL), 0);
	for (unsigned int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), i < 6 ? "full-%u" : "twin-%u", i < 6 ? i : i - 5);
		if (count("open", "file.path", below(name)) == 0 && watch_passed_over() > 0)
			continue;
		told++;
		if (i < 6)
			expect_open(name, "O_WRONLY");
		else
			expect(one("open", "file.path", below(name)), "taffrail.io_uring", "true");
	}
	cr_assert(watch_all_told(told, 8), "%ld of 8 are told, %ld passed over", told, watch_passed_over());
}

static int nothing_of_it(void *argument)
{
	(void)argument;
	close(open(below("plain"), O_WRONLY | O_CREAT, 0600));
	return 0;
}

Test(kernel_uring, a_system_calls_event_says_nothing_of_io_uring)
{
	cr_assert_eq(watch(nothing_of_it, NULL), 0);
	expect(one("open", "file.path", below("plain")), "taffrail.io_uring", "");
}

/* --- one that takes all the room --------------------------------------------------------------------------------------- */

enum { ROOM = 16384 }; /* of bpf/uring.bpf.c: requests that have not completed */

/* Accepts that nobody will ever satisfy. */
static int hold_all_the_room(void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct uring ring, other;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 1) ||
		uring_open(&ring, 64, ROOM * 2, 0) < 0 || uring_open(&other, 8, 0, 0) < 0)
		return 1;
	for (int i = 0; i < ROOM + 100; i++) {
		uring_take(&ring, IORING_OP_ACCEPT, listener, 0, (uint64_t)i);
		if (ring.pending == 64 && uring_submit(&ring, 0) < 0)
			return 2;
	}
	if (uring_submit(&ring, 0) < 0)
		return 3;
	take_open(&other, below("no-room"), O_WRONLY | O_CREAT, 0, 1);
	return uring_do(&other) < 0 ? 4 : 0;
}

Test(kernel_uring, what_finds_no_room_is_told_at_once)
{
	struct json_object *document;

	cr_assert_eq(watch(hold_all_the_room, NULL), 0);
	if (watch_by_function()) { /* they see the open itself */
		expect_open("no-room", "O_WRONLY");
		return;
	}
	document = one("open", "taffrail.file.argument", below("no-room"));
	expect(document, "event.outcome", "unknown");
	expect(document, "taffrail.io_uring", "true");
}
