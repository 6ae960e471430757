# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS from outside: options, what is wrong with files, who may do what, new certificates while all runs."""
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time

import grpc
import pytest
from conftest import ROOT, SLOW, run

sys.path.insert(0, os.path.join(ROOT, "tests"))
from peers import Papers, Sensor  # noqa: E402
from test_options import one_sentence  # noqa: E402


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("ca"), "--certificate", "second=sensor.elsewhere", "--certificate", "stranger=stranger.example",
                  "--certificate", "both=unknown.example,spiffe://prod/ns/taffrail/sa/sensor")


@pytest.fixture
def collect(start, tmp_path, papers):
    """Starts a collector over TLS; its address."""

    def collector(*options, name="collector", listen="127.0.0.1:0", ca=papers):
        collector.running = start("taffrail-collector", "--listen", listen, "--data", str(tmp_path / "data"), "--output",
                                  f"ecs-json:{tmp_path}/out", *ca.options(name), *options)
        return collector.running.ready()

    return collector


@pytest.fixture
def sensor(papers):
    made = []

    def connect(address, name="sensor", **more):
        made.append(Sensor(address, papers.credentials(name), **more))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def documents(tmp_path):
    path = tmp_path / "out"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def shake(address, papers, name, host="localhost", version=None, alpn=("h2",)):
    """A TLS client of Python's own ssl; the socket."""
    context = ssl.create_default_context(cafile=papers.file("ca.pem"))
    if name:
        context.load_cert_chain(papers.file(f"{name}.pem"), papers.file(f"{name}.key"))
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.maximum_version = version
    return context.wrap_socket(socket.create_connection((address.split(":")[0], int(address.split(":")[1])), 10), server_hostname=host)


# --- options ----------------------------------------------------------------------------------------------------------

def programs(tmp_path, address="127.0.0.1:1"):
    return {"collector": ["taffrail-collector", "--listen", address, "--data", str(tmp_path / "data")],
            "sensor": ["taffrail-sensor", "--collector", address], "watch": ["taffrail", "watch", "--collector", address]}


@pytest.mark.parametrize("who", ["collector", "sensor", "watch"])
def test_three_files_go_together(who, papers, tmp_path):
    for missing in range(3):
        options = papers.options("sensor")
        gone = options.pop(2 * missing)
        options.pop(2 * missing)
        assert f"{gone} is missing" in one_sentence(run(*programs(tmp_path)[who], *options), 2)


@pytest.mark.parametrize("who", ["collector", "sensor", "watch"])
def test_what_is_wrong_with_a_file_is_said_with_its_name(who, papers, tmp_path):
    command = programs(tmp_path)[who]
    bad = tmp_path / "bad.pem"

    def say(content, option, words):
        bad.write_bytes(content)
        options = papers.options("sensor")
        options[options.index(option) + 1] = str(bad)
        line = one_sentence(run(*command, *options), 2)
        assert str(bad) in line and re.search(words, line), line

    say(b"", "--tls-ca", "it is empty")
    say(b"nonsense\n", "--tls-ca", "no certificate in PEM")
    say(b"nonsense\n", "--tls-cert", "no certificate in PEM")
    say(b"nonsense\n", "--tls-key", "no private key in PEM")
    say(papers.read("reader.key"), "--tls-key", "does not fit the certificate .*sensor.pem")
    torn = papers.read("sensor.pem").replace(b"MII", b"!!!", 1)
    say(torn, "--tls-cert", "damaged")
    options = papers.options("sensor", ca="none.pem")
    assert "none.pem: No such file" in one_sentence(run(*command, *options), 2)
    assert not (tmp_path / "data").exists()


def test_what_has_expired_is_refused(papers, tmp_path):
    """openssl's ca can choose both ends."""
    (tmp_path / "index").write_text("")
    (tmp_path / "serial").write_text("77")
    (tmp_path / "config").write_text(f"[ca]\ndefault_ca=own\n[own]\ndatabase={tmp_path}/index\nserial={tmp_path}/serial\nnew_certs_dir={tmp_path}\n"
                                     "default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n")
    subprocess.run(["openssl", "req", "-new", "-key", papers.file("sensor.key"), "-subj", "/CN=old", "-out", tmp_path / "request"], check=True)
    subprocess.run(["openssl", "ca", "-batch", "-config", tmp_path / "config", "-keyfile", papers.file("ca.key"), "-cert", papers.file("ca.pem"),
                    "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-in", tmp_path / "request", "-out", tmp_path / "old.pem",
                    "-notext"], check=True, stderr=subprocess.DEVNULL)
    options = papers.options("sensor")
    options[3] = str(tmp_path / "old.pem")
    line = one_sentence(run("taffrail-sensor", "--collector", "127.0.0.1:1", *options), 2)
    assert "old.pem: the certificate has expired on 2021-01-01" in line


