# SPDX-License-Identifier: Apache-2.0
"""What deploy/ holds, by the tools that will read it: nothing of it runs here."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
