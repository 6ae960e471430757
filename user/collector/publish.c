/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/publish.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/version.h"
#include "collector/access.h"
#include "collector/metrics.h"
#include "collector/output.h"
#include "collector/owners.h"
#include "collector/receive.h"
#include "collector/reread.h"
#include "collector/store.h"
#include "grpc/server.h"
#include "grpc/trust.h"
#include "http/board.h"

enum {
	TURNS_PER_SUM = 15, /* seconds between two sums of all accounts, of which there may be many */
	/*
	 * A disk that failed is tried again by what sensors send. Who is not ready gets no connections where a Service stands before
	 * it, so after a while it is ready until proved otherwise.
	 */
	FAULT_S = 15,
};

struct publish {
	struct publish_options options;
	struct event *turn;
	unsigned turns;
	struct account_totals totals;
	struct buffer page;
};

/* --- writing ---------------------------------------------------------------------------------------------------------- */

static const struct metric_spec *begin(struct buffer *page, enum collector_metric metric)
{
	metric_begin(page, &collector_metrics[metric]);
	return &collector_metrics[metric];
}

static void one(struct buffer *page, enum collector_metric metric, uint64_t number)
{
	metric_one(page, &collector_metrics[metric], number);
}

static void number(struct buffer *page, enum collector_metric metric, double value)
{
	metric_number(page, begin(page, metric), NULL, value);
}

static void with(struct buffer *page, const struct metric_spec *spec, const char *value, uint64_t count)
{
	metric_count(page, spec, (const char *const[]){value}, count);
}

/* --- the rooms ---------------------------------------------------------------------------------------------------------- */

static void put_owners(const struct publish *publish, struct buffer *page)
{
	struct owners_counters counters;

	if (!publish->options.access->owners)
		return;
	owners_counters(publish->options.access->owners, &counters);
	one(page, COLLECTOR_OWNERS, counters.hosts);
	one(page, COLLECTOR_OWNERS_MAX, OWNERS_MAX);
	one(page, COLLECTOR_OWNERS_MOST, counters.most_of_name);
	with(page, begin(page, COLLECTOR_OWNERS_REFUSED), "share", counters.over_share);
	with(page, &collector_metrics[COLLECTOR_OWNERS_REFUSED], "all", counters.over_all);
}

static void put_peers(const struct publish *publish, struct buffer *page, const struct receiver_counters *received)
{
	struct grpc_server_counters counters;
	struct store_counters store;
	const struct metric_spec *spec;

	grpc_server_counters(publish->options.server, &counters);
	one(page, COLLECTOR_SENSORS, receiver_sessions(publish->options.receiver));
	store_counters(publish->options.store, &store);
	one(page, COLLECTOR_EPOCHS, store.epochs + store.epochs_folded);
	one(page, COLLECTOR_EPOCHS_FOLDED, store.epochs_folded);
	put_owners(publish, page);
	one(page, COLLECTOR_CONNECTIONS, counters.connections_open);
	one(page, COLLECTOR_CONNECTIONS_TOTAL, counters.connections);
	one(page, COLLECTOR_STREAMS, counters.streams_open);
	spec = begin(page, COLLECTOR_REFUSED);
	with(page, spec, "connections", counters.connections_refused);
	with(page, spec, "evicted", counters.connections_evicted);
	with(page, spec, "share", counters.connections_over_share);
	with(page, spec, "peers", counters.peers_refused);
	with(page, spec, "timeouts", counters.connections_timed_out);
	with(page, spec, "protocol", counters.protocol_errors);
	with(page, spec, "certificates", counters.certificates_refused);
	with(page, spec, "calls", counters.streams_refused);
	with(page, spec, "rights", counters.streams_denied);
	with(page, spec, "faulty_calls", counters.streams_faulted);
	with(page, spec, "messages", received->messages_refused);
	with(page, spec, "hosts", received->hosts_refused);
	with(page, spec, "epochs", received->epochs_refused);
	one(page, COLLECTOR_UNFINISHED, counters.unfinished_bytes);
	one(page, COLLECTOR_READS_PAUSED, counters.reads_paused);
}

static void put_store(const struct publish *publish, struct buffer *page, const struct receiver_counters *received)
{
	struct statvfs disk;

	one(page, COLLECTOR_BATCHES, received->batches_stored);
	one(page, COLLECTOR_EVENTS, received->events_stored);
	one(page, COLLECTOR_BYTES, received->bytes_stored);
	one(page, COLLECTOR_DUPLICATES, received->batches_again);
	one(page, COLLECTOR_GAPS, received->gaps);
	one(page, COLLECTOR_STORE_LOSSES, received->store_losses);
	one(page, COLLECTOR_NOT_KEPT, received->not_kept);
	one(page, COLLECTOR_STORE_FAILURES, received->store_failures);
	one(page, COLLECTOR_SYNCS, received->syncs);
	one(page, COLLECTOR_SYNCS_FAILED, received->syncs_failed);
	number(page, COLLECTOR_SYNC_SECONDS, (double)received->sync_ns / 1e9);
	one(page, COLLECTOR_SEGMENTS, store_segments(publish->options.store));
	one(page, COLLECTOR_DAMAGES, store_damages(publish->options.store));
	if (statvfs(publish->options.data, &disk) < 0)
		return;
	number(page, COLLECTOR_DISK_SIZE, (double)disk.f_blocks * (double)disk.f_frsize);
	number(page, COLLECTOR_DISK_FREE, (double)disk.f_bavail * (double)disk.f_frsize);
}

