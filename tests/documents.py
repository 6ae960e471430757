# SPDX-License-Identifier: Apache-2.0
"""The documents that a sensor writes, found by container and content."""
import json
import os
import time


def get(document, path):
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


class Lines:
    """The lines of a file that grows, as Documents wants them."""

    def __init__(self, path):
        self.path, self.lines = path, []

    def wait_for(self, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not (value := what()):
            assert time.monotonic() < deadline, self.lines[-3:]
            time.sleep(0.05)
            self.read()
        return value

    def read(self):
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.lines[:] = [line for line in file.read().splitlines() if line.endswith("}")]


class Documents:
    """What a sensor has written, by container; every line is parsed once."""

    def __init__(self, running, lines=None):
        self.running, self.lines = running, running.lines if lines is None else lines
        self.read, self.by_container = 0, {}

    def of(self, container, action=None, **where):
        """A container's documents, in order; fields are named with two underscores for a dot."""
        end = len(self.lines)
        for line in self.lines[self.read:end]:
            document = json.loads(line)
            self.by_container.setdefault(get(document, "container.id"), []).append(document)
        self.read = end
        found = self.by_container.get(container if isinstance(container, str) else container.id, [])
        return [document for document in found if action in (None, document["event"]["action"])
                and all(get(document, path.replace("__", ".")) == value for path, value in where.items())]

    def wait(self, container, action, count=1, seconds=10, **where):
        """Until there are so many, and a moment longer, so that one too many is seen too."""
        self.running.wait_for(lambda: len(self.of(container, action, **where)) >= count, seconds)
        time.sleep(0.3)
        found = self.of(container, action, **where)
        assert len(found) == count, f"{len(found)} documents of {action} {where}:\n" + "\n".join(map(json.dumps, found[:20]))
        return found

    def one(self, container, action, **where):
        return self.wait(container, action, **where)[0]

    def none(self, container, action, **where):
        found = self.of(container, action, **where)
        assert found == [], found[:20]
