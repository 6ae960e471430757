/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_former.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sensor/loader_inside.h"

struct loader_former {
	struct loader *loader;
	uint32_t handle;
	void *ledger;
};

static int ask(const struct loader_former *former, struct request request, struct reply *reply)
{
	request.number = former->handle;
	return loader_ask_plainly(former->loader, &request, reply);
}

static void ask_kind(const struct loader_former *former, enum request_kind kind)
{
	struct reply reply;

	(void)ask(former, (struct request){.kind = kind}, &reply);
}

/* NULL without memory; then nobody has the handle any more. */
static struct loader_former *make(struct loader *loader, uint32_t handle, int ledger)
{
	struct loader_former *former = calloc(1, sizeof(*former));
	void *memory = MAP_FAILED;

	if (!former) {
		ask_kind(&(struct loader_former){.loader = loader, .handle = handle}, REQUEST_FORMER_CLOSE);
		return NULL;
	}
	former->loader = loader;
	former->handle = handle;
	if (ledger >= 0)
		memory = mmap(NULL, PIN_LEDGER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ledger, 0);
	if (memory != MAP_FAILED)
		former->ledger = memory;
	return former;
}

/* One that was found. -ENOENT: there are no more. */
static int next(struct loader *loader, struct loader_found *found)
{
	const struct request request = {.kind = REQUEST_FORMER_NEXT};
	size_t fd_count = 1;
	struct reply reply;
	int ledger = -1, result = loader_ask(loader, &request, &reply, &ledger, &fd_count);

	if (result < 0)
		return result;
	*found = (struct loader_found){.damaged = reply.former.damaged};
	memcpy(found->name, reply.former.name, sizeof(found->name));
	found->name[sizeof(found->name) - 1] = '\0';
	if (!reply.former.held) {
		found->former = make(loader, (uint32_t)result, fd_count > 0 ? ledger : -1);
		found->ledger = found->former ? found->former->ledger : NULL;
	}
	if (fd_count > 0)
		close(ledger);
	return !reply.former.held && !found->former ? -ENOMEM : 0;
}

int loader_formers(struct loader *loader, bool patient, void (*each)(void *context, const struct loader_found *found),
	void *context)
{
	const struct request request = {.kind = REQUEST_FORMERS, .number = patient};
	struct loader_found found;
	struct reply reply;
	int error = loader_ask_plainly(loader, &request, &reply);

	while (!error) {
		error = next(loader, &found);
		if (!error)
			each(context, &found);
	}
	return error == -ENOENT ? 0 : error;
}

int loader_former_counted(struct loader_former *former, uint32_t lanes, uint64_t *count)
{
	struct reply reply;
	int error;

	*count = 0;
	if (lanes != 1 && lanes != KERNEL_LANES)
		return -EINVAL;
	error = ask(former, (struct request){.kind = REQUEST_FORMER_COUNTED, .lanes = lanes}, &reply);
	if (!error)
		*count = reply.number;
	return error;
}

void loader_former_rest(struct loader_former *former, uint32_t repeats_at, struct pins_rest *rest)
{
	struct reply reply;

	*rest = (struct pins_rest){0};
	if (ask(former, (struct request){.kind = REQUEST_FORMER_REST, .repeats_at = repeats_at}, &reply) == 0)
		*rest = reply.rest;
}

void loader_former_drop_rings(struct loader_former *former)
{
	ask_kind(former, REQUEST_FORMER_DROP_RINGS);
}

void loader_former_drop(struct loader_former *former)
{
	ask_kind(former, REQUEST_FORMER_DROP);
}

void loader_former_close(struct loader_former *former)
{
	if (!former)
		return;
	if (former->ledger)
		munmap(former->ledger, PIN_LEDGER_BYTES);
	ask_kind(former, REQUEST_FORMER_CLOSE);
	free(former);
}
