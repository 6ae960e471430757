/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) over several texts, so that no two lists of texts are alike: each goes in behind its length. */
#ifndef TAFFRAIL_DIGEST_H
#define TAFFRAIL_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_SIZE = 32, DIGEST_TEXT_SIZE = 7 + 2 * DIGEST_SIZE + 1 };

struct digest {
	void *context; /* NULL: without memory */
};

struct digest_sum {
	uint8_t bytes[DIGEST_SIZE]; /* all zeros: there is none */
};

/* Without memory all is taken, and the sum is of zeros. */
void digest_open(struct digest *digest);
/* The length (8 bytes, little-endian), then the bytes. */
void digest_add(struct digest *digest, const void *bytes, size_t length);
/* Ends it. */
struct digest_sum digest_close(struct digest *digest);

/* "sha256:" and 64 digits; of zeros "none". Returns `text`. */
const char *digest_format(const struct digest_sum *sum, char text[DIGEST_TEXT_SIZE]);

#endif
