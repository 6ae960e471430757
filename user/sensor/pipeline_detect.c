/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline's rules: which are loaded, what they are shown, and what becomes of their findings. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sensor/users.h"

/* --- findings ----------------------------------------------------------------------------------------------------------- */

static void send_finding(void *context, struct event *finding)
{
	pipeline_send(context, finding);
}

static struct text user_name(void *context, const struct event *event, uint32_t uid)
{
	(void)context;
	return event->container ? users_find(event->container->users, uid) : (struct text){0};
}

static struct text group_name(void *context, const struct event *event, uint32_t gid)
{
	(void)context;
	return event->container ? users_find(event->container->groups, gid) : (struct text){0};
}

void pipeline_judge(struct pipeline *pipeline, const struct record *record, const struct event *event, uint64_t cause)
{
	/* What the runtime does on its way into a container is no deed of the container's. */
	if (!pipeline->detect || event->runtime_setup)
		return;
	/*
	 * What a connect returned is told by itself, and earlier, where rules ask for it; but not of one that has no more to tell
	 * later: of unix sockets, raw ones, and those that failed at once. Such a record names no connection.
	 */
	if (record->header->kind == KERNEL_CONNECT_RETURNED)
		pipeline->connects_returned = true;
	else if (event->action == EVENT_CONNECT && pipeline->connects_returned && record->network->connection &&
		 !event->io_uring)
		return;
	detect_event(pipeline->detect, event, cause, pipeline->now_ns);
}

/* --- the set ------------------------------------------------------------------------------------------------------------- */

/* They cannot be loaded: those that were there stay. */
static void tell_refused(struct pipeline *pipeline, const struct ruleset_loaded *loaded)
{
	char message[640];
	struct event_rule rule = {
		.name = TEXT_LITERAL("Rules cannot be loaded"),
		.description =
			TEXT_LITERAL("The files of rules have changed, and have errors: the rules that were loaded "
				     "before stay in use until the errors are mended."),
		.ruleset = TEXT_LITERAL("taffrail"),
		.severity = EVENT_ERROR,
	};
	struct event event = {.action = EVENT_RULES,
		.outcome = EVENT_FAILURE,
		.time_ns = pipeline->boot_unix_ns + pipeline->now_ns,
		.count = 1,
		.rule = &rule};

	snprintf(message, sizeof(message),
		"The rules of before stay, for the new ones cannot be loaded (errors: %zu): %s", loaded->errors,
		loaded->why);
	rule.message = text_of(message);
	log_error("%s", message);
	pipeline_send(pipeline, &event);
}

/* The kernel tells what the configuration and the rules ask for. */
static int want(struct pipeline *pipeline)
{
	uint64_t calls = pipeline->live->rules.calls | (pipeline->detect ? detect_calls(pipeline->detect) : 0);
	char why[256];
	int error = 0;

	if (pipeline->loader && calls != pipeline->calls)
		error = loader_want(pipeline->loader, calls, why, sizeof(why));
	if (error)
		log_error("%s", why);
	else if (pipeline->loader)
		pipeline->calls = calls;
	pipeline->connects_returned = pipeline->calls >> EVENT_CALL_CONNECT & 1;
	return error;
}

void pipeline_tell_build(struct pipeline *pipeline)
{
	const struct stream_build build = {pipeline->rules_hash, pipeline->live->call.places.hash};

	if (pipeline->stream)
		stream_build(pipeline->stream, &build);
}

/* They are in use from now on, or it is said why not. */
static void use(struct pipeline *pipeline, struct ruleset_loaded *loaded)
{
	char hash[DIGEST_TEXT_SIZE];

	if (detect_replace(pipeline->detect, loaded->rules) < 0) {
		log_error("there is no memory for the new rules: those of before stay");
		return;
	}
	pipeline_need(pipeline, pipeline_rules_kinds(loaded->rules));
	pipeline->rules_hash = loaded->hash;
	log_info("%zu rules loaded (%s)", rules_count(loaded->rules), digest_format(&loaded->hash, hash));
	loaded->rules = NULL; /* detect's */
	(void)want(pipeline);
	pipeline_tell_build(pipeline);
}

static void take_ruleset(struct pipeline *pipeline, struct ruleset_loaded *loaded)
{
	if (loaded->rules)
		use(pipeline, loaded);
	else
		tell_refused(pipeline, loaded);
	ruleset_discard(loaded);
}

void pipeline_watch_rules(struct pipeline *pipeline, bool final)
{
	struct ruleset_loaded *loaded = pipeline->ruleset ? ruleset_take(pipeline->ruleset) : NULL;

	if (loaded)
		take_ruleset(pipeline, loaded);
	if (!final)
		pipeline_watch_config(pipeline);
	if (pipeline->detect)
		detect_tick(pipeline->detect, final ? UINT64_MAX : pipeline->now_ns, pipeline->boot_unix_ns);
}

