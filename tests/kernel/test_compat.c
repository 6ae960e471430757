/* SPDX-License-Identifier: Apache-2.0 */
/* The 32-bit table by int 0x80, which any 64-bit program can use whose arguments lie below 4 GiB. */
#include <criterion/criterion.h>
#include <fcntl.h>

#if defined(__x86_64__)

#include <arpa/inet.h>
#include <errno.h>
#include <linux/net.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "harness.h"

/* Of the 32-bit table. */
enum {
	COMPAT_OPEN = 5,
	COMPAT_CREAT = 8,
	COMPAT_UNLINK = 10,
	COMPAT_EXECVE = 11,
	COMPAT_CHMOD = 15,
	COMPAT_SETGID16 = 46,
	COMPAT_DUP2 = 63,
	COMPAT_SOCKETCALL = 102,
	COMPAT_SETRESUID32 = 208,
	COMPAT_OPENAT = 295,
	COMPAT_SENDMMSG = 345,
	COMPAT_RENAMEAT2 = 353,
	COMPAT_EXECVEAT = 358,
	COMPAT_SOCKET = 359,
	COMPAT_BIND = 361,
	COMPAT_CONNECT = 362,
	COMPAT_LISTEN = 363,
	COMPAT_ACCEPT4 = 364,
	COMPAT_SENDTO = 369,
	COMPAT_SENDMSG = 370,
	COMPAT_RECVFROM = 371,
	COMPAT_RECVMSG = 372,
	COMPAT_OPENAT2 = 437,
};

static char directory[] = "/tmp/taffrail-compat-XXXXXX";

static long compat(long number, long a, long b, long c, long d, long e)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

