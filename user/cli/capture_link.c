/* SPDX-License-Identifier: Apache-2.0 */
/* The headers before IP, by the link types of libpcap (www.tcpdump.org/linktypes.html). */
#include <pcap/dlt.h>

#include "cli/capture.h"
#include "detect/payload.h"

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	TYPE_QINQ_OLD = 0x9100,
	TYPE_QINQ_OLDER = 0x9200,
	TYPE_MPLS = 0x8847,
	TYPE_PPPOE = 0x8864,
	TYPE_LENGTH_MAX = 1500, /* IEEE 802.3: up to here it is a length, and LLC follows */
	PPP_IPV4 = 0x21,
	PPP_IPV6 = 0x57,
	TAGS_MAX = 8,  /* of VLANs, or of MPLS's labels */
	LINKS_MAX = 4, /* headers that say what is in them, one in the other */
};

/* How a link's header ends. */
enum ending {
	ENDS_IP,   /* with IP, whose version says which */
	ENDS_TYPE, /* with an Ethernet type */
	ENDS_LLC,  /* with LLC and SNAP */
	ENDS_PPP,  /* with PPP's protocol */
	ENDS_OTHERWISE,
};

static const struct {
	int link;
	enum ending ending;
	size_t skip; /* to what it ends with */
} links[] = {
	{DLT_EN10MB, ENDS_TYPE, 12},
	{DLT_NULL, ENDS_IP, 4}, /* a family, whose number every system has another of */
	{DLT_LOOP, ENDS_IP, 4},
	{DLT_ENC, ENDS_IP, 12},
	{DLT_RAW, ENDS_IP, 0},
	{101, ENDS_IP, 0}, /* LINKTYPE_RAW, where it was not translated */
	{DLT_IPV4, ENDS_IP, 0},
	{DLT_IPV6, ENDS_IP, 0},
	{DLT_SLIP, ENDS_IP, 16},
	{DLT_LINUX_SLL, ENDS_TYPE, 14},
	{DLT_LINUX_SLL2, ENDS_OTHERWISE, 0},
	{DLT_PPP, ENDS_PPP, 0},
	{DLT_PPP_SERIAL, ENDS_PPP, 0},
	{DLT_PPP_WITH_DIR, ENDS_PPP, 1},
	{DLT_PPP_ETHER, ENDS_PPP, 6},
	{DLT_C_HDLC, ENDS_TYPE, 2},
	{DLT_IEEE802, ENDS_LLC, 14},
	{DLT_FDDI, ENDS_LLC, 13},
	{DLT_ATM_RFC1483, ENDS_LLC, 0},
	{DLT_IP_OVER_FC, ENDS_LLC, 16},
	{DLT_IPOIB, ENDS_TYPE, 40},
	{DLT_DSA_TAG_BRCM, ENDS_TYPE, 16},
	{DLT_DSA_TAG_BRCM_PREPEND, ENDS_TYPE, 16},
	{DLT_DSA_TAG_DSA, ENDS_TYPE, 16},
	{DLT_DSA_TAG_EDSA, ENDS_TYPE, 20},
	{DLT_ETHERNET_MPACKET, ENDS_TYPE, 20},
	{DLT_NETANALYZER, ENDS_TYPE, 16},
	{DLT_PFLOG, ENDS_OTHERWISE, 0},
	{DLT_NFLOG, ENDS_OTHERWISE, 0},
	{DLT_IEEE802_11, ENDS_OTHERWISE, 0},
	{DLT_IEEE802_11_RADIO, ENDS_OTHERWISE, 0},
	{DLT_PPI, ENDS_OTHERWISE, 0},
	{DLT_PKTAP, ENDS_OTHERWISE, 0},
};

/* The frame, of which `at` bytes have been read. */
struct frame {
	const uint8_t *bytes;
	size_t length, at;
};

static bool has(const struct frame *frame, size_t count)
{
	return frame->at <= frame->length && count <= frame->length - frame->at;
}

static uint16_t u16_little(const uint8_t *bytes)
{
	return (uint16_t)(bytes[1] << 8 | bytes[0]);
}

static bool is_ip(const struct frame *frame)
{
	return has(frame, 1) && (frame->bytes[frame->at] >> 4 == 4 || frame->bytes[frame->at] >> 4 == 6);
}

static bool after_ppp(struct frame *frame)
{
	uint16_t protocol;

	if (has(frame, 2) && frame->bytes[frame->at] == 0xff && frame->bytes[frame->at + 1] == 0x03)
		frame->at += 2;
	if (!has(frame, 2))
		return false;
	protocol = frame->bytes[frame->at++];
	if (protocol % 2 == 0) /* else it was compressed to one byte (RFC 1661, 6.5) */
		protocol = (uint16_t)(protocol << 8 | frame->bytes[frame->at++]);
	return (protocol == PPP_IPV4 || protocol == PPP_IPV6) && is_ip(frame);
}

