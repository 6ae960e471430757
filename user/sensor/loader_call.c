/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_call.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WITH(member) (offsetof(struct request, member) + sizeof(((struct request *)0)->member))
enum { HEAD = offsetof(struct request, load) };

size_t request_size(uint32_t kind)
{
	static const size_t sizes[REQUEST_KINDS_END] = {
		[REQUEST_LOAD] = WITH(load),
		[REQUEST_PREFIX] = WITH(prefix),
		[REQUEST_PIN] = WITH(pin),
		[REQUEST_ATTACH] = HEAD,
		[REQUEST_HOOKS] = HEAD,
		[REQUEST_PROCESSES] = HEAD,
		[REQUEST_COUNTERS] = HEAD,
		[REQUEST_LEFT_OUT] = HEAD,
		[REQUEST_MISSED] = HEAD,
		[REQUEST_RUNS] = HEAD,
		[REQUEST_CONTAINER] = WITH(container),
		[REQUEST_WANT] = WITH(calls),
		[REQUEST_SWEEP] = HEAD,
		[REQUEST_TRUE] = HEAD,
		[REQUEST_GONE] = HEAD,
		[REQUEST_CANARY_START] = HEAD,
		[REQUEST_CANARY_LANDED] = HEAD,
		[REQUEST_CANARY_END] = HEAD,
		[REQUEST_DETACH] = HEAD,
		[REQUEST_UNPIN] = HEAD,
		[REQUEST_FORMERS] = HEAD,
		[REQUEST_FORMER_NEXT] = HEAD,
		[REQUEST_FORMER_COUNTED] = WITH(lanes),
		[REQUEST_FORMER_REST] = WITH(repeats_at),
		[REQUEST_FORMER_DROP_RINGS] = HEAD,
		[REQUEST_FORMER_DROP] = HEAD,
		[REQUEST_FORMER_CLOSE] = HEAD,
	};

	return kind < REQUEST_KINDS_END ? sizes[kind] : 0;
}

static const char *check_calls(uint64_t calls)
{
	return calls & ~KERNEL_WANT_DATA & ~0ull << KERNEL_CALLS_END ? "it asks for calls that there are not" : NULL;
}

static const char *check_prefixes(const struct request *request)
{
	if (request->number > REQUEST_PREFIXES)
		return "it has more prefixes than fit";
	for (uint32_t i = 0; i < request->number; i++)
		if (request->prefix.prefixes[i].bits > 8 * KERNEL_PREFIX_MAX)
			return "a prefix is longer than its room";
	return NULL;
}

static const char *check_name(const char name[PIN_NAME_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (strnlen(name, PIN_NAME_SIZE) != PIN_NAME_SIZE - 1 || strspn(name, digits) != PIN_NAME_SIZE - 1)
		return "the name is no epoch";
	return NULL;
}

static const char *check_number(const struct request *request)
{
	uint32_t end = 1; /* most have none: it is 0 */

	switch (request->kind) {
	case REQUEST_LOAD: end = REQUEST_PREFIXES_MAX + 1; break;
	case REQUEST_PREFIX: end = REQUEST_PREFIXES + 1; break;
	case REQUEST_UNPIN:
	case REQUEST_FORMERS: end = 2; break;
	case REQUEST_FORMER_COUNTED:
	case REQUEST_FORMER_REST:
	case REQUEST_FORMER_DROP_RINGS:
	case REQUEST_FORMER_DROP:
	case REQUEST_FORMER_CLOSE: end = FORMER_HANDLES; break;
	default: break;
	}
	return request->number < end ? NULL : "its number is out of bounds";
}

const char *request_check(const struct request *request, size_t length)
{
	const char *wrong;

	if (length < HEAD || request_size(request->kind) == 0)
		return "there is no such request";
	if (length != request_size(request->kind))
		return "it has another size";
	wrong = check_number(request);
	if (wrong)
		return wrong;
	switch (request->kind) {
	case REQUEST_LOAD: return check_calls(request->load.calls);
	case REQUEST_WANT: return check_calls(request->calls);
	case REQUEST_PREFIX: return check_prefixes(request);
	case REQUEST_PIN: return check_name(request->pin.name);
	case REQUEST_FORMER_COUNTED:
		return request->lanes == 1 || request->lanes == KERNEL_LANES ? NULL : "no life has so many lanes";
	default: return NULL;
	}
}

/* --- messages -------------------------------------------------------------------------------------------------------- */

static int wait_for(int socket, short events, int wait_ms)
{
	struct pollfd fd = {.fd = socket, .events = events};
	int result;

	do
		result = poll(&fd, 1, wait_ms);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result == 0 ? -ETIMEDOUT : 0;
}

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(REPLY_FDS * sizeof(int))];
};

int call_send(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count, int wait_ms)
{
	union control control = {.bytes = {0}};
	struct iovec vector = {(void *)bytes, size};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	ssize_t sent;
	int error;

	if (fd_count > REPLY_FDS)
		return -EINVAL;
	if (fd_count > 0) {
		struct cmsghdr *header;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
	}
	do {
		error = wait_for(socket, POLLOUT, wait_ms);
		if (error)
			return error;
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && (errno == EINTR || errno == EAGAIN));
	if (sent >= 0)
		return 0;
	return errno == ECONNRESET ? -EPIPE : -errno;
}

static void take_fds(struct msghdr *message, int *fds, size_t *fd_count)
{
	size_t room = *fd_count, count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t length = header->cmsg_len - CMSG_LEN(0);
		int fd;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(fd) <= length; at += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
			if (count < room)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	*fd_count = count;
}

ssize_t call_receive(int socket, void *bytes, size_t size, int *fds, size_t *fd_count, int wait_ms)
{
	union control control = {.bytes = {0}};
	struct iovec vector = {bytes, size};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	ssize_t length;
	int error;

	/* Without room for them the kernel itself closes descriptors that come. */
	if (*fd_count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	do {
		error = wait_for(socket, POLLIN, wait_ms);
		if (error) {
			*fd_count = 0;
			return error;
		}
		length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (length < 0 && (errno == EINTR || errno == EAGAIN));
	if (length < 0)
		length = errno == ECONNRESET ? -EPIPE : -errno;
	if (length < 0)
		*fd_count = 0;
	else if (*fd_count > 0)
		take_fds(&message, fds, fd_count);
	if (length > 0 && message.msg_flags & MSG_TRUNC)
		length = -EMSGSIZE;
	return length == 0 ? -EPIPE : length;
}
