# SPDX-License-Identifier: Apache-2.0
"""taffrail p2p: captures of every shape, the documents, the exit codes."""
import json
import random
import struct

import pytest
from conftest import run
from captures import ACK, RST, SYN, Connection, ethernet, ip, pcap, pcapng, tcp, timed, udp

ID = b"abcdefghij0123456789"
HANDSHAKE = b"\x13BitTorrent protocol" + bytes(8) + ID + ID
QUERY = b"d1:ad2:id20:" + ID + b"9:info_hash20:" + ID + b"e1:q9:get_peers1:t2:aa1:y1:qe"
ANSWER = b"d1:rd2:id20:" + ID + b"5:token1:xe1:t2:aa1:y1:re"
ONE, OTHER = ("198.18.0.1", 40001), ("198.18.0.2", 51413)
ONE6, OTHER6 = ("2001:db8::1", 40001), ("2001:db8::2", 51413)


@pytest.fixture
def judge(tmp_path):
    def judging(capture, *options, status=0):
        path = tmp_path / "capture"
        path.write_bytes(capture)
        result = run("taffrail", "p2p", "--pcap", path, "--json", *options)
        assert result.returncode == status, result.stderr
        documents = [json.loads(line) for line in result.stdout.splitlines()]
        for document in documents:
            assert list(document) == ["host", "verdict", "family", "score", "reasons", "first_packet", "decided"]
        judging.log = result.stderr
        return {document["host"]["ip"]: document for document in documents}

    return judging


def exchange(one=ONE, other=OTHER):
    """An encrypted greeting, and then the handshake in clear, as aria2 has it."""
    connection = Connection(one, other)
    noise = random.Random(1).randbytes
    return connection.say(True, noise(200)).say(False, noise(300)).say(True, noise(100)).say(False, noise(50)) \
        .say(True, HANDSHAKE).say(False, HANDSHAKE).segments


def test_a_document_has_what_the_contract_says(judge):
    documents = judge(pcap(timed(exchange())))
    assert list(documents) == ["198.18.0.1"]  # the other one opens no flow
    document = documents["198.18.0.1"]
    assert document["verdict"] == "confirmed" and document["family"] == "bittorrent" and 70 <= document["score"] <= 100
    assert document["first_packet"] == "2023-11-14T22:13:20.000000000Z"
    assert document["decided"].startswith("2023-11-14T22:13:20.07")
    assert document["reasons"][0] == {"points": 90, "what": "1 BitTorrent handshakes exchanged with peers",
                                      "samples": ["tcp 198.18.0.2:51413"]}


def test_local_says_who_is_judged(judge):
    documents = judge(pcap(timed(exchange())), "--local", "198.18.0.2/32")
    assert list(documents) == ["198.18.0.2"] and documents["198.18.0.2"]["verdict"] == "confirmed"
    assert len(judge(pcap(timed(exchange())), "--local", "198.18.0.1", "--local", "198.18.0.2")) == 2
    assert judge(pcap(timed(exchange())), "--local", "10.0.0.0/8") == {}


def test_what_was_said_before_the_first_flow_counts(judge):
    documents = judge(pcap(timed(exchange() + [udp(OTHER, ("198.18.0.9", 9), b"x")])))
    assert documents["198.18.0.2"]["verdict"] == "confirmed" and "198.18.0.9" not in documents


def test_nothing_found_is_said_too(judge):
    document = judge(pcap(timed(Connection(ONE, OTHER).say(True, b"GET / HTTP/1.1\r\n\r\n").segments)))["198.18.0.1"]
    assert document["verdict"] == "none" and document["family"] is None and document["decided"] is None
    assert document["score"] == 0 and document["reasons"] == []


def wireless(packet):
    return bytes([0x88, 0x01]) + bytes(22) + bytes(2) + b"\xaa\xaa\x03\0\0\0" + ethernet(packet)[12:]


