# SPDX-License-Identifier: Apache-2.0
"""The collector's books: gaps become records, `taffrail status` tells what balances. Sensors here are scripts that say what they like."""
import collections
import json
import os
import random
import re
import stat
import subprocess
import sys
import time

import grpc
import pytest
from conftest import ROOT, run, terminal_output, program

sys.path.insert(0, os.path.join(ROOT, "tests"))
from framed import crc32c  # noqa: E402
from peers import Papers, Sensor, stream_pb2  # noqa: E402


class Place:
    """A collector's directory and file."""

    def __init__(self, start, folder):
        self.start, self.folder = start, folder
        self.data, self.out = str(folder / "data"), folder / "out"
        self.address, self.sensors, self.collector = f"unix:{folder}/s", [], None

    def open(self, *more):
        self.collector = self.start("taffrail-collector", "--listen", self.address, "--data", self.data, "--output", f"ecs-json:{self.out}", *more)
        self.collector.ready()
        return self.collector

    def sensor(self, acknowledged=0, elsewhere=(), **more):
        sensor = Sensor(self.address, **more)
        self.sensors.append(sensor)
        sensor.stored = sensor.hello(acknowledged, elsewhere)
        return sensor

    def status(self, *more, data=None, code=0):
        done = run("taffrail", "status", "--json", "--data", data or self.data, *more)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def both(self, *more, code=0):
        """Over the address and over the directory: the same, but for who is connected."""
        asked, read = self.status(*more, data=self.address, code=code), self.status(*more, code=code)
        for one, other in zip(asked["sensors"], read["sensors"]):
            assert other["connected"] is None
            assert {**one, "connected": None} == other
        assert len(asked["sensors"]) == len(read["sensors"]) and asked["difference"] == read["difference"]
        assert asked["damaged"] is None and read["damaged"] is False
        return asked

    def documents(self):
        with open(self.out, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


@pytest.fixture
def place(start, tmp_path):
    made = Place(start, tmp_path)
    yield made
    for sensor in made.sensors:
        sensor.close()


def send(sensor, *ups):
    for up in ups:
        sensor.send(up)
    last = max(up.batch.last for up in ups)
    sensor.wait(lambda: sensor.acked >= last)


# --- epochs without end ---------------------------------------------------------------------------------------------------


def test_a_sensor_that_starts_again_and_again(place):
    """Its epochs are closed and balance: the older ones become one line, none of their numbers is taken twice, and a host can be forgotten."""
    place.open()
    epochs = []
    for number in range(80):
        sensor = place.sensor(host="restless")
        send(sensor, sensor.batch(1, 3, books=(4, 4, 0, 0, True)), *([sensor.batch(4, 4, lost={4: ("kernel", 1)}, books=(5, 4, 0, 0, True))] if number % 2 else []))
        epochs.append(sensor.epoch)
        sensor.close()
    other = place.sensor(host="calm")
    send(other, other.batch(1, 1, books=(1, 1, 0, 0)))
    other.close()

    def check():
        told = place.status(data=place.address)
        sums, = [one for one in told["sensors"] if one["folded"]]
        mine = [one for one in told["sensors"] if one["host"]["id"] == "restless" and not one["folded"]]
        assert 60 <= len(mine) <= 64 and sums["folded"] == 80 - len(mine) and sums["epoch"] is None and sums["host"]["id"] == "restless"
        odd = sums["folded"] // 2
        assert (sums["seen"], sums["delivered"], sums["lost"]) == (4 * sums["folded"] + odd, 4 * sums["folded"], {"kernel": odd})
        assert sums["events"]["made"] == 3 * sums["folded"] + odd and sums["difference"] == told["difference"] == 0 and sums["closed"]
        assert {one["epoch"] for one in mine} == {epoch.hex() for epoch in epochs[-len(mine):]}

    check()
    table = run("taffrail", "status", "--data", place.address).stdout
    assert "81 epochs of 2 sensors" in table and re.search(r"restless +earlier +closed ", table) and re.search(r"\d\d epochs before those below", table)
    assert place.collector.end() == 0
    place.open()
    check()
    for number, epoch in enumerate(epochs[:3]):
        again = place.sensor(host="restless", epoch=epoch)
        assert again.stored == (4 if number % 2 else 3)
        again.send(again.batch(1, 3, books=(4, 4, 0, 0, True)))
        again.wait(lambda: again.acked == again.stored)
        again.send(again.batch(5, 5, books=(6, 5, 0, 0, True)))
        assert again.ended() == grpc.StatusCode.INVALID_ARGUMENT and "told all" in again.details
        again.close()
    assert place.collector.end() == 0
    ids = [document["event"]["id"] for document in place.documents()]
    assert len(ids) == len(set(ids)) == 80 * 3 + 40 + 1
    with open(os.path.join(place.data, "forgotten"), "w", encoding="ascii") as file:
        file.write("restless\n")
    place.open()
    assert [one["host"]["id"] for one in place.both()["sensors"]] == ["calm"]
    with open(os.path.join(place.data, "forgotten"), encoding="ascii") as file:
        assert re.fullmatch(r"restless 1 \d+\n", file.read())
    sensor = place.sensor(host="restless")
    send(sensor, sensor.batch(1, 1, books=(1, 1, 0, 0)))
    assert {one["host"]["id"] for one in place.both()["sensors"]} == {"calm", "restless"}


# --- what balances ------------------------------------------------------------------------------------------------------


def test_an_epoch_that_balances(place):
    place.open()
    sensor = place.sensor(host="node-7")
    send(sensor, sensor.batch(1, 3, books=(9, 5, 3, 1)), sensor.batch(4, 5, lost={5: ("ring-bulk", 1)}, books=(9, 8, 0, 0)))
    epoch, = place.both()["sensors"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", epoch["first"]) and epoch["first"] < epoch["last"]
    assert epoch == {"host": {"id": "node-7", "name": "node-7"}, "epoch": sensor.epoch.hex(), "folded": 0, "first": epoch["first"], "last": epoch["last"],
                     "connected": True, "closed": False, "books": True, "loss_unknown": False, "seen": 9, "delivered": 8, "waiting": 0, "lost": {"ring-bulk": 1}, "difference": 0,
                     "events": {"made": 5, "stored": 5, "taken_out": 0, "elsewhere": 0, "missing": 0}}
    send(sensor, sensor.batch(6, 6, books=(12, 10, 1, 0, True)))
    epoch, = place.both()["sensors"]
    assert (epoch["closed"], epoch["waiting"], epoch["delivered"]) == (True, 1, 10)
    sensor.close()
    place.collector.wait_for(lambda: not place.status(data=place.address)["sensors"][0]["connected"])
    assert place.collector.end() == 0
    assert place.status()["sensors"][0]["seen"] == 12


def test_what_a_spool_took_out_and_what_a_kill_took(place):
    place.open()
    sensor = place.sensor()
    # 2 to 5 were taken out, each an event of one record: the record has the last one's number and counts it too.
    send(sensor, sensor.batch(1, 1, books=(1, 1, 0, 0)), sensor.batch(2, 6, taken_out=3, lost={5: ("spool", 4)}, books=(6, 6, 0, 0)))
    epoch, = place.both()["sensors"]
    assert (epoch["seen"], epoch["delivered"], epoch["lost"], epoch["difference"]) == (6, 2, {"spool": 4}, 0)
    assert epoch["events"] == {"made": 6, "stored": 3, "taken_out": 3, "elsewhere": 0, "missing": 0}
    # It was killed: 10 was its highest number; the next life knows by the hello what was told.
    sensor.close()
    heir = place.sensor(epoch=sensor.epoch)
    assert heir.downs[0].hello.stored == 6
    assert heir.downs[0].hello.books == stream_pb2.Books(seen=6, settled=6)
    send(heir, heir.batch(7, 11, taken_out=4, lost={11: ("sensor", 25)}, books=(31, 6, 0, 0, True)))
    epoch, = place.both()["sensors"]
    assert (epoch["seen"], epoch["delivered"], epoch["lost"], epoch["difference"]) == (31, 2, {"spool": 4, "sensor": 25}, 0)
    assert epoch["closed"] and epoch["events"]["missing"] == 0


def test_books_alone_are_stored_and_told(place):
    place.open()
    sensor = place.sensor()
    send(sensor, sensor.batch(1, 2, books=(2, 2, 0, 0)))
    for books in [(5, 3, 1, 1), (5, 3, 1, 1), (5, 5, 0, 0, True)]:
        sensor.send(sensor.batch(3, 2, books=books))
    place.collector.wait_for(lambda: place.status()["sensors"][0]["closed"])
    size = os.path.getsize(os.path.join(place.data, "segments", "0000000000000001.seg"))
    sensor.close()
    place.collector.kill()
    place.open()
    again = place.sensor(epoch=sensor.epoch)
    hello = again.downs[0].hello
    assert hello == stream_pb2.DownHello(version=hello.version, stored=2, books=stream_pb2.Books(seen=5, settled=5, closed=True), store=hello.store)
    again.send(again.batch(3, 2, books=(5, 5, 0, 0, True)))  # the hello was lost on it: nothing new
    time.sleep(0.3)
    assert os.path.getsize(os.path.join(place.data, "segments", "0000000000000001.seg")) == size
    assert place.both()["sensors"][0]["difference"] == 0


def test_a_sensor_without_books(place):
    place.open()
    sensor = place.sensor()
    send(sensor, sensor.batch(1, 4))
    epoch, = place.both()["sensors"]
    assert [epoch[key] for key in ("books", "seen", "delivered", "waiting", "difference")] == [False, None, None, None, 0]
    assert epoch["events"]["stored"] == 4
    assert "keeps no books: 4 events" in run("taffrail", "status", "--data", place.data).stdout


def test_the_real_sensor(place, container):
    place.open()
    sensor = place.start("taffrail-sensor", "--collector", place.address, "--cri", str(place.folder / "none"))
    sensor.ready()
    for _ in range(5):
        container.run("/bin/true")
    assert sensor.end() == 0
    status = place.both()
    epoch, = status["sensors"]
    assert status["difference"] == 0 and epoch["events"]["missing"] == 0
    assert epoch["events"]["stored"] == len(place.documents()) >= 5


# --- alarms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("books, difference", [((10, 3, 0, 0), 7), ((3, 3, 2, 0), -2), ((2, 3, 0, 0), -1)])
def test_a_sensor_that_lies_is_an_alarm(place, books, difference):
    place.open()
    liar, honest = place.sensor(host="liar"), place.sensor(host="honest")
    send(honest, honest.batch(1, 3, books=(3, 3, 0, 0)))
    send(liar, liar.batch(1, 3, books=books))
    status = place.both(code=1)
    assert [epoch["difference"] for epoch in status["sensors"]] == [0, difference] and status["difference"] == abs(difference)
    assert place.status("--host", "honest")["sensors"][0]["host"]["id"] == "honest"
    assert len(place.status("--host", "honest", data=place.address)["sensors"]) == 1


@pytest.mark.parametrize("over", ["directory", "address"])
def test_a_host_that_is_not_there_is_no_all_clear(place, over):
    place.open()
    sensor = place.sensor(host="node")
    send(sensor, sensor.batch(1, 3, books=(3, 3, 0, 0)))
    data = place.address if over == "address" else place.data
    assert place.status("--host", "node", data=data)["absent_hosts"] == []
    status = place.status("--host", "nobody", "--host", "node", "--host", "n\xf6de", data=data, code=1)
    assert status["absent_hosts"] == ["nobody", "n\xf6de"] and [epoch["host"]["id"] for epoch in status["sensors"]] == ["node"]
    done = run("taffrail", "status", "--data", data, "--host", "nobody")
    assert done.returncode == 1 and "nothing is stored of 1 hosts" in done.stdout and "what was seen is stored" not in done.stdout
    line, = done.stderr.splitlines()
    assert "--host nobody" in line and data in line and "host.id" in line


def test_an_epoch_that_never_closed_before_a_later_one(place):
    """Nobody can say what it saw since its last batch: neither green, nor a number."""
    place.open()
    first = place.sensor(host="node")
    send(first, first.batch(1, 3, books=(3, 3, 0, 0)))
    assert place.both()["loss_unknown"] is False, "it may be at work"
    first.close()
    place.collector.wait_for(lambda: not place.status(data=place.address)["sensors"][0]["connected"])
    other = place.sensor(host="other")
    send(other, other.batch(1, 1, books=(1, 1, 0, 0)))
    assert place.both()["loss_unknown"] is False, "it waits, or will come back"
    later = place.sensor(host="node")
    send(later, later.batch(1, 2, books=(2, 2, 0, 0)))
    status = place.both(code=1)
    assert [(epoch["epoch"], epoch["loss_unknown"]) for epoch in status["sensors"] if epoch["host"]["id"] == "node"] == \
        [(first.epoch.hex(), True), (later.epoch.hex(), False)]
    assert status["loss_unknown"] is True and status["difference"] == 0
    assert place.status("--host", "other")["loss_unknown"] is False
    for data in (place.address, place.data):
        done = run("taffrail", "status", "--data", data)
        assert re.search(r"^node +" + first.epoch.hex()[:8] + r" +loss unknown +3 +3 +0 +0 +0$", done.stdout, re.M), done.stdout
        assert done.returncode == 1 and "what 1 of them lost is not known" in done.stdout and "what was seen is stored" not in done.stdout
    # It was only late: it closes, and all is told.
    again = place.sensor(host="node", epoch=first.epoch)
    assert place.status(data=place.address)["loss_unknown"] is False, "it speaks again"
    send(again, again.batch(4, 5, taken_out=1, lost={5: ("sensor", 7)}, books=(10, 3, 0, 0, True)))
    assert place.both()["loss_unknown"] is False


@pytest.mark.parametrize("boots", [("one", "one"), ("one", "other")], ids=["rolling_update", "machine_started_anew"])
def test_two_epochs_at_once_in_a_directory(place, boots):
    """It does not tell who is connected: both may be at work, unless the machine was started anew between them."""
    place.open()
    first, later = place.sensor(host="node"), place.sensor(host="node")
    for sensor, boot in zip((first, later), boots):
        sensor.host.boot_id = boot
    send(first, first.batch(1, 1, books=(1, 1, 0, 0)))
    send(later, later.batch(1, 1, books=(1, 1, 0, 0)))
    send(first, first.batch(2, 2, books=(2, 2, 0, 0)))
    unknown = boots[0] != boots[1]
    assert [epoch["loss_unknown"] for epoch in place.status(code=int(unknown))["sensors"]] == [unknown, False]
    assert place.status(data=place.address)["loss_unknown"] is False, "both are connected"


def test_an_epoch_without_books_before_a_later_one(place):
    """An older sensor never said how much it saw: that is told already."""
    place.open()
    for _ in range(2):
        sensor = place.sensor(host="node")
        send(sensor, sensor.batch(1, 2))
        sensor.close()
    assert place.status()["loss_unknown"] is False


def test_what_two_sensors_owe_one_another_is_no_balance(place):
    place.open()
    for name, books in (("a", (5, 3, 0, 0)), ("b", (1, 3, 0, 0))):
        sensor = place.sensor(host=name)
        send(sensor, sensor.batch(1, 3, books=books))
    assert place.both(code=1)["difference"] == 4


def test_a_damaged_store_is_missing_numbers(place):
    place.open()
    sensor = place.sensor()
    send(sensor, sensor.batch(1, 3, books=(3, 3, 0, 0)))
    send(sensor, sensor.batch(4, 5, size=2000, books=(5, 5, 0, 0)))
    place.collector.kill()
    segment = os.path.join(place.data, "segments", "0000000000000001.seg")
    with open(segment, "r+b") as file:
        file.seek(os.path.getsize(segment) - 1000)
        file.write(b"!")
    os.rename(segment, segment.replace("01.seg", "02.seg"))  # not the last one any more: nothing is cut
    with open(segment.replace("01.seg", "03.seg"), "wb") as file:
        file.write(b"TAFFSEG1" + (2).to_bytes(4, "little") + bytes(4))
    place.open()
    again = place.sensor(epoch=sensor.epoch, acknowledged=0)
    assert again.stored == 3
    send(again, again.batch(6, 6, books=(6, 6, 0, 0)))
    # It is told as a gap now: what was there once is lost all the same. The file stays what it is.
    for data, code in ((place.address, 0), (place.data, 1)):
        epoch, = place.status(data=data, code=code)["sensors"]
        assert (epoch["lost"], epoch["difference"]) == ({"stream": 2}, 0)


def test_a_damaged_store_does_not_say_that_all_is_stored(place):
    place.open()
    sensor = place.sensor(host="node")
    for number in range(1, 8):
        send(sensor, sensor.batch(number, number, books=(number, number, 0, 0)))
    sensor.close()
    place.collector.kill()
    segment = place.folder / "data" / "segments" / "0000000000000001.seg"
    whole = segment.read_bytes()
    third = nth_frame(whole, 3)

    def harm(at):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        segment.write_bytes(damaged)

    harm(third + 40)  # by its length the next one is found
    status = place.status(code=1)
    epoch, = status["sensors"]
    assert status["damaged"] is True and epoch["events"] == {"made": 7, "stored": 6, "taken_out": 0, "elsewhere": 0, "missing": 1}
    assert epoch["difference"] == status["difference"] == 1
    harm(third + 2)  # all from there on
    status = place.status(code=1)
    assert status["damaged"] is True and status["sensors"][0]["events"]["made"] == 2 and status["difference"] == 0
    table = run("taffrail", "status", "--data", place.data)
    assert table.returncode == 1 and "damaged in 1 places" in table.stdout and "what was seen is stored" not in table.stdout
    assert f"{segment.name}: damaged at byte {third}" in table.stderr
    # The first byte of the header: nothing of the file can be used.
    harm(0)
    assert place.status(code=1) == {"sensors": [], "difference": 0, "damaged": True, "loss_unknown": False, "absent_hosts": []}
    # A collector says so at its start, takes what comes, and what is missing shows.
    harm(third + 40)
    collector = place.open()
    assert any("error" in line and "damaged at byte" in line for line in collector.log)
    again = place.sensor(host="node", epoch=sensor.epoch)
    assert again.stored == 7
    send(again, again.batch(8, 8, books=(8, 8, 0, 0)))
    assert place.status(data=place.address, code=1)["difference"] == 1
    assert place.status(code=1)["sensors"][0]["events"]["missing"] == 1
    assert {document["event"]["sequence"] for document in place.documents()} == set(range(1, 9))


def nth_frame(data, number):
    at = 16
    for _ in range(number - 1):
        at += 8 + int.from_bytes(data[at:at + 4], "little")
    return at


def test_on_a_terminal(place):
    place.open()
    sensor = place.sensor(host="liar\x1b[2J")
    send(sensor, sensor.batch(1, 3, books=(10, 3, 0, 0), lost={3: ("spool\x1b[31m", 1)}))
    environment = {"TERM": "xterm", "PATH": os.environ["PATH"]}
    text, status = terminal_output([program("taffrail"), "status", "--data", place.data], 5, environment)
    assert status == 1 and "\x1b[31mliar?[2J" in text and "other 1" in text
    text, status = terminal_output([program("taffrail"), "status", "--data", place.data], 5, {**environment, "NO_COLOR": "1"})
    assert status == 1 and "\x1b" not in text
    plain = run("taffrail", "status", "--data", place.address)
    assert plain.returncode == 1 and "\x1b" not in plain.stdout
    assert re.search(r"^liar\?\[2J +" + sensor.epoch.hex()[:8] + r" +connected +10 +3 +0 +1 +6$", plain.stdout, re.M), plain.stdout


# --- what cannot be read ------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_exits_3(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for word in [tmp_path / "nothing", tmp_path / "empty", tmp_path / "file", f"unix:{tmp_path}/nobody", "127.0.0.1:1"]:
        done = run("taffrail", "status", "--data", str(word))
        assert done.returncode == 3 and done.stdout == "", (word, done)
        assert len(done.stderr.splitlines()) == 1 and str(word) in done.stderr, done.stderr


def test_reading_changes_nothing_and_needs_no_rights_to_write(place, public):
    place.open()
    sensor = place.sensor()
    send(sensor, sensor.batch(1, 3, books=(3, 3, 0, 0)))
    sensor.close()
    assert place.collector.end() == 0

    def snapshot():
        found = {}
        for folder, _, names in os.walk(place.data):
            for name in [".", *names]:
                info = os.stat(os.path.join(folder, name))
                found[folder, name] = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, stat.S_IMODE(info.st_mode))
        return found

    subprocess.run(["cp", "-r", place.data, os.path.join(public, "data")], check=True)
    subprocess.run(["chmod", "-R", "a+rX,a-w", os.path.join(public, "data")], check=True)
    before = snapshot()
    place.status()
    assert snapshot() == before
    done = subprocess.run([os.path.join(public, "taffrail"), "status", "--json", "--data", os.path.join(public, "data")], capture_output=True, text=True,
                          user=65534, group=65534, extra_groups=[], timeout=20)
    assert done.returncode == 0 and json.loads(done.stdout)["sensors"][0]["seen"] == 3, done.stderr


def test_tls_readers_alone_may_ask(start, tmp_path):
    papers = Papers(tmp_path / "ca")
    collector = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *papers.options("collector"),
                      "--allow", "sensor.*", "--allow-reader", "reader.*")
    address = collector.ready()
    sensor = Sensor(address, papers.credentials("sensor"), host="node")
    sensor.hello()
    send(sensor, sensor.batch(1, 3, books=(4, 3, 0, 0)))
    done = run("taffrail", "status", "--json", "--data", address, *papers.options("reader"), "--tls-name", "localhost")
    assert done.returncode == 1 and json.loads(done.stdout)["sensors"][0]["connected"] is True, done.stderr
    done = run("taffrail", "status", "--data", address, *papers.options("sensor"), "--tls-name", "localhost")
    assert done.returncode == 3 and "--allow-reader" in done.stderr, done.stderr
    done = run("taffrail", "status", "--data", address)
    assert done.returncode == 3, done.stderr
    sensor.close()


