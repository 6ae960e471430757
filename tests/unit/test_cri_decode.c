/* SPDX-License-Identifier: Apache-2.0 */
/* What a runtime answers, well-formed and hostile; the bytes are made by hand, as any runtime may send them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "sensor/cri.h"

#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

static void put_varint(struct buffer *out, uint64_t value)
{
	do {
		char byte = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));

		buffer_append(out, &byte, 1);
	} while (value >>= 7);
}

static void put_number(struct buffer *out, unsigned int field, uint64_t value)
{
	put_varint(out, field << 3);
	put_varint(out, value);
}

static void put_text(struct buffer *out, unsigned int field, const char *text)
{
	put_varint(out, field << 3 | 2);
	put_varint(out, strlen(text));
	buffer_append(out, text, strlen(text));
}

/* A message, or another buffer's bytes; that one is emptied. */
static void put_message(struct buffer *out, unsigned int field, struct buffer *inner)
{
	put_varint(out, field << 3 | 2);
	put_varint(out, inner->length);
	buffer_append(out, inner->data, inner->length);
	buffer_clear(inner);
}

static void put_pair(struct buffer *out, unsigned int field, const char *key, const char *value)
{
	struct buffer pair = {0};

	put_text(&pair, 1, key);
	put_text(&pair, 2, value);
	put_message(out, field, &pair);
	buffer_free(&pair);
}

static struct buffer out, inner, metadata;

static void put_metadata(const char *name)
{
	put_text(&metadata, 1, name);
	put_text(&metadata, 2, "uid-1");
	put_text(&metadata, 3, "shop");
	put_number(&metadata, 4, 3);
}

/* As containerd 1.6 and CRI-O write them: the one says config…privileged, the other privileged. */
#define INFO                                                                                                           \
	"{\"sandboxID\":\"id-1\",\"pid\":4711,\"config\":{\"linux\":{\"security_context\":{\"privileged\":true}}},"    \
	"\"runtimeSpec\":{\"process\":{\"user\":{\"uid\":5},\"args\":[\"sh\"]},"                                       \
	"\"linux\":{\"cgroupsPath\":\"/kubepods/pod1/c-1\",\"namespaces\":[{\"type\":\"pid\"}],\"seccomp\":{}}}}"

static void put_options(uint64_t network, uint64_t pid, uint64_t ipc)
{
	struct buffer options = {0}, namespaces = {0}, on_linux = {0};

	put_number(&options, 1, network);
	put_number(&options, 2, pid);
	put_number(&options, 3, ipc);
	put_message(&namespaces, 2, &options);
	put_message(&on_linux, 1, &namespaces);
	put_message(&inner, 6, &on_linux);
	buffer_free(&options);
	buffer_free(&namespaces);
	buffer_free(&on_linux);
}

