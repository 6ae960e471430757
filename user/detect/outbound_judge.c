/* SPDX-License-Identifier: Apache-2.0 */
/* Reasons become verdicts, and verdicts findings: each once, and what comes after it is counted. */
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "detect/outbound_inside.h"

enum { TAGS = 8 };

#define DAY_NS (24 * 3600 * 1000000000ull)

static const struct {
	const char *key, *name;
	uint8_t severity;
	const char *tags[TAGS];
} rules[OUTBOUND_RULES_END] = {
#define RULE(rule, key, name, severity, ...)                                                                           \
	[OUTBOUND_##rule] = {key, name, severity, {"container", "network", __VA_ARGS__}},
	OUTBOUND_RULES(RULE)
#undef RULE
};

static const char *const descriptions[OUTBOUND_RULES_END] = {
	[OUTBOUND_P2P] = ("The program takes part in a network of peers: it uploads what it holds, and costs traffic."),
	[OUTBOUND_MINING] = ("The program mines a cryptocurrency, or speaks to a pool of those who do."),
	[OUTBOUND_TOR] = ("The program reaches the Tor network, which hides with whom it speaks."),
	[OUTBOUND_SCAN] = ("The program tries hosts or ports one after another, nearly all in vain."),
	[OUTBOUND_BEACON] = ("The program connects to one end outside at regular intervals, with messages of regular "
			     "sizes, for hours."),
	[OUTBOUND_TUNNEL] = ("The program asks for names that carry data: DNS as a way out."),
	[OUTBOUND_EGRESS] = ("The program sends far more to the outside than it ever has."),
};

static const struct {
	enum outbound_rule rule;
	const char *key, *text;
} reasons[OUTBOUND_REASONS_END] = {
#define REASON(rule, name, points, text) [OUTBOUND_##name] = {OUTBOUND_##rule, #name, text},
	OUTBOUND_REASONS(REASON)
#undef REASON
};

/* Settings of the rules' verdicts; those of peers are their detector's own. */
static const struct {
	enum outbound_setting suspected, confirmed, evidence;
} limits[OUTBOUND_RULES_END] = {
	[OUTBOUND_MINING] = {OUTBOUND_SET_MINING_SUSPECTED, OUTBOUND_SET_MINING_CONFIRMED,
		OUTBOUND_SET_MINING_EVIDENCE},
	[OUTBOUND_TOR] = {OUTBOUND_SET_TOR_SUSPECTED, OUTBOUND_SET_TOR_CONFIRMED, OUTBOUND_SET_TOR_EVIDENCE},
	[OUTBOUND_SCAN] = {OUTBOUND_SET_SCAN_SUSPECTED, OUTBOUND_SET_SCAN_CONFIRMED, OUTBOUND_SET_SCAN_EVIDENCE},
	[OUTBOUND_BEACON] = {OUTBOUND_SET_BEACON_SUSPECTED, OUTBOUND_SET_BEACON_CONFIRMED,
		OUTBOUND_SET_BEACON_EVIDENCE},
	[OUTBOUND_TUNNEL] = {OUTBOUND_SET_TUNNEL_SUSPECTED, OUTBOUND_SET_TUNNEL_CONFIRMED,
		OUTBOUND_SET_TUNNEL_EVIDENCE},
	[OUTBOUND_EGRESS] = {OUTBOUND_SET_EGRESS_SUSPECTED, OUTBOUND_SET_EGRESS_CONFIRMED,
		OUTBOUND_SET_EGRESS_EVIDENCE},
};

const char *outbound_rule_key(enum outbound_rule rule)
{
	return (unsigned int)rule < OUTBOUND_RULES_END ? rules[rule].key : NULL;
}

const char *outbound_rule_name(enum outbound_rule rule)
{
	return (unsigned int)rule < OUTBOUND_RULES_END ? rules[rule].name : NULL;
}

enum outbound_rule outbound_reason_rule(enum outbound_reason reason)
{
	return reasons[reason].rule;
}

const char *outbound_reason_key(enum outbound_reason reason)
{
	return reasons[reason].key;
}

/* --- reasons -------------------------------------------------------------------------------------------------------------- */

static struct outbound_board *board_of(struct outbound_state *state)
{
	if (!state->board)
		state->board = calloc(1, sizeof(*state->board));
	state->outbound->counters.without_memory += !state->board;
	return state->board;
}

static void add_sample(struct outbound_evidence *evidence, const char *sample)
{
	char *to;

	for (size_t i = 0; i < evidence->sample_count; i++)
		if (strncmp(evidence->samples[i], sample, P2P_SAMPLE_TEXT - 1) == 0)
			return;
	if (evidence->sample_count == OUTBOUND_SAMPLES || sample[0] == '\0')
		return;
	to = evidence->samples[evidence->sample_count++];
	snprintf(to, P2P_SAMPLE_TEXT, "%s", sample);
	utf8_defuse(to, strlen(to));
}

void outbound_meet(struct outbound_state *state, enum outbound_reason reason, const char *sample, uint64_t now_ns)
{
	enum outbound_rule rule = reasons[reason].rule;
	struct outbound_board *board = state->outbound->settings->off[rule] ? NULL : board_of(state);
	struct outbound_evidence *evidence;

	if (!board)
		return;
	evidence = &board->evidence[reason];
	if (now_ns - evidence->last_ns > outbound_time(state, limits[rule].evidence)) {
		evidence->count = 0;
		evidence->sample_count = 0;
	}
	evidence->count++;
	evidence->points = state->outbound->settings->points[reason];
	evidence->last_ns = now_ns;
	evidence->what[0] = '\0';
	if (sample)
		add_sample(evidence, sample);
	state->met |= 1u << rule;
}

void outbound_meet_flow(
	struct outbound_state *state, enum outbound_reason reason, const struct flow *flow, uint64_t now_ns)
{
	char end[FLOW_END_TEXT], sample[P2P_SAMPLE_TEXT];

	snprintf(sample, sizeof(sample), "%s %s", flow->transport == IPPROTO_UDP ? "udp" : "tcp",
		flow_end_format(end, &flow->remote));
	outbound_meet(state, reason, sample, now_ns);
}

/* The points of a rule as of now. */
static unsigned int score_of(const struct outbound_state *state, enum outbound_rule rule, uint64_t now_ns)
{
	uint64_t points = 0;

	for (int i = 0; state->board && i < OUTBOUND_REASONS_END; i++) {
		const struct outbound_evidence *evidence = &state->board->evidence[i];

		if (reasons[i].rule == rule && evidence->count > 0 &&
			now_ns - evidence->last_ns <= outbound_time(state, limits[rule].evidence))
			points += evidence->points;
	}
	return points > 100 ? 100 : (unsigned int)points;
}

static enum p2p_verdict verdict_of(const struct outbound_state *state, enum outbound_rule rule, unsigned int score)
{
	if (score >= outbound_setting(state, limits[rule].confirmed))
		return P2P_CONFIRMED;
	return score >= outbound_setting(state, limits[rule].suspected) ? P2P_SUSPECTED : P2P_NONE;
}

void outbound_take_offer(struct outbound_state *state, enum outbound_rule rule, const struct outbound_offer *offers,
	size_t count, uint64_t now_ns)
{
	const uint64_t *most = state->outbound->settings->points;
	struct outbound_board *board;
	uint64_t points = 0;

	for (size_t i = 0; i < count; i++)
		points += most[offers[i].reason] * offers[i].percent / 100;
	points = points > 100 ? 100 : points;
	if (state->outbound->settings->off[rule] || points < score_of(state, rule, now_ns) ||
		verdict_of(state, rule, (unsigned int)points) == P2P_NONE || !(board = board_of(state)))
		return;
	for (size_t i = 0; i < count; i++) {
		struct outbound_evidence *evidence = &board->evidence[offers[i].reason];

		*evidence = (struct outbound_evidence){.count = offers[i].percent > 0,
			.points = most[offers[i].reason] * offers[i].percent / 100,
			.last_ns = now_ns};
		snprintf(evidence->what, sizeof(evidence->what), "%s", offers[i].what);
		utf8_defuse(evidence->what, strlen(evidence->what));
		add_sample(evidence, offers[i].sample);
	}
	state->met |= 1u << rule;
}

/* --- a finding ------------------------------------------------------------------------------------------------------------ */

/* All that a finding points at. */
struct told {
	struct event_detector detector;
	struct event_reason reasons[EVENT_REASONS_MAX];
	struct text samples[EVENT_REASONS_MAX][OUTBOUND_SAMPLES];
	char what[EVENT_REASONS_MAX][P2P_WHAT_TEXT];
	struct text peers[EVENT_PEERS_MAX];
	struct event_touched files[EVENT_TOUCHED_MAX];
	struct text tags[TAGS];
	size_t tag_count;
};

static void add_reason(struct told *told, uint64_t points, const char *what, const char samples[][P2P_SAMPLE_TEXT],
	size_t sample_count)
{
	size_t at = told->detector.reason_count++;
	struct event_reason *reason = &told->reasons[at];

	*reason =
		(struct event_reason){.points = (uint32_t)points, .what = text_of(what), .samples = told->samples[at]};
	for (; reason->sample_count < sample_count; reason->sample_count++)
		told->samples[at][reason->sample_count] = text_of(samples[reason->sample_count]);
}

static void add_reasons(struct told *told, const struct outbound_state *state, enum outbound_rule rule, uint64_t now_ns)
{
	for (int i = 0; i < OUTBOUND_REASONS_END; i++) {
		const struct outbound_evidence *evidence = &state->board->evidence[i];
		char *what = told->what[told->detector.reason_count];

		if (reasons[i].rule != rule || evidence->count == 0 || evidence->points == 0 ||
			now_ns - evidence->last_ns > outbound_time(state, limits[rule].evidence))
			continue;
		if (evidence->what[0])
			snprintf(what, P2P_WHAT_TEXT, "%s", evidence->what);
		else
			snprintf(what, P2P_WHAT_TEXT, "%u %s", evidence->count, reasons[i].text);
		add_reason(told, evidence->points, what, evidence->samples, evidence->sample_count);
	}
}

/* Ends among the samples, each once: they begin with their transport. */
static void add_peers(struct told *told)
{
	for (size_t i = 0; i < told->detector.reason_count; i++)
		for (size_t j = 0; j < told->reasons[i].sample_count; j++) {
			struct text sample = told->reasons[i].samples[j];
			bool known = !text_starts_with(sample, TEXT_LITERAL("tcp")) &&
				     !text_starts_with(sample, TEXT_LITERAL("udp"));

			for (size_t k = 0; k < told->detector.peer_count; k++)
				known = known || text_equal(told->peers[k], sample);
			if (!known && told->detector.peer_count < EVENT_PEERS_MAX)
				told->peers[told->detector.peer_count++] = sample;
		}
}

/* The files of a day, the newest first, written before opened ones. */
static void add_files(struct told *told, const struct outbound_state *state, uint64_t now_ns)
{
	for (int pass = 0; state->files && pass < 2; pass++) {
		const struct outbound_file *files = pass ? state->files->opened : state->files->written;
		uint64_t before = UINT64_MAX;

		for (int n = 0; n < OUTBOUND_FILES; n++) {
			const struct outbound_file *newest = NULL;

			for (int i = 0; i < OUTBOUND_FILES; i++)
				if (files[i].hash && files[i].last_ns < before && now_ns - files[i].last_ns < DAY_NS &&
					(!newest || files[i].last_ns > newest->last_ns))
					newest = &files[i];
			if (!newest)
				break;
			before = newest->last_ns;
			told->files[told->detector.file_count++] =
				(struct event_touched){text_of(newest->path), pass == 0};
		}
	}
}

static void fill(struct told *told, const struct outbound_state *state, enum outbound_rule rule, uint64_t now_ns)
{
	struct event_detector *detector = &told->detector;

	detector->key = text_of(rules[rule].key);
	detector->reasons = told->reasons;
	detector->peers = told->peers;
	detector->files = told->files;
	detector->bytes_out = state->bytes_out;
	detector->bytes_in = state->bytes_in;
	detector->first_ns = state->first_ns;
	add_peers(told);
	if (rule == OUTBOUND_P2P || rule == OUTBOUND_EGRESS || rule == OUTBOUND_TUNNEL)
		add_files(told, state, now_ns);
	while (told->tag_count < TAGS && rules[rule].tags[told->tag_count]) {
		told->tags[told->tag_count] = text_of(rules[rule].tags[told->tag_count]);
		told->tag_count++;
	}
}

static void tell(struct outbound_state *state, enum outbound_rule rule, enum p2p_verdict verdict, struct told *told,
	uint64_t now_ns)
{
	struct outbound *outbound = state->outbound;
	struct outbound_finding finding = {
		.rule = rule,
		.verdict = verdict,
		.container_id = state->inside ? state->container_id : NULL,
		.process = rule == OUTBOUND_SCAN && state->opener ? state->opener : state->process,
		.flow = outbound->flow,
		.time_ns = now_ns,
	};
	uint8_t severity = rules[rule].severity;

	fill(told, state, rule, now_ns);
	told->detector.verdict = text_of(p2p_verdict_name(verdict));
	/* What is only suspected weighs one step less. */
	if (verdict == P2P_SUSPECTED && severity < EVENT_NOTICE)
		severity = severity == EVENT_CRITICAL ? EVENT_ERROR : (uint8_t)(severity + 1);
	finding.event_rule = (struct event_rule){
		.name = text_of(rules[rule].name),
		.description = text_of(descriptions[rule]),
		.ruleset = TEXT_LITERAL("taffrail"),
		.severity = severity,
		.priority = text_of(severity == EVENT_CRITICAL  ? "Critical"
				    : severity == EVENT_ERROR   ? "Error"
				    : severity == EVENT_WARNING ? "Warning"
								: "Notice"),
		.tags = told->tags,
		.tag_count = told->tag_count,
		.suppressed = state->told[rule].held,
		.detector = &told->detector,
	};
	state->told[rule].verdict = verdict;
	state->told[rule].ns = now_ns;
	state->told[rule].held = 0;
	outbound->counters.findings++;
	outbound->ops.finding(outbound->ops.context, &finding);
}

/* Is the verdict to be told now? If not, `times` that it was met are counted, unless there is none. */
static bool is_new(struct outbound_state *state, enum outbound_rule rule, enum p2p_verdict verdict, uint64_t times,
	uint64_t now_ns)
{
	bool again = state->told[rule].verdict != P2P_NONE &&
		     now_ns - state->told[rule].ns >= outbound_time(state, OUTBOUND_SET_AGAIN);

	if (verdict == P2P_NONE)
		return false;
	if (verdict > state->told[rule].verdict || (again && times > 0))
		return true;
	state->told[rule].held += times;
	state->told[rule].held_ns = times ? now_ns : state->told[rule].held_ns;
	state->outbound->counters.held += times;
	return false;
}

static struct told *new_told(struct outbound *outbound)
{
	struct told *told = calloc(1, sizeof(*told));

	outbound->counters.without_memory += !told;
	return told;
}

void outbound_judge_peers(struct outbound_state *state, uint64_t now_ns)
{
	const struct p2p_report *report =
		state->outbound->flow ? p2p_report_last(state->p2p) : p2p_report_get(state->p2p, now_ns);
	uint64_t noted = p2p_noted(state->p2p), times = noted - state->told[OUTBOUND_P2P].noted;
	struct told *told;

	state->told[OUTBOUND_P2P].noted = noted;
	if (!is_new(state, OUTBOUND_P2P, report->verdict, times, now_ns) || !(told = new_told(state->outbound)))
		return;
	for (size_t i = 0; i < report->reason_count; i++)
		add_reason(told, report->reasons[i].points, report->reasons[i].what, report->reasons[i].samples,
			report->reasons[i].sample_count);
	told->detector.score = report->score;
	told->detector.family = text_of(payload_family_name(report->family));
	tell(state, OUTBOUND_P2P, report->verdict, told, now_ns);
	free(told);
}

static void judge_rule(struct outbound_state *state, enum outbound_rule rule, uint64_t now_ns)
{
	unsigned int score = score_of(state, rule, now_ns);
	enum p2p_verdict verdict = verdict_of(state, rule, score);
	struct told *told;

	/* Who looks for peers tries many ends in vain. */
	if (rule == OUTBOUND_SCAN && state->p2p && p2p_report_last(state->p2p)->verdict != P2P_NONE)
		return;
	if (!is_new(state, rule, verdict, 1, now_ns) || !(told = new_told(state->outbound)))
		return;
	add_reasons(told, state, rule, now_ns);
	told->detector.score = score;
	tell(state, rule, verdict, told, now_ns);
	free(told);
}

void outbound_judge(struct outbound_state *state, uint64_t now_ns)
{
	uint32_t met = state->met;

	if (state->p2p && (p2p_noted(state->p2p) != state->told[OUTBOUND_P2P].noted ||
				  p2p_report_last(state->p2p)->verdict > state->told[OUTBOUND_P2P].verdict))
		outbound_judge_peers(state, now_ns);
	state->met = 0;
	for (int rule = OUTBOUND_P2P + 1; met && rule < OUTBOUND_RULES_END; rule++)
		if (met >> rule & 1)
			judge_rule(state, (enum outbound_rule)rule, now_ns);
}

void outbound_tell_held(struct outbound_state *state)
{
	const struct outbound_ops *ops = &state->outbound->ops;

	for (int rule = 0; rule < OUTBOUND_RULES_END; rule++) {
		const struct outbound_held held = {
			.rule = (enum outbound_rule)rule,
			.container_id = state->inside ? state->container_id : NULL,
			.process = state->process,
			.count = state->told[rule].held,
			.time_ns = state->told[rule].held_ns,
		};

		if (held.count > 0 && ops->held)
			ops->held(ops->context, &held);
		state->told[rule].held = 0;
	}
}

/* --- words for people ----------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void add(struct buffer *out, const char *format, ...)
{
	char text[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buffer_append(out, text, length < (int)sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

static void add_text(struct buffer *out, const char *before, struct text text)
{
	if (text.length == 0)
		return;
	buffer_append(out, before, strlen(before));
	buffer_append(out, text.data, text.length);
}

static void add_bytes(struct buffer *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double number = (double)bytes;
	size_t unit = 0;

	for (; number >= 1024 && unit < 4; unit++)
		number /= 1024;
	add(out, unit ? "%.1f %s" : "%.0f %s", number, units[unit]);
}

void outbound_sentence(
	struct buffer *out, const struct outbound_finding *finding, const struct event_container *container)
{
	const struct event_detector *detector = finding->event_rule.detector;
	const struct event_process *process = finding->process;

	add(out, "%s", rules[finding->rule].name);
	add_text(out, " (", detector->family);
	add(out, "%s %s, score %u: ", detector->family.length > 0 ? ")" : "", p2p_verdict_name(finding->verdict),
		detector->score);
	for (size_t i = 0; i < detector->reason_count; i++) {
		const struct event_reason *reason = &detector->reasons[i];

		add_text(out, i ? "; " : "", reason->what);
		if (reason->sample_count > 0) {
			add_text(out, " (", reason->samples[0]);
			add(out, ")");
		}
	}
	add_text(out, " | process=", process->name);
	add(out, "[%u]", process->pid);
	add_text(out, " executable=", process->executable);
	if (container) {
		add_text(out, " container=", container->name);
		add_text(out, " image=", container->image_name);
		add_text(out, " namespace=", container->pod_namespace);
		add_text(out, " pod=", container->pod_name);
	}
	for (size_t i = 0; i < detector->peer_count; i++)
		add_text(out, i ? ", " : " with=", detector->peers[i]);
	add(out, " sent=");
	add_bytes(out, detector->bytes_out);
}

static bool names_rule(struct text words, enum outbound_rule rule)
{
	size_t from = 0;

	for (size_t i = 0; i <= words.length; i++) {
		struct text word;

		if (i < words.length && !strchr(", .\t", words.data[i]))
			continue;
		word = (struct text){words.data + from, i - from};
		if (text_equal(word, text_of(rules[rule].key)) || text_equal(word, TEXT_LITERAL("all")))
			return true;
		from = i + 1;
	}
	return false;
}

bool outbound_is_allowed(const struct event_container *container, enum outbound_rule rule)
{
	static const struct text key = TEXT_STATIC("taffrail.io/allow");

	for (size_t i = 0; container && i < container->annotation_count; i++)
		if (text_equal(container->annotations[i].key, key) && names_rule(container->annotations[i].value, rule))
			return true;
	for (size_t i = 0; container && i < container->label_count; i++)
		if (text_equal(container->labels[i].key, key) && names_rule(container->labels[i].value, rule))
			return true;
	return false;
}

/* --- counting what is different ------------------------------------------------------------------------------------------- */

/* What must be thrown into `bits` places until `set` of them are taken, as a rule: the sum of bits / (bits - i). */
unsigned int outbound_estimate(unsigned int set, unsigned int bits)
{
	double sum = 0;

	for (unsigned int i = 0; i < set && i + 1 < bits; i++)
		sum += (double)bits / (bits - i);
	return (unsigned int)(sum + 0.5);
}

uint64_t outbound_hash(const struct outbound_state *state, const void *bytes, size_t length)
{
	const uint64_t odd = 0x9e3779b97f4a7c15ull;
	const uint8_t *from = bytes;
	uint64_t hash = state->outbound->ops.seed ^ length * odd, part;

	for (; length > 0; from += sizeof(part), length -= length < sizeof(part) ? length : sizeof(part)) {
		part = 0;
		memcpy(&part, from, length < sizeof(part) ? length : sizeof(part));
		hash = (hash ^ part) * odd;
		hash ^= hash >> 32;
	}
	/* The last step of MurmurHash3: each bit of the result depends on all. */
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdull;
	hash ^= hash >> 33;
	hash *= 0xc4ceb9fe1a85ec53ull;
	return hash ^ hash >> 33;
}

uint64_t outbound_host_hash(const struct outbound_state *state, const struct event_address *address)
{
	return outbound_hash(state, address->bytes, sizeof(address->bytes));
}

uint64_t outbound_end_hash(const struct outbound_state *state, const struct event_address *address, uint8_t transport)
{
	uint8_t end[sizeof(address->bytes) + 3];

	memcpy(end, address->bytes, sizeof(address->bytes));
	end[16] = (uint8_t)(address->port >> 8);
	end[17] = (uint8_t)address->port;
	end[18] = transport;
	return outbound_hash(state, end, sizeof(end));
}
