/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/options.h"
#include "test_capture.h"

static struct {
	bool loud;
	char *word;
	uint64_t number;
	struct config_list list;
} got;

static const struct config_key keys[] = {
	{"loud", CONFIG_BOOL, &got.loud, 0, 0, ""},
	{"word", CONFIG_TEXT, &got.word, 0, 0, ""},
	{"number", CONFIG_NUMBER, &got.number, 0, 10, ""},
	{"list", CONFIG_LIST, &got.list, 0, 0, ""},
	CONFIG_END,
};
static const struct option_spec options[] = {
	{"loud", NULL, "loud", "be loud"},
	{"word", "WORD", "word", "a word\n(or none)"},
	{"number", "N", "number", "a number"},
	{"item", "ITEM", "list", "an item"},
	{0},
};
static const struct program_spec program = {
	.name = "prog",
	.usage = "[OPTIONS]",
	.summary = "does it",
	.options = options,
	.keys = keys,
	.notes = "Exit: 0.",
};

static char out[8192], err[8192];

#define RUN(...) run(&program, (char *[]){"prog", __VA_ARGS__, NULL})
static int run(const struct program_spec *spec, char **argv)
{
	struct capture first = capture_begin(STDOUT_FILENO), second = capture_begin(STDERR_FILENO);
	int argc = 0, code;

	while (argv[argc])
		argc++;
	config_free(keys);
	memset(&got, 0, sizeof(got));
	code = options_read(spec, argc, argv);
	capture_end(&second, err, sizeof(err));
	capture_end(&first, out, sizeof(out));
	return code;
}

#define EXPECT_WRONG(message, ...)                                                                                     \
	do {                                                                                                           \
		cr_assert_eq(RUN(__VA_ARGS__), 2);                                                                     \
		cr_assert_str_eq(err, "prog: error: " message "\n");                                                   \
		cr_assert_str_empty(out);                                                                              \
	} while (0)

static char file[] = "/tmp/taffrail-options-XXXXXX";

static void make_file(const char *yaml)
{
	int fd = mkstemp(file);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
	close(fd);
}

Test(options, each_sets_its_key)
{
	cr_assert_eq(RUN("--loud", "--word", "w", "--number=7", "--item", "a", "--item=b"), -1, "%s", err);
	cr_assert(got.loud);
	cr_assert_str_eq(got.word, "w");
	cr_assert_eq(got.number, 7);
	cr_assert_eq(got.list.count, 2);
	cr_assert_str_eq(got.list.items[1], "b");
	cr_assert_eq(run(&program, (char *[]){"prog", NULL}), -1);
	cr_assert_not(got.loud);
}

Test(options, one_beats_set_which_beats_the_file_wherever_they_stand)
{
	make_file("word: file\nnumber: 1\nloud: yes\nlist: [f, g]\n");
	cr_assert_eq(RUN("--number", "3", "--item", "o", "--set", "word=set", "--set", "number=2", "--set", "list=s",
			     "--config", file),
		-1, "%s", err);
	cr_assert_eq(got.number, 3);
	cr_assert_str_eq(got.word, "set");
	cr_assert(got.loud);
	cr_assert_eq(got.list.count, 1, "an option's list replaces the file's");
	cr_assert_str_eq(got.list.items[0], "o");
	unlink(file);
}

Test(options, wrong_ones_are_named)
{
	EXPECT_WRONG("unknown option --nope; try --help", "--nope");
	EXPECT_WRONG("unknown option --nope; try --help", "--loud", "--nope", "--word", "x");
	EXPECT_WRONG("unknown option -x; try --help", "-x");
	EXPECT_WRONG("unknown option -xyz; try --help", "--loud", "-xyz", "--loud");
	EXPECT_WRONG("--word needs a value; try --help", "--word");
	EXPECT_WRONG("unknown option --loud=yes; try --help", "--loud=yes");
	EXPECT_WRONG("there is nothing to do with \"x\"; try --help", "x");
	EXPECT_WRONG("there is nothing to do with \"-\"; try --help", "-");
	EXPECT_WRONG("there is nothing to do with \"y\"; try --help", "--loud", "--", "y");
	EXPECT_WRONG("--number: number takes a number, from 0 to 10, not \"11\"", "--number", "11");
	EXPECT_WRONG("--set takes KEY=VALUE, not \"word\"", "--set", "word");
	EXPECT_WRONG("--set takes KEY=VALUE, not \"=word\"", "--set", "=word");
	EXPECT_WRONG("--set nope=1: there is no key nope", "--set", "nope=1");
	EXPECT_WRONG("--set number=x: number takes a number, from 0 to 10, not \"x\"", "--set", "number=x");
}

