/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/digest.h"

static struct digest_sum sum_of(const char *const *texts)
{
	struct digest digest;

	digest_open(&digest);
	for (; *texts; texts++)
		digest_add(&digest, *texts, strlen(*texts));
	return digest_close(&digest);
}

#define SUM(...) sum_of((const char *const[]){__VA_ARGS__, NULL})

/* printf '\3\0\0\0\0\0\0\0abc' | sha256sum */
Test(digest, is_sha256_of_length_and_bytes)
{
	char text[DIGEST_TEXT_SIZE];
	struct digest_sum sum = SUM("abc"), none = {0};

	cr_assert_str_eq(
		digest_format(&sum, text), "sha256:ce91dc5eec0139adf091900d225971d6ad246a845bad791b5693a9d0d55dd391");
	cr_assert_str_eq(digest_format(&none, text), "none");
}

Test(digest, lists_of_texts_have_sums_of_their_own)
{
	struct digest_sum ab = SUM("a", "b"), same = SUM("a", "b"), ba = SUM("b", "a"), one = SUM("ab"),
			  more = SUM("ab", "");

	cr_assert_eq(memcmp(&ab, &same, sizeof(ab)), 0);
	cr_assert_neq(memcmp(&ab, &ba, sizeof(ab)), 0);
	cr_assert_neq(memcmp(&ab, &one, sizeof(ab)), 0);
	cr_assert_neq(memcmp(&one, &more, sizeof(ab)), 0);
}
