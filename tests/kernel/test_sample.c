/* SPDX-License-Identifier: Apache-2.0 */
/* First bytes of messages, as a recording has them, and the names that they tell. Over loopback alone. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "sensor/recording_format.h"

/* --- what was sampled --------------------------------------------------------------------------------------------------------- */

enum { SAMPLES_MAX = 512 };

struct sample {
	struct kernel_sample record;
	char data[KERNEL_SAMPLE_NAME_BYTES + 1];
};

static char recording[] = "/tmp/taffrail-samples-XXXXXX";
static struct sample samples[SAMPLES_MAX];
static size_t sample_count;

static void remove_recording(void)
{
	unlink(recording);
}

/* The sensor sees whatever container the machine has. */
static bool is_own(const struct kernel_header *header)
{
	char id[2 * sizeof(header->container_id) + 1];

	for (size_t i = 0; i < sizeof(header->container_id); i++)
		snprintf(id + 2 * i, 3, "%02x", header->container_id[i]);
	return strcmp(id, place_id(PLACE_CONTAINER)) == 0;
}

/* Runs the deed with a sensor that records, samples loopback where `loopback` says so, and keeps the samples. */
static void watch_samples(bool loopback, int (*deed)(void *argument))
{
	const char *const words[] = {"--record", recording, loopback ? "--set" : NULL, "samples.leave_out=none", NULL};
	struct recording_frame_head frame;
	struct recording_file_head head;
	static char bytes[RECORDING_FRAME_MAX];
	FILE *file;
	int fd = mkstemp(recording);

	cr_assert_geq(fd, 0);
	close(fd);
	atexit(remove_recording);
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	sensor_arguments(words);
	cr_assert_eq(watch(deed, NULL), 0);
	file = fopen(recording, "re");
	cr_assert(file && fread(&head, sizeof(head), 1, file) == 1);
	while (fread(&frame, sizeof(frame), 1, file) == 1) {
		size_t size = frame.size + recording_padding(frame.size);
		const struct kernel_sample *record = (const void *)bytes;

		cr_assert(size <= sizeof(bytes) && fread(bytes, 1, size, file) == size);
		if (frame.type != RECORDING_RECORD ||
			(record->header.kind != KERNEL_SAMPLE && record->header.kind != KERNEL_ANSWER) ||
			!is_own(&record->header))
			continue;
		cr_assert(sample_count < SAMPLES_MAX && record->data.length <= KERNEL_SAMPLE_NAME_BYTES);
		samples[sample_count].record = *record;
		memcpy(samples[sample_count].data, bytes + record->data.offset, record->data.length);
		sample_count++;
	}
	fclose(file);
}

/* The samples of one direction, as "number:data number:data …"; `out`, `inbound`: of which side. */
static const char *sampled(bool out, bool inbound)
{
	static char text[8192];
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sample_count; i++)
		if (!samples[i].record.out == !out && !samples[i].record.inbound == !inbound)
			length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%u:%s", length ? " " : "",
				samples[i].record.number, samples[i].data);
	return text;
}

/* --- TCP ------------------------------------------------------------------------------------------------------------------------ */

static int pair(int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server, (void *)&address, length) || listen(server, 1) ||
		getsockname(server, (void *)&address, &length) || connect(ends[0], (void *)&address, length))
		return -1;
	setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return server;
}

static bool say(int from, int to, const char *what)
{
	char bytes[1024];
	ssize_t length = (ssize_t)strlen(what);

	return write(from, what, (size_t)length) == length && recv(to, bytes, (size_t)length, MSG_WAITALL) == length;
}

static int talk(void *argument)
{
	int ends[2], server = pair(ends);

	(void)argument;
	if (server < 0)
		return 1;
	/* Before anybody accepts it. */
	if (write(ends[0], "early", 5) != 5)
		return 2;
	usleep(50 * 1000);
	ends[1] = accept(server, NULL, NULL);
	if (ends[1] < 0 || recv(ends[1], (char[8]){""}, 5, MSG_WAITALL) != 5)
		return 3;
	for (int i = 0; i < 5; i++) {
		char message[16];

		snprintf(message, sizeof(message), "answer %d", i);
		if (!say(ends[1], ends[0], message))
			return 4;
		snprintf(message, sizeof(message), "word %d", i);
		if (!say(ends[0], ends[1], message))
			return 5;
	}
	close(ends[0]);
	close(ends[1]);
	return 0;
}

