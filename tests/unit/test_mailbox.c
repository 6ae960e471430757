/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>

#include "base/mailbox.h"

static bool calls(const struct mailbox *mailbox)
{
	struct pollfd poller = {mailbox_fd(mailbox), POLLIN, 0};

	return poll(&poller, 1, 0) == 1;
}

static void *number(uintptr_t value)
{
	return (void *)value;
}

Test(mailbox, first_in_is_first_out_across_the_circles_end)
{
	struct mailbox *mailbox;
	uintptr_t sent = 1, received = 1;

	cr_assert_eq(mailbox_open(&mailbox, 3), 0);
	for (int round = 0; round < 10; round++) {
		while (mailbox_send(mailbox, number(sent)) == 0)
			sent++;
		cr_assert_eq(mailbox_count(mailbox), 3);
		for (int i = 0; i < 2; i++)
			cr_assert_eq(mailbox_receive(mailbox), number(received++));
	}
	cr_assert_eq(mailbox_receive(mailbox), number(received++));
	cr_assert_eq(received, sent);
	cr_assert_null(mailbox_receive(mailbox));
	mailbox_close(mailbox);
}

Test(mailbox, a_full_one_refuses_and_loses_nothing)
{
	struct mailbox *mailbox;

	cr_assert_eq(mailbox_open(&mailbox, 1), 0);
	cr_assert_eq(mailbox_send(mailbox, number(1)), 0);
	cr_assert_eq(mailbox_send(mailbox, number(2)), -EAGAIN);
	cr_assert_eq(mailbox_receive(mailbox), number(1));
	cr_assert_null(mailbox_receive(mailbox));
	cr_assert_eq(mailbox_send(mailbox, number(3)), 0);
	cr_assert_eq(mailbox_receive(mailbox), number(3));
	mailbox_close(mailbox);
}

Test(mailbox, one_without_room_is_always_full)
{
	struct mailbox *mailbox;

	cr_assert_eq(mailbox_open(&mailbox, 0), 0);
	cr_assert_eq(mailbox_send(mailbox, number(1)), -EAGAIN);
	cr_assert_null(mailbox_receive(mailbox));
	cr_assert_not(calls(mailbox));
	mailbox_close(mailbox);
}

Test(mailbox, the_descriptor_calls_exactly_while_there_are_items)
{
	struct mailbox *mailbox;

	cr_assert_eq(mailbox_open(&mailbox, 8), 0);
	cr_assert_not(calls(mailbox));
	for (int round = 0; round < 3; round++) {
		mailbox_send(mailbox, number(1));
		mailbox_send(mailbox, number(2));
		cr_assert(calls(mailbox));
		mailbox_receive(mailbox);
		cr_assert(calls(mailbox), "one is left");
		mailbox_receive(mailbox);
		cr_assert_not(calls(mailbox));
		cr_assert_null(mailbox_receive(mailbox));
		cr_assert_not(calls(mailbox));
	}
	mailbox_close(mailbox);
	mailbox_close(NULL);
}

enum { SENDERS = 3, EACH = 20000 };

struct sender {
	struct mailbox *mailbox;
	uintptr_t who;
};

static void *send_all(void *argument)
{
	const struct sender *sender = argument;

	for (uintptr_t i = 0; i < EACH; i++)
		while (mailbox_send(sender->mailbox, number((i << 4 | sender->who) + 1)) != 0)
			sched_yield();
	return NULL;
}

/* The receiver sleeps whenever the box is empty: a call that is lost shows as a timeout. */
Test(mailbox, many_threads_send_one_receives_all_in_each_ones_order)
{
	struct mailbox *mailbox;
	pthread_t threads[SENDERS];
	struct sender senders[SENDERS];
	uintptr_t next[SENDERS] = {0};

	cr_assert_eq(mailbox_open(&mailbox, 64), 0);
	for (uintptr_t i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){mailbox, i};
		cr_assert_eq(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
	}
	for (int received = 0; received < SENDERS * EACH;) {
		struct pollfd poller = {mailbox_fd(mailbox), POLLIN, 0};
		void *item;

		cr_assert_eq(poll(&poller, 1, 10000), 1, "no call for 10 s, after %d items", received);
		while ((item = mailbox_receive(mailbox))) {
			uintptr_t value = (uintptr_t)item - 1;

			cr_assert_lt(value & 15, SENDERS);
			cr_assert_eq(value >> 4, next[value & 15]++);
			received++;
		}
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(mailbox_count(mailbox), 0);
	cr_assert_not(calls(mailbox));
	mailbox_close(mailbox);
}