def test_thousands_of_epochs(place):
    """More than waits in a queue at once; each comes, and a peer of other people's making reads them."""
    place.open()
    for number in range(40):
        sensor = Sensor(place.address, host=f"host-{number % 70}", epoch=number.to_bytes(16, "big"))
        sensor.hello()
        send(sensor, sensor.batch(1, 2, books=(2, 2, 0, 0, True)))
        sensor.close()
    # The rest as a file of the store: thousands of connections take their time.
    place.collector.end()
    size = make_epochs(os.path.join(place.data, "segments", "0000000000000002.seg"), 4000)
    assert size > 400000
    place.open()
    assert len(place.both()["sensors"]) == 4040
    with grpc.insecure_channel(place.address) as channel:
        ask = channel.unary_stream("/taffrail.v1.Query/Status", request_serializer=stream_pb2.StatusRequest.SerializeToString,
                                   response_deserializer=stream_pb2.EpochStatus.FromString)
        found = list(ask(stream_pb2.StatusRequest()))
        assert len(found) == 4040 and {one.made for one in found} == {2}
        assert len(list(ask(stream_pb2.StatusRequest(host=["host-1", "host-2"])))) == sum(one.host.id in ("host-1", "host-2") for one in found)
        with pytest.raises(grpc.RpcError, match="256"):
            list(ask(stream_pb2.StatusRequest(host=["x"] * 257)))