@pytest.mark.parametrize("who", ["collector", "sensor", "watch"])
def test_insecure_and_tls_exclude_each_other(who, papers, tmp_path):
    assert "--insecure" in one_sentence(run(*programs(tmp_path)[who], *papers.options("sensor"), "--insecure"), 2)


@pytest.mark.parametrize("who", ["collector", "sensor", "watch"])
def test_plain_text_to_others_is_refused_and_the_way_out_named(who, tmp_path):
    line = one_sentence(run(*programs(tmp_path, "192.0.2.1:7443")[who]), 2)
    for word in ["192.0.2.1:7443", "loopback", "--tls-ca", "--insecure"]:
        assert word in line


def test_patterns_are_for_certificates(tmp_path):
    for option in ["--allow", "--allow-reader"]:
        line = one_sentence(run("taffrail-collector", "--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data"), option, "*"), 2)
        assert option in line and "--tls-ca" in line


def test_files_stand_in_the_configuration_too(papers, tmp_path, start):
    config = tmp_path / "config.yaml"
    config.write_text(f"listen: 127.0.0.1:0\ndata: {tmp_path}/data\ntls: {{ca: {papers.file('ca.pem')}, cert: {papers.file('collector.pem')}, "
                      f"key: {papers.file('collector.key')}}}\nallow: [sensor.taffrail]\nallow_reader: reader.*\nconnections: {{max_age: 10m}}\n")
    collector = start("taffrail-collector", "--config", str(config))
    with shake(collector.ready(), papers, "sensor") as peer:
        assert (peer.version(), peer.selected_alpn_protocol()) == ("TLSv1.3", "h2")
    config.write_text("insecure: true\nlisten: 0.0.0.0:0\ndata: " + str(tmp_path / "other") + "\n")
    start("taffrail-collector", "--config", str(config)).ready()


def test_insecure_says_so_at_every_start(start, tmp_path):
    for _ in range(2):
        collector = start("taffrail-collector", "--listen", "0.0.0.0:0", "--data", str(tmp_path / "data"), "--insecure")
        address = collector.ready()
        assert sum("warning: insecure: plain text" in line for line in collector.log) == 1, collector.log
        client = Sensor(address.replace("0.0.0.0", "127.0.0.1"))
        assert client.hello() == 0
        client.close()
        assert collector.end() == 0
    watch = start("taffrail", "watch", "--collector", "192.0.2.1:7443", "--insecure")
    watch.wait_for(lambda: any("warning: insecure" in line for line in watch.log))


def test_certificates_that_end_soon_are_a_warning(start, tmp_path):
    short = Papers(tmp_path / "ca", "--days", "5")
    collector = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *short.options("collector"), "--allow", "*")
    collector.ready()
    assert any(re.search(r"collector\.pem: the certificate expires in [45] days", line) for line in collector.log), collector.log
    assert not any("ca.pem" in line for line in collector.log), "50 days are enough"


# --- who may do what --------------------------------------------------------------------------------------------------

def test_sensor_collector_and_reader_over_tls(start, collect, papers, tmp_path, container):
    address = collect("--allow", "sensor.taffrail", "--allow-reader", "reader.taffrail", listen="0.0.0.0:0").replace("0.0.0.0", "127.0.0.1")
    sensor = start("taffrail-sensor", "--collector", address, *papers.options("sensor"))
    watch = start("taffrail", "watch", "--json", "--collector", address, *papers.options("reader"))
    sensor.ready()
    sensor.wait_for(lambda: any("streaming to" in line for line in sensor.log))
    for _ in range(20):
        container.run("/bin/true")
    watch.wait_for(lambda: sum(one["event"]["action"] == "exec" and one["container"]["id"] == container.id for one in watch.documents()) == 20)
    assert sensor.end() == 0
    filed = [one for one in documents(tmp_path) if one["event"]["action"] == "exec" and one.get("container", {}).get("id") == container.id]
    assert len(filed) == 20
    host = filed[0]["host"]["id"]
    assert (tmp_path / "data" / "owners").read_text() == f"sensor.taffrail {host}\n"


