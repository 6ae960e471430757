/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/words.h"

#include <stdlib.h>

void words_take(struct words *words, char ***items, size_t *count)
{
	*words = (struct words){*items, *count};
	*items = NULL;
	*count = 0;
}

bool words_allow(const struct words *words, struct text word)
{
	for (size_t i = 0; i < words->count; i++)
		if (text_equal(word, text_of(words->items[i])))
			return true;
	return words->count == 0;
}

void words_free(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->items[i]);
	free(words->items);
	*words = (struct words){0};
}
