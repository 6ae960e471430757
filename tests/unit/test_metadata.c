/* SPDX-License-Identifier: Apache-2.0 */
/* Where runtimes are asked. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "sensor/metadata.h"

static void expect_socket(const struct metadata_options *options, size_t index, const char *expected)
{
	char path[PATH_MAX], wanted[PATH_MAX];

	cr_assert(metadata_socket(options, index, path));
	snprintf(wanted, sizeof(wanted), "%s%s", options->socket_count ? "" : options->host_root, expected);
	cr_assert_str_eq(path, wanted);
}

Test(metadata, sockets_are_the_hosts_and_each_once)
{
	char root[] = "/tmp/taffrail-metadata-XXXXXX", command[400], path[PATH_MAX], link[100];
	char *named[] = {link, link, (char *)(uintptr_t) "relative.sock"};
	struct metadata_options options = {.host_root = root};

	cr_assert_not_null(mkdtemp(root));
	expect_socket(&options, 0, "/run/containerd/containerd.sock");
	expect_socket(&options, 1, "/run/crio/crio.sock");
	expect_socket(&options, 2, "/run/k3s/containerd/containerd.sock");
	expect_socket(&options, 3, "/var/run/cri-dockerd.sock");
	cr_assert_not(metadata_socket(&options, 4, path));
	/* As on most hosts, and as where k3s's socket is linked to the usual place. */
	snprintf(command, sizeof(command),
		"cd %s && mkdir -p var run/containerd run/k3s/containerd && ln -s /run var/run && "
		"touch run/k3s/containerd/containerd.sock && ln -s /run/k3s/containerd/containerd.sock run/containerd",
		root);
	cr_assert_eq(system(command), 0);
	expect_socket(&options, 0, "/run/k3s/containerd/containerd.sock");
	expect_socket(&options, 1, "/run/crio/crio.sock");
	expect_socket(&options, 2, "/run/cri-dockerd.sock");
	cr_assert_not(metadata_socket(&options, 3, path));
	/* Those that are named are this process's own. */
	snprintf(link, sizeof(link), "%s/run/crio/../crio.sock", root);
	options.sockets = named;
	options.socket_count = 3;
	expect_socket(&options, 0, link);
	expect_socket(&options, 1, "relative.sock");
	cr_assert_not(metadata_socket(&options, 2, path));
	snprintf(command, sizeof(command), "rm -r %s", root);
	cr_assert_eq(system(command), 0);
}
