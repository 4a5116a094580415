"""The accelerators that are fuzzed: few, so that simulators are built seldom, and each unlike the others."""

from __future__ import annotations

from functools import cache

from hwgen.params import Params
from hwgen.sim.system import SystemBuild, build_system
from rtl_tests.harness.configurations import BASE, CHANGES, accelerator
from rtl_tests.harness.runs import MEMORY_BITS
from rtl_tests.harness.score_machines import MACHINES as SCORE_MACHINES
from rtl_tests.harness.score_machines import machine

NARROW = CHANGES["narrow_operands"] | CHANGES["five_slots_three_columns"] | {"bus_bits": 32, "out_format": "fp16"}

PLAIN = ("bus of 32", "bus of 64", "bus of 512", "narrow")
SCORED = ("bounds", "prefix", "random", "documents")
"""With score programs: bounds on keys, sinks and dropout; softcap, slopes and a table; a bias and dropout; lists of
segments and a mask in memory."""

MACHINES = PLAIN + SCORED
LIKELY = (*MACHINES, "documents")
"""Machines to draw from: the one that reads most kinds of things comes more often."""


@cache
def params(name: str) -> Params:
    """The parameters of a machine."""
    if name in SCORE_MACHINES:
        return machine(name)
    return Params(BASE.replace(NARROW)) if name == "narrow" else accelerator(name)


def build(name: str, fast: bool | None = True) -> SystemBuild:
    """Its simulator, which other tests build too unless it is compiled for speed."""
    return build_system(params(name), memory_bits=MEMORY_BITS, fast=fast)
