/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "sensor/names.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

Test(container_names, image_references_come_apart)
{
	static const struct {
		const char *reference, *name, *tag, *digest;
	} cases[] = {
		{"busybox", "busybox", "", ""},
		{"busybox:1.36", "busybox", "1.36", ""},
		{"docker.io/library/busybox:latest", "docker.io/library/busybox", "latest", ""},
		{"registry.example:5000/shop/web", "registry.example:5000/shop/web", "", ""},
		{"registry.example:5000/shop/web:1.4", "registry.example:5000/shop/web", "1.4", ""},
		{"registry.example:5000/shop/web:1.4@sha256:" HEX, "registry.example:5000/shop/web", "1.4",
			"sha256:" HEX},
		{"web@sha256:" HEX, "web", "", "sha256:" HEX},
		{"[fd00::1]:5000/web:2", "[fd00::1]:5000/web", "2", ""},
		{"[fd00::1]:5000/web", "[fd00::1]:5000/web", "", ""},
		{"sha256:" HEX, "", "", "sha256:" HEX},
		{HEX, "", "", HEX},
		{"", "", "", ""},
		{"@", "", "", ""},
		{":", "", "", ""},
		{"a:", "a", "", ""},
		{"a/", "a/", "", ""},
		{"a@b@c", "a", "", "b@c"},
		{"sha256", "sha256", "", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct event_container view = {.image_name = TEXT_LITERAL("stale"),
			.image_tag = TEXT_LITERAL("stale"),
			.image_digest = TEXT_LITERAL("stale")};

		names_image(text_of(cases[i].reference), &view);
		EXPECT(view.image_name, cases[i].name);
		EXPECT(view.image_tag, cases[i].tag);
		EXPECT(view.image_digest, cases[i].digest);
	}
}

Test(container_names, a_bundles_pause_container_is_called_pod)
{
	struct bundle bundle = {.sandbox = true,
		.pod_name = TEXT_LITERAL("web-1"),
		.pod_namespace = TEXT_LITERAL("shop"),
		.pod_uid = TEXT_LITERAL("u"),
		.sandbox_id = TEXT_LITERAL("s"),
		.image = TEXT_LITERAL("pause:3.8")};
	struct event_container view;

	names_bundle(&bundle, &view);
	EXPECT(view.name, "POD");
	EXPECT(view.pod_name, "web-1");
	EXPECT(view.image_name, "pause");
	EXPECT(view.image_tag, "3.8");
	cr_assert(view.sandbox);
	bundle.sandbox = false;
	bundle.container_name = TEXT_LITERAL("main");
	names_bundle(&bundle, &view);
	EXPECT(view.name, "main");
	cr_assert_not(view.sandbox);
}

Test(container_names, the_images_name_comes_from_who_has_one)
{
	const struct event_container before = {.image_name = TEXT_LITERAL("reg/web"), .image_tag = TEXT_LITERAL("1")};
	struct cri_container container = {.name = TEXT_LITERAL("main"),
		.attempt = 2,
		.image = TEXT_LITERAL("sha256:" HEX),
		.image_ref = TEXT_LITERAL("reg/other@sha256:77")};
	struct event_container view;

	names_container(&container, &before, &view);
	EXPECT(view.name, "main");
	cr_assert_eq(view.attempt, 2);
	EXPECT(view.image_name, "reg/web");
	EXPECT(view.image_tag, "1");
	EXPECT(view.image_digest, "sha256:77");
	names_container(&container, NULL, &view);
	EXPECT(view.image_name, "reg/other");
	EXPECT(view.image_tag, "");
	container.image = TEXT_LITERAL("reg/new:2");
	container.image_ref = TEXT_LITERAL("sha256:" HEX);
	names_container(&container, &before, &view);
	EXPECT(view.image_name, "reg/new");
	EXPECT(view.image_tag, "2");
	EXPECT(view.image_digest, "sha256:" HEX);
	container.image = container.image_ref = (struct text){0};
	names_container(&container, NULL, &view);
	EXPECT(view.image_name, "");
	EXPECT(view.image_digest, "");
}

Test(container_names, a_container_has_its_own_names_and_its_pods)
{
	const struct event_label labels[] = {{TEXT_LITERAL("app"), TEXT_LITERAL("web")}};
	const struct text ips[] = {TEXT_LITERAL("10.0.0.1")};
	const struct cri_sandbox sandbox = {.id = TEXT_LITERAL("s"),
		.name = TEXT_LITERAL("web-1"),
		.namespace = TEXT_LITERAL("shop"),
		.uid = TEXT_LITERAL("u"),
		.labels = labels,
		.label_count = 1,
		.ips = ips,
		.ip_count = 1,
		.cgroup = TEXT_LITERAL("/kubepods/burstable/podu"),
		.attempt = 9};
	const struct event_spec spec = {0};
	const struct event_container own = {.id = {7},
		.name = TEXT_LITERAL("main"),
		.image_name = TEXT_LITERAL("web"),
		.attempt = 2,
		.spec = &spec,
		.exited = true,
		.exit_code = 3,
		.exit_reason = TEXT_LITERAL("Error")};
	struct event_container pod, view;

	names_sandbox(&sandbox, NULL, &pod);
	EXPECT(pod.name, "POD");
	cr_assert(pod.sandbox);
	cr_assert_eq(pod.attempt, 9);
	EXPECT(pod.workload_kind, "Pod");
	cr_assert_eq(pod.source, EVENT_SOURCE_CRI);
	names_merge(&own, &pod, &view);
	EXPECT(view.workload_name, "web-1");
	cr_assert_eq(view.qos, EVENT_BURSTABLE);
	cr_assert_eq(view.spec, &spec);
	cr_assert(view.exited);
	cr_assert_eq(view.exit_code, 3);
	EXPECT(view.exit_reason, "Error");
	cr_assert_eq(view.id[0], 7);
	EXPECT(view.name, "main");
	EXPECT(view.image_name, "web");
	EXPECT(view.pod_name, "web-1");
	EXPECT(view.sandbox_id, "s");
	cr_assert_eq(view.label_count, 1);
	cr_assert_eq(view.pod_ip_count, 1);
	cr_assert_eq(view.attempt, 2);
	cr_assert_not(view.sandbox);
}

Test(container_names, only_who_has_exited_has_an_exit_code)
{
	const struct event_spec known = {.uid = 1}, told = {.uid = 2};
	const struct event_container before = {.spec = &known, .qos = EVENT_GUARANTEED};
	struct cri_container container = {
		.state = CRI_CONTAINER_EXITED, .exit_code = 137, .reason = TEXT_LITERAL("OOMKilled"), .spec = &told};
	struct event_container view;

	names_container(&container, &before, &view);
	cr_assert(view.exited);
	cr_assert_eq(view.exit_code, 137);
	EXPECT(view.exit_reason, "OOMKilled");
	cr_assert_eq(view.spec, &known, "the bundle's own");
	cr_assert_eq(view.qos, EVENT_GUARANTEED);
	container.state = CRI_CONTAINER_RUNNING;
	container.cgroup = TEXT_LITERAL("/kubepods/besteffort/podx/y");
	names_container(&container, NULL, &view);
	cr_assert_not(view.exited);
	cr_assert_eq(view.exit_code, 0);
	EXPECT(view.exit_reason, "");
	cr_assert_eq(view.spec, &told);
	cr_assert_eq(view.qos, EVENT_BEST_EFFORT);
}

Test(container_names, labels_agree_in_any_order_and_only_whole)
{
	const struct event_label one[] = {
		{TEXT_LITERAL("a"), TEXT_LITERAL("1")}, {TEXT_LITERAL("b"), TEXT_LITERAL("2")}};
	const struct event_label turned[] = {
		{TEXT_LITERAL("b"), TEXT_LITERAL("2")}, {TEXT_LITERAL("a"), TEXT_LITERAL("1")}};
	const struct event_label other[] = {
		{TEXT_LITERAL("b"), TEXT_LITERAL("1")}, {TEXT_LITERAL("a"), TEXT_LITERAL("2")}};
	struct event_container view = {.pod_name = TEXT_LITERAL("p"), .labels = one, .label_count = 2};
	struct cri_sandbox sandbox = {.name = TEXT_LITERAL("p"), .labels = turned, .label_count = 2};

	cr_assert(names_agree(&view, &sandbox));
	sandbox.labels = other;
	cr_assert_not(names_agree(&view, &sandbox));
	sandbox.labels = one;
	sandbox.label_count = 1;
	cr_assert_not(names_agree(&view, &sandbox));
	sandbox.label_count = 2;
	sandbox.uid = TEXT_LITERAL("u");
	cr_assert_not(names_agree(&view, &sandbox));
}

Test(container_names, no_more_annotations_are_chosen_than_a_pod_may_have)
{
	static char words[NAMES_CHOSEN_BYTES];
	static const char *const keys[] = {"a*"};
	const struct event_label all[] = {
		{TEXT_LITERAL("a1"), {words, sizeof(words) - 10}},
		{TEXT_LITERAL("a2"), {words, 100}},
		{TEXT_LITERAL("b"), {words, 1}},
		{TEXT_LITERAL("a3"), {words, 6}},
	};
	struct event_label chosen[4];

	cr_assert_eq(names_choose(all, 4, keys, 1, chosen, 4), 2);
	cr_assert(text_equal(chosen[1].key, TEXT_LITERAL("a3")));
	cr_assert_eq(names_choose(all, 4, keys, 1, chosen, 1), 1);
}
