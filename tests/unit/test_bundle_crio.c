/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as CRI-O and Podman write it. The keys and who sets them are from cri-o's pkg/annotations, SpecAddAnnotations in
 * internal/factory/container and server/sandbox_run_linux.go; the values of SANDBOX and CONTAINER have the shape of what `crictl
 * inspect` shows of CRI-O 1.22 under kubelet, those of CRICTL that of containers which crictl made.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "sensor/bundle.h"
#include "sensor/bundle_spec.h"
#include "sensor/names.h"

#define POD_ID "134b58ab2e0cfd7432a9db818b1b4ec52fdc747333f0ba2c9342860dc2ea7c50"
#define OWN_ID "0e04af54d9273f5bb37eddbe8ace750275d7939612dd4864c792168cce2cff82"
#define UID "aaaa2b4a-f398-41c0-928b-049e1cc4ec40"
#define O "io.kubernetes.cri-o."

/* clang-format off */
#define SANDBOX                                                                                                        \
	"{\"ociVersion\":\"1.0.2-dev\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"/pause\"],\"cwd\":\"/\"," \
	"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"]}},"                                                \
	"\"root\":{\"path\":\"/var/lib/containers/storage/overlay/3130/merged\",\"readonly\":true},"                    \
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\"]}]," \
	"\"annotations\":{\"" O "CgroupParent\":\"kubepods-besteffort-podaaaa2b4a_f398_41c0_928b_049e1cc4ec40.slice\"," \
	"\"io.kubernetes.pod.name\":\"web-7d4b9c6f8-x2x4z\",\"app\":\"web\","                                           \
	"\"" O "ContainerName\":\"k8s_POD_web-7d4b9c6f8-x2x4z_shop_" UID "_1\",\"" O "HostNetwork\":\"false\","         \
	"\"io.kubernetes.container.name\":\"POD\",\"" O "SandboxID\":\"" POD_ID "\","                                   \
	"\"" O "NamespaceOptions\":\"{\\\"pid\\\":1}\",\"io.container.manager\":\"cri-o\","                             \
	"\"" O "Metadata\":\"{\\\"Name\\\":\\\"web-7d4b9c6f8-x2x4z\\\",\\\"UID\\\":\\\"" UID                            \
	"\\\",\\\"Namespace\\\":\\\"shop\\\",\\\"Attempt\\\":1}\","                                                     \
	"\"" O "Image\":\"registry.k8s.io/pause:3.5\",\"" O "IP.0\":\"172.30.129.95\","                                 \
	"\"" O "Annotations\":\"{\\\"kubernetes.io/config.source\\\":\\\"api\\\",\\\"owner\\\":\\\"us\\\"}\","          \
	"\"" O "ContainerType\":\"sandbox\",\"" O "KubeName\":\"web-7d4b9c6f8-x2x4z\",\"" O "Namespace\":\"shop\","     \
	"\"" O "Labels\":\"{\\\"io.kubernetes.container.name\\\":\\\"POD\\\",\\\"io.kubernetes.pod.namespace\\\":\\\"shop\\\"," \
	"\\\"io.kubernetes.pod.name\\\":\\\"web-7d4b9c6f8-x2x4z\\\",\\\"app\\\":\\\"web\\\","                           \
	"\\\"pod-template-hash\\\":\\\"7d4b9c6f8\\\",\\\"io.kubernetes.pod.uid\\\":\\\"" UID "\\\"}\","                 \
	"\"" O "Name\":\"k8s_web-7d4b9c6f8-x2x4z_shop_" UID "_1\",\"" O "PrivilegedRuntime\":\"false\","                \
	"\"" O "ContainerID\":\"" POD_ID "\"},"                                                                         \
	"\"linux\":{\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]},"                                \
	"\"cgroupsPath\":\"kubepods-besteffort-podaaaa2b4a_f398_41c0_928b_049e1cc4ec40.slice:crio:" POD_ID "\","        \
	"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/var/run/netns/9a\"},"                     \
	"{\"type\":\"ipc\",\"path\":\"/var/run/ipcns/9a\"},{\"type\":\"uts\",\"path\":\"/var/run/utsns/9a\"},{\"type\":\"mount\"}]," \
	"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"}}}"

