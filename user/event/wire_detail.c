/* SPDX-License-Identifier: Apache-2.0 */
/* Files, networks and deeds on the wire. A path that is the same twice travels once. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "event/wire_inside.h"

/* --- writing ---------------------------------------------------------------------------------------------------------- */

void wire_set_file(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_file *file)
{
	Taffrail__V1__File *to = &detail->file;

	taffrail__v1__file__init(to);
	to->path = bytes_of(file->path);
	to->argument = bytes_of(file->argument);
	to->as_named = file->named.length > 0 && text_equal(file->named, file->path);
	if (!to->as_named)
		to->named = bytes_of(file->named);
	to->flags = file->flags;
	to->inode = file->inode;
	to->mode = file->mode;
	to->created_mode = file->created_mode;
	to->created = file->created;
	to->foreign = file->foreign;
	to->deleted = file->deleted;
	to->upper = file->upper;
	to->copied_up = file->copied_up;
	to->unsure = file->unsure;
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_FILE;
	message->file = to;
}

void wire_set_change(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_change *change)
{
	Taffrail__V1__Change *to = &detail->change;

	taffrail__v1__change__init(to);
	to->path = bytes_of(change->path);
	to->argument = bytes_of(change->argument);
	if (!text_equal(change->named, change->path))
		to->named = bytes_of(change->named);
	to->new_path = bytes_of(change->new_path);
	to->new_argument = bytes_of(change->new_argument);
	if (!text_equal(change->new_named, change->new_path))
		to->new_named = bytes_of(change->new_named);
	to->target = bytes_of(change->target);
	to->mode = change->mode;
	to->flags = change->flags;
	to->inode = change->inode;
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_CHANGE;
	message->change = to;
}

static Taffrail__V1__Address *set_address(Taffrail__V1__Address *message, const struct event_address *address)
{
	if (!address->family)
		return NULL;
	taffrail__v1__address__init(message);
	message->ip = bytes_at(address->bytes, address->family == AF_INET6 ? 16 : 4);
	message->port = address->port;
	return message;
}

static Taffrail__V1__Dns *set_dns(struct wire_detail *detail, const struct event_dns *dns)
{
	Taffrail__V1__Dns *to = &detail->dns;

	taffrail__v1__dns__init(to);
	to->question = bytes_of(dns->question);
	to->type = dns->type;
	to->response_code = dns->response_code;
	to->address = detail->resolved;
	for (; to->n_address < dns->address_count && to->n_address < EVENT_RESOLVED_MAX; to->n_address++) {
		const struct event_address *address = &dns->addresses[to->n_address];

		detail->resolved[to->n_address] = bytes_at(address->bytes, address->family == AF_INET6 ? 16 : 4);
	}
	return to;
}

static Taffrail__V1__Network *set_network(struct wire_detail *detail, const struct event_network *network)
{
	Taffrail__V1__Network *to = &detail->network;

	taffrail__v1__network__init(to);
	to->source = set_address(&detail->source, &network->source);
	to->destination = set_address(&detail->destination, &network->destination);
	to->unix_name = bytes_of(network->unix_name);
	to->family = network->family;
	to->protocol = network->protocol;
	to->type = network->type;
	to->ingress = network->ingress;
	to->source_bytes = network->source_bytes;
	to->destination_bytes = network->destination_bytes;
	to->duration_ns = network->duration_ns;
	to->interface = network->interface;
	to->source_packets = network->source_packets;
	to->destination_packets = network->destination_packets;
	to->state = (Taffrail__V1__FlowState)network->state;
	to->going_on = network->going_on;
	to->domain = bytes_of(network->domain);
	to->server_name = bytes_of(network->server_name);
	if (network->dns)
		to->dns = set_dns(detail, network->dns);
	return to;
}

void wire_set_network(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_network *network)
{
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_NETWORK;
	message->network = set_network(detail, network);
}

