/* SPDX-License-Identifier: Apache-2.0 */
/* fd.*: the two ends of a connection. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "detect/field.h"

enum which { EITHER, CLIENT, SERVER, LOCAL, REMOTE, TRANSPORT, SOCKET_FAMILY, CONNECTED, NAME_CHANGED, IS_SERVER };

enum { NAMES_MAX = 8 };

/* The socket, if it has addresses and ports. */
static const struct event_network *with_ends(const struct event *event)
{
	const struct event_network *network = field_socket(event);

	return network && (network->family == AF_INET || network->family == AF_INET6) ? network : NULL;
}

/* One end of a connection, of which an address is known; NULL else. */
static const struct event_address *end_of(const struct event *event, enum which which)
{
	const struct event_network *network = with_ends(event);
	const struct event_address *end;
	bool local_is_server;

	if (!network)
		return NULL;
	/* The one that listens or was called is the server; what came in was addressed to us. */
	local_is_server = event->action == EVENT_LISTEN || network->ingress;
	if (which == LOCAL)
		which = local_is_server ? SERVER : CLIENT;
	else if (which == REMOTE)
		which = local_is_server ? CLIENT : SERVER;
	end = which == CLIENT ? &network->source : &network->destination;
	return end->family ? end : NULL;
}

/* Both ends into `ends`, or the one of `which`; how many. */
static size_t ends_of(const struct event *event, enum which which, const struct event_address *ends[2])
{
	static const enum which both[] = {CLIENT, SERVER};
	size_t count = 0;

	for (size_t i = 0; i < 2; i++) {
		const struct event_address *end = end_of(event, which == EITHER ? both[i] : which);

		if (end)
			ends[count++] = end;
		if (which != EITHER)
			break;
	}
	return count;
}

static void addresses(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_address *ends[2] = {0};
	size_t count = ends_of(extraction->event, (enum which)use->field->which, ends);
	struct value *both;

	if (count == 0)
		return;
	*values = (struct values){.known = true, .count = 1, .one.address = *ends[0]};
	if (count < 2 || !(both = field_room(extraction, 2 * sizeof(*both))))
		return;
	for (size_t i = 0; i < 2; i++)
		both[i].address = *ends[i];
	*values = (struct values){.known = true, .count = 2, .more = both};
}

static void ports(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_address *ends[2] = {0};
	size_t count = ends_of(extraction->event, (enum which)use->field->which, ends);
	struct value *both;

	if (count == 0)
		return;
	field_give_number(values, ends[0]->port);
	if (count < 2 || !(both = field_room(extraction, 2 * sizeof(*both))))
		return;
	for (size_t i = 0; i < 2; i++)
		both[i].number = ends[i]->port;
	*values = (struct values){.known = true, .count = 2, .more = both};
}

/* What a container had resolved to an address that it calls. */
static struct text resolved_name(const struct event *event, const struct event_address *end)
{
	const struct event_network *network = field_socket(event);

	return end == &network->destination && !network->ingress ? network->domain : (struct text){0};
}

/* An address may have several names, and any of them is meant. */
static void host_names(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_address *end = end_of(extraction->event, (enum which)use->field->which);
	const struct rules_names *names = extraction->names;
	struct value *found;
	size_t count = 0;

	if (!end)
		return;
	found = field_room(extraction, NAMES_MAX * sizeof(*found));
	if (!found)
		return;
	found[0].text = resolved_name(extraction->event, end);
	count = found[0].text.length > 0;
	for (size_t i = 0; names->host && count < NAMES_MAX; i++) {
		found[count].text = names->host(names->context, extraction->event, end, i);
		if (found[count].text.length == 0)
			break;
		count++;
	}
	if (count == 1)
		field_give_text(values, found[0].text);
	else if (count > 1)
		*values = (struct values){.known = true, .count = count, .more = found};
}

static struct text transport(const struct event_network *network)
{
	if (network->type == SOCK_RAW)
		return TEXT_LITERAL("raw");
	switch (network->protocol) {
	case IPPROTO_TCP: return TEXT_LITERAL("tcp");
	case IPPROTO_UDP: return TEXT_LITERAL("udp");
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: return TEXT_LITERAL("icmp");
	case IPPROTO_RAW: return TEXT_LITERAL("raw");
	default: return TEXT_LITERAL("<NA>");
	}
}

static void protocols(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_network *network = with_ends(extraction->event);

	(void)use;
	if (network)
		field_give_text(values, transport(network));
}

