# SPDX-License-Identifier: Apache-2.0
"""What a collector's store holds, read as user/collector/segment.h describes it and by none of its code."""
import collections
import os
import struct

from peers import stream_pb2

HEADER, PREFIX, FRAME = 16, struct.Struct("<II"), struct.Struct("<QQ16sH")
BOOKED = ("ring-critical", "ring-bulk", "kernel", "sensor")  # the stages whose losses the books count


def frames(data):
    """(host, epoch, first, last, batch) of each frame below a collector's --data, in their order; the batch as it came, in bytes."""
    folder = os.path.join(str(data), "segments")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            file.seek(HEADER)
            while len(prefix := file.read(PREFIX.size)) == PREFIX.size:
                first, last, epoch, length = FRAME.unpack(file.read(FRAME.size))
                host = file.read(length).decode()
                yield host, epoch, first, last, file.read(PREFIX.unpack(prefix)[0] - FRAME.size - length)


def ranges(data):
    """Of each host and epoch: what is stored, as [first, last] without what touches told apart. What is stored twice is an error."""
    held = collections.defaultdict(list)
    for host, epoch, first, last, _ in frames(data):
        mine = held[host, epoch]
        if last < first:  # books alone
            continue
        assert not mine or first > mine[-1][1], f"{host}: {first} to {last} stands behind {mine[-1]}"
        if mine and first == mine[-1][1] + 1:
            mine[-1][1] = last
        else:
            mine.append([first, last])
    return held


class Epoch:
    """The account of one: `wrong` names each batch at which its books do not balance, or take back what they said before."""

    def __init__(self):
        self.made = self.events = self.taken_out = 0
        self.lost = collections.Counter()
        self.books, self.batches, self.wrong = None, 0, []

    def add(self, first, batch):
        """A frame's; events before `first` are older frames' already."""
        events = [record.event for record in batch.record if record.HasField("event") and record.event.sequence >= first]
        self.made = max(self.made, batch.last)
        self.events += len(events)
        self.taken_out += batch.taken_out
        for event in events:
            if event.HasField("lost"):
                self.lost[event.lost.stage] += event.lost.count
        if not batch.HasField("books"):
            return
        fallen = self.books is not None and (batch.books.settled < self.books.settled or batch.books.seen < self.books.seen or self.books.closed)
        self.books, self.batches = batch.books, self.batches + 1
        if fallen or self.difference():
            self.wrong.append((batch.first, batch.last, self.difference(), str(batch.books)))

    def difference(self):
        books = self.books
        return books.seen - books.settled - books.held - books.undeclared - sum(self.lost[stage] for stage in BOOKED)

    def missing(self):
        """Numbers that are neither an event's nor told as taken out."""
        return self.made - self.events - self.taken_out


def epochs(data):
    """Epoch of each, by the epoch in hexadecimal."""
    found = {}
    for _, epoch, first, last, bytes_of_it in frames(data):
        batch = stream_pb2.Batch.FromString(bytes_of_it)
        assert batch.last == last and batch.epoch == epoch
        found.setdefault(epoch.hex(), Epoch()).add(first, batch)
    return found
