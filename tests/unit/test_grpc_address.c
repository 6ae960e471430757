/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <criterion/criterion.h>

#include "grpc/address.h"

static char error[400];

static int parse(const char *text, struct grpc_address *address)
{
	return grpc_address_parse(text, address, error, sizeof(error));
}

Test(grpc_address, reads_and_writes_every_form)
{
	static const struct {
		const char *text, *host, *path, *written;
		uint16_t port;
	} cases[] = {
		{"collector.example:4317", "collector.example", "", "collector.example:4317", 4317},
		{"127.0.0.1:0", "127.0.0.1", "", "127.0.0.1:0", 0},
		{":65535", "", "", ":65535", 65535},
		{"[2001:db8::1]:443", "2001:db8::1", "", "[2001:db8::1]:443", 443},
		{"[fe80::1%eth0]:443", "fe80::1%eth0", "", "[fe80::1%eth0]:443", 443},
		{"unix:/run/x.sock", "", "/run/x.sock", "unix:/run/x.sock", 0},
		{"unix:x.sock", "", "x.sock", "unix:x.sock", 0},
		{"unix:///run/x.sock", "", "/run/x.sock", "unix:/run/x.sock", 0},
		{"/run/x:y.sock", "", "/run/x:y.sock", "unix:/run/x:y.sock", 0},
		{"//run/x", "", "//run/x", "unix:////run/x", 0},
		{"unix:////run/x", "", "//run/x", "unix:////run/x", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct grpc_address address, again;
		char text[GRPC_ADDRESS_TEXT_SIZE];

		cr_assert_eq(parse(cases[i].text, &address), 0, "%s: %s", cases[i].text, error);
		cr_expect_str_eq(address.host, cases[i].host);
		cr_expect_str_eq(address.path, cases[i].path);
		cr_expect_eq(address.port, cases[i].port);
		cr_expect_str_eq(grpc_address_format(&address, text, sizeof(text)), cases[i].written);
		cr_assert_eq(parse(text, &again), 0);
		cr_expect_eq(memcmp(&address, &again, sizeof(address)), 0, "%s", text);
	}
}

Test(grpc_address, says_what_is_wrong)
{
	static const struct {
		const char *text, *word;
	} cases[] = {
		{"", "expected HOST:PORT"},
		{"collector", "expected HOST:PORT"},
		{"collector:", "is no port number"},
		{"collector:80x", "\"80x\" is no port number"},
		{"collector:65536", "65536 is above 65535"},
		{"collector:999999", "is no port number"},
		{"::1:443", "needs brackets"},
		{"[::1]", "expected [ADDRESS]:PORT"},
		{"[::1]443", "expected [ADDRESS]:PORT"},
		{"[::g]:443", "\"::g\" is no IPv6 address"},
		{"[]:443", "is no IPv6 address"},
		{"[::1%]:443", "is no IPv6 address"},
		{"a b:443", "\"a b\" is no host name"},
		{"http://x", "is no port number"},
		{"a/b:1", "is no host name"},
		{"unix:", "path of the unix socket is missing"},
		{"unix://x/y", "comes an absolute path"},
		{"a\nb:1", "a?b"},
		{"a\xc2\x9b"
		 "b\xff:1",
			"a??b?"},
		{"[::1%a b]:443", "is no IPv6 address"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct grpc_address address;

		cr_expect_eq(parse(cases[i].text, &address), -EINVAL, "%s", cases[i].text);
		cr_expect_not_null(strstr(error, cases[i].word), "%s: %s", cases[i].text, error);
		cr_expect_null(strchr(error, '\n'));
	}
}

Test(grpc_address, refuses_paths_that_do_not_fit)
{
	struct grpc_address address;
	char text[200] = "unix:";

	memset(text + 5, 'a', 107);
	cr_expect_eq(parse(text, &address), 0);
	text[5 + 107] = 'a';
	cr_expect_eq(parse(text, &address), -EINVAL);
	cr_expect_not_null(strstr(error, "at most 107 bytes, this one has 108"), "%s", error);
	memset(text, 'a', 199);
	cr_expect_eq(parse(text, &address), -EINVAL);
}

Test(grpc_address, knows_what_stays_on_the_machine)
{
	static const char *const inside[] = {
		"localhost:1", "127.0.0.1:1", "127.255.3.4:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/x", "/x"};
	static const char *const outside[] = {"10.0.0.1:1", "[::]:1", ":1", "0.0.0.0:1", "localhost.example:1",
		"128.0.0.1:1", "[::ffff:10.0.0.1]:1", "[2001:db8::1]:1"};
	struct grpc_address address;

	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		cr_assert_eq(parse(inside[i], &address), 0, "%s", error);
		cr_expect(grpc_address_is_loopback(&address), "%s", inside[i]);
	}
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		cr_assert_eq(parse(outside[i], &address), 0, "%s", error);
		cr_expect_not(grpc_address_is_loopback(&address), "%s", outside[i]);
	}
}

Test(grpc_address, yields_endpoints_without_a_look_up)
{
	struct grpc_endpoint endpoints[4];
	struct grpc_address address;
	char text[GRPC_ADDRESS_TEXT_SIZE];

	parse("localhost:7", &address);
	cr_assert_eq(grpc_address_endpoints(&address, endpoints, 4), 2);
	cr_expect_str_eq(
		grpc_sockaddr_format((struct sockaddr *)&endpoints[0].address, endpoints[0].length, text, sizeof(text)),
		"127.0.0.1:7");
	cr_expect_str_eq(
		grpc_sockaddr_format((struct sockaddr *)&endpoints[1].address, endpoints[1].length, text, sizeof(text)),
		"[::1]:7");
	parse("name.example:7", &address);
	cr_expect_eq(grpc_address_endpoints(&address, endpoints, 4), -ENOENT);
	parse("unix:/a/b", &address);
	cr_assert_eq(grpc_address_endpoints(&address, endpoints, 4), 1);
	cr_expect_str_eq(((struct sockaddr_un *)&endpoints[0].address)->sun_path, "/a/b");
}
