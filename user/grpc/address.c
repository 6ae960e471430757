/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/utf8.h"

__attribute__((format(printf, 3, 4))) static int address_refuse(char *error, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (size)
		vsnprintf(error, size, format, arguments);
	va_end(arguments);
	/* The text may be anything that stood in a file: the sentence stays one line. */
	if (size)
		utf8_defuse(error, strlen(error));
	return -EINVAL;
}

static int address_parse_unix(
	const char *text, const char *path, struct grpc_address *address, char *error, size_t error_size)
{
	if (path != text && strncmp(path, "//", 2) == 0) {
		path += 2;
		if (*path != '/')
			return address_refuse(
				error, error_size, "\"%.200s\": after unix:// comes an absolute path", text);
	}
	if (!*path)
		return address_refuse(error, error_size, "\"%.200s\": the path of the unix socket is missing", text);
	if (strlen(path) >= sizeof(address->path))
		return address_refuse(error, error_size,
			"\"%.200s\": the path of a unix socket has at most %zu bytes, this one has %zu", text,
			sizeof(address->path) - 1, strlen(path));
	address->kind = GRPC_ADDRESS_UNIX;
	strcpy(address->path, path);
	return 0;
}

static int address_parse_port(
	const char *text, const char *port, struct grpc_address *address, char *error, size_t error_size)
{
	size_t digits = strspn(port, "0123456789");
	unsigned number = 0;

	if (digits == 0 || digits > 5 || port[digits])
		return address_refuse(error, error_size, "\"%.200s\": \"%.40s\" is no port number", text, port);
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (unsigned)(port[i] - '0');
	if (number > UINT16_MAX)
		return address_refuse(error, error_size, "\"%.200s\": port %u is above 65535", text, number);
	address->port = (uint16_t)number;
	return 0;
}

static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

/* The brackets' inside, without its zone ("%eth0"), must be an IPv6 address. */
static bool address_is_v6_literal(const char *host)
{
	struct in6_addr ignored;
	char bare[INET6_ADDRSTRLEN];
	size_t length = strcspn(host, "%");

	if (length >= sizeof(bare))
		return false;
	if (host[length] == '%' && (!host[length + 1] || host[length + 1 + strspn(host + length + 1, word)]))
		return false;
	memcpy(bare, host, length);
	bare[length] = 0;
	return inet_pton(AF_INET6, bare, &ignored) == 1;
}

int grpc_address_parse(const char *text, struct grpc_address *address, char *error, size_t error_size)
{
	const char *host = text, *port;
	size_t length;

	memset(address, 0, sizeof(*address));
	if (error_size)
		error[0] = 0;
	if (strncmp(text, "unix:", 5) == 0)
		return address_parse_unix(text, text + 5, address, error, error_size);
	if (text[0] == '/')
		return address_parse_unix(text, text, address, error, error_size);

	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (!end || end[1] != ':')
			return address_refuse(error, error_size, "\"%.200s\": expected [ADDRESS]:PORT", text);
		host = text + 1;
		length = (size_t)(end - host);
		port = end + 2;
	} else {
		port = strchr(text, ':');
		if (!port)
			return address_refuse(
				error, error_size, "\"%.200s\": expected HOST:PORT, [V6]:PORT or unix:PATH", text);
		length = (size_t)(port - host);
		port++;
		if (strchr(port, ':'))
			return address_refuse(
				error, error_size, "\"%.200s\": an IPv6 address needs brackets, [ADDRESS]:PORT", text);
	}
	if (length >= sizeof(address->host))
		return address_refuse(error, error_size, "\"%.200s\": a host name has at most 253 bytes", text);
	memcpy(address->host, host, length);
	address->host[length] = 0;
	if (text[0] == '[' && !address_is_v6_literal(address->host))
		return address_refuse(
			error, error_size, "\"%.200s\": \"%.60s\" is no IPv6 address", text, address->host);
	if (text[0] != '[' && strspn(address->host, word) != length)
		return address_refuse(error, error_size, "\"%.200s\": \"%.100s\" is no host name", text, address->host);
	address->kind = GRPC_ADDRESS_INET;
	return address_parse_port(text, port, address, error, error_size);
}

