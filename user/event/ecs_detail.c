/* SPDX-License-Identifier: Apache-2.0 */
/* What an ECS document tells of a file or of a network connection. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "event/community.h"
#include "event/ecs_document.h"
#include "event/names.h"

void put_path(struct document *document, struct text path)
{
	const char *slash = path.length > 0 ? memrchr(path.data, '/', path.length) : NULL, *dot;
	struct text name = path, directory = {0}, extension = {0};

	if (slash) {
		name = (struct text){slash + 1, path.length - (size_t)(slash - path.data) - 1};
		directory = (struct text){path.data, slash > path.data ? (size_t)(slash - path.data) : 1};
	}
	dot = name.length > 0 ? memrchr(name.data, '.', name.length) : NULL;
	if (dot && dot > name.data)
		extension = (struct text){dot + 1, name.length - (size_t)(dot - name.data) - 1};
	put_text(document, "path", "file.path", path);
	put_text(document, "name", "file.name", name);
	put_text(document, "directory", "file.directory", directory);
	put_text(document, "extension", "file.extension", extension);
}

void put_file(struct document *document)
{
	const struct event_file *file = &document->event->file;
	struct json *json = &document->json;
	const char *type = name_of_file_type(file->mode);

	if (file->path.length == 0)
		return;
	json_key(json, "file");
	json_object_begin(json);
	put_path(document, file->path);
	if (type) {
		char mode[8];

		snprintf(mode, sizeof(mode), "%04o", file->mode & 07777u);
		json_key(json, "inode");
		put_number_text(json, file->inode);
		json_key(json, "mode");
		put_name(json, mode);
		json_key(json, "type");
		put_name(json, type);
	}
	json_object_end(json);
}

/* Does it tell how much went each way? */
static bool is_counted(const struct event *event)
{
	return event->action == EVENT_DISCONNECT || event->action == EVENT_FLOW;
}

static void put_end(struct document *document, const struct event_network *network, const struct event_address *address)
{
	struct json *json = &document->json;
	bool server = address == &network->destination;
	char text[INET6_ADDRSTRLEN];

	if (address->family == AF_VSOCK) {
		snprintf(text, sizeof(text), "%u:%u", event_vsock_id(address), address->port);
		json_key(json, "address");
		put_name(json, text);
	} else if (address->family) {
		inet_ntop(address->family, address->bytes, text, sizeof(text));
		json_key(json, "ip");
		put_name(json, text);
		if (name_has_ports(network->protocol))
			json_member_unsigned(json, "port", address->port);
	} else if (server && network->unix_name.length > 0) {
		struct text name = network->unix_name;
		char abstract[256] = "@";

		if (name.data[0] == '\0') {
			size_t length = name.length < sizeof(abstract) ? name.length : sizeof(abstract);

			memcpy(abstract + 1, name.data + 1, length - 1);
			name = (struct text){abstract, length};
		}
		put_text(document, "address", "destination.address", name);
	}
	if (server)
		put_text(document, "domain", "destination.domain", network->domain);
	if (is_counted(document->event)) {
		uint64_t packets = server ? network->destination_packets : network->source_packets;

		json_member_unsigned(json, "bytes", server ? network->destination_bytes : network->source_bytes);
		if (network->source_packets || network->destination_packets)
			json_member_unsigned(json, "packets", packets);
	}
}

