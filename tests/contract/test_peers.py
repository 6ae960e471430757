# SPDX-License-Identifier: Apache-2.0
"""Peers that misbehave, each with a certificate that may write: the log names them, and a sensor beside them notices nothing."""
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

import grpc
import pytest
from conftest import ROOT, SLOW, once

sys.path.insert(0, os.path.join(ROOT, "tests"))
from peers import Papers, Sensor, event_pb2  # noqa: E402

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("ca"), "--certificate", "evil=sensor.evil", "--certificate", "stranger=stranger.example")


class Steady(threading.Thread):
    """A sensor that sends a batch each 20 ms and waits for each acknowledgement; how long the slowest took."""

    def __init__(self, address, credentials):
        super().__init__(daemon=True)
        self.sensor = Sensor(address, credentials, host="steady")
        assert self.sensor.hello() == 0
        self.count, self.slowest, self.over = 0, 0.0, threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            number = self.count + 1
            began = time.monotonic()
            self.sensor.send(self.sensor.batch(number, number))
            while self.sensor.acked < number and self.sensor.code is None and time.monotonic() < began + 30:
                time.sleep(0.001)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.count = number
            time.sleep(0.02)

    def end(self):
        self.over.set()
        self.join(40)
        self.sensor.close()


@pytest.fixture
def room(start, tmp_path, papers):
    """A collector, and a sensor that streams all the while; at the end that one has lost nothing."""

    class Room:
        collector = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--output", f"ecs-json:{tmp_path}/out",
                          *papers.options("collector"), "--allow", "sensor.*")
        address = collector.ready()
        pid = collector.process.pid
        sensors = []

        def evil(self, host="evil", **more):
            self.sensors.append(Sensor(self.address, papers.credentials("evil"), host=host, **more))
            return self.sensors[-1]

        def said(self, pattern, seconds=20):
            self.collector.wait_for(lambda: any(re.search(pattern, line) for line in self.collector.log), seconds)

        def memory(self):
            with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
                return int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))

    made = Room()
    made.steady = Steady(made.address, papers.credentials("sensor"))
    yield made
    count = made.steady.count
    made.steady.sensor.wait(lambda: made.steady.count > count + 3)
    made.steady.end()
    for one in made.sensors:
        one.close()
    assert made.steady.sensor.acked == made.steady.count > 0 and made.steady.sensor.code in (None, grpc.StatusCode.CANCELLED)
    assert made.collector.end() == 0
    filed = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    mine = [one["event"]["sequence"] for one in filed if one["host"]["id"] == "steady"]
    assert mine == list(range(1, made.steady.count + 1))


def raw(room, papers, *said):
    """TLS by Python's own ssl, and bytes of HTTP/2."""
    context = ssl.create_default_context(cafile=papers.file("ca.pem"))
    context.load_cert_chain(papers.file("evil.pem"), papers.file("evil.key"))
    context.set_alpn_protocols(["h2"])
    host, port = room.address.split(":")
    peer = context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname="localhost")
    for piece in said:
        peer.sendall(piece)
    return peer


