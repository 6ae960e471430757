/* SPDX-License-Identifier: Apache-2.0 */
/* The networks to which flows are not sampled, as the kernel's programs take them. */
#ifndef TAFFRAIL_SENSOR_UNSAMPLED_H
#define TAFFRAIL_SENSOR_UNSAMPLED_H

#include <stddef.h>

#include "base/config.h"
#include "bpf/kernel_event.h"
#include "detect/flow.h"

struct unsampled {
	struct kernel_network_prefix ranges[FLOW_RANGES_MAX];
	size_t count;
};

/*
 * Of the words of the configuration: networks and addresses; `none` alone: no network at all. Without a word those of pods and
 * services, as they usually are: RFC 1918, 100.64/10, 169.254/16, loopback, fc00::/7, fe80::/10. Multicast is none of them,
 * for what is said there is said to everybody. Returns NULL, or the word that is wrong.
 */
const char *unsampled_read(struct unsampled *unsampled, const struct config_list *words);

#endif