static bool after_type(struct frame *frame);

static bool after_llc(struct frame *frame)
{
	if (!has(frame, 8) || memcmp(frame->bytes + frame->at, "\xaa\xaa\x03", 3) != 0)
		return false;
	frame->at += 6;
	return after_type(frame);
}

static bool after_mpls(struct frame *frame)
{
	for (int i = 0; i < TAGS_MAX && has(frame, 4); i++) {
		frame->at += 4;
		if (frame->bytes[frame->at - 2] & 1)
			return is_ip(frame);
	}
	return false;
}

static bool after_type(struct frame *frame)
{
	for (int i = 0; i < TAGS_MAX && has(frame, 2); i++) {
		uint16_t type = payload_u16(frame->bytes + frame->at);

		frame->at += 2;
		switch (type) {
		case TYPE_IPV4:
		case TYPE_IPV6: return is_ip(frame);
		case TYPE_VLAN:
		case TYPE_QINQ:
		case TYPE_QINQ_OLD:
		case TYPE_QINQ_OLDER: frame->at += 2; break;
		case TYPE_MPLS: return after_mpls(frame);
		case TYPE_PPPOE: frame->at += 6; return after_ppp(frame);
		default: return type <= TYPE_LENGTH_MAX && after_llc(frame);
		}
	}
	return false;
}

/* IEEE 802.11: only data that is not encrypted. Two more addresses or a quality of service make the header longer. */
static bool after_wireless(struct frame *frame)
{
	const uint8_t *bytes = frame->bytes + frame->at;
	size_t skip = 24;

	if (!has(frame, 24) || (bytes[0] & 0x0c) != 0x08 || (bytes[0] & 0x40) || (bytes[1] & 0x40))
		return false;
	if ((bytes[1] & 3) == 3)
		skip += 6;
	if (bytes[0] & 0x80)
		skip += bytes[1] & 0x80 ? 6 : 2;
	frame->at += skip;
	return after_llc(frame);
}

/* Netfilter's log: attributes, of which one is the packet. */
static bool after_nflog(struct frame *frame)
{
	frame->at += 4;
	while (has(frame, 4)) {
		size_t size = u16_little(frame->bytes + frame->at);

		if (u16_little(frame->bytes + frame->at + 2) == 9) {
			frame->at += 4;
			return is_ip(frame);
		}
		if (size < 4)
			return false;
		frame->at += (size + 3) / 4 * 4;
	}
	return false;
}

static bool after_link(struct frame *frame, int link, int depth)
{
	enum ending ending = ENDS_OTHERWISE;
	uint32_t skip, inner;

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i].link == link) {
			ending = links[i].ending;
			frame->at += links[i].skip;
		}
	switch (ending) {
	case ENDS_IP: return is_ip(frame);
	case ENDS_TYPE: return after_type(frame);
	case ENDS_LLC: return after_llc(frame);
	case ENDS_PPP: return after_ppp(frame);
	case ENDS_OTHERWISE: break;
	}
	if (link == DLT_IEEE802_11)
		return after_wireless(frame);
	if (link == DLT_NFLOG)
		return after_nflog(frame);
	if (!has(frame, 20) || depth == LINKS_MAX)
		return false;
	switch (link) {
	case DLT_LINUX_SLL2:
		/* The type comes first: it is put before what follows the header. */
		inner = payload_u16(frame->bytes + frame->at);
		frame->at += 20;
		if (inner == TYPE_IPV4 || inner == TYPE_IPV6)
			return is_ip(frame);
		if (inner != TYPE_VLAN && inner != TYPE_QINQ)
			return false;
		frame->at += 2;
		return after_type(frame);
	case DLT_PFLOG: frame->at += (frame->bytes[frame->at] + 3u) / 4 * 4; return is_ip(frame);
	case DLT_IEEE802_11_RADIO: frame->at += u16_little(frame->bytes + frame->at + 2); return after_wireless(frame);
	case DLT_PPI:
		skip = u16_little(frame->bytes + frame->at + 2);
		inner = payload_u32_little(frame->bytes + frame->at + 4);
		break;
	case DLT_PKTAP:
		skip = payload_u32_little(frame->bytes + frame->at);
		inner = payload_u32_little(frame->bytes + frame->at + 8);
		break;
	default: return false;
	}
	if (skip > frame->length - frame->at)
		return false;
	frame->at += skip;
	return inner <= 1000 && after_link(frame, (int)inner, depth + 1);
}

bool capture_link_known(int link)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i].link == link)
			return true;
	return false;
}

bool capture_link_skip(int link, const uint8_t *bytes, size_t length, size_t *offset)
{
	struct frame frame = {bytes, length, 0};

	if (!after_link(&frame, link, 0))
		return false;
	*offset = frame.at;
	return true;
}
