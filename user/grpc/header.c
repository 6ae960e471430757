/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/header.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/utf8.h"

static const char *const status_names[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
	"NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
	"OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};

#define STATUS_COUNT (sizeof(status_names) / sizeof(status_names[0]))

const char *grpc_status_name(enum grpc_status status)
{
	return (unsigned)status < STATUS_COUNT ? status_names[status] : "UNKNOWN";
}

enum grpc_status grpc_status_parse(const uint8_t *text, size_t length)
{
	unsigned number = 0;

	if (length == 0 || length > 2)
		return GRPC_UNKNOWN;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return GRPC_UNKNOWN;
		number = number * 10 + (text[i] - '0');
	}
	return number < STATUS_COUNT ? (enum grpc_status)number : GRPC_UNKNOWN;
}

enum grpc_status grpc_status_of_http(unsigned http_status)
{
	switch (http_status) {
	case 400: return GRPC_INTERNAL;
	case 401: return GRPC_UNAUTHENTICATED;
	case 403: return GRPC_PERMISSION_DENIED;
	case 404: return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504: return GRPC_UNAVAILABLE;
	default: return GRPC_UNKNOWN;
	}
}

enum grpc_status grpc_status_of_reset(uint32_t error_code)
{
	switch (error_code) {
	case NGHTTP2_REFUSED_STREAM: return GRPC_UNAVAILABLE;
	case NGHTTP2_CANCEL: return GRPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM: return GRPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY: return GRPC_PERMISSION_DENIED;
	default: return GRPC_INTERNAL;
	}
}

bool grpc_content_type_fits(const uint8_t *value, size_t length)
{
	static const char wanted[] = "application/grpc";
	size_t base = sizeof(wanted) - 1;

	if (length < base || memcmp(value, wanted, base) != 0)
		return false;
	return length == base || value[base] == '+' || value[base] == ';';
}

/* The value has at most eight digits: beyond 27 hours in milliseconds the unit becomes seconds. */
void grpc_timeout_format(uint32_t timeout_ms, char *text)
{
	if (timeout_ms <= 99999999)
		snprintf(text, 16, "%" PRIu32 "m", timeout_ms);
	else
		snprintf(text, 16, "%" PRIu32 "S", timeout_ms / 1000);
}

uint64_t grpc_timeout_parse(const uint8_t *text, size_t length, bool *valid)
{
	uint64_t number = 0;

	*valid = false;
	if (length < 2 || length > 9)
		return 0;
	for (size_t i = 0; i + 1 < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		number = number * 10 + (text[i] - '0');
	}
	*valid = true;
	switch (text[length - 1]) {
	case 'H': return number * 3600000;
	case 'M': return number * 60000;
	case 'S': return number * 1000;
	case 'm': return number;
	case 'u': return (number + 999) / 1000;
	case 'n': return (number + 999999) / 1000000;
	default: *valid = false; return 0;
	}
}

void grpc_message_encode(const char *message, char *text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; message[i] && i < GRPC_MESSAGE_TEXT_BYTES; i++) {
		unsigned char c = (unsigned char)message[i];

		if (c >= 0x20 && c <= 0x7e && c != '%') {
			*text++ = (char)c;
		} else {
			*text++ = '%';
			*text++ = hex[c >> 4];
			*text++ = hex[c & 15];
		}
	}
	*text = 0;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_decode(const uint8_t *text, size_t length, char *message, size_t size)
{
	size_t out = 0;

	for (size_t i = 0; i < length && out + 1 < size; i++) {
		unsigned c = text[i];

		if (c == '%' && i + 2 < length && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
			c = (unsigned)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
			i += 2;
		}
		message[out++] = (char)c;
	}
	message[out] = 0;
	utf8_defuse(message, out); /* the peer's words end up in a log */
}

bool grpc_metadata_is_allowed(const char *name, const char *value)
{
	static const char *const reserved[] = {"te", "content-type", "user-agent", "content-length", "host",
		"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"};

	if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != strlen(name))
		return false;
	if (strncmp(name, "grpc-", 5) == 0)
		return false;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(name, reserved[i]) == 0)
			return false;
	for (; *value; value++)
		if ((unsigned char)*value < 0x20 || (unsigned char)*value > 0x7e)
			return false;
	return true;
}
