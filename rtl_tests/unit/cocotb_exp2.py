"""Runs in the simulator: an octave of scores on both sides of zero, and the ends of the range."""

import os

import cocotb
import numpy as np

from golden.bitexact.exp2 import exp2_fraction
from hwgen.softmax.exp2 import Exp2
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import clocked, signed
from rtl_tests.harness.streams import start


@cocotb.test()
async def weights_of_every_fraction(dut) -> None:
    n = params(os.environ["CORE"]).numerics
    one = 1 << n.score_frac
    x = np.concatenate([np.arange(-one, one), [n.score_max, -n.score_max, n.score_max - 1, 1 - n.score_max]])
    await start(dut)
    mask = (1 << n.score_bits) - 1
    seen = await clocked(dut, [{"x": int(value) & mask} for value in x], ["ceiling", "y"], Exp2.LATENCY)
    ceiling = -(-x >> n.score_frac)
    bits = n.score_bits - n.score_frac + 1
    got = [signed(c, bits) for c, _ in seen[Exp2.CEILING_LATENCY :]]
    assert got[: len(x)] == ceiling.tolist()
    y = exp2_fraction((ceiling << n.score_frac) - x, n)
    assert [weight for _, weight in seen[Exp2.LATENCY :]] == y.tolist()
    # As many weights as there are fractions whose weights differ: nothing was stuck.
    assert len({weight for _, weight in seen[Exp2.LATENCY :]}) == len(set(y.tolist())) > one // 2
