/* SPDX-License-Identifier: Apache-2.0 */
#include "base/version.h"

#include "commit.h" /* scripts/commit.sh makes it; this file alone is compiled anew when it changes */

const char *version_commit(void)
{
	return TAFFRAIL_COMMIT;
}
