# SPDX-License-Identifier: Apache-2.0
"""A shell whose lineage is known: for those who look whether it still is."""
import os

# Does what it is told by a pipe: an exec of a child, or its own; a child that does likewise, and the end.
WORKER = """\
exec 3<>"$2"
while read -r verb word <&3; do
	case $verb in
	run) /bin/true "$word" ;;
	leave) /bin/sh "$0" "$word" "$2.$word" & ;;
	end) exit 0 ;;
	become) exec /bin/sh "$0" "$word" "$2" ;;
	esac
done
"""


class Worker:
    """A shell that lives long, of a parent that has ended: the first process of its container."""

    def __init__(self, container, folder):
        self.pipe, self.script = str(folder / "pipe"), str(folder / "worker")
        os.mkfifo(self.pipe)
        with open(self.script, "w", encoding="ascii") as script:
            script.write(WORKER)
        self.write = os.open(self.pipe, os.O_RDWR)
        container.start("/bin/sh", "-c", '/bin/sh "$@" & exit 0', "first", self.script, "middle", self.pipe).wait()

    def do(self, verb, word):
        os.write(self.write, f"{verb} {word}\n".encode())

    def leave(self, word):
        """A child that does likewise: its pipe to write to."""
        os.mkfifo(f"{self.pipe}.{word}")
        write = os.open(f"{self.pipe}.{word}", os.O_RDWR)
        self.do("leave", word)
        return write


RULE = """\
- rule: worker
  desc: tells how the parent was called
  condition: evt.type in (execve, execveat) and proc.name = sh and proc.args contains worker
  output: "parent=%proc.pcmdline"
  priority: NOTICE
"""


def said(process):
    """What is known of it beyond itself."""
    return {key: process.get(key) for key in ("parent", "entry_leader")}
