"""Score programs: every operation against plain integers, formats that hold all results, and what the builder saves."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from golden.bitexact import Numerics
from golden.scoremod import Argument, Builder, Format, Program, ProgramError, evaluate
from golden.scoremod.program import BOOLEAN, INDEX_BITS, MAX_BITS, input_format
from golden.tests.reference import OPERATIONS, run_program

NUMERICS = Numerics()
INPUTS = ("score", "bias", "hidden", "b", "h", "q", "kv")
PARAMETER = Argument("slope", 1, -(1 << 20), 1 << 20, 12)
TABLE = Argument("table", 5, -7, 90, 3, table=True)


def everything(builder: Builder) -> Program:
    """A program whose outputs are all nodes, called by their numbers."""
    outputs = tuple((str(i), i) for i in range(len(builder.nodes)))
    return Program(tuple(builder.nodes), outputs, tuple(builder.arguments.values()))


def random_codes(rng: np.random.Generator, fmt: Format, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Codes of a format: its ends, what lies around zero, small and any ones."""
    special = np.array([fmt.low, fmt.high, fmt.low + 1, fmt.high - 1, 0, 1, -1])
    small = rng.integers(-100, 101, size)
    spread = rng.integers(fmt.low, fmt.high + 1, size)
    choice = rng.integers(0, 3, size)
    codes = np.where(choice == 0, rng.choice(special, size), np.where(choice == 1, small, spread))
    return np.clip(codes, fmt.low, fmt.high)


def grow(rng: np.random.Generator, steps: int) -> Builder:
    """A builder with that many random operations on inputs, constants, a parameter and a table."""
    builder = Builder(NUMERICS)
    numbers = [builder.input(name) for name in INPUTS if name != "hidden"]
    numbers += [builder.constant(int(rng.integers(-1000, 1000)), int(rng.integers(0, 6))) for _ in range(3)]
    numbers += [builder.parameter(PARAMETER), builder.table(TABLE, numbers[2])]
    booleans = [builder.input("hidden"), builder.less(numbers[0], numbers[1])]

    def number() -> int:
        return int(rng.choice(numbers))

    def boolean() -> int:
        return int(rng.choice(booleans))

    def natural() -> int:
        """An integer that is not negative."""
        return builder.low(number(), int(rng.integers(1, 24)))

    makers: list[Callable[[], int]] = [
        *(
            lambda name=name: getattr(builder, name)(number(), number())  # type: ignore[misc]
            for name in ("add", "subtract", "multiply", "minimum", "maximum")
        ),
        *(lambda name=name: getattr(builder, name)(number()) for name in ("negate", "absolute", "tanh")),  # type: ignore[misc]
        lambda: builder.quantise(number(), int(rng.integers(0, 24))),
        lambda: builder.left(number(), int(rng.integers(0, 5))),
        lambda: builder.right(number(), int(rng.integers(0, 20))),
        lambda: builder.clamp(number(), *sorted(rng.integers(-5000, 5000, 2).tolist())),
        lambda: builder.both(natural(), natural()),
        lambda: builder.either(natural(), natural()),
        lambda: builder.differ(natural(), natural()),
        lambda: builder.select(boolean(), number(), number()),
        lambda: builder.exp2(
            builder.clamp(builder.quantise(number(), 22), -(40 << 22), 9 << 22), int(rng.integers(40))
        ),
        lambda: builder.table(TABLE, builder.quantise(number(), 0)),
        *(
            lambda name=name: getattr(builder, name)(number(), number())  # type: ignore[misc]
            for name in ("less", "less_equal", "equal")
        ),
        *(
            lambda name=name: getattr(builder, name)(boolean(), boolean())  # type: ignore[misc]
            for name in ("both", "either", "differ")
        ),
        lambda: builder.invert(boolean()),
        lambda: builder.select(boolean(), boolean(), boolean()),
    ]
    for _ in range(steps):
        try:
            i = makers[rng.integers(len(makers))]()
        except ProgramError:
            continue
        (booleans if builder.format(i).boolean else numbers).append(i)
    return builder


