/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>

#include "sensor/record.h"

static _Alignas(8) char bytes[4096];

static struct kernel_open *open_record(void)
{
	struct kernel_open *open = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	open->header.kind = KERNEL_OPEN;
	open->header.ring = KERNEL_RING_BULK;
	open->header.size = sizeof(*open) + 11;
	open->path = (struct kernel_string){sizeof(*open), 11};
	memcpy(open + 1, "/etc/passwd", 11);
	return open;
}

static int check(size_t length)
{
	struct record record;
	const char *why = NULL;
	int error = record_check(&record, bytes, length, &why);

	cr_assert_eq(error == 0, why == NULL, "a refusal says why, and only a refusal");
	return error;
}

Test(record, a_whole_record_is_taken)
{
	struct kernel_open *open = open_record();
	struct record record;
	const char *why;

	cr_assert_eq(record_check(&record, bytes, open->header.size, &why), 0);
	cr_assert(text_equal(record_text(&record, open->path), TEXT_LITERAL("/etc/passwd")));
}

Test(record, every_shorter_length_is_refused)
{
	struct kernel_open *open = open_record();

	for (size_t length = 0; length < open->header.size; length++)
		cr_assert_eq(check(length), -EBADMSG, "length %zu", length);
}

Test(record, a_string_outside_the_record_is_refused)
{
	struct kernel_open *open = open_record();

	open->path.length = 12;
	cr_assert_eq(check(open->header.size), -EBADMSG);
	open->path = (struct kernel_string){8, 4};
	cr_assert_eq(check(open->header.size), -EBADMSG, "a string inside the fixed part");
	open->path = (struct kernel_string){65535, 65535};
	cr_assert_eq(check(open->header.size), -EBADMSG);
}

Test(record, data_outside_the_record_is_refused)
{
	struct kernel_received *received = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	received->network.header.kind = KERNEL_RECEIVE;
	received->network.header.size = sizeof(*received) + 4;
	received->data = (struct kernel_string){sizeof(*received), 4};
	cr_assert_eq(check(sizeof(*received) + 4), 0);
	received->data.length = 5;
	cr_assert_eq(check(sizeof(*received) + 4), -EBADMSG);
	received->data.length = 0;
	received->network.unix_name = (struct kernel_string){sizeof(struct kernel_network), 4};
	cr_assert_eq(check(sizeof(*received) + 4), -EBADMSG, "inside the fixed part");
	received->network.header.size = sizeof(struct kernel_network);
	cr_assert_eq(check(sizeof(*received)), -EBADMSG, "what other network records are is too short");
}

Test(record, unknown_kinds_and_rings_are_refused)
{
	struct kernel_open *open = open_record();

	open->header.kind = 0;
	cr_assert_eq(check(open->header.size), -EBADMSG);
	open->header.kind = KERNEL_KINDS_END;
	cr_assert_eq(check(open->header.size), -EBADMSG);
	open->header.kind = KERNEL_OPEN;
	open->header.ring = KERNEL_RINGS;
	cr_assert_eq(check(open->header.size), -EBADMSG);
}

Test(record, an_ancestor_outside_the_record_is_refused)
{
	struct kernel_exec *exec = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	exec->header.kind = KERNEL_EXEC;
	exec->header.size = sizeof(*exec);
	cr_assert_eq(check(sizeof(*exec)), 0);
	exec->ancestor_count = KERNEL_ANCESTORS + 1;
	cr_assert_eq(check(sizeof(*exec)), -EBADMSG);
	exec->ancestor_count = 1;
	exec->ancestors[0].executable = (struct kernel_string){sizeof(*exec), 1};
	cr_assert_eq(check(sizeof(*exec)), -EBADMSG);
}
