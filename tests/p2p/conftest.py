# SPDX-License-Identifier: Apache-2.0
"""What the tests of real networks share: each has one of its own."""
import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from network import Network  # noqa: E402


def needs(*programs):
    """A test that is left out where a program is missing, and says which."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [name for name in programs if not shutil.which(name, path=path)]
    return pytest.mark.skipif(bool(missing), reason="not installed: " + ", ".join(missing))


@pytest.fixture
def network(tmp_path):
    made = Network(tmp_path)
    yield made
    made.stop()
