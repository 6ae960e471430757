#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""http.py [PAIRS [SECONDS]]: requests a second of wrk to nginx, two containers with a veth between them, with sampling and without.

Both are in cgroups named like containers' and in network namespaces of their own. Runs follow one another in pairs, the
order changing from pair to pair; a figure is the median, and the ratio that of the pairs' ratios. `keep` is one connection
for all requests, `close` a new one for each: there each flow is sampled. Needs wrk and nginx-light; as root.
"""
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import lab

KINDS = {"keep": [], "close": ["-H", "Connection: close"]}
NGINX = """worker_processes 1; daemon off; pid {0}/pid; error_log {0}/errors; events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
scgi_temp_path {0}/s; keepalive_requests 100000000;
server {{ listen 198.18.77.1:8080; location / {{ return 200 "{1}"; }} }} }}
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def network():
    """Two namespaces, 198.18.77.1 and .2: outside, so that what goes between them is sampled. Gone afterwards."""
    names = [f"taffrail-http-{os.getpid()}-{number}" for number in (1, 2)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "veth1", "netns", names[0], "type", "veth", "peer", "name", "veth2", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"198.18.77.{number}/24", "dev", f"veth{number}")
            ip("-n", name, "link", "set", f"veth{number}", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)


def inside(procs, name, *command, **more):
    """The command, in the cgroup and the namespace."""
    script = f'echo $$ >{procs} && exec ip netns exec {name} "$@"'
    return subprocess.Popen(["/bin/sh", "-c", script, "sh", *command], **more)


def throughput(procs, name, seconds, words):
    wrk = inside(procs, name, "wrk", "-t1", "-c16", f"-d{seconds}", *words, "http://198.18.77.1:8080/", stdout=subprocess.PIPE, text=True)
    output = wrk.communicate()[0]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def main():
    pairs, seconds = (int(word) for word in (sys.argv[1:] + ["6", "3"][len(sys.argv) - 1:])[:2])
    folder = tempfile.mkdtemp(prefix="taffrail-http-")
    sampled, plain = ["--set", "samples.take=true"], ["--set", "samples.take=false"]
    ways = {"sampling": sampled, "no sampling": plain, "no sensor": None}
    results = {(kind, way): [] for kind in KINDS for way in ways}
    with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as config:
        config.write(NGINX.format(folder, "x" * 512))
    try:
        with lab.containers(2) as (server, client), network() as names:
            nginx = inside(server, names[0], "nginx", "-c", config.name, stderr=subprocess.DEVNULL)
            time.sleep(1)
            try:
                for number in range(pairs):
                    for way in sorted(ways, reverse=number % 2):
                        sensor = lab.running("taffrail-sensor", "--stdout", "--no-rules", *ways[way]) if ways[way] else contextlib.nullcontext()
                        with sensor:
                            for kind, words in KINDS.items():
                                lab.progress(f"pair {number + 1} of {pairs}: {way}, {kind}")
                                results[kind, way].append(throughput(client, names[1], seconds, words))
            finally:
                nginx.terminate()
                nginx.wait()
    finally:
        shutil.rmtree(folder)
    lab.progress("")
    for kind in KINDS:
        for way in ways:
            ratio = statistics.median(a / b for a, b in zip(results[kind, way], results[kind, "no sampling"]))
            print(f"{kind:6} {way:12} {statistics.median(results[kind, way]):9.0f} requests/s  {ratio:6.3f} of no sampling")


main()
