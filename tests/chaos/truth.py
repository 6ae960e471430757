# SPDX-License-Identifier: Apache-2.0
"""What was really done, what the collector says was done, and what it says is lost."""
import collections
import datetime
import json
import os
import re
import signal
import subprocess
import time

from containers import Container
from programs import program
from wire import helper

ACTION = {"exec": "exec", "connect": "connection_attempted", "open": "open"}  # as events_lost names them
SLACK = 0.1  # seconds between a deed's time as the workload read it, and the kernel's
ID, COUNT = re.compile(rb'"id":"([^"]*)"'), re.compile(rb'"taffrail":{.*"count":(\d+)')
Deed = collections.namedtuple("Deed", "kind name began ended")
Loss = collections.namedtuple("Loss", "id stage kinds count start end")


def stamp(text):
    """RFC 3339 with nanoseconds, as Unix time."""
    whole, _, part = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return seconds + float("0." + (part or "0"))


class Workload:
    """Deeds in a container of its own, each with a name that no other one has."""

    def __init__(self, folder, name, interval_ms=20, opens=5):
        self.looked = {}  # how far an output was searched for the last of its deeds
        self.container, self.log = Container("chaos"), os.path.join(folder, f"{name}.deeds")
        self.process = self.container.start(helper("chaos-work"), "deeds", self.log, str(folder), name, str(interval_ms), str(opens))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, "the workload failed"

    def last(self):
        """The name of its last exec, once it has ended."""
        with open(self.log, "rb") as lines:
            lines.seek(max(0, os.fstat(lines.fileno()).st_size - 65536))
            return next(line.split()[1].decode() for line in reversed(lines.readlines()) if line.startswith(b"exec "))

    def deeds(self):
        with open(self.log, encoding="ascii") as lines:
            split = [line.split() for line in lines if line.endswith("\n")]
        return [Deed(kind, name, int(began) / 1e9, int(ended) / 1e9) for kind, name, began, ended in split]

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.container.remove()