static void make(enum cri_method method)
{
	buffer_clear(&out);
	switch (method) {
	case CRI_VERSION:
		put_text(&out, 1, "0.1.0");
		put_text(&out, 2, "containerd");
		put_text(&out, 3, "1.7");
		put_number(&out, 99, 7);
		break;
	case CRI_STATUS:
		put_pair(&out, 2, "other", "{}");
		put_pair(&out, 2, "config", "{\"stateDir\":\"/run/containerd/io.containerd.grpc.v1.cri\"}");
		break;
	case CRI_LIST_SANDBOXES:
		for (int i = 0; i < 2; i++) {
			put_text(&inner, 1, i ? "id-1" : "id-0");
			put_metadata(i ? "pod-1" : "pod-0");
			put_message(&inner, 2, &metadata);
			put_pair(&inner, 5, "app", "web");
			put_pair(&inner, 5, "empty", "");
			put_message(&out, 1, &inner);
		}
		break;
	case CRI_SANDBOX_STATUS:
		put_text(&inner, 1, "id-1");
		put_metadata("pod-1");
		put_message(&inner, 2, &metadata);
		put_text(&metadata, 1, "10.0.0.1");
		buffer_append(&metadata,
			"\x12\x09\x0a\x07"
			"fd00::1"
			"\x12\x00",
			13);
		put_message(&inner, 5, &metadata);
		put_pair(&inner, 7, "app", "web");
		put_pair(&inner, 8, "kubernetes.io/config.source", "api");
		put_options(2, 1, 2);
		put_message(&out, 1, &inner);
		put_pair(&out, 2, "info",
			"{\"image\":\"pause:3\",\"x\":{\"image\":\"no\"},"
			"\"config\":{\"linux\":{\"cgroup_parent\":\"/kubepods/burstable/pod1\"}},"
			"\"runtimeSpec\":{\"process\":{\"args\":[\"/pause\"]}}}");
		break;
	case CRI_LIST_CONTAINERS:
		put_text(&inner, 1, "c-1");
		put_text(&inner, 2, "id-1");
		put_text(&metadata, 1, "main");
		put_number(&metadata, 2, 5);
		put_message(&inner, 3, &metadata);
		put_text(&metadata, 1, "sha256:1");
		put_message(&inner, 4, &metadata);
		put_text(&inner, 5, "web@sha256:1");
		put_message(&out, 1, &inner);
		break;
	case CRI_CONTAINER_STATUS:
	case CRI_CONTAINER_STATE:
		put_text(&inner, 1, "c-1");
		put_text(&metadata, 1, "main");
		put_message(&inner, 2, &metadata);
		put_number(&inner, 3, 2);
		put_number(&inner, 5, 1000);
		put_number(&inner, 6, 2000);
		put_number(&inner, 7, 137);
		put_text(&metadata, 1, "web:1");
		put_message(&inner, 8, &metadata);
		put_text(&inner, 9, "web@sha256:1");
		put_text(&inner, 10, "OOMKilled");
		put_message(&out, 1, &inner);
		put_pair(&out, 2, "info", INFO);
		break;
	case CRI_METHODS: break;
	}
}

static struct cri_answer answer;

static void decode(enum cri_method method)
{
	make(method);
	cr_assert_eq(cri_decode(method, out.data, out.length, &answer), 0, "method %d", method);
}

Test(cri_decode, each_answer_tells_what_the_sensor_asks_for)
{
	decode(CRI_VERSION);
	EXPECT(answer.runtime_name, "containerd");
	EXPECT(answer.runtime_version, "1.7");
	cri_answer_free(&answer);
	decode(CRI_STATUS);
	EXPECT(answer.state_directory, "/run/containerd");
	cri_answer_free(&answer);
	decode(CRI_LIST_SANDBOXES);
	cr_assert_eq(answer.sandbox_count, 2);
	EXPECT(answer.sandboxes[1].id, "id-1");
	EXPECT(answer.sandboxes[0].name, "pod-0");
	EXPECT(answer.sandboxes[0].namespace, "shop");
	EXPECT(answer.sandboxes[0].uid, "uid-1");
	cr_assert_eq(answer.sandboxes[0].attempt, 3);
	cr_assert_eq(answer.sandboxes[1].label_count, 2);
	EXPECT(answer.sandboxes[1].labels[0].value, "web");
	EXPECT(answer.sandboxes[1].labels[1].key, "empty");
	cri_answer_free(&answer);
	decode(CRI_SANDBOX_STATUS);
	cr_assert_eq(answer.sandbox_count, 1);
	cr_assert_eq(answer.sandboxes[0].ip_count, 2, "an empty address is none");
	EXPECT(answer.sandboxes[0].ips[0], "10.0.0.1");
	EXPECT(answer.sandboxes[0].ips[1], "fd00::1");
	EXPECT(answer.sandboxes[0].image, "pause:3");
	EXPECT(answer.sandboxes[0].annotations[0].value, "api");
	cr_assert_eq(answer.sandboxes[0].annotation_count, 1);
	cr_assert_eq(answer.sandboxes[0].host_namespaces, EVENT_NAMESPACE_NETWORK | EVENT_NAMESPACE_IPC);
	EXPECT(answer.sandboxes[0].cgroup, "/kubepods/burstable/pod1");
	cr_assert(text_equal(answer.sandboxes[0].spec->args, TEXT_LITERAL("/pause\0")));
	cri_answer_free(&answer);
	decode(CRI_LIST_CONTAINERS);
	EXPECT(answer.containers[0].sandbox_id, "id-1");
	EXPECT(answer.containers[0].image, "sha256:1");
	cr_assert_eq(answer.containers[0].attempt, 5);
	cri_answer_free(&answer);
	decode(CRI_CONTAINER_STATUS);
	EXPECT(answer.containers[0].name, "main");
	EXPECT(answer.containers[0].image, "web:1");
	EXPECT(answer.containers[0].image_ref, "web@sha256:1");
	cri_answer_free(&answer);
	cri_answer_free(&answer);
}

