#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""record.py    records what this version's sensor and collector say to one another, into tests/streams/VERSION (root)

Once for each release, when its version is set; what is recorded never changes afterwards. A pod of a private containerd does what
makes one event of as many kinds as can be had; a sensor that was killed before has something to declare. Between the sensor and the
collector stands a relay that notes each message, byte by byte; in names of programs outside the containers, which are this machine's, it
puts an x for each byte. Where other containers run meanwhile, nothing is written. Written are

    up.gz            what the sensor said: u32 number of the call, u32 length, Up message, again and again; little endian
    down.gz          the same of the collector
    documents.gz     what the collector wrote of it, a line each
    descriptors.gz   the FileDescriptorSet of proto/taffrail/v1
"""
import concurrent.futures
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(ROOT, "scripts")]
import grpc  # noqa: E402
from cri_client import Runtime  # noqa: E402
from peers import stream_pb2  # noqa: E402
from programs import Running, version  # noqa: E402

# In one container, one after another; in their order each makes an event of a kind of its own, or of a way to tell one.
DEEDS = ["/bin/cat /etc/passwd", "/bin/cat /srv/www/price-list", "/bin/nothing", "/d/deed create /tmp/made", "/d/deed chmod 755 /tmp/made",
         "/d/deed link /tmp/made /tmp/linked", "/d/deed symlink /tmp/made /tmp/pointed", "/d/deed rename /tmp/made /tmp/moved", "/d/deed unlink /tmp/moved",
         "/d/deed mkdir /tmp/folder", "/bin/rmdir /tmp/folder", "/bin/wget -q -O /dev/null http://{ip}:8080/", "/bin/timeout 2 /bin/nc -w 1 192.0.2.1 6881",
         "/bin/timeout 1 /bin/tftp -g -r x -l /dev/null 198.51.100.7 6881", "/d/deed socket packet", "/d/deed ptrace it",
         "/d/deed setuid 1000", "/d/deed setns /proc/self/ns/uts", "/d/deed unshare fs", "/d/deed bpf map", "/d/deed module", "/d/deed mount none /mnt tmpfs",
         "/d/deed call-unix /tmp/nobody", "/bin/cp /bin/busybox /tmp/busybox.x", "/tmp/busybox.x sh -c :", "/bin/cat /etc/shadow"]
KEPT = (b"runc", b"containerd-shim", b"bash", b"python3")
CONFIG = """\
host: {{id: recorded, name: recorded, bpffs: {folder}/bpf/taffrail}}
cluster: {{name: recorded}}
cri: {{sockets: ["{socket}"], annotations: ["example.test/*"]}}
record:
  also: [link, symlink, unlink, rmdir, rename, mkdir, chmod, dup, ptrace, setuid, setns, unshare, bpf, module, userfaultfd, mount, socket, receive]
  leave_out:
    - {{kinds: [open], paths: [/proc/, /sys/, /dev/]}}