def test_over_a_unix_socket_it_is_tls_too(start, collect, papers, tmp_path):
    address = collect("--allow-reader", "*", listen=f"unix:{tmp_path}/s")
    watch = start("taffrail", "watch", "--collector", address, *papers.options("reader"))
    time.sleep(0.5)
    assert watch.process.poll() is None, watch.log
    plain = run("taffrail", "watch", "--collector", address)
    assert plain.returncode == 1


def test_rights_are_given_apart(collect, papers, sensor):
    address = collect("--allow", "sensor.*", "--allow-reader", "reader.*")
    for name, words in [("sensor", "--allow-reader"), ("stranger", "--allow-reader")]:
        done = run("taffrail", "watch", "--collector", address, *papers.options(name))
        assert done.returncode == 1 and words in done.stderr
    writer = sensor(address, "reader")
    assert writer.ended() == grpc.StatusCode.PERMISSION_DENIED and "--allow" in writer.details
    log = collect.running.log
    collect.running.wait_for(lambda: any("(reader.taffrail): no name of this certificate may write here (--allow)" in line for line in log))
    good = sensor(address)
    assert good.hello() == 0


def test_without_a_pattern_nobody_may(collect, papers, sensor):
    address = collect()
    assert any("warning: no --allow" in line for line in collect.running.log)
    assert sensor(address).ended() == grpc.StatusCode.PERMISSION_DENIED
    assert run("taffrail", "watch", "--collector", address, *papers.options("reader")).returncode == 1


def test_any_name_of_a_certificate_counts(collect, sensor):
    address = collect("--allow", "spiffe://prod/*/sensor")
    assert sensor(address, "both").hello() == 0
    assert sensor(address, "sensor").ended() == grpc.StatusCode.PERMISSION_DENIED


def test_a_host_belongs_to_a_name_until_it_is_released(collect, sensor, tmp_path):
    address = collect("--allow", "sensor.*")
    first = sensor(address, host="node-1")
    assert first.hello() == 0
    first.send(first.batch(1, 3))
    first.wait(lambda: first.acked == 3)
    for _ in range(2):  # before and after a restart
        thief = sensor(address, "second", host="node-1")
        thief.hello()
        assert thief.ended() == grpc.StatusCode.PERMISSION_DENIED
        collect.running.wait_for(lambda: any("(sensor.elsewhere): the host node-1 belongs to sensor.taffrail" in line for line in collect.running.log))
        collect.running.end(9)
        address = collect("--allow", "sensor.*")
    collect.running.end()
    owners = tmp_path / "data" / "owners"
    assert owners.read_text() == "sensor.taffrail node-1\n"
    owners.write_text("")
    address = collect("--allow", "sensor.*")
    heir = sensor(address, "second", host="node-1", epoch=first.epoch)
    assert heir.hello() == 3
    heir.send(heir.batch(4, 4))
    heir.wait(lambda: heir.acked == 4)
    assert owners.read_text() == "sensor.elsewhere node-1\n"


