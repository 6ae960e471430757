/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked for through io_uring is told like what is asked for by system calls. */
#include <arpa/inet.h>
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
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "uring.h"

/* In headers younger than Debian 12's. */
enum { OP_LISTEN = 57 };

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

/* --- opens ------------------------------------------------------------------------------------------------------------ */

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
	for (int i = 0; i < 100 && access(below("silent"), F_OK) != 0; i++)
		usleep(10 * 1000);
	return access(below("silent"), F_OK);
}

Test(kernel_uring, a_success_that_is_kept_silent_is_told_with_its_outcome_unknown)
{
	struct json_object *document;

	cr_assert_eq(watch(open_without_completion, NULL), 0);
	document = one("open", "file.path", below("silent"));
	expect(document, "event.outcome", "unknown");
	expect(document, "taffrail.file.argument", "./silent");
	expect(document, "taffrail.io_uring", "true");
	expect(document, "file.type", "");
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

static int open_with_full_queue(void *argument)
{
	struct uring ring;
	char path[128];

	(void)argument;
	if (uring_open(&ring, 2, 2, 0) < 0)
		return 1;
	for (unsigned int i = 0; i < 6; i++) { /* nobody takes a completion */
		snprintf(path, sizeof(path), "%s/full-%u", directory, i);
		take_open(&ring, path, O_WRONLY | O_CREAT, 0, 100 + i);
		if (uring_submit(&ring, 0) < 0)
			return 2;
		for (int j = 0; j < 200 && access(path, F_OK) != 0; j++)
			usleep(10 * 1000);
		if (access(path, F_OK) != 0)
			return 3;
	}
	/* Two at once with one user_data: nobody can tell which is which. */
	take_open(&ring, below("twin-1"), O_WRONLY | O_CREAT, 0, 7);
	take_open(&ring, below("twin-2"), O_WRONLY | O_CREAT, 0, 7);
	if (uring_submit(&ring, 0) < 0)
		return 4;
	usleep(300 * 1000);
	return access(below("twin-2"), F_OK) != 0;
}

Test(kernel_uring, completions_that_find_the_queue_full_are_told)
{
	char name[32];

	cr_assert_eq(watch(open_with_full_queue, NULL), 0);
	for (unsigned int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "full-%u", i);
		expect_open(name, "O_WRONLY");
	}
	expect(one("open", "file.path", below("twin-1")), "taffrail.io_uring", "true");
	expect(one("open", "file.path", below("twin-2")), "taffrail.io_uring", "true");
}

/* --- sockets ------------------------------------------------------------------------------------------------------------ */

static int listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(fd, (void *)address, length) || listen(fd, 8) || getsockname(fd, (void *)address, &length))
		return -1;
	return fd;
}

static int connect_through(struct uring *ring, int fd, const void *address, socklen_t length, unsigned int flags)
{
	struct io_uring_sqe *sqe = uring_take(ring, IORING_OP_CONNECT, fd, flags, 50);

	sqe->addr = (uintptr_t)address;
	sqe->off = length;
	return uring_do(ring);
}

