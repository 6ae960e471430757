# SPDX-License-Identifier: Apache-2.0
"""Containers begin and end: events of their own, with what they were made to be and how they ended."""
import os

import grpc
import pytest

from conftest import get, named


def started(sensor, container):
    return sensor.one(container, "container_started")


def stopped(sensor, container):
    return sensor.one(container, "container_stopped")


def test_what_a_container_was_made_to_be(sensor, pods, lab):
    pod = pods("made", "shop", labels={"app": "web"})
    container = pod.run("main", "/bin/sh", "-c", "exit 3", user=1000, mounts=[(f"{lab}/config.toml", "/etc/lab.toml")])
    document = started(sensor, container)
    named(document, pod, "main")
    assert document["event"]["kind"] == "event" and document["event"]["type"] == ["start"]
    assert document["event"]["dataset"] == "taffrail.container"
    own = document["taffrail"]["container"]
    assert own["args"] == ["/bin/sh", "-c", "exit 3"]
    assert own["user"] == {"id": "1000", "group": {"id": "1000"}}
    assert own["privileged"] is False and own["host_namespaces"] == []
    assert "CAP_CHOWN" in own["capabilities"] and "CAP_SYS_ADMIN" not in own["capabilities"]
    mount = next(one for one in own["mounts"] if one["destination"] == "/etc/lab.toml")
    assert mount["source"] == f"{lab}/config.toml" and mount["type"] == "bind" and "ro" in mount["options"]
    assert own["type"] == "container" and own["sandbox_id"] == pod.id and own["attempt"] == 0 and own["qos"] == "besteffort"
    assert document["container"]["runtime"] == "containerd" and own["source"] == "cri"
    first = sensor.one(container, "exec", process__name="sh")
    assert first["event"]["sequence"] == document["event"]["sequence"] + 1
    assert first["process"]["entity_id"] == document["process"]["entity_id"]
    assert get(first, "taffrail.container.args") is None
    end = stopped(sensor, container)
    named(end, pod, "main")
    assert end["taffrail"]["container"]["exit_code"] == 3 and end["taffrail"]["container"]["exit_reason"] == "Error"
    assert end["event"]["type"] == ["end"] and end["process"]["entity_id"] == document["process"]["entity_id"]


def test_what_ended_by_itself_or_by_a_signal(sensor, pods):
    pod = pods()
    good, killed = pod.run("good", "/bin/true"), pod.run("killed", "/bin/sleep", "1000000")
    assert stopped(sensor, good)["taffrail"]["container"]["exit_reason"] == "Completed"
    killed.remove()
    assert stopped(sensor, killed)["taffrail"]["container"]["exit_code"] == 137


def memory_limit(runtime, pod, container):
    """The file of a container's memory limit, in either version of cgroups."""
    with open("/proc/self/mounts", encoding="ascii", errors="replace") as mounts:
        fields = [line.split() for line in mounts]
    below = f"{runtime.cgroup}/kubepods/besteffort/pod{pod.uid}/{container.id}"
    places = [f"{mount[1]}{below}/memory.limit_in_bytes" for mount in fields if mount[2] == "cgroup" and "memory" in mount[3].split(",")]
    places += [f"{mount[1]}{below}/memory.max" for mount in fields if mount[2] == "cgroup2"]
    return next((place for place in places if os.path.exists(place)), None)


def test_what_ended_for_want_of_memory(sensor, runtime, pods):
    pod = pods()
    script = "while [ ! -e /tmp/go ]; do /bin/usleep 10000; done; exec /bin/tail /dev/zero"
    container = pod.run("main", "/bin/sh", "-c", script)
    limit = memory_limit(runtime, pod, container)
    if not limit:
        pytest.skip("no cgroup of this machine limits memory")
    with open(limit, "w", encoding="ascii") as file:
        file.write(str(24 << 20))
    assert container.execute("/bin/touch", "/tmp/go")[0] == 0
    own = stopped(sensor, container)["taffrail"]["container"]
    assert own["exit_code"] == 137 and own["exit_reason"] == "OOMKilled"


def test_what_is_executed_in_a_container_is_neither_start_nor_end(sensor, idle):
    assert idle.execute("/bin/sh", "-c", "exit 4")[0] == 4
    sensor.one(idle, "end", process__exit_code=4)
    started(sensor, idle)
    sensor.none(idle, "container_stopped")


def test_a_pod_is_a_container_too(sensor, pods):
    """The pause container, which holds the pod's namespaces."""
    pod = pods("held", "shop")
    document = started(sensor, pod.id)
    assert document["container"]["name"] == "POD" and document["orchestrator"]["resource"]["name"] == "held"
    assert document["taffrail"]["container"]["type"] == "sandbox" and document["taffrail"]["container"]["args"] == ["/pause"]


def test_namespaces_of_the_host(sensor, pods):
    pod = pods(host_namespaces=("network", "pid", "ipc"))
    container = pod.run("main", "/bin/sh", "-c", "/bin/true; exit 5")
    own = started(sensor, container)["taffrail"]["container"]
    assert {"network", "pid", "ipc"} <= set(own["host_namespaces"])
    assert stopped(sensor, container)["taffrail"]["container"]["exit_code"] == 5


def test_privileged(sensor, pods):
    pod = pods(privileged=True)
    try:
        container = pod.run("main", "/bin/true", privileged=True)
    except grpc.RpcError as error:
        pytest.skip(f"this machine's runtime gives no privileged container: {error.details()}")
    document = started(sensor, container)
    assert document["taffrail"]["container"]["privileged"] is True
    assert document["container"]["security_context"]["privileged"] is True