def make_epochs(path, count):
    """A file of the store, as user/collector/segment.h has it: an epoch a frame."""
    out = bytearray(b"TAFFSEG1" + (2).to_bytes(4, "little") + bytes(4))
    for number in range(count):
        epoch, host = (10**6 + number).to_bytes(16, "big"), f"host-{number % 70}"
        batch = stream_pb2.Batch(epoch=epoch, first=1, last=2, books=stream_pb2.Books(seen=2, settled=2, closed=True))
        batch.host.id = batch.host.name = host
        for sequence in (1, 2):
            batch.record.add().event.sequence = sequence
        rest = (1).to_bytes(8, "little") + (2).to_bytes(8, "little") + epoch + len(host).to_bytes(2, "little") + host.encode() + batch.SerializeToString()
        out += len(rest).to_bytes(4, "little") + crc32c(rest).to_bytes(4, "little") + rest
    with open(path, "wb") as file:
        file.write(out)
    return len(out)


# --- gaps ---------------------------------------------------------------------------------------------------------------


def test_a_gap_is_a_document(place):
    place.open()
    watcher = place.start("taffrail", "watch", "--collector", place.address, "--json", "--kind", "events_lost")
    time.sleep(0.5)
    sensor = place.sensor(host="node")
    send(sensor, sensor.batch(1, 3, books=(3, 3, 0, 0)))
    send(sensor, sensor.batch(8, 8, books=(8, 8, 0, 0)))
    gap, = [document for document in place.documents() if document["event"]["action"] == "events_lost"]
    assert gap["event"]["sequence"] == 7 and gap["event"]["id"].endswith("-7") and gap["host"]["id"] == "node"
    assert gap["taffrail"]["lost"] == {"count": 4, "kinds": [], "stage": "stream", "first": "4", "last": "7"}
    times = {document["event"]["sequence"]: document["@timestamp"] for document in place.documents()}
    assert gap["event"]["start"] == times[3] and gap["event"]["end"] == times[8] == gap["@timestamp"]
    watcher.wait_for(lambda: watcher.lines)
    assert json.loads(watcher.lines[0])["event"]["id"] == gap["event"]["id"]
    epoch, = place.both()["sensors"]
    assert (epoch["lost"], epoch["delivered"], epoch["difference"]) == ({"stream": 4}, 4, 0)


