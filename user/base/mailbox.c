/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
	pthread_mutex_t lock;
	int fd;
	size_t limit, first, count;
	void *items[]; /* a circle */
};

int mailbox_open(struct mailbox **out, size_t limit)
{
	struct mailbox *mailbox = calloc(1, sizeof(*mailbox) + limit * sizeof(mailbox->items[0]));

	if (!mailbox)
		return -ENOMEM;
	mailbox->limit = limit;
	mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->fd < 0) {
		int error = -errno;

		free(mailbox);
		return error;
	}
	pthread_mutex_init(&mailbox->lock, NULL);
	*out = mailbox;
	return 0;
}

int mailbox_send(struct mailbox *mailbox, void *item)
{
	uint64_t one = 1;
	int error = 0;

	pthread_mutex_lock(&mailbox->lock);
	if (mailbox->count == mailbox->limit) {
		error = -EAGAIN;
	} else {
		mailbox->items[(mailbox->first + mailbox->count) % mailbox->limit] = item;
		if (mailbox->count++ == 0) /* under the lock, so that the call and the count never disagree */
			(void)!write(mailbox->fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&mailbox->lock);
	return error;
}

void *mailbox_receive(struct mailbox *mailbox)
{
	void *item = NULL;
	uint64_t calls;

	pthread_mutex_lock(&mailbox->lock);
	if (mailbox->count > 0) {
		item = mailbox->items[mailbox->first];
		mailbox->first = (mailbox->first + 1) % mailbox->limit;
		if (--mailbox->count == 0)
			(void)!read(mailbox->fd, &calls, sizeof(calls));
	}
	pthread_mutex_unlock(&mailbox->lock);
	return item;
}

int mailbox_fd(const struct mailbox *mailbox)
{
	return mailbox->fd;
}

size_t mailbox_count(struct mailbox *mailbox)
{
	size_t count;

	pthread_mutex_lock(&mailbox->lock);
	count = mailbox->count;
	pthread_mutex_unlock(&mailbox->lock);
	return count;
}

void mailbox_close(struct mailbox *mailbox)
{
	if (!mailbox)
		return;
	close(mailbox->fd);
	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}