Test(options, a_value_may_be_empty_or_hold_an_equals_sign)
{
	cr_assert_eq(RUN("--set", "word=a=b"), -1);
	cr_assert_str_eq(got.word, "a=b");
	cr_assert_eq(RUN("--set", "word="), -1);
	cr_assert_str_eq(got.word, "");
	cr_assert_eq(RUN("--word", "--loud"), -1);
	cr_assert_str_eq(got.word, "--loud");
}

Test(options, a_file_that_is_wrong_is_named_with_its_line)
{
	char expected[100];

	make_file("word: x\nnumber: y\n");
	cr_assert_eq(RUN("--config", file), 2);
	snprintf(expected, sizeof(expected), "%s:2: number takes a number, from 0 to 10, not \"y\"\n", file);
	cr_assert_str_eq(err, expected);
	unlink(file);
	cr_assert_eq(RUN("--config", "/nonexistent"), 2);
	cr_assert_str_eq(err, "/nonexistent:1: cannot be read: No such file or directory\n");
}

Test(options, help_and_version_win_over_all_but_what_is_unknown_before_them)
{
	cr_assert_eq(RUN("--number", "99", "--config", "/nonexistent", "--help"), 0);
	cr_assert(strstr(out, "Usage: prog [OPTIONS]\n"), "%s", out);
	cr_assert(strstr(out, "  --word WORD             a word\n                          (or none)\n"), "%s", out);
	cr_assert(strstr(out, "--set KEY=VALUE"), "%s", out);
	cr_assert_str_empty(err);
	cr_assert_eq(RUN("--version"), 0);
	cr_assert_eq(strncmp(out, "prog ", 5), 0);
	EXPECT_WRONG("unknown option --nope; try --help", "--nope", "--help");
}

Test(options, a_program_without_a_file_has_neither_config_nor_set)
{
	struct program_spec spec = program;

	spec.no_file = true;
	cr_assert_eq(run(&spec, (char *[]){"prog", "--set", "word=x", NULL}), 2);
	cr_assert_str_eq(err, "prog: error: unknown option --set; try --help\n");
	cr_assert_eq(run(&spec, (char *[]){"prog", "--help", NULL}), 0);
	cr_assert_null(strstr(out, "--config"));
}

Test(options, a_key_that_is_wrong_is_told_where_a_file_has_said_it)
{
	struct options_call call;
	struct program_spec spec = program;
	struct capture capture;
	static const struct digest_sum none;

	spec.call = &call;
	make_file("# one\nword: file\n\nlist: [f]\n");
	cr_assert_eq(run(&spec, (char *[]){"prog", "--config", file, "--item", "o", NULL}), -1, "%s", err);
	cr_assert_eq(call.argc, 5);
	capture = capture_begin(STDERR_FILENO);
	cr_assert_eq(options_wrong_key(&spec, "word", "no %s", "word"), 2);
	cr_assert_eq(options_wrong_key(&spec, "list", "no list"), 2);
	cr_assert_eq(options_wrong_key(&spec, "number", "no number"), 2);
	capture_end(&capture, err, sizeof(err));
	snprintf(out, sizeof(out), "%s:2: no word\nprog: error: no list\nprog: error: no number\n", file);
	cr_assert_str_eq(err, out, "an option has beaten the file's list");
	cr_assert_neq(memcmp(&call.places.hash, &none, sizeof(none)), 0);
	cr_assert_eq(run(&spec, (char *[]){"prog", "--config", file, "--set", "word=w", NULL}), -1, "%s", err);
	cr_assert_eq(call.places.keys[1].line, 0);
	cr_assert_eq(call.places.keys[3].line, 4);
	cr_assert_eq(run(&spec, (char *[]){"prog", NULL}), -1);
	cr_assert_eq(memcmp(&call.places.hash, &none, sizeof(none)), 0, "without a file there is none");
	unlink(file);
}

Test(options, version_names_the_commit)
{
	cr_assert_eq(RUN("--version"), 0);
	cr_assert_eq(strncmp(out, "prog 0.", 7), 0, "%s", out);
	cr_assert(strstr(out, " (commit "), "%s", out);
}
