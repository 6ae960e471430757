# SPDX-License-Identifier: Apache-2.0
"""Each kind of workload that Kubernetes makes pods for: whose the pod is, and how each process came in."""
import os

import pytest
from conftest import NAMESPACE, NONCE, container, get, idle, named, new_nonce, pod_manifest, template, until, workload


@pytest.fixture(scope="module", autouse=True)
def clock(cluster, sensor):
    """A CronJob whose first minute passes while other tests run; its nonce."""
    nonce = new_nonce()
    made = template("clock", container("tick", "/bin/true", nonce), restartPolicy="Never")
    cluster.apply(workload("CronJob", "clock", made, schedule="* * * * *"))
    return nonce


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_workload_with_an_init_container_and_an_exec_probe(cluster, told, sensor, nonce, kind):
    name = f"web-{kind.lower()}"
    probe = {"exec": {"command": ["/bin/true", f"{nonce}-probe"]}, "periodSeconds": 1}
    made = template(name, idle("main", f"{nonce}-main", readinessProbe=probe, resources={"requests": {"memory": "8Mi"}}),
                    initContainers=[container("prepare", "/bin/true", f"{nonce}-init")])
    cluster.apply(workload(kind, name, made))
    cluster.kubectl("rollout", "status", "-n", NAMESPACE, f"{kind}/{name}", "--timeout=90s")
    pod = cluster.pod(name, kind)
    assert pod.qos == "burstable" and set(pod.containers) == {"prepare", "main"}
    first = told(pod["prepare"], "/bin/true", f"{nonce}-init")
    assert first["process"]["vpid"] == 1
    child = told(pod["main"], "/bin/true", f"{nonce}-main")
    assert child["process"]["entry_leader"]["entity_id"] == child["process"]["parent"]["entity_id"]

    probes = sensor.of(pod["main"], "exec", process__args=["/bin/true", f"{nonce}-probe"])
    assert len(probes) >= 1
    for document in probes:
        named(cluster, document, pod["main"])
        leader = document["process"]["entry_leader"]
        assert leader["entity_id"] == document["process"]["entity_id"] and leader["entry_meta"]["type"] == "runtime-exec"
    cluster.kubectl("delete", "-n", NAMESPACE, f"{kind}/{name}")


def test_pods_pause_container(cluster, sensor, nonce):
    pod = cluster.bare_pod("paused", idle("main", nonce))
    document = sensor.one(pod.sandbox, "exec", process__args=["/pause"])
    named(cluster, document, pod.sandbox)


def test_daemon_set(cluster, told, nonce):
    limits = {"limits": {"cpu": "50m", "memory": "16Mi"}}
    made = template("agent", idle("main", nonce, resources=limits), tolerations=[{"operator": "Exists"}], hostPID=True)
    cluster.apply(workload("DaemonSet", "agent", made))
    cluster.kubectl("rollout", "status", "-n", NAMESPACE, "DaemonSet/agent", "--timeout=90s")
    pod = cluster.pod("agent", "DaemonSet")
    assert pod.qos == "guaranteed"
    told(pod["main"], "/bin/true", nonce)


def test_job(cluster, told, sensor, nonce):
    cluster.apply(workload("Job", "order", template("order", container("main", "/bin/true", nonce), restartPolicy="Never")))
    cluster.wait("job/order", "condition=Complete")
    pod = cluster.pod("order", "Job")
    assert pod.qos == "besteffort" and "batch.kubernetes.io/job-name" in pod.labels
    told(pod["main"], "/bin/true", nonce)
    for action in ("container_started", "container_stopped"):
        named(cluster, sensor.one(pod["main"], action), pod["main"])


def test_static_pod(cluster, told, nonce):
    path = cluster.put_static("beacon", pod_manifest("beacon", idle("main", nonce)))
    name = f"beacon-{cluster.kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].metadata.name}')}"
    try:
        cluster.wait(f"pod/{name}", "create")
        cluster.wait(f"pod/{name}", "condition=Ready")
        pod = cluster.pod(name)
        assert len(pod.uid) == 32 and "-" not in pod.uid
        told(pod["main"], "/bin/true", nonce)
    finally:
        os.unlink(path)


def test_kubectl_exec(cluster, told, sensor, nonce):
    pod = cluster.bare_pod("shelled", idle("main", nonce))
    told(pod["main"], "/bin/true", nonce)
    again = new_nonce()
    said = cluster.kubectl("exec", "-n", NAMESPACE, "shelled", "--", "/bin/sh", "-c", f"/bin/true {again}; /bin/echo done")
    assert said == "done\n"
    document = told(pod["main"], "/bin/true", again, entry="runtime-exec")
    shell = sensor.of(pod["main"], "exec", process__entity_id=document["process"]["parent"]["entity_id"])[0]
    assert shell["process"]["args"][:2] == ["/bin/sh", "-c"]
    assert document["process"]["entry_leader"]["entity_id"] == shell["process"]["entity_id"]