/* What DNS answered, and the server's name that TLS asked for. */
static void put_names(struct document *document, const struct event_network *network)
{
	const struct event_dns *dns = network->dns;
	struct json *json = &document->json;
	char room[16], text[INET6_ADDRSTRLEN];

	if (dns) {
		json_key(json, "dns");
		json_object_begin(json);
		json_key(json, "type");
		json_literal(json, "answer");
		json_key(json, "question");
		json_object_begin(json);
		put_text(document, "name", "dns.question.name", dns->question);
		json_key(json, "type");
		put_name(json, name_of_dns_type(dns->type, room));
		json_object_end(json);
		json_key(json, "response_code");
		put_name(json, name_of_dns_response(dns->response_code, room));
		if (dns->address_count > 0) {
			json_key(json, "resolved_ip");
			json_array_begin(json);
			for (size_t i = 0; i < dns->address_count; i++) {
				inet_ntop(dns->addresses[i].family, dns->addresses[i].bytes, text, sizeof(text));
				put_name(json, text);
			}
			json_array_end(json);
		}
		json_object_end(json);
	}
	if (network->server_name.length > 0) {
		json_key(json, "tls");
		json_object_begin(json);
		json_key(json, "client");
		json_object_begin(json);
		put_text(document, "server_name", "tls.client.server_name", network->server_name);
		json_object_end(json);
		json_object_end(json);
	}
}

void put_network(struct document *document, const struct event_network *network)
{
	const char *transport = name_of_transport(network->family, network->protocol);
	bool inet = network->family == AF_INET || network->family == AF_INET6;
	struct json *json = &document->json;
	struct json_mark mark;
	char id[COMMUNITY_TEXT];

	mark = json_optional_begin(json, "source");
	put_end(document, network, &network->source);
	json_optional_end(json, mark);
	mark = json_optional_begin(json, "destination");
	put_end(document, network, &network->destination);
	json_optional_end(json, mark);
	mark = json_optional_begin(json, "network");
	if (transport) {
		json_key(json, "transport");
		put_name(json, transport);
	}
	if (inet) {
		json_key(json, "type");
		put_name(json, network->family == AF_INET ? "ipv4" : "ipv6");
		json_key(json, "direction");
		put_name(json, network->ingress ? "ingress" : "egress");
	}
	if (document->event->action != EVENT_LISTEN && community_id(id, network)) {
		json_key(json, "community_id");
		json_plain(json, id, sizeof(id));
	}
	if (document->event->action == EVENT_DNS) {
		json_key(json, "protocol");
		json_literal(json, "dns");
	}
	if (is_counted(document->event)) {
		json_member_unsigned(json, "bytes", network->source_bytes + network->destination_bytes);
		if (network->source_packets || network->destination_packets)
			json_member_unsigned(json, "packets", network->source_packets + network->destination_packets);
	}
	json_optional_end(json, mark);
	put_names(document, network);
}

void put_own_file(struct document *document)
{
	const struct event_file *file = &document->event->file;
	struct json *json = &document->json;

	json_key(json, "file");
	json_object_begin(json);
	put_text(document, "argument", "taffrail.file.argument", file->argument);
	if (!text_equal(file->named, file->path))
		put_text(document, "named", "taffrail.file.named", file->named);
	if (document->event->action == EVENT_OPEN) {
		json_key(json, "flags");
		json_array_begin(json);
		name_open_flags(file->flags, put_name, json);
		json_array_end(json);
	}
	put_true(json, "foreign", file->foreign);
	put_true(json, "deleted", file->deleted);
	put_true(json, "upper_layer", file->upper);
	put_true(json, "copied_up", file->copied_up);
	put_true(json, "unsure", file->unsure);
	json_object_end(json);
}

void put_own_flow(struct document *document)
{
	struct json *json = &document->json;

	json_key(json, "flow");
	json_object_begin(json);
	json_key(json, "state");
	put_name(json, event_flow_state_name(document->event->network.state));
	json_object_end(json);
}

/* What a socket is, where that matters: a new one, or one that sends what is not of its family's usual kind. */
void put_own_socket(struct document *document)
{
	const struct event_network *network = &document->event->network;
	struct json *json = &document->json;
	char room[16];

	json_key(json, "socket");
	json_object_begin(json);
	json_key(json, "family");
	put_name(json, name_of_socket_family(network->family, room));
	json_key(json, "type");
	put_name(json, name_of_socket_type(network->type, room));
	json_key(json, "protocol");
	put_name(json, name_of_socket_protocol(network->family, network->protocol, room));
	if (network->interface)
		json_member_unsigned(json, "interface", network->interface);
	json_object_end(json);
}
