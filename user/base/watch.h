/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are looked at now and then: are they other ones than before? What a directory has counts, and what stands behind
 * a symbolic link, so that one that is swapped (a ConfigMap, a Secret) is a change like a file that was written.
 */
#ifndef TAFFRAIL_WATCH_H
#define TAFFRAIL_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What tells one state of the files, and of those in directories, from another. One that is not there is a state, too. */
uint64_t watch_look(const char *const *paths, size_t count);

struct watch {
	uint64_t in_use, seen; /* as they were when they were read; at the last look */
};

/* They were read as they are `now`: watch_look from before that. */
void watch_begin(struct watch *watch, uint64_t now);

/* After each look, one a second or so: true where they are to be read. A change must have lasted from one look to the next. */
bool watch_settled(struct watch *watch, uint64_t now);

/* --- a thread that does so --------------------------------------------------------------------------------------------- */

struct watcher_ops {
	uint64_t (*look)(void *context);
	/* They have changed, or watcher_hurry was called: what they say now, for watcher_take; NULL: nothing to hand over. */
	void *(*load)(void *context);
	void (*discard)(void *loaded); /* nobody took it, and there is a newer one, or an end */
	void *context;
};

struct watcher;

/* Starts the thread, which blocks all signals. `now` as watch_begin takes it; `ops` is copied. 0 or -errno. */
int watcher_open(struct watcher **watcher, const struct watcher_ops *ops, uint64_t now);

/* Load again at once, whether anything has changed or not. Safe in a signal handler. */
void watcher_hurry(struct watcher *watcher);

/* What was loaded last and not taken yet, the caller's; or NULL. */
void *watcher_take(struct watcher *watcher);

/* Ends the thread. NULL is allowed. */
void watcher_close(struct watcher *watcher);

#endif
