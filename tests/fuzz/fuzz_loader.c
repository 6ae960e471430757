/* SPDX-License-Identifier: Apache-2.0 */
/* A message to the loader's process, over its socket, from a worker that somebody else has taken over. */
#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>

#include "sensor/loader_call.h"

/* What the loader does without looking again. */
static void expect_bounded(const struct request *request)
{
	const char *name = request->pin.name;

	switch (request->kind) {
	case REQUEST_LOAD:
		fuzz_expect(request->number <= REQUEST_PREFIXES_MAX);
		fuzz_expect(!(request->load.calls & ~KERNEL_WANT_DATA & ~0ull << KERNEL_CALLS_END));
		break;
	case REQUEST_PREFIX:
		fuzz_expect(request->number <= REQUEST_PREFIXES);
		for (uint32_t i = 0; i < request->number; i++)
			fuzz_expect(request->prefix.prefixes[i].bits <= 8 * sizeof(request->prefix.prefixes[i].path));
		break;
	case REQUEST_PIN:
		fuzz_expect(memchr(name, 0, PIN_NAME_SIZE) && strlen(name) == PIN_NAME_SIZE - 1);
		fuzz_expect(!strchr(name, '/') && !strchr(name, '.'));
		break;
	case REQUEST_FORMER_COUNTED:
		fuzz_expect(request->lanes <= KERNEL_LANES && request->lanes > 0); /* fall through */
	case REQUEST_FORMER_REST:
	case REQUEST_FORMER_DROP_RINGS:
	case REQUEST_FORMER_DROP:
	case REQUEST_FORMER_CLOSE: fuzz_expect(request->number < FORMER_HANDLES); break;
	default: fuzz_expect(request->kind > 0 && request->kind < REQUEST_KINDS_END && request->number <= 1); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static int sockets[2] = {-1, -1};
	static struct request request;
	size_t none = 0;
	ssize_t got;

	if (length == 0 || length > 2 * sizeof(request))
		return 0;
	if (sockets[0] < 0)
		fuzz_expect(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
	fuzz_expect(call_send(sockets[0], bytes, length, NULL, 0, 1000) == 0);
	got = call_receive(sockets[1], &request, sizeof(request), NULL, &none, 1000);
	fuzz_expect(length > sizeof(request) ? got == -EMSGSIZE : got == (ssize_t)length);
	if (got > 0 && !request_check(&request, (size_t)got)) {
		fuzz_expect((size_t)got == request_size(request.kind));
		expect_bounded(&request);
	}
	return 0;
}
