# SPDX-License-Identifier: Apache-2.0
"""A network of its own, without a way out: a switch and hosts on 198.18/15, each a network namespace that a process holds."""
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from programs import BIN, ROOT, run  # noqa: E402,F401 - the tests take them from here

NEEDED = ("tcpdump", "aria2c", "transmission-cli", "transmission-create", "nsenter", "ip")


@pytest.fixture(scope="session", autouse=True)
def clients():
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        pytest.skip("not installed: " + ", ".join(missing))


CGROUPS = "/sys/fs/cgroup/unified" if os.path.exists("/sys/fs/cgroup/unified/cgroup.procs") else "/sys/fs/cgroup"


class Network:
    """Each host is a container, too: its programs run in a cgroup named like one's."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []
        self.switch = self.namespace()
        self.enter(self.switch, "ip", "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        self.enter(self.switch, "ip", "link", "set", "switch", "up")
        self.hosts = {}

    def popen(self, *arguments, **more):
        self.running.append(subprocess.Popen([str(each) for each in arguments], stdin=subprocess.DEVNULL, start_new_session=True, **more))
        return self.running[-1]

    def namespace(self):
        holder = self.popen("unshare", "-n", "sleep", "600")
        mine = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 5
        while os.readlink(f"/proc/{holder.pid}/ns/net") == mine:
            assert time.monotonic() < deadline and holder.poll() is None, "no network namespace"
            time.sleep(0.01)
        self.enter(holder.pid, "ip", "link", "set", "lo", "up")
        return holder.pid

    @staticmethod
    def enter(pid, *arguments):
        subprocess.run(["nsenter", "-t", str(pid), "-n", *arguments], check=True)

    def host(self, number):
        """A host at 198.18.0.NUMBER."""
        pid = self.namespace()
        self.enter(self.switch, "ip", "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self.enter(self.switch, "ip", "link", "set", f"port{number}", "master", "switch", "up")
        self.enter(pid, "ip", "address", "add", f"198.18.0.{number}/24", "dev", "eth0")
        self.enter(pid, "ip", "link", "set", "eth0", "up")
        self.enter(pid, "ip", "route", "add", "default", "via", "198.18.0.254")
        self.hosts[number] = pid
        os.mkdir(self.cgroup(number))

    def container(self, number):
        return f"{os.getpid():056x}{number:08x}"

    def cgroup(self, number):
        return os.path.join(CGROUPS, self.container(number))

    def start(self, number, *arguments, **more):
        """Starts a program on a host (0: on the switch); its words go to a file."""
        pid = self.hosts[number] if number else self.switch
        log = open(os.path.join(self.folder, f"log-{number}"), "ab")
        environment = dict(os.environ, HOME=str(self.folder / f"home-{number}"))
        os.makedirs(environment["HOME"], exist_ok=True)
        inside = ("sh", "-c", 'echo 0 >"$0" && exec "$@"', os.path.join(self.cgroup(number), "cgroup.procs")) if number else ()
        return self.popen(*inside, "nsenter", "-t", pid, "-n", *arguments, stdout=log, stderr=log, env=environment, **more)

    def sensor(self):
        """Starts a sensor that writes to the file that is returned; it is ready."""
        lines, log = self.folder / "events.ndjson", self.folder / "sensor.log"
        with open(lines, "wb") as out, open(log, "wb") as errors:
            self.watcher = self.popen(os.path.join(BIN, "taffrail-sensor"), "--stdout", "--no-rules", stdout=out, stderr=errors)
        deadline = time.monotonic() + 60
        while b"ready" not in log.read_bytes():
            assert time.monotonic() < deadline and self.watcher.poll() is None, log.read_text()
            time.sleep(0.1)
        return lines

    def wait_for_udp(self, number, port):
        """Until a program of the host has that port."""
        deadline = time.monotonic() + 10
        while True:
            with open(f"/proc/{self.hosts[number]}/net/udp", encoding="ascii") as table:
                if any(line.split()[1].endswith(f":{port:04X}") for line in list(table)[1:]):
                    return
            assert time.monotonic() < deadline, f"no port {port}"
            time.sleep(0.05)

    def stop(self):
        for process in reversed(self.running):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        for number in self.hosts:
            self.remove(self.cgroup(number))

    @staticmethod
    def remove(cgroup):
        """What ran in it was killed, children that had a session of their own with it."""
        deadline = time.monotonic() + 10
        while os.path.exists(cgroup):
            try:
                with open(os.path.join(cgroup, "cgroup.procs"), encoding="ascii") as processes:
                    for pid in processes.read().split():
                        os.kill(int(pid), signal.SIGKILL)
                os.rmdir(cgroup)
            except (OSError, ProcessLookupError):
                assert time.monotonic() < deadline, cgroup
                time.sleep(0.05)


@pytest.fixture
def network(tmp_path):
    made = Network(tmp_path)
    yield made
    made.stop()