def test_gaps_come_once_although_the_collector_is_killed(place):
    """At random moments, again and again; the sensor sends on from where each hello says. Some numbers it never sends."""
    place.open()
    chance = random.Random(8)
    plan, number = [], 1  # batches, and what is between them nobody ever sends
    while number < 1500:
        first = number + (chance.randrange(1, 9) if chance.random() < 0.3 and number > 1 else 0)
        plan.append((first, first + chance.randrange(4)))
        number = plan[-1][1] + 1
    made = plan[-1][1]
    sensor, kills = place.sensor(host="node"), 0
    epoch, at = sensor.epoch, 0
    while sensor.acked < made:
        for first, last in plan[at:at + chance.randrange(1, 12)]:
            sensor.send(sensor.batch(first, last, books=(last, last, 0, 0)))
        time.sleep(chance.random() * 0.03)
        if kills < 25:
            place.collector.kill()
            kills += 1
            sensor.close()
            place.open()
            sensor = place.sensor(host="node", epoch=epoch)
            at = next((index for index, (_, last) in enumerate(plan) if last > sensor.stored), len(plan))
            if sensor.stored >= made:
                break
        else:
            for first, last in plan[at:]:
                sensor.send(sensor.batch(first, last, books=(last, last, 0, 0)))
            sensor.wait(lambda: sensor.acked == made)
    assert kills == 25
    assert place.collector.end() == 0
    told = {number for first, last in plan for number in range(first, last + 1)}
    gaps = {last + 1: first for (_, last), (first, _) in zip(plan, plan[1:]) if first > last + 1}
    documents = {}
    doubles = collections.Counter(document["event"]["id"] for document in place.documents())
    for document in place.documents():
        documents.setdefault(document["event"]["sequence"], document)
    assert set(documents) == told | {first - 1 for first in gaps.values()}
    assert [one for one, count in doubles.items() if count > 1] == []
    for last, first in gaps.items():
        assert documents[first - 1]["taffrail"]["lost"]["first"] == str(last)
        assert documents[first - 1]["taffrail"]["lost"]["count"] == first - last
    epoch, = place.status()["sensors"]
    assert epoch["difference"] == 0 and epoch["lost"] == {"stream": made - len(told)}
    assert epoch["events"] == {"made": made, "stored": len(documents), "taken_out": made - len(documents), "elsewhere": 0, "missing": 0}


