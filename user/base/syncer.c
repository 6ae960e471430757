/* SPDX-License-Identifier: Apache-2.0 */
#include "base/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct syncer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int fd;
	/* Under the lock. */
	bool started, ended, closing;
	struct sync_job job;
	int result;
};

static int do_job(const struct sync_job *job)
{
	int result = 0;

	for (size_t i = 0; i < job->count; i++)
		if (fdatasync(job->files[i]) < 0 && !result)
			result = -errno;
	if (job->directory >= 0 && fsync(job->directory) < 0 && !result)
		result = -errno;
	return result;
}

static void *run(void *context)
{
	struct syncer *syncer = context;
	uint64_t one = 1;

	pthread_mutex_lock(&syncer->lock);
	for (;;) {
		struct sync_job job;
		int result;

		while (!syncer->closing && (!syncer->started || syncer->ended))
			pthread_cond_wait(&syncer->changed, &syncer->lock);
		if (!syncer->started || syncer->ended)
			break;
		job = syncer->job;
		pthread_mutex_unlock(&syncer->lock);
		result = do_job(&job);
		pthread_mutex_lock(&syncer->lock);
		syncer->result = result;
		syncer->ended = true;
		(void)!write(syncer->fd, &one, sizeof(one));
		pthread_cond_broadcast(&syncer->changed);
	}
	pthread_mutex_unlock(&syncer->lock);
	return NULL;
}

int syncer_open(struct syncer **out)
{
	struct syncer *syncer = calloc(1, sizeof(*syncer));
	sigset_t all, before;
	int error;

	if (!syncer)
		return -ENOMEM;
	syncer->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (syncer->fd < 0) {
		error = -errno;
		free(syncer);
		return error;
	}
	pthread_mutex_init(&syncer->lock, NULL);
	pthread_cond_init(&syncer->changed, NULL);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = -pthread_create(&syncer->thread, NULL, run, syncer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		close(syncer->fd);
		free(syncer);
		return error;
	}
	*out = syncer;
	return 0;
}

void syncer_start(struct syncer *syncer, const struct sync_job *job)
{
	pthread_mutex_lock(&syncer->lock);
	syncer->job = *job;
	syncer->started = true;
	pthread_cond_broadcast(&syncer->changed);
	pthread_mutex_unlock(&syncer->lock);
}

int syncer_fd(const struct syncer *syncer)
{
	return syncer->fd;
}

bool syncer_ended(struct syncer *syncer)
{
	bool ended;

	pthread_mutex_lock(&syncer->lock);
	ended = syncer->ended;
	pthread_mutex_unlock(&syncer->lock);
	return ended;
}

int syncer_finish(struct syncer *syncer)
{
	uint64_t calls;
	int result;

	pthread_mutex_lock(&syncer->lock);
	while (syncer->started && !syncer->ended)
		pthread_cond_wait(&syncer->changed, &syncer->lock);
	syncer->started = syncer->ended = false;
	result = syncer->result;
	(void)!read(syncer->fd, &calls, sizeof(calls));
	pthread_mutex_unlock(&syncer->lock);
	return result;
}

void syncer_close(struct syncer *syncer)
{
	if (!syncer)
		return;
	pthread_mutex_lock(&syncer->lock);
	syncer->closing = true;
	pthread_cond_broadcast(&syncer->changed);
	pthread_mutex_unlock(&syncer->lock);
	pthread_join(syncer->thread, NULL);
	close(syncer->fd);
	pthread_cond_destroy(&syncer->changed);
	pthread_mutex_destroy(&syncer->lock);
	free(syncer);
}
