# SPDX-License-Identifier: Apache-2.0
"""--check beside a real runtime."""
import json

from conftest import WANTED
from programs import run


def test_check_tells_the_runtime_and_its_version(runtime, socket_path):
    done = run("taffrail-sensor", "--check", "--json", "--cri", socket_path, timeout=60)
    assert done.returncode == 0, done.stderr
    [told] = json.loads(done.stdout)["runtimes"]
    assert told["socket"] == socket_path and told["name"] == "containerd" and told["state"] == "ready"
    version = told["version"].lstrip("v")
    assert version[0].isdigit() and f"{version}.".startswith(f"{WANTED}." if WANTED else ""), version
    people = run("taffrail-sensor", "--check", "--cri", socket_path, timeout=60)
    assert f"  ready       {socket_path} containerd {told['version']}\n" in people.stdout
