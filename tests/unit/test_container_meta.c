/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "sensor/container_meta.h"

static const struct event_mount mounts[] = {
	{TEXT_STATIC("/host"), TEXT_STATIC("/h"), TEXT_STATIC("bind"), TEXT_STATIC("rbind,ro")},
	{TEXT_STATIC("proc"), TEXT_STATIC("/proc"), TEXT_STATIC("proc"), {NULL, 0}},
};
static const struct event_spec spec = {.args = TEXT_STATIC("sh\0-c\0x"),
	.uid = 1000,
	.gid = 1001,
	.privileged = true,
	.capabilities = 1ull << 40,
	.host_namespaces = EVENT_NAMESPACE_PID,
	.mounts = mounts,
	.mount_count = 2};

static struct event_container rich(void)
{
	static const struct event_label labels[] = {
		{TEXT_STATIC("app"), TEXT_STATIC("web")}, {TEXT_STATIC("x"), TEXT_STATIC("")}};
	static const struct event_label annotations[] = {{TEXT_STATIC("owner"), TEXT_STATIC("team-a")}};
	static const struct text ips[] = {TEXT_STATIC("10.0.0.1"), TEXT_STATIC("fd00::1")};

	return (struct event_container){.id = {1, 2},
		.name = TEXT_LITERAL("main"),
		.image_name = TEXT_LITERAL("web"),
		.image_tag = TEXT_LITERAL("1"),
		.image_digest = TEXT_LITERAL("sha256:0"),
		.pod_name = TEXT_LITERAL("p"),
		.pod_namespace = TEXT_LITERAL("n"),
		.pod_uid = TEXT_LITERAL("u"),
		.pod_ips = ips,
		.pod_ip_count = 2,
		.labels = labels,
		.label_count = 2,
		.annotations = annotations,
		.annotation_count = 1,
		.sandbox_id = TEXT_LITERAL("s"),
		.runtime = TEXT_LITERAL("containerd"),
		.workload_kind = TEXT_LITERAL("deployment"),
		.workload_name = TEXT_LITERAL("web"),
		.attempt = 3,
		.qos = EVENT_BURSTABLE,
		.source = EVENT_SOURCE_CRI,
		.spec = &spec,
		.exited = true,
		.exit_code = 137,
		.exit_reason = TEXT_LITERAL("OOMKilled")};
}

Test(container_meta, names_are_copied_whole)
{
	struct event_container view = rich();
	struct container_meta *meta = container_meta_make(&view, CONTAINER_PARTIAL), *again;
	const struct event_container *copy = container_meta_view(meta);

	cr_assert_eq(container_meta_standing(meta), CONTAINER_PARTIAL);
	cr_assert(text_equal(copy->pod_uid, TEXT_LITERAL("u")));
	cr_assert_neq(copy->labels, view.labels);
	cr_assert_neq(copy->name.data, view.name.data);
	cr_assert(text_equal(copy->labels[0].value, TEXT_LITERAL("web")));
	cr_assert(text_equal(copy->pod_ips[1], TEXT_LITERAL("fd00::1")));
	cr_assert_eq(copy->attempt, 3);
	cr_assert_neq(copy->annotations, view.annotations);
	cr_assert(text_equal(copy->annotations[0].value, TEXT_LITERAL("team-a")));
	cr_assert(text_equal(copy->workload_name, TEXT_LITERAL("web")));
	cr_assert_neq(copy->exit_reason.data, view.exit_reason.data);
	cr_assert(copy->exited && copy->exit_code == 137 && copy->qos == EVENT_BURSTABLE);
	cr_assert_neq(copy->spec, &spec);
	cr_assert_neq(copy->spec->mounts, mounts);
	cr_assert(text_equal(copy->spec->args, spec.args) && copy->spec->gid == 1001 && copy->spec->privileged);
	cr_assert_neq(copy->spec->mounts[0].options.data, mounts[0].options.data);
	cr_assert(text_equal(copy->spec->mounts[0].options, TEXT_LITERAL("rbind,ro")));
	cr_assert(text_equal(copy->spec->mounts[1].destination, TEXT_LITERAL("/proc")));
	again = container_meta_make(copy, CONTAINER_PARTIAL);
	container_meta_release(meta);
	meta = container_meta_make(&view, CONTAINER_PARTIAL);
	cr_assert(container_meta_equal(meta, again));
	container_meta_release(meta);
	container_meta_release(again);
	container_meta_release(NULL);
	cr_assert_null(container_meta_hold(NULL));
}

