/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that has changed while the pipeline runs: what of it is taken, and what takes a restart. */
#include "sensor/pipeline_inside.h"

#include "base/log.h"

/* --- what is recorded --------------------------------------------------------------------------------------------------- */

/* What the programs leave out they hold as constants: they cannot learn other rules, but to keep out of it. */
static void end_kernel_policy(struct pipeline *pipeline)
{
	if (pipeline->policy_over || !pipeline->loader)
		return;
	loader_policy_over(pipeline->loader);
	pipeline->policy_over = true;
	if (pipeline->settings->rules.count > 0)
		log_info("from now on what is not recorded is left out by the sensor alone: a restart lets the kernel "
			 "do it again");
}

/* 0, or -ENOMEM and the policy of before stays. */
static int replace_policy(struct pipeline *pipeline, const struct policy_rules *rules)
{
	const struct policy_rules *first = &pipeline->settings->rules;
	struct policy *policy;
	int error;

	/* Rules that were added leave out more: what the kernel leaves out already stays right. */
	if (!policy_rules_begin(rules, first))
		end_kernel_policy(pipeline);
	error = policy_open(
		&policy, rules, pipeline->policy_over ? UINT64_MAX : pipeline->needed_kinds, pipeline->now_ns);
	if (error)
		return error;
	policy_kernel_has(policy, first->count);
	/* What was left out until now, by the rules of until now. */
	if (policy_due(pipeline->policy, pipeline->now_ns, true) &&
		loader_policy_counts(pipeline->loader, pipeline->left_out) == 0)
		pipeline_filtered(pipeline);
	policy_inherit(policy, pipeline->policy);
	policy_close(pipeline->policy);
	pipeline->policy = policy;
	container_name_all(pipeline->containers);
	return 0;
}

void pipeline_need(struct pipeline *pipeline, uint64_t kinds)
{
	if (pipeline->policy_over || !pipeline->loader || (kinds & ~pipeline->needed_kinds) == 0)
		return;
	end_kernel_policy(pipeline);
	if (replace_policy(pipeline, &pipeline->live->rules) < 0)
		log_error("there is no memory: rules do not see all that they ask for");
}

/* --- all of it ---------------------------------------------------------------------------------------------------------- */

static void apply(struct pipeline *pipeline, struct reloaded *reloaded)
{
	struct reloaded *before = pipeline->reloaded;
	const struct settings *now = &reloaded->settings;
	char hash[DIGEST_TEXT_SIZE];

	if (replace_policy(pipeline, &now->rules) < 0) {
		log_error("there is no memory for the new configuration: the one of before stays");
		reloaded_free(reloaded);
		return;
	}
	options_log_use(&now->log);
	sensor_settings_tell(pipeline->settings, pipeline->live, now);
	pipeline->live = now;
	pipeline->reloaded = reloaded;
	pipeline->outbound_settings = now->outbound_settings;
	pipeline_replace_rules(pipeline, reloaded);
	pipeline_need(pipeline, pipeline_outbound_kinds(pipeline));
	pipeline_tell_build(pipeline);
	coverage_interval(pipeline->coverage, now->coverage_interval_ms * 1000000, pipeline->now_ns);
	ruleset_discard(reloaded->rules);
	reloaded->rules = NULL;
	log_info("the configuration was read again (%s)", digest_format(&now->call.places.hash, hash));
	reloaded_free(before);
}

void pipeline_watch_config(struct pipeline *pipeline)
{
	struct reloaded *reloaded = pipeline->reload ? reload_take(pipeline->reload) : NULL;

	if (reloaded)
		apply(pipeline, reloaded);
}

void pipeline_reload(struct pipeline *pipeline)
{
	if (pipeline->reload)
		reload_hurry(pipeline->reload);
	if (pipeline->ruleset)
		ruleset_hurry(pipeline->ruleset);
}

void pipeline_reloads(const struct pipeline *pipeline, struct config_reloads *counters)
{
	reload_counters(pipeline->reload, counters);
}
