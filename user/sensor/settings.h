/* SPDX-License-Identifier: Apache-2.0 */
/* What the sensor was told: options, --set, the configuration file, defaults; in this order the first wins. */
#ifndef TAFFRAIL_SENSOR_SETTINGS_H
#define TAFFRAIL_SENSOR_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/options.h"
#include "detect/outbound.h"
#include "grpc/address.h"
#include "grpc/trust.h"
#include "sensor/policy_rules.h"
#include "sensor/unsampled.h"

struct settings {
	struct options_call call;           /* how this was said */
	struct options_log log;             /* --log-format, log.format, log.level */
	bool check_config;                  /* --check-config: only look whether all of this is right */
	bool stdout_lines;                  /* --stdout: ECS JSON lines, no collector */
	bool host_events;                   /* --host, host.events: also what happens outside containers */
	bool environment;                   /* exec.environment: take the environment of each exec */
	struct config_list cri;             /* --cri, cri.sockets; empty: the usual ones */
	struct config_list cri_state;       /* cri.state: where runtimes keep their bundles; empty: the usual places */
	struct config_list cri_annotations; /* cri.annotations: which of the pods' are taken; empty: the usual ones */
	struct config_list collectors;      /* --collector: one is used, the others if that fails */
	char *spool;                        /* --spool, spool.dir: directory for what no collector has yet; or NULL */
	uint64_t spool_bytes;               /* spool.max_bytes */
	uint64_t spool_wait_ms;             /* spool.wait: for another sensor that has it; 0: not at all */
	char *spool_sync_word;              /* spool.fsync, as it was said … */
	int spool_sync;                     /* … and as it was understood: enum spool_fsync */
	char *handover;          /* handover: the file by which the process table goes to the next life; "none": it
					       does not; NULL: in the spool's directory, if there is one */
	struct grpc_trust trust; /* --tls-…, tls, insecure */
	bool bpf_stats;          /* --bpf-stats, bpf_stats */
	char *http;              /* --http, http: health and metrics; NULL: nowhere … */
	struct grpc_address http_address; /* … and as it was understood */
	char *recording;                  /* --record, recording: the file that gets all that comes in; or NULL */
	char *replay;                     /* --replay: the recording that takes the kernel's place; or NULL */
	char *hooks;                      /* hooks: auto, tracepoint or function; NULL: auto */
	char *host_root;                  /* host.root: where the host's files are seen; NULL: here */
	char *bpffs; /* host.bpffs: where the rings are pinned, in a BPF file system; "none": nowhere; NULL: the usual place */
	char *host_id, *host_name;           /* host.id, host.name; NULL: as the machine says */
	char *cluster;                       /* cluster.name */
	uint64_t critical_bytes, bulk_bytes; /* rings.critical, rings.bulk */
	uint64_t opens_window_ms;            /* opens.window: equal opens are one count for so long; 0: each is told */
	uint64_t flows_interval_ms;          /* flows.interval: a flow that goes on is told so often; 0: it is not */
	uint64_t flows_idle_ms;              /* flows.idle: silence that ends a flow of datagrams */
	bool samples;                        /* samples.take: first bytes of flows */
	struct config_list unsampled_words;  /* samples.leave_out: networks that are not sampled, as it was said … */
	struct unsampled unsampled;          /* … and as it was understood */
	uint64_t stream_bytes;               /* stream.memory: batches that the collector has not acknowledged */
	uint64_t coverage_interval_ms;       /* coverage.interval: between two canaries; 0: only at start */
	bool check, json;                    /* --check: only try whether everything is seen; --json: tell it as JSON */
	struct config_list rule_paths;       /* --rules, rules: files and directories of rules; empty: the own pack */
	bool no_rules;                       /* --no-rules, no_rules */
	char *rule_matching;                 /* rule_matching: first or all; NULL: first */
	uint64_t findings_limit;             /* findings.limit: of a rule in a container, in a window; 0: no limit */
	uint64_t findings_window_ms;         /* findings.window */
	bool falco_json, falco_text; /* --falco-json, falco_json, falco_text: only findings, as Falco prints them */
	struct config_tree record;   /* record: what is recorded, as it was said … */
	struct policy_rules rules;   /* … and as it was understood */
	struct config_tree outbound; /* outbound: what detectors of behaviour take for suspicious, as it was said … */
	struct outbound_settings outbound_settings; /* … and as it was understood */
	char *budget_word; /* budget.cpu: what the sensor may cost, as it was said; NULL: there is no limit … */
	uint32_t budget_millicpu;  /* … and as it was understood: thousandths of a CPU; 0: none */
	uint64_t budget_window_ms; /* budget.window: so often it is judged */
	uint64_t drain_ms;         /* drain: how long SIGTERM waits for the collector */
};

/*
 * Reads everything into `settings`. Returns -1 to go on, or the exit code to leave with at once: 0 after --help and
 * --version, 2 after it has said what is wrong.
 */
int sensor_settings_read(struct settings *settings, int argc, char **argv);

/* The same command line once more, while it runs, with what its files say now. 0, or -EINVAL after it has said what is wrong. */
int sensor_settings_again(struct settings *settings, const struct options_call *call);

/* Says which changes take a restart: config_tell_restarts. */
void sensor_settings_tell(const struct settings *start, const struct settings *last, const struct settings *now);

void sensor_settings_free(struct settings *settings);

#endif