/* With a sixth argument, which is in a register that the compiler wants for itself. */
static long compat6(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	__asm__ volatile("push %%rbp; mov %[f], %%rbp; int $0x80; pop %%rbp"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [f] "r"(f)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

/* Memory whose addresses have 32 bits; never given back, a deed is short. */
static void *low(const void *bytes, size_t length)
{
	static char *next, *end;
	void *made;

	if (!next || next + length + 16 > end) {
		next = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
		if (next == MAP_FAILED)
			_exit(125);
		end = next + 65536;
	}
	made = memcpy(next, bytes, length);
	next += (length + 15) & ~(size_t)15;
	return made;
}

static long low_text(const char *text)
{
	return (long)low(text, strlen(text) + 1);
}

static const char *below(const char *name)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static sigjmp_buf refused;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(refused, 1);
}

static void set_up(void)
{
	struct sigaction fault = {.sa_handler = on_fault}, before;
	volatile bool here = false;

	sigaction(SIGSEGV, &fault, &before);
	if (sigsetjmp(refused, 1) == 0)
		here = compat(20, 0, 0, 0, 0, 0) == getpid(); /* getpid */
	sigaction(SIGSEGV, &before, NULL);
	if (!here)
		cr_skip_test("this kernel has no 32-bit system calls");
	cr_assert_not_null(mkdtemp(directory));
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (strncmp(directory, "/tmp/taffrail-compat-", 21) == 0 && system(command) != 0)
		fprintf(stderr, "%s stays\n", directory);
}

TestSuite(kernel_compat, .init = set_up, .fini = tear_down);

static int open_every_way(void *argument)
{
	struct open_how how = {.flags = O_WRONLY | O_CREAT, .mode = 0600};

	(void)argument;
	if (compat(COMPAT_OPEN, low_text(below("open")), O_RDWR | O_CREAT, 0640, 0, 0) < 0)
		return 1;
	if (compat(COMPAT_CREAT, low_text(below("creat")), 0640, 0, 0, 0) < 0)
		return 2;
	if (compat(COMPAT_OPENAT, AT_FDCWD, low_text(below("openat")), O_WRONLY | O_CREAT, 0640, 0) < 0)
		return 3;
	if (compat(COMPAT_OPENAT2, AT_FDCWD, low_text(below("openat2")), (long)low(&how, sizeof(how)), sizeof(how), 0) <
		0)
		return 4;
	return compat(COMPAT_OPEN, low_text("/tmp/taffrail-no-such-file"), O_RDONLY, 0, 0, 0) != -ENOENT;
}

Test(kernel_compat, opens)
{
	static const char *const names[] = {"open", "creat", "openat", "openat2"};
	static const char *const flags[] = {"O_RDWR", "O_WRONLY", "O_WRONLY", "O_WRONLY"};

	cr_assert_eq(watch(open_every_way, NULL), 0);
	for (int i = 0; i < 4; i++) {
		struct json_object *document = one("open", "file.path", below(names[i]));

		expect(document, "taffrail.file.argument", below(names[i]));
		expect(document, "event.type.0", "creation");
		expect(document, "taffrail.file.flags.0", flags[i]);
		expect(document, "taffrail.file.flags.1", "O_CREAT");
	}
	expect(one("open", "error.code", "ENOENT"), "file.path", "/tmp/taffrail-no-such-file");
}

static int execute(void *argument)
{
	uint32_t arguments[3] = {(uint32_t)low_text("compat-name"), (uint32_t)low_text("word"), 0};
	long vector = (long)low(arguments, sizeof(arguments)), none = (long)low(&arguments[2], 4);
	int status;

	(void)argument;
	if (compat(COMPAT_EXECVE, low_text("/tmp/taffrail-no-such-program"), vector, none, 0, 0) != -ENOENT)
		return 1;
	if (compat(COMPAT_EXECVEAT, AT_FDCWD, low_text("/tmp/taffrail-no-other-program"), vector, none, 0) != -ENOENT)
		return 2;
	if (fork() == 0) {
		compat(COMPAT_EXECVE, low_text("/bin/true"), vector, none, 0, 0);
		_exit(3);
	}
	if (wait(&status) < 0 || status)
		return 4;
	if (fork() == 0) {
		compat(COMPAT_EXECVEAT, AT_FDCWD, low_text("/bin/true"), vector, none, 0);
		_exit(5);
	}
	return wait(&status) < 0 || status ? 6 : 0;
}

Test(kernel_compat, execs)
{
	struct json_object *found[4];
	size_t good = 0;

	cr_assert_eq(watch(execute, NULL), 0);
	expect(one("exec", "taffrail.file.argument", "/tmp/taffrail-no-such-program"), "error.code", "ENOENT");
	expect(one("exec", "taffrail.file.argument", "/tmp/taffrail-no-other-program"), "error.code", "ENOENT");
	cr_assert_eq(documents("exec", found, 4), 4);
	for (int i = 0; i < 4; i++)
		if (strcmp(at(found[i], "event.outcome"), "success") == 0) {
			expect(found[i], "process.args.0", "compat-name");
			expect(found[i], "process.args.1", "word");
			good++;
		}
	cr_assert_eq(good, 2);
}

/* By socketcall(2), or by the calls that came with 4.3. */
static long call_socket(bool multiplexed, long number, int call, long a, long b, long c)
{
	uint32_t arguments[6] = {(uint32_t)a, (uint32_t)b, (uint32_t)c};

	if (multiplexed)
		return compat(COMPAT_SOCKETCALL, call, (long)low(arguments, sizeof(arguments)), 0, 0, 0);
	return compat(number, a, b, c, 0, 0);
}

static int converse(void *argument)
{
	bool multiplexed = argument != NULL;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un missing = {.sun_family = AF_UNIX, .sun_path = "/tmp/taffrail-no-such-socket"};
	socklen_t length = sizeof(address);
	long server, client, local;

	server = call_socket(multiplexed, COMPAT_SOCKET, SYS_SOCKET, AF_INET, SOCK_STREAM, 0);
	client = call_socket(multiplexed, COMPAT_SOCKET, SYS_SOCKET, AF_INET, SOCK_STREAM, 0);
	if (server < 0 || client < 0)
		return 1;
	if (call_socket(multiplexed, COMPAT_BIND, SYS_BIND, server, (long)low(&address, sizeof(address)), length) < 0)
		return 2;
	if (call_socket(multiplexed, COMPAT_LISTEN, SYS_LISTEN, server, 4, 0) < 0)
		return 3;
	getsockname((int)server, (void *)&address, &length);
	if (call_socket(multiplexed, COMPAT_CONNECT, SYS_CONNECT, client, (long)low(&address, sizeof(address)),
		    sizeof(address)) < 0)
		return 4;
	if (call_socket(multiplexed, COMPAT_ACCEPT4, multiplexed ? SYS_ACCEPT : SYS_ACCEPT4, server, 0, 0) < 0)
		return 5;
	local = call_socket(multiplexed, COMPAT_SOCKET, SYS_SOCKET, AF_UNIX, SOCK_STREAM, 0);
	if (call_socket(multiplexed, COMPAT_CONNECT, SYS_CONNECT, local, (long)low(&missing, sizeof(missing)),
		    sizeof(missing)) != -ENOENT)
		return 6;
	return call_socket(multiplexed, COMPAT_SOCKET, SYS_SOCKET, AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? 7 : 0;
}

static void expect_conversation(void)
{
	struct json_object *document = one("connection_attempted", "network.transport", "tcp");

	expect(document, "event.outcome", "success");
	expect(document, "destination.ip", "127.0.0.1");
	expect(one("listen", "network.transport", "tcp"), "destination.port", at(document, "destination.port"));
	expect(one("connection_accepted", "network.transport", "tcp"), "source.port", at(document, "source.port"));
	document = one("connection_attempted", "network.transport", "unix");
	expect(document, "error.code", "ENOENT");
	expect(document, "destination.address", "/tmp/taffrail-no-such-socket");
	document = one("socket", "taffrail.socket.type", "raw");
	expect(document, "taffrail.socket.family", "inet");
	expect(document, "taffrail.socket.protocol", "icmp");
	cr_assert_eq(count("socket", "event.action", "socket"), 1);
}

Test(kernel_compat, sockets_by_calls_of_their_own)
{
	cr_assert_eq(watch(converse, NULL), 0);
	expect_conversation();
}

Test(kernel_compat, sockets_by_socketcall)
{
	cr_assert_eq(watch(converse, directory), 0);
	expect_conversation();
}

struct compat_message {
	uint32_t name, name_length, vector, vector_length, control, control_length, flags, sent;
};

static int send_datagrams(void *argument)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint32_t vector[2] = {(uint32_t)low_text("x"), 1}, arguments[6];
	struct compat_message message = {.name_length = sizeof(to), .vector_length = 1};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	message.vector = (uint32_t)(uintptr_t)low(vector, sizeof(vector));
	to.sin_port = htons(40041);
	if (compat6(COMPAT_SENDTO, fd, low_text("x"), 1, 0, (long)low(&to, sizeof(to)), sizeof(to)) != 1)
		return 1;
	to.sin_port = htons(40042);
	message.name = (uint32_t)(uintptr_t)low(&to, sizeof(to));
	if (compat(COMPAT_SENDMSG, fd, (long)low(&message, sizeof(message)), 0, 0, 0) != 1)
		return 2;
	to.sin_port = htons(40043);
	message.name = (uint32_t)(uintptr_t)low(&to, sizeof(to));
	if (compat(COMPAT_SENDMMSG, fd, (long)low(&message, sizeof(message)), 1, 0, 0) != 1)
		return 3;
	to.sin_port = htons(40044);
	memcpy(arguments,
		(uint32_t[]){(uint32_t)fd, (uint32_t)low_text("x"), 1, 0, (uint32_t)(uintptr_t)low(&to, sizeof(to)),
			sizeof(to)},
		sizeof(arguments));
	if (compat(COMPAT_SOCKETCALL, SYS_SENDTO, (long)low(arguments, sizeof(arguments)), 0, 0, 0) != 1)
		return 4;
	/* Fast open, to nobody. */
	to.sin_port = htons(1);
	memcpy(arguments,
		(uint32_t[]){(uint32_t)tcp, (uint32_t)low_text("x"), 1, MSG_FASTOPEN,
			(uint32_t)(uintptr_t)low(&to, sizeof(to)), sizeof(to)},
		sizeof(arguments));
	if (compat(COMPAT_SOCKETCALL, SYS_SENDTO, (long)low(arguments, sizeof(arguments)), 0, 0, 0) != -ECONNREFUSED)
		return 5;
	return 0;
}

Test(kernel_compat, sends)
{
	static const char *const ports[] = {"40041", "40042", "40043", "40044"};

	cr_assert_eq(watch(send_datagrams, NULL), 0);
	for (int i = 0; i < 4; i++)
		expect(one("send", "destination.port", ports[i]), "network.transport", "udp");
	expect(one("connection_attempted", "network.transport", "tcp"), "error.code", "ECONNREFUSED");
}

/* Each receives the same bytes: the second in two pieces. */
static int receive_datagrams(void *argument)
{
	static const char bytes[] = {'c', (char)0xca, (char)0xfe, (char)0xba, (char)0xbe};
	char *room = low("0123456789abcdef", 16);
	uint32_t vector[4] = {(uint32_t)(uintptr_t)room, 2, (uint32_t)(uintptr_t)room + 8, 8}, arguments[6] = {0};
	struct compat_message message = {.vector_length = 2};
	int ends[2];

	(void)argument;
	ends[0] = socket(AF_INET, SOCK_DGRAM, 0);
	ends[1] = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t length = sizeof(address);

		if (bind(ends[i], (void *)&address, length) || getsockname(ends[i], (void *)&address, &length) ||
			(i == 1 && connect(ends[0], (void *)&address, length)))
			return 1;
	}
	for (int i = 0; i < 3; i++)
		if (send(ends[0], bytes, sizeof(bytes), 0) != sizeof(bytes))
			return 2;
	if (compat6(COMPAT_RECVFROM, ends[1], (long)room, 16, 0, 0, 0) != sizeof(bytes))
		return 3;
	message.vector = (uint32_t)(uintptr_t)low(vector, sizeof(vector));
	if (compat(COMPAT_RECVMSG, ends[1], (long)low(&message, sizeof(message)), 0, 0, 0) != sizeof(bytes))
		return 4;
	arguments[0] = (uint32_t)ends[1];
	arguments[1] = (uint32_t)(uintptr_t)room;
	arguments[2] = 16;
	return compat(COMPAT_SOCKETCALL, SYS_RECVFROM, (long)low(arguments, sizeof(arguments)), 0, 0, 0) !=
	       sizeof(bytes);
}

