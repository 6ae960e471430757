/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a pod is, and its class. */
#include <criterion/criterion.h>

#include "sensor/names.h"

#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

/* 58 bytes, as much as the API server keeps of a generated name. */
#define LONG_45 "a-deployment-whose-name-is-of-forty-five-byte"
#define LONG_57 "a-deployment-whose-name-is-of-so-many-bytes-that-its-set-is-c"

static const struct {
	const char *pod, *labels[4], *source, *kind, *name;
} cases[] = {
	/* as controllers make them */
	{"web-7d4b9c6f8-x2x4z", {"pod-template-hash", "7d4b9c6f8"}, "api", "Deployment", "web"},
	{"a-b-7d4b9c6f8-x2x4z", {"pod-template-hash", "7d4b9c6f8"}, "", "Deployment", "a-b"},
	{"db-0", {"statefulset.kubernetes.io/pod-name", "db-0"}, "api", "StatefulSet", "db"},
	{"db-main-12", {"apps.kubernetes.io/pod-index", "12"}, "api", "StatefulSet", "db-main"},
	{"db-12", {"statefulset.kubernetes.io/pod-name", "db-12", "apps.kubernetes.io/pod-index", "12"}, "api",
		"StatefulSet", "db"},
	{"db-0", {"controller-revision-hash", "db-6f", "statefulset.kubernetes.io/pod-name", "db-0"}, "api",
		"StatefulSet", "db"},
	{"sum-x2x4z", {"batch.kubernetes.io/job-name", "sum"}, "api", "Job", "sum"},
	{"sum-x2x4z", {"job-name", "sum"}, "api", "Job", "sum"},
	{"sum-3-x2x4z", {"job-name", "sum"}, "api", "Job", "sum"},
	{"nightly-28912345-x2x4z", {"batch.kubernetes.io/job-name", "nightly-28912345"}, "api", "CronJob", "nightly"},
	{"nightly-12345678-x2x4z", {"batch.kubernetes.io/job-name", "nightly-12345678"}, "api", "Job",
		"nightly-12345678"},
	{"nightly-70000000-x2x4z", {"batch.kubernetes.io/job-name", "nightly-70000000"}, "api", "Job",
		"nightly-70000000"},
	{"log-x2x4z", {"controller-revision-hash", "5b8f"}, "api", "DaemonSet", "log"},
	{"etcd-node-1", {NULL}, "file", "Pod", "etcd-node-1"},
	{"etcd-node-x2x4z", {"controller-revision-hash", "5b8f"}, "file", "Pod", "etcd-node-x2x4z"},
	{"alone", {"app", "web"}, "api", "Pod", "alone"},
	/* names that the API server has cut */
	{LONG_45 "-7d4b9c6f8-12x2x4z", {"pod-template-hash", "7d4b9c6f8-12"}, "api", "Deployment", LONG_45},
	{LONG_45 "-7d4b9c6f8d55x2x4z", {"pod-template-hash", "7d4b9c6f8d556"}, "api", "Deployment", LONG_45},
	{"a-deployment-whose-name-is-of-fifty-five-bytes-and-no-mo-7x2x4z", {"pod-template-hash", "7d4b9c6f8"}, "api",
		"Deployment", "a-deployment-whose-name-is-of-fifty-five-bytes-and-no-mo"},
	{"a-deployment-whose-name-is-of-fifty-seven-bytes-and-no-mo-x2x4z", {"pod-template-hash", "7d4b9c6f8"}, "api",
		"Deployment", "a-deployment-whose-name-is-of-fifty-seven-bytes-and-no-mo"},
	{"a-deployment-whose-name-is-of-so-many-bytes-that-its-set-ix2x4z", {"pod-template-hash", "7d4b9c6f8"}, "api",
		"Deployment", "a-deployment-whose-name-is-of-so-many-bytes-that-its-set-i"},
	{"a-daemon-set-whose-name-is-of-so-many-bytes-that-it-is-cut-x2x4", {"controller-revision-hash", "5b8f"}, "api",
		"Pod", "a-daemon-set-whose-name-is-of-so-many-bytes-that-it-is-cut-x2x4"},
	{"a-daemon-set-whose-name-is-of-so-many-bytes-that-it-is-cutx2x4z", {"controller-revision-hash", "5b8f"}, "api",
		"DaemonSet", "a-daemon-set-whose-name-is-of-so-many-bytes-that-it-is-cut"},
	{"a-job-whose-name-is-of-so-many-bytes-that-its-pods-are-cutx2x4z",
		{"job-name", "a-job-whose-name-is-of-so-many-bytes-that-its-pods-are-cut-29"}, "api", "Job",
		"a-job-whose-name-is-of-so-many-bytes-that-its-pods-are-cut-29"},
	/* labels that lie, or say nothing */
	{"web", {"pod-template-hash", "7d4b9c6f8"}, "api", "Pod", "web"},
	{"web-x2x4z", {"pod-template-hash", "7d4b9c6f8"}, "api", "Pod", "web-x2x4z"},
	{"-7d4b9c6f8-x2x4z", {"pod-template-hash", "7d4b9c6f8"}, "api", "Pod", "-7d4b9c6f8-x2x4z"},
	{"7d4b9c6f8-x2x4z", {"pod-template-hash", "7d4b9c6f8"}, "api", "Pod", "7d4b9c6f8-x2x4z"},
	{"web-7d4b9c6f8-x2x4z", {"pod-template-hash", ""}, "api", "Pod", "web-7d4b9c6f8-x2x4z"},
	{"web-7d4b9c6f8-X2X4Z", {"pod-template-hash", "7d4b9c6f8"}, "api", "Pod", "web-7d4b9c6f8-X2X4Z"},
	{"db-0", {"statefulset.kubernetes.io/pod-name", "db-1"}, "api", "Pod", "db-0"},
	{"db-0", {"apps.kubernetes.io/pod-index", "1"}, "api", "Pod", "db-0"},
	{"db", {"statefulset.kubernetes.io/pod-name", "db"}, "api", "Pod", "db"},
	{"-0", {"statefulset.kubernetes.io/pod-name", "-0"}, "api", "Pod", "-0"},
	{"0", {"apps.kubernetes.io/pod-index", "0"}, "api", "Pod", "0"},
	{"sum-x2x4z", {"job-name", "su"}, "api", "Pod", "sum-x2x4z"},
	{"sum-x2x4z", {"job-name", ""}, "api", "Pod", "sum-x2x4z"},
	{"sum-x2x4z", {"job-name", "another"}, "api", "Pod", "sum-x2x4z"},
	{"sum-a-x2x4z", {"job-name", "sum"}, "api", "Pod", "sum-a-x2x4z"},
	{"-28912345-x2x4z", {"job-name", "-28912345"}, "api", "Job", "-28912345"},
	{"x2x4z", {"controller-revision-hash", "5b8f"}, "api", "Pod", "x2x4z"},
	{"-x2x4z", {"controller-revision-hash", "5b8f"}, "api", "Pod", "-x2x4z"},
	{"log", {"controller-revision-hash", "5b8f"}, "api", "Pod", "log"},
	{"", {"pod-template-hash", "7d4b9c6f8"}, "api", "", ""},
};

