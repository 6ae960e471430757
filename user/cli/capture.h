/* SPDX-License-Identifier: Apache-2.0 */
/* Captures of packets, pcap and pcapng: what IP, TCP and UDP say in them, whatever they were captured on. */
#ifndef TAFFRAIL_CLI_CAPTURE_H
#define TAFFRAIL_CLI_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

enum { CAPTURE_WHY = 320 };

enum packet_kind {
	PACKET_NONE, /* no TCP, no UDP, a later fragment, or cut before its ports */
	PACKET_TCP,
	PACKET_UDP,
	PACKET_UNREACHABLE, /* ICMP says that the packet from source to destination came to nobody */
};

enum { PACKET_FIN = 1, PACKET_SYN = 2, PACKET_RST = 4, PACKET_ACK = 16 };

struct packet {
	uint64_t time_ns; /* Unix time; never before that of the packet before */
	enum packet_kind kind;
	uint8_t transport; /* IPPROTO_TCP or IPPROTO_UDP */
	struct event_address source, destination;
	uint8_t flags;        /* TCP: PACKET_SYN and the like */
	uint32_t sequence;    /* TCP: of the first byte of the payload, or of the SYN */
	const uint8_t *bytes; /* the payload, good until the next packet */
	size_t length;        /* of it, as far as it was captured */
	size_t whole;         /* as it was sent */
};

struct capture;

/* 0; -EINVAL: the file cannot be read or is no capture of IP, and `why` says it in a sentence. "-" is stdin. */
int capture_open(struct capture **capture, const char *path, char why[CAPTURE_WHY]);
/* 1: there is a packet; 0: that was all; -EINVAL: the rest cannot be read, and `why` says why. */
int capture_next(struct capture *capture, struct packet *packet, char why[CAPTURE_WHY]);
/* May be called with NULL. */
void capture_close(struct capture *capture);

/* --- the layers, of one packet -------------------------------------------------------------------------------------------- */

/* capture_link.c: are packets of this link type (libpcap's DLT) understood? */
bool capture_link_known(int link);
/* Where the IP packet begins in the frame: `offset`. False if there is none, or it was cut. */
bool capture_link_skip(int link, const uint8_t *bytes, size_t length, size_t *offset);

/* capture_ip.c: fills all but the time. `length` bytes are here of the `whole` that were sent. */
void capture_ip_read(struct packet *packet, const uint8_t *bytes, size_t length, size_t whole);

#endif