Test(cri_decode, a_containers_state_and_what_it_was_made_to_be)
{
	decode(CRI_CONTAINER_STATUS);
	cr_assert_eq(answer.containers[0].state, CRI_CONTAINER_EXITED);
	cr_assert_eq(answer.containers[0].exit_code, 137);
	cr_assert_eq(answer.containers[0].started_ns, 1000);
	cr_assert_eq(answer.containers[0].finished_ns, 2000);
	EXPECT(answer.containers[0].reason, "OOMKilled");
	EXPECT(answer.containers[0].sandbox_id, "id-1");
	EXPECT(answer.containers[0].cgroup, "/kubepods/pod1/c-1");
	cr_assert_eq(answer.containers[0].pid, 4711);
	cr_assert(answer.containers[0].privileged);
	cr_assert(answer.containers[0].spec->privileged, "by the CRI's word, though it has a filter");
	cr_assert_eq(answer.containers[0].spec->uid, 5);
	cr_assert_eq(answer.containers[0].spec->host_namespaces, 31 & ~EVENT_NAMESPACE_PID);
	cri_answer_free(&answer);
	cr_assert_null(answer.written);
	decode(CRI_CONTAINER_STATE);
	cr_assert_null(answer.containers[0].spec, "not asked for");
	cr_assert_eq(answer.containers[0].exit_code, 137);
	cri_answer_free(&answer);
}

Test(cri_decode, info_may_be_anything)
{
	static const char *const infos[] = {"", "{", "[]", "null", "{\"runtimeSpec\":7}",
		"{\"runtimeSpec\":null,\"pid\":\"x\"}",
		"{\"runtimeSpec\":[],\"config\":[],\"sandboxID\":{},\"privileged\":\"true\"}",
		"{\"config\":{\"linux\":{\"security_context\":7}}}"};

	for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++)
		for (enum cri_method method = CRI_SANDBOX_STATUS; method <= CRI_CONTAINER_STATE; method++) {
			if (method == CRI_LIST_CONTAINERS)
				continue;
			buffer_clear(&inner);
			put_text(&inner, 1, "c-1");
			put_text(&metadata, 1, "n");
			put_message(&inner, 2, &metadata);
			buffer_clear(&out);
			put_message(&out, 1, &inner);
			put_pair(&out, 2, "info", infos[i]);
			cr_assert_eq(cri_decode(method, out.data, out.length, &answer), 0, "%s", infos[i]);
			if (method == CRI_SANDBOX_STATUS) {
				cr_assert_null(answer.sandboxes[0].spec);
				cr_assert_eq(answer.sandboxes[0].host_namespaces, 0);
			} else {
				cr_assert_null(answer.containers[0].spec);
				cr_assert_not(answer.containers[0].privileged);
				cr_assert_eq(answer.containers[0].state, CRI_CONTAINER_CREATED);
			}
			cri_answer_free(&answer);
		}
}

