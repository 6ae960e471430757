# SPDX-License-Identifier: Apache-2.0
"""A disk that can be full, and can fail: a tmpfs, seen through chaos-disk (disk.c)."""
import os
import subprocess
import time

from wire import bound, helper

ROOM = "2g"  # what is there when it is not full: others' containers fill it, too
# As disk.c has them.
FAILURES = {"writes fail": b"w", "writes are torn": b"t", "syncs fail": b"s", "read-only": b"r", "all fails": b"a"}


class Disk:
    def __init__(self, folder, name):
        self.path, self.behind = os.path.join(folder, name), os.path.join(folder, f"{name}.tmpfs")
        self.switch = os.path.join(folder, f"{name}.switch")
        self.bad_until = 0.0
        for made in (self.path, self.behind):
            os.mkdir(made)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0700", "none", self.behind], check=True)
        with open(self.switch, "wb") as switch:
            switch.write(b"-")
        shown = os.path.join(self.behind, "disk")
        os.mkdir(shown, 0o700)
        self.process = subprocess.Popen([helper("chaos-disk"), self.switch, shown, self.path], stdin=subprocess.DEVNULL, preexec_fn=bound())
        deadline = time.monotonic() + 10
        while not os.path.ismount(self.path):
            assert time.monotonic() < deadline and self.process.poll() is None, f"{self.path} was not mounted"
            time.sleep(0.01)

    def fail(self, how):
        self.bad_until = float("inf")
        with open(self.switch, "r+b") as switch:
            switch.write(FAILURES[how])

    def fill(self):
        """As large as what is on it, and no larger."""
        self.bad_until = float("inf")
        for _ in range(100):
            disk = os.statvfs(self.behind)
            used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            if subprocess.run(["mount", "-o", f"remount,size={max(used, disk.f_frsize)}", self.behind], check=False, stderr=subprocess.DEVNULL).returncode == 0:
                return
        raise AssertionError(f"{self.behind} grows all the time")

    def is_bad(self):
        """Something is wrong with it, or was a moment ago."""
        return time.monotonic() < self.bad_until

    def is_felt(self):
        """Does a write that is synced fail here?"""
        name = os.path.join(self.path, "probe")
        try:
            with open(name, "wb", buffering=0) as probe:
                probe.write(bytes(8192))
                os.fsync(probe.fileno())
            os.unlink(name)
            return False
        except OSError:
            return True

    def mend(self):
        self.bad_until = time.monotonic() + 2
        subprocess.run(["mount", "-o", f"remount,size={ROOM}", self.behind], check=True)
        with open(self.switch, "r+b") as switch:
            switch.write(b"-")
        if os.path.exists(os.path.join(self.path, "probe")):
            os.unlink(os.path.join(self.path, "probe"))

    def remove(self):
        for mount in (self.path, self.behind):
            subprocess.run(["umount", "-l", mount], check=False)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
