"""The exponent unit is its specification; accumulators never overflow."""

from dataclasses import replace
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Mux, Signal, Value, signed, unsigned
from amaranth.sim import Simulator

from golden.bitexact.exp2 import exp2_fraction
from hwgen.array.score_pe import ScorePE
from hwgen.array.value_pe import ValuePE
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.softmax.exp2 import Exp2
from hwgen.softmax.fold_sum import FoldSum
from hwgen.softmax.lane import SoftmaxLane
from rtl_tests.formal.bench import Bench
from rtl_tests.formal.proof import Breakage, Method, Proof

DEFAULTS = Params(preset("sim"))
NARROW = Params(
    replace(
        preset("tiny"), operand_bits=5, weight_bits=6, score_frac=6, scale_bits=4, exp_segments=4, accumulator_bits=29
    )
)
"""Products of 5 and 6 bits, whose two lowest ones are dropped; 2^20 keys, as always."""


def ceiling() -> Bench:
    """`ceiling` for all scores, and that `y` hears of a score by its negated fraction only."""
    n = DEFAULTS.numerics
    bench, part = Bench(), Exp2(DEFAULTS)
    opened = bench.place(part)
    score = bench.past(part.x)
    whole, some, earlier = opened.inner("whole"), opened.inner("some"), bench.past(score)
    above = part.ceiling.shift_left(n.score_frac) - earlier
    bench.check(~bench.begun | ((whole == score >> n.score_frac) & (some == score[: n.score_frac].any())))
    bench.check(~bench.past(bench.begun) | ((above >= 0) & (above < 1 << n.score_frac)))
    bench.check(~bench.begun | (opened.inner("below") == (-score)[: n.score_frac]))
    return bench


def every_fraction() -> tuple[int, int]:
    """How many fractions there are, one a cycle, and for how many of them `y` is not the specification's."""
    n, part = DEFAULTS.numerics, Exp2(DEFAULTS)
    fractions = np.arange(1 << n.score_frac)
    # Between -1 and 0, so that the fraction is what is missing to the ceiling.
    expected = exp2_fraction(fractions, n).tolist()
    found: list[int] = []

    async def feed(ctx: Any) -> None:
        for fraction in fractions.tolist():
            ctx.set(part.x, -fraction)
            await ctx.tick()
            found.append(ctx.get(part.y))
        for _ in range(Exp2.LATENCY - 1):
            await ctx.tick()
            found.append(ctx.get(part.y))

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.run()
    found = found[Exp2.LATENCY - 1 :]
    return len(expected), sum(a != b for a, b in zip(found, expected, strict=True))


def bounded(value: Any, keys: Any, terms: int) -> Any:
    """What `keys` terms of -2^terms .. 2^terms - 1 add up to, at most."""
    most = Value.cast(keys).shift_left(terms)
    return (value >= -most) & (value <= most - keys)


def value_cell() -> Bench:
    """One accumulator, whichever, over up to 2^20 keys, visited at least LOOP cycles apart."""
    params = NARROW
    n, bench, part = params.numerics, Bench(), ValuePE(NARROW)
    opened = bench.place(part)
    m = bench.m
    # Converted elements are symmetric.
    least = -(1 << (n.operand_bits - 1)) + 1
    bench.assume(part.v_in >= least)
    for name in ("v", "v_operand"):
        bench.check(opened.inner(name) >= least)
    terms = n.weight_bits + n.operand_bits - 1 - n.drop
    tags, shifted, product = (opened.inner(name) for name in ("tags", "shifted", "product"))
    for each in product:
        bench.check((each <= ((1 << n.weight_bits) - 1) * -least) & (each >= ((1 << n.weight_bits) - 1) * least))
    address = bench.constant(len(Cat(part.tag_in.fold, part.tag_in.slot)), "address")

    def here(tag: Any) -> Any:
        return tag.valid & (Cat(tag.fold, tag.slot) == address)

    # From the accumulator's reading to its writing.
    coming, tags = tags[0], tags[1:]
    keys, visits = Signal(n.key_bits + 2), [here(tag) for tag in tags]
    bench.assume(~here(coming) | ~Cat(visits[:-1]).any())
    bench.check(sum(visits, start=Const(0)) <= 1)
    first = tags[-1].first
    before = Mux(first, 0, keys)
    with m.If(visits[-1]):
        m.d.sync += keys.eq(before + 1)
    bench.assume(~visits[-1] | (before < 1 << n.key_bits))
    bench.check(keys <= 1 << n.key_bits)
    bench.check(bounded(opened.stored("accumulators", address).as_signed(), keys, terms))
    for visit, tag, moved in zip(visits[1:], tags[1:], shifted, strict=True):
        bench.check(~visit | bounded(moved, Mux(tag.first, 0, keys), terms))
    # The sum as it is, and as the accumulator has it.
    old, last = shifted[2], opened.inner("last")
    exact = product[-1][n.drop :].as_signed() + Mux(last, old >> 1, old)
    bench.check(~visits[-1] | (opened.inner("total") == exact))
    return bench