Test(kernel_sample, the_first_four_messages_each_way_at_both_ends)
{
	const char *words = "0:early 1:word 0 2:word 1 3:word 2",
		   *answers = "0:answer 0 1:answer 1 2:answer 2 3:answer 3";

	watch_samples(true, talk);
	cr_assert_str_eq(sampled(true, false), words);
	cr_assert_str_eq(sampled(false, false), answers);
	if (!getenv("TAFFRAIL_CGROUP")) /* there sampling begins with the accept */
		cr_assert_str_eq(sampled(false, true), words);
	cr_assert_str_eq(sampled(true, true), answers);
	for (size_t i = 0; i < sample_count; i++)
		cr_assert_eq(samples[i].record.whole, strlen(samples[i].data));
}

Test(kernel_sample, flows_to_inside_networks_are_not_sampled_by_default)
{
	watch_samples(false, talk);
	cr_assert_eq(sample_count, 0);
	one("disconnect_received", "network.direction", "egress");
}

static int talk_much(void *argument)
{
	int ends[2], server = pair(ends);
	char big[1000];

	(void)argument;
	if (server < 0)
		return 1;
	ends[1] = accept(server, NULL, NULL);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	return !say(ends[0], ends[1], big);
}

Test(kernel_sample, of_a_long_message_64_bytes_and_how_long_it_was)
{
	watch_samples(true, talk_much);
	cr_assert_eq(sample_count, 2);
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(samples[i].record.data.length, 64);
		cr_assert_eq(samples[i].record.whole, 999);
	}
}

/* The receiver drops what comes, behind the hooks: so it is sent again, and both ends see it twice or more. */
static int send_again(void *argument)
{
	struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog program = {1, nothing};
	int ends[2], server = pair(ends);
	struct tcp_info info;
	socklen_t length = sizeof(info);
	char bytes[16];

	(void)argument;
	if (server < 0)
		return 1;
	ends[1] = accept(server, NULL, NULL);
	if (!say(ends[0], ends[1], "first") ||
		setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return 2;
	if (write(ends[0], "second", 6) != 6)
		return 3;
	usleep(700 * 1000);
	if (setsockopt(ends[1], SOL_SOCKET, SO_DETACH_FILTER, &program, sizeof(program)) ||
		recv(ends[1], bytes, 6, MSG_WAITALL) != 6 || !say(ends[0], ends[1], "third"))
		return 4;
	if (getsockopt(ends[0], IPPROTO_TCP, TCP_INFO, &info, &length) || info.tcpi_total_retrans == 0)
		return 5;
	close(ends[0]);
	close(ends[1]);
	return 0;
}

Test(kernel_sample, what_is_sent_again_is_no_message_again)
{
	struct json_object *end;

	watch_samples(true, send_again);
	cr_assert_str_eq(sampled(true, false), "0:first 1:second 2:third");
	cr_assert_str_eq(sampled(false, true), "0:first 1:second 2:third");
	end = one("disconnect_received", "network.direction", "egress");
	expect(end, "source.bytes", "16");
}

static int fork_server(void *argument)
{
	int ends[2], server = pair(ends), status;
	pid_t child;

	(void)argument;
	if (server < 0)
		return 1;
	if (write(ends[0], "early", 5) != 5)
		return 2;
	usleep(50 * 1000);
	child = fork();
	if (child == 0) {
		ends[1] = accept(server, NULL, NULL);
		_exit(ends[1] < 0 || !say(ends[1], ends[0], "late"));
	}
	waitpid(child, &status, 0);
	return status != 0;
}

Test(kernel_sample, before_it_is_accepted_a_connection_has_a_container_and_no_process)
{
	if (getenv("TAFFRAIL_CGROUP"))
		cr_skip_test("who is in v1 cgroups alone is known by the process that accepts");
	watch_samples(true, fork_server);
	for (size_t i = 0; i < sample_count; i++) {
		const struct kernel_header *header = &samples[i].record.header;

		cr_assert(header->flags & KERNEL_IN_CONTAINER);
		if (samples[i].record.inbound && !samples[i].record.out)
			cr_assert(header->flags & KERNEL_NO_PROCESS && header->tgid == 0);
		else
			cr_assert(!(header->flags & KERNEL_NO_PROCESS) && header->tgid != 0);
	}
	cr_assert_str_eq(sampled(false, true), "0:early");
	cr_assert_str_eq(sampled(true, true), "0:late");
}

/* --- UDP ------------------------------------------------------------------------------------------------------------------------ */

static int datagrams(void *argument)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET6, SOCK_DGRAM, 0), client = socket(AF_INET6, SOCK_DGRAM, 0);
	char message[16];

	(void)argument;
	if (bind(server, (void *)&address, length) || getsockname(server, (void *)&address, &length))
		return 1;
	for (int i = 0; i < 6; i++) {
		snprintf(message, sizeof(message), "datagram %d", i);
		if (sendto(client, message, strlen(message), 0, (void *)&address, length) < 0)
			return 2;
	}
	return 0;
}

