/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Docker and Podman keep on disk. DOCKER has the shape of a config.v2.json of Docker 25 (its NetworkSettings left out), KUBE the
 * labels of cri-dockerd's core/helpers.go; the entries of LIST are those that podman 4 and CRI-O 1.20 put into containers.json.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "sensor/names.h"
#include "sensor/state.h"

#define ID "43f0f7a7161b170c4666003296a36c6faae295016849ff5416d67a524e17703c"
#define OTHER "89daba6aced3a6ac731ca2934af759eb1b230b62e6c8d9742dbf0453a1435325"
#define POD "7f8e68b0361f10dabfce07f7bc11f7ccc8f0d5e6ca29b1b873da4cfcab5d2852"
#define UID "db8524d6-dc30-4916-9e99-cf866ef5312d"

/* clang-format off */
#define DOCKER(name, labels)                                                                                           \
	"{\"StreamConfig\":{},\"State\":{\"Running\":true,\"Paused\":false,\"OOMKilled\":false,\"Pid\":43811,\"ExitCode\":0}," \
	"\"ID\":\"" ID "\",\"Created\":\"2025-02-24T20:24:38.420859131Z\",\"Managed\":false,\"Path\":\"stress\","       \
	"\"Args\":[\"--hdd\",\"1\"],\"Config\":{\"Hostname\":\"43f0f7a7161b\",\"User\":\"\",\"Tty\":false,"             \
	"\"Image\":\"registry.example/alpine-stress:2\",\"Volumes\":null,\"Labels\":" labels "},"                       \
	"\"Image\":\"sha256:759fa7c836fbaa3dad4a3ee02c8ac19afccde16aff399154738b074d294be83a\",\"ImageManifest\":null," \
	"\"Name\":\"" name "\",\"Driver\":\"overlay2\",\"OS\":\"linux\",\"RestartCount\":0,\"MountPoints\":{}}"

#define KUBE                                                                                                           \
	"{\"io.kubernetes.container.name\":\"main\",\"io.kubernetes.docker.type\":\"container\","                       \
	"\"io.kubernetes.pod.name\":\"web-1\",\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.uid\":\"" UID "\"," \
	"\"io.kubernetes.sandbox.id\":\"" POD "\",\"annotation.io.kubernetes.container.restartCount\":\"2\"}"

#define LIST                                                                                                           \
	"[{\"id\":\"579635db3532e954d07927bdc32bd435bd082f03a0696ded072f04d762a18775\",\"names\":[\"other\"],"          \
	"\"metadata\":\"{\\\"image-name\\\":\\\"no\\\"}\"},\n"                                                          \
	"{\"id\":\"" ID "\",\"names\":[\"contenedor1\"],"                                                               \
	"\"image\":\"d7af31210b288164c319bae740ca1281528390a3c5cee657e95f243670b49e6a\",\"layer\":\"67b0\","            \
	"\"metadata\":\"{\\\"image-name\\\":\\\"quay.io/centos7/httpd-24-centos7:latest\\\",\\\"image-id\\\":\\\"d7af\\\"," \
	"\\\"name\\\":\\\"contenedor1\\\",\\\"created-at\\\":1711141194}\",\"created\":\"2024-03-22T20:59:54.545266929Z\"," \
	"\"flags\":{\"MountLabel\":\"\",\"ProcessLabel\":\"\"}},"                                                       \
	"{\"id\":\"" POD "\",\"names\":[\"k8s_POD_web-1_shop_" UID "_0\",\"k8s_web-1_shop_" UID "_0\"],"                \
	"\"image\":\"da86e6ba6ca197bf6bc5e9d900febd906b133eaa4750e6bed647b0fbe50ed43e\","                               \
	"\"metadata\":\"{\\\"pod-name\\\":\\\"k8s_web-1_shop_" UID "_0\\\",\\\"pod-id\\\":\\\"" POD "\\\","             \
	"\\\"image-name\\\":\\\"registry.example:5000/pause:3.1\\\",\\\"name\\\":\\\"k8s_POD_web-1_shop_" UID "_0\\\"," \
	"\\\"metadata-name\\\":\\\"web-1\\\",\\\"uid\\\":\\\"" UID "\\\",\\\"namespace\\\":\\\"shop\\\",\\\"pod\\\":true}\"}," \
	"{\"id\":\"" OTHER "\",\"names\":[\"k8s_con-web_web-1_shop_" UID "_4\"],"                                       \
	"\"metadata\":\"{\\\"pod-name\\\":\\\"k8s_web-1_shop_" UID "_0\\\",\\\"pod-id\\\":\\\"" POD "\\\","             \
	"\\\"image-name\\\":\\\"web:2\\\",\\\"name\\\":\\\"k8s_con-web_web-1_shop_" UID "_4\\\","                       \
	"\\\"metadata-name\\\":\\\"con-web\\\"}\"}]"
/* clang-format on */

