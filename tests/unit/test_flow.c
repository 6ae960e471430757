/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>

#include "detect/flow.h"

static struct event_address address_of(const char *text, uint32_t port)
{
	struct event_address address = {.family = strchr(text, ':') ? AF_INET6 : AF_INET, .port = port};

	cr_assert_eq(inet_pton(address.family, text, address.bytes), 1);
	return address;
}

Test(flow, inside_and_outside)
{
	static const char *const inside[] = {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.7.7", "100.64.0.1",
		"100.127.0.1", "169.254.1.1", "127.0.0.53", "239.192.152.143", "255.255.255.255", "::1", "fd00::1",
		"fe80::1", "ff02::1"};
	static const char *const outside[] = {"172.32.0.1", "100.128.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.5",
		"11.0.0.1", "2001:db8::1", "128.0.0.1"};
	struct flow_ranges ranges;

	flow_ranges_default(&ranges);
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		struct event_address address = address_of(inside[i], 1);

		cr_expect(flow_ranges_hold(&ranges, &address), "%s", inside[i]);
	}
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		struct event_address address = address_of(outside[i], 1);

		cr_expect_not(flow_ranges_hold(&ranges, &address), "%s", outside[i]);
	}
}

Test(flow, ranges_that_are_none)
{
	static const char *const wrong[] = {"", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/-1", "10.0.0",
		"::/129", "a/8", "10.0.0.0/8 ", "00000000000000000000000000000000000000000000000000000000000000::1"};
	struct flow_ranges ranges = {.count = 0};
	struct event_address any = address_of("203.0.113.1", 1);

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(flow_ranges_add(&ranges, wrong[i]), -EINVAL, "%s", wrong[i]);
	cr_assert_eq(ranges.count, 0);
	cr_assert_eq(flow_ranges_add(&ranges, "0.0.0.0/0"), 0);
	cr_assert(flow_ranges_hold(&ranges, &any));
	while (ranges.count < FLOW_RANGES_MAX)
		cr_assert_eq(flow_ranges_add(&ranges, "::1"), 0);
	cr_assert_eq(flow_ranges_add(&ranges, "::1"), -ENOSPC);
}

Test(flow, the_one_not_used_longest_makes_room)
{
	struct event_address one = address_of("198.18.0.1", 1), other = address_of("198.18.0.2", 2);
	struct flow_table *table;
	uint32_t *extra;

	cr_assert_eq(flow_table_open(&table, 3, sizeof(*extra)), 0);
	for (uint32_t i = 1; i <= 3; i++) {
		one.port = i;
		extra = flow_table_add(table, 6, &one, &other);
		cr_assert_eq(*extra, 0);
		*extra = i;
	}
	one.port = 1;
	cr_assert_eq(*(uint32_t *)flow_table_find(table, 6, &one, &other), 1);
	cr_assert_null(flow_table_find(table, 17, &one, &other));
	cr_assert_null(flow_table_find(table, 6, &other, &one));
	one.port = 4;
	cr_assert_eq(*(uint32_t *)flow_table_add(table, 6, &one, &other), 0);
	one.port = 2;
	cr_assert_null(flow_table_find(table, 6, &one, &other));
	one.port = 1;
	cr_assert_not_null(flow_table_find(table, 6, &one, &other));
	cr_assert_eq(flow_table_pushed_out(table), 1);
	flow_table_close(table);
}

Test(flow, the_other_end_sees_it_the_other_way_round)
{
	struct flow flow = {.local = address_of("198.18.0.1", 1),
		.remote = address_of("2001:db8::2", 2),
		.bytes_out = 3,
		.bytes_in = 4,
		.notes.sent = 1};
	struct flow other = flow_flip(&flow);
	char text[FLOW_END_TEXT];

	cr_assert_str_eq(flow_end_format(text, &other.local), "[2001:db8::2]:2");
	cr_assert_str_eq(flow_end_format(text, &other.remote), "198.18.0.1:1");
	cr_assert(other.inbound && other.bytes_out == 4 && other.bytes_in == 3 && other.notes.sent == 0);
}
