/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of pointers between threads: many may send, one receives, and an eventfd calls it. */
#ifndef TAFFRAIL_MAILBOX_H
#define TAFFRAIL_MAILBOX_H

#include <stddef.h>

struct mailbox;

/* Room for `limit` items. 0 or -errno. */
int mailbox_open(struct mailbox **mailbox, size_t limit);

/* Puts an item in; it is the receiver's then. 0, or -EAGAIN when it is full, and the item stays the sender's. */
int mailbox_send(struct mailbox *mailbox, void *item);

/* The oldest item, which is the caller's now, or NULL. Takes the call back when it was the last. */
void *mailbox_receive(struct mailbox *mailbox);

/* Readable (POLLIN) while there are items. */
int mailbox_fd(const struct mailbox *mailbox);

/* How many items are in it now. */
size_t mailbox_count(struct mailbox *mailbox);

/* Frees it; what is still in it must have been received. NULL is allowed. */
void mailbox_close(struct mailbox *mailbox);

#endif