def test_two_collectors_one_sink(start, tmp_path):
    """The sensor moves; what the other one has is no gap, and what neither has is told once."""
    places = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        places.append(Place(start, tmp_path / name))
        places[-1].out = tmp_path / "out"
        places[-1].open()
    one, other = places
    sensor = one.sensor(host="node")
    send(sensor, sensor.batch(1, 5, books=(5, 5, 0, 0)))
    sensor.close()
    moved = other.sensor(host="node", epoch=sensor.epoch, acknowledged=5)
    assert moved.stored == 0
    send(moved, moved.batch(6, 8, books=(8, 8, 0, 0)), moved.batch(11, 12, lost={12: ("ring-bulk", 4)}, books=(16, 12, 0, 0)))
    moved.close()
    back = one.sensor(host="node", epoch=sensor.epoch, acknowledged=12)
    assert back.stored == 5
    send(back, back.batch(13, 13, books=(17, 13, 0, 0)))
    counts = collections.Counter(document["event"]["id"].rsplit("-", 1)[1] for document in one.documents())
    assert counts == {str(number): 1 for number in [*range(1, 9), 10, 11, 12, 13]}
    epoch, = one.both()["sensors"]
    assert epoch["events"]["elsewhere"] == 7 and epoch["events"]["missing"] == 0
    assert (epoch["difference"], epoch["lost"]) == (0, {"elsewhere": 4})
    epoch, = other.both()["sensors"]
    assert epoch["events"] == {"made": 12, "stored": 6, "taken_out": 1, "elsewhere": 5, "missing": 0}
    assert (epoch["difference"], epoch["lost"]) == (0, {"ring-bulk": 4, "stream": 2})
    back.close()