#define CONTAINER                                                                                                      \
	"{\"process\":{\"user\":{\"uid\":1000,\"gid\":2000},\"args\":[\"/web\",\"-p\",\"80\"]},"                        \
	"\"annotations\":{\"io.container.manager\":\"cri-o\",\"" O "ContainerID\":\"" OWN_ID "\","                      \
	"\"" O "ContainerType\":\"container\",\"" O "SandboxID\":\"" POD_ID "\","                                       \
	"\"" O "Image\":\"d8087c58ebe51554d52054e955680805d86969dc9b6917f5e3fa3ecb81c86e33\","                          \
	"\"" O "ImageName\":\"registry.example:5000/shop/web:1.4\","                                                    \
	"\"" O "ImageRef\":\"d8087c58ebe51554d52054e955680805d86969dc9b6917f5e3fa3ecb81c86e33\","                       \
	"\"" O "Metadata\":\"{\\\"name\\\":\\\"main\\\",\\\"attempt\\\":3}\","                                          \
	"\"" O "Labels\":\"{\\\"io.kubernetes.container.name\\\":\\\"main\\\",\\\"io.kubernetes.pod.name\\\":\\\"web-7d4b9c6f8-x2x4z\\\"," \
	"\\\"io.kubernetes.pod.namespace\\\":\\\"shop\\\",\\\"io.kubernetes.pod.uid\\\":\\\"" UID "\\\"}\","            \
	"\"" O "Name\":\"k8s_main_web-7d4b9c6f8-x2x4z_shop_" UID "_3\","                                                \
	"\"" O "SandboxName\":\"k8s_web-7d4b9c6f8-x2x4z_shop_" UID "_1\"},"                                             \
	"\"linux\":{\"cgroupsPath\":\"kubepods-burstable-podaaaa2b4a.slice:crio:" OWN_ID "\"}}"

#define CRICTL                                                                                                         \
	"{\"annotations\":{\"" O "ImageName\":\"quay.io/crio/redis:alpine\",\"" O "Image\":\"quay.io/crio/redis:alpine\"," \
	"\"" O "SandboxID\":\"" POD_ID "\",\"io.container.manager\":\"cri-o\",\"tier\":\"backend\","                    \
	"\"" O "ImageRef\":\"98bd7cfc43b8ef0ff130465e3d5427c0771002c2f35a6a9b62cb2d04602bed0a\","                       \
	"\"" O "Labels\":\"{\\\"tier\\\":\\\"backend\\\"}\",\"" O "Metadata\":\"{\\\"name\\\":\\\"podsandbox1-redis\\\"}\"," \
	"\"" O "ContainerID\":\"" OWN_ID "\",\"" O "ContainerType\":\"container\","                                     \
	"\"" O "Name\":\"k8s_podsandbox1-redis_podsandbox1_redhat.test.crio_redhat-test-crio_0\","                      \
	"\"" O "SandboxName\":\"k8s_podsandbox1_redhat.test.crio_redhat-test-crio_1\"},"                                \
	"\"linux\":{\"cgroupsPath\":\"pod_123-456.slice:crio:" OWN_ID "\"}}"

#define PODMAN                                                                                                         \
	"{\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"sh\"]},\"annotations\":{"                             \
	"\"io.container.manager\":\"libpod\",\"" O "Created\":\"2021-03-31T14:36:30.807867268+08:00\","                 \
	"\"" O "TTY\":\"false\",\"io.podman.annotations.autoremove\":\"FALSE\",\"io.podman.annotations.privileged\":\"TRUE\"," \
	"\"org.opencontainers.image.stopSignal\":\"15\"}}"
/* clang-format on */

#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

static struct bundle bundle;

/* As the bundle of the container that CRI-O says it is, or of OWN_ID. */
static int parse(const char *json)
{
	const char *id = strstr(json, "ContainerID\":\"" POD_ID) ? POD_ID : OWN_ID;

	return bundle_parse(text_of(json), BUNDLE_STORAGE, text_of(id), &bundle);
}

static void expect_pod(const char *name, const char *namespace, const char *uid)
{
	EXPECT(bundle.runtime, "cri-o");
	EXPECT(bundle.sandbox_id, POD_ID);
	EXPECT(bundle.pod_name, name);
	EXPECT(bundle.pod_namespace, namespace);
	EXPECT(bundle.pod_uid, uid);
	cr_assert_not(bundle.alone);
}

