/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), as iSCSI (RFC 3720, appendix B.4) and ext4 use it; by the processor's instruction where it has one. */
#ifndef TAFFRAIL_CRC32C_H
#define TAFFRAIL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `crc` of what stood before (0: nothing did), and these bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t length);

#endif
