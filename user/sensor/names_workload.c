/* SPDX-License-Identifier: Apache-2.0 */
/* What a pod's name, labels and cgroup say of it. */
#include "sensor/names.h"

#include <inttypes.h>

enum {
	GENERATED_MAX = 58, /* bytes that the API server keeps before … */
	RANDOM = 5,         /* … these (apiserver's names.SimpleNameGenerator) */
	JOB_KEPT = 48,      /* "-INDEX-" of an indexed job takes the rest of them */
	MINUTES_DIGITS = 8,
	MINUTES_MIN = 23667840, /* of Unix time: 2015 … */
	MINUTES_MAX = 68899679, /* … to 2100 */
};

static struct text find(const struct event_label *labels, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(labels[i].key, text_of(key)))
			return labels[i].value;
	return (struct text){0};
}

static struct text label_of(const struct event_container *view, const char *key)
{
	return find(view->labels, view->label_count, key);
}

/* --- names that owners give ------------------------------------------------------------------------------------------ */

/* A name that was generated: without its random end; `*whole`: was all before it kept? Empty if it is none. */
static struct text without_random(struct text name, bool *whole)
{
	*whole = name.length < GENERATED_MAX + RANDOM;
	if (name.length <= RANDOM + 1 || name.length > GENERATED_MAX + RANDOM)
		return (struct text){0};
	for (size_t i = name.length - RANDOM; i < name.length; i++)
		if (!(name.data[i] >= 'a' && name.data[i] <= 'z') && !(name.data[i] >= '0' && name.data[i] <= '9'))
			return (struct text){0};
	if (*whole && name.data[name.length - RANDOM - 1] != '-')
		return (struct text){0};
	return text_head(name, name.length - RANDOM - (name.data[name.length - RANDOM - 1] == '-'));
}

/* DEPLOYMENT-HASH-xxxxx; of a long name any part of -HASH may be missing. */
static struct text name_of_deployment(struct text pod, struct text hash)
{
	bool whole;
	struct text set = without_random(pod, &whole);
	bool dashed = set.length + RANDOM < pod.length; /* then what was kept ends between two parts */

	for (size_t length = hash.length; length > 0; length--) {
		if (set.length > length && set.data[set.length - length - 1] == '-' &&
			text_ends_with(set, text_head(hash, length)))
			return text_head(set, set.length - length - 1);
		if (dashed)
			break;
	}
	return whole ? (struct text){0} : set;
}

static bool all_digits(struct text text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	return text.length > 0;
}

/* Where the last part behind a dash begins; 0: nowhere, or nothing is before it. */
static size_t last_part(struct text name)
{
	for (size_t i = name.length; i > 1; i--)
		if (name.data[i - 1] == '-')
			return i;
	return 0;
}

/* NAME-ORDINAL: never shortened, for a StatefulSet's pods have no generated names. */
static struct text name_of_stateful_set(struct text pod, struct text index)
{
	size_t start = last_part(pod);
	struct text ordinal = start ? text_tail(pod, start) : (struct text){0};

	if (!all_digits(ordinal) || (index.length > 0 && !text_equal(index, ordinal)))
		return (struct text){0};
	return text_head(pod, start - 1);
}

/* JOB-xxxxx or JOB-INDEX-xxxxx; of a long name its end may be missing. */
static bool is_jobs(struct text pod, struct text job)
{
	bool whole;
	struct text base = without_random(pod, &whole);

	if (base.length == 0 || job.length == 0)
		return false;
	if (!whole)
		return text_starts_with(base, text_head(job, job.length < JOB_KEPT ? job.length : JOB_KEPT));
	return text_starts_with(base, job) &&
	       (base.length == job.length ||
		       (base.data[job.length] == '-' && all_digits(text_tail(base, job.length + 1))));
}

/* The CronJob whose job NAME-MINUTES is, or empty. */
static struct text name_of_cron_job(struct text job)
{
	size_t start = last_part(job);
	struct text digits = start ? text_tail(job, start) : (struct text){0};
	uint32_t minutes = 0;

