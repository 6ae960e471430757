# SPDX-License-Identifier: Apache-2.0
"""Captures, made by hand: packets from layers, files from packets."""
import ipaddress
import struct

SYN, ACK, RST, FIN = 2, 16, 4, 1


def udp(source, destination, payload):
    return 17, source, destination, struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0) + payload


def tcp(source, destination, flags, sequence, payload=b""):
    return 6, source, destination, struct.pack(">HHIIBBHHH", source[1], destination[1], sequence & 0xffffffff, 0, 0x50, flags,
                                               65535, 0, 0) + payload


def ip(segment, fragment=0, extension=b""):
    """The IP packet of a segment, of the version that its addresses have. `extension`: a header of IPv6 options."""
    protocol, source, destination, body = segment
    source, destination = (ipaddress.ip_address(each[0]) for each in (source, destination))
    if source.version == 4:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, fragment, 64, protocol, 0) + source.packed + destination.packed + body
    if extension:
        body, protocol = bytes([protocol]) + extension[1:] + body, extension[0]
    return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + source.packed + destination.packed + body


def ethernet(packet, tags=b""):
    return bytes(12) + tags + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def pcap(packets, link=1, snap=262144, order="<"):
    """`packets`: (seconds, bytes)."""
    out = struct.pack(order + "IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, snap, link)
    for seconds, packet in packets:
        out += struct.pack(order + "IIII", int(seconds), round(seconds % 1 * 1000000), min(snap, len(packet)), len(packet))
        out += packet[:snap]
    return out


def pcapng(packets, link=1):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))

    out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1)) + block(1, struct.pack("<HHI", link, 0, 0))
    for seconds, packet in packets:
        ticks = round(seconds * 1000000)
        out += block(6, struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xffffffff, len(packet), len(packet)) + packet)
    return out


class Connection:
    """A TCP connection's segments, in order: what each end says next."""

    def __init__(self, client, server, start=1000):
        self.client, self.server = client, server
        self.next = {True: start, False: 9000}
        self.segments = [tcp(client, server, SYN, start), tcp(server, client, SYN | ACK, 9000)]
        self.next = {True: start + 1, False: 9001}
        self.segments.append(tcp(client, server, ACK, start + 1))

    def say(self, by_client, payload):
        ends = (self.client, self.server) if by_client else (self.server, self.client)
        self.segments.append(tcp(*ends, ACK, self.next[by_client], payload))
        self.next[by_client] += len(payload)
        return self


def timed(segments, start=1700000000.0, step=0.01, wrap=ethernet):
    return [(start + i * step, wrap(ip(segment))) for i, segment in enumerate(segments)]
