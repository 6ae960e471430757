/* SPDX-License-Identifier: Apache-2.0 */
/* What the canary's files share: the table of its promises, and how a deed and its proof speak to one another. */
#ifndef TAFFRAIL_SENSOR_CANARY_INSIDE_H
#define TAFFRAIL_SENSOR_CANARY_INSIDE_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "sensor/canary.h"

enum {
	CANARY_PROMISES_MAX = 64,
	CANARY_TEXT = 80,
	CANARY_FORK_CODE = 37,    /* exit code of the child that is forked and ends */
	CANARY_PATIENCE_MS = 500, /* with the kernel, where it does a thing behind the call's back */
};

/* A deed, as the child leaves it for the proof. */
struct canary_deed {
	_Atomic int state; /* enum deed_state */
	int error;
	/* What makes its record known among the others': an argument, a socket's name, ports, a number. */
	char text[CANARY_TEXT];
	size_t text_length;
	int32_t number;
	uint16_t local_port_be, remote_port_be;
	/* What the record must tell beside it. */
	char path[PATH_MAX]; /* the end of the kernel's path */
	uint32_t flags;
	uint64_t inode;
	uint16_t family;
	uint8_t address[16];
};

enum deed_state { DEED_NOT_REACHED, DEED_BEGUN, DEED_DONE, DEED_REFUSED };

/* What later deeds need of earlier ones; of the child alone. */
struct canary_place {
	unsigned int random;
	char nonce[16]; /* in all names: no other's record has it */
	char exe[PATH_MAX];
	int listeners[2], clients[2], servers[2]; /* of TCP over IPv4, IPv6; -1: none */
	int unix_listener, unix_client;
	int raw, packet;
	const struct canary_deed *before; /* the deed before this one */
};

struct canary_row {
	const char *promise;
	const char *served[CANARY_SERVED_END];
	/* In the child: 0, or -errno where it is refused. `variant` is the row's. */
	int (*deed)(struct canary_place *place, struct canary_deed *deed, int variant);
	int variant;
	enum kernel_kind kind;
	const char *(*differs)(const struct record *record, const struct canary_deed *deed);
};

/* Shared between the child, its parent and who watches it. */
struct canary_flight {
	_Atomic unsigned int progress;
	_Atomic int error; /* of canary_nest_ops.enter */
	struct canary_deed deeds[CANARY_PROMISES_MAX];
};

/* canary_nest.c */
struct canary_flight *canary_flight(struct canary_nest *nest);

/* canary_rows.c: ends with a row without a promise. */
extern const struct canary_row canary_rows[];

/* canary_deeds.c */
void canary_place_open(struct canary_place *place);
int deed_exec(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_exec_failed(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_fork(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_signal(struct canary_place *place, struct canary_deed *deed, int variant);
/* What the deed before this one has done already is another promise too. */
int deed_same(struct canary_place *place, struct canary_deed *deed, int variant);

enum deed_open { DEED_OPEN, DEED_OPENAT, DEED_OPENAT2, DEED_CREAT, DEED_HANDLE, DEED_COMPAT };
int deed_open(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_open_failed(struct canary_place *place, struct canary_deed *deed, int variant);

/* canary_uring.c: returns what came of the request */
int ring_connect(int fd, const struct sockaddr *address, socklen_t length);
int ring_accept(int fd);
int deed_uring_open(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_uring_overflow(struct canary_place *place, struct canary_deed *deed, int variant);

/* canary_network.c; `variant` is AF_INET or AF_INET6 */
int deed_listen(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_connect(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_accept(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_disconnect(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_refused(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_fast_open(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_uring_connect(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_uring_accept(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_send(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_send_nothing(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_flow(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_words(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_unix_listen(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_unix_connect(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_unix_accept(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_unix_send(struct canary_place *place, struct canary_deed *deed, int variant);

/* canary_socket.c */
int deed_raw(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_raw_send(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_packet(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_packet_send(struct canary_place *place, struct canary_deed *deed, int variant);
int deed_vsock_connect(struct canary_place *place, struct canary_deed *deed, int variant);

/* Fills deed->text. */
__attribute__((format(printf, 2, 3))) void deed_text(struct canary_deed *deed, const char *format, ...);

#endif
