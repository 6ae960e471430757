# SPDX-License-Identifier: Apache-2.0
"""A collector written with Python's grpcio, whose core is the one of C++, Ruby and PHP: our sensor against it, over mutual TLS."""
import concurrent.futures
import os
import sys
import time

import grpc
import pytest
from conftest import ROOT

sys.path.insert(0, os.path.join(ROOT, "tests"))
from peers import Papers, event_pb2, stream_pb2  # noqa: E402


class Collector:
    """Takes what comes and acknowledges it; whose certificate it was stands in `names`."""

    def __init__(self, papers, stored=0):
        self.ups, self.names, self.stored = [], [], stored
        self.full, self.greeted = False, 0
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        handler = grpc.stream_stream_rpc_method_handler(self._stream, request_deserializer=stream_pb2.Up.FromString,
                                                        response_serializer=stream_pb2.Down.SerializeToString)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("taffrail.v1.Collector", {"Stream": handler})])
        own = grpc.ssl_server_credentials([(papers.read("collector.key"), papers.read("collector.pem"))], papers.read("ca.pem"), True)
        self.address = f"localhost:{self.server.add_secure_port('127.0.0.1:0', own)}"
        self.server.start()

    def _stream(self, ups, context):
        self.names += context.auth_context().get("x509_subject_alternative_name", [])
        for up in ups:
            self.ups.append(up)
            if up.WhichOneof("message") == "hello":
                self.greeted += 1
                yield stream_pb2.Down(hello=stream_pb2.DownHello(version="python", stored=self.stored))
            elif self.full:
                context.abort(grpc.StatusCode.UNAVAILABLE, "it cannot be stored now")
            else:
                yield stream_pb2.Down(ack=stream_pb2.Ack(sequence=up.batch.last))

    def alarms(self):
        return [record.event.rule.message for up in list(self.ups) for record in up.batch.record
                if record.event.action == event_pb2.ACTION_TAMPER]

    def execs(self, container):
        return sum(record.event.action == event_pb2.ACTION_EXEC and record.event.container_id.hex() == container.id
                   for up in list(self.ups) for record in up.batch.record)


@pytest.fixture
def papers(tmp_path):
    return Papers(tmp_path / "ca")


def test_our_sensor_streams_to_it(start, papers, container):
    collector = Collector(papers)
    sensor = start("taffrail-sensor", "--collector", collector.address, *papers.options("sensor"))
    sensor.ready()
    for _ in range(10):
        container.run("/bin/true")
    sensor.wait_for(lambda: collector.execs(container) >= 10)
    assert sensor.end() == 0
    assert collector.names == [b"sensor.taffrail"]
    assert not any("warning" in line for line in sensor.log), sensor.log
    collector.server.stop(None)


def test_one_that_greets_and_takes_nothing_is_asked_ever_less_often(start, papers, container):
    """As a collector whose disk is full: the sensor waits longer each time, and says it once."""
    collector = Collector(papers)
    collector.full = True
    sensor = start("taffrail-sensor", "--collector", collector.address, *papers.options("sensor"))
    sensor.ready()
    container.run("/bin/true")
    time.sleep(6)
    # Doubling from 0.1 s, each at random between half of that and all: 0.1 + 0.2 + 0.4 + … reach 6 s with the seventh.
    assert 3 <= collector.greeted <= 9
    assert sum("events wait here" in line for line in sensor.log) == 1, sensor.log
    collector.full = False
    sensor.wait_for(lambda: collector.execs(container) >= 1, 10)
    sensor.wait_for(lambda: "streaming to" in sensor.log[-1])
    assert sensor.end() == 0
    collector.server.stop(None)


def test_collector_that_claims_what_was_never_made(start, papers, container):
    """It gets nothing, for it would take that for what it has; the next of the list gets all, and an alarm."""
    liar, collector = Collector(papers, stored=10 ** 9), Collector(papers)
    sensor = start("taffrail-sensor", "--collector", liar.address, "--collector", collector.address, *papers.options("sensor"))
    sensor.ready()
    for _ in range(10):
        container.run("/bin/true")
    sensor.wait_for(lambda: collector.execs(container) >= 10 and collector.alarms())
    assert sensor.end() == 0
    assert all(up.WhichOneof("message") == "hello" for up in liar.ups) and liar.ups
    assert len(collector.alarms()) == 1 and "claims event 1000000000 of this sensor" in collector.alarms()[0].decode()
    assert sum("claims event 1000000000 of this sensor" in line for line in sensor.log if "error" in line) >= 1, sensor.log
    for one in (liar, collector):
        one.server.stop(None)
