/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of grpc/: what stands in the headers of a call (grpc/doc/PROTOCOL-HTTP2.md). */
#ifndef TAFFRAIL_GRPC_HEADER_H
#define TAFFRAIL_GRPC_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <nghttp2/nghttp2.h>

#include "grpc/status.h"

#define GRPC_HEADER_LIST_BYTES                                                                                         \
	(16 * 1024)                  /* of one header block, if nothing else is said, counted as RFC 9113, 6.5.2 does */
#define GRPC_MESSAGE_TEXT_BYTES 1024 /* of a status message, in clear */

static inline uint64_t grpc_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A header to send; nghttp2 copies both strings when the frame is submitted. */
static inline nghttp2_nv grpc_nv(const char *name, const char *value)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): it loses track of the copies that call.c makes */
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static inline bool grpc_header_is(const uint8_t *name, size_t length, const char *literal)
{
	return length == strlen(literal) && memcmp(name, literal, length) == 0;
}

/* "application/grpc", also with "+proto" or ";parameters". */
bool grpc_content_type_fits(const uint8_t *value, size_t length);

/* grpc-timeout: "%u" and a unit. `text` holds 16 bytes. */
void grpc_timeout_format(uint32_t timeout_ms, char *text);
/* Milliseconds, rounded up. *valid is false if the text is no timeout. */
uint64_t grpc_timeout_parse(const uint8_t *text, size_t length, bool *valid);

/* grpc-message: percent-encode up to GRPC_MESSAGE_TEXT_BYTES of `message`; `text` holds three times that and a NUL. */
void grpc_message_encode(const char *message, char *text);
/* Decode; what is no valid escape stays as it is, what utf8_defuse takes away becomes '?'. `message` holds `size` bytes. */
void grpc_message_decode(const uint8_t *text, size_t length, char *message, size_t size);

/* A number that is no status is UNKNOWN. */
enum grpc_status grpc_status_parse(const uint8_t *text, size_t length);
/* grpc/doc/http-grpc-status-mapping.md */
enum grpc_status grpc_status_of_http(unsigned http_status);
/* "HTTP2 Transport Mapping" of PROTOCOL-HTTP2.md, for a stream that the peer reset. */
enum grpc_status grpc_status_of_reset(uint32_t error_code);

/* May a caller send this header? Lower case, printable, none of HTTP/2's or gRPC's own. */
bool grpc_metadata_is_allowed(const char *name, const char *value);

#endif