static void states(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event *event = extraction->event;
	bool datagram = event->action == EVENT_SEND || event->action == EVENT_RECEIVE;

	if (!field_socket(event))
		return;
	switch ((enum which)use->field->which) {
	case SOCKET_FAMILY:
		if (with_ends(event))
			field_give_text(values, TEXT_LITERAL("ip"));
		else if (field_socket(event)->family == AF_UNIX)
			field_give_text(values, TEXT_LITERAL("unix"));
		break;
	case CONNECTED:
		field_give_boolean(
			values, event->outcome == EVENT_SUCCESS &&
					(event->action == EVENT_CONNECT || event->action == EVENT_ACCEPT ||
						(event->action == EVENT_RECEIVE && event->network.connected)));
		break;
	/* A datagram is an event when it goes to, or comes from, another peer than the one before, or for its data. */
	case NAME_CHANGED:
		field_give_boolean(values, (datagram && !event->network.again) || event->action == EVENT_CONNECT);
		break;
	case IS_SERVER:
		if (with_ends(event))
			field_give_boolean(values, event->action == EVENT_LISTEN || field_socket(event)->ingress);
		break;
	default: break;
	}
}

static void unknown(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	(void)extraction;
	(void)use;
	(void)values;
}

const struct field field_network[] = {
	{"fd.ip", FIELD_ADDRESS, FIELD_EITHER, 0, addresses, EITHER, "the address of either end"},
	{"fd.cip", FIELD_ADDRESS, 0, 0, addresses, CLIENT, "the client's address"},
	{"fd.sip", FIELD_ADDRESS, 0, 0, addresses, SERVER, "the server's address"},
	{"fd.lip", FIELD_ADDRESS, 0, 0, addresses, LOCAL, "the address at this end"},
	{"fd.rip", FIELD_ADDRESS, 0, 0, addresses, REMOTE, "the address at the other end"},
	{"fd.net", FIELD_NETWORK, FIELD_EITHER, 0, addresses, EITHER, "the network of either end: = 10.0.0.0/8"},
	{"fd.cnet", FIELD_NETWORK, 0, 0, addresses, CLIENT, "the client's network"},
	{"fd.snet", FIELD_NETWORK, 0, 0, addresses, SERVER, "the server's network"},
	{"fd.lnet", FIELD_NETWORK, 0, 0, addresses, LOCAL, "the network at this end"},
	{"fd.rnet", FIELD_NETWORK, 0, 0, addresses, REMOTE, "the network at the other end"},
	{"fd.port", FIELD_NUMBER, FIELD_EITHER, 0, ports, EITHER, "the port of either end"},
	{"fd.cport", FIELD_NUMBER, 0, 0, ports, CLIENT, "the client's port"},
	{"fd.sport", FIELD_NUMBER, 0, 0, ports, SERVER, "the server's port"},
	{"fd.lport", FIELD_NUMBER, 0, 0, ports, LOCAL, "the port at this end"},
	{"fd.rport", FIELD_NUMBER, 0, 0, ports, REMOTE, "the port at the other end"},
	{"fd.cip.name", FIELD_TEXT, FIELD_EITHER, 0, host_names, CLIENT,
		"the names that the client's address was resolved from"},
	{"fd.sip.name", FIELD_TEXT, FIELD_EITHER, 0, host_names, SERVER, "the names of the server's address"},
	{"fd.lip.name", FIELD_TEXT, FIELD_EITHER, 0, host_names, LOCAL, "the names of the address at this end"},
	{"fd.rip.name", FIELD_TEXT, FIELD_EITHER, 0, host_names, REMOTE, "the names of the address at the other end"},
	{"fd.l4proto", FIELD_TEXT, 0, 0, protocols, TRANSPORT, "tcp, udp, icmp or raw"},
	{"fd.sockfamily", FIELD_TEXT, 0, 0, states, SOCKET_FAMILY, "ip or unix"},
	{"fd.is_server", FIELD_BOOLEAN, 0, 0, states, IS_SERVER, "is this end the server?"},
	{"fd.connected", FIELD_BOOLEAN, 0, 0, states, CONNECTED, "is the socket connected?"},
	{"fd.name_changed", FIELD_BOOLEAN, 0, 0, states, NAME_CHANGED, "did this call change the socket's peer?"},
	{"fd.proto", FIELD_TEXT, 0, 0, unknown, 0, "the service's name by its port: not looked up"},
	{"fd.cproto", FIELD_TEXT, 0, 0, unknown, 0, "not looked up"},
	{"fd.sproto", FIELD_TEXT, 0, 0, unknown, 0, "not looked up"},
	{"fd.lproto", FIELD_TEXT, 0, 0, unknown, 0, "not looked up"},
	{"fd.rproto", FIELD_TEXT, 0, 0, unknown, 0, "not looked up"},
	{0},
};
