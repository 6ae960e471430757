/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the pipeline share: all stages, and the functions that stages call back. */
#ifndef TAFFRAIL_SENSOR_PIPELINE_INSIDE_H
#define TAFFRAIL_SENSOR_PIPELINE_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "detect/outbound.h"
#include "http/board.h"
#include "sensor/books.h"
#include "sensor/budget.h"
#include "sensor/connection.h"
#include "sensor/container.h"
#include "sensor/coverage.h"
#include "sensor/detect.h"
#include "sensor/encode.h"
#include "sensor/flows.h"
#include "sensor/former.h"
#include "sensor/host.h"
#include "sensor/ledger.h"
#include "sensor/life.h"
#include "sensor/loader.h"
#include "sensor/loader_former.h"
#include "sensor/loss.h"
#include "sensor/metadata.h"
#include "sensor/nested.h"
#include "sensor/pipeline.h"
#include "sensor/policy.h"
#include "sensor/process.h"
#include "sensor/record.h"
#include "sensor/recording.h"
#include "sensor/relief.h"
#include "sensor/reload.h"
#include "sensor/repeat.h"
#include "sensor/ruleset.h"
#include "sensor/spool.h"
#include "sensor/stream.h"

/* How far records may leave a ring out of their order. */
#define PIPELINE_BULK_DISORDER_NS (100ull * 1000 * 1000)

/* What is shown of it. */
enum { PIPELINE_STAGES = 4 }; /* that lose something here */
struct pipeline_board {
	struct http_board *http; /* NULL: nobody asks */
	struct buffer page;
	uint64_t next_ns;
	uint64_t told[EVENT_ACTIONS_END], filtered[EVENT_ACTIONS_END], findings, lost[PIPELINE_STAGES];
	struct loader_run runs[LOADER_RUNS_MAX]; /* as they were asked for last */
	size_t run_count;
	uint64_t next_runs_ns;
	uint64_t lag_ns, lag_sequence; /* since when this one is not acknowledged; 0: nothing waits */
};

struct pipeline {
	const struct settings *settings; /* as it was started … */
	const struct settings
		*live; /* … and as they were read last: of the keys that a running sensor takes (CONFIG_LIVE) */
	struct reload *reload;     /* NULL: there is no file to watch */
	struct reloaded *reloaded; /* what `live` is of; NULL: nothing was read since the start */
	struct loader *loader;
	struct canary_nest *nest;
	struct loss *loss;
	struct process_table *processes;
	struct connection_table *connections;
	struct flows *flows;
	struct repeat_table *repeats; /* NULL: opens are not collapsed */
	struct container_table *containers;
	struct nested_table *nested;
	struct life *life;
	struct metadata *metadata;
	struct spool *spool; /* NULL: none */
	struct stream *stream;
	struct encoder *encoder;
	struct host *host;
	struct coverage *coverage; /* NULL: of a recording */
	struct policy *policy;
	uint64_t needed_kinds; /* the kernel leaves out none of these */
	bool policy_over;      /* it leaves out nothing any more */
	struct outbound_settings outbound_settings;
	struct outbound *outbound;   /* NULL: it is over */
	uint64_t outbound_forgotten; /* flows and states that made room, as far as that was said */
	struct buffer outbound_message;
	uint64_t outbound_cause;       /* the number of the event that is being judged; 0: none */
	struct detect *detect;         /* NULL: there are no rules */
	struct ruleset *ruleset;       /* NULL: they never change */
	struct ruleset_loaded *loaded; /* at start, until detect has them */
	struct digest_sum rules_hash;  /* of those that are in use */
	struct ruleset_options rule_options;
	uint64_t calls;              /* that are asked for, or were when it was recorded: as loader_want takes them */
	bool connects_returned;      /* rules see connects when the call returns, not when their outcome is known */
	struct recording *recording; /* NULL: none is made */
	struct recording_reader
		*reader; /* NULL: everything comes from the kernel; else there is no loader, no metadata */

	struct budget budget; /* no window: it was not looked at yet */
	struct books books;
	struct ledger *ledger;      /* NULL: nothing is pinned */
	uint64_t deadline_ns;       /* of what is done after pipeline_stop; 0: it was not called yet */
	bool began;                 /* pipeline_run was called, or nobody else tells what this life saw */
	bool drained;               /* the rings were read to their end, and nothing more comes */
	struct loader_found *found; /* what former lives have pinned, until it is adopted */
	size_t found_count;
	struct pipeline_said { /* of what stays pinned, what was said of it: a circle */
		char name[PIN_NAME_SIZE];
		const char *what;
	} said[64];
	size_t said_count;
	bool passed_over;               /* one that was not before */
	struct ledger_life life_pinned; /* this life's; no lanes: it is not */
	struct formers *formers; /* those that are to be closed; NULL: none. The stream's thread's while there is one */