Test(kernel_sample, the_first_four_datagrams)
{
	const char *four = "0:datagram 0 1:datagram 1 2:datagram 2 3:datagram 3";

	watch_samples(true, datagrams);
	cr_assert_str_eq(sampled(true, false), four);
	cr_assert_str_eq(sampled(false, true), four);
}

/* --- names ---------------------------------------------------------------------------------------------------------------------- */

/* An answer to "www.example.test" of this type, with an address of its family; returns its length. */
static size_t answer_of(unsigned char *to, uint16_t type, uint16_t id)
{
	static const unsigned char name[] = "\3www\7example\4test";
	const unsigned char v4[] = {127, 0, 0, 99}, v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 9};
	unsigned char *at = to;
	size_t size = type == 1 ? sizeof(v4) : sizeof(v6);
	const unsigned char head[] = {(unsigned char)(id >> 8), (unsigned char)id, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0};
	const unsigned char record[] = {0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0, 0, 60, 0, (unsigned char)size};

	at = mempcpy(at, head, sizeof(head));
	at = mempcpy(at, name, sizeof(name));
	at = mempcpy(at, (const unsigned char[]){0, (unsigned char)type, 0, 1}, 4);
	at = mempcpy(at, record, sizeof(record));
	at = mempcpy(at, type == 1 ? v4 : v6, size);
	return (size_t)(at - to);
}

static bool loopback_up(void)
{
	struct ifreq interface = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	return unshare(CLONE_NEWNET) == 0 && ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &interface) == 0;
}

/* The resolver of the test: on port 53 of a network of its own. */
static int resolver_socket(int type)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(53)};
	int fd = socket(AF_INET, type, 0);

	if (bind(fd, (void *)&address, sizeof(address)) || (type == SOCK_STREAM && listen(fd, 1)))
		return -1;
	return fd;
}

/* Asks for this type, and answers it. */
static bool ask(int client, int server, uint16_t type, uint16_t id)
{
	struct sockaddr_in from = {0};
	socklen_t length = sizeof(from);
	unsigned char bytes[512];
	size_t size = answer_of(bytes, type, id);

	bytes[2] = 1; /* a question: recursion is desired, and no answer follows */
	bytes[3] = bytes[7] = 0;
	if (send(client, bytes, size - (type == 1 ? 16 : 28), 0) < 0 ||
		recvfrom(server, bytes, sizeof(bytes), 0, (void *)&from, &length) <= 0)
		return false;
	size = answer_of(bytes, type, id);
	return sendto(server, bytes, size, 0, (void *)&from, length) == (ssize_t)size &&
	       recv(client, bytes, sizeof(bytes), 0) == (ssize_t)size;
}

