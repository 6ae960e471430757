/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "sensor/connection.h"

static const uint64_t second = 1000ull * 1000 * 1000;

static struct event_process images[4]; /* told apart by their address alone */
static int holds[4];
static int unknown_count;
static uint64_t unknown_id;
static const struct event_process *unknown_image;

static const struct event_process *hold(const struct event_process *image)
{
	holds[image - images]++;
	return image;
}

static void release(const struct event_process *image)
{
	if (image)
		holds[image - images]--;
}

static void send_unknown(void *context, const struct record *record, const struct event_process *image)
{
	(void)context;
	unknown_count++;
	unknown_id = record->network->connection;
	unknown_image = image;
}

static struct connection_table *opened(void)
{
	struct connection_ops ops = {hold, release, send_unknown, NULL};
	struct connection_table *table;

	cr_assert_eq(connection_open(&table, &ops), 0);
	return table;
}

static void closed(struct connection_table *table)
{
	connection_close(table);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(holds[i], 0, "image %zu is still held %d times", i, holds[i]);
}

static enum connection_verdict judge(struct connection_table *table, enum kernel_kind kind, uint64_t id, int result,
	uint64_t time_ns, const struct event_process **image)
{
	struct kernel_network network = {.connection = id, .result = result};
	struct kernel_disconnect end = {.connection = id};
	struct record record = {.network = &network};

	network.header = (struct kernel_header){.kind = (uint16_t)kind, .size = sizeof(network), .time_ns = time_ns};
	network.tuple = (struct kernel_tuple){.family = AF_INET, .protocol = IPPROTO_TCP, .type = SOCK_STREAM};
	if (kind == KERNEL_DISCONNECT) {
		end.header = network.header;
		record.disconnect = &end;
	}
	return connection_judge(table, &record, image);
}

Test(connection, one_document_for_the_two_records_of_a_connect)
{
	struct connection_table *table = opened();
	const struct event_process *image = &images[0];

	cr_assert_eq(judge(table, KERNEL_CONNECT, 7, 0, second, &image), CONNECTION_HELD);
	image = NULL;
	cr_assert_eq(judge(table, KERNEL_CONNECT_DONE, 7, -111, 2 * second, &image), CONNECTION_JOINED);
	cr_assert_eq(image, &images[0], "the outcome belongs to the process that asked");
	cr_assert_eq(connection_count(table), 0, "a refused connection is over");
	connection_expire(table, 100 * second);
	cr_assert_eq(unknown_count, 0);
	closed(table);
}

Test(connection, an_outcome_that_does_not_come_in_time_is_unknown_and_no_second_document)
{
	struct connection_table *table = opened();
	const struct event_process *image = &images[1];

	judge(table, KERNEL_CONNECT, 9, 0, second, &image);
	connection_expire(table, 6 * second - 1);
	cr_assert_eq(unknown_count, 0);
	connection_expire(table, 6 * second);
	cr_assert_eq(unknown_count, 1);
	cr_assert_eq(unknown_id, 9);
	cr_assert_eq(unknown_image, &images[1]);
	connection_expire(table, 60 * second);
	cr_assert_eq(unknown_count, 1);
	cr_assert_eq(judge(table, KERNEL_CONNECT_DONE, 9, 0, 90 * second, &image), CONNECTION_DROP);
	image = NULL;
	cr_assert_eq(judge(table, KERNEL_DISCONNECT, 9, 0, 99 * second, &image), CONNECTION_SEND);
	cr_assert_eq(image, &images[1]);
	closed(table);
}

Test(connection, the_end_knows_who_opened_it)
{
	struct connection_table *table = opened();
	const struct event_process *image = &images[2];

	judge(table, KERNEL_CONNECT, 3, 0, second, &image);
	judge(table, KERNEL_CONNECT_DONE, 3, 0, second, &image);
	image = &images[3];
	cr_assert_eq(judge(table, KERNEL_ACCEPT, 4, 5, second, &image), CONNECTION_SEND);
	image = NULL;
	cr_assert_eq(judge(table, KERNEL_DISCONNECT, 3, 0, 700 * second, &image), CONNECTION_SEND);
	cr_assert_eq(image, &images[2]);
	image = NULL;
	cr_assert_eq(judge(table, KERNEL_DISCONNECT, 4, 0, 700 * second, &image), CONNECTION_SEND);
	cr_assert_eq(image, &images[3]);
	cr_assert_eq(connection_count(table), 0);
	closed(table);
}

Test(connection, nothing_is_kept_for_an_end_that_will_not_be_told)
{
	struct connection_table *table = opened();
	struct kernel_network network = {.connection = 7};
	struct record record = {.network = &network};
	const struct event_process *image = &images[0];

	judge(table, KERNEL_CONNECT, 7, 0, second, &image);
	connection_forget(table, &record);
	cr_assert_eq(connection_count(table), 1, "its outcome will be told");
	image = NULL;
	cr_assert_eq(judge(table, KERNEL_CONNECT_DONE, 7, 0, second, &image), CONNECTION_JOINED);
	connection_forget(table, &record);
	cr_assert_eq(image, &images[0]);
	cr_assert_eq(holds[0], 1, "and is good until the next call");
	cr_assert_eq(connection_count(table), 0);
	connection_forget(table, &record);
	network.connection = 0;
	connection_forget(table, &record);
	closed(table);
}

Test(connection, a_socket_that_connects_anew_ends_the_attempt_before)
{
	struct connection_table *table = opened();
	const struct event_process *image = &images[0];

	judge(table, KERNEL_CONNECT, 5, 0, second, &image);
	cr_assert_eq(judge(table, KERNEL_CONNECT, 5, 0, 2 * second, &image), CONNECTION_HELD);
	cr_assert_eq(unknown_count, 1);
	cr_assert_eq(connection_count(table), 1);
	closed(table);
}

Test(connection, memory_is_bounded_and_nothing_that_waits_is_dropped)
{
	struct connection_table *table = opened();
	const struct event_process *image = &images[0];

	for (uint64_t id = 1; id <= CONNECTION_MAX + 100; id++) {
		image = &images[0];
		cr_assert_eq(judge(table, KERNEL_CONNECT, id, 0, id, &image), CONNECTION_HELD);
	}
	cr_assert_eq(connection_count(table), CONNECTION_MAX);
	cr_assert_eq(unknown_count, 100, "the oldest leave as unknown");
	connection_expire(table, UINT64_MAX);
	cr_assert_eq(unknown_count, CONNECTION_MAX + 100);
	closed(table);
}
