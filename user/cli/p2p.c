/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/p2p.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/options.h"
#include "cli/capture.h"
#include "cli/p2p_replay.h"

struct p2p_command {
	const char *path;
	bool json;
	struct flow_ranges local, inside; /* count 0: nothing was said */
};

/* --- output --------------------------------------------------------------------------------------------------------------- */

static void add_time(struct json *json, uint64_t unix_ns)
{
	char text[CLOCK_TEXT_SIZE];

	if (unix_ns == 0) {
		json_raw(json, "null", 4);
		return;
	}
	clock_format(text, unix_ns);
	json_plain(json, text, strlen(text));
}

static void add_reason(struct json *json, const struct p2p_reason_report *reason)
{
	json_object_begin(json);
	json_member_unsigned(json, "points", reason->points);
	json_member_string(json, "what", text_of(reason->what));
	json_key(json, "samples");
	json_array_begin(json);
	for (size_t i = 0; i < reason->sample_count; i++)
		json_string(json, text_of(reason->samples[i]));
	json_array_end(json);
	json_object_end(json);
}

void p2p_write_json(struct buffer *out, const struct event_address *address, const struct p2p_report *report)
{
	const char *family = payload_family_name(report->family);
	struct json json = json_begin(out);
	char text[FLOW_END_TEXT];

	json_object_begin(&json);
	json_key(&json, "host");
	json_object_begin(&json);
	json_member_string(&json, "ip", text_of(flow_end_format(text, address)));
	json_object_end(&json);
	json_member_string(&json, "verdict", text_of(p2p_verdict_name(report->verdict)));
	json_key(&json, "family");
	if (family)
		json_string(&json, text_of(family));
	else
		json_raw(&json, "null", 4);
	json_member_unsigned(&json, "score", report->score);
	json_key(&json, "reasons");
	json_array_begin(&json);
	for (size_t i = 0; i < report->reason_count; i++)
		add_reason(&json, &report->reasons[i]);
	json_array_end(&json);
	json_key(&json, "first_packet");
	add_time(&json, report->first_ns);
	json_key(&json, "decided");
	add_time(&json, report->decided_ns);
	json_object_end(&json);
}