static void expect_case(size_t index)
{
	const struct event_label source = {TEXT_LITERAL("kubernetes.io/config.source"), text_of(cases[index].source)};
	struct event_label labels[2];
	struct event_container view = {.pod_name = text_of(cases[index].pod),
		.labels = labels,
		.annotations = &source,
		.annotation_count = cases[index].source[0] != '\0',
		.workload_kind = TEXT_LITERAL("stale")};

	while (view.label_count < 2 && cases[index].labels[2 * view.label_count]) {
		const char *const *pair = &cases[index].labels[2 * view.label_count];

		labels[view.label_count++] = (struct event_label){text_of(pair[0]), text_of(pair[1])};
	}
	names_workload(&view);
	cr_expect(text_equal(view.workload_kind, text_of(cases[index].kind)) &&
			  text_equal(view.workload_name, text_of(cases[index].name)),
		"%s: %.*s %.*s", cases[index].pod, (int)view.workload_kind.length, view.workload_kind.data,
		(int)view.workload_name.length, view.workload_name.data);
}

Test(names_workload, each_kind_and_what_is_none)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_case(i);
}

/* Whatever a label says, the name is a part of the pod's or of the label, and not empty. */
Test(names_workload, any_label_and_any_name)
{
	static const char *const keys[] = {"pod-template-hash", "statefulset.kubernetes.io/pod-name",
		"apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-name", "job-name", "controller-revision-hash"};
	static const char letters[] = "a-0-b9--29123456-xxxxx";
	char pod[80], value[80];

	for (unsigned int seed = 0; seed < 200000; seed++) {
		unsigned int random = seed * 2654435761u;
		size_t pod_length = random % sizeof(pod), value_length = random / 128 % 12;
		struct event_label label = {text_of(keys[random / 4096 % 6]), {value, value_length}};
		struct event_container view = {.pod_name = {pod, pod_length}, .labels = &label, .label_count = 1};

		for (size_t i = 0; i < sizeof(pod); i++)
			pod[i] = letters[(random = random * 1664525u + 1013904223u) / 65536 % (sizeof(letters) - 1)];
		/* Often a piece of the name, so that it looks true. */
		memcpy(value, random & 1 && pod_length > 20 ? pod + pod_length - 20 : pod, sizeof(value) - 68);
		names_workload(&view);
		cr_assert_eq(view.workload_name.length > 0, pod_length > 0);
		cr_assert_eq(view.workload_kind.length > 0, pod_length > 0);
	}
}

