/* SPDX-License-Identifier: Apache-2.0 */
/* A capture file, from its first byte to the verdicts' documents. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "cli/capture.h"
#include "cli/p2p.h"
#include "cli/p2p_replay.h"

static struct p2p_thresholds thresholds;
static struct flow_ranges inside;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	p2p_thresholds_default(&thresholds);
	thresholds.endpoints = 8;
	thresholds.names = 8;
	flow_ranges_default(&inside);
	return 0;
}

static void expect_packet(const struct packet *packet, uint64_t last_ns)
{
	fuzz_expect(packet->time_ns >= last_ns && packet->length <= packet->whole);
	fuzz_expect(packet->kind == PACKET_NONE ||
		    (packet->source.family && packet->source.family == packet->destination.family));
	fuzz_expect(packet->length == 0 || packet->bytes);
}

static void expect_report(void *context, const struct event_address *address, const struct p2p_report *report)
{
	struct buffer document = {0};

	(void)context;
	fuzz_expect(report->score <= 100 && report->verdict <= P2P_CONFIRMED && report->reason_count <= P2P_REASONS);
	fuzz_expect((report->verdict == P2P_NONE) == (report->family == FAMILY_NONE));
	fuzz_expect(report->verdict != P2P_NONE || report->decided_ns == 0);
	p2p_write_json(&document, address, report);
	fuzz_expect_document(&document);
	buffer_clear(&document);
	p2p_write_lines(&document, address, report);
	fuzz_expect(document.length > 0 && document.data[document.length - 1] == '\n');
	buffer_free(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	int fd = memfd_create("capture", MFD_CLOEXEC), got;
	char path[64], why[CAPTURE_WHY] = "";
	struct p2p_replay *replay;
	struct capture *capture;
	struct packet packet;
	uint64_t last_ns = 0;

	fuzz_expect(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (capture_open(&capture, path, why) < 0) {
		fuzz_expect(!capture && why[0]);
		close(fd);
		return 0;
	}
	fuzz_expect(p2p_replay_open(&replay, 32, &thresholds, &inside, NULL) == 0);
	while ((got = capture_next(capture, &packet, why)) > 0) {
		expect_packet(&packet, last_ns);
		last_ns = packet.time_ns;
		p2p_replay_packet(replay, &packet);
	}
	fuzz_expect(got == 0 || why[0]);
	p2p_replay_report(replay, expect_report, NULL);
	p2p_replay_close(replay);
	capture_close(capture);
	close(fd);
	return 0;
}
