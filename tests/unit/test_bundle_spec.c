/* SPDX-License-Identifier: Apache-2.0 */
/* What a container was made to be: the specs are of the shape that containerd 1.6 (CRI) and Docker write. */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_read.h"
#include "sensor/bundle_spec.h"
#include "sensor/names.h"

#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

static struct bundle_spec *spec_of(const char *json)
{
	struct json_object *object;
	struct bundle_spec *spec;

	cr_assert_eq(json_read_object(text_of(json), &object), 0, "%s", json);
	spec = bundle_spec_read(object);
	json_object_put(object);
	cr_assert_not_null(spec);
	return spec;
}

static bool is_privileged(const char *linux_json)
{
	char json[1000];
	struct bundle_spec *spec;
	bool privileged;

	snprintf(json, sizeof(json), "{\"linux\":{%s}}", linux_json);
	spec = spec_of(json);
	privileged = spec->view.privileged;
	bundle_spec_free(spec);
	return privileged;
}

Test(bundle_spec, all_that_is_told)
{
	struct bundle_spec *spec = spec_of(
		"{\"process\":{\"user\":{\"uid\":65534,\"gid\":5},\"args\":[\"/bin/sh\",\"\",\"a b\"],"
		"\"capabilities\":{\"bounding\":[\"CAP_NET_RAW\",\"CAP_CHECKPOINT_RESTORE\",\"CAP_NO\",\"net_raw\",7]}}"
		","
		"\"root\":{\"readonly\":true},\"mounts\":["
		"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\"]},"
		"{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/srv/data\",\"options\":[\"rbind\"]},"
		"{\"destination\":\"/sys\"},7],"
		"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\",\"path\":\"/proc/7/ns/"
		"ipc\"},{\"type\":\"mount\"},"
		"{\"type\":\"user\"},7]}}");
	const struct event_spec *view = &spec->view;

	cr_assert_eq(view->uid, 65534);
	cr_assert_eq(view->gid, 5);
	cr_assert(text_equal(view->args, TEXT_LITERAL("/bin/sh\0\0a b\0")));
	cr_assert_eq(view->capabilities, 1ull << 13 | 1ull << 40);
	cr_assert(view->read_only_root);
	cr_assert_not(view->privileged);
	cr_assert_eq(view->host_namespaces, EVENT_NAMESPACE_NETWORK | EVENT_NAMESPACE_UTS);
	cr_assert_eq(view->mount_count, 3);
	EXPECT(view->mounts[0].options, "nosuid,noexec");
	EXPECT(view->mounts[1].source, "/srv/data");
	EXPECT(view->mounts[1].destination, "/data");
	EXPECT(view->mounts[1].type, "bind");
	EXPECT(view->mounts[1].options, "rbind");
	EXPECT(view->mounts[2].destination, "/sys");
	EXPECT(view->mounts[2].source, "");
	cr_assert_not(view->mounts_cut);
	bundle_spec_free(spec);
}

/* A whole one: containerd-sandbox.json is what containerd 1.6.20 wrote for a pod, with the usual directories put into it. */
Test(bundle_spec, of_a_pod_as_containerd_wrote_it)
{
	char *text = malloc(JSON_READ_BYTES_MAX);
	FILE *file = fopen("tests/unit/containerd-sandbox.json", "re");
	struct event_container view;
	struct bundle bundle;

	cr_assert_not_null(file);
	cr_assert_eq(bundle_parse((struct text){text, fread(text, 1, JSON_READ_BYTES_MAX, file)}, BUNDLE_CONTAINERD,
			     (struct text){0}, &bundle),
		0);
	fclose(file);
	free(text);
	names_bundle(&bundle, &view);
	EXPECT(view.name, "POD");
	EXPECT(view.pod_name, "web-7d4b9c6f8-x2x4z");
	EXPECT(view.pod_uid, "610926f3-bef4-4aff-b82d-bff2af9cf426");
	EXPECT(view.runtime, "containerd");
	cr_assert_eq(view.qos, EVENT_BEST_EFFORT);
	cr_assert_eq(view.spec->capabilities, 0xa80425fb, "the default set");
	cr_assert_eq(view.spec->host_namespaces, 0);
	cr_assert_eq(view.spec->mount_count, 8);
	cr_assert(view.spec->read_only_root);
	cr_assert_not(view.spec->privileged);
	EXPECT(view.spec->mounts[7].destination, "/etc/resolv.conf");
	EXPECT(view.spec->mounts[7].options, "rbind,ro");
	bundle_free(&bundle);
}

