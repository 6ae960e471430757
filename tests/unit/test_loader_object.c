/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <criterion/criterion.h>

#include "sensor/loader_flow.h"
#include "sensor/loader_object.h"

/* Opening needs no rights; it fails where one object lacks a program, a map or a variable of the other. */
Test(loader_object, both_have_the_same_programs_maps_and_variables)
{
	struct object object;

	for (int classic = 0; classic < 2; classic++) {
		cr_assert_eq(object_open(&object, classic), 0, "%s", classic ? "classic" : "modern");
		cr_assert_eq(object.classic, classic);
		cr_assert_not_null(object.skeleton->progs.syscall_exit);
		cr_assert_not_null(object.skeleton->maps.counters);
		object_close(&object);
		object_close(&object);
	}
}

/* A setting is written in one place, whichever object is open, and stands there when it is read back. */
Test(loader_object, settings_have_the_values_of_the_sources_before_they_are_set)
{
	struct object object;

	for (int classic = 0; classic < 2; classic++) {
		cr_assert_eq(object_open(&object, classic), 0);
		cr_assert_not(object.skeleton->rodata->trace_host);
		object.skeleton->rodata->cgroup_v1 = true;
		cr_assert_not(object.skeleton->rodata->trace_host);
		cr_assert(object.skeleton->rodata->cgroup_v1);
		object_close(&object);
	}
}

static char libbpf_said[1000];

static int keep_said(enum libbpf_print_level level, const char *format, va_list arguments)
{
	size_t length = strlen(libbpf_said);

	(void)level;
	return vsnprintf(libbpf_said + length, sizeof(libbpf_said) - length, format, arguments);
}

/* Leaves the stack below its caller as a process that did something else before would. */
static __attribute__((noinline)) void dirty_stack(void)
{
	volatile char bytes[8192];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)0xa5;
}

/* libbpf looks at the options before it looks whether the program is loaded, and refuses them for their padding, too. */
Test(loader_object, an_iterators_options_are_zero_where_they_say_nothing)
{
	struct object object;

	cr_assert_eq(object_open(&object, false), 0);
	libbpf_set_print(keep_said);
	dirty_stack();
	cr_expect_lt(loader_iterate(object.skeleton->progs.flow_sweep, 0), 0, "it is not loaded");
	libbpf_set_print(NULL);
	cr_expect(strstr(libbpf_said, "before loaded"), "%s", libbpf_said);
	cr_expect_not(strstr(libbpf_said, "extra"), "%s", libbpf_said);
	object_close(&object);
}
