/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sensor/cgroup.h"

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *found(bool (*look)(struct text, uint8_t *), const char *string)
{
	static char text[2 * EVENT_CONTAINER_ID_SIZE + 1];
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	if (!look(text_of(string), id))
		return "none";
	event_container_id_format(id, text);
	return text;
}

Test(cgroup, the_names_of_all_runtimes)
{
	static const char *const paths[] = {
		"/k8s.io/" ID,
		"/default/" ID,
		"/kubepods/burstable/pod0b1c/" ID,
		"/kubepods/pod0b1c/" ID,
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0b1c.slice/cri-containerd-" ID ".scope",
		"/kubepods.slice/kubepods-pod0b1c.slice/crio-" ID ".scope",
		"/kubepods.slice/kubepods-pod0b1c.slice/crio-" ID,
		"/system.slice/docker-" ID ".scope",
		"/docker/" ID,
		"/machine.slice/libpod-" ID ".scope",
		"/machine.slice/libpod-" ID ".scope/container",
		"/kubepods-besteffort-pod0b1c.slice:cri-containerd:" ID,
		"/system.slice/containerd.service/kubepods-pod0b1c.slice:cri-containerd:" ID,
		"/:cri-containerd:" ID,
		"/kubepods/pod1/" ID "/init.scope",
		"/../../kubepods/pod1/" ID,
		ID,
		"//" ID "//",
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		cr_assert_str_eq(found(cgroup_container, paths[i]), ID, "%s", paths[i]);
}

Test(cgroup, what_is_no_containers)
{
	static const char *const paths[] = {
		"",
		"/",
		"/init.scope",
		"/system.slice/ssh.service",
		"/user.slice/user-1000.slice/session-1.scope",
		"/kubepods/pod00112233-4455-6677-8899-aabbccddeeff",
		"/machine.slice/libpod-conmon-" ID ".scope",
		"/kubepods.slice/crio-conmon-" ID ".scope",
		"/x/" ID "0",
		"/x/0" ID,
		"/x/cri-containerd-" ID "0.scope",
		"/x/cri-containerd-" ID ".scope.scope",
		"/x/cri-containerd-" ID ".slice",
		"/x/" ID ".scope",
		"/x/xdocker-" ID,
		"/x/docker-docker-" ID,
		"/x/:cri-containerd:" ID ".scope",
		"/x/cri-containerd:" ID,
		"/x/:cri-containerd:x" ID,
		"/x/00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff",
		"/x/00112233445566778899aabbccddeef/f0112233445566778899aabbccddeeff",
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		cr_assert_str_eq(found(cgroup_container, paths[i]), "none", "%s", paths[i]);
}

Test(cgroup, the_outermost_counts)
{
	cr_assert_str_eq(found(cgroup_container, "/kubepods/pod1/" ID "/" OTHER), ID);
	cr_assert_str_eq(found(cgroup_container, "/docker-" ID ".scope/system.slice/docker-" OTHER ".scope"), ID);
	cr_assert_str_eq(found(cgroup_container, "/docker-" ID ".scope/x:cri-containerd:" OTHER), ID);
}

Test(cgroup, a_process_file_asks_v2_first_then_pids_then_memory)
{
	cr_assert_str_eq(found(cgroup_parse, "0::/k8s.io/" ID "\n"), ID);
	cr_assert_str_eq(found(cgroup_parse, "0::/k8s.io/" ID), ID, "without the last newline");
	cr_assert_str_eq(found(cgroup_parse, "12:pids:/k8s.io/" OTHER "\n0::/k8s.io/" ID "\n"), ID);
	cr_assert_str_eq(found(cgroup_parse, "12:pids:/k8s.io/" ID "\n1:name=systemd:/\n0::/\n"), ID, "hybrid");
	cr_assert_str_eq(found(cgroup_parse, "3:memory:/k8s.io/" OTHER "\n2:cpu,pids:/k8s.io/" ID "\n"), ID);
	cr_assert_str_eq(found(cgroup_parse, "3:memory:/k8s.io/" ID "\n2:cpu,cpuacct:/k8s.io/" OTHER "\n"), ID);
	cr_assert_str_eq(found(cgroup_parse, "1:name=systemd:/k8s.io/" ID "\n"), "none",
		"whoever has no controllers may choose");
	cr_assert_str_eq(found(cgroup_parse, "1:xpids:/" ID "\n1:pidsx:/" ID "\n1:,:/" ID "\n1::/" ID "\n"), "none");
	cr_assert_str_eq(found(cgroup_parse, "0::/k8s.io/" ID " (deleted)\n"), ID);
	cr_assert_str_eq(found(cgroup_parse, "0::/a:b/x.slice:cri-containerd:" ID "\n"), ID, "colons in the path");
}

Test(cgroup, broken_files_have_none)
{
	static const char *const files[] = {
		"", "\n\n\n", "0", "0:", "0::", "::", "0:" ID, ID, "0:/" ID "\n", "\0", "0::\n/" ID "\n"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		cr_assert_str_eq(found(cgroup_parse, files[i]), "none", "%s", files[i]);
}

Test(cgroup, a_process_is_looked_up_below_the_given_proc)
{
	char folder[] = "/tmp/taffrail-cgroup-XXXXXX", path[100];
	uint8_t id[EVENT_CONTAINER_ID_SIZE] = {0};
	FILE *file;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/42", folder);
	mkdir(path, 0700);
	cr_assert_eq(cgroup_read(folder, 42, id), -ESRCH);
	snprintf(path, sizeof(path), "%s/42/cgroup", folder);
	file = fopen(path, "w");
	for (int i = 0; i < 1200; i++)
		fputs("4:freezer:/not/a/container/but/a/long/line/of/a/file/with/many\n", file);
	fclose(file);
	cr_assert_eq(cgroup_read(folder, 42, id), 0, "longer than what is read");
	file = fopen(path, "w");
	fputs("0::/docker/" ID "\n", file);
	fclose(file);
	cr_assert_eq(cgroup_read(folder, 42, id), 1);
	cr_assert_eq(id[1], 0x11);
	cr_assert_eq(cgroup_read("/proc", getpid(), id) < 0, 0, "this process itself");
	unlink(path);
	snprintf(path, sizeof(path), "%s/42", folder);
	rmdir(path);
	rmdir(folder);
}
