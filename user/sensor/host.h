/* SPDX-License-Identifier: Apache-2.0 */
/* Who this machine is, and which life of the sensor this is. */
#ifndef TAFFRAIL_SENSOR_HOST_H
#define TAFFRAIL_SENSOR_HOST_H

#include "event/event.h"

struct host;

/*
 * Reads the machine's identity below `root` ("" for the machine itself; a DaemonSet mounts the host's files elsewhere)
 * and draws a new epoch. `id` and `name` of the configuration win over what is found; NULL: look. The id is
 * /etc/machine-id, else the firmware's product_uuid, else the boot id, which lasts to the next boot only.
 * 0, or -errno where not even the kernel's boot id can be read.
 */
int host_open(struct host **host, const char *root, const char *id, const char *name, const char *cluster);

/* The machine and the life of the sensor that a recording tells of. 0, -EBADMSG (a name that is too long), or -ENOMEM. */
int host_open_recorded(struct host **host, const struct event_host *recorded);

/* The view that events carry; lives as long as the host. */
const struct event_host *host_view(const struct host *host);

void host_close(struct host *host);

#endif