static void put_outputs(const struct publish *publish, struct buffer *page)
{
	static const enum collector_metric metrics[] = {
		COLLECTOR_OUTPUT_EVENTS, COLLECTOR_OUTPUT_BEHIND, COLLECTOR_OUTPUT_FAILING};

	for (size_t at = 0; at < sizeof(metrics) / sizeof(metrics[0]); at++) {
		const struct metric_spec *spec = begin(page, metrics[at]);

		for (size_t i = 0; i < publish->options.output_count; i++) {
			struct output_figures figures;

			output_figures(publish->options.outputs[i], &figures);
			with(page, spec, figures.spec,
				metrics[at] == COLLECTOR_OUTPUT_EVENTS   ? figures.events
				: metrics[at] == COLLECTOR_OUTPUT_BEHIND ? figures.behind_bytes
									 : figures.failing);
		}
	}
}

static void put_tls(const struct publish *publish, struct buffer *page)
{
	const struct grpc_trust *trust = publish->options.trust;
	const struct metric_spec *spec;

	if (!trust->tls)
		return;
	spec = begin(page, COLLECTOR_TLS_END);
	metric_number(
		page, spec, (const char *const[]){trust->certificate}, (double)grpc_tls_certificate_end(trust->tls));
	/* Both in one file: a series is there once. */
	if (strcmp(trust->certificate, trust->ca) != 0)
		metric_number(page, spec, (const char *const[]){trust->ca}, (double)grpc_tls_ca_end(trust->tls));
}

/* --- the accounts ------------------------------------------------------------------------------------------------------- */

static void sum_accounts(struct publish *publish)
{
	struct store_source **sources;
	struct store_epoch epoch;
	size_t count;

	if (store_sources(publish->options.store, &sources, &count) < 0)
		return;
	publish->totals = (struct account_totals){0};
	for (size_t i = 0; i < count; i++) {
		store_source_view(sources[i], &epoch);
		account_totals_add(&publish->totals, epoch.account);
	}
	store_sources_free(sources, count);
}

static void put_accounts(const struct publish *publish, struct buffer *page)
{
	const struct account_totals *totals = &publish->totals;
	const struct metric_spec *spec;

	one(page, COLLECTOR_SEEN, totals->seen);
	number(page, COLLECTOR_DELIVERED, (double)totals->delivered);
	spec = begin(page, COLLECTOR_LOST);
	for (enum account_stage stage = 0; stage < ACCOUNT_STAGES; stage++)
		with(page, spec, account_stage_name(stage), totals->lost[stage]);
	one(page, COLLECTOR_WAITING, totals->waiting);
	one(page, COLLECTOR_DIFFERENCE, totals->difference);
	one(page, COLLECTOR_UNBALANCED, totals->unbalanced);
}

static void put_reloads(const struct publish *publish, struct buffer *page)
{
	const struct metric_spec *spec = begin(page, COLLECTOR_RELOADS);
	struct config_reloads counters;

	reread_counters(publish->options.reread, &counters);
	with(page, spec, "taken", counters.taken);
	with(page, spec, "refused", counters.refused);
	one(page, COLLECTOR_RELOAD_GOOD, counters.last_taken);
	one(page, COLLECTOR_RELOADED, counters.last_s);
}

/* --- the board ---------------------------------------------------------------------------------------------------------- */

/* False: `why` says why not. */
static bool is_ready(const struct publish *publish, char *why, size_t size)
{
	struct output_figures figures;
	uint64_t when_ns, now_ns = clock_boottime_ns();
	int fault = receiver_fault(publish->options.receiver, &when_ns);

	if (fault && now_ns - when_ns < FAULT_S * 1000000000ull) {
		snprintf(why, size, "the data directory: %s", strerror(-fault));
		return false;
	}
	for (size_t i = 0; i < publish->options.output_count; i++) {
		output_figures(publish->options.outputs[i], &figures);
		if (figures.failing) {
			snprintf(why, size, "output %s: it cannot write", figures.spec);
			return false;
		}
	}
	return true;
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
	struct publish *publish = context;
	struct buffer *page = &publish->page;
	struct receiver_counters received;
	char why[HTTP_WHY_SIZE];

	(void)fd;
	(void)what;
	http_board_beat(publish->options.board);
	receiver_counters(publish->options.receiver, &received);
	if (publish->turns++ % TURNS_PER_SUM == 0)
		sum_accounts(publish);
	buffer_clear(page);
	metric_count(page, begin(page, COLLECTOR_BUILD), (const char *const[]){TAFFRAIL_VERSION, version_commit()}, 1);
	put_peers(publish, page, &received);
	put_store(publish, page, &received);
	put_outputs(publish, page);
	put_accounts(publish, page);
	put_reloads(publish, page);
	put_tls(publish, page);
	http_board_page(publish->options.board, page);
	http_board_ready(publish->options.board, is_ready(publish, why, sizeof(why)) ? NULL : why);
}

int publish_open(struct publish **out, const struct publish_options *options)
{
	const struct timeval second = {1, 0};
	struct publish *publish;

	*out = NULL;
	if (!options->board)
		return 0;
	publish = calloc(1, sizeof(*publish));
	if (publish) {
		publish->options = *options;
		publish->turn = event_new(options->base, -1, EV_PERSIST, on_turn, publish);
	}
	if (!publish || !publish->turn || event_add(publish->turn, &second) < 0) {
		publish_close(publish);
		return -ENOMEM;
	}
	on_turn(-1, 0, publish);
	*out = publish;
	return 0;
}

void publish_close(struct publish *publish)
{
	if (!publish)
		return;
	http_board_end(publish->options.board);
	if (publish->turn)
		event_free(publish->turn);
	buffer_free(&publish->page);
	free(publish);
}