Test(bundle_crio, a_sandbox_has_its_pods_labels)
{
	struct event_container view;

	cr_assert_eq(parse(SANDBOX), 0);
	expect_pod("web-7d4b9c6f8-x2x4z", "shop", UID);
	cr_assert(bundle.sandbox);
	cr_assert_eq(bundle.attempt, 1);
	EXPECT(bundle.image, "registry.k8s.io/pause:3.5");
	cr_assert_eq(bundle.label_count, 6);
	cr_assert_eq(bundle.annotation_count, 2);
	names_bundle(&bundle, &view);
	EXPECT(view.name, "POD");
	EXPECT(view.workload_kind, "Deployment");
	EXPECT(view.workload_name, "web");
	cr_assert_eq(view.qos, EVENT_BEST_EFFORT);
	cr_assert_eq(view.source, EVENT_SOURCE_BUNDLE);
	cr_assert_not(view.spec->privileged);
	cr_assert(view.spec->read_only_root);
	cr_assert_eq(view.spec->host_namespaces, 0);
	cr_assert_eq(view.spec->capabilities, 1 << 0 | 1 << 5);
	EXPECT(view.spec->mounts[0].options, "nosuid,noexec");
	bundle_free(&bundle);
	cr_assert_null(bundle.labels);
}

Test(bundle_crio, a_container_is_named_as_kubelet_labels_it)
{
	struct event_container view;

	cr_assert_eq(parse(CONTAINER), 0);
	expect_pod("web-7d4b9c6f8-x2x4z", "shop", UID);
	cr_assert_not(bundle.sandbox);
	cr_assert_eq(bundle.label_count, 0, "kubelet's labels of a container are not the pod's");
	names_bundle(&bundle, &view);
	EXPECT(view.name, "main");
	EXPECT(view.image_name, "registry.example:5000/shop/web");
	EXPECT(view.image_tag, "1.4");
	EXPECT(view.image_digest, "d8087c58ebe51554d52054e955680805d86969dc9b6917f5e3fa3ecb81c86e33");
	EXPECT(view.workload_kind, "");
	cr_assert_eq(view.attempt, 3);
	cr_assert_eq(view.qos, EVENT_BURSTABLE);
	cr_assert_eq(view.spec->uid, 1000);
	cr_assert_eq(view.spec->gid, 2000);
	cr_assert(text_equal(view.spec->args, TEXT_LITERAL("/web\0-p\0"
							   "80\0")));
	bundle_free(&bundle);
}

Test(bundle_crio, what_crictl_made_is_named_by_the_sandboxs_name)
{
	cr_assert_eq(parse(CRICTL), 0);
	expect_pod("podsandbox1", "redhat.test.crio", "redhat-test-crio");
	EXPECT(bundle.container_name, "podsandbox1-redis");
	cr_assert_eq(names_qos(bundle.cgroup), EVENT_QOS_UNKNOWN);
	bundle_free(&bundle);
}

Test(bundle_crio, what_podman_made_is_no_pods)
{
	cr_assert_eq(parse(PODMAN), 0);
	EXPECT(bundle.runtime, "podman");
	EXPECT(bundle.sandbox_id, "");
	cr_assert(bundle.alone);
	cr_assert(bundle.written->view.privileged);
	bundle_free(&bundle);
}

/* Older versions let a pod's annotations replace those of its sandbox. */
Test(bundle_crio, a_pods_author_cannot_make_it_podmans)
{
	cr_assert_eq(parse("{\"annotations\":{\"io.container.manager\":\"libpod\",\"" O "ContainerID\":\"" OWN_ID "\","
			   "\"" O "SandboxID\":\"" POD_ID "\"}}"),
		0);
	EXPECT(bundle.runtime, "cri-o");
	cr_assert_not(bundle.alone);
	bundle_free(&bundle);
}