class Flood:
    """A container that opens its files as fast as it can, in as many processes as there are processors."""

    def __init__(self, folder, files=5000):
        self.container = Container("chaos")
        self.folders = [os.path.join(folder, f"flood{number}") for number in range(os.cpu_count())]
        for made in self.folders:
            os.mkdir(made)
        self.processes = [self.container.start(helper("chaos-work"), "flood", made, str(files), stdout=subprocess.PIPE) for made in self.folders]
        deadline = time.monotonic() + 20
        while not all(os.path.exists(os.path.join(made, str(files - 1))) for made in self.folders):
            assert time.monotonic() < deadline, "the flood does not come"
            time.sleep(0.01)

    def end(self):
        """How many opens were made."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        made = [process.communicate(timeout=20)[0] for process in self.processes]
        assert all(process.returncode == 0 for process in self.processes), "the flood failed"
        return sum(map(int, made))

    def remove(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.container.remove()


class Told:
    """The documents of ECS files. One file has each id once; several are one sink, where equal ids are one document.

    Of opens in the container `flood`, which are many, only the numbers are read, and how many there were.
    """

    def __init__(self, paths, flood=None):
        self.flood, self.flooded = f'"container":{{"id":"{flood}"'.encode(), 0
        self.documents, self.wrong, self.twice = {}, [], 0
        self.of_file = []  # how many documents each has
        for path in paths:
            self._read(path)
        self.found = collections.Counter()
        self.losses = []
        for document in self.documents.values():
            self._look(document)

    def _read(self, path):
        own, torn, again = {}, 0, []
        with open(path, "rb") as lines:
            for line in lines:
                try:
                    document = self._of_flood(line) or json.loads(line)
                except ValueError:
                    torn += 1
                    continue
                number = document["event"]["id"]
                if number in own:
                    again.append(number)
                own[number] = document
        if torn:
            self.wrong.append(f"{path}: {torn} lines are no documents")
        if again:
            self.wrong.append(f"{path}: {len(again)} documents came again, among them {again[:5]}")
        self.of_file.append(len(own))
        for number, document in own.items():
            self.twice += number in self.documents
            if self.documents.setdefault(number, document) != document:
                self.wrong.append(f"{number} is another document elsewhere")

    def _of_flood(self, line):
        if self.flood not in line or b'"action":"open"' not in line or b"/flood" not in line:
            return None
        number, count = ID.search(line), COUNT.search(line)
        self.flooded += int(count[1]) if count else 1
        return {"event": {"id": number[1].decode(), "action": "flood"}}

    def _look(self, document):
        event, container = document["event"], document.get("container", {}).get("id")
        if event.get("kind") == "alert":
            return  # what the sensor thinks of a deed, beside the deed
        if event["action"] == "exec":
            for argument in document["process"].get("args", [])[1:2]:
                self.found["exec", container, argument] += 1
        elif event["action"] == ACTION["connect"]:
            self.found["connect", container, document.get("destination", {}).get("ip")] += 1
        elif event["action"] == "open":
            self.found["open", container, document["file"].get("path")] += document.get("taffrail", {}).get("count", 1)
        elif event["action"] == "events_lost":
            lost = document["taffrail"]["lost"]
            # Of what a spool cannot read any more nobody knows the kinds, nor the time; its numbers are exact.
            unread = lost.get("stage") == "spool" and not lost.get("kinds")
            start, end = (stamp(event.get(each, document["@timestamp"])) for each in ("start", "end"))
            self.losses.append(Loss(event["id"], lost.get("stage"), lost.get("kinds", []), lost["count"], 0 if unread else start, end))

    def epochs(self):
        """Documents of each epoch, by sequence."""
        epochs = collections.defaultdict(dict)
        for number, document in self.documents.items():
            epoch, sequence = number.rsplit("-", 1)
            epochs[epoch][int(sequence)] = document
        return epochs


def missing(workload, told, times):
    """Deeds that were done while the sensor was there, and are not told; and what is told more often than it was done."""
    lost, wrong = [], []
    for deed in workload.deeds():
        count = told.found[deed.kind, workload.container.id, deed.name]
        if not any(start <= deed.began and deed.ended <= end for start, end in times):
            continue
        if count > 1:
            wrong.append(f"{deed.kind} {deed.name} is told {count} times")
        if count == 0:
            lost.append(deed)
    return lost, wrong


def undeclared(deeds, losses):
    """Deeds for which no loss of their kind and time is declared. A loss of N records accounts for N deeds."""
    left = {loss.id: loss.count for loss in losses}
    alone = []
    for deed in sorted(deeds, key=lambda each: each.ended):
        fits = [loss for loss in losses if left[loss.id] > 0 and (not loss.kinds or ACTION[deed.kind] in loss.kinds)
                and loss.start - SLACK <= deed.ended and deed.began <= loss.end + SLACK]
        if fits:
            left[min(fits, key=lambda loss: loss.end).id] -= 1
        else:
            alone.append(deed)
    return alone


def spans(deeds, began):
    """When they were done, in seconds after `began`: times without a gap of a tenth together."""
    found = []
    for deed in sorted(deeds, key=lambda each: each.began):
        if not found or deed.began - began > found[-1][1] + 0.1:
            found.append([deed.began - began, 0, collections.Counter()])
        found[-1][1] = deed.ended - began
        found[-1][2][deed.kind] += 1
    return "; ".join(f"{first:.3f} to {last:.3f}: {dict(kinds)}" for first, last, kinds in found)


def numbers(told):
    """Of each epoch every number is a document's, or stands within one loss that counts it."""
    wrong = []
    for epoch, documents in told.epochs().items():
        holes = set(range(1, max(documents) + 1)) - set(documents)
        apart = len(holes)
        for sequence, document in documents.items():
            lost = document.get("taffrail", {}).get("lost", {})
            if lost.get("stage") in ("spool", "stream"):
                first, last = int(lost["first"]), int(lost["last"])
                if last != sequence or not 0 < lost["count"] <= last - first + 1:
                    wrong.append(f"{epoch}-{sequence}: a loss from {first} to {last} of {lost['count']}")
                apart -= lost["count"] - 1
            elif lost.get("stage") == "sensor":  # it counts records, and stands behind all numbers that came to nobody
                below = sequence - 1
                while below in holes:
                    below -= 1
                apart -= sequence - 1 - below
        if apart:
            wrong.append(f"{epoch}: {apart} of {max(documents)} numbers are missing, among {sorted(holes)[:10]}")
    return wrong


def balance(*data):
    """What taffrail status says of collectors' directories: (their sensors, what is wrong)."""
    done = subprocess.run([program("taffrail"), "status", "--json", *(word for one in data for word in ("--data", one))], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    try:
        status = json.loads(done.stdout)
    except ValueError:
        return [], [f"taffrail status ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"]
    wrong = [f"taffrail status: {json.dumps(sensor)}" for sensor in status["sensors"] if sensor["difference"] != 0]
    if status["difference"] != 0 or done.returncode != 0:
        wrong.append(f"taffrail status ended with {done.returncode}, difference {status['difference']}: {done.stderr[-1000:]}")
    return status["sensors"], wrong