	if (digits.length != MINUTES_DIGITS || !all_digits(digits))
		return (struct text){0};
	for (size_t i = 0; i < digits.length; i++)
		minutes = minutes * 10 + (uint32_t)(digits.data[i] - '0');
	return minutes >= MINUTES_MIN && minutes <= MINUTES_MAX ? text_head(job, start - 1) : (struct text){0};
}

/* --- whose pod it is ------------------------------------------------------------------------------------------------- */

static bool is_owned(struct event_container *view, struct text kind, struct text name)
{
	if (name.length == 0)
		return false;
	view->workload_kind = kind;
	view->workload_name = name;
	return true;
}

static bool is_of_stateful_set(struct event_container *view)
{
	struct text own_name = label_of(view, "statefulset.kubernetes.io/pod-name");
	struct text index = label_of(view, "apps.kubernetes.io/pod-index");

	if ((own_name.length == 0 && index.length == 0) ||
		(own_name.length > 0 && !text_equal(own_name, view->pod_name)))
		return false;
	return is_owned(view, TEXT_LITERAL("StatefulSet"), name_of_stateful_set(view->pod_name, index));
}

static bool is_of_job(struct event_container *view)
{
	struct text job = label_of(view, "batch.kubernetes.io/job-name");

	if (job.length == 0)
		job = label_of(view, "job-name");
	if (!is_jobs(view->pod_name, job))
		return false;
	return is_owned(view, TEXT_LITERAL("CronJob"), name_of_cron_job(job)) ||
	       is_owned(view, TEXT_LITERAL("Job"), job);
}

void names_workload(struct event_container *view)
{
	struct text source = find(view->annotations, view->annotation_count, "kubernetes.io/config.source");
	struct text hash = label_of(view, "pod-template-hash");
	bool from_api = source.length == 0 || text_equal(source, TEXT_LITERAL("api")), whole;

	view->workload_kind = view->workload_name = (struct text){0};
	if (from_api && hash.length > 0 &&
		is_owned(view, TEXT_LITERAL("Deployment"), name_of_deployment(view->pod_name, hash)))
		return;
	if (from_api && (is_of_stateful_set(view) || is_of_job(view)))
		return;
	if (from_api && label_of(view, "controller-revision-hash").length > 0 &&
		is_owned(view, TEXT_LITERAL("DaemonSet"), without_random(view->pod_name, &whole)))
		return;
	(void)is_owned(view, TEXT_LITERAL("Pod"), view->pod_name);
}

/* --- its class ------------------------------------------------------------------------------------------------------- */

/* The next part of `path` before one of `ends`; what is behind that stays in `path`. */
static struct text next_part(struct text *path, const char *ends)
{
	size_t length = 0;
	struct text part;

	while (length < path->length && !memchr(ends, path->data[length], strlen(ends)))
		length++;
	part = text_head(*path, length);
	*path = text_tail(*path, length + (length < path->length));
	return part;
}

enum event_qos names_qos(struct text cgroup)
{
	enum event_qos qos = EVENT_QOS_UNKNOWN;

	/* systemd's slices have the same words between dashes. A pod's uid is one part or several, always behind the words. */
	while (cgroup.length > 0) {
		struct text part = next_part(&cgroup, "/-:.");

		if (qos == EVENT_QOS_UNKNOWN)
			qos = text_equal(part, TEXT_LITERAL("kubepods")) ? EVENT_GUARANTEED : EVENT_QOS_UNKNOWN;
		else if (text_equal(part, TEXT_LITERAL("burstable")))
			qos = EVENT_BURSTABLE;
		else if (text_equal(part, TEXT_LITERAL("besteffort")))
			qos = EVENT_BEST_EFFORT;
		else if (text_starts_with(part, TEXT_LITERAL("pod")) && part.length > 3)
			return qos;
	}
	return EVENT_QOS_UNKNOWN;
}