def test_random_programs_equal_plain_integers_and_fit_their_formats() -> None:
    operations = set()
    for seed in range(25):
        rng = np.random.default_rng(seed)
        program = everything(grow(rng, 50))
        operations |= {node.op for node in program.nodes}
        size = 60
        inputs = {name: random_codes(rng, input_format(name, NUMERICS), size) for name in INPUTS}
        arguments = {a.name: random_codes(rng, a.format, a.size) for a in (PARAMETER, TABLE)}
        got = evaluate(program, inputs, arguments)
        stored = {name: codes.tolist() for name, codes in arguments.items()}
        pairs = [{name: int(codes[at]) for name, codes in inputs.items()} for at in range(size)]
        want = [run_program(program, pair, stored) for pair in pairs]
        for name, codes in got.items():
            fmt = program.nodes[int(name)].format
            assert np.broadcast_to(codes, size).tolist() == [result[name] for result in want]
            assert fmt.low <= codes.min() and codes.max() <= fmt.high
            assert fmt.width <= MAX_BITS
    assert operations == {*OPERATIONS, "input", "parameter", "table"}


UNARY: dict[str, Callable[[Builder, int], int]] = {
    "negate": Builder.negate,
    "absolute": Builder.absolute,
    "tanh": Builder.tanh,
    "exp2": lambda builder, a: builder.exp2(builder.clamp(builder.quantise(a, 22), -(30 << 22), 20 << 22), 9),
    "finer": lambda builder, a: builder.quantise(a, 21),
    "coarser": lambda builder, a: builder.quantise(a, 1),
    "clamp": lambda builder, a: builder.clamp(builder.quantise(a, 4), -300, 90),
    "left": lambda builder, a: builder.left(builder.quantise(a, 0), 3),
    "right": lambda builder, a: builder.right(builder.quantise(a, 0), 3),
    "low": lambda builder, a: builder.low(builder.quantise(a, 0), 3),
}
BINARY: dict[str, Callable[[Builder, int, int], int]] = {
    "add": Builder.add,
    "subtract": Builder.subtract,
    "multiply": Builder.multiply,
    "minimum": Builder.minimum,
    "maximum": Builder.maximum,
    "less": Builder.less,
    "less_equal": Builder.less_equal,
    "equal": Builder.equal,
    "select": lambda builder, a, b: builder.select(builder.less(a, b), b, a),
    "and": lambda builder, a, b: builder.both(builder.low(a, 20), builder.low(b, 20)),
    "or": lambda builder, a, b: builder.either(builder.low(a, 20), builder.low(b, 20)),
    "xor": lambda builder, a, b: builder.differ(builder.low(a, 20), builder.low(b, 20)),
    "not": lambda builder, a, b: builder.invert(builder.less(a, b)),
}
FRACTIONS = (0, 6)
SAMPLES = [(-1000, 7), (0, 0), (1, -1), (511, 512), (8191, -8192), (64, 64), (-3, 192)]


def folded_and_evaluated(make: Callable[..., int], codes: tuple[int, ...], *fractions: int) -> list[Fraction]:
    """What is made of constants, folded, and of parameters of the same numbers, evaluated."""
    builder = Builder(NUMERICS)
    constant = make(builder, *(builder.constant(code, frac) for code, frac in zip(codes, fractions, strict=True)))
    assert builder.is_constant(constant)
    arguments = [Argument(f"p{i}", 1, -8192, 8191, frac) for i, frac in enumerate(fractions)]
    result = make(builder, *map(builder.parameter, arguments))
    assert not builder.is_constant(result)
    stored = {f"p{i}": [code] for i, code in enumerate(codes)}
    value = int(evaluate(everything(builder), {}, stored)[str(result)])
    numbers = ((builder.nodes[constant].number, constant), (value, result))
    return [Fraction(code, 2 ** builder.format(i).frac) for code, i in numbers]


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("frac", [6, 12])
def test_folding_one_operand_equals_evaluation(name: str, frac: int) -> None:
    for code in (-8192, -1000, -97, -1, 0, 1, 5, 64, 4095):
        folded, evaluated = folded_and_evaluated(UNARY[name], (code,), frac)
        assert folded == evaluated


@pytest.mark.parametrize("name", BINARY)
def test_folding_two_operands_equals_evaluation(name: str) -> None:
    fractions = [(0, 0)] if name in ("and", "or", "xor") else [(f, g) for f in FRACTIONS for g in FRACTIONS]
    for codes in SAMPLES:
        for pair in fractions:
            folded, evaluated = folded_and_evaluated(BINARY[name], codes, *pair)
            assert folded == evaluated


