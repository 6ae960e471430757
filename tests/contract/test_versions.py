# SPDX-License-Identifier: Apache-2.0
"""Old and new side by side: what each released version said (tests/streams, recorded with the real programs) is understood, what a newer one adds is kept."""
import concurrent.futures
import gzip
import json
import os
import struct
import subprocess

import grpc
import pytest
import stored
from conftest import ROOT, run
from google.protobuf import descriptor_pb2
from peers import Sensor, event_pb2, stream_pb2

STREAMS = os.path.join(ROOT, "tests", "streams")
VERSIONS = sorted(name for name in os.listdir(STREAMS) if os.path.isdir(os.path.join(STREAMS, name)))
CLOSED = ("Outcome", "PromiseState", "FlowState", "OutputType")  # a value that is not known is refused: so none is ever added
ADDED = b"\xc2\x3e\x05added" + b"\xc8\x3e\x07"  # field 1000, a string, and field 1001, a number
NEWER = 9999  # an action


def recorded(version, name):
    with gzip.open(os.path.join(STREAMS, version, name)) as file:
        return file.read()


def calls(version, name):
    """The messages of each call, in order."""
    data, at, found = recorded(version, name), 0, {}
    while at < len(data):
        call, length = struct.unpack_from("<II", data, at)
        found.setdefault(call, []).append(data[at + 8:at + 8 + length])
        at += 8 + length
    return [found[call] for call in sorted(found)]


def documents(lines):
    return {document["event"]["id"]: document for document in map(json.loads, lines.splitlines())}


def within(old, new, path=""):
    """What of `old` is missing in `new`, or another there. Something more is no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [difference for key in old for difference in (within(old[key], new[key], f"{path}.{key}") if key in new else [f"{path}.{key} is gone"])]
    return [] if old == new else [f"{path} was {old}, is {new}"]


# --- the numbers of proto/ ----------------------------------------------------------------------------------------------

def described(data):
    """Each message's fields, each enum's values and each service's methods, by their names."""
    found = {}

    def message(scope, one):
        for field in one.field:
            oneof = one.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
            found[f"{scope}{one.name}", field.number] = field.name, field.type, field.label, field.type_name, oneof
        for inner in one.nested_type:
            message(f"{scope}{one.name}.", inner)
        for inner in one.enum_type:
            enum(f"{scope}{one.name}.", inner)

    def enum(scope, one):
        found.update({(f"{scope}{one.name}", value.number): value.name for value in one.value})

    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        for one in file.message_type:
            message("", one)
        for one in file.enum_type:
            enum("", one)
        for service in file.service:
            found.update({(service.name, method.name): (method.input_type, method.output_type, method.client_streaming, method.server_streaming)
                          for method in service.method})
    return found


@pytest.fixture(scope="module")
def current(tmp_path_factory):
    path = tmp_path_factory.mktemp("proto") / "descriptors"
    subprocess.run(["protoc", f"-I{ROOT}/proto", f"--descriptor_set_out={path}", "taffrail/v1/event.proto", "taffrail/v1/stream.proto"], check=True)
    return described(path.read_bytes())


def changed(old, new):
    """What the rules of proto/ forbid: a number that has another meaning or none, and a value of an enum that is closed."""
    wrong = [f"{name} {number}: was {what}, is {new.get((name, number))}" for (name, number), what in old.items() if new.get((name, number)) != what]
    return wrong + [f"{name} {number}: it is closed" for name, number in new if name in CLOSED and (name, number) not in old]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_number_has_another_meaning(version, current):
    old = described(recorded(version, "descriptors.gz"))
    assert len(old) > 300 and changed(old, current) == []


def test_a_number_with_another_meaning_is_found(current):
    old = dict(current)
    name, kind, *rest = old["Event", 2]
    assert changed({**old, ("Event", 2): (name, kind + 1, *rest)}, current) != []
    assert changed({**old, ("Event", 999): old["Event", 2]}, current) != []
    assert changed({key: what for key, what in old.items() if key != ("Outcome", 2)}, current) != []
    assert changed({key: what for key, what in old.items() if key != ("Event", 2)}, current) == [], "a field that came to it"


# --- an older and a newer sensor ------------------------------------------------------------------------------------------

class Place:
    """A collector, and what it has filed when all recorded calls were made."""

    def __init__(self, start, folder):
        self.address, self.folder = f"unix:{folder}/s", folder
        self.collector = start("taffrail-collector", "--listen", self.address, "--data", str(folder / "data"), "--output", f"ecs-json:{folder}/out")
        self.collector.ready()

    def take(self, version, change=None):
        for ups in calls(version, "up.gz"):
            sensor, last = Sensor(self.address), 0
            for up in ups:
                for one in change(stream_pb2.Up.FromString(up)) if change else [up]:
                    sensor.send(one)
                last = max(last, stream_pb2.Up.FromString(up).batch.last)
            sensor.wait(lambda: sensor.acked >= last or sensor.code)  # pylint: disable=cell-var-from-loop
            assert sensor.code is None and sensor.acked == last, (sensor.code, sensor.details)
            sensor.close()
        assert self.collector.end() == 0
        balance = run("taffrail", "status", "--data", str(self.folder / "data"))
        assert balance.returncode == 0, balance.stdout + balance.stderr
        return documents((self.folder / "out").read_bytes())


