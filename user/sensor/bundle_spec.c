/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/bundle_spec.h"

#include <json-c/json.h>
#include <stdlib.h>

#include "base/json_read.h"
#include "event/names.h"

static size_t array_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static void put(struct buffer *strings, struct text text)
{
	if (text.length > 0)
		buffer_append(strings, text.data, text.length);
}

static uint32_t user_number(struct json_object *user, const char *key)
{
	int64_t number = json_read_number(user, key, 0);

	return number >= 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

/* --- the process ----------------------------------------------------------------------------------------------------- */

static void read_args(struct bundle_spec *spec, struct json_object *args)
{
	for (size_t i = 0; i < array_length(args); i++) {
		struct text arg = json_read_element(args, i);

		if (spec->strings.length + arg.length + 1 > BUNDLE_ARGS_MAX)
			break;
		put(&spec->strings, arg);
		buffer_append(&spec->strings, "", 1);
	}
	spec->view.args.length = spec->strings.length;
}

static void read_process(struct bundle_spec *spec, struct json_object *config)
{
	struct json_object *user = json_read_member(config, "process.user");
	struct json_object *bounding = json_read_member(config, "process.capabilities.bounding");

	read_args(spec, json_read_member(config, "process.args"));
	spec->view.uid = user_number(user, "uid");
	spec->view.gid = user_number(user, "gid");
	for (size_t i = 0; i < array_length(bounding); i++)
		spec->view.capabilities |= name_to_capability(json_read_element(bounding, i));
	spec->view.read_only_root = json_read_bool(json_read_member(config, "root"), "readonly");
}

/* --- isolation ------------------------------------------------------------------------------------------------------- */

static void read_namespaces(struct bundle_spec *spec, struct json_object *config)
{
	static const struct {
		const char *type;
		enum event_namespace bit;
	} types[] = {
		{"pid", EVENT_NAMESPACE_PID},
		{"network", EVENT_NAMESPACE_NETWORK},
		{"ipc", EVENT_NAMESPACE_IPC},
		{"uts", EVENT_NAMESPACE_UTS},
		{"mount", EVENT_NAMESPACE_MOUNT},
	};
	struct json_object *namespaces = json_read_member(config, "linux.namespaces");

	/* One that is not listed is not made: the runtime's own, which is the host's. */
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		bool found = false;

		for (size_t j = 0; !found && j < array_length(namespaces); j++)
			found = text_equal(json_read_string(json_object_array_get_idx(namespaces, j), "type"),
				text_of(types[i].type));
		if (!found)
			spec->view.host_namespaces |= types[i].bit;
	}
}

/* Of all devices, as the rules stand at their end: {"allow": true, "access": "rwm"}, of Docker with type "a" and numbers -1. */
static bool allows_all_devices(struct json_object *rules)
{
	bool all = false;

	for (size_t i = 0; i < array_length(rules); i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);
		struct text type = json_read_string(rule, "type"), access = json_read_string(rule, "access");

		if (!json_object_is_type(rule, json_type_object) ||
			(type.length > 0 && !text_equal(type, TEXT_LITERAL("a"))) ||
			json_read_number(rule, "major", -1) != -1 || json_read_number(rule, "minor", -1) != -1)
			continue;
		if (!json_read_bool(rule, "allow"))
			all = false;
		else if (access.length > 0 && memchr(access.data, 'r', access.length) &&
			 memchr(access.data, 'w', access.length) && memchr(access.data, 'm', access.length))
			all = true;
	}
	return all;
}

static bool is_privileged(struct json_object *config)
{
	return array_length(json_read_member(config, "linux.maskedPaths")) == 0 &&
	       !json_read_member(config, "linux.seccomp") &&
	       allows_all_devices(json_read_member(config, "linux.resources.devices"));
}

/* --- mounts ---------------------------------------------------------------------------------------------------------- */

/* Puts text behind the other strings; its place is known when they do not move any more. */
static struct text keep(struct bundle_spec *spec, struct text text)
{
	put(&spec->strings, text);
	return (struct text){NULL, text.length};
}

static struct text keep_options(struct bundle_spec *spec, struct json_object *options)
{
	size_t start = spec->strings.length;

	for (size_t i = 0; i < array_length(options) && spec->strings.length - start <= BUNDLE_MOUNTS_MAX; i++) {
		if (i > 0)
			put(&spec->strings, TEXT_LITERAL(","));
		put(&spec->strings, json_read_element(options, i));
	}
	return (struct text){NULL, spec->strings.length - start};
}

static void read_mounts(struct bundle_spec *spec, struct json_object *mounts)
{
	size_t start = spec->strings.length;

	for (size_t i = 0; i < array_length(mounts); i++) {
		struct json_object *from = json_object_array_get_idx(mounts, i);
		size_t before = spec->strings.length;
		struct event_mount mount;

		if (!json_object_is_type(from, json_type_object))
			continue;
		mount.source = keep(spec, json_read_string(from, "source"));
		mount.destination = keep(spec, json_read_string(from, "destination"));
		mount.type = keep(spec, json_read_string(from, "type"));
		mount.options = keep_options(spec, json_read_member(from, "options"));
		if (spec->view.mount_count == EVENT_MOUNTS_MAX || spec->strings.length - start > BUNDLE_MOUNTS_MAX) {
			spec->strings.length = before;
			spec->view.mounts_cut = true;
			return;
		}
		spec->mounts[spec->view.mount_count++] = mount;
	}
}

/* Now they do not move any more. */
static void place(struct text *text, const char **at)
{
	text->data = *at;
	*at += text->length;
}

static void place_strings(struct bundle_spec *spec)
{
	const char *at = spec->strings.data;

	if (!at)
		return;
	place(&spec->view.args, &at);
	for (size_t i = 0; i < spec->view.mount_count; i++) {
		place(&spec->mounts[i].source, &at);
		place(&spec->mounts[i].destination, &at);
		place(&spec->mounts[i].type, &at);
		place(&spec->mounts[i].options, &at);
	}
}

struct bundle_spec *bundle_spec_read(struct json_object *config)
{
	struct bundle_spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return NULL;
	spec->view.mounts = spec->mounts;
	read_process(spec, config);
	read_namespaces(spec, config);
	spec->view.privileged = is_privileged(config);
	read_mounts(spec, json_read_member(config, "mounts"));
	if (spec->strings.failed) {
		bundle_spec_free(spec);
		return NULL;
	}
	place_strings(spec);
	return spec;
}

void bundle_spec_free(struct bundle_spec *spec)
{
	if (!spec)
		return;
	buffer_free(&spec->strings);
	free(spec);
}
