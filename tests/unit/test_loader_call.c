/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader's process lets itself be asked, and by whom: the worker, which may be anybody's once it is taken over. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/capability.h"
#include "sensor/confine.h"
#include "sensor/loader_call.h"
#include "sensor/loader_serve.h"

static const char *check(const struct request *request)
{
	return request_check(request, request_size(request->kind));
}

Test(loader_call, each_kind_has_its_size_and_no_other)
{
	struct request request = {.kind = 0};

	cr_expect_str_eq(request_check(&request, sizeof(request)), "there is no such request");
	request.kind = REQUEST_KINDS_END;
	cr_expect_str_eq(request_check(&request, sizeof(request)), "there is no such request");
	request.kind = UINT32_MAX;
	cr_expect_str_eq(request_check(&request, sizeof(request)), "there is no such request");
	for (uint32_t kind = 1; kind < REQUEST_KINDS_END; kind++) {
		size_t size = request_size(kind);

		request = (struct request){.kind = kind};
		cr_expect(size >= 8 && size <= sizeof(request), "kind %u", kind);
		cr_expect_str_eq(request_check(&request, size + 1), "it has another size", "kind %u", kind);
		cr_expect(request_check(&request, size - 1) != NULL, "kind %u", kind);
		cr_expect(request_check(&request, 3) != NULL, "kind %u", kind);
	}
}

Test(loader_call, numbers_are_bounded)
{
	static const struct {
		uint32_t kind, last;
	} ends[] = {{REQUEST_LOAD, 4096}, {REQUEST_PREFIX, 16}, {REQUEST_UNPIN, 1}, {REQUEST_FORMERS, 1},
		{REQUEST_FORMER_REST, FORMER_HANDLES - 1}, {REQUEST_FORMER_DROP, FORMER_HANDLES - 1},
		{REQUEST_FORMER_DROP_RINGS, FORMER_HANDLES - 1}, {REQUEST_FORMER_CLOSE, FORMER_HANDLES - 1},
		{REQUEST_ATTACH, 0}, {REQUEST_DETACH, 0}, {REQUEST_CANARY_START, 0}, {REQUEST_COUNTERS, 0}};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct request request = {.kind = ends[i].kind, .number = ends[i].last};

		cr_expect_null(check(&request), "kind %u", ends[i].kind);
		request.number++;
		cr_expect_str_eq(check(&request), "its number is out of bounds", "kind %u", ends[i].kind);
	}
}

Test(loader_call, what_is_in_them_is_checked)
{
	struct request want = {.kind = REQUEST_WANT, .calls = KERNEL_WANT_DATA | 1ull << (KERNEL_CALLS_END - 1)};
	struct request load = {.kind = REQUEST_LOAD, .load.calls = 1ull << KERNEL_CALLS_END};
	struct request prefix = {.kind = REQUEST_PREFIX, .number = 2};
	struct request pin = {.kind = REQUEST_PIN, .pin.name = "0123456789abcdef0123456789abcdef"};
	struct request counted = {.kind = REQUEST_FORMER_COUNTED, .lanes = KERNEL_LANES};

	cr_expect_null(check(&want));
	want.calls |= 1ull << KERNEL_CALLS_END;
	cr_expect_str_eq(check(&want), "it asks for calls that there are not");
	cr_expect_str_eq(check(&load), "it asks for calls that there are not");
	prefix.prefix.prefixes[1].bits = 8 * KERNEL_PREFIX_MAX;
	cr_expect_null(check(&prefix));
	prefix.prefix.prefixes[1].bits++;
	cr_expect_str_eq(check(&prefix), "a prefix is longer than its room");
	cr_expect_null(check(&pin));
	memcpy(pin.pin.name, "../../../../../../../tmp/abcdef01", PIN_NAME_SIZE - 1);
	cr_expect_str_eq(check(&pin), "the name is no epoch");
	memset(pin.pin.name, 'a', PIN_NAME_SIZE); /* no end */
	cr_expect_str_eq(check(&pin), "the name is no epoch");
	cr_expect_null(check(&counted));
	counted.lanes = 2;
	cr_expect_str_eq(check(&counted), "no life has so many lanes");
}

/* --- the process itself, which has loaded nothing ------------------------------------------------------------------------ */

static bool keep_rights(void)
{
	return true;
}

static bool drop_rights(void)
{
	return capability_keep(0) == 0;
}

static pid_t serve_with(int *worker, bool (*begin)(void))
{
	static struct kernel_counters counters[1];
	const struct loader_options options = {0};
	int sockets[2];
	pid_t child;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	child = fork();
	if (child == 0) {
		close(sockets[0]);
		close(STDERR_FILENO);
		if (!begin())
			_exit(EXIT_FAILURE);
		loader_serve(sockets[1], &options, counters);
	}
	close(sockets[1]);
	*worker = sockets[0];
	return child;
}

static pid_t serve(int *worker)
{
	return serve_with(worker, keep_rights);
}

/* What it answers; -EPIPE: it has ended instead. */
static int ask(int worker, const void *bytes, size_t size)
{
	const int patience_ms = 60 * 1000; /* loading takes its time */
	struct reply reply;
	size_t none = 0;
	ssize_t length;
	int error = call_send(worker, bytes, size, NULL, 0, 5000);

	if (error)
		return error;
	length = call_receive(worker, &reply, sizeof(reply), NULL, &none, patience_ms);
	return length < 0 ? (int)length : reply.result;
}

static void expect_end(pid_t child, int worker)
{
	int status;

	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status));
	close(worker);
}

