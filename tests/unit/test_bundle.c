/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/json_read.h"
#include "sensor/bundle.h"
#include "sensor/bundle_spec.h"

#define A "io.kubernetes.cri."
#define WHOLE                                                                                                          \
	"{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"x\"]},\"annotations\":{"                                   \
	"\"" A "container-name\":\"main\",\"" A "container-type\":\"container\",\"" A "image-name\":\"reg/web:1\","    \
	"\"" A "sandbox-id\":\"abc\",\"" A "sandbox-name\":\"web-1\",\"" A "sandbox-namespace\":\"shop\","             \
	"\"" A "sandbox-uid\":\"u-1\"}}"

#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

static int parse(const char *json, struct bundle *bundle)
{
	return bundle_parse(text_of(json), BUNDLE_CONTAINERD, (struct text){0}, bundle);
}

Test(bundle, the_annotations_of_a_container)
{
	struct bundle bundle;

	cr_assert_eq(parse(WHOLE, &bundle), 0);
	EXPECT(bundle.container_name, "main");
	EXPECT(bundle.image, "reg/web:1");
	EXPECT(bundle.sandbox_id, "abc");
	EXPECT(bundle.pod_name, "web-1");
	EXPECT(bundle.pod_namespace, "shop");
	EXPECT(bundle.pod_uid, "u-1");
	EXPECT(bundle.runtime, "containerd");
	cr_assert_not(bundle.sandbox);
	cr_assert_not(bundle.alone);
	bundle_free(&bundle);
	cr_assert_null(bundle.document);
	bundle_free(&bundle);
}

Test(bundle, the_annotations_of_a_sandbox)
{
	struct bundle bundle;

	cr_assert_eq(parse("{\"annotations\":{\"" A "container-type\":\"sandbox\",\"" A "sandbox-id\":\"abc\",\"" A
			   "podsandbox.image-name\":\"pause:3\"}}",
			     &bundle),
		0);
	cr_assert(bundle.sandbox);
	EXPECT(bundle.image, "pause:3");
	EXPECT(bundle.container_name, "");
	bundle_free(&bundle);
}

Test(bundle, what_is_not_of_kubernetes_has_none)
{
	static const char *const others[] = {"{}", "{\"annotations\":{}}", "{\"annotations\":null}",
		"{\"annotations\":[]}", "{\"annotations\":\"" A "sandbox-id\"}",
		"{\"annotations\":{\"" A "sandbox-id\":\"\"}}", "{\"annotations\":{\"" A "sandbox-id\":7}}",
		"{\"annotations\":{\"" A "sandbox-id\":{\"a\":\"b\"}}}",
		"{\"annotations\":{\"" A "sandbox-id\":null,\"" A "sandbox-name\":\"x\"}}",
		"{\"" A "sandbox-id\":\"abc\"}"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct bundle bundle = {.document = &bundle};

		cr_assert_eq(parse(others[i], &bundle), -ENOENT, "%s", others[i]);
		cr_assert_null(bundle.document);
		cr_assert_null(bundle.pod_name.data, "nothing dangles");
	}
}

Test(bundle, what_is_no_json_object_is_refused)
{
	static const char *const broken[] = {"", " ", "null", "[]", "\"x\"", "7", "{", "}", "{\"a\"", "{\"a\":}",
		"{\"a\":1,}x", "{\"a\":\"\\", "{\"a\":\"\\u12", "{\"a\":tru}", "{\"a\":1} x", "{} {}", "{\"a\":'1'}",
		"{/*x*/}", "\xff\xfe{}"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct bundle bundle = {0};

		cr_assert_eq(parse(broken[i], &bundle), -EBADMSG, "%s", broken[i]);
		cr_assert_null(bundle.document);
	}
}

Test(bundle, every_cut_of_a_whole_one_is_refused)
{
	const char whole[] = WHOLE;

	for (size_t length = 0; length < sizeof(whole) - 1; length++) {
		char *copy = malloc(length + 1);
		struct bundle bundle;

		memcpy(copy, whole, length);
		cr_assert_eq(bundle_parse((struct text){copy, length}, BUNDLE_CONTAINERD, (struct text){0}, &bundle),
			-EBADMSG, "cut at %zu", length);
		free(copy);
	}
}

Test(bundle, space_after_the_object_is_fine)
{
	struct bundle bundle;

	cr_assert_eq(parse(WHOLE " \n\t\r\n", &bundle), 0);
	bundle_free(&bundle);
}