/* Findings that must see a kind say so before the kernel's programs are made: they hold what is left out as constants. */
uint64_t pipeline_rules_kinds(const struct rules *rules)
{
	uint64_t calls = rules ? rules_calls(rules) : 0, kinds = 0;

	for (int call = 1; call < EVENT_CALLS_END; call++)
		if (calls >> call & 1)
			kinds |= 1ull << event_call_action(call);
	return kinds;
}

int pipeline_load_rules(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;

	if (settings->no_rules)
		return 0;
	pipeline->rule_options = ruleset_options_of(&settings->rule_paths, settings->rule_matching, false);
	pipeline->loaded = ruleset_load(&pipeline->rule_options);
	if (!pipeline->loaded)
		return -ENOMEM;
	if (pipeline->loaded->rules)
		return 0;
	log_error("the rules cannot be loaded (errors: %zu): %s", pipeline->loaded->errors, pipeline->loaded->why);
	return -EINVAL;
}

static struct suppress_limit limit_of(const struct settings *settings)
{
	return (struct suppress_limit){(uint32_t)settings->findings_limit, settings->findings_window_ms * 1000 * 1000};
}

/* With the rules that were loaded: then they are detect's. 0 or -ENOMEM. */
static int open_detect(struct pipeline *pipeline, struct ruleset_loaded *loaded)
{
	const struct suppress_limit limit = limit_of(pipeline->live);
	const struct detect_ops ops = {send_finding, pipeline};
	const struct rules_names names = {.context = pipeline, .user = user_name, .group = group_name};
	int error = detect_open(&pipeline->detect, loaded->rules, &names, &limit, &ops);

	if (error)
		return error;
	loaded->rules = NULL;
	pipeline->rules_hash = loaded->hash;
	return 0;
}

/* The files that they are of, if any are named. 0 or -errno. */
static int watch_files(struct pipeline *pipeline, uint64_t files)
{
	if (pipeline->reader || pipeline->rule_options.path_count == 0)
		return 0;
	return ruleset_watch(&pipeline->ruleset, &pipeline->rule_options, files);
}

int pipeline_open_detect(struct pipeline *pipeline)
{
	int error;

	if (!pipeline->loaded)
		return 0;
	error = open_detect(pipeline, pipeline->loaded);
	error = error ? error : watch_files(pipeline, pipeline->loaded->files);
	ruleset_discard(pipeline->loaded);
	pipeline->loaded = NULL;
	return error ? error : want(pipeline);
}

static bool same_paths(const struct ruleset_options *a, const struct ruleset_options *b)
{
	bool same = a->path_count == b->path_count && a->all == b->all;

	for (size_t i = 0; same && i < a->path_count; i++)
		same = strcmp(a->paths[i], b->paths[i]) == 0;
	return same;
}

void pipeline_replace_rules(struct pipeline *pipeline, struct reloaded *reloaded)
{
	const struct settings *settings = &reloaded->settings;
	const struct suppress_limit limit = limit_of(settings);
	struct ruleset_loaded *loaded = reloaded->rules;
	const struct ruleset_options options =
		ruleset_options_of(&settings->rule_paths, settings->rule_matching, false);
	bool same = same_paths(&pipeline->rule_options, &options) && loaded && pipeline->detect;
	struct ruleset *ruleset = pipeline->ruleset;

	/* Its thread reads the paths of the configuration that goes; a signal handler must not meet it. */
	pipeline->ruleset = NULL;
	ruleset_close(ruleset);
	pipeline->rule_options = options;
	if (!loaded) {
		if (pipeline->detect)
			detect_tick(pipeline->detect, UINT64_MAX, pipeline->boot_unix_ns);
		detect_close(pipeline->detect);
		pipeline->detect = NULL;
		pipeline->rules_hash = (struct digest_sum){0};
	} else if (!pipeline->detect) {
		uint64_t kinds = pipeline_rules_kinds(loaded->rules);

		if (open_detect(pipeline, loaded) < 0)
			log_error("there is no memory for the new rules: there are none");
		else
			pipeline_need(pipeline, kinds);
	} else if (!same || memcmp(&loaded->hash, &pipeline->rules_hash, sizeof(loaded->hash)) != 0) {
		use(pipeline, loaded); /* not where they are the same: windows would begin anew */
	}
	if (pipeline->detect)
		detect_limit(pipeline->detect, &limit);
	if (loaded && watch_files(pipeline, loaded->files) < 0)
		log_error("the files of rules cannot be watched: a change of theirs wants the sensor started anew");
	(void)want(pipeline);
}

void pipeline_close_detect(struct pipeline *pipeline)
{
	ruleset_close(pipeline->ruleset);
	detect_close(pipeline->detect);
	ruleset_discard(pipeline->loaded);
}