Test(loader_call, it_ends_at_the_first_request_that_is_wrong)
{
	static const char nonsense[64] = "load this program for me";
	const struct request early[] = {{.kind = REQUEST_WANT}, {.kind = REQUEST_PROCESSES}, {.kind = REQUEST_ATTACH},
		{.kind = REQUEST_COUNTERS}, {.kind = REQUEST_PIN, .pin.name = "0123456789abcdef0123456789abcdef"},
		{.kind = REQUEST_CANARY_START}, {.kind = REQUEST_CONTAINER}};
	int worker;
	pid_t child = serve(&worker);

	cr_expect_eq(ask(worker, nonsense, sizeof(nonsense)), -EPIPE);
	expect_end(child, worker);
	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
		child = serve(&worker);
		cr_expect_eq(ask(worker, &early[i], request_size(early[i].kind)), -EPIPE, "kind %u has its time",
			early[i].kind);
		expect_end(child, worker);
	}
}

Test(loader_call, it_goes_on_where_there_is_nothing_and_ends_with_its_worker)
{
	const struct request next = {.kind = REQUEST_FORMER_NEXT}, drop = {.kind = REQUEST_FORMER_DROP, .number = 7};
	int worker;
	pid_t child = serve(&worker);

	cr_expect_eq(ask(worker, &next, request_size(next.kind)), -ENOENT);
	cr_expect_eq(ask(worker, &drop, request_size(drop.kind)), -EBADF, "a handle that nobody has");
	kill(child, SIGTERM);
	kill(child, SIGINT);
	cr_expect_eq(ask(worker, &next, request_size(next.kind)), -ENOENT, "only its worker ends it");
	close(worker);
	expect_end(child, -1);
}

/* It answers what ends it well, and no more. */
static void expect_failed(pid_t child, int worker, uint32_t again)
{
	const struct request next = {.kind = REQUEST_FORMER_NEXT}, unpin = {.kind = REQUEST_UNPIN, .number = 1};
	const struct request request = {.kind = again};

	cr_expect_eq(ask(worker, &next, request_size(next.kind)), -ENOENT);
	cr_expect_eq(ask(worker, &unpin, request_size(unpin.kind)), 0);
	cr_expect_eq(ask(worker, &request, request_size(again)), -EPIPE, "kind %u a second time", again);
	expect_end(child, worker);
}

Test(loader_call, what_failed_to_load_is_not_loaded_again)
{
	const struct request load = {.kind = REQUEST_LOAD};
	int worker;
	pid_t child = serve_with(&worker, drop_rights);

	cr_assert_lt(ask(worker, &load, request_size(load.kind)), 0);
	expect_failed(child, worker, REQUEST_LOAD);
}

/* Skips the test where the programs cannot be loaded. */
static pid_t serve_loaded(int *worker)
{
	const struct request load = {.kind = REQUEST_LOAD};
	char why[512];
	pid_t child;

	if (confine_lacks(why, sizeof(why)) < 0 || access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		cr_skip_test("it takes rights over BPF");
	child = serve(worker);
	cr_assert_geq(ask(*worker, &load, request_size(load.kind)), 0);
	return child;
}

Test(loader_call, what_failed_to_attach_is_not_attached_again)
{
	const struct request attach = {.kind = REQUEST_ATTACH};
	const struct rlimit none = {1, 1}; /* poll(2) wants one */
	int worker;
	pid_t child = serve_loaded(&worker);

	cr_assert_eq(prlimit(child, RLIMIT_NOFILE, &none, NULL), 0, "no descriptor for a link");
	cr_assert_lt(ask(worker, &attach, request_size(attach.kind)), 0);
	expect_failed(child, worker, REQUEST_ATTACH);
}

Test(loader_call, pins_are_made_once)
{
	const struct request unpin = {.kind = REQUEST_UNPIN, .number = 1};
	const struct request pin = {.kind = REQUEST_PIN, .pin.name = "0123456789abcdef0123456789abcdef"};
	int worker;
	pid_t child = serve_loaded(&worker);

	cr_expect_eq(ask(worker, &pin, request_size(pin.kind)), 0);
	cr_expect_eq(ask(worker, &unpin, request_size(unpin.kind)), 0);
	cr_expect_eq(ask(worker, &pin, request_size(pin.kind)), -EPIPE);
	expect_end(child, worker);
}

Test(loader_call, descriptors_come_with_a_message_and_no_more_than_there_is_room_for)
{
	int sockets[2], fds[3], got[2];
	size_t count = 2;
	char byte = 'x';

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	for (int i = 0; i < 3; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(call_send(sockets[0], &byte, 1, fds, 3, 1000), 0);
	cr_assert_eq(call_receive(sockets[1], &byte, 1, got, &count, 1000), 1);
	cr_assert_eq(count, 2);
	cr_expect_neq(fcntl(got[0], F_GETFD) & FD_CLOEXEC, 0);
	cr_expect_eq(fcntl(got[1] + 1, F_GETFD), -1, "the third was closed");
	cr_assert_eq(call_send(sockets[0], fds, sizeof(fds), NULL, 0, 1000), 0);
	count = 0;
	cr_expect_eq(call_receive(sockets[1], &byte, 1, NULL, &count, 1000), -EMSGSIZE);
	cr_expect_eq(call_receive(sockets[1], &byte, 1, NULL, &count, 10), -ETIMEDOUT);
	close(sockets[0]);
	cr_expect_eq(call_receive(sockets[1], &byte, 1, NULL, &count, 1000), -EPIPE);
	cr_expect_eq(call_send(sockets[1], &byte, 1, NULL, 0, 1000), -EPIPE);
}