/* CRI-O copies a pod's annotations into its containers, and does not write these two there itself. */
Test(bundle_crio, a_pods_author_cannot_take_another_pods_name)
{
	static const char forged[] = "\"" O "KubeName\":\"kube-proxy-4x2vz\",\"" O "Namespace\":\"kube-system\",";
	static const char anchor[] = "\"annotations\":{", kubelets[] =
								  "\"io.kubernetes.pod.name\":\"web-7d4b9c6f8-x2x4z\","
								  "\"io.kubernetes.pod.namespace\":\"shop\","
								  "\"io.kubernetes.pod.uid\":\"" UID "\",";
	const char *container = CONTAINER, *at = strstr(container, anchor);
	char json[8192];

	snprintf(json, sizeof(json), "%.*s%s%s%s", (int)(at - container), container, anchor, forged,
		at + strlen(anchor));
	cr_assert_eq(parse(json), 0);
	expect_pod("web-7d4b9c6f8-x2x4z", "shop", UID);
	EXPECT(bundle.container_name, "main");
	bundle_free(&bundle);

	snprintf(json, sizeof(json),
		"{\"annotations\":{%s%s\"" O "ContainerID\":\"" OWN_ID "\",\"" O "ContainerType\":\"sandbox\",\"" O
		"SandboxID\":\"" POD_ID "\"}}",
		forged, kubelets);
	cr_assert_eq(parse(json), 0);
	expect_pod("web-7d4b9c6f8-x2x4z", "shop", UID);
	bundle_free(&bundle);
}

/* Podman adds an image's annotations to the container's. */
Test(bundle_crio, an_images_annotations_make_no_pod)
{
	static const char forged[] = "\"" O "ContainerID\":\"" POD_ID "\",\"" O "SandboxID\":\"" POD_ID "\",\"" O
				     "KubeName\":\"kube-proxy-4x2vz\",\"" O "Namespace\":\"kube-system\",\"" O
				     "ContainerType\":\"sandbox\",\"io.kubernetes.pod.name\":\"kube-proxy-4x2vz\",";
	static const char anchor[] = "\"annotations\":{";
	const char *podman = PODMAN, *at = strstr(podman, anchor);
	char json[4096];

	snprintf(json, sizeof(json), "%.*s%s%s%s", (int)(at - podman), podman, anchor, forged, at + strlen(anchor));
	cr_assert_eq(bundle_parse(text_of(json), BUNDLE_STORAGE, text_of(OWN_ID), &bundle), 0);
	EXPECT(bundle.pod_name, "");
	EXPECT(bundle.pod_namespace, "");
	EXPECT(bundle.sandbox_id, "");
	EXPECT(bundle.container_name, "");
	cr_assert_not(bundle.sandbox);
	cr_assert_not(bundle.alone, "its state tells whose it is");
	cr_assert(bundle.written->view.privileged);
	bundle_free(&bundle);
}

Test(bundle_crio, what_nobody_says_to_have_made_is_nobodys)
{
	static const char *const others[] = {"{}", "{\"annotations\":{\"io.container.manager\":\"me\"}}",
		"{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"x\"}}",
		"{\"annotations\":{\"" O "ContainerID\":\"" OWN_ID "\"}}",
		"{\"annotations\":{\"" O "ContainerID\":7}}"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		cr_assert_eq(parse(others[i]), -ENOENT, "%s", others[i]);
		cr_assert_null(bundle.document);
	}
}

Test(bundle_crio, json_in_annotations_may_be_anything)
{
	static const char *const values[] = {"", "x", "{", "[]", "null", "7", "{\\\"a\\\":7}", "{\\\"a\\\":{}}",
		"{\\\"io.kubernetes.pod.name\\\":7}", "{\\\"attempt\\\":-1,\\\"name\\\":[]}",
		"{\\\"attempt\\\":99999999999}"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char json[2000];
		struct event_container view;

		snprintf(json, sizeof(json),
			"{\"" O "Labels\":1,\"annotations\":{\"" O "ContainerID\":\"" OWN_ID "\",\"" O
			"SandboxID\":\"y\","
			"\"" O "ContainerType\":\"sandbox\",\"" O "Labels\":\"%s\",\"" O "Annotations\":\"%s\","
			"\"" O "Metadata\":\"%s\",\"" O "SandboxName\":\"k8s__\"}}",
			values[i], values[i], values[i]);
		cr_assert_eq(parse(json), 0, "%s", json);
		names_bundle(&bundle, &view);
		cr_assert_eq(bundle.attempt, 0);
		EXPECT(view.pod_name, "");
		bundle_free(&bundle);
	}
}
