/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct capture {
	pcap_t *pcap;
	int link;
	uint64_t last_ns;
};

int capture_open(struct capture **capture, const char *path, char why[CAPTURE_WHY])
{
	struct capture *made = calloc(1, sizeof(*made));
	char error[PCAP_ERRBUF_SIZE] = "";

	*capture = NULL;
	if (!made) {
		snprintf(why, CAPTURE_WHY, "out of memory");
		return -EINVAL;
	}
	made->pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, error);
	if (!made->pcap) {
		size_t named = strlen(path);

		/* Of some failures libpcap names the file, of others not: the caller does. */
		snprintf(why, CAPTURE_WHY, "%s",
			strncmp(error, path, named) == 0 && error[named] == ':' ? error + named + 2 : error);
		free(made);
		return -EINVAL;
	}
	made->link = pcap_datalink(made->pcap);
	if (!capture_link_known(made->link)) {
		const char *name = pcap_datalink_val_to_name(made->link);

		snprintf(why, CAPTURE_WHY, "no IP is known in packets of link type %d (%s)", made->link,
			name ? name : "unknown");
		capture_close(made);
		return -EINVAL;
	}
	*capture = made;
	return 0;
}

int capture_next(struct capture *capture, struct packet *packet, char why[CAPTURE_WHY])
{
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	size_t offset;
	uint64_t time_ns;
	int got = pcap_next_ex(capture->pcap, &header, &bytes);

	if (got == PCAP_ERROR_BREAK)
		return 0;
	if (got != 1) {
		snprintf(why, CAPTURE_WHY, "%s", pcap_geterr(capture->pcap));
		return -EINVAL;
	}
	time_ns = header->ts.tv_sec < 0 || header->ts.tv_usec < 0
			  ? 0
			  : (uint64_t)header->ts.tv_sec * 1000000000u + (uint64_t)header->ts.tv_usec;
	if (time_ns > capture->last_ns)
		capture->last_ns = time_ns;
	*packet = (struct packet){.time_ns = capture->last_ns};
	if (capture_link_skip(capture->link, bytes, header->caplen, &offset))
		capture_ip_read(packet, bytes + offset, header->caplen - offset,
			header->len > header->caplen ? header->len - offset : header->caplen - offset);
	return 1;
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	pcap_close(capture->pcap);
	free(capture);
}