static int tcp_both_ends(void *argument)
{
	struct sockaddr_in address;
	struct uring ring;
	int server = listener(&address), client = socket(AF_INET, SOCK_STREAM, 0), accepted;
	char byte = 'x';

	if (server < 0 || uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (connect_through(&ring, client, &address, sizeof(address), argument ? IOSQE_ASYNC : 0) != 0)
		return 2;
	uring_take(&ring, IORING_OP_ACCEPT, server, argument ? IOSQE_ASYNC : 0, 51);
	accepted = uring_do(&ring);
	if (accepted < 0 || write(client, &byte, 1) != 1 || read(accepted, &byte, 1) != 1)
		return 3;
	close(client);
	close(accepted);
	usleep(100 * 1000);
	return 0;
}

static void expect_tcp(void)
{
	struct json_object *connected = one("connection_attempted", "network.transport", "tcp");
	struct json_object *accepted = one("connection_accepted", "network.transport", "tcp");

	expect(connected, "taffrail.io_uring", "true");
	expect(connected, "event.outcome", "success");
	expect(connected, "destination.ip", "127.0.0.1");
	expect(accepted, "taffrail.io_uring", "true");
	expect(accepted, "event.outcome", "success");
	expect(accepted, "source.port", at(connected, "source.port"));
	expect(accepted, "destination.port", at(connected, "destination.port"));
	cr_assert_str_neq(at(connected, "source.port"), "0");
	cr_assert_eq(count("disconnect_received", "source.port", at(connected, "source.port")), 2);
}

Test(kernel_uring, tcp_connect_and_accept)
{
	cr_assert_eq(watch(tcp_both_ends, NULL), 0);
	expect_tcp();
}

Test(kernel_uring, tcp_connect_and_accept_by_worker_threads)
{
	cr_assert_eq(watch(tcp_both_ends, directory), 0);
	expect_tcp();
}

static int connects_that_fail(void *argument)
{
	struct sockaddr_in nobody = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
	struct sockaddr_un missing = {.sun_family = AF_UNIX, .sun_path = "/tmp/taffrail-no-such-socket"};
	struct uring ring;
	int tcp = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (connect_through(&ring, tcp, &nobody, sizeof(nobody), 0) != -ECONNREFUSED)
		return 2;
	return connect_through(&ring, local, &missing, sizeof(missing), 0) != -ENOENT;
}

Test(kernel_uring, failing_connects_have_their_address_and_error)
{
	struct json_object *document;

	cr_assert_eq(watch(connects_that_fail, NULL), 0);
	document = one("connection_attempted", "error.code", "ECONNREFUSED");
	expect(document, "destination.port", "1");
	expect(document, "taffrail.io_uring", "true");
	document = one("connection_attempted", "error.code", "ENOENT");
	expect(document, "destination.address", "/tmp/taffrail-no-such-socket");
	expect(document, "taffrail.io_uring", "true");
	cr_assert_eq(count("connection_attempted", "event.outcome", "failure"), 2);
}

static int connects_of_other_kinds(void *argument)
{
	struct sockaddr_in udp = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(40011)};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0taffrail-uring"};
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + 15;
	struct uring ring;
	int server = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0 || bind(server, (void *)&name, length) || listen(server, 4))
		return 1;
	if (connect_through(&ring, socket(AF_INET, SOCK_DGRAM, 0), &udp, sizeof(udp), 0) != 0)
		return 2;
	if (connect_through(&ring, socket(AF_UNIX, SOCK_STREAM, 0), &name, length, 0) != 0)
		return 3;
	uring_take(&ring, IORING_OP_ACCEPT, server, 0, 9);
	return uring_do(&ring) < 0 ? 4 : 0;
}

Test(kernel_uring, udp_and_unix_connects)
{
	struct json_object *document;

	cr_assert_eq(watch(connects_of_other_kinds, NULL), 0);
	document = one("connection_attempted", "network.transport", "udp");
	expect(document, "destination.port", "40011");
	expect(document, "event.outcome", "success");
	expect(document, "taffrail.io_uring", "true");
	document = one("connection_attempted", "network.transport", "unix");
	expect(document, "destination.address", "@taffrail-uring");
	expect(document, "event.outcome", "success");
	expect(document, "taffrail.io_uring", "true");
	document = one("connection_accepted", "network.transport", "unix");
	expect(document, "destination.address", "@taffrail-uring");
	expect(document, "taffrail.io_uring", "true");
}

static int accept_many(void *argument)
{
	struct sockaddr_in address;
	struct uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe event;
	int server = listener(&address);

	if (server < 0 || uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (argument && register_slots(&ring) < 0)
		return 2;
	sqe = uring_take(&ring, IORING_OP_ACCEPT, server, 0, 77);
	sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	if (argument)
		sqe->file_index = (uint32_t)IORING_FILE_INDEX_ALLOC;
	if (uring_submit(&ring, 0) < 0)
		return 3;
	for (int i = 0; i < 3; i++) {
		if (connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)))
			return 4;
		if (!uring_completion(&ring, &event) || event.res < 0 || event.user_data != 77)
			return 5;
	}
	return 0;
}

static void expect_three_accepts(void)
{
	struct json_object *connects[4], *document;

	cr_assert_eq(documents("connection_attempted", connects, 4), 3);
	for (int i = 0; i < 3; i++) {
		expect(connects[i], "taffrail.io_uring", "");
		document = one("connection_accepted", "source.port", at(connects[i], "source.port"));
		expect(document, "taffrail.io_uring", "true");
		expect(document, "destination.port", at(connects[i], "destination.port"));
		expect(document, "event.outcome", "success");
	}
}

Test(kernel_uring, one_request_that_accepts_many)
{
	cr_assert_eq(watch(accept_many, NULL), 0);
	expect_three_accepts();
}

Test(kernel_uring, one_request_that_accepts_many_into_slots)
{
	cr_assert_eq(watch(accept_many, directory), 0);
	expect_three_accepts();
}

