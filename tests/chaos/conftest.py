# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost in silence, whatever goes wrong: a real sensor and real collectors in a network and on disks that fail.

TAFFRAIL_CHAOS_SECONDS: how long all goes wrong at random (20). TAFFRAIL_CHAOS_SEED: what goes wrong when, as a failure has printed it.
"""
import os
import secrets
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lab import Lab  # noqa: E402
from peers import Papers  # noqa: E402
from programs import ROOT  # noqa: E402
from wire import ADDRESS, helper, own_mounts  # noqa: E402

SEED = int(os.environ.get("TAFFRAIL_CHAOS_SEED", secrets.randbelow(1 << 32)))
SECONDS = int(os.environ.get("TAFFRAIL_CHAOS_SECONDS", 20))


def pytest_report_header():
    return f"TAFFRAIL_CHAOS_SEED={SEED} TAFFRAIL_CHAOS_SECONDS={SECONDS}"


@pytest.fixture(scope="session", autouse=True)
def helpers():
    """The workload and the disk, where `make` has not built them."""
    for name in ("chaos-work", "chaos-disk"):
        if not os.path.exists(helper(name)):
            subprocess.run(["make", "-s", "-C", ROOT, os.path.relpath(helper(name), ROOT)], check=True)
    own_mounts()


@pytest.fixture(scope="session")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("ca"), "--collector", ADDRESS["collector"])


@pytest.fixture
def lab(request, tmp_path, papers):
    """Makes the one lab of a test, which leaves nothing behind; what happened is in build/test."""
    made = []

    def make(**more):
        made.append(Lab(tmp_path, papers, SEED, **more))
        return made[0]

    yield make
    for one in made:
        left = one.remove()
        logs = os.path.join(os.environ.get("TAFFRAIL_BUILD", os.path.join(ROOT, "build")), "test")
        os.makedirs(logs, exist_ok=True)
        name = request.node.name.replace("/", "-").replace(" ", "-")
        with open(os.path.join(logs, f"chaos-{name}.log"), "w", encoding="utf-8", errors="replace") as log:
            log.write(one.story() + "\n")
        assert left == []