LINKS = {
    "ethernet": (1, ethernet),
    "vlan": (1, lambda packet: ethernet(packet, b"\x81\x00\x00\x05")),
    "qinq": (1, lambda packet: ethernet(packet, b"\x88\xa8\x00\x05\x81\x00\x00\x06")),
    "mpls": (1, lambda packet: bytes(12) + b"\x88\x47\x00\x01\x00\x40\x00\x01\x01\x40" + packet),
    "pppoe": (1, lambda packet: bytes(12) + b"\x88\x64\x11\0\0\1\0\0" + (b"\0\x57" if packet[0] >> 4 == 6 else b"\0\x21") + packet),
    "snap": (1, lambda packet: bytes(12) + struct.pack(">H", len(packet) + 8) + b"\xaa\xaa\x03\0\0\0" + ethernet(packet)[12:]),
    "raw": (101, lambda packet: packet),
    "null": (0, lambda packet: b"\x02\0\0\0" + packet),
    "loop": (108, lambda packet: b"\0\0\0\x02" + packet),
    "ppp": (9, lambda packet: b"\xff\x03" + (b"\0\x57" if packet[0] >> 4 == 6 else b"\0\x21") + packet),
    "cooked": (113, lambda packet: bytes(14) + ethernet(packet)[12:]),
    "cooked 2": (276, lambda packet: ethernet(packet)[12:14] + bytes(18) + packet),
    "wireless": (105, wireless),
    "radiotap": (127, lambda packet: b"\0\0\x09\0\0\0\0\0\0" + wireless(packet)),
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("ends", [(ONE, OTHER), (ONE6, OTHER6)], ids=["4", "6"])
def test_links(judge, link, ends):
    number, wrap = LINKS[link]
    for file in (pcap, pcapng):
        documents = judge(file(timed(exchange(*ends), wrap=wrap), number))
        assert documents[ends[0][0]]["verdict"] == "confirmed", file


def test_the_other_byte_order(judge):
    assert judge(pcap(timed(exchange()), order=">"))["198.18.0.1"]["verdict"] == "confirmed"


def test_headers_of_ipv6(judge):
    segments = [udp(ONE6, OTHER6, QUERY), udp(OTHER6, ONE6, ANSWER)]
    for extension in (bytes([0, 0]) + bytes(6), bytes([60, 1]) + bytes(14), bytes([44, 0, 0, 1]) + bytes(4)):
        packets = [(1.0 + i, ethernet(ip(segment, extension=extension))) for i, segment in enumerate(segments)]
        assert judge(pcap(packets))["2001:db8::1"]["verdict"] == "confirmed"
    later = [(1.0, ethernet(ip(segments[0], extension=bytes([44, 0, 0, 8]) + bytes(4))))]
    assert judge(pcap(later)) == {}


def test_fragments(judge):
    """A first fragment has ports and the first bytes; a later one has neither, whatever stands in it."""
    packets = [(1.0, ethernet(ip(udp(ONE, OTHER, QUERY), fragment=0x2000))),
               (2.0, ethernet(ip(udp(ONE, ("198.18.0.9", 1), QUERY), fragment=0x0010))),
               (3.0, ethernet(ip(udp(OTHER, ONE, ANSWER))))]
    document = judge(pcap(packets))["198.18.0.1"]
    assert document["verdict"] == "confirmed" and document["reasons"][0]["samples"] == ["udp 198.18.0.2:51413"]


def test_packets_that_were_cut(judge):
    packets = timed(exchange())
    assert judge(pcap(packets, snap=14 + 40 + 64))["198.18.0.1"]["verdict"] == "confirmed"
    assert judge(pcap(packets, snap=14 + 40))["198.18.0.1"]["verdict"] == "none"
    assert judge(pcap(packets, snap=20)) == {}


def test_retransmissions_and_order(judge):
    """The handshake in three segments, the last one first, one twice; and a SYN and an old message again in between."""
    connection = Connection(ONE, OTHER).say(True, bytes(range(160, 256))).say(False, bytes(range(160, 256)))
    start = connection.next[True]
    pieces = [tcp(ONE, OTHER, ACK, start + at, HANDSHAKE[at:at + 30]) for at in (60, 0, 0, 30)]
    old = tcp(OTHER, ONE, ACK, 9001, bytes(range(160, 256)))
    segments = connection.segments + [pieces[0], old, pieces[1], tcp(ONE, OTHER, SYN, 1000), pieces[2], pieces[3]]
    connection.next[True] += len(HANDSHAKE)
    connection.segments = segments
    connection.say(False, HANDSHAKE)
    assert judge(pcap(timed(connection.segments)))["198.18.0.1"]["reasons"][0]["points"] == 90


def test_a_message_with_a_hole_is_not_believed(judge):
    connection = Connection(ONE, OTHER)
    connection.segments += [tcp(ONE, OTHER, ACK, 1001 + 40, HANDSHAKE[40:])]
    assert judge(pcap(timed(connection.segments)))["198.18.0.1"]["verdict"] == "none"


def swarm(prefix):
    segments, chance = [], random.Random(7)
    for i in range(60):
        peer = (f"{prefix}.{i + 1}", chance.randrange(1024, 65536))
        mine = ("198.18.0.1", 33000 + i)
        segments.append(tcp(mine, peer, SYN, 1))
        if i % 3 == 0:
            segments.append(tcp(peer, mine, SYN | ACK, 1))
        elif i % 3 == 1:
            segments.append(tcp(peer, mine, RST | ACK, 0))
        segments.append(udp(("198.18.0.1", 51413), peer, chance.randbytes(40)))
        if i % 2:
            segments.append(udp(peer, ("198.18.0.1", 51413), chance.randbytes(40)))
    return pcap([(0.5, ethernet(ip(udp(("198.18.0.1", 9), ("198.18.9.9", 9), b"x"))))] + timed(segments, 10.0, 0.05))


def test_internal_replaces_what_is_inside(judge):
    documents = judge(swarm("203.0.113"))
    assert documents["198.18.0.1"]["verdict"] == "suspected" and documents["198.18.0.1"]["family"] == "other"
    assert judge(swarm("203.0.113"), "--internal", "203.0.113.0/24")["198.18.0.1"]["verdict"] == "none"
    assert judge(swarm("10.1.1"))["198.18.0.1"]["verdict"] == "none"
    assert judge(swarm("10.1.1"), "--internal", "192.168.0.0/16")["198.18.0.1"]["verdict"] == "suspected"


def test_a_person_reads_lines(tmp_path):
    path = tmp_path / "capture"
    path.write_bytes(pcap(timed(exchange())))
    result = run("taffrail", "p2p", "--pcap", path)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.splitlines() == [
        "198.18.0.1       confirmed bittorrent, score 90, 0.1 s after its first packet",
        "   90  1 BitTorrent handshakes exchanged with peers: tcp 198.18.0.2:51413",
        "1 addresses: 1 confirmed, 0 suspected"]


def test_no_capture(tmp_path):
    for content in (b"", b"no capture", bytes(100), b"\xd4\xc3\xb2\xa1"):
        path = tmp_path / "file"
        path.write_bytes(content)
        result = run("taffrail", "p2p", "--pcap", path, "--json")
        assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1, content
        assert str(path) in result.stderr
    for name in (tmp_path / "absent", tmp_path):
        result = run("taffrail", "p2p", "--pcap", name)
        assert result.returncode == 2 and result.stderr.count("\n") == 1 and result.stderr.count(str(name)) == 1
    path.write_bytes(pcap([], 147))
    assert run("taffrail", "p2p", "--pcap", path).returncode == 2


def test_an_empty_capture_and_one_that_breaks_off(judge):
    assert judge(pcap([])) == {}
    whole = pcap(timed(exchange()))
    assert judge(whole[:-10])["198.18.0.1"]["verdict"] == "confirmed"
    assert "judged is what stands before" in judge.log


@pytest.mark.parametrize("options, said", [
    ([], "--pcap FILE"),
    (["--pcap"], "--pcap needs a value"),
    (["--pcap", "x", "--local", "10.0.0.0/33"], '--local: "10.0.0.0/33"'),
    (["--pcap", "x", "--internal", "inside"], '--internal: "inside"'),
    (["--pcap", "x", "--loud"], '"--loud"'),
])
def test_wrong_usage(options, said):
    result = run("taffrail", "p2p", *options)
    assert result.returncode == 2 and said in result.stderr and result.stderr.count("\n") == 1


def test_help_fits_a_screen():
    result = run("taffrail", "p2p", "--help")
    assert result.returncode == 0 and result.stdout.count("\n") <= 24
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