def denominator() -> Bench:
    """RD of one query, whichever, over up to 2^20 keys, visited at least LOOP cycles apart; whatever the references."""
    n, bench, part = NARROW.numerics, Bench(), SoftmaxLane(NARROW)
    opened = bench.place(part)
    tags, fresh, last = opened.inner("tags"), opened.inner("stages")["fresh"], part._latency
    address = bench.constant(part._state_bits, "address")
    visits = [tags[i].valid & (Cat(tags[i].column, tags[i].visit.slot) == address) for i in range(last - 3, last + 1)]
    bench.assume(sum(visits, start=Const(0)) <= 1)
    keys, most = Signal(n.key_bits + 2), (1 << n.weight_bits) - 1
    before = Mux(fresh[last], 0, keys)
    with bench.m.If(visits[-1]):
        bench.m.d.sync += keys.eq(before + 1)
    bench.assume(~visits[-1] | (before < 1 << n.key_bits))
    bench.check(keys <= 1 << n.key_bits)

    def held(value: Any, count: Any) -> Any:
        return value <= Value.cast(count).shift_left(n.weight_bits) - count

    bench.check(held(opened.stored("denominators", address), keys))
    # What is read for a fresh state is whatever the one before has left.
    bench.check(~visits[1] | held(opened.inner("held"), keys))
    for name, visit, stage in (("coarse", visits[2], last - 1), ("moved", visits[3], last)):
        bench.check(~visit | held(opened.inner(name), Mux(fresh[stage], 0, keys)))
    assert most.bit_length() == len(part.weight)
    bench.check(~visits[-1] | (opened.inner("total") == opened.inner("moved") + opened.inner("_sln")))
    return bench


def score_cell() -> Bench:
    """Row i of a column, whichever: from above come at most i products."""
    params = NARROW
    n, bench, part = params.numerics, Bench(), ScorePE(NARROW)
    opened = bench.place(part)
    most = (1 << (n.operand_bits - 1)) - 1
    square = most * most
    for value in (part.k_in, part.load_data):
        bench.assume(value >= -most)
    for operand in (*opened.inner("q_operand"), opened.inner("k"), *opened.inner("k_operand")):
        bench.check(operand >= -most)
    for i in range(params.q_depth):
        bench.check(opened.stored("operands", i).as_signed() >= -most)
    product, above = opened.inner("product"), opened.inner("above")
    bench.check((product <= square) & (product >= -square))
    row = bench.constant(range(params.config.rows_e), "row")
    bench.assume(row < params.config.rows_e)
    from_above = Signal(unsigned(24))
    bench.m.d.comb += from_above.eq(row * square)
    bench.assume((part.sum_in <= from_above) & (part.sum_in >= -from_above))
    bench.check((above <= from_above) & (above >= -from_above))
    bench.check(part.sum_out == above + product)
    return bench


def folds() -> Bench:
    """Folds of a score: never more than there are, each of at most rows_e products."""
    params = NARROW
    n, bench, part = params.numerics, Bench(), FoldSum(NARROW)
    opened = bench.place(part)
    most = (((1 << (n.operand_bits - 1)) - 1) ** 2) * params.config.rows_e
    bench.assume((part.sum <= most) & (part.sum >= -most))
    done = Signal(range(params.folds_e + 2))
    before = Mux(part.first_fold, 0, done)
    bench.m.d.sync += done.eq(before + 1)
    bench.assume(before < params.folds_e)
    total = opened.inner("total")
    bench.check(done <= params.folds_e)
    bench.check((total <= done * most) & (total >= -(done * most)))
    exact = Signal(signed(40))
    bench.m.d.comb += exact.eq(part.sum + Mux(part.first_fold, 0, total))
    bench.check(~bench.begun | (part.qk == bench.past(exact)))
    return bench


PROOFS = (
    Proof(
        "exponent_ceiling",
        "Exp2(sim)",
        "`ceiling` is right for all 2^26 scores; of a score `y` hears the fraction only",
        ceiling,
    ),
    Proof(
        "exponent",
        "Exp2(sim)",
        "`y` is the specification's for every one of the 2^14 fractions",
        every=every_fraction,
        method=Method.EXHAUSTIVE,
        breakages=(Breakage(Exp2, "slope.eq(Array(Const(chord.slope,", "slope.eq(Array(Const(chord.slope - 1,"),),
    ),
    Proof(
        "value_accumulator",
        "ValuePE(5 x 6 bits, 29 bits)",
        "the accumulator never overflows, over up to 2^20 keys with any weights, values and shifts",
        value_cell,
        depth=6,
        breakages=(Breakage(ValuePE, "product[-1][self._params.numerics.drop :]", "product[-1]"),),
        broken_depth=8,
    ),
    Proof(
        "denominator",
        "SoftmaxLane(6 bits)",
        "RD never overflows, over up to 2^20 keys with any weights and references",
        denominator,
        breakages=(Breakage(SoftmaxLane, 'Mux(stages["fresh"][at + 1], 0, held', "Mux(0, 0, held"),),
        broken_depth=20,
    ),
    Proof("score_sum", "ScorePE(5 bits, 4 rows)", "partial sums never overflow, in any row", score_cell),
    Proof("fold_sum", "FoldSum(5 bits, 2 folds)", "sums over the folds of a head never overflow", folds),
)
