#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""demo.py answers SOCKET    exit 0 if a container runtime answers there within a second
demo.py run SOCKET        a demo pod that does ordinary and suspicious things until SIGTERM, then is removed
"""
import os
import signal
import stat
import sys
import threading

if __name__ == "__main__" and not (len(sys.argv) == 3 and sys.argv[1] in ("answers", "run")):
    sys.exit(__doc__.strip())

import grpc
from cri_client import Runtime

# What each round does, one after another, with a pause between; as a person in the container would type it. Programs are
# called by absolute path: busybox's shell runs many of its applets without an exec. Addresses are those of documentation.
ORDINARY = [
    "/bin/wget -q -O /dev/null http://{shop}:8080/",
    "/bin/cat /etc/hostname /etc/passwd > /dev/null",
    "/bin/date > /tmp/last-order; /bin/cat /tmp/last-order > /dev/null",
    "/usr/bin/script restock > /dev/null",
    "/bin/cat /srv/www/price-list",  # is not there
]
SUSPICIOUS = [
    "/bin/cp /bin/busybox /tmp/busybox.x && /tmp/busybox.x sh -c : ; /bin/rm -f /tmp/busybox.x",
    "/bin/cat /etc/shadow > /dev/null",
    "/bin/timeout 2 /bin/nc -w 1 192.0.2.1 6881 < /dev/null",
    "for n in 7 21 84 133 201; do /bin/timeout 1 /bin/tftp -g -r x -l /dev/null 198.51.100.$n 6881; done",
    "/bin/timeout 2 /bin/nc -l -p 4444 < /dev/null",
]
PAUSE_S = 1.5


def answers(path):
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return f"{path} is no socket"
        Runtime(path).call("Version", wait=1)
    except (OSError, grpc.RpcError) as error:
        return f"{path}: {error.details() if isinstance(error, grpc.RpcError) else error.strerror}"
    return 0


def run(path):
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    runtime = Runtime(path)
    with runtime.pod("web", "shop", labels={"app": "web", "app.kubernetes.io/part-of": "shop"}) as pod:
        pod.run("httpd", "/bin/httpd", "-f", "-p", "8080", "-h", "/srv/www")
        container = pod.run("main", "/bin/sleep", "1000000")
        address = pod.ip
        while not stopped.is_set():
            for ordinary, suspicious in zip(ORDINARY, SUSPICIOUS):
                for command in (ordinary, suspicious):
                    if not stopped.wait(PAUSE_S):
                        container.execute("/bin/sh", "-c", command.format(shop=address))
    return 0


if __name__ == "__main__":
    try:
        sys.exit({"answers": answers, "run": run}[sys.argv[1]](sys.argv[2]))
    except grpc.RpcError as error:
        sys.exit(f"demo.py: {sys.argv[2]}: {error.details()}")
