/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts as messages (stream.proto): Books, EpochStatus. */
#ifndef TAFFRAIL_COLLECTOR_ACCOUNT_WIRE_H
#define TAFFRAIL_COLLECTOR_ACCOUNT_WIRE_H

#include "base/digest.h"
#include "collector/account.h"
#include "taffrail/v1/stream.pb-c.h"

/* Fills an initialised message, and returns it; NULL: there are no books. */
Taffrail__V1__Books *account_put_books(Taffrail__V1__Books *message, const struct account_books *books);

enum { ACCOUNT_WORD_SIZE = 64 };

/* What a sensor says of its program (UpHello). Words are harmless to logs and terminals, and cut; "": it did not say. */
struct account_build {
	char version[ACCOUNT_WORD_SIZE], commit[ACCOUNT_WORD_SIZE];
	struct digest_sum rules, configuration; /* zeros: there are none */
};
void account_take_build(struct account_build *build, const char *version, const char *commit, ProtobufCBinaryData rules,
	ProtobufCBinaryData configuration);

/* Appends an EpochStatus. `build`: of who speaks for it; NULL: nobody does. */
void account_put_status(struct buffer *out, const struct event_host *host, const struct account *account,
	const struct account_build *build);

/* Reads one back. -EBADMSG: its epoch is none, or a name is missing. Texts are the message's. */
int account_read_status(const Taffrail__V1__EpochStatus *message, struct event_host *host, struct account *account,
	struct account_build *build);

#endif