Test(cri_decode, a_state_that_the_cri_does_not_know)
{
	for (uint64_t state = 2; state < 6; state++) {
		buffer_clear(&out);
		put_text(&inner, 1, "c-1");
		put_text(&metadata, 1, "main");
		put_message(&inner, 2, &metadata);
		put_number(&inner, 3, state == 5 ? UINT64_MAX : state);
		put_message(&out, 1, &inner);
		cr_assert_eq(cri_decode(CRI_CONTAINER_STATE, out.data, out.length, &answer), 0);
		cr_assert_eq(answer.containers[0].state, state == 2 ? CRI_CONTAINER_EXITED : CRI_CONTAINER_UNKNOWN);
		cri_answer_free(&answer);
	}
}

Test(cri_decode, every_cut_is_refused_or_read_and_never_overrun)
{
	for (enum cri_method method = 0; method < CRI_METHODS; method++) {
		make(method);
		for (size_t length = 0; length < out.length; length++) {
			char *copy = malloc(length ? length : 1);
			int error;

			memcpy(copy, out.data, length);
			error = cri_decode(method, copy, length, &answer);
			cr_assert(error == 0 || error == -EBADMSG, "method %d cut at %zu: %d", method, length, error);
			if (error)
				cr_assert_null(answer.arena, "nothing to free");
			else
				cri_answer_free(&answer);
			free(copy);
		}
	}
}

Test(cri_decode, every_changed_byte_is_refused_or_read)
{
	for (enum cri_method method = 0; method < CRI_METHODS; method++) {
		make(method);
		for (size_t i = 0; i < out.length; i++)
			for (int value = 0; value < 256; value += 5) {
				char saved = out.data[i];

				out.data[i] = (char)value;
				if (cri_decode(method, out.data, out.length, &answer) == 0)
					cri_answer_free(&answer);
				out.data[i] = saved;
			}
	}
}

Test(cri_decode, what_lacks_its_essence_is_refused)
{
	cr_assert_eq(cri_decode(CRI_VERSION, "", 0, &answer), -EBADMSG, "a runtime without a name");
	cr_assert_eq(cri_decode(CRI_SANDBOX_STATUS, "", 0, &answer), -EBADMSG);
	cr_assert_eq(cri_decode(CRI_CONTAINER_STATUS, "", 0, &answer), -EBADMSG);
	cr_assert_eq(cri_decode(CRI_SANDBOX_STATUS, "\x0a\x00", 2, &answer), -EBADMSG, "a sandbox without a name");
	cr_assert_eq(cri_decode(CRI_CONTAINER_STATUS, "\x0a\x00", 2, &answer), -EBADMSG);
	cr_assert_eq(cri_decode(CRI_LIST_SANDBOXES, "", 0, &answer), 0, "no pods is an answer");
	cr_assert_eq(answer.sandbox_count, 0);
	cri_answer_free(&answer);
	cr_assert_eq(cri_decode(CRI_STATUS, "", 0, &answer), 0);
	cr_assert_eq(answer.state_directory.length, 0);
	cri_answer_free(&answer);
}

Test(cri_decode, state_directories_that_are_none)
{
	static const char *const wrong[] = {"", "{}", "[]", "{\"stateDir\":7}", "{\"stateDir\":\"\"}",
		"{\"stateDir\":\"/\"}", "{\"stateDir\":\"/run\"}", "{\"stateDir\":\"run/containerd/x\"}",
		"{\"stateDir\":\"x\"", "{\"stateDir\":\"////\"}"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		buffer_clear(&out);
		put_pair(&out, 2, "config", wrong[i]);
		cr_assert_eq(cri_decode(CRI_STATUS, out.data, out.length, &answer), 0);
		cr_assert(answer.state_directory.length == 0 || wrong[i][14] == '/', "%s: %.*s", wrong[i],
			(int)answer.state_directory.length, answer.state_directory.data);
		cr_assert_neq(answer.state_directory.length, 1);
		cri_answer_free(&answer);
	}
}

