/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_list.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/buffer.h"

enum { LIST_READ_BYTES = 128 * 1024 };

/* Gives the whole records at the buffer's start to `callback` and takes them away. Returns how many, or -errno. */
static ssize_t give_listed(struct buffer *bytes, loader_callback *callback, void *context)
{
	ssize_t count = 0;
	size_t at = 0;

	while (bytes->length - at >= sizeof(struct kernel_header)) {
		const struct kernel_header *header = (const void *)(bytes->data + at);
		int result;

		if (header->size < sizeof(*header) || header->size > KERNEL_RECORD_MAX)
			return -EBADMSG;
		if (bytes->length - at < header->size)
			break;
		result = callback(context, header, header->size);
		if (result < 0)
			return result;
		at += header->size;
		count++;
	}
	memmove(bytes->data, bytes->data + at, bytes->length - at);
	bytes->length -= at;
	return count;
}

int loader_iterator(struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	int fd;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0)
		fd = -errno;
	bpf_link__destroy(link);
	return fd;
}

ssize_t loader_list(int fd, loader_callback *callback, void *context)
{
	struct buffer bytes = {0};
	ssize_t count = 0, length;
	int error = 0;

	while (!error) {
		if (!buffer_reserve(&bytes, LIST_READ_BYTES)) {
			error = -ENOMEM;
			break;
		}
		length = read(fd, bytes.data + bytes.length, LIST_READ_BYTES);
		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (length <= 0) {
			error = length < 0 ? -errno : 0;
			break;
		}
		bytes.length += (size_t)length;
		length = give_listed(&bytes, callback, context);
		if (length < 0)
			error = (int)length;
		else
			count += length;
	}
	buffer_free(&bytes);
	return error ? error : count;
}
