/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts as messages (stream.proto): Books, EpochStatus. */
#ifndef TAFFRAIL_COLLECTOR_ACCOUNT_WIRE_H
#define TAFFRAIL_COLLECTOR_ACCOUNT_WIRE_H

#include "collector/account.h"
#include "taffrail/v1/stream.pb-c.h"

/* Fills an initialised message, and returns it; NULL: there are no books. */
Taffrail__V1__Books *account_put_books(Taffrail__V1__Books *message, const struct account_books *books);

/* Appends an EpochStatus. */
void account_put_status(
	struct buffer *out, const struct event_host *host, const struct account *account, bool connected);

/* Reads one back. -EBADMSG: its epoch is none, or a name is missing. Texts are the message's. */
int account_read_status(const Taffrail__V1__EpochStatus *message, struct event_host *host, struct account *account);

#endif
