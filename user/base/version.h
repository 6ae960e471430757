/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TAFFRAIL_VERSION_H
#define TAFFRAIL_VERSION_H

#define TAFFRAIL_VERSION "0.1.0"

/* The commit that this was built of: 12 hexadecimal digits, with -dirty where files were changed; or unknown. */
const char *version_commit(void);

#endif