	struct buffer scratch, unmarked;
	struct kernel_counters *counters; /* one per CPU and lane */
	unsigned int cpus, lanes;
	uint64_t now_ns; /* the pipeline's clock, boot time */
	uint64_t boot_unix_ns;
	uint64_t sequence;
	uint64_t from_ns,
		until_ns;         /* another sensor tells what happened up to, and after; 0: there is none (relief.h) */
	const char *replay_why;   /* what is wrong with the recording; NULL: nothing so far */
	bool replay_over;         /* it ended where a count was expected */
	uint64_t opens_window_ns; /* equal opens are one count for so long; 0: each is told */
	uint64_t bulk_ns;         /* records of the bulk ring up to this time have been read */
	uint64_t next_tick_ns, next_clock_check_ns;
	unsigned int naps_left;
	bool bulk_waits; /* its ring is not read for now: the stream is behind */
	uint64_t malformed;
	uint64_t handed_over;                /* processes that a former life told of */
	uint64_t left_out[KERNEL_KINDS_END]; /* by the kernel, as far as it was told */
	uint64_t next_guard_ns;
	struct container_counters attributed; /* as they were when they were told last */
	uint64_t attributed_ns;
	uint64_t missed, missed_ns; /* by the programs, as far as it was told, and when that was looked at */
	struct pipeline_guarded {   /* this process, and the loader's */
		int status_fd;      /* of /proc/PID/status, or -errno */
		pid_t tracer;       /* the last that was told */
	} guarded[2];
	int stop_fd;
	atomic_bool stopping;
	struct pipeline_board board;
};

/* pipeline_books.c: a record came, or so many opens that the kernel had only counted. */
void pipeline_arrived(struct pipeline *pipeline, const struct record *record);
void pipeline_counted(struct pipeline *pipeline, uint64_t opens);
/* Of what came: its kind is one of those that a kill can lose. Not of the sensor's own canary. */
void pipeline_note_kind(struct pipeline *pipeline, enum kernel_kind kind);
/* Nothing more has to be told of it. */
void pipeline_settled(struct pipeline *pipeline, const struct record *record);
/* The programs missed so many, which is told next. */
void pipeline_found_missed(struct pipeline *pipeline, uint64_t count);
/* encode_ops.books */
void pipeline_sum(void *context, uint64_t last, struct wire_books *books);
/* The last batch of this life, with its books. */
void pipeline_close_books(struct pipeline *pipeline);

/* pipeline_part.c: has the loader attach the programs, by what the rules want. 0 or -errno, which it has said. */
int pipeline_attach(struct pipeline *pipeline);

/* pipeline_former.c: where, as what, and what is pinned of this life; NULL: nothing. */
const char *pipeline_pin_path(const struct pipeline *pipeline);
void pipeline_pin_name(const struct pipeline *pipeline, char name[PIN_NAME_SIZE]);
int pipeline_write_page(void *context, void *page, uint32_t lanes, uint32_t repeats_at);
/* After the loader. 0 or -ENOMEM. */
int pipeline_open_ledger(struct pipeline *pipeline);
void pipeline_note_spool(struct pipeline *pipeline);
/* At the end: `kept` says that all of this life is acknowledged or on the spool. What the next life needs stays. */
void pipeline_unpin(struct pipeline *pipeline, bool kept);
/* Former lives that nobody holds: taken before this one is pinned, and adopted when the spool is known. 0 or -ENOMEM. */
void pipeline_find_formers(struct pipeline *pipeline);
int pipeline_adopt_formers(struct pipeline *pipeline);
void pipeline_close_formers(struct pipeline *pipeline);

/* pipeline_handover.c: what a former life knew of processes, before the census and after it; and what the next life is to know. */
void pipeline_take_over(struct pipeline *pipeline);
void pipeline_taken_over(struct pipeline *pipeline);
void pipeline_hand_over(struct pipeline *pipeline);
/* The same from a recording. NULL, or what is wrong. */
const char *pipeline_replay_former(struct pipeline *pipeline, const void *bytes, size_t size);

/* pipeline_relief.c: another sensor has the spool; waits for its end, to take its place. As spool_open. */
int pipeline_wait_for_spool(struct pipeline *pipeline, const struct spool_options *options, char *why, size_t why_size);
/* Before the hooks are detached: whoever waits tells what comes from now on. */
void pipeline_relieve(struct pipeline *pipeline);
/* True: another sensor tells of it, and nothing is to be done here. */
bool pipeline_told_elsewhere(struct pipeline *pipeline, const struct record *record);

/* The way out: the event gets its number and host, and goes to the encoder. */
void pipeline_send(struct pipeline *pipeline, struct event *event);

/* What comes in; a recording brings the same. */
int pipeline_take_record(void *context, const void *bytes, size_t size);
void pipeline_take_process(void *context, const struct record *record, struct text args);
void pipeline_take_names(void *context, struct container_meta *meta);
void pipeline_filtered(struct pipeline *pipeline);
/* Only what waits for names, or for how it ended, and has waited too long. */
void pipeline_expire(struct pipeline *pipeline);
void pipeline_tick(struct pipeline *pipeline, const struct kernel_counters *counters, bool final);