/* Two bytes a pod, which cost a hundred times that decoded. */
Test(cri_decode, small_messages_that_grow_are_bounded)
{
	const size_t length = CRI_MESSAGE_MAX;
	char *bomb = malloc(length + 2);

	for (size_t i = 0; i < length + 2; i += 2)
		memcpy(bomb + i, "\x0a\x00", 2);
	cr_assert_eq(cri_decode(CRI_LIST_SANDBOXES, bomb, length, &answer), -ENOMEM);
	cr_assert_null(answer.arena);
	cr_assert_eq(cri_decode(CRI_LIST_CONTAINERS, bomb, length, &answer), -ENOMEM);
	cr_assert_eq(cri_decode(CRI_LIST_SANDBOXES, bomb, length + 2, &answer), -EBADMSG, "longer than any answer");
	cr_assert_eq(cri_decode(CRI_LIST_SANDBOXES, bomb, 20000, &answer), 0);
	cr_assert_eq(answer.sandbox_count, 10000);
	cri_answer_free(&answer);
	free(bomb);
}

/* Labels within a pod, the same way; and one optional message said again and again, which protobuf merges. */
Test(cri_decode, nested_ones_are_bounded_too)
{
	struct buffer pod = {0}, list = {0};

	for (int i = 0; i < 4 << 20; i++)
		buffer_append(&pod, "\x2a\x00", 2);
	put_message(&list, 1, &pod);
	cr_assert_eq(cri_decode(CRI_LIST_SANDBOXES, list.data, list.length, &answer), -ENOMEM);
	buffer_clear(&list);
	for (int i = 0; i < 100000; i++)
		buffer_append(&pod, "\x12\x04\x0a\x02zz", 6);
	put_message(&list, 1, &pod);
	if (cri_decode(CRI_LIST_SANDBOXES, list.data, list.length, &answer) == 0) {
		cr_assert_eq(answer.sandbox_count, 1);
		EXPECT(answer.sandboxes[0].name, "zz");
		cri_answer_free(&answer);
	}
	buffer_free(&pod);
	buffer_free(&list);
}

static void fill_words(char *words, size_t length)
{
	memset(words, 'x', length);
	words[length] = '\0';
}

/* Whoever makes a pod chooses its labels; they travel with each of its events, and are compared once a second. */
Test(cri_decode, labels_are_bounded_and_in_one_order)
{
	static char key[16], words[CRI_LABELS_BYTES + 1];

	for (int i = 3000; i > 0; i--) {
		snprintf(key, sizeof(key), "key-%04d", i);
		put_pair(&inner, 5, key, "v");
	}
	fill_words(words, CRI_LABELS_BYTES);
	put_pair(&inner, 5, "huge", words);
	put_message(&out, 1, &inner);
	cr_assert_eq(cri_decode(CRI_LIST_SANDBOXES, out.data, out.length, &answer), 0);
	cr_assert_eq(answer.sandboxes->label_count, CRI_LABELS_MAX);
	cr_assert(answer.sandboxes->labels_cut);
	EXPECT(answer.sandboxes->labels[0].key, "key-0001");
	EXPECT(answer.sandboxes->labels[CRI_LABELS_MAX - 1].key, "key-1024");
	cri_answer_free(&answer);

	decode(CRI_LIST_SANDBOXES);
	cr_assert_not(answer.sandboxes->labels_cut);
	cri_answer_free(&answer);
}

Test(cri_decode, texts_are_bounded)
{
	static char words[CRI_TEXT_MAX + 2];

	for (size_t length = CRI_TEXT_MAX; length <= CRI_TEXT_MAX + 1; length++) {
		size_t kept = length <= CRI_TEXT_MAX ? length : 0;

		fill_words(words, length);
		buffer_clear(&out);
		put_text(&metadata, 1, words);
		put_message(&inner, 3, &metadata);
		put_text(&inner, 5, words);
		put_message(&out, 1, &inner);
		cr_assert_eq(cri_decode(CRI_LIST_CONTAINERS, out.data, out.length, &answer), 0);
		cr_assert_eq(answer.containers->name.length, kept);
		cr_assert_eq(answer.containers->image_ref.length, kept);
		cri_answer_free(&answer);
	}
}
