# SPDX-License-Identifier: Apache-2.0
"""What containers do towards others, judged by the detectors of behaviour: found once, with names and reasons."""
from conftest import Documents, get, named

# A connect to each of many ports of another pod, where nobody listens.
SCAN = "for port in $(seq 7000 7059); do /bin/nc -w 1 {ip} $port </dev/null; done; sleep 30"


def test_scan_is_found_in_the_cluster(sensor, pods):
    pod, target = pods(namespace="shop"), pods()
    container = pod.run("main", "/bin/sh", "-c", SCAN.format(ip=target.ip))
    document = sensor.wait(container, "traffic_judged", 1, seconds=20)[0]
    named(document, pod, "main")
    assert document["event"]["kind"] == "alert" and document["rule"]["name"] == "Port scan"
    assert document["threat"]["technique"]["id"] == ["T1046"]
    found = document["taffrail"]["detector"]
    assert found["name"] == "scan" and found["verdict"] in ("suspected", "confirmed") and found["score"] >= 50
    assert any("ports tried of " + target.ip in reason["what"] for reason in found["reasons"])
    assert document["process"]["executable"].endswith("busybox") or document["process"]["name"] == "nc"
    assert f"namespace=shop pod={pod.name}" in document["message"]
    assert get(document, "taffrail.evidence")
    assert len(sensor.of(container, "traffic_judged")) <= 2, "once for each verdict"


def test_scan_that_the_pod_may_do_is_no_alert(sensor, pods):
    pod, target = pods(labels={"taffrail.io/allow": "scan"}), pods()
    container = pod.run("main", "/bin/sh", "-c", SCAN.format(ip=target.ip))
    document = sensor.wait(container, "traffic_judged", 1, seconds=20)[0]
    assert document["event"]["kind"] == "event" and document["taffrail"]["rule"]["allowed"] is True


def test_repeated_calls_of_one_service_are_none(sensor, pods):
    pod, server_pod = pods(), pods()
    server = server_pod.run("main", "/bin/httpd", "-f", "-p", "80", "-h", "/srv/www")
    sensor.one(server, "listen")
    client = pod.run("main", "/bin/sh", "-c", f"for n in $(seq 60); do /bin/wget -q -O /dev/null http://{server_pod.ip}/; done; sleep 8")
    assert client.wait() == 0
    sensor.wait(client, "connection_attempted", 60)
    assert sensor.of(client, "traffic_judged") == []


def test_scan_is_found_whatever_is_recorded(start, pods, socket_path, tmp_path):
    path = tmp_path / "record.yaml"
    path.write_text("record: {kinds: [exec]}\n")
    running = start("taffrail-sensor", "--stdout", "--no-rules", "--cri", socket_path, "--config", str(path))
    running.ready()
    sensor = Documents(running)
    pod, target = pods(), pods()
    container = pod.run("main", "/bin/sh", "-c", SCAN.format(ip=target.ip))
    assert sensor.wait(container, "traffic_judged", 1, seconds=20)[0]["taffrail"]["detector"]["name"] == "scan"
    assert sensor.of(container, "connection_attempted") == []