flows: {{idle: 2s}}
exec: {{environment: true}}
"""


def hide(message):
    """Strings of the same length: so all else of the message stays as it was."""
    for process in (record.process for record in stream_pb2.Up.FromString(message).batch.record if record.HasField("process")):
        if not process.container_id and process.name not in KEPT and len(process.name) > 2:
            message = message.replace(process.executable, b"x" * len(process.executable)) if process.executable else message
            message = message.replace(process.name, b"x" * len(process.name))
    return message


class Relay:
    """Hands on what either says to the other, and notes it."""

    def __init__(self, folder, collector):
        self.ups, self.downs, self.calls, self.channel = [], [], 0, grpc.insecure_channel(collector)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        method = grpc.stream_stream_rpc_method_handler(self._stream)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("taffrail.v1.Collector", {"Stream": method})])
        self.address = f"unix:{folder}/relay"
        self.server.add_insecure_port(self.address)
        self.server.start()

    def _stream(self, ups, _):
        call, self.calls = self.calls, self.calls + 1

        def noted():
            for up in ups:
                up = hide(up)
                self.ups.append((call, up))
                yield up

        for down in self.channel.stream_stream("/taffrail.v1.Collector/Stream")(noted()):
            self.downs.append((call, down))
            yield down


def work(runtime, folder):
    program = os.path.join(folder, "deed")
    sources = [os.path.join(ROOT, "tests", "container", name) for name in ("deeds.c", "deeds_name.c")]
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-static", "-O1", "-s", "-o", program, *sources], check=True)
    labels, annotations = {"app": "web", "app.kubernetes.io/part-of": "shop"}, {"example.test/owner": "shop"}
    with runtime.pod("web", "shop", labels=labels, annotations=annotations) as pod:
        pod.run("httpd", "/bin/httpd", "-f", "-p", "8080", "-h", "/srv/www")
        container = pod.run("main", "/bin/sleep", "1000000", mounts=[(folder, "/d")], environment={"SHOP": "open"})
        for deed in DEEDS:
            container.execute("/bin/sh", "-c", deed.format(ip=pod.ip))
        pod.run("short", "/bin/false").wait()
        time.sleep(5)  # flows fall idle
    time.sleep(1)


def record(folder, runtime, socket):
    config = os.path.join(folder, "sensor.yaml")
    with open(config, "w", encoding="ascii") as file:
        file.write(CONFIG.format(folder=folder, socket=socket))
    collector = Running("taffrail-collector", "--listen", f"unix:{folder}/s", "--data", f"{folder}/data", "--output", f"ecs-json:{folder}/documents")
    running = [collector]
    try:
        collector.ready()
        relay = Relay(folder, f"unix:{folder}/s")
        arguments = ("--collector", relay.address, "--config", config, "--spool", f"{folder}/spool", "--set", f"host.bpffs={folder}/bpf/taffrail")
        arguments = (*arguments, "--set", "rule_matching=first")  # so that it judges (programs.py)
        running.append(Running("taffrail-sensor", *arguments))
        running[-1].ready()
        with runtime.pod("before", "shop") as pod:
            pod.run("main", "/bin/true")
            running[-1].kill()
        running.append(Running("taffrail-sensor", *arguments))
        running[-1].ready()
        work(runtime, folder)
        assert running[-1].end() == 0, running[-1].log
        assert collector.end() == 0, collector.log
        relay.server.stop(None)
        return relay
    finally:
        for one in running:
            one.kill()


def write(name, data):
    with open(os.path.join(HERE, version(), name), "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(data)


def main():
    # Paths stand in what is recorded: they are to name nobody's folders.
    lab, folder = "/run/taffrail-recording", tempfile.mkdtemp(prefix="taffrail-recording-", dir="/run")
    script = os.path.join(ROOT, "scripts", "lab.sh")
    os.mkdir(os.path.join(folder, "bpf"))
    subprocess.run(["mount", "-t", "bpf", "none", os.path.join(folder, "bpf")], check=True)
    try:
        socket = subprocess.run([script, "up", lab], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        runtime = Runtime(socket)
        relay = record(folder, runtime, socket)
        runtime.close()
        with open(os.path.join(folder, "documents"), "rb") as file:
            documents = file.read()
        pods = {json.loads(line).get("orchestrator", {}).get("namespace", "shop") for line in documents.splitlines() if b'"container":' in line}
        alone = all("orchestrator" in json.loads(line) for line in documents.splitlines() if b'"container":{"id"' in line)
        if not alone or pods != {"shop"}:
            sys.exit("another container ran meanwhile: nothing is written")
        described = os.path.join(folder, "descriptors")
        subprocess.run(["protoc", f"-I{ROOT}/proto", f"--descriptor_set_out={described}", "taffrail/v1/event.proto", "taffrail/v1/stream.proto"], check=True)
        os.makedirs(os.path.join(HERE, version()), exist_ok=True)
        for name, messages in (("up.gz", relay.ups), ("down.gz", relay.downs)):
            write(name, b"".join(struct.pack("<II", call, len(message)) + message for call, message in messages))
        write("documents.gz", documents)
        with open(described, "rb") as file:
            write("descriptors.gz", file.read())
        actions = sorted({json.loads(line)["event"]["action"] for line in documents.splitlines()})
        print(f"{version()}: {len(relay.ups)} messages up, {len(relay.downs)} down, {len(documents.splitlines())} documents: {', '.join(actions)}")
    finally:
        subprocess.run([script, "down", lab], check=False)
        subprocess.run(["umount", "-l", os.path.join(folder, "bpf")], check=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(__doc__.strip() if len(sys.argv) > 1 else main())