Test(container_meta, names_that_differ_anywhere_are_not_equal)
{
	struct event_container view = rich();
	struct container_meta *meta = container_meta_make(&view, CONTAINER_COMPLETE);
	const struct event_label other_labels[] = {
		{TEXT_LITERAL("app"), TEXT_LITERAL("web")}, {TEXT_LITERAL("x"), TEXT_LITERAL("y")}};
	const struct text other_ips[] = {TEXT_LITERAL("10.0.0.1"), TEXT_LITERAL("fd00::2")};

	for (int what = 0; what < 24; what++) {
		struct event_container changed = view;
		struct container_meta *other;

		switch (what) {
		case 0: changed.id[31] = 1; break;
		case 1: changed.name = TEXT_LITERAL("Main"); break;
		case 2: changed.image_name.length--; break;
		case 3: changed.image_tag = (struct text){0}; break;
		case 4: changed.image_digest = TEXT_LITERAL("sha256:1"); break;
		case 5: changed.pod_name = TEXT_LITERAL("q"); break;
		case 6: changed.labels = other_labels; break;
		case 7: changed.label_count = 1; break;
		case 8: changed.pod_ips = other_ips; break;
		case 9: changed.pod_ip_count = 0; break;
		case 10: changed.sandbox = true; break;
		case 11: changed.attempt++; break;
		case 12: changed.annotations = other_labels; break;
		case 13: changed.annotation_count = 0; break;
		case 14: changed.runtime = TEXT_LITERAL("cri-o"); break;
		case 15: changed.workload_kind = TEXT_LITERAL("job"); break;
		case 16: changed.workload_name = TEXT_LITERAL("w"); break;
		case 17: changed.qos = EVENT_GUARANTEED; break;
		case 18: changed.source = EVENT_SOURCE_BUNDLE; break;
		case 19: changed.exited = false; break;
		case 20: changed.exit_code = 0; break;
		case 21: changed.exit_reason = TEXT_LITERAL("Error"); break;
		case 22: changed.spec = NULL; break;
		default: changed.sandbox_id = TEXT_LITERAL("t"); break;
		}
		other = container_meta_make(&changed, CONTAINER_COMPLETE);
		cr_assert_not(container_meta_equal(meta, other), "change %d", what);
		container_meta_release(other);
	}
	container_meta_release(meta);
}

Test(container_meta, specs_that_differ_anywhere_are_not_equal)
{
	const struct event_mount other_mounts[] = {mounts[0], {.destination = TEXT_LITERAL("/proc")}};
	struct event_container view = rich();
	struct container_meta *meta = container_meta_make(&view, CONTAINER_COMPLETE);

	for (int what = 0; what < 10; what++) {
		struct event_spec changed = spec;
		struct container_meta *other;

		switch (what) {
		case 0: changed.args.length--; break;
		case 1: changed.uid++; break;
		case 2: changed.gid++; break;
		case 3: changed.privileged = false; break;
		case 4: changed.read_only_root = true; break;
		case 5: changed.capabilities = 1; break;
		case 6: changed.host_namespaces |= EVENT_NAMESPACE_IPC; break;
		case 7: changed.mounts = other_mounts; break;
		case 8: changed.mount_count = 1; break;
		default: changed.mounts_cut = true; break;
		}
		view.spec = &changed;
		other = container_meta_make(&view, CONTAINER_COMPLETE);
		cr_assert_not(container_meta_equal(meta, other), "change %d", what);
		container_meta_release(other);
	}
	container_meta_release(meta);
}

Test(container_meta, mounts_beyond_the_limit_are_cut_and_it_is_said)
{
	struct event_mount many[EVENT_MOUNTS_MAX + 1];
	struct event_spec cut = spec;
	struct event_container view = rich();
	struct container_meta *meta;

	for (size_t i = 0; i < EVENT_MOUNTS_MAX + 1; i++)
		many[i] = mounts[0];
	cut.mounts = many;
	cut.mount_count = EVENT_MOUNTS_MAX + 1;
	view.spec = &cut;
	meta = container_meta_make(&view, CONTAINER_COMPLETE);
	cr_assert_eq(container_meta_view(meta)->spec->mount_count, EVENT_MOUNTS_MAX);
	cr_assert(container_meta_view(meta)->spec->mounts_cut);
	container_meta_release(meta);
}

static void *hold_and_release(void *meta)
{
	for (int i = 0; i < 50000; i++) {
		container_meta_hold(meta);
		container_meta_release(meta);
	}
	container_meta_release(meta);
	return NULL;
}

Test(container_meta, references_are_counted_across_threads)
{
	struct event_container view = rich();
	struct container_meta *meta = container_meta_make(&view, CONTAINER_COMPLETE);
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, hold_and_release, container_meta_hold(meta));
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	cr_assert(text_equal(container_meta_view(meta)->name, TEXT_LITERAL("main")));
	container_meta_release(meta);
}