static void expect_nested(int depth, int expected)
{
	char *json = malloc(64 + 2 * (size_t)depth), *to = json;
	struct json_object *object;

	to += sprintf(to, "{\"a\":");
	for (int i = 1; i < depth; i++)
		*to++ = '[';
	for (int i = 1; i < depth; i++)
		*to++ = ']';
	*to++ = '}';
	if (depth == 1)
		to = json + sprintf(json, "{}");
	cr_assert_eq(json_read_object((struct text){json, (size_t)(to - json)}, &object), expected, "depth %d", depth);
	json_object_put(object);
	free(json);
}

Test(bundle, depth_is_bounded)
{
	expect_nested(1, 0);
	expect_nested(JSON_READ_DEPTH_MAX - 1, 0);
	expect_nested(JSON_READ_DEPTH_MAX + 1, -EBADMSG);
	expect_nested(100000, -EBADMSG);
}

Test(bundle, size_is_bounded)
{
	char *json = malloc(JSON_READ_BYTES_MAX + 2);
	struct json_object *object;

	memset(json, ' ', JSON_READ_BYTES_MAX + 2);
	memcpy(json, "{}", 2);
	cr_assert_eq(json_read_object((struct text){json, JSON_READ_BYTES_MAX}, &object), 0);
	json_object_put(object);
	cr_assert_eq(json_read_object((struct text){json, JSON_READ_BYTES_MAX + 1}, &object), -EFBIG);
	cr_assert_null(object);
	free(json);
}

static void expect_shortened(const char *whole, const char *shortened)
{
	struct buffer json = {0};
	struct json_object *object;

	buffer_append(&json, whole, strlen(whole));
	while (json.length <= JSON_READ_BYTES_MAX)
		buffer_append(&json, " ", 1);
	cr_assert_eq(json_read_long((struct text){json.data, json.length}, &object), shortened ? 0 : -EBADMSG);
	if (shortened)
		cr_assert_str_eq(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), shortened);
	json_object_put(object);
	buffer_free(&json);
}

Test(bundle, of_a_long_text_strings_and_arrays_are_cut)
{
	static char whole[JSON_READ_STRING_MAX * 4], cut[sizeof(whole)];
	char *to;

	expect_shortened("{\"a\":[1,{\"b\":[]},\"\\\"x\"]}", "{\"a\":[1,{\"b\":[]},\"\\\"x\"]}");
	expect_shortened("{\"a\":[1,2}", NULL);
	expect_shortened("{\"a\":\"", NULL);
	expect_shortened("]]}{\"a\":1}", NULL);
	/* Neither an escape nor a character is cut in two. */
	snprintf(whole, sizeof(whole), "{\"a\":\"%0*d\\u0041%0*d\",\"b\":\"%0*d\xe2\x82\xac%0*d\"}",
		JSON_READ_STRING_MAX - 3, 0, JSON_READ_STRING_MAX, 0, JSON_READ_STRING_MAX - 2, 0, 99, 0);
	snprintf(cut, sizeof(cut), "{\"a\":\"%0*dA\",\"b\":\"%0*d\xe2\x82\xac\"}", JSON_READ_STRING_MAX - 3, 0,
		JSON_READ_STRING_MAX - 2, 0);
	expect_shortened(whole, cut);
	/* An array, what is in it, and what is behind it. */
	to = whole + sprintf(whole, "{\"a\":[");
	for (int i = 0; i < JSON_READ_ARRAY_MAX + 100; i++)
		to += sprintf(to, i >= JSON_READ_ARRAY_MAX ? "[{},\"]\"]," : "1,");
	sprintf(to - 1, "],\"b\":[2]}");
	to = cut + sprintf(cut, "{\"a\":[");
	for (int i = 0; i < JSON_READ_ARRAY_MAX; i++)
		to += sprintf(to, "1,");
	sprintf(to - 1, "],\"b\":[2]}");
	expect_shortened(whole, cut);
}

/* Who chooses an environment does not choose what is told of the container. */
Test(bundle, a_long_environment_hides_nothing)
{
	static const char head[] = "{\"process\":{\"args\":[\"/bin/x\"],\"env\":[\"A=";
	static const char tail[] =
		"\"]},\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"p\",\"io.kubernetes.cri.container-name\":"
		"\"c\"},\"linux\":{\"namespaces\":[{\"type\":\"pid\"}],\"resources\":{\"devices\":"
		"[{\"allow\":true,\"access\":\"rwm\"}]}}}";
	struct buffer json = {0};
	struct bundle bundle;

	buffer_append(&json, head, sizeof(head) - 1);
	while (json.length < 2 * JSON_READ_BYTES_MAX)
		buffer_append(&json, "\\u003c", 6);
	buffer_append(&json, tail, sizeof(tail) - 1);
	cr_assert_eq(
		bundle_parse((struct text){json.data, json.length}, BUNDLE_CONTAINERD, (struct text){0}, &bundle), 0);
	EXPECT(bundle.container_name, "c");
	cr_assert(bundle.written->view.privileged);
	cr_assert_eq(bundle.written->view.host_namespaces, 31 & ~EVENT_NAMESPACE_PID);
	cr_assert(text_equal(bundle.written->view.args, TEXT_LITERAL("/bin/x\0")));
	bundle_free(&bundle);
	buffer_free(&json);
}

