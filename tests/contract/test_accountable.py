# SPDX-License-Identifier: Apache-2.0
"""What a killed sensor lost is declared, to the record: rings, counters and ledger outlive it, and the next life reads them."""
import collections
import ctypes
import json
import os
import random
import select
import subprocess
import threading
import time

import pytest
import stored
from conftest import SLOW, run
from disks import small_disk
from programs import loader_of

BPFTOOL = "/usr/sbin/bpftool"

# One exec after another, each with a nonce of its own and the times before and after it; and as many opens as it can.
WORKER = """
import os, sys, time
number = 0
while True:
    nonce = f"{sys.argv[1]}-{number}"
    before = time.monotonic()
    os.waitpid(os.posix_spawn("/bin/true", ["/bin/true", nonce], {}), 0)
    print(nonce, before, time.monotonic(), flush=True)
    for i in range(5):
        os.close(os.open("/etc/passwd" if i % 2 else f"/proc/self/fdinfo/{i % 3}", os.O_RDONLY))
    number += 1
"""


class Work:
    """What a container does all the time, and what is known of it from itself."""

    def __init__(self, container, name="w"):
        self.process = container.start("/usr/bin/python3", "-I", "-S", "-c", WORKER, name, stdout=subprocess.PIPE, text=True)
        self.done = []  # nonce, before, after
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            nonce, before, after = line.split()
            self.done.append((nonce, float(before), float(after)))

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(10)

    def within(self, begin, end):
        return {nonce for nonce, before, after in self.done if begin < before and after < end}


class Life:
    """One start of the sensor, from ready to its end: what was done meanwhile it has seen."""

    def __init__(self, place, *more):
        before = set(place.pinned())
        self.sensor = place.start("taffrail-sensor", "--collector", place.address, "--cri", str(place.folder / "none"),
                                  "--set", f"host.bpffs={place.pins}", *more)
        self.sensor.ready()
        self.begin = time.monotonic()
        self.epoch, = set(place.pinned()) - before

    def kill(self):
        """Of the loader, too, which holds the hooks and ends a moment later: until then the kernel counts on."""
        loader = os.pidfd_open(loader_of(self.sensor.process.pid))
        self.finish = time.monotonic()
        self.sensor.kill()
        assert select.select([loader], [], [], 5 * SLOW)[0], "the loader goes on without its sensor"
        os.close(loader)

    def end(self, seconds=20):
        self.finish = time.monotonic()
        return self.sensor.end(seconds=seconds)