def test_constants_lose_fraction_bits_they_do_not_need() -> None:
    builder = Builder(NUMERICS)
    assert builder.constant(12, 4) == builder.constant(3, 2)
    assert builder.format(builder.constant(0, 9)) == Format(0, 0)
    assert builder.constant(1) != builder.boolean(True)


def test_equal_nodes_are_one() -> None:
    builder = Builder(NUMERICS)
    q, kv, score = map(builder.input, ("q", "kv", "score"))
    for name in ("add", "multiply", "minimum", "maximum", "equal", "both", "either", "differ"):
        make = getattr(builder, name)
        assert make(q, kv) == make(q, kv) == make(kv, q), name
    for name in ("subtract", "less", "less_equal"):
        make = getattr(builder, name)
        assert make(q, kv) == make(q, kv) != make(kv, q), name
    assert builder.input("score") == score and builder.tanh(score) == builder.tanh(score)
    assert builder.parameter(PARAMETER) == builder.parameter(PARAMETER)
    assert builder.table(TABLE, q) == builder.table(TABLE, q) != builder.table(TABLE, kv)
    # A quantised operand is shared too.
    before = len(builder.nodes)
    builder.add(score, kv)
    builder.subtract(score, kv)
    assert len(builder.nodes) == before + 3


def test_what_changes_nothing_makes_no_node() -> None:
    builder = Builder(NUMERICS)
    q, score, hidden = map(builder.input, ("q", "score", "hidden"))
    zero, one, true, false = builder.constant(0), builder.constant(1), builder.boolean(True), builder.boolean(False)
    seen = builder.less(q, score)
    before = len(builder.nodes)
    assert builder.add(q, zero) == builder.add(zero, q) == builder.subtract(q, zero) == q
    assert builder.multiply(q, one) == builder.multiply(one, q) == q
    assert builder.left(q, 0) == builder.right(q, 0) == builder.low(q, 20) == builder.absolute(q) == q
    assert builder.quantise(score, 14) == builder.clamp(score, -NUMERICS.score_max, NUMERICS.score_max) == score
    assert builder.minimum(q, q) == builder.maximum(q, q) == builder.maximum(q, zero) == q
    assert builder.minimum(q, zero) == zero
    assert builder.select(true, q, score) == builder.select(false, score, q) == builder.select(hidden, q, q) == q
    assert builder.both(hidden, true) == builder.either(hidden, false) == builder.both(hidden, hidden) == hidden
    assert builder.both(hidden, false) == false and builder.either(true, hidden) == true
    assert builder.less(q, zero) == false and builder.less_equal(zero, q) == true
    assert builder.less(q, q) in (false, len(builder.nodes) - 1)
    assert len(builder.nodes) <= before + 1
    assert builder.invert(builder.invert(seen)) == seen and builder.negate(builder.negate(score)) == score
    assert builder.equal(q, builder.constant(-1)) == false


def test_comparisons_decided_by_the_formats() -> None:
    builder = Builder(NUMERICS)
    q = builder.input("q")
    beyond = builder.constant(1 << 20)
    assert [
        builder.nodes[i] == builder.nodes[builder.boolean(want)]
        for i, want in (
            (builder.less(q, beyond), True),
            (builder.less(beyond, q), False),
            (builder.less_equal(q, beyond), True),
            (builder.less_equal(beyond, q), False),
            (builder.equal(q, beyond), False),
        )
    ] == [True] * 5
    # One code less and they are not.
    last = builder.constant((1 << 20) - 1)
    assert not any(builder.is_constant(i) for i in (builder.less(q, last), builder.equal(q, last)))


def test_a_program_has_only_what_its_outputs_need() -> None:
    builder = Builder(NUMERICS)
    q, kv, score = map(builder.input, ("q", "kv", "score"))
    unused = Argument("unused", 3, 0, 9, table=True)
    builder.table(unused, builder.input("h"))
    slope = builder.parameter(PARAMETER)
    new = builder.quantise(builder.add(score, builder.multiply(slope, builder.subtract(q, kv))), 14)
    program = builder.program({"score": new, "seen": builder.less_equal(kv, q)})
    assert set(program.inputs) == {"q", "kv", "score"}
    assert program.arguments == (PARAMETER,) and program.argument_words == 1
    assert all(a < i for i, node in enumerate(program.nodes) for a in node.args)
    inputs = {"score": [100, -100], "q": [[3], [7]], "kv": [5, 6]}
    got = evaluate(program, inputs, {"slope": [1 << 10]})
    # A slope of 1/4 is 4096 score units.
    assert got["score"].tolist() == [[100 - 2 * 4096, -100 - 3 * 4096], [100 + 2 * 4096, -100 + 4096]]
    assert got["seen"].tolist() == [[0, 0], [1, 1]]


