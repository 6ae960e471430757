/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event/command_line.h"

#define EXPECT(args, expected) expect(args, sizeof(args) - 1, expected)
static void expect(const char *args, size_t length, const char *expected)
{
	char room[256];
	struct text line = command_line((struct text){args, length}, room, sizeof(room));

	cr_assert(text_equal(line, text_of(expected)), "\"%.*s\", not \"%s\"", (int)line.length, line.data, expected);
	cr_assert_eq(line.data, room);
}

Test(command_line, words_are_quoted_only_where_a_shell_would_take_them_apart)
{
	EXPECT("ls\0-l\0/tmp/a-b_c.d,e:f@g%h+i\0", "ls -l /tmp/a-b_c.d,e:f@g%h+i");
	EXPECT("sh\0-c\0echo hi; rm -rf $HOME\0", "sh -c 'echo hi; rm -rf $HOME'");
	EXPECT("a\0b", "a b");
	EXPECT("\0", "''");
	EXPECT("a\0\0b\0", "a '' b");
	EXPECT("a\0\0", "a ''");
	EXPECT("it's\0", "'it'\\''s'");
	EXPECT("'\0", "''\\'''");
	EXPECT("a\nb\0", "'a\nb'");
	EXPECT("~\0*\0#\0", "'~' '*' '#'");
	EXPECT("dd\0if=/x\0", "dd if=/x");
	EXPECT("gr\xc3\xbc\xc3\x9f\xff\0", "gr\xc3\xbc\xc3\x9f\xff");
	EXPECT("", "");
}

Test(command_line, a_first_word_that_would_be_an_assignment_is_quoted)
{
	EXPECT("A=b\0c\0", "'A=b' c");
	EXPECT("env\0A=b\0", "env A=b");
}

Test(command_line, a_line_that_does_not_fit_is_the_callers_to_free)
{
	char small[8], *args = malloc(40000);
	struct text line;

	memset(args, '\'', 40000);
	line = command_line((struct text){args, 40000}, small, sizeof(small));
	cr_assert_neq(line.data, small);
	cr_assert_eq(line.length, 4 * 40000 + 2);
	free((void *)(uintptr_t)line.data);
	memset(args, '\0', 40000);
	line = command_line((struct text){args, 40000}, small, sizeof(small));
	cr_assert_eq(line.length, 3 * 40000 - 1);
	free((void *)(uintptr_t)line.data);
	free(args);
}

/* What a real shell makes of the line, against the words themselves. */
Test(command_line, a_shell_reads_the_same_words_back)
{
	char script[8192], args[512], back[1024], room[4096];

	srand(3);
	for (int round = 0; round < 150; round++) {
		static const char alphabet[] = "ab =$`\"'\\\n\t;&|<>()*?[]{}~#!%^,-\xc3\xa4\x01";
		size_t length = 0, got = 0, more;
		struct text line;
		FILE *pipe;

		for (int i = 0, count = 1 + rand() % 100; i < count; i++)
			args[length++] = rand() % 6 ? alphabet[(size_t)rand() % (sizeof(alphabet) - 1)] : '\0';
		args[length++] = '\0';
		line = command_line((struct text){args, length}, room, sizeof(room));
		snprintf(script, sizeof(script), "exec printf '%%s\\0' %.*s", (int)line.length, line.data);
		setenv("TAFFRAIL_SCRIPT", script, 1);
		pipe = popen("eval \"$TAFFRAIL_SCRIPT\"", "re");
		cr_assert_not_null(pipe);
		while (got < sizeof(back) && (more = fread(back + got, 1, sizeof(back) - got, pipe)) > 0)
			got += more;
		cr_assert_eq(pclose(pipe), 0);
		cr_assert(text_equal((struct text){back, got}, (struct text){args, length}), "of %s", script);
	}
}
