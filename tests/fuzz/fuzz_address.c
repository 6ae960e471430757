/* SPDX-License-Identifier: Apache-2.0 */
/* An address as people write it: what is read is written so that it reads the same. */
#include "fuzz.h"

#include "grpc/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1), error[200], written[GRPC_ADDRESS_TEXT_SIZE];
	struct grpc_address address, again;
	struct grpc_endpoint endpoints[4];
	int count;

	fuzz_expect(text);
	memcpy(text, bytes, length);
	text[length] = '\0';
	memset(error, 'x', sizeof(error));
	if (grpc_address_parse(text, &address, error, sizeof(error)) == 0) {
		grpc_address_format(&address, written, sizeof(written));
		fuzz_expect(grpc_address_parse(written, &again, error, sizeof(error)) == 0);
		fuzz_expect(again.kind == address.kind);
		if (address.kind == GRPC_ADDRESS_UNIX)
			fuzz_expect(strcmp(again.path, address.path) == 0);
		else
			fuzz_expect(strcmp(again.host, address.host) == 0 && again.port == address.port);
		count = grpc_address_endpoints(&address, endpoints, 4);
		fuzz_expect(count <= 4);
		for (int i = 0; i < count; i++) {
			const struct sockaddr *socket_address = (const void *)&endpoints[i].address;

			/* Plain text goes where the address says that it is loopback: each endpoint must be, then. */
			if (grpc_address_is_loopback(&address))
				fuzz_expect(grpc_sockaddr_is_loopback(socket_address));
			grpc_sockaddr_format(socket_address, endpoints[i].length, written, sizeof(written));
			fuzz_expect(strlen(written) < sizeof(written));
		}
	} else {
		fuzz_expect(memchr(error, '\0', sizeof(error)) && !strchr(error, '\n'));
	}
	free(text);
	return 0;
}
