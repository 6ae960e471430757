/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

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