def test_kubectl_debug(cluster, told, nonce):
    """An ephemeral container: of its own, and in the pid namespace of another."""
    pod = cluster.bare_pod("debugged", idle("main", nonce))
    alone, beside = new_nonce(), new_nonce()
    for name, more, own in (("alone", [], alone), ("beside", ["--target=main"], beside)):
        cluster.kubectl("debug", "-n", NAMESPACE, "pod/debugged", f"--image={pod['main'].image}", "--image-pull-policy=Never",
                        "--profile=general", f"--container={name}", *more, "--", "/bin/true", own)
    ended = "jsonpath={.status.ephemeralContainerStatuses[%d].state.terminated.exitCode}=0"
    for number in range(2):
        cluster.wait("pod/debugged", ended % number)
    pod = cluster.pod("debugged")
    assert set(pod.containers) == {"main", "alone", "beside"}
    assert told(pod["alone"], "/bin/true", alone)["process"]["vpid"] == 1
    assert told(pod["beside"], "/bin/true", beside)["process"]["vpid"] > 1


def test_pod_that_comes_again_under_its_name(cluster, told, sensor):
    """The names are those of the pod that is meant, to the end of its last process."""
    uids = set()
    for number in range(3):
        nonce = new_nonce()
        manifest = pod_manifest("again", idle("main", nonce))
        manifest["metadata"]["labels"]["generation"] = str(number)
        cluster.apply(manifest)
        cluster.wait("pod/again", "condition=Ready")
        pod = cluster.pod("again")
        uids.add(pod.uid)
        assert pod.labels["generation"] == str(number)
        told(pod["main"], "/bin/true", nonce)
        cluster.kubectl("delete", "-n", NAMESPACE, "pod/again")
        end = sensor.one(pod["main"], "end", process__name="sleep")
        named(cluster, end, pod["main"])
    assert len(uids) == 3


def test_container_that_is_started_again(cluster, told, sensor, nonce):
    """Kubelet makes a new container of the same name in the same sandbox, and counts."""
    cluster.apply(pod_manifest("retried", container("main", "/bin/true", nonce), restartPolicy="Always"))
    cluster.wait("pod/retried", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    pod = until(lambda: (found := cluster.pod("retried"))["main"].attempt >= 1 and found)
    told(pod["main"], "/bin/true", nonce)
    cluster.kubectl("delete", "-n", NAMESPACE, "pod/retried")


def test_kubelet_restarted(cluster, told, sensor, nonce):
    """The pods run on; what they do then, and what is made after, has its names too."""
    script = f"while :; do /bin/true {nonce}; /bin/usleep 200000; done"
    pod = cluster.bare_pod("steady", container("main", "/bin/sh", "-c", script))

    def ticks():
        return sensor.of(pod["main"], "exec", process__args=["/bin/true", nonce])

    until(ticks)
    cluster.script("restart-kubelet")
    before = len(ticks())
    until(lambda: len(ticks()) > before + 3)
    for document in ticks():
        named(cluster, document, pod["main"])
        assert get(document, "process.entry_leader.entry_meta.type") == "container"
    same = cluster.pod("steady")
    assert same["main"].id == pod["main"].id and same["main"].attempt == 0

    again, later = new_nonce(), new_nonce()
    told(cluster.bare_pod("later", idle("main", later))["main"], "/bin/true", later)
    cluster.kubectl("exec", "-n", NAMESPACE, "steady", "--", "/bin/true", again)
    told(pod["main"], "/bin/true", again, entry="runtime-exec")


def test_cron_job(cluster, told, clock):
    until(lambda: cluster.list("app=clock", "Succeeded"), 100)
    pod = cluster.pod("clock", "CronJob")
    told(pod["tick"], "/bin/true", clock)


def test_every_document_of_all_these_pods_has_its_own_names(cluster, sensor, nonce, clock):
    """Of files, connections and ends too, of this pod and of those of the tests before; and no nonce is told of two pods."""
    script = f"for n in 1 2 3 4 5 6 7 8 9; do /bin/cat /etc/hostname; /bin/nc -w 1 127.0.0.1 9; /bin/true {nonce}; done"
    cluster.apply(pod_manifest("busy", container("main", "/bin/sh", "-c", script), restartPolicy="Never"))
    cluster.wait("pod/busy", "jsonpath={.status.phase}=Succeeded")
    pod = cluster.pod("busy")
    sensor.wait(pod["main"], "exec", 9, process__args=["/bin/true", nonce])
    assert len(sensor.of(pod["main"], "connection_attempted")) == 9
    for one in list(cluster.known.values()):
        for document in sensor.of(one):
            named(cluster, document, one)

    uids = {}
    for documents in list(sensor.by_container.values()):
        for document in documents:
            for found in NONCE.findall(" ".join(get(document, "process.args") or [])):
                uids.setdefault(found, set()).add(get(document, "orchestrator.resource.id"))
    uids.pop(clock, None)  # each minute's pod has it
    assert uids[nonce] == {pod.uid}
    assert {found: several for found, several in uids.items() if len(several) != 1} == {}
