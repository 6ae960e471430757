# SPDX-License-Identifier: Apache-2.0
"""A network of the test's own: two namespaces, the sensor's and the collector's, with one cable between them.

Nothing has a name that could stay behind: a namespace is held by a process, which ends with the test, and the cable ends with it.
"""
import ctypes
import os
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET, MS_REC, MS_PRIVATE, PR_SET_PDEATHSIG = 0x20000, 0x40000000, 0x4000, 0x40000, 1
ADDRESS = {"sensor": "198.18.77.1", "collector": "198.18.77.2"}


def helper(name):
    """A program of the suite's own, which is never built with sanitizers: it is not what is tested."""
    return os.path.join(ROOT, "build", "bin", name)


def done(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def own_mounts():
    """What is mounted from here on is seen by this process and its children alone, and is gone with them."""
    done(LIBC.unshare(CLONE_NEWNS), "unshare")
    done(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")


def bound(namespace=None):
    """For preexec_fn: a child that does not outlive the test, however that ends; in that network namespace."""

    def prepare():
        done(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        if namespace is not None:
            done(LIBC.setns(namespace, CLONE_NEWNET), "setns")

    return prepare


class Wire:
    def __init__(self):
        self.holders, self.namespaces = [], {}
        for side in ADDRESS:
            self._hold(side)
        holder = self.holders[1].pid
        self.enter("sensor", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(holder))
        for side, address in ADDRESS.items():
            self.enter(side, "ip", "address", "add", f"{address}/30", "dev", "eth0")
            self.enter(side, "ip", "link", "set", "lo", "up")
        self.mend()

    def _hold(self, side):
        holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], stdin=subprocess.DEVNULL, preexec_fn=bound())
        self.holders.append(holder)
        mine, deadline = os.stat("/proc/self/ns/net").st_ino, time.monotonic() + 5
        while os.stat(f"/proc/{holder.pid}/ns/net").st_ino == mine:
            assert time.monotonic() < deadline and holder.poll() is None, "no network namespace"
            time.sleep(0.005)
        self.namespaces[side] = os.open(f"/proc/{holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self, side, *arguments):
        subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, preexec_fn=bound(self.namespaces[side]))

    def cut(self):
        """The cable is out: both sides know."""
        self.enter("sensor", "ip", "link", "set", "eth0", "down")

    def silence(self):
        """Nothing comes through, and nobody says so."""
        self._drop()

    def lose(self, part=0.05):
        """Of what comes to each side a part is lost, at random."""
        self._drop("-m", "statistic", "--mode", "random", "--probability", str(part))

    def _drop(self, *which):
        for side in ADDRESS:
            self.enter(side, "iptables", "-w", "-A", "INPUT", "-i", "eth0", *which, "-j", "DROP")

    def dropped(self):
        """Packets that were dropped so far at both sides, since the last mend."""
        count = 0
        for side in ADDRESS:
            listed = subprocess.run(["iptables", "-w", "-nvxL", "INPUT"], check=True, stdout=subprocess.PIPE, text=True,
                                    preexec_fn=bound(self.namespaces[side])).stdout
            count += sum(int(line.split()[0]) for line in listed.splitlines() if " DROP " in line)
        return count

    def mend(self):
        for side in ADDRESS:
            self.enter(side, "ip", "link", "set", "eth0", "up")
            self.enter(side, "iptables", "-w", "-F", "INPUT")

    def remove(self):
        """Ends the namespaces; who is still in them."""
        numbers = {os.fstat(namespace).st_ino for namespace in self.namespaces.values()}
        for holder in self.holders:
            holder.kill()
            holder.wait()
        for namespace in self.namespaces.values():
            os.close(namespace)
        left = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{name}/ns/net").st_ino in numbers:
                    left.append(name)
            except OSError:
                pass  # it has ended
        return left
