/* SPDX-License-Identifier: Apache-2.0 */
/* Files, networks and deeds on the wire. A path that is the same twice travels once. */
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
	if ((message->ip.len != 4 && message->ip.len != 16) || (message->port > UINT16_MAX && !vsock))
		return false;
	address->family = vsock ? AF_VSOCK : message->ip.len == 4 ? AF_INET : AF_INET6;
	memcpy(address->bytes, message->ip.data, message->ip.len);
	address->port = message->port;
	return true;
}

bool wire_read_network(struct event_network *network, const Taffrail__V1__Network *message)
{
	bool vsock = message->family == AF_VSOCK;

	if (!read_address(&network->source, message->source, vsock) ||
		!read_address(&network->destination, message->destination, vsock))
		return false;
	network->unix_name = text_of_bytes(message->unix_name);
	network->family = (uint16_t)message->family;
	network->protocol = (uint16_t)message->protocol;
	network->type = (uint16_t)message->type;
	network->ingress = message->ingress;
	network->source_bytes = message->source_bytes;
	network->destination_bytes = message->destination_bytes;
	network->duration_ns = message->duration_ns;
	network->interface = message->interface;
	return true;
}
