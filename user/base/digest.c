/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

static void fail(struct digest *digest)
{
	EVP_MD_CTX_free(digest->context);
	digest->context = NULL;
}

void digest_open(struct digest *digest)
{
	digest->context = EVP_MD_CTX_new();
	if (digest->context && EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1)
		fail(digest);
}

void digest_add(struct digest *digest, const void *bytes, size_t length)
{
	uint8_t size[8];

	for (int i = 0; i < 8; i++)
		size[i] = (uint8_t)((uint64_t)length >> 8 * i);
	if (digest->context && (EVP_DigestUpdate(digest->context, size, sizeof(size)) != 1 ||
				       EVP_DigestUpdate(digest->context, bytes, length) != 1))
		fail(digest);
}

struct digest_sum digest_close(struct digest *digest)
{
	struct digest_sum sum = {0};

	if (digest->context && EVP_DigestFinal_ex(digest->context, sum.bytes, NULL) != 1)
		memset(&sum, 0, sizeof(sum));
	fail(digest);
	return sum;
}

const char *digest_format(const struct digest_sum *sum, char text[DIGEST_TEXT_SIZE])
{
	static const struct digest_sum none;

	if (memcmp(sum, &none, sizeof(none)) == 0)
		return strcpy(text, "none");
	strcpy(text, "sha256:");
	for (int i = 0; i < DIGEST_SIZE; i++)
		sprintf(text + 7 + 2 * i, "%02x", sum->bytes[i]);
	return text;
}
