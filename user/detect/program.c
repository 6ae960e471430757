/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "detect/program.h"

#include <errno.h>
#include <pcre2.h>

struct remembered {
	struct table_node node;
	struct text key;
	uint32_t number;
};

static bool matches(const struct table_node *node, const void *key)
{
	return text_equal(table_entry(node, const struct remembered, node)->key, *(const struct text *)key);
}

uint32_t program_recall(const struct program *program, const struct buffer *key)
{
	struct text text = {key->data, key->length};
	struct table_node *found = table_find(&program->names, hash_bytes(text.data, text.length), matches, &text);

	return found ? table_entry(found, struct remembered, node)->number + 1 : 0;
}

int program_remember(struct program *program, const struct buffer *key, uint32_t number)
{
	struct remembered *remembered = arena_take(program->arena, sizeof(*remembered));

	if (!remembered || key->failed)
		return -ENOMEM;
	remembered->key = arena_copy(program->arena, (struct text){key->data, key->length});
	remembered->number = number;
	if (!remembered->key.data)
		return -ENOMEM;
	return table_insert(&program->names, &remembered->node, hash_bytes(key->data, key->length));
}

int program_open(struct program *program, struct arena *arena)
{
	struct node *constants[2];

	*program = (struct program){.arena = arena};
	table_init(&program->names);
	for (int i = 0; i < 2; i++) {
		constants[i] = arena_append(arena, &program->nodes, &program->node_count, sizeof(struct node));
		if (!constants[i])
			return -ENOMEM;
		constants[i]->kind = i ? NODE_TRUE : NODE_FALSE;
	}
	return 0;
}

void program_close(struct program *program)
{
	for (size_t i = 0; i < program->check_count; i++)
		for (size_t k = 0; k < program->checks[i].constant_count; k++)
			pcre2_code_free(program->checks[i].constants[k].regex);
	program->check_count = 0;
	table_free(&program->names);
}
