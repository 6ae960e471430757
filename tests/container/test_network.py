# SPDX-License-Identifier: Apache-2.0
"""Whom containers talk to."""
import time

from conftest import get, named


def connected(sensor, document, pod, action, direction):
    assert document["event"]["action"] == action and document["event"]["category"] == ["network"]
    assert document["network"]["transport"] == "tcp" and document["network"]["type"] == "ipv4"
    assert document["network"]["direction"] == direction
    named(document, pod, "main")


def listening(sensor, container):
    return sensor.one(container, "listen")


def test_connection_between_two_pods(sensor, pods, workload):
    """Each end says who called whom, and how many bytes went each way."""
    server_pod, client_pod = pods("server", "shop"), pods("client", "shop")
    server = server_pod.run("main", "/workload", "serve", "8080", "12345", "67890", mounts=[workload])
    listen = listening(sensor, server)
    client = client_pod.run("main", "/workload", "fetch", server_pod.ip, "8080", "12345", "67890", mounts=[workload])
    assert client.wait() == 0 and server.wait() == 0
    assert listen["destination"] == {"ip": "0.0.0.0", "port": 8080} and "source" not in listen
    assert listen["event"]["type"] == ["info"] and listen["network"] == {"transport": "tcp", "type": "ipv4", "direction": "ingress"}
    attempted, accepted = sensor.one(client, "connection_attempted"), sensor.one(server, "connection_accepted")
    parted = [sensor.one(container, "disconnect_received") for container in (client, server)]
    port = attempted["source"]["port"]
    assert port > 0
    for document, pod, direction in ((attempted, client_pod, "egress"), (accepted, server_pod, "ingress"),
                                     (parted[0], client_pod, "egress"), (parted[1], server_pod, "ingress")):
        connected(sensor, document, pod, document["event"]["action"], direction)
        assert document["event"]["outcome"] == "success"
        assert document["source"]["ip"] == client_pod.ip and document["source"]["port"] == port
        assert document["destination"]["ip"] == server_pod.ip and document["destination"]["port"] == 8080
        assert document["network"]["community_id"] == attempted["network"]["community_id"]
        assert document["process"]["name"] == "workload"
    for document in parted:
        assert document["source"]["bytes"] == 12345 and document["destination"]["bytes"] == 67890
        assert document["network"]["bytes"] == 80235 and document["event"]["duration"] > 0


def test_20_connections_are_20_of_each(sensor, pods, workload):
    server_pod, client_pod = pods(), pods()
    server = server_pod.run("main", "/bin/httpd", "-f", "-p", "80", "-h", "/srv/www")
    listening(sensor, server)
    client = client_pod.run("main", "/bin/sh", "-c", f"for n in $(seq 20); do /bin/wget -q -O /dev/null http://{server_pod.ip}/ || exit 1; done")
    assert client.wait() == 0
    for container, action in ((client, "connection_attempted"), (client, "disconnect_received"), (server, "connection_accepted"),
                              (server, "disconnect_received")):
        documents = sensor.wait(container, action, 20)
        assert len({document["source"]["port"] for document in documents}) == 20
        assert {document["event"]["outcome"] for document in documents} == {"success"}


def test_connection_that_is_refused(sensor, pods, workload):
    pod, other = pods(), pods()
    container = pod.run("main", "/workload", "fetch", other.ip, "9", "1", "1", mounts=[workload])
    assert container.wait() == 1
    document = sensor.one(container, "connection_attempted")
    named(document, pod, "main")
    assert document["event"]["outcome"] == "failure" and document["error"]["code"] == "ECONNREFUSED"
    assert document["destination"] == {"ip": other.ip, "port": 9} and document["source"]["ip"] == pod.ip
    sensor.none(container, "disconnect_received")


def test_connection_that_nobody_answers(sensor, pods, workload):
    """To an address outside, where the laboratory's bridge drops it: said after 5 s, and only once."""
    pod = pods()
    began = time.monotonic()
    command = "/bin/timeout 7 /workload fetch 192.0.2.1 6881 1 1; exit 0"
    container = pod.run("main", "/bin/sh", "-c", command, mounts=[workload])
    document = sensor.one(container, "connection_attempted", seconds=8)
    assert time.monotonic() - began > 4.5
    assert document["event"]["outcome"] == "unknown" and "error" not in document
    assert document["destination"] == {"ip": "192.0.2.1", "port": 6881}
    assert container.wait() == 0
    time.sleep(0.5)
    assert len(sensor.of(container, "connection_attempted")) == 1
    sensor.none(container, "disconnect_received")


def test_udp_is_one_document_a_peer(sensor, pods, workload):
    pod = pods()
    peers = [f"198.51.100.{number}:6881" for number in range(1, 31)]
    container = pod.run("main", "/workload", "udp", *peers, *peers, peers[0], mounts=[workload])
    assert container.wait() == 0
    documents = sensor.wait(container, "send", 30)
    assert [f"{document['destination']['ip']}:{document['destination']['port']}" for document in documents] == peers
    for document in documents:
        named(document, pod, "main")
        assert document["network"]["transport"] == "udp" and document["network"]["direction"] == "egress"
        assert document["event"]["outcome"] == "success" and get(document, "network.community_id")
    assert len({document["source"]["port"] for document in documents if document["source"]["port"]}) <= 1


def test_unix_sockets(sensor, pods, workload):
    pod = pods()
    for name in ("/tmp/by-path", "@by-abstract"):
        container = pod.run(name.strip("/@").replace("/", "-"), "/workload", "unix", name, mounts=[workload])
        assert container.wait() == 0
        for action in ("listen", "connection_attempted", "connection_accepted"):
            document = sensor.one(container, action)
            assert document["network"]["transport"] == "unix" and document["event"]["outcome"] == "success"
            assert document["destination"] == {"address": name}
            assert "ip" not in document.get("source", {})