Test(bundle_spec, privileged_needs_all_three)
{
	static const char all[] = "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,"
				  "\"access\":\"rwm\"}]}";
	static const char docker[] = "\"maskedPaths\":null,\"resources\":{\"devices\":[{\"allow\":true,\"type\":\"a\","
				     "\"major\":-1,\"minor\":-1,\"access\":\"rwm\"}]}";
	static const char *const others[] = {"",
		"\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]},\"seccomp\":{}",
		"\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]},\"maskedPaths\":[\"/proc/kcore\"]",
		"\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"rw\"}]}",
		"\"resources\":{\"devices\":[{\"allow\":true,\"type\":\"c\",\"access\":\"rwm\"}]}",
		"\"resources\":{\"devices\":[{\"allow\":true,\"major\":1,\"minor\":3,\"access\":\"rwm\"}]}",
		"\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"rwm\"},{\"allow\":false}]}",
		"\"resources\":{\"devices\":{\"allow\":true,\"access\":\"rwm\"}}", "\"resources\":[7]"};

	cr_assert(is_privileged(all));
	cr_assert(is_privileged(docker));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_not(is_privileged(others[i]), "%s", others[i]);
}

Test(bundle_spec, what_is_of_another_type_was_not_said)
{
	static const char *const odd[] = {"{}", "{\"mounts\":[{}]}",
		"{\"process\":7,\"root\":[],\"mounts\":{},\"linux\":\"x\"}",
		"{\"process\":{\"user\":[],\"args\":\"x\",\"capabilities\":[]},\"mounts\":[[],null,\"x\"]}",
		"{\"process\":{\"capabilities\":{\"bounding\":{}}},\"root\":{\"readonly\":\"true\"}}",
		"{\"process\":{\"user\":{\"uid\":-1,\"gid\":4294967296},\"args\":[{}]},\"linux\":{\"namespaces\":{}}}"};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct bundle_spec *spec = spec_of(odd[i]);

		cr_assert_eq(spec->view.uid, 0);
		cr_assert_eq(spec->view.gid, 0);
		cr_assert_eq(spec->view.mount_count, i == 1, "a mount that says nothing is one");
		cr_assert_eq(spec->view.capabilities, 0);
		cr_assert_eq(spec->view.host_namespaces, 31, "none is made");
		bundle_spec_free(spec);
	}
}

/* A list of `count` mounts, each with a source of `length` letters. */
static struct bundle_spec *with_mounts(size_t count, size_t length)
{
	char *json = malloc(200 + count * (length + 64)), *to = json;
	struct bundle_spec *spec;

	to += sprintf(to, "{\"mounts\":[");
	for (size_t i = 0; i < count; i++) {
		to += sprintf(to, "%s{\"destination\":\"/%zu\",\"source\":\"", i ? "," : "", i);
		memset(to, 's', length);
		to += length;
		to += sprintf(to, "\"}");
	}
	sprintf(to, "]}");
	spec = spec_of(json);
	free(json);
	return spec;
}

Test(bundle_spec, mounts_are_bounded_in_number_and_bytes)
{
	struct bundle_spec *spec = with_mounts(EVENT_MOUNTS_MAX, 10);

	cr_assert_eq(spec->view.mount_count, EVENT_MOUNTS_MAX);
	cr_assert_not(spec->view.mounts_cut);
	EXPECT(spec->view.mounts[63].destination, "/63");
	bundle_spec_free(spec);
	spec = with_mounts(EVENT_MOUNTS_MAX + 1, 10);
	cr_assert_eq(spec->view.mount_count, EVENT_MOUNTS_MAX);
	cr_assert(spec->view.mounts_cut);
	bundle_spec_free(spec);
	spec = with_mounts(3, 30000);
	cr_assert_eq(spec->view.mount_count, 2);
	cr_assert(spec->view.mounts_cut);
	EXPECT(spec->view.mounts[1].destination, "/1");
	bundle_spec_free(spec);
}

Test(bundle_spec, arguments_are_bounded)
{
	char *json = malloc(3 * BUNDLE_ARGS_MAX), *to = json;
	struct bundle_spec *spec;

	to += sprintf(to, "{\"process\":{\"args\":[\"first\",\"");
	memset(to, 'x', BUNDLE_ARGS_MAX);
	sprintf(to + BUNDLE_ARGS_MAX, "\",\"last\"]}}");
	spec = spec_of(json);
	cr_assert(text_equal(spec->view.args, TEXT_LITERAL("first\0")));
	bundle_spec_free(spec);
	free(json);
}