@pytest.mark.parametrize("over", ["directory", "address"])
def test_two_collectors_know_together_how_an_epoch_ended(start, tmp_path, over):
    """It moved and closed at the other one, and the next life came back: one collector alone cannot know that."""
    one, other = places = [Place(start, tmp_path / name) for name in ("a", "b")]
    for place in places:
        place.folder.mkdir()
        place.open()
    first = one.sensor(host="node")
    send(first, first.batch(1, 5, books=(5, 5, 0, 0)))
    first.close()
    moved = other.sensor(host="node", epoch=first.epoch, acknowledged=5)
    send(moved, moved.batch(6, 8, books=(8, 8, 0, 0, True)))
    moved.close()
    later = one.sensor(host="node")
    send(later, later.batch(1, 1, books=(1, 1, 0, 0)))
    later.close()
    one.collector.wait_for(lambda: not any(epoch["connected"] for epoch in one.status(data=one.address, code=1)["sensors"]))
    data = [place.address if over == "address" else place.data for place in places]
    assert [epoch["loss_unknown"] for epoch in one.status(data=data[0], code=1)["sensors"]] == [True, False]
    assert other.status(data=data[1])["loss_unknown"] is False
    status = one.status("--data", data[1], data=data[0])
    assert [(epoch["epoch"], epoch["data"], epoch["loss_unknown"]) for epoch in status["sensors"]] == \
        [(first.epoch.hex(), data[0], False), (first.epoch.hex(), data[1], False), (later.epoch.hex(), data[0], False)]
    table = run("taffrail", "status", "--data", data[0], "--data", data[1])
    assert table.returncode == 0 and "2 epochs of 1 sensors: what was seen is stored" in table.stdout and f"as {data[1]} has it" in table.stdout
    done = run("taffrail", "status", "--data", data[0], "--data", str(tmp_path / "none"))
    assert done.returncode == 3 and done.stdout == "" and str(tmp_path / "none") in done.stderr