class Place:
    def __init__(self, start, container, folder):
        self.start, self.container, self.folder = start, container, folder
        self.address, self.data = f"unix:{folder}/s", str(folder / "data")
        self.pins = str(folder / "bpf" / "taffrail")

    def collector(self):
        collector = self.start("taffrail-collector", "--listen", self.address, "--data", self.data, "--output", f"ecs-json:{self.folder}/out")
        collector.ready()
        return collector

    def pinned(self):
        return sorted(os.listdir(self.pins)) if os.path.isdir(self.pins) else []

    def documents(self):
        with open(self.folder / "out", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def execs(self):
        """The nonces that are in the file, after a look at each document's id."""
        documents = self.documents()
        ids = collections.Counter(document["event"]["id"] for document in documents)
        assert [one for one, count in ids.items() if count > 1] == []
        return {document["process"]["args"][1] for document in documents
                if document["event"]["action"] == "exec" and len(document["process"].get("args", [])) == 2}

    def balanced(self, closed):
        """The accounts of all epochs, which balance at every batch; those of `closed` are at their end."""
        found = stored.epochs(self.data)
        for name, epoch in found.items():
            assert epoch.wrong == [], (name, epoch.wrong[:5])
            assert epoch.missing() == 0, (name, epoch.made, epoch.events, epoch.taken_out)
        for name in closed:
            books = found[name].books
            assert books.closed and books.held == books.undeclared == 0, (name, str(books))
        return found


@pytest.fixture
def place(start, container, tmp_path):
    os.mkdir(tmp_path / "bpf")
    subprocess.run(["mount", "-t", "bpf", "none", str(tmp_path / "bpf")], check=True)
    yield Place(start, container, tmp_path)
    subprocess.run(["umount", "-l", str(tmp_path / "bpf")], check=True)


def assert_told(place, lives, work):
    """Of what was done under each life's eyes as much is missing at the most as was declared of it. The epochs' accounts."""
    found, seen = place.balanced([life.epoch for life in lives]), place.execs()
    for life in lives:
        missing = work.within(life.begin, life.finish) - seen
        assert len(missing) <= found[life.epoch].lost["sensor"], (life.epoch, len(missing), found[life.epoch].lost)
    return found


@pytest.mark.parametrize("spool", [True, False], ids=["spool", "no_spool"])
def test_killed_again_and_again(place, spool):
    moments, more = random.Random(8), ["--spool", str(place.folder / "spool")] if spool else []
    collector, lives, work = place.collector(), [], Work(place.container)
    for _ in range(int(os.environ.get("TAFFRAIL_KILLS", "6"))):
        lives.append(Life(place, *more))
        time.sleep(moments.uniform(0, 1.6) * SLOW)
        lives[-1].kill()
        assert lives[-1].epoch in place.pinned()
    lives.append(Life(place, *more))
    time.sleep(0.5)
    work.end()
    assert lives[-1].end() == 0
    assert collector.end() == 0
    assert place.pinned() == []
    found = assert_told(place, lives, work)
    assert len(found) == len(lives)
    assert sum(len(work.within(life.begin, life.finish)) for life in lives) > 500
    # What cannot have been told is not all: names are waited for a second, then a batch leaves after 20 ms.
    lost = [found[life.epoch].lost["sensor"] for life in lives]
    assert sum(lost[:-1]) > 0 and lost[-1] == 0, lost
    assert sum(epoch.events for epoch in found.values()) > 10000, lost


def counted(path):
    """What the kernel has numbered, and counted as lost repeats, by the pinned counters."""
    dump = json.loads(subprocess.run([BPFTOOL, "--json", "map", "dump", "pinned", path], capture_output=True, check=True).stdout)
    total = 0
    for element in dump:
        for cpu in element["values"]:
            value = bytes(int(byte, 16) for byte in cpu["value"])
            words = [int.from_bytes(value[at:at + 8], "little") for at in range(0, len(value), 8)]
            total += words[0] + words[1] + words[-1]
    return total


@pytest.mark.alone
def test_seen_is_what_the_kernel_has_counted(place):
    """Of a life that was killed, and of one that ended: with each open a record, for those that are only counted have no number."""
    collector, work = place.collector(), Work(place.container)
    killed = Life(place, "--set", "opens.window=0s")
    time.sleep(1.5)
    killed.kill()
    kernel = counted(os.path.join(place.pins, killed.epoch, "counters"))
    work.end()
    ended = Life(place, "--set", "opens.window=0s")
    work = Work(place.container, "v")
    time.sleep(1)
    work.end()
    # It has not ended yet: but of what it sees, nothing happens any more.
    time.sleep(1.5 * SLOW)
    final = counted(os.path.join(place.pins, ended.epoch, "counters"))
    assert ended.end() == 0
    assert collector.end() == 0
    found = place.balanced([killed.epoch, ended.epoch])
    assert found[killed.epoch].books.seen == kernel + found[killed.epoch].lost["kernel"]
    assert found[killed.epoch].lost["sensor"] > 0
    assert found[ended.epoch].books.seen >= final + found[ended.epoch].lost["kernel"]
    assert found[ended.epoch].books.seen <= final + found[ended.epoch].lost["kernel"] + 100, "what ran beside it is little"
    assert found[ended.epoch].lost["sensor"] == 0


def test_counted_opens_that_nobody_took_are_declared(place):
    """Equal opens are counted in the kernel: a kill before the count is taken loses it, and says so."""
    collector, life = place.collector(), Life(place, "--set", "opens.window=60s")
    code = "import os\nfor i in range(5000): os.close(os.open('/etc/passwd', os.O_RDONLY))\nprint('done', flush=True)\nimport time; time.sleep(60)"
    worker = place.container.start("/usr/bin/python3", "-I", "-S", "-c", code, stdout=subprocess.PIPE)
    assert worker.stdout.readline() == b"done\n"
    time.sleep(2 * SLOW)
    life.kill()
    worker.kill()
    worker.wait()
    last = Life(place)
    last.sensor.wait_for(lambda: life.epoch not in place.pinned())
    assert last.end() == 0 and collector.end() == 0
    found = place.balanced([life.epoch, last.epoch])
    assert 4900 < found[life.epoch].lost["sensor"] < 5500, found[life.epoch].lost
    document, = [one for one in place.documents() if one.get("taffrail", {}).get("lost", {}).get("stage") == "sensor"]
    assert "open" in document["taffrail"]["lost"]["kinds"] and document["event"]["sequence"] == int(document["taffrail"]["lost"]["last"])
    assert document["event"]["start"] <= document["event"]["end"]


def test_flood_is_declared_to_the_record(place):
    """More opens than the bulk ring takes, and then a kill: what was lost in the ring and with the sensor is the whole rest."""
    collector, life = place.collector(), Life(place, "--set", "opens.window=0s", "--set", "rings.bulk=1M")
    code = "import os\nwhile True: os.close(os.open('/etc/passwd', os.O_RDONLY))"
    workers = [place.container.start("/usr/bin/python3", "-I", "-S", "-c", code) for _ in range(4)]
    life.sensor.wait_for(lambda: subprocess.run(["grep", "-q", '"stage":"ring-bulk"', str(place.folder / "out")], check=False).returncode == 0, 60)
    life.kill()
    for worker in workers:
        worker.kill()
        worker.wait()
    last = Life(place)
    last.sensor.wait_for(lambda: life.epoch not in place.pinned())
    assert last.end() == 0 and collector.end() == 0
    found = place.balanced([life.epoch, last.epoch])
    assert found[life.epoch].lost["sensor"] > 0 and found[life.epoch].lost["ring-bulk"] > 0, found[life.epoch].lost


def test_sigterm_that_no_collector_heard(place):
    """Without a spool what was not acknowledged is gone; the next life declares it."""
    life = Life(place, "--set", "drain=100ms")
    work = Work(place.container)
    time.sleep(1.5)
    work.end()
    assert life.end() == 0
    assert any("the next life of the sensor declares them lost" in line for line in life.sensor.log), life.sensor.log
    assert place.pinned() == [life.epoch]
    assert sorted(os.listdir(os.path.join(place.pins, life.epoch))) == ["counters", "ledger"], "memory of rings that are empty"
    collector, last = place.collector(), Life(place)
    last.sensor.wait_for(lambda: life.epoch not in place.pinned())
    assert last.end() == 0 and collector.end() == 0
    assert place.pinned() == []
    assert len(work.within(life.begin, life.finish)) > 50
    found = assert_told(place, [life, last], work)
    assert found[life.epoch].lost["sensor"] == found[life.epoch].books.seen > 0


def test_sigterm_with_more_than_memory_takes(place):
    """Nobody takes anything, and memory is full: it ends all the same, and what stays in the rings is declared by the next life."""
    life = Life(place, "--set", "drain=500ms", "--set", "stream.memory=1M", "--set", "opens.window=0s")
    code = "import os\nwhile True:\n    if os.fork() == 0: os._exit(0)\n    os.wait()"
    workers = [place.container.start("/usr/bin/python3", "-I", "-S", "-c", code) for _ in range(2)]
    life.sensor.wait_for(lambda: any("is short: bulk is taken out" in line for line in life.sensor.log), 60)
    time.sleep(2)
    for worker in workers:
        worker.kill()
        worker.wait()
    begun = time.monotonic()
    assert life.end() == 0
    assert time.monotonic() - begun < 15 * SLOW
    assert any("what the rings hold is left there" in line for line in life.sensor.log), life.sensor.log
    assert sorted(os.listdir(os.path.join(place.pins, life.epoch))) == ["bulk", "counters", "critical", "ledger", "shared"]
    kernel = counted(os.path.join(place.pins, life.epoch, "counters"))
    collector, last = place.collector(), Life(place)
    last.sensor.wait_for(lambda: life.epoch not in place.pinned())
    assert last.end() == 0 and collector.end() == 0
    found = place.balanced([life.epoch, last.epoch])
    assert found[life.epoch].books.seen == found[life.epoch].lost["sensor"] == kernel + found[life.epoch].lost["kernel"] > 1000
    document, = [one for one in place.documents() if one.get("taffrail", {}).get("lost", {}).get("stage") == "sensor"]
    assert {"fork", "end"} <= set(document["taffrail"]["lost"]["kinds"])


def test_sigterm_with_a_spool_whose_disk_is_full(place):
    """What is in memory alone is not on the spool, and nobody says that it is."""
    with small_disk(place.folder / "spool", "64k") as spool:
        with open(spool / "other", "wb") as other:
            other.write(bytes(60 << 10))
        life, work = Life(place, "--spool", str(spool), "--set", "drain=100ms"), Work(place.container)
        life.sensor.wait_for(lambda: any("waits in memory until it can be written again" in line for line in life.sensor.log))
        work.end()
        assert life.end() == 0
        said, = [line for line in life.sensor.log if "the spool could not take them" in line]
        assert "error" in said and "the next life of the sensor declares them lost" in said
        assert not any("spool keeps them" in line for line in life.sensor.log)
        assert place.pinned() == [life.epoch]
        os.unlink(spool / "other")
        collector, last = place.collector(), Life(place, "--spool", str(spool))
        last.sensor.wait_for(lambda: life.epoch not in place.pinned())
        assert sum("of this sensor ended before a collector had all of it: " in line for line in last.sensor.log) == 1, last.sensor.log
        assert not any("was killed" in line for line in last.sensor.log), last.sensor.log
        assert last.end() == 0 and collector.end() == 0
        assert assert_told(place, [life, last], work)[life.epoch].lost["sensor"] > 0


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_a_spool_that_is_lost_behind_sigterm_is_no_all_clear(place, how):
    """Nothing is pinned any more, so nobody can count: but the epoch never closed."""
    spool, collector = place.folder / "spool", place.collector()
    life = Life(place, "--spool", str(spool), "--set", "drain=100ms")
    work = Work(place.container)
    life.sensor.wait_for(lambda: life.epoch in stored.epochs(place.data))
    assert collector.end() == 0
    time.sleep(2)
    work.end()
    assert life.end() == 0 and place.pinned() == []
    for file in spool.iterdir():
        if how == "removed":
            file.unlink()
        else:
            with open(file, "r+b") as bytes_of_it:
                bytes_of_it.write(b"x")
    collector, last = place.collector(), Life(place, "--spool", str(spool))
    last.sensor.wait_for(lambda: any("coverage" in line for line in last.sensor.log))  # an event, and with it a time
    assert last.end() == 0 and collector.end() == 0
    done = run("taffrail", "status", "--json", "--data", place.data)
    assert {epoch["epoch"]: epoch["loss_unknown"] for epoch in json.loads(done.stdout)["sensors"]} == {life.epoch: True, last.epoch: False}
    assert done.returncode == 1
    assert any("its beginning is damaged" in line for line in last.sensor.log) == (how == "damaged"), last.sensor.log


def test_the_canary_is_not_among_what_was_lost(place):
    """Its deeds are seen and come to nothing: of a life that is killed right behind them they are no loss of those kinds."""
    killed = Life(place)
    killed.sensor.wait_for(lambda: any("coverage" in line for line in killed.sensor.log))
    killed.kill()
    collector, last = place.collector(), Life(place)
    last.sensor.wait_for(lambda: killed.epoch not in place.pinned())
    assert last.end() == 0 and collector.end() == 0
    found = place.balanced([killed.epoch, last.epoch])
    assert found[killed.epoch].books.seen > 0
    document, = [one for one in place.documents() if one.get("taffrail", {}).get("lost", {}).get("stage") == "sensor"]
    # What others do on this machine meanwhile may be among them; it is not all of this at once.
    assert not {"exec", "fork", "end", "open", "connection_attempted", "connection_accepted"} <= set(document["taffrail"]["lost"]["kinds"]), document


def test_sigterm_with_a_spool_leaves_nothing_pinned(place):
    life = Life(place, "--spool", str(place.folder / "spool"), "--set", "drain=100ms")
    work = Work(place.container)
    time.sleep(1)
    work.end()
    assert life.end() == 0
    assert place.pinned() == [], "the spool has everything, and that nothing more comes"
    collector, last = place.collector(), Life(place, "--spool", str(place.folder / "spool"))
    assert last.end() == 0 and collector.end() == 0
    found = assert_told(place, [life, last], work)
    assert found[life.epoch].lost["sensor"] == 0 and found[life.epoch].books.closed


def test_killed_while_the_collector_is_away(place):
    """Several lives wait to be closed, with what the spool has of each before."""
    lives, work = [], Work(place.container)
    for _ in range(4):
        lives.append(Life(place, "--spool", str(place.folder / "spool")))
        time.sleep(1.5)
        lives[-1].kill()
    assert len(place.pinned()) == 4
    for life in lives[:-1]:
        assert sorted(os.listdir(os.path.join(place.pins, life.epoch))) == ["counters", "ledger"]
    collector = place.collector()
    lives.append(Life(place, "--spool", str(place.folder / "spool")))
    time.sleep(0.5)
    work.end()
    assert lives[-1].end() == 0 and collector.end() == 0
    assert place.pinned() == []
    found = assert_told(place, lives, work)
    assert all(found[life.epoch].events > 100 for life in lives)


def test_more_lives_than_are_closed_at_once(place):
    """17 that were killed with nobody there: 16 are closed at once, the youngest when there is room again."""
    lives = []
    for _ in range(17):
        lives.append(Life(place))
        lives[-1].kill()
    collector, last = place.collector(), Life(place)
    assert any("more than 16 lives" in line for line in last.sensor.log), last.sensor.log
    last.sensor.wait_for(lambda: place.pinned() == [last.epoch], 60)
    assert last.end() == 0 and collector.end() == 0
    assert place.pinned() == []
    assert len(place.balanced([life.epoch for life in lives + [last]])) == 18


def test_killed_when_the_next_one_has_started(place):
    """As in a rolling update: the younger closes it while it is at work itself, and loses nothing by that."""
    collector, work = place.collector(), Work(place.container)
    killed, last = Life(place), Life(place)
    assert any(f"{killed.epoch}: another sensor holds it" in line for line in last.sensor.log), last.sensor.log
    time.sleep(1.5)
    killed.kill()
    last.sensor.wait_for(lambda: killed.epoch not in place.pinned(), 30 * SLOW)
    time.sleep(0.5)
    work.end()
    assert last.end() == 0 and collector.end() == 0
    assert place.pinned() == []
    found = assert_told(place, [killed, last], work)
    assert found[killed.epoch].lost["sensor"] > 0 and found[last.epoch].lost.total() == 0, (found[killed.epoch].lost, found[last.epoch].lost)
    assert len(work.within(last.begin, last.finish)) > 200
    assert not any("waits here" in line or "wait here" in line for line in last.sensor.log), last.sensor.log


def test_epoch_of_a_sensor_with_another_spool(place):
    """It is neither closed while that lives, nor afterwards as long as its spool is there: its events may still come."""
    collector = place.collector()
    first = Life(place, "--spool", str(place.folder / "first"))
    second = Life(place, "--spool", str(place.folder / "second"))
    assert second.end() == 0 and place.pinned() == [first.epoch]
    first.kill()
    second = Life(place, "--spool", str(place.folder / "second"))
    assert any(f"{first.epoch}: its spool is {place.folder}/first" in line for line in second.sensor.log), second.sensor.log
    assert second.end() == 0 and place.pinned() == [first.epoch]
    assert Life(place, "--spool", str(place.folder / "first")).end() == 0
    assert collector.end() == 0 and place.pinned() == []
    place.balanced([first.epoch])


def test_what_is_no_former_life_harms_nobody(place):
    """Directories without a ledger, with a ledger of zeros, of another size, and with a ring in its place."""
    os.makedirs(place.pins, mode=0o700)
    maps = {"1" * 32: None, "2" * 32: ["array", "4096"], "3" * 32: ["array", "64"], "4" * 32: ["hash", "4096"]}
    for name, kind in maps.items():
        os.mkdir(os.path.join(place.pins, name))
        if kind:
            subprocess.run([BPFTOOL, "map", "create", os.path.join(place.pins, name, "ledger"), "type", kind[0], "key", "4", "value", kind[1],
                            "entries", "1", "name", "ledger", "flags", "1024" if kind[0] == "array" else "0"], check=True)
    os.mkdir(os.path.join(place.pins, "other"))
    collector, life = place.collector(), Life(place)
    for name in ("2", "3", "4"):
        assert sum(f"{name * 32}: its ledger cannot be read" in line for line in life.sensor.log) == 1, life.sensor.log
    kept = ["2" * 32, "3" * 32, "4" * 32, "other"]
    assert place.pinned() == sorted([life.epoch] + kept)
    assert life.end() == 0 and collector.end() == 0
    assert place.pinned() == kept, "nobody has declared what they tell of"
    place.balanced([life.epoch])


@pytest.mark.parametrize("byte", [20, 33], ids=["epoch", "host_id"])
def test_ledger_that_is_damaged(place, byte):
    """One bit: what the life lost is declared by what else is known of it, or all stays pinned. It is never gone in silence."""
    collector, work, killed = place.collector(), Work(place.container), Life(place)
    time.sleep(1)
    killed.kill()
    work.end()
    ledger = os.path.join(place.pins, killed.epoch, "ledger")
    dump, = json.loads(subprocess.run([BPFTOOL, "--json", "map", "dump", "pinned", ledger], capture_output=True, check=True).stdout)
    value = [int(one, 16) for one in dump["value"]]
    value[byte] ^= 1
    subprocess.run([BPFTOOL, "map", "update", "pinned", ledger, "key", *"0000", "value", *map(str, value)], check=True)
    last = Life(place)
    if byte == 20:
        last.sensor.wait_for(lambda: killed.epoch not in place.pinned())
        assert any(f"{killed.epoch}: its ledger is damaged" in line for line in last.sensor.log), last.sensor.log
    else:
        assert any(f"{killed.epoch}: its ledger cannot be read" in line for line in last.sensor.log), last.sensor.log
        assert sorted(os.listdir(os.path.join(place.pins, killed.epoch))) == ["bulk", "counters", "critical", "ledger", "shared"]
    assert last.end() == 0 and collector.end() == 0
    if byte == 20:
        found = assert_told(place, [killed, last], work)
        assert found[killed.epoch].lost["sensor"] > 0 and place.pinned() == []


@pytest.mark.parametrize("path", ["/tmp", "nowhere/taffrail", "shared/taffrail"])
def test_without_a_place_to_pin(start, place, path):
    """Said once; the sensor works as ever. `shared`: others may write there."""
    if path == "shared/taffrail":
        os.makedirs(place.folder / "bpf" / "shared" / "taffrail")
        os.chmod(place.folder / "bpf" / "shared" / "taffrail", 0o777)
        path = str(place.folder / "bpf" / path)
    collector = place.collector()
    sensor = start("taffrail-sensor", "--collector", place.address, "--set", f"host.bpffs={path}")
    sensor.ready()
    place.container.run("/bin/true", "seen")
    assert sensor.end() == 0 and collector.end() == 0
    assert sum("what it loses cannot be told" in line for line in sensor.log) == 1, sensor.log
    assert "seen" in place.execs()
    place.balanced(stored.epochs(place.data))


def test_killed_without_pins_is_no_all_clear(start, place):
    """Without them, or after a power cut, nobody can count what was lost: the balance says that, and names the life."""
    collector, epochs = place.collector(), []
    for wanted in (lambda sensor: sensor.kill(), lambda sensor: sensor.end()):
        sensor = start("taffrail-sensor", "--collector", place.address, "--cri", str(place.folder / "none"), "--set", "host.bpffs=none")
        sensor.ready()
        place.container.run("/bin/true", "seen")
        sensor.wait_for(lambda: len(stored.epochs(place.data)) > len(epochs))
        time.sleep(0.5)
        wanted(sensor)
        epochs.extend(set(stored.epochs(place.data)) - set(epochs))
    assert collector.end() == 0
    done = run("taffrail", "status", "--json", "--data", place.data)
    status = json.loads(done.stdout)
    assert {epoch["epoch"]: (epoch["loss_unknown"], epoch["closed"], epoch["difference"]) for epoch in status["sensors"]} == \
        {epochs[0]: (True, False, 0), epochs[1]: (False, True, 0)}
    assert done.returncode == 1 and status["loss_unknown"] is True


@pytest.fixture
def machine():
    """A mount namespace in which no bpffs is mounted at the usual place: of a process that keeps it."""
    script = "mount --make-rprivate / && while umount /sys/fs/bpf 2>/dev/null; do :; done; echo made; exec sleep 1000"
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout.readline() == "made\n"
        yield keeper.pid
        keeper.kill()


def test_a_bpffs_is_mounted_where_there_is_none(start, place, machine):
    """By the sensor itself, which takes it away again; after a kill it stays, with the pins, for the next life."""
    def enter():
        with open(f"/proc/{machine}/ns/mnt", "rb") as namespace:
            assert ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0

    def mounted():
        with open(f"/proc/{machine}/mounts", encoding="utf-8") as mounts:
            return any(line.split()[1:3] == ["/sys/fs/bpf", "bpf"] for line in mounts)

    def life():
        sensor = start("taffrail-sensor", "--collector", place.address, "--set", "host.bpffs=/sys/fs/bpf/taffrail", preexec_fn=enter)
        sensor.ready()
        assert mounted() and not any("cannot be told" in line for line in sensor.log), sensor.log
        return sensor

    collector = place.collector()
    assert life().end() == 0 and not mounted()
    killed = life()
    place.container.run("/bin/true", "seen")
    killed.kill()
    assert mounted() and len(os.listdir(f"/proc/{machine}/root/sys/fs/bpf/taffrail")) == 1
    last = life()
    last.wait_for(lambda: len(os.listdir(f"/proc/{machine}/root/sys/fs/bpf/taffrail")) == 1)
    assert last.end() == 0 and not os.path.exists(f"/proc/{machine}/root/sys/fs/bpf/taffrail")
    assert collector.end() == 0
    assert len(place.balanced([])) == 3


def test_nothing_is_pinned_where_it_is_not_wanted(start, place):
    for arguments in (["--set", "host.bpffs=none", "--collector", place.address], ["--set", f"host.bpffs={place.pins}", "--stdout"]):
        sensor = start("taffrail-sensor", *arguments)
        sensor.ready()
        assert place.pinned() == [] and not any("cannot be told" in line for line in sensor.log), sensor.log
        sensor.kill()