def test_a_broken_table_of_owners_is_no_way_around_it(collect, papers, tmp_path):
    address = collect("--allow", "*")
    assert address and collect.running.end() == 0
    (tmp_path / "data" / "owners").write_text("a b\nnonsense\n")
    done = run("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *papers.options("collector"))
    assert "owners:2: it is no NAME and HOST" in one_sentence_of(done.stderr)
    assert done.returncode == 1


def one_sentence_of(log):
    return [line for line in log.splitlines() if "error" in line][-1]


# --- clients that are refused, and told why -----------------------------------------------------------------------------

def test_server_of_another_name_or_ca_is_refused(start, collect, papers, tmp_path):
    other = Papers(tmp_path / "other")
    address = collect("--allow-reader", "*")
    port = address.split(":")[1]
    for options, words in [
            ([*papers.options("reader"), "--tls-name", "elsewhere.example"], "hostname mismatch"),
            (other.options("reader"), "certificate is refused|does not know the CA"),
            ([*papers.options("reader")[:1], other.file("ca.pem"), *papers.options("reader")[2:]], "certificate is refused"),
            ([*other.options("reader")[:1], papers.file("ca.pem"), *other.options("reader")[2:]], "it does not know the CA of our certificate"),
    ]:
        done = run("taffrail", "watch", "--collector", f"localhost:{port}", *options)
        assert done.returncode == 1 and re.search(words, done.stderr), done.stderr
    sensor = start("taffrail-sensor", "--collector", f"127.0.0.1:{port}", *papers.options("sensor"), "--set", "tls.name=elsewhere.example")
    sensor.wait_for(lambda: any("hostname mismatch" in line for line in sensor.log))


def test_clients_without_a_good_certificate_get_nowhere(collect, papers):
    address = collect("--allow", "*")

    def refused(words, **options):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            with shake(address, papers, **options) as peer:
                peer.settimeout(5)
                peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                if not peer.recv(1):
                    raise ConnectionResetError
        collect.running.wait_for(lambda: any(words in line for line in collect.running.log))

    refused("it shows no certificate", name=None)
    refused("it does not speak TLS 1.3", name="sensor", version=ssl.TLSVersion.TLSv1_2)
    refused("no HTTP/2 over", name="sensor", alpn=("http/1.1",))
    refused("no HTTP/2 over it", name="sensor", alpn=None)


def test_nothing_is_resumed(collect, papers):
    address = collect("--allow", "*")
    done = subprocess.run(["openssl", "s_client", "-connect", address, "-CAfile", papers.file("ca.pem"), "-cert", papers.file("sensor.pem"), "-key",
                           papers.file("sensor.key"), "-alpn", "h2", "-verify_return_error", "-sess_out", papers.file("session")],
                          input="", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    assert "TLSv1.3" in done.stdout and "Verification: OK" in done.stdout
    assert "Session-ID: \n" not in done.stdout and "TLS session ticket" not in done.stdout and "Early data was not sent" in done.stdout


# --- while it runs ----------------------------------------------------------------------------------------------------

def serial(address, papers, ca=None):
    with shake(address, ca or papers, "sensor") as peer:
        return peer.getpeercert()["serialNumber"]


def test_new_certificates_drop_no_stream(collect, sensor, papers, tmp_path):
    """The folder is a Secret as Kubernetes mounts it: links into a folder that is a link, which is swapped."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def publish(version):
        target = mount / f"..{version}"
        target.mkdir()
        for name in ["ca.pem", "collector.pem", "collector.key"]:
            shutil.copy(papers.file(name), target / name)
        os.symlink(f"..{version}", mount / "..new")
        os.rename(mount / "..new", mount / "..data")

    publish(1)
    for name in ["ca.pem", "collector.pem", "collector.key"]:
        os.symlink(f"..data/{name}", mount / name)
    secret = Papers.__new__(Papers)
    secret.folder = str(mount)
    address = collect("--allow", "sensor.*", ca=secret)
    stream = sensor(address)
    assert stream.hello() == 0
    stream.send(stream.batch(1, 1))
    stream.wait(lambda: stream.acked == 1)
    old = serial(address, papers)
    papers.make()
    publish(2)
    collect.running.wait_for(lambda: any("new certificates" in line for line in collect.running.log), 10)
    assert serial(address, papers) != old
    stream.send(stream.batch(2, 2))
    stream.wait(lambda: stream.acked == 2)
    # A set that is wrong is an error, and changes nothing.
    good = serial(address, papers)
    (mount / "..3").mkdir()
    os.symlink("..3", mount / "..new")
    os.rename(mount / "..new", mount / "..data")
    collect.running.wait_for(lambda: any("No such file or directory: the certificates of before stay" in line for line in collect.running.log), 10)
    assert serial(address, papers) == good
    stream.send(stream.batch(3, 3))
    stream.wait(lambda: stream.acked == 3)
    assert stream.code is None


def test_the_sensor_takes_new_certificates_too(start, collect, tmp_path, papers, container):
    own = Papers(tmp_path / "own")
    shutil.copy(papers.file("ca.pem"), own.file("ca.pem"))
    for ending in ["pem", "key"]:
        shutil.copy(papers.file(f"second.{ending}"), own.file(f"sensor.{ending}"))
    address = collect("--allow", "sensor.*", "--set", "connections.max_age=0")
    sensor = start("taffrail-sensor", "--collector", address, *own.options("sensor"))
    sensor.ready()
    sensor.wait_for(lambda: any("streaming to" in line for line in sensor.log))
    for ending in ["key", "pem"]:
        shutil.copy(papers.file(f"sensor.{ending}"), own.file(f"new.{ending}"))
        os.rename(own.file(f"new.{ending}"), own.file(f"sensor.{ending}"))
    sensor.wait_for(lambda: any("new certificates" in line for line in sensor.log), 10)
    container.run("/bin/true")
    assert sum("streaming to" in line for line in sensor.log) == 1, "no stream was dropped"
    collect.running.end()
    collect.running = start("taffrail-collector", "--listen", address, "--data", str(tmp_path / "again"), *papers.options("collector"), "--allow", "sensor.taffrail")
    collect.running.ready()
    sensor.wait_for(lambda: sum("streaming to" in line for line in sensor.log) == 2)


def test_a_connection_has_an_age_and_nobody_notices(start, collect, tmp_path, papers, container):
    address = collect("--allow", "*", "--set", "connections.max_age=1s")
    sensor = start("taffrail-sensor", "--collector", address, *papers.options("sensor"))
    sensor.ready()
    end, runs = time.monotonic() + 4 * SLOW, 0
    while time.monotonic() < end or sum("streaming to" in line for line in sensor.log) < 3:
        container.run("/bin/true")
        runs += 1
        assert time.monotonic() < end + 30
    assert sensor.end() == 0
    assert not any("warning" in line for line in sensor.log), sensor.log
    execs = [one["event"]["id"] for one in documents(tmp_path) if one["event"]["action"] == "exec" and one.get("container", {}).get("id") == container.id]
    assert len(execs) == len(set(execs)) == runs


def test_a_reader_moves_to_another_connection_too(start, collect, papers, sensor):
    address = collect("--allow", "*", "--allow-reader", "reader.*", "--set", "connections.max_age=1s")
    watch = start("taffrail", "watch", "--json", "--collector", address, *papers.options("reader"))
    watch.wait_for(lambda: sum("it asks for another connection" in line for line in watch.log) == 2)
    stream, number = sensor(address), 0
    assert stream.hello() == 0
    while not watch.documents():
        number += 1
        stream.send(stream.batch(number, number))
        time.sleep(0.1)
        if stream.code is not None:  # its connection has an age as well
            stream = sensor(address, epoch=stream.epoch)
            number = stream.hello()
    assert watch.process.poll() is None
    collect.running.end()
    assert watch.process.wait(20 * SLOW) == 1


# --- the test CA ------------------------------------------------------------------------------------------------------

def test_make_test_ca(tmp_path):
    made = Papers(tmp_path / "new")
    for name in ["ca", "collector", "sensor", "reader"]:
        assert os.stat(made.file(f"{name}.key")).st_mode & 0o777 == 0o600
        assert os.stat(made.file(f"{name}.pem")).st_mode & 0o777 == 0o644
    names = subprocess.run(["openssl", "x509", "-in", made.file("collector.pem"), "-noout", "-ext", "subjectAltName"], capture_output=True, text=True, check=True)
    for name in ["DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1", "DNS:taffrail-collector", "DNS:taffrail-collector.taffrail.svc"]:
        assert name in names.stdout
    ca, old = made.read("ca.pem"), made.read("sensor.pem")
    made.make("--sensor", "spiffe://x/y")
    assert made.read("ca.pem") == ca and made.read("sensor.pem") != old
    subprocess.run(["openssl", "verify", "-CAfile", made.file("ca.pem"), made.file("sensor.pem"), made.file("collector.pem")], check=True)
    for wrong in [["--days", "x", "d"], ["--nonsense"], [], ["a", "b"], ["--certificate", "x", "d"]]:
        done = subprocess.run([os.path.join(ROOT, "scripts", "make-test-ca"), *wrong], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith("make-test-ca: ")
