/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/unsampled.h"

#include <string.h>
#include <sys/socket.h>

enum { MAPPED_BITS = 96 };

static bool add(struct unsampled *unsampled, const char *word)
{
	struct flow_ranges ranges = {0};
	struct kernel_network_prefix *prefix = &unsampled->ranges[unsampled->count];
	const struct flow_range *range = &ranges.ranges[0];

	if (unsampled->count == FLOW_RANGES_MAX || flow_ranges_add(&ranges, word) < 0)
		return false;
	*prefix = (struct kernel_network_prefix){.bits = range->bits};
	if (range->address.family == AF_INET) {
		prefix->bits += MAPPED_BITS;
		prefix->address.bytes[10] = prefix->address.bytes[11] = 0xff;
		memcpy(prefix->address.bytes + MAPPED_BITS / 8, range->address.bytes, 4);
	} else {
		memcpy(prefix->address.bytes, range->address.bytes, sizeof(prefix->address.bytes));
	}
	unsampled->count++;
	return true;
}

const char *unsampled_read(struct unsampled *unsampled, const struct config_list *words)
{
	static const char *const usual[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"169.254.0.0/16", "127.0.0.0/8", "::1", "fc00::/7", "fe80::/10"};

	unsampled->count = 0;
	if (words->count == 1 && strcmp(words->items[0], "none") == 0)
		return NULL;
	for (size_t i = 0; words->count == 0 && i < sizeof(usual) / sizeof(usual[0]); i++)
		(void)add(unsampled, usual[i]);
	for (size_t i = 0; i < words->count; i++)
		if (!add(unsampled, words->items[i]))
			return words->items[i];
	return NULL;
}