Test(names_workload, classes_by_cgroup)
{
	static const struct {
		const char *cgroup;
		enum event_qos qos;
	} paths[] = {
		{"/kubepods/pod1-2-3/abc", EVENT_GUARANTEED},
		{"/kubepods/burstable/pod1-2-3/abc", EVENT_BURSTABLE},
		{"/kubepods/besteffort/pod1-2-3/abc", EVENT_BEST_EFFORT},
		{"/kubelet/kubepods/besteffort/pod1-2-3", EVENT_BEST_EFFORT},
		{"kubepods-burstable-pod1_2_3.slice:cri-containerd:abc", EVENT_BURSTABLE},
		{"kubepods-besteffort-pod1_2_3.slice:crio:abc", EVENT_BEST_EFFORT},
		{"kubepods-pod1_2_3.slice:cri-containerd:abc", EVENT_GUARANTEED},
		{"kubelet-kubepods-burstable-pod1_2_3.slice:cri-containerd:abc", EVENT_BURSTABLE},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-a.scope",
			EVENT_BURSTABLE},
		{"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1_2.slice/crio-a.scope", EVENT_GUARANTEED},
		{"/lab-7/kubepods/besteffort/pod1-2-3", EVENT_BEST_EFFORT},
		{"kubepods-podabcdef0123456789.slice:crio:abc", EVENT_GUARANTEED},
		{"", EVENT_QOS_UNKNOWN},
		{"/", EVENT_QOS_UNKNOWN},
		{"/kubepods", EVENT_QOS_UNKNOWN},
		{"/kubepods/burstable", EVENT_QOS_UNKNOWN},
		{"/kubepods/burstable/pod", EVENT_QOS_UNKNOWN},
		{"/k8s.io/abc", EVENT_QOS_UNKNOWN},
		{"/burstable/pod1", EVENT_QOS_UNKNOWN},
		{"/mykubepods/burstable/pod1", EVENT_QOS_UNKNOWN},
		{"pod_123-456.slice:crio:abc", EVENT_QOS_UNKNOWN},
		{"system.slice:docker:abc", EVENT_QOS_UNKNOWN},
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		cr_expect_eq(names_qos(text_of(paths[i].cgroup)), paths[i].qos, "%s: %d", paths[i].cgroup,
			names_qos(text_of(paths[i].cgroup)));
}

Test(names_workload, annotations_are_chosen_by_key)
{
	const struct event_label all[] = {{TEXT_LITERAL("kubernetes.io/config.source"), TEXT_LITERAL("api")},
		{TEXT_LITERAL("kubernetes.io/config.seen"), TEXT_LITERAL("now")},
		{TEXT_LITERAL("owner"), TEXT_LITERAL("us")}, {TEXT_LITERAL("*"), TEXT_LITERAL("star")}};
	const char *const one[] = {"kubernetes.io/config.source"}, *const front[] = {"kubernetes.io/*", "owner"},
			  *const every[] = {"*", "owner"}, *const none[] = {""};
	struct event_label chosen[4];

	cr_assert_eq(names_choose(all, 4, one, 1, chosen, 4), 1);
	EXPECT(chosen[0].value, "api");
	cr_assert_eq(names_choose(all, 4, front, 2, chosen, 4), 3);
	EXPECT(chosen[2].value, "us");
	cr_assert_eq(names_choose(all, 4, every, 2, chosen, 4), 4);
	cr_assert_eq(names_choose(all, 4, every, 2, chosen, 2), 2);
	cr_assert_eq(names_choose(all, 4, none, 1, chosen, 4), 0);
	cr_assert_eq(names_choose(all, 4, NULL, 0, chosen, 4), 0);
}
