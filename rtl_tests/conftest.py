"""Settings of all tests of emitted Verilog."""

from __future__ import annotations

import os

from hwgen.sim.system import SHORT_BUILDS

# What is simulated here is small: compiling it for speed would take longer than it saves.
os.environ.setdefault(SHORT_BUILDS, "1")
