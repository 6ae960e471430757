# SPDX-License-Identifier: Apache-2.0
"""Certificates for the tests, and a sensor and a reader of other people's making: Python's grpcio."""
import importlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time

import grpc

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _messages():
    """proto/taffrail/v1/stream.proto, compiled into build/ when a .proto has changed."""
    proto, folder = os.path.join(ROOT, "proto"), os.path.join(ROOT, "build", "proto", "python")
    sources = [f"taffrail/v1/{name}" for name in sorted(os.listdir(os.path.join(proto, "taffrail", "v1"))) if name.endswith(".proto")]
    target = os.path.join(folder, "taffrail", "v1", "stream_pb2.py")
    if not os.path.exists(target) or any(os.path.getmtime(target) < os.path.getmtime(os.path.join(proto, one)) for one in sources):
        os.makedirs(os.path.join(folder, "taffrail", "v1"), exist_ok=True)
        # Beside it, then renamed: others may do the same now.
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            subprocess.run(["protoc", f"-I{proto}", f"--python_out={fresh}", *sources], check=True)
            for one in sources:
                made = one.replace(".proto", "_pb2.py")
                os.rename(os.path.join(fresh, made), os.path.join(folder, made))
    sys.path.insert(0, folder)
    return importlib.import_module("taffrail.v1.stream_pb2"), importlib.import_module("taffrail.v1.event_pb2")


stream_pb2, event_pb2 = _messages()


class Papers:
    """What scripts/make-test-ca writes."""

    def __init__(self, folder, *options):
        self.folder = str(folder)
        self.make(*options)

    def make(self, *options):
        subprocess.run([os.path.join(ROOT, "scripts", "make-test-ca"), *options, self.folder], check=True)

    def file(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.file(name), "rb") as file:
            return file.read()

    def options(self, name, ca="ca.pem"):
        return ["--tls-ca", self.file(ca), "--tls-cert", self.file(f"{name}.pem"), "--tls-key", self.file(f"{name}.key")]

    def credentials(self, name):
        return grpc.ssl_channel_credentials(self.read("ca.pem"), self.read(f"{name}.key"), self.read(f"{name}.pem"))


class Sensor:
    """A connection of Collector.Stream. What came stands in `downs`; `code` and `details` say how it ended."""

    def __init__(self, address, credentials=None, host="python-sensor", epoch=None):
        self.host = event_pb2.Host(id=host, name=host)
        self.epoch = epoch or os.urandom(16)
        self.channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
        method = self.channel.stream_stream("/taffrail.v1.Collector/Stream", request_serializer=lambda up: up if isinstance(up, bytes) else up.SerializeToString(),
                                            response_deserializer=stream_pb2.Down.FromString)
        self.ups, self.downs, self.code, self.details = queue.Queue(), [], None, ""
        self.call = method(iter(self.ups.get, None))
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            for down in self.call:
                self.downs.append(down)
            self.code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            self.details, self.code = error.details(), error.code()

    def wait(self, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"waited {seconds} s; the stream: {self.code} {self.details}"
            time.sleep(0.01)

    def send(self, up):
        self.ups.put(up)

    def hello(self, acknowledged=0, elsewhere=()):
        """`elsewhere`: (store, sequence), as DownHello.store names it."""
        said = [stream_pb2.Elsewhere(store=store, sequence=sequence) for store, sequence in elsewhere]
        self.send(stream_pb2.Up(hello=stream_pb2.UpHello(host=self.host, epoch=self.epoch, version="python", acknowledged=acknowledged, elsewhere=said)))
        self.wait(lambda: self.downs or self.code)
        return self.downs[0].hello.stored if self.downs else None

    def batch(self, first, last, size=0, epoch=None, lost=None, taken_out=0, books=None):
        """Execs, which refer to nothing else; `size`: bytes of filling. `lost`: {number: (stage, count)}; a number that is to be `taken_out` is one before
        the first of them. `books`: (seen, settled, held, undeclared[, closed])."""
        record, lost = [], lost or {}
        for number in range(first + taken_out, last + 1):
            event = event_pb2.Event(sequence=number, time_ns=time.time_ns(), action=event_pb2.ACTION_LOST if number in lost else event_pb2.ACTION_EXEC, count=1)
            if number in lost:
                event.lost.CopyFrom(event_pb2.Lost(stage=lost[number][0], count=lost[number][1], cpu=-1, start_ns=event.time_ns, end_ns=event.time_ns))
            record.append(event_pb2.Record(event=event))
        if size:
            record.append(event_pb2.Record(container=event_pb2.Container(id=os.urandom(32), name="x" * size)))
        up = stream_pb2.Up(batch=stream_pb2.Batch(host=self.host, epoch=epoch or self.epoch, first=first, last=last, record=record, taken_out=taken_out))
        if books:
            up.batch.books.CopyFrom(stream_pb2.Books(**dict(zip(["seen", "settled", "held", "undeclared", "closed"], books))))
        return up

    @property
    def acked(self):
        return max((down.ack.sequence for down in list(self.downs) if down.WhichOneof("message") == "ack"), default=0)

    def ended(self, seconds=20):
        self.wait(lambda: self.code is not None, seconds)
        return self.code

    def close(self):
        self.ups.put(None)
        self.call.cancel()
        self.channel.close()
