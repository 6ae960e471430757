/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate's SubjectAltName as a CA may have signed it: the names that are taken from it are harmless, and each is what it seems. */
#include "fuzz.h"

#include <openssl/x509v3.h>

#include "collector/access.h"
#include "grpc/tls_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct grpc_identity identity;
	const unsigned char *at = bytes;
	GENERAL_NAMES *names = d2i_GENERAL_NAMES(NULL, &at, (long)length);

	if (!names)
		return 0;
	memset(&identity, 0xff, sizeof(identity));
	grpc_identity_take(&identity, names);
	fuzz_expect(identity.count <= GRPC_IDENTITY_NAMES);
	for (size_t i = 0; i < identity.count; i++) {
		const char *name = identity.names[i];
		size_t size = strnlen(name, sizeof(identity.names[i]));

		fuzz_expect(size > 0 && size <= GRPC_IDENTITY_NAME_MAX);
		for (size_t c = 0; c < size; c++)
			fuzz_expect(name[c] > ' ' && name[c] < 127);
		fuzz_expect(access_fits("*", name));
		fuzz_expect(access_fits(name, name)); /* a star in it stands for itself too */
	}
	GENERAL_NAMES_free(names);
	return 0;
}