const char *grpc_address_format(const struct grpc_address *address, char *text, size_t size)
{
	if (address->kind == GRPC_ADDRESS_UNIX)
		/* A path that starts with // would read as gRPC's spelling. */
		snprintf(text, size, "unix:%s%s", strncmp(address->path, "//", 2) == 0 ? "//" : "", address->path);
	else if (strchr(address->host, ':'))
		snprintf(text, size, "[%s]:%u", address->host, address->port);
	else
		snprintf(text, size, "%s:%u", address->host, address->port);
	return text;
}

static size_t address_add_literal(
	const char *host, uint16_t port, struct grpc_endpoint *endpoints, size_t count, size_t capacity)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
	char service[8];

	if (count >= capacity)
		return count;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &found) != 0)
		return count;
	memset(&endpoints[count], 0, sizeof(endpoints[count]));
	memcpy(&endpoints[count].address, found->ai_addr, found->ai_addrlen);
	endpoints[count].length = found->ai_addrlen;
	freeaddrinfo(found);
	return count + 1;
}

int grpc_address_endpoints(const struct grpc_address *address, struct grpc_endpoint *endpoints, size_t capacity)
{
	size_t count = 0;

	if (address->kind == GRPC_ADDRESS_UNIX) {
		struct sockaddr_un *unix_address = (struct sockaddr_un *)&endpoints[0].address;

		if (!capacity)
			return 0;
		memset(&endpoints[0], 0, sizeof(endpoints[0]));
		unix_address->sun_family = AF_UNIX;
		memcpy(unix_address->sun_path, address->path, sizeof(address->path));
		endpoints[0].length = sizeof(*unix_address);
		return 1;
	}
	if (strcmp(address->host, "localhost") == 0) {
		count = address_add_literal("127.0.0.1", address->port, endpoints, count, capacity);
		count = address_add_literal("::1", address->port, endpoints, count, capacity);
	} else if (!address->host[0]) {
		count = address_add_literal("0.0.0.0", address->port, endpoints, count, capacity);
		count = address_add_literal("::", address->port, endpoints, count, capacity);
	} else {
		count = address_add_literal(address->host, address->port, endpoints, count, capacity);
	}
	return count ? (int)count : -ENOENT;
}

bool grpc_sockaddr_is_loopback(const struct sockaddr *socket_address)
{
	if (socket_address->sa_family == AF_UNIX)
		return true;
	if (socket_address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)socket_address)->sin_addr.s_addr) >> 24 == 127;
	if (socket_address->sa_family == AF_INET6) {
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *)socket_address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
	}
	return false;
}

bool grpc_address_is_loopback(const struct grpc_address *address)
{
	struct grpc_endpoint endpoints[2];
	int count = grpc_address_endpoints(address, endpoints, 2);

	for (int i = 0; i < count; i++)
		if (!grpc_sockaddr_is_loopback((const struct sockaddr *)&endpoints[i].address))
			return false;
	return count > 0;
}

const char *grpc_sockaddr_format(const struct sockaddr *socket_address, socklen_t length, char *text, size_t text_size)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (socket_address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)socket_address;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, text_size, "%s:%u", host, ntohs(v4->sin_port));
	} else if (socket_address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)socket_address;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, text_size, "[%s]:%u", host, ntohs(v6->sin6_port));
	} else if (socket_address->sa_family == AF_UNIX) {
		const char *path = ((const struct sockaddr_un *)socket_address)->sun_path;
		size_t room = length > offsetof(struct sockaddr_un, sun_path)
				      ? length - offsetof(struct sockaddr_un, sun_path)
				      : 0;

		snprintf(text, text_size, "unix:%.*s", (int)room, room ? path : "");
	} else {
		snprintf(text, text_size, "?");
	}
	return text;
}
