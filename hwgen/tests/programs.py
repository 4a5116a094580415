"""Random score programs and what a datapath makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.numerics import Numerics
from golden.scoremod import Argument, Builder, Format, Program, ProgramError, evaluate
from golden.scoremod.functions import FUNCTION_FRAC
from hwgen.scoremod.lower import Datapath
from hwgen.tests.bench import run

INPUTS = ("score", "bias", "hidden", "b", "h", "q", "kv")
NUMERICS = Numerics()


def codes_in(rng: np.random.Generator, format: Format, count: int) -> NDArray[np.int64]:
    """Any codes of a format: half of them anywhere, a quarter small, the others at its ends."""
    codes = rng.integers(format.low, format.high, count, endpoint=True)
    small = np.clip(rng.integers(-3, 4, count), format.low, format.high)
    ends = rng.choice([format.low, format.high], count)
    return np.choose(rng.choice(4, count), [codes, codes, small, ends]).astype(np.int64)


def random_inputs(rng: np.random.Generator, program: Program, count: int) -> dict[str, NDArray[np.int64]]:
    return {n.name: codes_in(rng, n.format, count) for n in program.nodes if n.op == "input"}


def random_arguments(rng: np.random.Generator, program: Program) -> dict[str, NDArray[np.int64]]:
    return {a.name: codes_in(rng, a.format, a.size) for a in program.arguments}


class RandomProgram:
    """Grows a graph by random operations on random nodes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = Builder(NUMERICS)
        self.count = 0

    def pick(self, wanted: Callable[[Format], bool], otherwise: str) -> int:
        """A node, rather a late one; an input if none will do."""
        found = [i for i in range(len(self.builder.nodes)) if wanted(self.builder.format(i))]
        if not found:
            return self.builder.input(otherwise)
        return int(found[-1 - min(int(self.rng.geometric(0.25)) - 1, len(found) - 1)])

    def number(self, bits: int = 40) -> int:
        return self.pick(lambda f: not f.boolean and f.width <= bits, "score")

    def natural(self) -> int:
        return self.pick(lambda f: f.low >= 0 and f.frac == 0 and f.width <= 40, "q")

    def condition(self) -> int:
        return self.pick(lambda f: f.boolean, "hidden")

    def argument(self, size: int) -> Argument:
        self.count += 1
        low, high = sorted(int(x) for x in self.rng.integers(-(2 ** int(self.rng.integers(1, 31))), 2**30, 2))
        frac = int(self.rng.integers(0, 9))
        return Argument(f"a{self.count}", size, low, high, frac, table=size > 1)

    def leaf(self) -> int:
        builder, rng = self.builder, self.rng
        kind = rng.integers(6)
        if kind == 0:
            return builder.constant(int(rng.integers(-100_000, 100_000)), int(rng.integers(0, 9)))
        if kind == 1:
            return builder.parameter(self.argument(1))
        if kind == 2:
            return builder.table(self.argument(int(rng.choice([1, 2, 3, 8, 13]))), self.number())
        return builder.input(str(rng.choice(INPUTS)))

    def step(self) -> int:
        builder, rng = self.builder, self.rng
        bits = int(rng.integers(1, 30))
        number, natural, condition = self.number, self.natural, self.condition
        makers: list[Callable[[], int]] = [
            *([self.leaf] * 3),
            lambda: builder.table(self.argument(int(rng.choice([2, 5, 16]))), self.natural()),
            lambda: builder.add(number(), number()),
            lambda: builder.subtract(number(), number()),
            lambda: builder.negate(number()),
            lambda: builder.absolute(number()),
            lambda: builder.minimum(number(), number()),
            lambda: builder.maximum(number(), number()),
            *([lambda: builder.multiply(number(36), number(30))] * 2),
            lambda: builder.multiply(number(), builder.constant(1 << int(rng.integers(9)), int(rng.integers(9)))),
            lambda: builder.quantise(number(), int(rng.integers(0, 15))),
            lambda: builder.clamp(number(), -int(rng.integers(1 << bits)), int(rng.integers(1 << bits))),
            lambda: builder.left(number(), bits // 3),
            lambda: builder.right(number(), bits // 2),
            lambda: builder.low(number(), bits),
            lambda: builder.less(number(), number()),
            lambda: builder.less_equal(number(), number()),
            lambda: builder.equal(number(8), number(8)),
            lambda: builder.both(condition(), condition()),
            lambda: builder.either(condition(), condition()),
            lambda: builder.differ(condition(), condition()),
            lambda: builder.both(natural(), natural()),
            lambda: builder.either(natural(), natural()),
            lambda: builder.differ(natural(), natural()),
            lambda: builder.invert(condition()),
            lambda: builder.select(condition(), number(), number()),
            lambda: builder.select(condition(), condition(), condition()),
            lambda: builder.tanh(number()),
            lambda: builder.exp2(builder.clamp(builder.quantise(number(), FUNCTION_FRAC), -(1 << 31), 1 << 25), bits),
        ]
        return makers[int(rng.integers(len(makers)))]()

    def program(self, steps: int) -> Program:
        """With numbers and a condition among its outputs."""
        for _ in range(steps):
            try:
                self.step()
            except (ProgramError, ValueError):
                continue
        numbers = [self.builder.input("score"), self.builder.input("kv")]
        numbers += [i for i in range(len(self.builder.nodes)) if not self.builder.format(i).boolean]
        wanted = {
            "keep_factor": numbers[-1],
            "keep_shift": numbers[-2],
            "seen": self.condition(),
            "keep": self.natural(),
        }
        return self.builder.program(wanted)


def stream(
    program: Program,
    inputs: Mapping[str, NDArray[np.int64]],
    arguments: Mapping[str, NDArray[np.int64]] | None = None,
    arrivals: Mapping[str, int] | None = None,
    places: Mapping[str, int] | None = None,
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Outputs of a datapath that gets one set of inputs a cycle, each exactly `latency` cycles behind its set; and the
    latency. An input is given one cycle only."""
    arrivals, arguments = dict(arrivals or {}), dict(arguments or {})
    dut: Any = Datapath(program, tuple(arrivals.items()), tuple((places or {}).items()))
    offsets = {a.name: program.argument_offset(a.name) for a in program.arguments} | dict(places or {})
    count = max([len(codes) for codes in inputs.values()], default=1)
    outputs: dict[str, list[int]] = {name: [] for name, _ in program.outputs}

    async def drive(ctx: Any) -> None:
        for name, codes in arguments.items():
            for k, code in enumerate(codes):
                ctx.set(dut.argument, {"valid": 1, "address": offsets[name] + k, "data": int(code)})
                await ctx.tick()
        # What is not valid is not written.
        ctx.set(dut.argument, {"valid": 0, "address": min(offsets.values(), default=0), "data": -7})
        await ctx.tick().repeat(dut.schedule.settling)
        for cycle in range(count + dut.latency):
            for name, codes in inputs.items():
                at = cycle - arrivals.get(name, 0)
                ctx.set(dut.inputs[name], int(codes[at]) if 0 <= at < count else 0)
            if cycle >= dut.latency:
                for name in outputs:
                    outputs[name].append(int(ctx.get(dut.outputs[name])))
            await ctx.tick()

    run(dut, drive)
    return {name: np.array(values, dtype=np.int64) for name, values in outputs.items()}, dut.latency


def assert_equal(
    program: Program,
    inputs: Mapping[str, NDArray[np.int64]],
    arguments: Mapping[str, NDArray[np.int64]] | None = None,
    **options: Any,
) -> int:
    """The datapath gives what `evaluate` gives, bit for bit; gives its latency."""
    got, latency = stream(program, inputs, arguments, **options)
    for name, codes in evaluate(program, inputs, arguments).items():
        np.testing.assert_array_equal(got[name], np.broadcast_to(codes, got[name].shape), name)
    return latency