static int resolve(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(53)};
	int server, client, listener;
	socklen_t length = sizeof(address);

	(void)argument;
	if (!loopback_up())
		return 77;
	server = resolver_socket(SOCK_DGRAM);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	if (server < 0 || connect(client, (void *)&address, sizeof(address)) || !ask(client, server, 1, 1) ||
		!ask(client, server, 28, 2))
		return 1;
	close(client);
	address.sin_addr.s_addr = inet_addr("127.0.0.99");
	address.sin_port = 0;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 1) ||
		getsockname(listener, (void *)&address, &length))
		return 2;
	if (connect(client, (void *)&address, sizeof(address)))
		return 3;
	close(client);
	close(accept(listener, NULL, NULL));
	client = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_port = htons(9);
	if (sendto(client, "x", 1, 0, (void *)&address, sizeof(address)) != 1)
		return 4;
	close(client);
	usleep(50 * 1000);
	return 0;
}

static int watched(int (*deed)(void *argument))
{
	int result = watch(deed, NULL);

	if (result == 77)
		cr_skip_test("no network namespace can be made here");
	return result;
}

Test(kernel_sample, a_dns_answer_is_an_event_and_names_what_is_connected_to)
{
	struct json_object *found[8], *connect_document;
	size_t egress = 0;

	cr_assert_eq(watched(resolve), 0);
	cr_assert_eq(documents("dns", found, 8), 4, "two answers, at either end");
	for (size_t i = 0; i < 4; i++) {
		bool v4 = strcmp(at(found[i], "dns.question.type"), "A") == 0;

		expect(found[i], "dns.type", "answer");
		expect(found[i], "dns.question.name", "www.example.test");
		expect(found[i], "dns.question.type", v4 ? "A" : "AAAA");
		expect(found[i], "dns.response_code", "NOERROR");
		expect(found[i], "dns.resolved_ip.0", v4 ? "127.0.0.99" : "2001:db8::9");
		expect(found[i], "network.protocol", "dns");
		expect(found[i], "network.transport", "udp");
		expect(found[i], "destination.port", "53");
		expect(found[i], "event.category.0", "network");
		cr_assert_str_neq(at(found[i], "process.entity_id"), "");
		egress += strcmp(at(found[i], "network.direction"), "egress") == 0;
	}
	cr_assert_eq(egress, 2);
	connect_document = one("connection_attempted", "network.transport", "tcp");
	expect(connect_document, "destination.domain", "www.example.test");
	expect(one("disconnect_received", "network.direction", "egress"), "destination.domain", "www.example.test");
	expect(one("disconnect_received", "network.direction", "ingress"), "destination.domain", "");
	expect(one("send", "destination.port", "9"), "destination.domain", "www.example.test");
	expect(one("flow", "destination.port", "9"), "destination.domain", "www.example.test");
}

/* The length comes by itself, then the message: as some write it. */
static int resolve_by_tcp(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(53)};
	int server, client, accepted, one_by_one = 1;
	unsigned char bytes[512], got[512];
	size_t size;

	(void)argument;
	if (!loopback_up())
		return 77;
	server = resolver_socket(SOCK_STREAM);
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (server < 0 || connect(client, (void *)&address, sizeof(address)))
		return 1;
	accepted = accept(server, NULL, NULL);
	setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one_by_one, sizeof(one_by_one));
	for (uint16_t id = 0; id < 2; id++) {
		size = answer_of(bytes + 2, 1, id);
		bytes[0] = 0;
		bytes[1] = (unsigned char)size;
		if (id == 0 ? write(accepted, bytes, 2) != 2 || write(accepted, bytes + 2, size) != (ssize_t)size
			    : write(accepted, bytes, size + 2) != (ssize_t)size + 2)
			return 2;
		if (recv(client, got, size + 2, MSG_WAITALL) != (ssize_t)size + 2)
			return 3;
	}
	return 0;
}

