/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/window.h"

enum {
	SIZE_MIN = 64 << 10, /* bytes under way that are never a queue */
	SIZE_FIRST = 256 << 10,
};
/* A queue before the collector is one of more than this, beside what an acknowledgement takes when nothing waits. */
static const uint64_t queue_ns = 10ull * 1000 * 1000;
/* In which that is looked for: the way may change. */
static const uint64_t usual_window_ns = 10ull * 1000 * 1000 * 1000;

static void publish(struct window *window)
{
	atomic_store(&window->size, window->answered ? window->bytes : UINT64_MAX);
}

void window_start(struct window *window)
{
	window->bytes = SIZE_FIRST;
	publish(window);
}

void window_hand(struct window *window, int64_t bytes)
{
	atomic_fetch_add(&window->handed, (uint64_t)bytes);
}

void window_note(struct window *window, uint64_t last, size_t bytes, uint64_t made_ns)
{
	window->noted += bytes;
	if (window->count == WINDOW_MARKS) {
		window->first = (window->first + 1) % WINDOW_MARKS;
		window->count--;
	}
	window->marks[(window->first + window->count++) % WINDOW_MARKS] =
		(struct window_mark){last, window->noted, bytes, made_ns};
}

void window_answer(struct window *window, bool answers)
{
	window->answered = answers;
	publish(window);
}

bool window_is_behind(const struct window *window, size_t waiting_bytes)
{
	return atomic_load(&window->handed) - atomic_load(&window->acknowledged) + waiting_bytes >
	       atomic_load(&window->size);
}

/* The least of these ten seconds, or of the ten before. */
static uint64_t usual_time(struct window *window, uint64_t took_ns, uint64_t now_ns)
{
	if (window->since_ns == 0 || now_ns - window->since_ns > usual_window_ns) {
		window->usual_ns = window->since_ns ? window->least_ns : took_ns;
		window->least_ns = took_ns;
		window->since_ns = now_ns;
	}
	window->least_ns = took_ns < window->least_ns ? took_ns : window->least_ns;
	window->usual_ns = took_ns < window->usual_ns ? took_ns : window->usual_ns;
	return window->usual_ns;
}

static void judge(struct window *window, const struct window_mark *mark, uint64_t now_ns)
{
	uint64_t took_ns = now_ns - mark->made_ns;

	if (took_ns <= usual_time(window, took_ns, now_ns) + queue_ns) {
		if (atomic_load(&window->handed) - atomic_load(&window->acknowledged) > window->bytes / 2)
			window->bytes += mark->length / 8;
	} else if (now_ns - window->cut_ns > took_ns) {
		window->cut_ns = now_ns;
		window->bytes -= window->bytes / 4;
		if (window->bytes < SIZE_MIN)
			window->bytes = SIZE_MIN;
	}
}

void window_acknowledge(struct window *window, uint64_t sequence, uint64_t now_ns)
{
	while (window->count > 0 && window->marks[window->first].last <= sequence) {
		const struct window_mark *mark = &window->marks[window->first];

		judge(window, mark, now_ns);
		atomic_store(&window->acknowledged, mark->handed);
		window->first = (window->first + 1) % WINDOW_MARKS;
		window->count--;
	}
	publish(window);
}
