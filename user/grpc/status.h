/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's status codes: the outcome of a call (grpc/doc/statuscodes.md). */
#ifndef TAFFRAIL_GRPC_STATUS_H
#define TAFFRAIL_GRPC_STATUS_H

#include <stdint.h>

#define GRPC_NEVER UINT32_MAX /* for a time in milliseconds in client's or server's options: switch it off */

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

/* "OK", "CANCELLED", ...; "UNKNOWN" for a number that gRPC does not know. A constant. */
const char *grpc_status_name(enum grpc_status status);

#endif
