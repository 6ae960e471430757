# SPDX-License-Identifier: Apache-2.0
"""build/bin/bench-sensors as a test or a bench runs it: what it tells, line by line."""
import json
import os
import subprocess
import threading
import time

from programs import program


class Many:
    def __init__(self, address, *options):
        self.told, self.said = [], ""
        self.process = subprocess.Popen([program("bench-sensors"), "--collector", address, *map(str, options)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=each, daemon=True) for each in (self._read, self._listen)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.told.append(json.loads(line))

    def _listen(self):
        self.said = self.process.stderr.read()

    def all(self, key):
        return [one for one in list(self.told) if key in one]

    def wait(self, key, count=1, seconds=30):
        """The count-th line that has this key."""
        deadline = time.monotonic() + seconds
        while len(self.all(key)) < count:
            assert self.process.poll() is None or len(self.all(key)) >= count, f"it ended with {self.process.returncode}: {self.said} {self.told}"
            assert time.monotonic() < deadline, f"no {key} in {seconds} s: {self.told}"
            time.sleep(0.01)
        return self.all(key)[count - 1]

    def cut(self):
        self.process.send_signal(10)  # SIGUSR1

    def end(self, seconds=60):
        """Its exit status; the last line is its counters."""
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self.readers:
            reader.join(5)

    @property
    def counters(self):
        return self.all("greeted")[-1]

    @property
    def phases(self):
        return self.all("phase")


def memory_kib(pid, name="VmHWM"):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