/* Takes what pipeline->reader brings, to its end or to pipeline_stop. 0, or -errno when stdout's reader has gone, or
 * -EBADMSG after it has said what of the recording cannot be read. */
int pipeline_replay(struct pipeline *pipeline);

/* The bulk ring has been read up to `read_ns`: what ended before leaves. UINT64_MAX: all that is held. */
void pipeline_settle(struct pipeline *pipeline, uint64_t read_ns);

/* In a replay: what the kernel had counted under the number, from the next frame. */
uint64_t pipeline_replay_repeats(struct pipeline *pipeline, uint64_t number);

/* container_ops.send: a record that has waited for its container's names. */
void pipeline_send_waiting(void *context, void *item, const struct event_container *names, bool pending);

/* container_ops.completed: its names came after all. life_ops.send: it has ended. */
void pipeline_send_named(void *context, const struct event_container *names);
void pipeline_send_end(void *context, const struct record *record, const struct event_process *image);

/* connection_ops.send, repeat_ops.send: a record that has waited for another one. */
void pipeline_send_held(void *context, const struct record *record, const struct event_process *image);

/* pipeline_detect.c: reads the rules, says what is wrong with them. 0 or -errno. */
int pipeline_load_rules(struct pipeline *pipeline);
/* The kinds of events that they must see: bits 1 << enum event_action. NULL is allowed. */
uint64_t pipeline_rules_kinds(const struct rules *rules);
/* With the rules that were loaded; after the loader. 0 or -errno. */
int pipeline_open_detect(struct pipeline *pipeline);
void pipeline_close_detect(struct pipeline *pipeline);
/* Judges an event of that record, which has its names. `cause`: its number, 0: it is not recorded. */
void pipeline_judge(struct pipeline *pipeline, const struct record *record, const struct event *event, uint64_t cause);
/* Rules and a configuration that were loaded anew, and findings that were held back; at every tick. */
void pipeline_watch_rules(struct pipeline *pipeline, bool final);

/* Which rules and configuration are in use, for the stream. */
void pipeline_tell_build(struct pipeline *pipeline);
/* What they, and nobody else, must see: the kernel leaves it out no longer. */
void pipeline_need(struct pipeline *pipeline, uint64_t kinds);
/* Those of a new configuration, which takes their place; `loaded` as in struct reloaded. */
void pipeline_replace_rules(struct pipeline *pipeline, struct reloaded *reloaded);

/* pipeline_reload.c: a configuration that was read anew, before the rules are asked; at every tick. */
void pipeline_watch_config(struct pipeline *pipeline);

/* pipeline_outbound.c: detectors of behaviour, which watch the flows. The kinds that they need, whatever is recorded: bits 1 << enum event_action. */
uint64_t pipeline_outbound_kinds(const struct pipeline *pipeline);
/* 0 or -ENOMEM. */
int pipeline_open_outbound(struct pipeline *pipeline);
/* An event that has its names. `cause`: its number, 0: it is not recorded. */
void pipeline_outbound_event(struct pipeline *pipeline, const struct event *event, uint64_t cause);
/* At every tick; at the last one what was held back is told. */
void pipeline_watch_outbound(struct pipeline *pipeline, bool final);
/* The container has ended. */
void pipeline_forget_outbound(struct pipeline *pipeline, const uint8_t container_id[EVENT_CONTAINER_ID_SIZE]);

/*
 * pipeline_health.c: a record of the sensor's own canary, which is proof for the coverage, and no event. Where no canary
 * flies, what a container does is none, whoever marked it. False: it is an event like any other.
 */
bool pipeline_take_canary(struct pipeline *pipeline, const struct record *record);
/* Takes a copy of such a record without the mark that it should not have. False: there is no memory. */
bool pipeline_unmark(struct pipeline *pipeline, struct record *record);

/* Coverage, and attacks on the sensor; at every tick. */
void pipeline_watch_health(struct pipeline *pipeline);

/* How well names were found is told, if not perfectly: once a minute, and at the end. */
void pipeline_watch_attribution(struct pipeline *pipeline, bool final);

/* What the programs missed is told, if there is anything new. */
void pipeline_watch_missed(struct pipeline *pipeline);

/* pipeline_metrics.c: at every tick; and an event that says more than its kind. */
void pipeline_publish(struct pipeline *pipeline);
void pipeline_note_more(struct pipeline_board *board, const struct event *event);
static inline void pipeline_note_told(struct pipeline_board *board, const struct event *event)
{
	board->told[event->action]++;
	if (event->rule || event->action == EVENT_LOST || event->action == EVENT_FILTERED)
		pipeline_note_more(board, event);
}

/* An event of the sensor's own from a recording. NULL, or what is wrong with it. */
const char *pipeline_replay_own(struct pipeline *pipeline, const void *bytes, size_t size);

#endif
