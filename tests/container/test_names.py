# SPDX-License-Identifier: Apache-2.0
"""The right name, from the first exec."""
import concurrent.futures
import os
import secrets
import time

import pytest
from conftest import PAUSE, SLOW, Documents, get, named

COUNT = int(os.environ.get("TAFFRAIL_CONTAINERS", "100" if SLOW == 1 else "40"))  # that come and go


def test_first_exec_of_the_first_container_is_named(sensor, pods):
    pod = pods("first", "shop", labels={"app": "web", "app.kubernetes.io/part-of": "shop"})
    container = pod.run("main", "/bin/true", "here")
    assert container.wait() == 0
    document = sensor.one(container, "exec", process__name="true")
    named(document, pod, "main")
    assert document["container"]["id"] == container.id
    assert document["orchestrator"]["resource"]["ip"] == [pod.ip]
    process = document["process"]
    assert process["name"] == "true" and process["executable"] == "/bin/busybox"
    assert process["args"] == ["/bin/true", "here"] and process["args_count"] == 2 and process["command_line"] == "/bin/true here"
    assert process["vpid"] == 1 and process["working_directory"] == "/"
    assert process["user"]["id"] == "0" and process["group"]["id"] == "0"
    assert process["entry_leader"]["entity_id"] == process["entity_id"] and process["entry_leader"]["pid"] == process["pid"]
    assert process["entry_leader"]["name"] == "true" and process["entry_leader"]["entry_meta"]["type"] == "container"
    # The runtime's own processes pass through the container's cgroup, and end there too.
    named(sensor.one(container, "end", process__entity_id=process["entity_id"]), pod, "main")


def test_pause_container_has_its_pods_names(sensor, pods):
    pod = pods("paused", "shop", labels={"app": "web"})
    document = sensor.one(pod.id, "exec", process__name="pause")
    assert document["process"]["args"] == ["/pause"] and document["process"]["executable"] == "/pause"
    assert document["orchestrator"]["resource"]["name"] == "paused" and document["orchestrator"]["namespace"] == "shop"
    assert document["orchestrator"]["resource"]["id"] == pod.uid
    assert document["kubernetes"]["labels"] == pod.labels
    repository, tag = PAUSE.rsplit(":", 1)
    assert document["container"]["image"]["name"] == repository and document["container"]["image"]["tag"] == [tag]
    assert get(document, "taffrail.pending") is None


@pytest.fixture(scope="module")
def short(sensor, runtime):
    """Containers that execute three programs each, in 10 pods, 4 at a time, and are removed at once; the lines of that time."""
    before = len(sensor.lines)
    pods = [runtime.pod(f"short-{number}", "batch", labels={"number": str(number)}) for number in range(10)]

    def run(number):
        pod, nonce = pods[number % len(pods)], secrets.token_hex(8)
        script = f"/bin/true {nonce} 1; /bin/true {nonce} 2; exec /bin/true {nonce} 3"
        container = pod.run(f"task-{number}", "/bin/sh", "-c", script)
        assert container.wait(60) == 0
        container.remove()
        return container, pod, nonce

    try:
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            ran = list(pool.map(run, range(COUNT)))
        print(f"{COUNT} containers in {time.monotonic() - begun:.1f} s")
        sensor.running.wait_for(lambda: all(sensor.of(container, "container_stopped") for container, _, _ in ran))
        time.sleep(0.5)
        yield ran, sensor.lines[before:]
    finally:
        for pod in pods:
            pod.remove()


def test_short_containers_are_named_execs(sensor, short, runtime):
    """Each exec once, with all names, and none with another's: the arguments say whose it is."""
    ran, lines = short
    image_id = runtime.image_id()
    for container, pod, nonce in ran:
        execs = sensor.of(container, "exec", process__name="true")
        assert [document["process"]["args"] for document in execs] == [["/bin/true", nonce, str(n)] for n in (1, 2, 3)]
        assert len(sensor.of(container, "end", process__name="true")) == 3
        for document in sensor.of(container):
            named(document, pod, container.name, image_id=image_id)
    nonces = {nonce for _, _, nonce in ran}  # the sensor sees the whole machine: what others run beside is not counted
    execs = [line.split('"args":["/bin/true","')[1].split('"')[0] for line in lines
             if '"action":"exec"' in line and '"args":["/bin/true","' in line]
    assert sum(nonce in nonces for nonce in execs) == 3 * COUNT
    ours = {container.id for container, _, _ in ran} | {pod.id for _, pod, _ in ran}
    pending = [line for line in lines if '"pending":true' in line and any(one in line for one in ours)]
    assert not pending, f"{len(pending)}:\n" + "\n".join(pending[:20])
    sequences = [int(line.split('"sequence":')[1].split(",")[0]) for line in lines]
    assert sequences == list(range(sequences[0], sequences[0] + len(lines)))


def test_first_process_is_the_entry_of_each_of_them(sensor, short):
    """Whatever of the runtime passed through the container's cgroup before it."""
    for container, _, _ in short[0]:
        first, *_ = execs = [document for document in sensor.of(container, "exec") if not get(document, "taffrail.runtime_setup")]
        for document in execs:
            leader = document["process"]["entry_leader"]
            assert leader["entity_id"] == first["process"]["entity_id"]
            assert leader["entry_meta"]["type"] == "container"


