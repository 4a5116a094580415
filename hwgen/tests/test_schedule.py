"""The schedule: nothing is used before it is there, and what waits is counted."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from golden.scoremod import Argument, Builder, Format, Program
from golden.scoremod.functions import FUNCTION_FRAC
from golden.scoremod.program import Node
from hwgen.emit import to_verilog
from hwgen.scoremod.lower import Datapath
from hwgen.scoremod.schedule import CYCLES, GATE_DEPTH, Graph, limbs, product_levels, schedule
from hwgen.tests.programs import NUMERICS, RandomProgram


def build(make: Callable[[Builder], dict[str, int]]) -> Program:
    builder = Builder(NUMERICS)
    return builder.program(make(builder))


@pytest.mark.parametrize("seed", range(30))
def test_order(seed: int) -> None:
    """Operands are there before they are used, inputs not before they arrive, outputs at the latency."""
    program = RandomProgram(seed).program(80)
    arrivals = tuple((name, 3 * k) for k, name in enumerate(program.inputs))
    found = schedule(program, arrivals)
    graph = found.graph
    for i, node in enumerate(program.nodes):
        assert found.valid[i] == (0 if graph.static[i] else found.start[i] + graph.cycles(i))
        if node.op == "input":
            assert found.valid[i] == dict(arrivals)[node.name]
        for a in node.args:
            assert graph.static[i] or found.valid[a] <= found.start[i]
    assert all(found.valid[i] <= found.latency for _, i in program.outputs)
    assert all(min(wanted, default=0) >= 0 for wanted in found.demands)
    assert found == schedule(RandomProgram(seed).program(80), arrivals)


def test_latency_of_a_chain_is_the_sum() -> None:
    """score * slope (two limbs) + q, clamped: 2 + 1 + 1."""
    slope = Argument("slope", 1, -1000, 1000)

    def make(b: Builder) -> dict[str, int]:
        product = b.multiply(b.input("score"), b.parameter(slope))
        return {"keep_factor": b.clamp(b.add(product, b.input("q")), -100, 100)}

    program = build(make)
    assert schedule(program).latency == 4
    # q may come later without delaying anything, but no later than that.
    assert schedule(program, (("q", 2),)).latency == 4
    assert schedule(program, (("q", 3),)).latency == 5
    assert schedule(program, (("score", 7),)).latency == 11


def test_unknown_arrival() -> None:
    with pytest.raises(KeyError, match="kv"):
        schedule(build(lambda b: {"score": b.input("score")}), (("kv", 1),))


def test_wires_take_no_time() -> None:
    program = build(lambda b: {"keep_factor": b.low(b.right(b.left(b.input("q"), 3), 5), 9)})
    found = schedule(program)
    # One register for the output, and only for the bits that it has.
    assert (found.latency, found.register_bits) == (1, 9)


def test_gates_share_a_cycle() -> None:
    """The cycles of a comparison and a register for GATE_DEPTH gates; one more for every GATE_DEPTH."""

    def chain(gates: int) -> Program:
        def make(b: Builder) -> dict[str, int]:
            q, value = b.input("q"), b.input("hidden")
            for k in range(gates):
                value = b.both(value, b.less(q, b.constant(k + 5)))
            return {"seen": value}

        return build(make)

    latencies = [schedule(chain(gates)).latency for gates in range(1, 7)]
    assert GATE_DEPTH == 2
    assert latencies == [2, 2, 3, 3, 4, 4]


def test_cycles_of_products() -> None:
    """One for one limb of 18 bits with its sign each, one more for each level of the sum."""
    assert [len(limbs(Format(-(1 << bits), (1 << bits) - 1))) for bits in (17, 18, 34, 35)] == [1, 2, 2, 3]
    assert [len(limbs(Format(0, (1 << bits) - 1))) for bits in (17, 18, 34, 35)] == [1, 2, 2, 3]
    assert limbs(Format(5 << 34, 5 << 34), 5 << 34) == [34]

    def cycles(first: int, second: int) -> int:
        nodes = [Node("input", Format(-(1 << bits), 1 << bits), name=str(bits)) for bits in (first, second)]
        most = 1 << (first + second)
        product = Node("multiply", Format(-most, most), (0, 1))
        return Graph(Program((*nodes, product), (("score", 2),))).cycles(2)

    assert [cycles(*bits) for bits in ((16, 16), (25, 12), (25, 25), (40, 17))] == [1, 2, 3, 4]


def test_terms_of_products_fit() -> None:
    """Every partial sum's range holds for factors at the ends of their formats and just inside."""
    for first, second in ((25, 30), (40, 16), (17, 33)):
        formats = [Format(-(1 << first), (1 << first) - 7), Format(-5, 1 << second)]
        nodes = [Node("input", f, name=name) for f, name in zip(formats, "ab", strict=True)]
        ends = [x * y for x in (formats[0].low, formats[0].high) for y in (formats[1].low, formats[1].high)]
        product = Node("multiply", Format(min(ends), max(ends)), (0, 1))
        graph = Graph(Program((*nodes, product), (("score", 2),)))
        level = product_levels(graph, 2)[0]
        for a in (formats[0].low, formats[0].high, -1, 0):
            for b in (formats[1].low, formats[1].high, 0, 1):
                terms = []
                for x, y in graph.partial_products(2):
                    parts = []
                    for number, at, format in ((a, x, formats[0]), (b, y, formats[1])):
                        is_last = at == limbs(format)[-1]
                        parts.append(number >> at if is_last else (number >> at) % (1 << 17))
                    terms.append(parts[0] * parts[1] << (x + y))
                assert sum(terms) == a * b
                assert all(term.low <= value <= term.high for term, value in zip(level, terms, strict=True))