void wire_set_deed(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_deed *deed)
{
	Taffrail__V1__Deed *to = &detail->deed;

	taffrail__v1__deed__init(to);
	to->request = deed->request;
	to->flags = deed->flags;
	to->id = deed->id;
	to->other = deed->other;
	to->other_name = bytes_of(deed->other_name);
	to->path = bytes_of(deed->path);
	to->source = bytes_of(deed->source);
	to->type = bytes_of(deed->type);
	to->data = bytes_of(deed->data);
	to->descriptor_type = deed->descriptor_type;
	if (deed->socket.family)
		to->socket = set_network(detail, &deed->socket);
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_DEED;
	message->deed = to;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

void wire_read_file(struct event_file *file, const Taffrail__V1__File *message)
{
	file->path = text_of_bytes(message->path);
	file->argument = text_of_bytes(message->argument);
	file->named = message->as_named ? file->path : text_of_bytes(message->named);
	file->flags = message->flags;
	file->inode = message->inode;
	file->mode = message->mode;
	file->created_mode = message->created_mode;
	file->created = message->created;
	file->foreign = message->foreign;
	file->deleted = message->deleted;
	file->upper = message->upper;
	file->copied_up = message->copied_up;
	file->unsure = message->unsure;
}

void wire_read_change(struct event_change *change, const Taffrail__V1__Change *message)
{
	change->path = text_of_bytes(message->path);
	change->argument = text_of_bytes(message->argument);
	change->named = message->named.len > 0 ? text_of_bytes(message->named) : change->path;
	change->new_path = text_of_bytes(message->new_path);
	change->new_argument = text_of_bytes(message->new_argument);
	change->new_named = message->new_named.len > 0 ? text_of_bytes(message->new_named) : change->new_path;
	change->target = text_of_bytes(message->target);
	change->mode = message->mode;
	change->flags = message->flags;
	change->inode = message->inode;
}

void wire_read_deed(struct event_deed *deed, const Taffrail__V1__Deed *message)
{
	deed->request = message->request;
	deed->flags = message->flags;
	deed->id = message->id;
	deed->other = message->other;
	deed->other_name = text_of_bytes(message->other_name);
	deed->path = text_of_bytes(message->path);
	deed->source = text_of_bytes(message->source);
	deed->type = text_of_bytes(message->type);
	deed->data = text_of_bytes(message->data);
	deed->descriptor_type = message->descriptor_type;
}

static bool read_address(struct event_address *address, const Taffrail__V1__Address *message, bool vsock)
{
	if (!message)
		return true;
	if (message->ip.len != 4 && (message->ip.len != 16 || vsock))
		return false;
	if (message->port > UINT16_MAX && !vsock)
		return false;
	address->family = vsock ? AF_VSOCK : message->ip.len == 4 ? AF_INET : AF_INET6;
	memcpy(address->bytes, message->ip.data, message->ip.len);
	address->port = message->port;
	return true;
}

static int read_dns(struct wire_arena *arena, struct event_network *network, const Taffrail__V1__Dns *message)
{
	struct event_dns *dns = wire_arena_zeroed(arena, 1, sizeof(*dns));
	struct event_address *addresses;

	if (message->n_address > EVENT_RESOLVED_MAX || message->type > UINT16_MAX || message->response_code > UINT8_MAX)
		return -EBADMSG;
	addresses = wire_arena_zeroed(arena, message->n_address + 1, sizeof(*addresses));
	if (!dns || !addresses)
		return -ENOMEM;
	dns->question = text_of_bytes(message->question);
	dns->type = (uint16_t)message->type;
	dns->response_code = (uint8_t)message->response_code;
	for (size_t i = 0; i < message->n_address; i++) {
		const ProtobufCBinaryData *from = &message->address[i];

		if (from->len != 4 && from->len != 16)
			return -EBADMSG;
		addresses[i].family = from->len == 4 ? AF_INET : AF_INET6;
		memcpy(addresses[i].bytes, from->data, from->len);
	}
	dns->addresses = addresses;
	dns->address_count = message->n_address;
	network->dns = dns;
	return 0;
}

int wire_read_network(struct wire_arena *arena, struct event_network *network, const Taffrail__V1__Network *message)
{
	bool vsock = message->family == AF_VSOCK;

	if (!read_address(&network->source, message->source, vsock) ||
		!read_address(&network->destination, message->destination, vsock) ||
		(unsigned int)message->state >= EVENT_FLOW_STATES_END)
		return -EBADMSG;
	network->unix_name = text_of_bytes(message->unix_name);
	network->family = (uint16_t)message->family;
	network->protocol = (uint16_t)message->protocol;
	network->type = (uint16_t)message->type;
	network->ingress = message->ingress;
	network->source_bytes = message->source_bytes;
	network->destination_bytes = message->destination_bytes;
	network->duration_ns = message->duration_ns;
	network->interface = message->interface;
	network->source_packets = message->source_packets;
	network->destination_packets = message->destination_packets;
	network->state = (enum event_flow_state)message->state;
	network->going_on = message->going_on;
	network->domain = text_of_bytes(message->domain);
	network->server_name = text_of_bytes(message->server_name);
	return message->dns ? read_dns(arena, network, message->dns) : 0;
}