def test_runtimes_own_deeds_are_marked(sensor, short):
    """runc joins its init to the cgroup while that is still executing itself: now before, now after that exec is told."""
    marked = 0
    for container, pod, _ in short[0]:
        for document in sensor.of(container) + sensor.of(pod.id):
            setup, name = get(document, "taffrail.runtime_setup"), get(document, "process.name") or ""
            marked += bool(setup)
            if name.startswith("runc") or document["event"]["action"] == "exec" and get(document, "process.args.1") == "init":
                assert setup is True, document
            if setup:
                assert name == "" or name.startswith(("runc", "exe")), document
    assert marked > 0


def test_each_of_them_starts_once_and_stops_once(sensor, short):
    for container, _, _ in short[0]:
        documents = [document for document in sensor.of(container) if not get(document, "taffrail.runtime_setup")]
        actions = [document["event"]["action"] for document in documents]
        assert actions[0] == "container_started" and actions.count("container_started") == 1, actions
        assert actions[1] == "exec" and actions.count("container_stopped") == 1, actions
        assert get(documents[actions.index("container_stopped")], "taffrail.container.exit_code") == 0


def test_containers_that_ran_before_the_sensor(start, socket_path, pods):
    """Their names and their processes' lineage are known though no exec of theirs was ever seen."""
    pod = pods("before", "shop", labels={"app": "web"})
    script = "while [ ! -e /tmp/go ]; do /bin/usleep 20000; done; /bin/true after; /bin/usleep 100000; exec /bin/true last"
    container = pod.run("main", "/bin/sh", "-c", script)
    time.sleep(0.3)
    running = start("taffrail-sensor", "--stdout", "--cri", socket_path)
    running.ready()
    assert container.execute("/bin/touch", "/tmp/go")[0] == 0
    assert container.wait() == 0
    documents = Documents(running)
    after = documents.one(container, "exec", process__name="true", process__args=["/bin/true", "after"])
    last = documents.one(container, "exec", process__name="true", process__args=["/bin/true", "last"])
    for document in documents.of(container):
        named(document, pod, "main")
    parent = after["process"]["parent"]
    assert parent["entity_id"] == last["process"]["entity_id"] and parent["pid"] == last["process"]["pid"]
    assert parent["name"] == "sh" and parent["executable"] == "/bin/busybox"
    assert parent["command_line"].startswith("/bin/sh -c ")
    for document in (after, last):
        leader = document["process"]["entry_leader"]
        assert leader["entity_id"] == parent["entity_id"] and leader["entry_meta"]["type"] == "container"
    assert last["process"]["vpid"] == 1
    assert running.end() == 0


def test_labels_with_odd_keys_and_values(sensor, pods):
    labels = {"a.b.c/d-e_f": "1", "with blank": " ", "quote\"back\\slash": "'\"", "new\nline": "a\nb\tc", "schlüssel": "größe 数",
              "empty": "", "app": "x" * 300, "__proto__": "constructor", "\x7f\x1b[31m": "\x01"}
    pod = pods(labels=labels)
    container = pod.run("main", "/bin/true")
    document = sensor.one(container, "exec", process__name="true")
    named(document, pod, "main")
    assert {key: document["kubernetes"]["labels"][key] for key in labels} == labels


def test_pods_of_one_name_in_two_namespaces(sensor, pods):
    one, two = pods("twin", "east", labels={"side": "e"}), pods("twin", "west", labels={"side": "w"})
    for pod in (one, two):
        container = pod.run("main", "/bin/true", pod.namespace)
        named(sensor.one(container, "exec", process__args=["/bin/true", pod.namespace]), pod, "main")
    assert one.uid != two.uid


def test_pod_that_comes_again_has_its_new_uid(sensor, runtime):
    """The same name and namespace, a moment later: the names of the one before are not its own."""
    for number in range(3):
        with runtime.pod("again", "shop", labels={"generation": str(number)}) as pod:
            container = pod.run("main", "/bin/true", str(number))
            assert container.wait() == 0
            named(sensor.one(container, "exec", process__name="true"), pod, "main")


def test_second_container_of_a_pod(sensor, pods):
    pod = pods()
    containers = [pod.run(name, "/bin/true", name) for name in ("main", "side-car")]
    for container in containers:
        assert container.wait() == 0
        named(sensor.one(container, "exec", process__args=["/bin/true", container.name]), pod, container.name)


def test_image_that_is_asked_for_by_its_id(sensor, pods, runtime):
    """As kubelet does: lists of containers then have the id alone."""
    pod = pods()
    container = pod.run("main", "/bin/true", "by-id", image=runtime.image_id())
    assert container.wait() == 0
    named(sensor.one(container, "exec", process__args=["/bin/true", "by-id"]), pod, "main")


def test_pod_that_shares_its_pid_namespace(sensor, pods):
    """The first process of a container is then not process 1; it is the container's entry all the same."""
    pod = pods(shared_processes=True)
    for name in ("main", "side-car"):
        container = pod.run(name, "/bin/sh", "-c", "/bin/true child; exit 0")
        assert container.wait() == 0
        shell = sensor.one(container, "exec", process__name="sh")
        child = sensor.one(container, "exec", process__args=["/bin/true", "child"])
        assert shell["process"]["vpid"] > 1
        for document in (shell, child):
            named(document, pod, name)
            leader = document["process"]["entry_leader"]
            assert leader["entity_id"] == shell["process"]["entity_id"] and leader["entry_meta"]["type"] == "container"


def test_document_is_there_within_a_second(sensor, pods, idle):
    began = time.monotonic()
    assert idle.execute("/bin/true", "soon")[0] == 0
    sensor.running.wait_for(lambda: sensor.of(idle, "exec", process__args=["/bin/true", "soon"]), 2)
    assert time.monotonic() - began < 1 * SLOW