def test_arguments_lie_behind_each_other() -> None:
    builder = Builder(NUMERICS)
    h = builder.input("h")
    second = Argument("second", 4, -1, 1, table=True)
    total = builder.add(builder.add(builder.table(TABLE, h), builder.parameter(PARAMETER)), builder.table(second, h))
    program = builder.program({"score": builder.quantise(total, 14)})
    assert program.argument_words == 10
    assert [program.argument_offset(name) for name in ("table", "slope", "second")] == [0, 5, 6]
    assert program.argument("second") == second
    with pytest.raises(KeyError):
        program.argument_offset("third")


def test_tables_are_clamped_at_both_ends() -> None:
    builder = Builder(NUMERICS)
    index = builder.subtract(builder.input("q"), builder.input("kv"))
    program = builder.program({"score": builder.quantise(builder.table(TABLE, index), 14)})
    got = evaluate(program, {"q": 100, "kv": np.arange(94, 103)}, {"table": [1, 2, 3, 4, 5]})["score"]
    assert (got >> 11).tolist() == [5, 5, 5, 4, 3, 2, 1, 1, 1]


def test_encode() -> None:
    argument = Argument("slope", 3, -100, 100, 4, factor=2.0)
    assert argument.encode([1.0, -3.125, 0.04]).tolist() == [32, -100, 1]
    with pytest.raises(ValueError, match="slope needs 3 numbers, not 2"):
        argument.encode([1.0, 2.0])
    for bad in (3.2, -3.2, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"slope must lie in -3\.125 \.\. 3\.125, not"):
            argument.encode([0.0, bad, 1.0])


@pytest.mark.parametrize(
    ("fmt", "width", "name"),
    [
        (Format(0, 0), 1, "u1"),
        (Format(0, 255), 8, "u8"),
        (Format(0, 256, 3), 9, "u9.3"),
        (Format(-1, 0), 1, "s1"),
        (Format(-128, 127, 2), 8, "s8.2"),
        (Format(-129, 0), 9, "s9"),
        (Format(-1, 128), 9, "s9"),
        (BOOLEAN, 1, "bool"),
        *((input_format(index, NUMERICS), bits, f"u{bits}") for index, bits in INDEX_BITS.items()),
        (input_format("score", NUMERICS), 26, "s26.14"),
    ],
    ids=str,
)
def test_formats(fmt: Format, width: int, name: str) -> None:
    assert (fmt.width, str(fmt)) == (width, name)


def test_values_of_too_many_bits_are_refused() -> None:
    builder = Builder(NUMERICS)
    score = builder.input("score")
    square = builder.multiply(score, score)
    with pytest.raises(ProgramError, match="multiply needs 76 bits; at most 62 are supported"):
        builder.multiply(square, score)
    with pytest.raises(ProgramError, match="left needs"):
        builder.left(square, 40)
    with pytest.raises(ProgramError, match="exp2 of up to 2048 needs 2071 bits"):
        builder.exp2(score)


def test_arguments_that_do_not_fit_are_refused() -> None:
    builder = Builder(NUMERICS)
    builder.argument(Argument("unsigned", 1, 0, (1 << 31) - 1))
    builder.argument(Argument("signed", 1, -(1 << 31), (1 << 31) - 1))
    with pytest.raises(ProgramError, match="wide needs 32 bits"):
        builder.argument(Argument("wide", 1, 0, 1 << 31))
    with pytest.raises(ProgramError, match="there are two arguments called 'signed'"):
        builder.parameter(Argument("signed", 1, 0, 1))


@pytest.mark.parametrize("name", ["score", "kv", "bias", "hidden"])
def test_a_sink_of_a_pair_is_refused(name: str) -> None:
    builder = Builder(NUMERICS)
    sink = builder.add(builder.input("q"), builder.input(name))
    with pytest.raises(ProgramError, match="a sink may depend on b, h and q only"):
        builder.program({"sink": builder.quantise(sink, 14)})


def test_unknown_inputs_are_refused() -> None:
    with pytest.raises(KeyError):
        Builder(NUMERICS).input("key")
