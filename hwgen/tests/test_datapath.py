"""Datapaths against the integer model, one set of inputs a cycle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.scoremod import Argument, Builder, Format, Node, Program, evaluate
from golden.scoremod.functions import (
    EXP2_SEGMENTS,
    FUNCTION_FRAC,
    TANH_LIMIT,
    TANH_SEGMENTS,
    exp2_parabolas,
    rest_bits,
    tanh_parabolas,
)
from golden.scoremod.program import BOOLEAN
from hwgen.emit import to_verilog
from hwgen.scoremod.functions import CURVES
from hwgen.scoremod.layout import argument_layout, inputs_layout, outputs_layout
from hwgen.scoremod.library import LIBRARY
from hwgen.scoremod.lower import Datapath
from hwgen.scoremod.schedule import schedule
from hwgen.softmax.pair import arrivals
from hwgen.tests.bench import tiny
from hwgen.tests.programs import (
    NUMERICS,
    RandomProgram,
    assert_equal,
    codes_in,
    random_arguments,
    random_inputs,
    stream,
)

WIDE = Format(-(1 << 40), (1 << 40) + 12345)
NUMBER = Format(-70_000, 90_000)
NATURAL = Format(0, 70_000)
PAIR = (NUMBER, Format(-300, 100_000))

OPERATIONS: list[tuple[Node, Sequence[Format]]] = [
    (Node("add", Format(-70_300, 190_000)), PAIR),
    (Node("subtract", Format(-170_000, 90_300)), PAIR),
    (Node("negate", Format(-90_000, 70_000)), (NUMBER,)),
    (Node("negate", Format(-70_000, 0)), (NATURAL,)),
    (Node("absolute", Format(0, 90_000)), (NUMBER,)),
    (Node("minimum", Format(-70_000, 90_000)), PAIR),
    (Node("maximum", Format(-300, 100_000)), PAIR),
    (Node("minimum", Format(-70_000, 70_000)), (NUMBER, NATURAL)),
    (Node("multiply", Format(-7_000_000_000, 9_000_000_000)), PAIR),
    (Node("multiply", Format(0, 70_000 * 70_000)), (NATURAL, NATURAL)),
    (Node("multiply", Format(-(1 << 60), 1 << 60)), (WIDE, Format(-(1 << 18), 1 << 18))),
    (Node("multiply", Format(-(1 << 60), 1 << 60)), (Format(0, 1 << 18), WIDE)),
    (Node("multiply", Format(-(1 << 60), 1 << 60)), (Format(-(1 << 30), 1 << 30), Format(-(1 << 30), (1 << 30) - 1))),
    (Node("multiply", WIDE), (BOOLEAN, WIDE)),
    (Node("left", Format(-70_000 << 5, 90_000 << 5), number=5), (NUMBER,)),
    (Node("right", Format(-70_000 >> 5, 90_000 >> 5), number=5), (NUMBER,)),
    (Node("right", Format(-1, 0), number=30), (NUMBER,)),
    (Node("right", Format(0, 0), number=30), (NATURAL,)),
    (Node("round", Format((-70_000 + 16) >> 5, (90_000 + 16) >> 5), number=5), (NUMBER,)),
    (Node("round", Format(0, 1), number=17), (NATURAL,)),
    (Node("low", Format(0, 127), number=7), (NUMBER,)),
    (Node("low", Format(0, (1 << 30) - 1), number=30), (NUMBER,)),
    (Node("less", BOOLEAN), PAIR),
    (Node("less", BOOLEAN), (Format(-2, 2), Format(0, 3))),
    (Node("less_equal", BOOLEAN), (Format(-2, 2), Format(0, 3))),
    (Node("equal", BOOLEAN), (Format(-2, 2), Format(0, 3))),
    (Node("equal", BOOLEAN), (Format(-4, 3), Format(0, 7))),
    (Node("and", BOOLEAN), (BOOLEAN, BOOLEAN)),
    (Node("or", BOOLEAN), (BOOLEAN, BOOLEAN)),
    (Node("xor", BOOLEAN), (BOOLEAN, BOOLEAN)),
    (Node("and", Format(0, (1 << 17) - 1)), (NATURAL, Format(0, 255))),
    (Node("or", Format(0, (1 << 17) - 1)), (NATURAL, Format(0, 255))),
    (Node("xor", Format(0, (1 << 17) - 1)), (NATURAL, Format(0, 255))),
    (Node("not", BOOLEAN), (BOOLEAN,)),
    (Node("select", Format(-70_000, 90_000)), (BOOLEAN, NUMBER, NATURAL)),
    (Node("select", BOOLEAN), (BOOLEAN, BOOLEAN, BOOLEAN)),
    (Node("clamp", Format(-50, 60)), (NUMBER,)),
    (Node("clamp", Format(40, 60)), (NATURAL,)),
    (Node("clamp", Format(-90, -60)), (NUMBER,)),
    (Node("tanh", Format(-(1 << 22), 1 << 22, 22)), (Format(-(1 << 27), 1 << 27, 22),)),
    (Node("exp2", Format(0, 1 << 32, 17)), (Format(-(1 << 28), (15 << 22) - 1, 22),)),
]

NAMES = ("a", "b", "c")


def of_one(node: Node, operands: Sequence[Format]) -> Program:
    """A program of one operation of inputs a, b, c."""
    inputs = tuple(Node("input", f, name=name) for f, name in zip(operands, NAMES, strict=False))
    whole = replace(node, args=tuple(range(len(inputs))))
    return Program((*inputs, whole), (("score", len(inputs)),))


@pytest.mark.parametrize(("node", "operands"), OPERATIONS, ids=lambda x: x.op if isinstance(x, Node) else "")
def test_operation(node: Node, operands: Sequence[Format]) -> None:
    program = of_one(node, operands)
    inputs = random_inputs(np.random.default_rng(1), program, 200)
    assert_equal(program, inputs)
    # The inputs tell this operation from one that gives nothing, or an operand.
    (codes,) = evaluate(program, inputs).values()
    assert node.format.high == 0 or codes.any()


def test_operations_are_all_there() -> None:
    """`Node` names them."""
    named = {"input", "constant", "parameter", "table"} | {node.op for node, _ in OPERATIONS}
    text = (Node.__doc__ or "").split(":", 1)[1]
    assert named == {word.strip(" \n.").split(" ")[0] for word in strip_brackets(text).split(",")}


def strip_brackets(text: str) -> str:
    kept, depth = "", 0
    for letter in text:
        depth += letter == "("
        kept += letter if depth == 0 else ""
        depth -= letter == ")"
    return kept


@pytest.mark.parametrize("seed", range(24))
def test_random_program(seed: int) -> None:
    """At any arrivals, of any arguments."""
    program = RandomProgram(seed).program(60)
    rng = np.random.default_rng(seed)
    arrivals = {name: int(rng.integers(12)) for name in program.inputs if rng.integers(2)}
    latency = assert_equal(program, random_inputs(rng, program, 30), random_arguments(rng, program), arrivals=arrivals)
    assert latency >= max([1, *arrivals.values()])


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_library(name: str) -> None:
    """All three parts of every library function, with inputs as they come in a lane."""
    traced = LIBRARY[name](NUMERICS)
    machine = tiny(score=traced.program)
    partition = machine.partition
    rng = np.random.default_rng(7)
    for part, when in ((partition.query, ()), (partition.key, ()), (partition.lane, arrivals(machine))):
        if part.outputs:
            arguments = {argument.name: traced.codes()[argument.name] for argument in part.arguments}
            options = {"arrivals": dict(when), "places": dict(partition.places(part))}
            assert_equal(part, random_inputs(rng, part, 30), arguments, **options)


def test_same_graph_has_the_same_latency_and_verilog() -> None:
    parts = [Datapath(RandomProgram(4).program(60), (("score", 3),)) for _ in range(2)]
    assert parts[0].latency == parts[1].latency == schedule(RandomProgram(4).program(60), (("score", 3),)).latency
    assert parts[0].identity == parts[1].identity
    assert len({to_verilog(part, "datapath") for part in parts}) == 1


def build(make: Callable[[Builder], int]) -> Program:
    """A program of one output that is taken as it is."""
    builder = Builder(NUMERICS)
    return builder.program({"keep_factor": make(builder)})


def test_output_that_is_an_input() -> None:
    """It passes through one register, or as many as it takes to be in step with another one."""
    alone = build(lambda b: b.input("score"))
    score = np.arange(-5, 50)
    assert assert_equal(alone, {"score": score}) == 1
    assert assert_equal(alone, {"score": score}, arrivals={"score": 4}) == 5
    builder = Builder(NUMERICS)
    squared = builder.multiply(builder.input("q"), builder.input("q"))
    both = builder.program({"score": builder.input("score"), "keep_factor": squared})
    assert assert_equal(both, {"score": score, "q": score % 7}) > 1


def test_output_that_stands_still() -> None:
    builder = Builder(NUMERICS)
    limit = builder.parameter(Argument("limit", 1, -9, 9))
    outputs = {
        "score": builder.input("score"),
        "keep_factor": builder.constant(37),
        "keep_shift": builder.absolute(limit),
        "seen": builder.invert(builder.less(limit, builder.constant(3))),
    }
    for value in (-8, 5):
        assert assert_equal(builder.program(outputs), {"score": np.arange(9)}, {"limit": np.array([value])}) == 1


def test_arguments_have_their_places() -> None:
    """A word is written where it belongs and nowhere else, be it below, above or between."""
    builder = Builder(NUMERICS)
    q = builder.input("q")
    tables = [Argument(f"t{i}", size, -(1 << 31), (1 << 31) - 1, table=True) for i, size in enumerate((5, 1, 8, 3))]
    words = [Argument(f"p{i}", 1, -(1 << 31), (1 << 31) - 1) for i in range(2)]
    total = builder.add(builder.parameter(words[0]), builder.multiply(builder.parameter(words[1]), builder.constant(3)))
    for i, table in enumerate(tables):
        total = builder.add(total, builder.multiply(builder.table(table, q), builder.constant(10 + i)))
    program = builder.program({"keep_factor": total})
    rng = np.random.default_rng(3)
    arguments = random_arguments(rng, program)
    inputs = {"q": np.arange(12)}
    assert_equal(program, inputs, arguments)
    places = {"t2": 1000, "p0": 1008, "t0": 999 - 5, "p1": 2, "t1": (1 << 20) - 1, "t3": 0xFFF0}
    assert_equal(program, inputs, arguments, places=places)


def test_addresses_of_others_write_nothing() -> None:
    program = build(lambda b: b.table(Argument("t", 3, -100, 100, table=True), b.input("q")))
    padded = {"t": np.array([11, 12, 13, 77, 78])}  # The last two belong to whatever comes behind.
    got, _ = stream(program, {"q": np.arange(6)}, padded)
    assert got["keep_factor"].tolist() == [11, 12, 13, 13, 13, 13]


def test_table_index_is_clamped() -> None:
    table = Argument("t", 5, -100, 100, table=True)
    program = build(lambda b: b.table(table, b.subtract(b.input("q"), b.input("kv"))))
    q = np.array([0, 0, 0, 1, 5, 4, 6, 3, (1 << 20) - 1, 0])
    kv = np.array([0, 1, (1 << 20) - 1, 0, 0, 0, 0, 1, 0, 4])
    assert_equal(program, {"q": q, "kv": kv}, {"t": np.arange(5) * 7 - 9})


def test_table_of_a_table() -> None:
    """Two reads of the same table in different cycles, and of another one with what the first gave."""
    builder = Builder(NUMERICS)
    inner, outer = Argument("inner", 16, 0, 40, table=True), Argument("outer", 33, -999, 999, table=True)
    first = builder.table(inner, builder.input("q"))
    second = builder.table(inner, first)
    program = builder.program(
        {"keep_factor": builder.subtract(builder.table(outer, second), builder.table(outer, first))}
    )
    rng = np.random.default_rng(5)
    assert_equal(program, {"q": rng.integers(0, 20, 60)}, random_arguments(rng, program))


def test_constants_of_every_size() -> None:
    """Limbs that are zero, negative ones, powers of two."""
    for code in (1, 4, -4, 3 << 17, 11 << 31, (5 << 32) + 1, -(7 << 32), -(1 << 35) + 1, 0, (1 << 17) - 1, 1 << 17, -1):
        program = build(lambda b, code=code: b.multiply(b.input("score"), b.constant(code)))  # type: ignore[misc]
        assert_equal(program, {"score": codes_in(np.random.default_rng(2), program.nodes[0].format, 40)})


def around(points: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(points[:, None] + np.array([-2, -1, 0, 1, 2]))


@pytest.mark.parametrize(
    "operand",
    [
        Format(-(1 << 40), 1 << 40, FUNCTION_FRAC),
        Format(-(TANH_LIMIT << FUNCTION_FRAC), TANH_LIMIT << FUNCTION_FRAC, FUNCTION_FRAC),
        Format(0, 1 << 26, FUNCTION_FRAC),
        Format(-1000, 1000, FUNCTION_FRAC),
    ],
    ids=str,
)
def test_tanh(operand: Format) -> None:
    """At the ends of all segments, of the range that they cover, and of the operand."""
    edges = np.arange(TANH_SEGMENTS + 1) << rest_bits(TANH_SEGMENTS, TANH_LIMIT)
    ends = np.array([operand.low, operand.high, 0, 1 << 30, -(1 << 30)])
    codes = around(np.concatenate([edges, -edges, ends]))
    codes = codes[(codes >= operand.low) & (codes <= operand.high)]
    one = 1 << FUNCTION_FRAC
    assert_equal(of_one(Node("tanh", Format(-one, one, FUNCTION_FRAC)), (operand,)), {"a": codes})


@pytest.mark.parametrize(
    ("low", "high", "frac"),
    [
        (-(1 << 40), 0, 22),
        (-(60 << 22), (3 << 22) + 99, 22),
        (-(60 << 22), (3 << 22) - 1, 10),
        (-1000, 1000, 22),
        (0, 50, 17),
        (-(40 << 22), (44 << 22) - 1, 17),
        (-(200 << 22), -(24 << 22), 22),
        (-(3 << 22), -(1 << 22), 0),
        (5 << 22, 5 << 22, 14),
    ],
)
def test_exp2(low: int, high: int, frac: int) -> None:
    """At the ends of all segments and whole numbers, with results much wider and much narrower than the parabolas."""
    operand = Format(low, high, FUNCTION_FRAC)
    edges = np.arange(EXP2_SEGMENTS + 1) << rest_bits(EXP2_SEGMENTS, 1)
    whole = (np.arange(-70, 50) << FUNCTION_FRAC) + np.random.default_rng(6).integers(0, 1 << FUNCTION_FRAC, 120)
    points = [edges, edges - (1 << FUNCTION_FRAC), np.arange(-70, 50) << FUNCTION_FRAC, whole, np.array([low, high])]
    codes = around(np.concatenate(points))
    codes = codes[(codes >= low) & (codes <= high)]
    top = (high >> FUNCTION_FRAC) + 1 + frac
    result = Format(0, 1 << top if top >= 0 else 0, frac)
    assert_equal(of_one(Node("exp2", result), (operand,)), {"a": codes})


def test_widths_of_the_parabolas() -> None:
    """What the hardware relies on: no negative slope, and no value outside of the result's format."""
    for name, table, limit in (("tanh", tanh_parabolas(), 22), ("exp2", exp2_parabolas(), 23)):
        curve = CURVES[name]
        base, slope, bend = np.array(table, dtype=np.int64).T
        r = np.append(np.arange(0, 1 << curve.rest, 997), (1 << curve.rest) - 1)[:, None]
        steep = slope + ((bend * r) >> 22)
        values = base + ((steep * r) >> 17)
        assert steep.min() >= 0 and steep.max() < 1 << curve.slope
        assert values.max() < 1 << curve.value <= 1 << limit


def test_interface() -> None:
    program = RandomProgram(0).program(60)
    dut = Datapath(program, (("score", 1),))
    assert dict(dut.signature.members["inputs"].shape.members.items()) == dict(inputs_layout(program).members.items())
    assert dict(dut.signature.members["outputs"].shape.members.items()) == dict(outputs_layout(program).members.items())
    assert argument_layout().size == 1 + 20 + 32
    assert "\nmodule datapath(" in to_verilog(dut, "datapath")
