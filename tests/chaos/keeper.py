# SPDX-License-Identifier: Apache-2.0
"""A program that is kept running, as a node's supervisor would keep it: killed, stopped, ended, started anew, each life noted."""
import signal
import time

from programs import Running
from wire import bound

AGAIN = 0.2  # seconds until a program that ended is started again

LINES = 15  # of a life's log that are shown, from its beginning and its end


class Life:
    def __init__(self, running):
        self.running, self.started = running, time.time()
        self.ready = self.ended = self.told = None  # times, and the signal that it was ended with

    @property
    def runs(self):
        return self.running.process.returncode is None


class Keeper:
    """`excused` says whether the program may give up now (exit code 1), for want of its disk."""

    def __init__(self, name, namespace, arguments, note, excused=lambda: False):
        self.name, self.namespace, self.arguments, self.note, self.excused = name, namespace, arguments, note, excused
        self.lives, self.wrong, self.wanted, self.due = [], [], False, 0.0

    @property
    def life(self):
        return self.lives[-1] if self.lives else None

    def tick(self):
        """Looks after it; called again and again."""
        life = self.life
        if life and life.ended is None and life.ready is None and any(line.startswith(f"{self.name}: ready") for line in life.running.log):
            life.ready = time.time()
        if life and life.runs and life.running.process.poll() is not None:
            self._ended(life)
        if self.wanted and not (life and life.runs) and time.time() >= self.due:
            self.note(f"{self.name}: start")
            self.lives.append(Life(Running(self.name, *self.arguments, preexec_fn=bound(self.namespace))))

    def _ended(self, life):
        status = life.running.process.returncode
        self.due = time.time() + AGAIN
        self.note(f"{self.name}: ended with {status}")
        if life.ended is None:
            life.ended = life.started  # it was not told to: when it stopped working is not known
            allowed = [1] if self.excused() else []
        elif life.told == signal.SIGTERM:
            allowed = [0] if life.ready else [0, -signal.SIGTERM]
        else:
            allowed = [-life.told]
        if status not in allowed:
            self.wrong.append(f"{self.name} ended with {status}, life {len(self.lives)}")

    def _tell(self, number):
        life = self.life
        if life and life.runs and life.ended is None:
            life.ended, life.told = time.time(), number
            life.running.process.send_signal(number)

    def kill(self):
        self.wanted = False
        self._tell(signal.SIGKILL)

    def term(self):
        self.wanted = False
        self._tell(signal.SIGTERM)

    def stop(self):
        if self.life and self.life.runs:
            self.life.running.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        if self.life and self.life.runs:
            self.life.running.process.send_signal(signal.SIGCONT)

    def up(self):
        return bool(self.life and self.life.runs and self.life.ready and self.life.ended is None)

    def times(self):
        """When it was there for sure: from ready until it was ended."""
        return [(life.ready, life.ended or time.time()) for life in self.lives if life.ready]

    def log(self):
        lines = []
        for number, life in enumerate(self.lives):
            said = life.running.log
            lines += [f"--- {self.name}, life {number + 1}, process {life.running.process.pid}", *said[:LINES]]
            lines += [f"... {len(said) - 2 * LINES} lines ...", *said[-LINES:]] if len(said) > 2 * LINES else said[LINES:]
        return lines

    def remove(self):
        for life in self.lives:
            life.running.kill()
            for reader in life.running.readers:
                reader.join(2)