Test(kernel_compat, what_was_received)
{
	static const char rule[] =
		"- rule: bytes\n"
		"  desc: d\n"
		"  priority: info\n"
		"  condition: evt.type in (recvfrom, recvmsg) and evt.buffer bstartswith 63cafebabe\n"
		"  output: \"%evt.type %evt.buflen\"\n";
	long from, by_message;

	family_set_up();
	family_judge("receive", rule);
	cr_assert_eq(watch(receive_datagrams, NULL), 0);
	family_tear_down();
	from = (long)count("receive", "message", "recvfrom 5");
	by_message = (long)count("receive", "message", "recvmsg 5");
	cr_expect(from <= 2 && by_message <= 1 && watch_all_told(from + by_message, 3),
		"%ld by recvfrom, %ld by recvmsg, and %ld were passed over", from, by_message, watch_passed_over());
}

static int change_things(void *argument)
{
	int file = open(below("a"), O_WRONLY | O_CREAT, 0644);

	(void)argument;
	if (file < 0 || compat(COMPAT_CHMOD, low_text(below("a")), 04711, 0, 0, 0))
		return 1;
	if (compat(COMPAT_RENAMEAT2, AT_FDCWD, low_text(below("a")), AT_FDCWD, low_text(below("b")), 1))
		return 2;
	if (compat(COMPAT_UNLINK, low_text(below("b")), 0, 0, 0, 0) || compat(COMPAT_DUP2, file, 77, 0, 0, 0) != 77)
		return 3;
	/* Of 16 bits, and of 32. */
	return compat(COMPAT_SETGID16, 65534, 0, 0, 0, 0) || compat(COMPAT_SETRESUID32, -1, 1234, -1, 0, 0) ? 4 : 0;
}

Test(kernel_compat, families)
{
	struct json_object *document;

	family_set_up();
	family_ask("chmod, rename, unlink, dup, setuid");
	cr_assert_eq(watch(change_things, NULL), 0);
	family_tear_down();
	document = by_call("chmod", "chmod");
	expect(document, "file.path", below("a"));
	expect(document, "file.mode", "4711");
	document = by_call("rename", "renameat2");
	expect(document, "file.target_path", below("b"));
	expect(document, "taffrail.file.flags.0", "RENAME_NOREPLACE");
	expect(by_call("unlink", "unlink"), "file.path", below("b"));
	expect(by_call("dup", "dup2"), "taffrail.deed.descriptor", "77");
	expect(by_call("setuid", "setgid"), "user.changes.group.id", "65534");
	expect(by_call("setuid", "setresuid"), "user.changes.id", "1234");
}

#endif