static int accept_silently(void *argument)
{
	struct sockaddr_in address;
	struct uring ring;
	int server = listener(&address);

	(void)argument;
	if (server < 0 || uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)))
		return 2;
	uring_take(&ring, IORING_OP_ACCEPT, server, IOSQE_CQE_SKIP_SUCCESS, 1);
	if (uring_submit(&ring, 0) < 0)
		return 3;
	usleep(100 * 1000);
	return 0;
}

Test(kernel_uring, an_accept_that_is_kept_silent_is_told_without_its_client)
{
	struct json_object *document;

	cr_assert_eq(watch(accept_silently, NULL), 0);
	document = one("connection_accepted", "taffrail.io_uring", "true");
	expect(document, "event.outcome", "unknown");
	expect(document, "destination.ip", "127.0.0.1");
	expect(document, "destination.port",
		at(one("connection_attempted", "network.transport", "tcp"), "destination.port"));
	expect(document, "source.ip", "");
}

static int send_datagrams(void *argument)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(40021)};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0taffrail-uring-dgram"};
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + 21;
	struct iovec bytes = {"x", 1};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &bytes, .msg_iovlen = 1};
	struct uring ring;
	struct io_uring_sqe *sqe;
	int udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0 || bind(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&name, length))
		return 1;
	for (int i = 0; i < 3; i++) {
		sqe = uring_take(&ring, IORING_OP_SENDMSG, udp, i ? IOSQE_ASYNC : 0, 1);
		sqe->addr = (uintptr_t)&message;
		sqe->len = 1;
		if (uring_do(&ring) < 0)
			return 2;
		to.sin_port = htons(40022);
	}
	sqe = uring_take(&ring, IORING_OP_SEND, udp, 0, 1);
	to.sin_port = htons(40023);
	sqe->addr = (uintptr_t) "y";
	sqe->len = 1;
	sqe->addr2 = (uintptr_t)&to;
	sqe->addr_len = sizeof(to);
	if (uring_do(&ring) < 0)
		return 3;
	message.msg_name = &name;
	message.msg_namelen = length;
	sqe = uring_take(&ring, IORING_OP_SENDMSG, local, 0, 1);
	sqe->addr = (uintptr_t)&message;
	sqe->len = 1;
	return uring_do(&ring) < 0 ? 4 : 0;
}

Test(kernel_uring, the_first_datagram_to_each_peer)
{
	static const char *const ports[] = {"40021", "40022", "40023"};

	cr_assert_eq(watch(send_datagrams, NULL), 0);
	for (int i = 0; i < 3; i++)
		expect(one("send", "destination.port", ports[i]), "taffrail.io_uring", "true");
	expect(one("send", "destination.address", "@taffrail-uring-dgram"), "taffrail.io_uring", "true");
	cr_assert_eq(count("send", "event.action", "send"), 4);
}

static int sockets_made_by_ring(void *argument)
{
	struct uring ring;
	struct io_uring_sqe *sqe;
	int fd;

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	sqe = uring_take(&ring, IORING_OP_SOCKET, AF_INET, 0, 1);
	sqe->off = SOCK_RAW;
	sqe->len = IPPROTO_ICMP;
	if (uring_do(&ring) < 0)
		return 2;
	sqe = uring_take(&ring, IORING_OP_SOCKET, AF_INET, 0, 2);
	sqe->off = SOCK_STREAM | SOCK_CLOEXEC;
	fd = uring_do(&ring);
	if (fd < 0)
		return 3;
	sqe = uring_take(&ring, OP_LISTEN, fd, 0, 3);
	sqe->len = 4;
	fd = uring_do(&ring);
	return fd == -EINVAL ? 40 : fd;
}

Test(kernel_uring, sockets_that_are_made_and_listen)
{
	struct json_object *document;
	int result = watch(sockets_made_by_ring, NULL);

	if (result != 40) /* listening came with 6.11 */
		cr_assert_eq(result, 0);
	document = one("socket", "taffrail.socket.type", "raw");
	expect(document, "taffrail.io_uring", "true");
	expect(document, "network.transport", "icmp");
	cr_assert_eq(count("socket", "event.action", "socket"), 1, "an ordinary one is not told");
	if (result != 0)
		return;
	document = one("listen", "network.transport", "tcp");
	expect(document, "taffrail.io_uring", "true");
	cr_assert_gt(atoi(at(document, "destination.port")), 0);
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
