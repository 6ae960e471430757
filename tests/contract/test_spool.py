# SPDX-License-Identifier: Apache-2.0
"""Nothing lost in silence: a collector that is away, a sensor that is killed, a disk that is full, several collectors."""
import collections
import json
import os
import secrets
import shutil
import stat
import time

import pytest
from conftest import SLOW, run
from disks import small_disk
from framed import change_batches
from peers import stream_pb2
from test_http import Pages

MIB = 1 << 20


class Place:
    """A sensor's spool, a collector's directory and file, and the workload's own truth: each exec carries a nonce."""

    def __init__(self, start, container, folder):
        self.start, self.container, self.folder = start, container, folder
        self.address = f"unix:{folder}/s"
        self.out = folder / "out"
        self.nonces = []

    def collector(self, name=""):
        collector = self.start("taffrail-collector", "--listen", self.address + name, "--data", str(self.folder / f"data{name}"),
                               "--output", f"ecs-json:{self.out}{name}")
        collector.ready()
        return collector

    def sensor(self, *more, spool=True):
        arguments = ["--spool", str(self.folder / "spool")] if spool else []
        collectors = [] if "--collector" in more else ["--collector", self.address]
        sensor = self.start("taffrail-sensor", *collectors, *arguments, "--cri", str(self.folder / "none"), *more)
        sensor.ready()
        return sensor

    def work(self, count=10):
        for _ in range(count):
            self.nonces.append(secrets.token_hex(12))
            self.container.run("/bin/true", self.nonces[-1])

    def documents(self, name=""):
        try:
            with open(f"{self.out}{name}", encoding="utf-8") as lines:
                return [json.loads(line) for line in lines if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def execs(self, documents):
        found = collections.Counter()
        for document in documents:
            if document["event"]["action"] == "exec":
                found.update(set(document["process"].get("args", [])) & set(self.nonces))
        return found

    def assert_once(self):
        documents = self.documents()
        ids = collections.Counter(document["event"]["id"] for document in documents)
        assert [one for one, count in ids.items() if count > 1] == []
        found = self.execs(documents)
        assert [nonce for nonce in self.nonces if found[nonce] != 1] == []
        return documents

    def files(self):
        """What waits there; the process table of the next start lies beside it."""
        return sorted(name for name in os.listdir(self.folder / "spool") if name != "processes.taffrail")


@pytest.fixture
def place(start, container, tmp_path):
    return Place(start, container, tmp_path)


def spooled(sensor, place):
    """Until all that was done is on the spool: names and batches take their time."""
    time.sleep(2 * SLOW)
    assert sensor.process.poll() is None


def test_collector_that_is_away_for_a_while(place):
    collector = place.collector()
    sensor = place.sensor()
    place.work()
    assert collector.end() == 0
    place.work()
    spooled(sensor, place)
    assert place.files() and all(stat.S_IMODE(os.stat(place.folder / "spool" / name).st_mode) == 0o600 for name in place.files())
    assert stat.S_IMODE(os.stat(place.folder / "spool").st_mode) == 0o700
    collector = place.collector()
    place.work()
    assert sensor.end() == 0
    assert collector.end() == 0
    place.assert_once()
    assert place.files() == []
    assert sum("events wait here" in line for line in sensor.log) == 1, sensor.log


def test_killed_sensor_leaves_what_the_next_one_sends(place):
    for _ in range(2):
        sensor = place.sensor()
        place.work()
        spooled(sensor, place)
        sensor.kill()
    collector = place.collector()
    sensor = place.sensor()
    assert sum("of a former life wait to be sent" in line for line in sensor.log) == 2, sensor.log
    place.work()
    assert sensor.end() == 0
    assert collector.end() == 0
    place.assert_once()
    assert place.files() == []


def test_sigterm_without_a_collector_keeps_all(place):
    sensor = place.sensor("--set", "drain=100ms")
    place.work()
    assert sensor.end() == 0
    assert any("what is on the spool waits there" in line for line in sensor.log), sensor.log
    collector = place.collector()
    assert place.sensor().end() == 0
    assert collector.end() == 0
    place.assert_once()


def test_both_are_killed_again_and_again(place):
    collector, sensor = place.collector(), place.sensor()
    for number in range(3):
        place.work(5)
        spooled(sensor, place)
        if number % 2:
            collector.kill()
            place.work(5)
            spooled(sensor, place)
            collector = place.collector()
        sensor.kill()
        sensor = place.sensor()
    place.work(5)
    assert sensor.end() == 0
    assert collector.end() == 0
    place.assert_once()


def test_several_collectors(place):
    """One is used until it fails; then the next goes on, and neither id nor event is of two."""
    first, second = place.collector("1"), place.collector("2")
    sensor = place.sensor("--collector", place.address + "0", "--collector", place.address + "1", "--collector", place.address + "2")
    place.work()
    sensor.wait_for(lambda: len(place.execs(place.documents("1"))) == 10)
    assert place.documents("2") == []
    first.kill()
    place.work()
    sensor.wait_for(lambda: len(place.execs(place.documents("2"))) == 10)
    first = place.collector("1")
    place.work()  # it stays where it is
    sensor.wait_for(lambda: len(place.execs(place.documents("2"))) == 20)
    assert sensor.end() == 0
    assert first.end() == 0 and second.end() == 0
    assert not any("did not come" in line for line in second.log), second.log
    both = {document["event"]["id"]: document for document in place.documents("1") + place.documents("2")}
    assert place.execs(both.values()) == {nonce: 1 for nonce in place.nonces}


def test_full_disk_is_memory_until_there_is_room(place):
    with small_disk(place.folder / "spool", "256k") as spool:
        with open(spool / "other", "wb") as other:
            other.write(bytes(250 << 10))
        sensor = place.sensor()
        place.work()
        sensor.wait_for(lambda: any("No space left on device: what the collector has not acknowledged waits in memory" in line
                                    for line in sensor.log))
        place.work()
        os.unlink(spool / "other")
        sensor.wait_for(lambda: any("it can be written again" in line for line in sensor.log))
        spooled(sensor, place)
        sensor.kill()
        collector = place.collector()
        sensor = place.sensor()
        assert sensor.end() == 0
        assert collector.end() == 0
        place.assert_once()


def test_bulk_makes_room_and_each_eviction_is_declared(place):
    """More opens than the spool holds, and no collector: execs are all there, and each number is an event's or declared."""
    sensor = place.sensor("--set", "spool.max_bytes=16M", "--set", "opens.window=0s", "--set", "rings.bulk=64M")
    place.work()
    opener = "import os\nfor i in range(60000): os.close(os.open('/etc/passwd' if i % 2 else '/etc/group', os.O_RDONLY))"
    for _ in range(3):
        place.container.run("/usr/bin/python3", "-I", "-S", "-c", opener)
    place.work()
    sensor.wait_for(lambda: any("is full: bulk of events" in line for line in sensor.log))
    spooled(sensor, place)
    assert sum(os.stat(place.folder / "spool" / name).st_size for name in place.files()) <= 16 * MIB
    sensor.kill()
    collector = place.collector()
    sensor = place.sensor("--set", "spool.max_bytes=16M")
    assert sensor.end(seconds=60) == 0
    assert collector.end() == 0
    documents = place.assert_once()
    lost = [document for document in documents if document.get("taffrail", {}).get("lost", {}).get("stage") == "spool"]
    assert lost and all(document["taffrail"]["lost"]["kinds"] == ["open"] for document in lost)
    for document in lost:
        told = document["taffrail"]["lost"]
        assert 0 < told["count"] <= int(told["last"]) - int(told["first"]) + 1 and document["event"]["sequence"] == int(told["last"])
    # Of the first life every number but those of the spool's own records is an event's, or it is counted once.
    first = min(document["@timestamp"] for document in documents)
    epoch = next(document["event"]["id"] for document in documents if document["@timestamp"] == first).rsplit("-", 1)[0]
    of_first = [document for document in documents if document["event"]["id"].startswith(epoch)]
    counted = sum(document["taffrail"]["lost"]["count"] for document in of_first if document in lost)
    assert len(of_first) - sum(document in lost for document in of_first) + counted == max(document["event"]["sequence"] for document in of_first)


def spoil(place):
    """One batch of what waits refers to processes that it does not hold; its first and last number, what it was, and is."""
    spoiled = []

    def change(batch, first, last):
        up = stream_pb2.Up.FromString(batch)
        others = [record for record in up.batch.record if not record.HasField("process")]
        if spoiled or len(others) == len(up.batch.record):
            return batch
        del up.batch.record[:]
        up.batch.record.extend(others)
        bad = up.batch.SerializeToString()
        length = bytes(len(bad) >> 7 * byte & 0x7f | (0x80 if byte < 4 else 0) for byte in range(5))  # as the sensor makes it
        spoiled.append((first, last, batch, batch[:1] + length + bad))
        return spoiled[0][3]

    for name in place.files():
        change_batches(place.folder / "spool" / name, change)
    return spoiled[0]


def test_batch_that_no_collector_takes_is_told_as_lost(place):
    """And holds up nothing that is behind it."""
    sensor = place.sensor("--set", "drain=100ms")
    for _ in range(5):
        place.work(2)
        time.sleep(0.1)
    assert sensor.end() == 0
    first, last, good, bad = spoil(place)
    collector = place.collector()
    sensor = place.sensor("--http", f"unix:{place.folder}/http")
    place.work()
    sensor.wait_for(lambda: place.execs(place.documents())[place.nonces[-1]])
    pages = Pages(sensor)
    sensor.wait_for(lambda: pages.metric("taffrail_sensor_stream_refused_batches_total") == 1)
    kept, = [name for name in place.files() if name.endswith(".refused")]
    assert (place.folder / "spool" / kept).read_bytes() == bad
    said = f"events {first} to {last} are told as lost, for collectors refuse them: they are kept as {kept} of the spool"
    assert any(said in line for line in sensor.log), sensor.log
    assert sensor.end() == 0
    documents = place.documents()
    lost, = [document["taffrail"]["lost"] for document in documents if document["event"]["action"] == "events_lost"]
    assert (lost["stage"], lost["first"], lost["last"], lost["count"]) == ("spool", str(first), str(last), last - first + 1)
    gone = {nonce for nonce in place.nonces if nonce.encode() in good}
    assert gone and place.execs(documents) == {nonce: 1 for nonce in place.nonces if nonce not in gone}
    done = run("taffrail", "status", "--json", "--data", str(place.folder / "data"))
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert collector.end() == 0


@pytest.mark.parametrize("arguments,word", [
    (["--stdout", "--spool", "/tmp/x"], "--spool is for --collector"),
    (["--collector", "unix:/tmp/x", "--set", "spool.fsync=often"], "always, interval or never"),
    (["--collector", "unix:/tmp/x", "--set", "spool.max_bytes=1M"], "from 16777216"),
    (["--collector", "unix:/tmp/x", "--collector", "nowhere"], "nowhere"),
])
def test_wrong_usage(arguments, word):
    done = run("taffrail-sensor", *arguments)
    assert done.returncode == 2 and word in done.stderr, done.stderr


def test_directory_of_another(place):
    place.sensor()
    done = run("taffrail-sensor", "--no-rules", "--collector", place.address, "--spool", str(place.folder / "spool"))
    assert done.returncode == 1 and "another sensor uses it" in done.stderr, done.stderr
    shutil.rmtree(place.folder / "spool")
    os.mkdir(place.folder / "spool")
    os.chmod(place.folder / "spool", 0o777)
    done = run("taffrail-sensor", "--no-rules", "--collector", place.address, "--spool", str(place.folder / "spool"))
    assert done.returncode == 1 and "others may write there" in done.stderr, done.stderr