#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

static struct state state;
static struct event_container view;

static void named(void)
{
	view = (struct event_container){0};
	names_state(&state, &view);
}

Test(state, a_container_of_docker)
{
	cr_assert_eq(
		state_parse_docker(text_of(DOCKER("/stress_1", "{\"maintainer\":\"x\"}")), text_of(ID), &state), 0);
	cr_assert(state.alone);
	named();
	EXPECT(view.name, "stress_1");
	EXPECT(view.runtime, "docker");
	EXPECT(view.image_name, "registry.example/alpine-stress");
	EXPECT(view.image_tag, "2");
	EXPECT(view.image_digest, "sha256:759fa7c836fbaa3dad4a3ee02c8ac19afccde16aff399154738b074d294be83a");
	EXPECT(view.pod_name, "");
	cr_assert_eq(view.source, EVENT_SOURCE_STATE);
	state_free(&state);
	cr_assert_null(state.document);
}

Test(state, a_container_of_cri_dockerds)
{
	cr_assert_eq(
		state_parse_docker(text_of(DOCKER("/k8s_main_web-1_shop_" UID "_2", KUBE)), text_of(ID), &state), 0);
	cr_assert_not(state.alone);
	named();
	EXPECT(view.name, "main");
	EXPECT(view.pod_name, "web-1");
	EXPECT(view.pod_namespace, "shop");
	EXPECT(view.pod_uid, UID);
	EXPECT(view.sandbox_id, POD);
	cr_assert_eq(view.attempt, 2);
	cr_assert_not(view.sandbox);
	state_free(&state);
	cr_assert_eq(state_parse_docker(text_of(DOCKER("/k8s_POD_web-1_shop_" UID "_x",
						"{\"io.kubernetes.docker.type\":\"podsandbox\",\"io.kubernetes."
						"container.name\":\"POD\"}")),
			     text_of(ID), &state),
		0);
	named();
	EXPECT(view.name, "POD");
	EXPECT(view.sandbox_id, ID);
	cr_assert(view.sandbox);
	cr_assert_eq(view.attempt, 0);
	state_free(&state);
	cr_assert_eq(state_parse_docker(
			     text_of(DOCKER("/k8s_main_web-1_shop_" UID "_2_00000007", KUBE)), text_of(ID), &state),
		0);
	cr_assert_eq(state.attempt, 2, "the last part is random where the name was taken");
	EXPECT(state.pod_uid, UID);
	state_free(&state);
}

/* Docker adds them to the container's own. */
Test(state, an_images_labels_make_no_pod)
{
	static const char *const files[] = {DOCKER("/stress_1", KUBE), DOCKER("/k8s", KUBE),
		DOCKER("/k8s_main_web-1_shop_" UID, KUBE), DOCKER("", KUBE)};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		cr_assert_eq(state_parse_docker(text_of(files[i]), text_of(ID), &state), 0);
		cr_assert(state.alone, "%zu", i);
		named();
		EXPECT(view.pod_name, "");
		EXPECT(view.pod_namespace, "");
		EXPECT(view.sandbox_id, "");
		state_free(&state);
	}
	/* One that is a pod's keeps its own names. */
	cr_assert_eq(state_parse_docker(text_of(DOCKER("/k8s_a_b_c_d_0", KUBE)), text_of(ID), &state), 0);
	EXPECT(state.name, "a");
	EXPECT(state.pod_name, "b");
	EXPECT(state.pod_namespace, "c");
	EXPECT(state.pod_uid, "d");
	state_free(&state);
}

Test(state, a_bundles_words_come_first)
{
	cr_assert_eq(state_parse_docker(text_of(DOCKER("/stress", "null")), text_of(ID), &state), 0);
	view = (struct event_container){
		.runtime = TEXT_LITERAL("docker"), .name = TEXT_LITERAL("own"), .source = EVENT_SOURCE_BUNDLE};
	names_state(&state, &view);
	EXPECT(view.name, "own");
	EXPECT(view.image_tag, "2");
	cr_assert_eq(view.source, EVENT_SOURCE_BUNDLE);
	state_free(&state);
}

Test(state, another_containers_file_is_not_its)
{
	cr_assert_eq(state_parse_docker(text_of(DOCKER("/x", "{}")), text_of(OTHER), &state), -ENOENT);
	cr_assert_null(state.document);
	cr_assert_eq(state_parse_docker(text_of("{}"), text_of(OTHER), &state), -ENOENT);
	cr_assert_eq(state_parse_docker(text_of("[]"), text_of(OTHER), &state), -EBADMSG);
	cr_assert_eq(state_parse_docker(
			     text_of("{\"ID\":\"" ID "\",\"Name\":7,\"Config\":[],\"Image\":{}}"), text_of(ID), &state),
		0);
	EXPECT(state.name, "");
	state_free(&state);
}