def is_closed(peer):
    peer.settimeout(0.05)
    try:
        while peer.recv(65536):
            pass
        return True
    except (socket.timeout, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def test_messages_that_are_none(room):
    for message in [b"\xff" * 40, b"\x0a\x05abc", b"\x12\x03\x0a\x01\xff"]:
        peer = room.evil()
        peer.send(message)
        assert peer.ended() == grpc.StatusCode.INVALID_ARGUMENT
    time.sleep(1.1)  # the log's own limit
    greeted = room.evil()
    assert greeted.hello() == 0
    greeted.send(b"\x12\x04\x2a\x02\xff\xff")
    assert greeted.ended() == grpc.StatusCode.INVALID_ARGUMENT
    room.said(r"127\.0\.0\.1:\d+ \(sensor\.evil\) \(no hello yet\): ")
    room.said(r"\(sensor\.evil\) \(evil\): a batch is refused: ")


def test_a_message_that_is_too_large_is_refused_by_its_length(room):
    before = room.memory()
    peer = room.evil()
    assert peer.hello() == 0
    peer.send(peer.batch(1, 1, size=64 << 20))
    assert peer.ended() == grpc.StatusCode.RESOURCE_EXHAUSTED
    room.said(r"\(sensor\.evil\): message larger than this side takes")
    for size, taken in [((4 << 20) - 1000, True), ((4 << 20) + 1, False)]:
        peer = room.evil()
        assert peer.hello() == 0
        peer.send(peer.batch(1, 1, size=size))
        if taken:
            peer.wait(lambda: peer.acked == 1)
        else:
            assert peer.ended() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert room.memory() - before < 24 << 10, "its bytes were not kept"


def test_another_sensors_host_or_epoch(room):
    thief = room.evil(host="steady")
    thief.hello()
    assert thief.ended() == grpc.StatusCode.PERMISSION_DENIED
    room.said(r"\(sensor\.evil\): the host steady belongs to sensor\.taffrail")
    same = room.evil(host="steady", epoch=room.steady.sensor.epoch)
    same.hello()
    assert same.ended() == grpc.StatusCode.PERMISSION_DENIED
    smuggler = room.evil()
    assert smuggler.hello() == 0
    smuggler.host = event_pb2.Host(id="steady")
    smuggler.send(smuggler.batch(1, 1))
    assert smuggler.ended() == grpc.StatusCode.INVALID_ARGUMENT
    other = room.evil()
    assert other.hello() == 0
    other.send(other.batch(1, 1, epoch=os.urandom(16)))
    assert other.ended() == grpc.StatusCode.INVALID_ARGUMENT
    room.said(r"\(sensor\.evil\) \(evil\): a batch is refused: its host or epoch is not the hello's")


def test_replayed_and_out_of_order(room, tmp_path):
    peer = room.evil()
    assert peer.hello() == 0
    for first, last in [(1, 5), (10, 12), (6, 9), (1, 5), (13, 13)]:
        peer.send(peer.batch(first, last))
    peer.wait(lambda: peer.acked == 13)
    room.said(r"sensor evil: sequences 6 to 9 did not come")
    room.said(r"\(sensor\.evil\): sensor evil: sequences 6 to 9 came again or too late, for 12 is stored")
    again = room.evil(epoch=peer.epoch)
    assert again.hello() == 13
    again.send(again.batch(1, 5))
    again.send(again.batch(14, 14))
    again.wait(lambda: again.acked == 14)
    room.said(r"sensor evil: a newer connection takes the place of 127\.0\.0\.1:\d+ \(sensor\.evil\)")
    room.collector.wait_for(lambda: '"evil-' in (tmp_path / "out").read_text() and "-14\"" in (tmp_path / "out").read_text())
    filed = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [one["event"]["sequence"] for one in filed if one["host"]["id"] == "evil"] == [1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14], "9 tells of 6 to 9"


def test_slow_lorises(room, papers):
    """Each holds a connection with as little as it can; each has ten seconds."""
    host, port = room.address.split(":")
    silent = socket.create_connection((host, int(port)))
    half = socket.create_connection((host, int(port)))
    half.sendall(b"\x16\x03\x01\x02\x00\x01")
    preface, headers = raw(room, papers, PREFACE[:10]), raw(room, papers, PREFACE, SETTINGS, b"\0\0\1\1\0\0\0\0\1\x82")
    began, open_ones = time.monotonic(), {"silent": silent, "half": half, "preface": preface, "headers": headers}
    trickle = iter(PREFACE[10:])
    while open_ones and time.monotonic() < began + 25 * SLOW:
        for name, peer in list(open_ones.items()):
            if is_closed(peer):
                assert time.monotonic() - began > 8, f"{name} had its time"
                del open_ones[name]
        try:
            half.send(b"\0")
            preface.send(bytes([next(trickle, 0)]) if time.monotonic() - began < 9 else b"")
        except OSError:
            pass
        time.sleep(0.5)
    assert not open_ones
    room.said(r"127\.0\.0\.1:\d+: the TLS handshake was not begun in time")
    room.said(r"127\.0\.0\.1:\d+: the TLS handshake was not finished in time")
    room.said(r"\(sensor\.evil\): no HTTP/2 SETTINGS from the peer in time")
    room.said(r"\(sensor\.evil\): a header block was not finished in time")


def test_frames_that_are_none_and_floods_of_them(room, papers):
    for said, words in [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3, "client magic|preface|bad"),
            (PREFACE + SETTINGS + b"\0\0\x04\0\0\0\0\0\0abcd", "DATA|PROTOCOL_ERROR"),
            (PREFACE + SETTINGS + b"\xff\xff\xff\4\0\0\0\0\0", "FRAME_SIZE|frame|too large"),
            (PREFACE + SETTINGS + b"\0\0\x08\6\0\0\0\0\0abcdefgh" * 60000, "flood of control frames"),
    ]:
        before = len(room.collector.log)
        try:
            peer = raw(room, papers, said)
        except OSError:
            peer = None
        room.collector.wait_for(lambda: any("(sensor.evil): " in line and re.search(words, line, re.I) for line in room.collector.log[before:]))
        if peer:
            room.collector.wait_for(lambda: is_closed(peer))
        time.sleep(1.1)  # the log's own limit


