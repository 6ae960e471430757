/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/hierarchy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CONTROLLERS = 256, KERNEL_ROOT = 1 }; /* the number of a hierarchy's root: kernfs gives it out first */

/* How good a mount is to know the machine by. */
enum rank { RANK_NONE = 0, RANK_OWN = 1, RANK_SHOWN = 2, RANK_HOST = 3 };

/* A hierarchy, by /proc/PID/cgroup: "8:pids:/path". */
struct hierarchy {
	bool there;
	char controllers[CONTROLLERS];
	char path[PATH_MAX]; /* of the sensor's own cgroup, from the root of its cgroup namespace */
	enum rank rank;      /* of the mount that was taken */
};

static void read_hierarchies(struct hierarchy hierarchies[HIERARCHY_MAX], FILE *file)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, file) > 0) {
		char *end, *controllers, *own;
		unsigned long number = strtoul(line, &end, 10);

		if (*end != ':' || number >= HIERARCHY_MAX)
			continue;
		controllers = end + 1;
		own = strchr(controllers, ':');
		if (!own)
			continue;
		*own++ = '\0';
		own[strcspn(own, "\n")] = '\0';
		hierarchies[number].there = true;
		snprintf(hierarchies[number].controllers, CONTROLLERS, "%s", controllers);
		snprintf(hierarchies[number].path, PATH_MAX, "%s", own);
	}
	free(line);
}

/* Is `word` one of a list with commas? */
static bool lists(const char *list, const char *word, size_t length)
{
	for (; *list; list += strcspn(list, ","), list += *list == ',')
		if (strcspn(list, ",") == length && memcmp(list, word, length) == 0)
			return true;
	return false;
}

/* The hierarchy that a mount of v1 with these options shows: that of a controller, or "name=…". -1: none. */
static int number_of(const struct hierarchy hierarchies[HIERARCHY_MAX], const char *options)
{
	for (int i = 1; i < HIERARCHY_MAX; i++)
		if (hierarchies[i].there && hierarchies[i].controllers[0] &&
			lists(options, hierarchies[i].controllers, strcspn(hierarchies[i].controllers, ",")))
			return i;
	return -1;
}

/* One line of mountinfo (proc(5)): what is mounted where. False if it is none of cgroups. */
static bool parse_mount(char *line, char **root, char **point, char **options, bool *v2)
{
	char *fields[10] = {NULL}, *rest, *dash = strstr(line, " - ");
	char *type, *source;

	if (!dash)
		return false;
	*dash = '\0';
	for (int i = 0; i < 5; i++)
		fields[i] = strtok_r(i ? NULL : line, " ", &rest);
	/* The source may be empty. */
	rest = dash + 3;
	type = strsep(&rest, " ");
	source = strsep(&rest, " ");
	*options = strsep(&rest, " \n");
	*root = fields[3];
	*point = fields[4];
	if (!fields[4] || !type || !source || !*options)
		return false;
	*v2 = strcmp(type, "cgroup2") == 0;
	return *v2 || strcmp(type, "cgroup") == 0;
}

/* mountinfo writes blanks and backslashes as \040 and the like. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' && text[2] <= '7' &&
			text[3] >= '0' && text[3] <= '7') {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

static bool is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return length > 0 && strncmp(path, directory, length) == 0 && path[length] == '/';
}

/* Takes the mount if it is better than the one before. */
static void take_mount(struct hierarchies *found, struct hierarchy *hierarchy, int number, const char *root,
	const char *point, const char *host_root)
{
	struct stat status;
	enum rank rank = RANK_SHOWN;

	if (stat(point, &status) < 0)
		return;
	if (is_below(point, host_root))
		rank = RANK_HOST;
	else if (status.st_ino != KERNEL_ROOT && strcmp(root, hierarchy->path) == 0)
		rank = RANK_OWN;
	if (rank <= hierarchy->rank)
		return;
	hierarchy->rank = rank;
	found->roots[number] = status.st_ino == KERNEL_ROOT || rank == RANK_OWN ? 0 : status.st_ino;
	if (number == 0)
		snprintf(found->v2, sizeof(found->v2), "%s", point);
}

static void read_mounts(
	struct hierarchies *found, struct hierarchy hierarchies[HIERARCHY_MAX], FILE *file, const char *host_root)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, file) > 0) {
		char *root, *point, *options;
		bool v2;
		int number;

		if (!parse_mount(line, &root, &point, &options, &v2))
			continue;
		number = v2 ? 0 : number_of(hierarchies, options);
		if (number < 0)
			continue;
		found->v1 |= !v2 && (lists(options, "pids", 4) || lists(options, "memory", 6));
		unescape(root);
		unescape(point);
		take_mount(found, &hierarchies[number], number, root, point, host_root ? host_root : "");
	}
	free(line);
}

int hierarchy_read(
	struct hierarchies *found, FILE *cgroup, FILE *mountinfo, const char *host_root, char *why, size_t why_size)
{
	struct hierarchy *hierarchies = calloc(HIERARCHY_MAX, sizeof(*hierarchies));
	enum rank rank;

	memset(found, 0, sizeof(*found));
	if (!hierarchies) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	read_hierarchies(hierarchies, cgroup);
	read_mounts(found, hierarchies, mountinfo, host_root);
	rank = hierarchies[0].rank;
	free(hierarchies);
	if (rank == RANK_NONE)
		snprintf(why, why_size,
			"no cgroup v2 is mounted, and the network's hooks hang there: "
			"mount -t cgroup2 none /sys/fs/cgroup/unified");
	else if (rank == RANK_OWN)
		snprintf(why, why_size,
			"cgroup v2 at %s is this container's own part, and the network's hooks would see no other: "
			"mount the host's /sys/fs/cgroup below host.root",
			found->v2);
	return rank == RANK_NONE || rank == RANK_OWN ? -ENOENT : 0;
}

static FILE *open_file(const char *proc, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", proc, name);
	return fopen(path, "re");
}

int hierarchy_find(struct hierarchies *found, const char *proc, const char *host_root, char *why, size_t why_size)
{
	FILE *cgroup = open_file(proc, "cgroup"), *mountinfo = cgroup ? open_file(proc, "mountinfo") : NULL;
	int error = mountinfo ? 0 : -errno;

	if (error)
		snprintf(why, why_size, "cannot read the cgroups of this machine in %s: %s", proc, strerror(-error));
	else
		error = hierarchy_read(found, cgroup, mountinfo, host_root, why, why_size);
	if (cgroup)
		fclose(cgroup);
	if (mountinfo)
		fclose(mountinfo);
	return error;
}