@pytest.mark.parametrize("version", VERSIONS)
def test_collector_takes_what_an_older_sensor_says(start, tmp_path, version):
    """Each document as that version's own collector wrote it; fields may have come to it."""
    old, new = documents(recorded(version, "documents.gz")), Place(start, tmp_path).take(version)
    assert len(old) > 500 and old.keys() == new.keys()
    assert [difference for key in old for difference in within(old[key], new[key])] == []
    assert {"exec", "fork", "end", "open", "connection_attempted", "connection_accepted", "listen", "send", "disconnect_received", "flow", "rename", "ptrace",
            "container_started", "container_stopped", "coverage", "events_filtered", "events_lost"} <= {one["event"]["action"] for one in old.values()}


def newer(up):
    """The same of a sensor that knows more: fields in each message, kinds of messages and records, and ends that are an action of theirs."""
    for record in up.batch.record:
        if record.event.action == event_pb2.ACTION_END:
            record.event.ClearField("end")
            record.event.action = NEWER
        for one in (record.event, record.process, record.container):
            if one.ByteSize():
                one.MergeFromString(ADDED)
    if up.batch.record:
        up.batch.record.add().MergeFromString(ADDED)
    for one in (up, up.hello, up.batch):
        if one.ByteSize():
            one.MergeFromString(ADDED)
    return [up, ADDED]


def test_collector_takes_what_a_newer_sensor_says(start, tmp_path):
    """What it does not know changes nothing of what it does, and is stored as it came."""
    version = VERSIONS[-1]
    old, new = documents(recorded(version, "documents.gz")), Place(start, tmp_path).take(version, newer)
    assert old.keys() == new.keys()
    ends = [key for key, one in old.items() if one["event"]["action"] == "end"]
    assert len(ends) > 20
    for key in ends:
        assert new[key]["event"]["action"] == "unknown" and new[key]["taffrail"]["action"] == NEWER
        assert within(old[key]["container"], new[key]["container"]) == [] and new[key]["process"]["entity_id"] == old[key]["process"]["entity_id"]
    assert [difference for key in old if key not in ends for difference in within(old[key], new[key])] == []
    kept = [batch for *_, batch in stored.frames(tmp_path / "data")]
    assert sum(batch.count(ADDED) for batch in kept) > len(old)
    told = run("taffrail", "rules", "test", "--events", str(tmp_path / "data"), os.path.join(ROOT, "deploy", "rules"))
    assert told.returncode == 0, told.stderr


# --- an older and a newer collector ---------------------------------------------------------------------------------------

class Answering:
    """Answers with a version's own messages; of an acknowledgement the number is what is due. `add`: what a newer one adds."""

    def __init__(self, address, version, add=b""):
        downs = [stream_pb2.Down.FromString(down) for call in calls(version, "down.gz") for down in call]
        self.hello = next(down for down in downs if down.WhichOneof("message") == "hello" and not down.hello.stored)
        self.ack = next(down for down in downs if down.WhichOneof("message") == "ack")
        self.add, self.ups = add, []
        for one in (self.hello, self.hello.hello, self.ack, self.ack.ack):
            one.MergeFromString(add)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        handler = grpc.stream_stream_rpc_method_handler(self._stream, request_deserializer=stream_pb2.Up.FromString)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("taffrail.v1.Collector", {"Stream": handler})])
        self.server.add_insecure_port(address)
        self.server.start()

    def _stream(self, ups, _):
        for up in ups:
            self.ups.append(up)
            if up.WhichOneof("message") == "hello":
                yield self.hello.SerializeToString()
            else:
                self.ack.ack.sequence = up.batch.last
                yield self.ack.SerializeToString()
            if self.add:
                yield self.add  # a kind of message that is not known

    def execs(self, container):
        return [record.event.sequence for up in list(self.ups) for record in up.batch.record
                if record.event.action == event_pb2.ACTION_EXEC and record.event.container_id.hex() == container.id]


@pytest.mark.parametrize("version,add", [*((version, b"") for version in VERSIONS), (VERSIONS[-1], ADDED)])
def test_sensor_of_an_older_and_a_newer_collector(start, container, tmp_path, version, add):
    collector = Answering(f"unix:{tmp_path}/s", version, add)
    sensor = start("taffrail-sensor", "--collector", f"unix:{tmp_path}/s", "--spool", str(tmp_path / "spool"))
    sensor.ready()
    for _ in range(10):
        container.run("/bin/true")
    sensor.wait_for(lambda: len(collector.execs(container)) == 10)
    assert sensor.end() == 0
    wrong = [line for line in sensor.log if "error" in line or "warning" in line]
    assert [line for line in wrong if "runtime" not in line] == []
    assert [name for name in os.listdir(tmp_path / "spool") if name.endswith(".spool")] == [], "all is acknowledged"
    greeted = [up.hello for up in collector.ups if up.WhichOneof("message") == "hello"]
    assert len(greeted) == 1 and greeted[0].version
    collector.server.stop(None)