Test(bundle, hostile_strings_stay_what_they_are)
{
	struct bundle bundle;

	cr_assert_eq(parse("{\"annotations\":{\"" A "sandbox-id\":\"x\",\"" A "sandbox-name\":\"a\\u0000b\\u001b[2J\","
			   "\"" A "sandbox-namespace\":\"first\",\"" A "sandbox-namespace\":\"second\"},"
			   "\"annotations\":{\"" A "sandbox-id\":\"y\",\"" A "sandbox-name\":\"n\\u0000m\"}}",
			     &bundle),
		0);
	EXPECT(bundle.sandbox_id, "y");
	cr_assert(text_equal(bundle.pod_name, TEXT_LITERAL("n\0m")), "a NUL does not end a name");
	bundle_free(&bundle);
}

static void write_file(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	if (size)
		cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

/* In another namespace of containerd's there is no pod, and it counts only if Kubernetes' own has nothing. */
static void expect_other_places(const char *state)
{
	static const struct {
		const char *folder, *json, *runtime;
		bool alone;
	} places[] = {
		{"io.containerd.runtime.v2.task/moby", WHOLE, "docker", false},
		{"io.containerd.runtime.v2.task/ci", WHOLE, "containerd", true},
		{"overlay-containers", "{\"annotations\":{\"io.container.manager\":\"libpod\"}}", "podman", true},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *inner = strcmp(places[i].folder, "overlay-containers") == 0 ? "/userdata" : "";
		char command[300], path[300];
		struct bundle bundle;

		snprintf(command, sizeof(command), "mkdir -p %s/%s/abc%s", state, places[i].folder, inner);
		cr_assert_eq(system(command), 0);
		snprintf(path, sizeof(path), "%s/%s/abc%s/config.json", state, places[i].folder, inner);
		write_file(path, places[i].json, 0);
		cr_assert_eq(bundle_read("", state, "abc", &bundle), 0, "%s", path);
		EXPECT(bundle.runtime, places[i].runtime);
		cr_assert_eq(bundle.alone, places[i].alone);
		EXPECT(bundle.pod_name, "");
		EXPECT(bundle.container_name, "");
		bundle_free(&bundle);
		unlink(path);
	}
}

Test(bundle, files_are_read_from_where_containerd_puts_them)
{
	char state[] = "/tmp/taffrail-bundle-XXXXXX", folder[200], path[300], command[300], *longest = malloc(5000);
	struct bundle bundle;

	cr_assert_not_null(mkdtemp(state));
	snprintf(folder, sizeof(folder), "%s/io.containerd.runtime.v2.task/k8s.io/abc", state);
	snprintf(command, sizeof(command), "mkdir -p %s", folder);
	cr_assert_eq(system(command), 0);
	snprintf(path, sizeof(path), "%s/config.json", folder);
	cr_assert_eq(bundle_read("", state, "abc", &bundle), -ENOENT);
	write_file(path, WHOLE, 0);
	cr_assert_eq(bundle_read("", state, "abc", &bundle), 0);
	EXPECT(bundle.pod_name, "web-1");
	bundle_free(&bundle);
	cr_assert_eq(bundle_read(state, "/", "abc", &bundle), 0, "the same, below a root");
	bundle_free(&bundle);
	write_file(path, "", 0);
	cr_assert_eq(bundle_read("", state, "abc", &bundle), -EBADMSG, "an empty file");
	write_file(path, WHOLE, BUNDLE_FILE_MAX + 1);
	cr_assert_eq(bundle_read("", state, "abc", &bundle), -EFBIG);
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(bundle_read("", state, "abc", &bundle), -EINVAL, "a fifo must not block");
	unlink(path);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_assert_eq(bundle_read("", state, "abc", &bundle), -ELOOP);
	memset(longest, 'x', 4999);
	longest[4999] = '\0';
	cr_assert_eq(bundle_read("", longest, "abc", &bundle), -ENAMETOOLONG);
	free(longest);
	unlink(path);
	expect_other_places(state);
	snprintf(command, sizeof(command), "rm -r %s", state);
	cr_assert_eq(system(command), 0);
}