static void add_line(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_line(struct buffer *out, const char *format, ...)
{
	char line[512];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	buffer_append(out, line, length < (int)sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

void p2p_write_lines(struct buffer *out, const struct event_address *address, const struct p2p_report *report)
{
	const char *family = payload_family_name(report->family);
	char text[FLOW_END_TEXT];

	add_line(out, "%-15s  %s", flow_end_format(text, address), p2p_verdict_name(report->verdict));
	if (family)
		add_line(out, " %s", family);
	add_line(out, ", score %u", report->score);
	if (report->decided_ns)
		add_line(out, ", %.1f s after its first packet", (double)(report->decided_ns - report->first_ns) / 1e9);
	add_line(out, "\n");
	for (size_t i = 0; i < report->reason_count; i++) {
		const struct p2p_reason_report *reason = &report->reasons[i];

		add_line(out, "  %3u  %s", reason->points, reason->what);
		for (size_t j = 0; j < reason->sample_count; j++)
			add_line(out, "%s%s", j ? ", " : ": ", reason->samples[j]);
		add_line(out, "\n");
	}
}

struct printer {
	struct buffer out;
	bool json;
	unsigned int addresses, suspected, confirmed;
};

static void print_report(void *context, const struct event_address *address, const struct p2p_report *report)
{
	struct printer *printer = context;

	printer->addresses++;
	printer->suspected += report->verdict == P2P_SUSPECTED;
	printer->confirmed += report->verdict == P2P_CONFIRMED;
	if (printer->json) {
		p2p_write_json(&printer->out, address, report);
		buffer_append(&printer->out, "\n", 1);
	} else {
		p2p_write_lines(&printer->out, address, report);
	}
	if (printer->out.length > 1 << 16) {
		fwrite(printer->out.data, 1, printer->out.length, stdout);
		buffer_clear(&printer->out);
	}
}

/* --- the command ---------------------------------------------------------------------------------------------------------- */

/* Says what stands in the way of believing the result. */
static void warn_of_limits(const struct p2p_replay *replay)
{
	struct p2p_replay_counters counters;

	p2p_replay_counters(replay, &counters);
	if (counters.not_judged)
		log_warning("more than %d addresses open flows: some were not judged; --local says which to judge",
			P2P_REPLAY_ADDRESSES);
	if (counters.flows_pushed_out)
		log_warning("%llu flows were forgotten before their end: more than %d at a time",
			(unsigned long long)counters.flows_pushed_out, P2P_REPLAY_FLOWS);
}

static int judge(const struct p2p_command *command, struct capture *capture, struct p2p_replay *replay)
{
	struct printer printer = {.json = command->json};
	char why[CAPTURE_WHY];
	struct packet packet;
	int got, code = EXIT_SUCCESS;

	while ((got = capture_next(capture, &packet, why)) > 0)
		p2p_replay_packet(replay, &packet);
	if (got < 0)
		log_warning("%s: %s; judged is what stands before", command->path, why);
	p2p_replay_report(replay, print_report, &printer);
	if (!command->json)
		add_line(&printer.out, "%u addresses: %u confirmed, %u suspected\n", printer.addresses,
			printer.confirmed, printer.suspected);
	if (printer.out.failed) {
		log_error("out of memory");
		code = EXIT_FAILURE;
	}
	if (printer.out.length > 0)
		fwrite(printer.out.data, 1, printer.out.length, stdout);
	if (fflush(stdout) != 0 && errno != EPIPE) {
		log_error("stdout: %s", strerror(errno));
		code = EXIT_FAILURE;
	}
	buffer_free(&printer.out);
	warn_of_limits(replay);
	return code;
}

static int run(const struct p2p_command *command)
{
	struct p2p_thresholds thresholds;
	struct p2p_replay *replay;
	struct capture *capture;
	char why[CAPTURE_WHY];
	int code = EXIT_FAILURE;

	/* What a detector may need is far more than most of them do: as pages of their own they come when they are touched. */
	mallopt(M_MMAP_THRESHOLD, 16 * 1024);
	if (capture_open(&capture, command->path, why) < 0)
		return options_wrong("%s: %s", command->path, why);
	p2p_thresholds_default(&thresholds);
	if (p2p_replay_open(&replay, P2P_REPLAY_FLOWS, &thresholds, &command->inside,
		    command->local.count ? &command->local : NULL) < 0) {
		log_error("out of memory");
	} else {
		code = judge(command, capture, replay);
		p2p_replay_close(replay);
	}
	capture_close(capture);
	return code;
}

static void print_help(void)
{
	printf("taffrail p2p - who in a capture takes part in a network of peers, and why?\n\n"
	       "Usage: taffrail p2p --pcap FILE [--local CIDR]... [--internal CIDR]... [--json]\n\n"
	       "  --pcap FILE      a capture, pcap or pcapng; - is stdin\n"
	       "  --local CIDR     judge these addresses; without it, each that opens a flow\n"
	       "  --internal CIDR  what is inside: there hard evidence counts, behaviour not;\n"
	       "                   instead of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16,\n"
	       "                   100.64.0.0/10, 169.254.0.0/16, loopback, multicast, fc00::/7,\n"
	       "                   fe80::/10\n"
	       "  --json           one document a line: host, verdict, family, score, reasons,\n"
	       "                   first_packet, decided\n"
	       "  --help           print this help\n\n"
	       "A verdict is none, suspected or confirmed; a family bittorrent, ipfs, syncthing,\n"
	       "blockchain, edonkey, gnutella or other. Each reason has its points and its\n"
	       "number, as of the time when the verdict was strongest. Confirmed takes words\n"
	       "that only peers say: handshakes, trackers, DHT, uTP. Only the first bytes of\n"
	       "messages are looked at.\n"
	       "Exit: 0 judged, whatever was found; 1 no memory, or stdout is gone; 2 wrong\n"
	       "usage, or FILE is no capture of IP.\n");
}

static int add_range(struct flow_ranges *ranges, const char *option, const char *text)
{
	switch (flow_ranges_add(ranges, text)) {
	case 0: return -1;
	case -ENOSPC: return options_wrong("%s: more than %d ranges", option, FLOW_RANGES_MAX);
	default: return options_wrong("%s: \"%s\" is no range of addresses, such as 10.0.0.0/8", option, text);
	}
}

int p2p_run(int argc, char **argv)
{
	struct p2p_command command = {.path = NULL};
	int code;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		bool takes =
			strcmp(word, "--pcap") == 0 || strcmp(word, "--local") == 0 || strcmp(word, "--internal") == 0;

		if (strcmp(word, "--help") == 0) {
			print_help();
			return EXIT_SUCCESS;
		}
		if (takes && i + 1 == argc)
			return options_wrong("%s needs a value; try --help", word);
		code = -1;
		if (strcmp(word, "--json") == 0)
			command.json = true;
		else if (strcmp(word, "--pcap") == 0)
			command.path = argv[++i];
		else if (strcmp(word, "--local") == 0)
			code = add_range(&command.local, word, argv[++i]);
		else if (strcmp(word, "--internal") == 0)
			code = add_range(&command.inside, word, argv[++i]);
		else
			return options_wrong("p2p knows no \"%s\"; try --help", word);
		if (code >= 0)
			return code;
	}
	if (!command.path)
		return options_wrong("p2p needs --pcap FILE; try --help");
	if (command.inside.count == 0)
		flow_ranges_default(&command.inside);
	return run(&command);
}