# --- all places taken ---------------------------------------------------------------------------------------------------

PLACES = int(os.environ.get("TAFFRAIL_PLACES", "600"))


@pytest.fixture
def idlers(papers):
    running = []

    def starter(address, name, does):
        running.append(subprocess.Popen([sys.executable, os.path.join(ROOT, "tests", "idlers.py"), address, papers.file("ca.pem"), papers.file(f"{name}.pem"),
                                         papers.file(f"{name}.key"), str(PLACES + 50), does], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield starter
    for one in running:
        if one.poll() is None:
            one.kill()
            one.wait()


@once
@pytest.mark.parametrize("name, does", [("stranger", "nothing"), ("stranger", "call"), ("sensor", "nothing"), ("sensor", "settings"), ("sensor", "call")])
def test_idle_peers_do_not_keep_a_sensor_out(start, tmp_path, papers, idlers, name, does):
    """More connections than there are places, of a certificate without rights, and of the sensor's own; who is thrown out comes again at once."""
    collector = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--output", f"ecs-json:{tmp_path}/out",
                      "--set", f"connections.max={PLACES}", *papers.options("collector"), "--allow", "sensor.*")
    address = collector.ready()
    crowd = idlers(address, name, does)
    assert crowd.stdout.readline() == "full\n"
    began = time.monotonic()
    sensor = start("taffrail-sensor", "--collector", address.replace("127.0.0.1", "localhost"), "--host", *papers.options("sensor"), "--cri", str(tmp_path / "none"))
    sensor.ready()
    ready = time.monotonic()
    subprocess.run(["/bin/true", "here-i-am"], check=True)
    collector.wait_for(lambda: "here-i-am" in (tmp_path / "out").read_text(), 20)
    took = time.monotonic() - ready
    count, thrown_out = (int(word) for word in crowd.communicate("")[0].split())
    print(f"{PLACES} places, {count} idle peers of {name} ({does}) came in, {thrown_out} were thrown out; the sensor was up in {ready - began:.1f} s, "
          f"its event filed {took:.1f} s after that")
    assert count > PLACES and took < 5 * SLOW
    words = "no name of this certificate may|asked for nothing|had not said who it is" if name == "stranger" else "it asked for nothing|it had not said who it is"
    assert any(re.search(words, line) for line in collector.log), collector.log
    assert sensor.end() == 0 and collector.end() == 0


# --- a whole cluster at once --------------------------------------------------------------------------------------------

CROWD = 500


@once
def test_a_crowd_that_comes_back_at_once(room, papers):
    """All of it is there at once, and the steady sensor gets its turns in between."""
    crowd = subprocess.Popen([sys.executable, os.path.join(ROOT, "tests", "crowd.py"), room.address, str(room.pid), papers.file("ca.pem"),
                              papers.file("evil.pem"), papers.file("evil.key"), str(CROWD)], stdout=subprocess.PIPE, text=True)
    assert crowd.stdout.readline() == "all there\n"
    # The batch that waited meanwhile is not what is measured.
    acked = room.steady.count
    room.steady.sensor.wait(lambda: room.steady.count > acked)
    room.steady.slowest, first = 0.0, room.steady.count
    seconds, newest = (float(word) for word in crowd.communicate(timeout=60)[0].split())
    slowest, count = room.steady.slowest, room.steady.count - first
    print(f"{CROWD} handshakes in {seconds:.2f} s; the one that came last in {newest:.2f} s; meanwhile {count} batches acknowledged, "
          f"the slowest in {slowest * 1000:.0f} ms")
    assert crowd.returncode == 0 and count > 0 and slowest < 2
    assert newest < seconds / 2, "whoever comes last is not the last to get in: where more come than can be let in, that would be nobody"
    # All of them are gone without a word of TLS: that is an end like others.
    time.sleep(0.5)
    assert not any("TLS" in line for line in room.collector.log[2:]), room.collector.log