Test(kernel_sample, an_answer_over_tcp_is_one_too)
{
	cr_assert_eq(watched(resolve_by_tcp), 0);
	cr_assert_eq(count("dns", "network.transport", "tcp"), 4);
	cr_assert_eq(count("dns", "dns.resolved_ip.0", "127.0.0.99"), 4);
	cr_assert_eq(count("dns", "network.direction", "egress"), 2);
}

static int resolve_all_day(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(53)};
	int server, client;

	(void)argument;
	if (!loopback_up())
		return 77;
	server = resolver_socket(SOCK_DGRAM);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	if (server < 0 || connect(client, (void *)&address, sizeof(address)))
		return 1;
	for (uint16_t id = 0; id < 30; id++) {
		if (!ask(client, server, 1, id))
			return 2;
		usleep(100 * 1000);
	}
	return 0;
}

Test(kernel_sample, a_socket_may_ask_its_resolver_for_long)
{
	cr_assert_eq(watched(resolve_all_day), 0);
	cr_assert_eq(count("dns", "network.direction", "egress"), 30);
}

/* A server that sends an answer which nobody asked for gives no address a name. */
static int resolve_for_others(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(4053)};
	unsigned char bytes[512];
	int server, client;
	size_t size = answer_of(bytes, 1, 7);

	(void)argument;
	if (!loopback_up())
		return 77;
	server = resolver_socket(SOCK_DGRAM);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	if (server < 0 || bind(client, (void *)&address, sizeof(address)) ||
		sendto(server, bytes, size, 0, (void *)&address, sizeof(address)) != (ssize_t)size ||
		recv(client, bytes, sizeof(bytes), 0) != (ssize_t)size)
		return 1;
	usleep(100 * 1000);
	address.sin_addr.s_addr = inet_addr("127.0.0.99");
	return sendto(client, "x", 1, 0, (void *)&address, sizeof(address)) != 1;
}

Test(kernel_sample, an_answer_that_nobody_asked_for_gives_no_name)
{
	cr_assert_eq(watched(resolve_for_others), 0);
	expect(one("send", "destination.ip", "127.0.0.99"), "destination.domain", "");
	cr_assert_eq(count("dns", "event.action", "dns"), 0);
}

/* A ClientHello for shop.example.test, as far as its name. */
static int hello(void *argument)
{
	static const char name[] = "shop.example.test";
	unsigned char bytes[256] = {22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3};
	size_t length = sizeof(name) - 1, at = 11 + 32;
	int ends[2], server = pair(ends);

	(void)argument;
	bytes[at++] = 32;
	at += 32;
	bytes[at + 1] = 4; /* two ciphers */
	at += 2 + 4;
	bytes[at++] = 1;
	at++;
	bytes[at + 1] = (unsigned char)(length + 9); /* extensions */
	at += 2 + 2;
	bytes[at + 1] = (unsigned char)(length + 5);
	bytes[at + 3] = (unsigned char)(length + 3);
	at += 4;
	bytes[at + 2] = (unsigned char)length;
	at += 3;
	memcpy(bytes + at, name, length);
	at += length;
	bytes[4] = (unsigned char)(at - 5);
	bytes[8] = (unsigned char)(at - 9);
	if (server < 0)
		return 1;
	ends[1] = accept(server, NULL, NULL);
	if (write(ends[0], bytes, at) != (ssize_t)at || recv(ends[1], bytes, at, MSG_WAITALL) != (ssize_t)at)
		return 2;
	close(ends[0]);
	close(ends[1]);
	usleep(50 * 1000);
	return 0;
}

Test(kernel_sample, a_name_that_tls_asks_for_names_a_flow_that_has_none)
{
	struct json_object *end;

	watch_samples(true, hello);
	end = one("disconnect_received", "network.direction", "egress");
	expect(end, "tls.client.server_name", "shop.example.test");
	expect(end, "destination.domain", "shop.example.test");
	expect(one("disconnect_received", "network.direction", "ingress"), "tls.client.server_name",
		"shop.example.test");
}
