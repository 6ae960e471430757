/* SPDX-License-Identifier: Apache-2.0 */
/* A network event with all that one can tell. */
#ifndef TAFFRAIL_TESTS_TEST_WIRE_H
#define TAFFRAIL_TESTS_TEST_WIRE_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "event/event.h"

static const struct event_address dns_addresses[] = {
	{AF_INET, {203, 0, 113, 7}, 0}, {AF_INET6, {0x20, 1, 0xd, 0xb8, [15] = 1}, 0}};
static const struct event_dns dns_answer = {.question = {"www.\xff.test", 10},
	.type = 28,
	.response_code = 3,
	.addresses = dns_addresses,
	.address_count = 2};

static void make_network(struct event *event, enum event_action action)
{
	event->network = (struct event_network){.family = AF_INET6,
		.protocol = IPPROTO_TCP,
		.type = SOCK_STREAM,
		.source = {AF_INET6, {0xfd, 1}, 1234},
		.destination = {AF_INET6, {0xfd, 2}, 80},
		.ingress = true,
		.source_bytes = 10,
		.destination_bytes = 1ull << 40,
		.duration_ns = 99,
		.interface = 3,
		.source_packets = 5,
		.destination_packets = 1ull << 33,
		.state = EVENT_FLOW_TIMED_OUT,
		.going_on = action == EVENT_FLOW,
		.domain = TEXT_LITERAL("www.example.test"),
		.server_name = TEXT_LITERAL("shop.example.test"),
		.dns = action == EVENT_DNS ? &dns_answer : NULL};
}

#endif