def test_one_chain_for_all_who_wait() -> None:
    """q is wanted 1, 2 and 5 cycles late: five registers of 20 bits, not eight."""

    def make(b: Builder) -> dict[str, int]:
        q, value = b.input("q"), b.input("score")
        value = b.add(b.absolute(value), q)
        value = b.add(value, q)
        return {"score": b.add(b.absolute(b.negate(value)), q)}

    program = build(make)
    found = schedule(program)
    assert max(found.delays) == 5
    assert found.balancing_bits == 5 * 20


def test_what_is_narrow_does_not_wait() -> None:
    """Comparing at once keeps one bit for each of five cycles instead of two numbers."""

    def make(b: Builder) -> dict[str, int]:
        slow = b.tanh(b.quantise(b.input("score"), FUNCTION_FRAC))
        return {"keep_factor": slow, "seen": b.less(b.input("q"), b.input("kv"))}

    found = schedule(build(make))
    assert found.latency == CYCLES["tanh"]
    assert found.balancing_bits == found.latency - 1


def test_what_is_wide_does_wait() -> None:
    """A square is computed when it is wanted: half the registers."""

    def make(b: Builder) -> dict[str, int]:
        slow = b.tanh(b.quantise(b.input("score"), FUNCTION_FRAC))
        b_ = b.input("b")
        return {"keep_factor": b.add(slow, b.multiply(b_, b_))}

    found = schedule(build(make))
    assert found.latency == CYCLES["tanh"] + 1
    assert found.balancing_bits == 16 * (CYCLES["tanh"] - CYCLES["multiply"])


def test_arguments_wait_in_no_register() -> None:
    def make(b: Builder) -> dict[str, int]:
        still = b.add(b.absolute(b.parameter(Argument("p", 1, -99, 99))), b.constant(3))
        return {"score": b.add(b.absolute(b.input("score")), b.quantise(still, 14))}

    found = schedule(build(make))
    assert (found.latency, found.balancing_bits) == (2, 0)
    # The write, the absolute value, the sum.
    assert found.settling == 4


def register_bits(verilog: str) -> int:
    """Of all modules, each of which must stand in the design once."""
    total = 0
    for module in verilog.split("endmodule"):
        found = re.findall(r"(?m)^  reg (?:\[(\d+):0\] )?(\w+)(?: =.*)?;$", module)
        widths = {name: int(width or 0) + 1 for width, name in found}
        total += sum(widths[name] for name in set(re.findall(r"(?m)^ +(\w+) <=", module)))
    return total


@pytest.mark.parametrize("op", ["tanh", "exp2", "multiply", "table", "clamp"])
def test_register_bits_are_those_of_the_verilog(op: str) -> None:
    def make(b: Builder) -> dict[str, int]:
        score = b.input("score")
        made = {
            "tanh": lambda: b.tanh(score),
            "exp2": lambda: b.exp2(b.clamp(score, -(1 << 22), 1 << 15), 17),
            "multiply": lambda: b.multiply(b.multiply(score, b.input("h")), b.input("q")),
            "table": lambda: b.table(Argument("t", 9, -3, 99, table=True), b.input("q")),
            "clamp": lambda: b.clamp(score, -5, 1000),
        }[op]()
        return {"keep_factor": made, "score": score}

    program = build(make)
    verilog = to_verilog(Datapath(program), "datapath")
    assert register_bits(verilog) == schedule(program).register_bits
