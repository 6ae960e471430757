# SPDX-License-Identifier: Apache-2.0
"""A network of its own, without a way out: a switch and hosts, each a network namespace that a process holds, and a container."""
import os
import signal
import subprocess
import time

CGROUPS = "/sys/fs/cgroup/unified" if os.path.exists("/sys/fs/cgroup/unified/cgroup.procs") else "/sys/fs/cgroup"
# Names are asked of the network's own server; modules that would ask a service of the machine over a socket are left out.
NAMED = 'cd "$0" && for file in resolv.conf nsswitch.conf hosts; do mount --bind $file /etc/$file; done && cd - >/dev/null && exec "$@"'


class Network:
    """Each host is a container, too: its programs run in a cgroup named like one's."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []
        self.switch = self.namespace()
        self.enter(self.switch, "ip", "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        self.enter(self.switch, "ip", "link", "set", "switch", "up")
        self.hosts, self.names, self.ways = {}, {}, {}

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

    def host(self, number, subnet="198.18.0", holds=(), hides=(), asks=None):
        """A host at SUBNET.NUMBER. All addresses of the ranges that it holds are its own, too; whoever is sent to those that it
        hides hears nothing; hosts of the subnet that are made later know the way to both. It asks the name server at `asks`."""
        pid = self.namespace()
        self.enter(self.switch, "ip", "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self.enter(self.switch, "ip", "link", "set", f"port{number}", "master", "switch", "up")
        self.enter(pid, "ip", "address", "add", f"{subnet}.{number}/24", "dev", "eth0")
        self.enter(pid, "ip", "link", "set", "eth0", "up")
        self.enter(pid, "ip", "route", "add", "default", "via", f"{subnet}.254")
        for held in holds:
            self.enter(pid, "ip", "route", "add", "local", held, "dev", "lo")
        for hidden in hides:
            self.enter(pid, "ip", "route", "add", "blackhole", hidden)
        for away, by in self.ways.items():
            if by.startswith(f"{subnet}."):
                self.enter(pid, "ip", "route", "add", away, "via", by)
        self.ways.update(dict.fromkeys((*holds, *hides), f"{subnet}.{number}"))
        self.hosts[number] = pid
        os.mkdir(self.cgroup(number))
        if asks:
            self.names[number] = folder = self.folder / f"etc-{number}"
            folder.mkdir()
            (folder / "resolv.conf").write_text(f"nameserver {asks}\noptions timeout:2\n")
            (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
            (folder / "hosts").write_text("127.0.0.1 localhost\n")

    def container(self, number):
        return f"{os.getpid():056x}{number:08x}"

    def cgroup(self, number):
        return os.path.join(CGROUPS, self.container(number))

    def inside(self, number):
        """What stands before a command, so that it runs on a host (0: on the switch)."""
        if not number:
            return ("nsenter", "-t", self.switch, "-n")
        names = ("unshare", "-m", "sh", "-c", NAMED, self.names[number]) if number in self.names else ()
        return ("sh", "-c", 'echo 0 >"$0" && exec "$@"', os.path.join(self.cgroup(number), "cgroup.procs"),
                "nsenter", "-t", self.hosts[number], "-n", *names)

    def home(self, number):
        home = self.folder / f"home-{number}"
        home.mkdir(exist_ok=True)
        return dict(os.environ, HOME=str(home), PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")

    def log(self, number):
        return self.folder / f"log-{number}"

    def start(self, number, *arguments, **more):
        """Starts a program on a host (0: on the switch); its words go to a file."""
        with open(self.log(number), "ab") as log:
            return self.popen(*self.inside(number), *arguments, stdout=log, stderr=log, env=self.home(number), **more)

    def finish(self, number, *arguments, seconds=40, status=0):
        """Runs a program on a host to its end; what it printed."""
        process = self.popen(*self.inside(number), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.home(number))
        words, errors = process.communicate(timeout=seconds)
        assert status in (None, process.returncode), (arguments, process.returncode, errors.decode(errors="replace")[-2000:])
        return words.decode(errors="replace")

    def wait_for(self, number, what, seconds=10, name=None):
        """Until what() is true; its value. Else the end of the host's words is shown."""
        deadline = time.monotonic() + seconds
        while True:
            value = what()
            if value:
                return value
            assert time.monotonic() < deadline, (name or what, self.log(number).read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def wait_for_port(self, number, port, transport="tcp"):
        """Until a program of the host listens at it, or has it for datagrams."""
        state = {"tcp": "0A", "udp": "07"}[transport]

        def is_there():
            for family in ("", "6"):
                with open(f"/proc/{self.hosts[number]}/net/{transport}{family}", encoding="ascii") as table:
                    lines = [line.split() for line in list(table)[1:]]
                if any(line[1].endswith(f":{port:04X}") and line[3] == state for line in lines):
                    return True
            return False

        self.wait_for(number, is_there, name=f"port {port}/{transport}")

    def stop(self):
        for process in reversed(self.running):
            if process.poll() is None:  # else its number may be somebody else's by now
                os.killpg(process.pid, signal.SIGKILL)
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