Test(state, a_container_of_podmans)
{
	cr_assert_eq(state_parse_storage(text_of(LIST), text_of(ID), &state), 0);
	cr_assert(state.alone);
	named();
	EXPECT(view.name, "contenedor1");
	EXPECT(view.runtime, "podman");
	EXPECT(view.image_name, "quay.io/centos7/httpd-24-centos7");
	EXPECT(view.image_tag, "latest");
	EXPECT(view.image_digest, "d7af31210b288164c319bae740ca1281528390a3c5cee657e95f243670b49e6a");
	state_free(&state);
}

Test(state, containers_of_crio_stand_there_too)
{
	cr_assert_eq(state_parse_storage(text_of(LIST), text_of(POD), &state), 0);
	cr_assert_not(state.alone);
	named();
	EXPECT(view.name, "POD");
	EXPECT(view.runtime, "cri-o");
	EXPECT(view.pod_name, "web-1");
	EXPECT(view.pod_namespace, "shop");
	EXPECT(view.pod_uid, UID);
	cr_assert(view.sandbox);
	state_free(&state);
	cr_assert_eq(state_parse_storage(text_of(LIST), text_of(OTHER), &state), 0);
	named();
	EXPECT(view.name, "con-web");
	EXPECT(view.pod_name, "web-1");
	EXPECT(view.sandbox_id, POD);
	cr_assert_eq(view.attempt, 4);
	cr_assert_not(view.sandbox);
	state_free(&state);
}

Test(state, a_list_that_is_none)
{
	static const struct {
		const char *text;
		int error;
	} lists[] = {{"", -ENOENT}, {"[]", -ENOENT}, {ID, -EBADMSG}, {"[\"" ID "\"]", -EBADMSG},
		{"[{\"id\":\"" ID "\"", -EBADMSG}, {"[{\"id\":[\"" ID "\"]}]", -ENOENT},
		{"[{\"id\":\"x" ID "\"}]", -ENOENT}, {"[{\"id\":\"" ID "\",\"names\":7,\"metadata\":\"{\"}]", 0},
		{"[{\"id\":\"" ID "\",\"names\":[]}", 0}};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		int error = state_parse_storage(text_of(lists[i].text), text_of(ID), &state);

		cr_assert_eq(error, lists[i].error, "%s: %d", lists[i].text, error);
		if (error) {
			cr_assert_null(state.document);
		} else {
			cr_assert_not(state.alone, "without metadata nobody says so");
			state_free(&state);
		}
	}
}

Test(state, a_list_may_be_longer_than_one_text_of_json)
{
	static const char last[] = "{\"id\":\"" ID "\",\"names\":[\"last\"],\"metadata\":\"{}\"}]";
	struct buffer list = {0};
	char item[200];

	buffer_append(&list, "[", 1);
	for (int i = 0; i < 20000; i++) {
		int length = snprintf(
			item, sizeof(item), "{\"id\":\"%064d\",\"names\":[\"n%d\"],\"metadata\":\"{}\"},", i, i);

		buffer_append(&list, item, (size_t)length);
	}
	buffer_append(&list, last, sizeof(last) - 1);
	cr_assert_gt(list.length, 2 << 20);
	cr_assert_eq(state_parse_storage((struct text){list.data, list.length}, text_of(ID), &state), 0);
	EXPECT(state.name, "last");
	state_free(&state);
	buffer_free(&list);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

Test(state, files_are_read_below_the_hosts_root_and_nowhere_else)
{
	char root[] = "/tmp/taffrail-state-XXXXXX", command[400], path[300];

	cr_assert_not_null(mkdtemp(root));
	snprintf(command, sizeof(command),
		"mkdir -p %s/data/docker/containers/" ID
		" %s/var/lib/overlay-containers && ln -s /data/docker %s/var/lib/docker",
		root, root, root);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(state_read(root, "/var/lib/docker", ID, &state), -ENOENT);
	snprintf(path, sizeof(path), "%s/data/docker/containers/" ID "/config.v2.json", root);
	write_file(path, DOCKER("/stress", "{}"));
	cr_assert_eq(state_read(root, "/var/lib/docker", ID, &state), 0, "an absolute link of the host's");
	EXPECT(state.name, "stress");
	state_free(&state);
	unlink(path);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_assert_lt(state_read(root, "/var/lib/docker", ID, &state), 0);
	snprintf(path, sizeof(path), "%s/var/lib/overlay-containers/volatile-containers.json", root);
	write_file(path, LIST);
	cr_assert_eq(state_read(root, "/var/lib", ID, &state), 0);
	EXPECT(state.runtime, "podman");
	state_free(&state);
	cr_assert_eq(truncate(path, STATE_FILE_MAX + 1), 0);
	cr_assert_eq(state_read(root, "/var/lib", ID, &state), -EFBIG);
	snprintf(command, sizeof(command), "rm -r %s", root);
	cr_assert_eq(system(command), 0);
}