# --- what a store has lost ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "flip", "segments"])
def test_a_store_that_lost_what_it_acknowledged_says_so(place, damage):
    """The sensor names the store that has acknowledged it: what is not there any more is no other collector's."""
    place.open()
    sensor = place.sensor(host="node")
    store = sensor.downs[0].hello.store
    assert len(store) == 16 and (place.folder / "data" / "id").read_text() == store.hex() + "\n"
    for number in range(1, 101):
        send(sensor, sensor.batch(number, number, books=(number, number, 0, 0)))
    sensor.close()
    place.collector.kill()
    segment = place.folder / "data" / "segments" / "0000000000000001.seg"
    if damage == "cut":
        os.truncate(segment, segment.stat().st_size // 2)
    elif damage == "flip":
        whole = bytearray(segment.read_bytes())
        whole[len(whole) - 20] ^= 1  # the last one's: it looks as if its writing was cut short
        segment.write_bytes(whole)
    else:
        segment.unlink()
    place.out.unlink()
    collector = place.open()
    again = place.sensor(host="node", epoch=sensor.epoch, acknowledged=100, elsewhere=[(store, 100)])
    assert again.downs[0].hello.store == store and again.stored < 100
    send(again, again.batch(101, 101, books=(101, 101, 0, 0)))
    lost = 100 - again.stored
    epoch, = place.both()["sensors"]
    assert (epoch["lost"], epoch["delivered"], epoch["difference"]) == ({"store": lost}, 101 - lost, 0)
    assert epoch["events"]["elsewhere"] == epoch["events"]["missing"] == 0
    document, = [document for document in place.documents() if document["event"]["action"] == "events_lost"]
    assert document["taffrail"]["lost"] == {"count": lost, "kinds": [], "stage": "store", "first": str(again.stored + 1), "last": "100"}
    said, = [line for line in collector.log if "has lost what it had" in line]
    assert "error" in said and f"node, epoch {sensor.epoch.hex()}: sequences {again.stored + 1} to 100" in said
    assert f"store {lost}" in run("taffrail", "status", "--data", place.data).stdout


def test_losses_that_came_later_are_not_another_collectors(place):
    place.open()
    sensor = place.sensor(host="node", elsewhere=[(os.urandom(16), 3)])
    send(sensor, sensor.batch(4, 5, books=(50, 10, 0, 0)))  # forty were declared lost by 1 to 3, as far as anybody here can know
    epoch, = place.both()["sensors"]
    assert (epoch["lost"], epoch["difference"]) == ({"elsewhere": 40}, 0)
    assert "what was seen is stored here or, as sensors say, elsewhere, waits" in run("taffrail", "status", "--data", place.data).stdout
    send(sensor, sensor.batch(6, 6, books=(5000, 11, 0, 0)))
    epoch, = place.both(code=1)["sensors"]
    assert (epoch["lost"], epoch["difference"]) == ({"elsewhere": 40}, 4949)
