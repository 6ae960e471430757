/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/host.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { WORD_MAX = 256 };

struct host {
	struct event_host view;
	char id[WORD_MAX], name[WORD_MAX], boot_id[WORD_MAX], cluster[WORD_MAX];
};

/* The first word of a one-line file. 0, or -errno. */
static int read_word(char word[WORD_MAX], const char *root, const char *path)
{
	char full[4096];

	if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;

	int fd = open(full, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;

	ssize_t length = read(fd, word, WORD_MAX - 1);
	int error = length < 0 ? -errno : 0;

	close(fd);
	if (error)
		return error;
	for (ssize_t i = 0; i < length; i++)
		if (!isgraph((unsigned char)word[i])) {
			length = i;
			break;
		}
	word[length] = '\0';
	return length > 0 ? 0 : -ENODATA;
}

static void find_id(struct host *host, const char *root)
{
	/* machine-id(5): "uninitialized" until the first boot has drawn one. */
	if (read_word(host->id, root, "/etc/machine-id") == 0 && strcmp(host->id, "uninitialized") != 0)
		return;
	if (read_word(host->id, root, "/sys/class/dmi/id/product_uuid") == 0)
		return;
	memcpy(host->id, host->boot_id, sizeof(host->id));
}

static void find_name(struct host *host, const char *root)
{
	if (root[0] != '\0' && read_word(host->name, root, "/etc/hostname") == 0)
		return;
	if (gethostname(host->name, sizeof(host->name)) < 0 || host->name[0] == '\0')
		snprintf(host->name, sizeof(host->name), "unknown");
	host->name[sizeof(host->name) - 1] = '\0';
}

static void set_view(struct host *host)
{
	host->view.id = text_of(host->id);
	host->view.name = text_of(host->name);
	host->view.boot_id = text_of(host->boot_id);
	host->view.cluster = text_of(host->cluster);
}

int host_open(struct host **out, const char *root, const char *id, const char *name, const char *cluster)
{
	struct host *host = calloc(1, sizeof(*host));
	int error;

	if (!host)
		return -ENOMEM;
	error = read_word(host->boot_id, "", "/proc/sys/kernel/random/boot_id");
	if (error == 0 && getrandom(host->view.epoch, sizeof(host->view.epoch), 0) != (ssize_t)sizeof(host->view.epoch))
		error = -EIO;
	if (error) {
		free(host);
		return error;
	}
	if (id && id[0])
		snprintf(host->id, sizeof(host->id), "%s", id);
	else
		find_id(host, root);
	if (name && name[0])
		snprintf(host->name, sizeof(host->name), "%s", name);
	else
		find_name(host, root);
	snprintf(host->cluster, sizeof(host->cluster), "%s", cluster ? cluster : "");
	set_view(host);
	*out = host;
	return 0;
}

static bool copy_word(char word[WORD_MAX], struct text text)
{
	if (text.length >= WORD_MAX)
		return false;
	memcpy(word, text.data, text.length);
	return true;
}

int host_open_recorded(struct host **out, const struct event_host *recorded)
{
	struct host *host = calloc(1, sizeof(*host));

	if (!host)
		return -ENOMEM;
	if (!copy_word(host->id, recorded->id) || !copy_word(host->name, recorded->name) ||
		!copy_word(host->boot_id, recorded->boot_id) || !copy_word(host->cluster, recorded->cluster)) {
		free(host);
		return -EBADMSG;
	}
	memcpy(host->view.epoch, recorded->epoch, sizeof(host->view.epoch));
	set_view(host);
	*out = host;
	return 0;
}

const struct event_host *host_view(const struct host *host)
{
	return &host->view;
}

void host_close(struct host *host)
{
	free(host);
}
