/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

static const uint32_t polynomial = 0x82f63b78; /* bits reversed */

static uint32_t steps[8][256]; /* what a byte does that stands so many before the end of a word */

static void make_steps(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
		steps[0][byte] = crc;
	}
	for (uint32_t byte = 0; byte < 256; byte++)
		for (int step = 1; step < 8; step++)
			steps[step][byte] = steps[step - 1][byte] >> 8 ^ steps[0][steps[step - 1][byte] & 0xff];
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *bytes, size_t length)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_steps);
	for (; length >= 8; bytes += 8, length -= 8) {
		crc ^= (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		       (uint32_t)bytes[3] << 24;
		crc = steps[7][crc & 0xff] ^ steps[6][crc >> 8 & 0xff] ^ steps[5][crc >> 16 & 0xff] ^
		      steps[4][crc >> 24] ^ steps[3][bytes[4]] ^ steps[2][bytes[5]] ^ steps[1][bytes[6]] ^
		      steps[0][bytes[7]];
	}
	for (; length > 0; bytes++, length--)
		crc = crc >> 8 ^ steps[0][(crc ^ *bytes) & 0xff];
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *bytes, size_t length)
{
	uint64_t wide = crc;

	for (; length >= 8; bytes += 8, length -= 8) {
		uint64_t word;

		memcpy(&word, bytes, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; length > 0; bytes++, length--)
		crc = __builtin_ia32_crc32qi(crc, *bytes);
	return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t length)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_by_instruction(~crc, bytes, length);
#endif
	return ~crc_by_table(~crc, bytes, length);
}
