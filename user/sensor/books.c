/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/books.h"

void books_sum(const struct books *books, uint64_t known, uint64_t undeclared, struct wire_books *sums)
{
	uint64_t arrived = 0;

	*sums = (struct wire_books){.seen = known + books->found, .undeclared = undeclared, .closed = books->closed};
	for (int kind = 0; kind < KERNEL_KINDS_END; kind++) {
		arrived += books->arrived[kind];
		sums->settled += books->settled[kind];
	}
	sums->held = arrived - sums->settled;
}

uint64_t books_held_kinds(const struct books *books)
{
	uint64_t kinds = 0;

	for (int kind = 0; kind < KERNEL_KINDS_END; kind++)
		if (books->arrived[kind] != books->settled[kind])
			kinds |= 1ull << record_action((enum kernel_kind)kind);
	return kinds & ~1ull; /* NESTED and PROCESS are no events */
}
