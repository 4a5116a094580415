"""Attention with score programs: against the scalar reference bit for bit, against float64, and against itself."""

import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden import exact
from golden.bitexact import Job, Numerics, Result, ScoreInputs, attend, attention, seen_pairs
from golden.bitexact.attention import allowed_pairs
from golden.error import rounding_ratio
from golden.formats import decode, encode
from golden.scoremod import Argument, Builder, Program
from golden.tests.reference import attend_query, convert_row, modified

Codes = npt.NDArray[Any]
# The package has a function of the module's name.
module_of_attention = sys.modules["golden.bitexact.attention"]
NUMERICS = Numerics()
SF = NUMERICS.score_frac
LOG2E = math.log2(math.e)
SCALE = 0.4
LENGTH, KEYS, HEAD = 6, 9, 4


def codes_of(values: npt.ArrayLike) -> Codes:
    """Numbers in the input format."""
    return encode(np.asarray(values, dtype=np.float64), NUMERICS.input)


def tensors(seed: int, spread: int = 6) -> list[Codes]:
    """q (L, E), k (S, E), v (S, E); rows of v are of different sizes."""
    rng = np.random.default_rng(seed)
    scales = np.exp2(rng.integers(-spread, spread + 1, (KEYS, 1)))
    values = rng.normal(size=(LENGTH, HEAD)), rng.normal(size=(KEYS, HEAD)), rng.normal(size=(KEYS, HEAD)) * scales
    return [codes_of(value) for value in values]


def units(score: float) -> int:
    """A natural score in units of a program."""
    return round(score * LOG2E * 2**SF)


def program_of(make: Callable[[Builder], dict[str, int]]) -> Program:
    """The program of the outputs that `make` builds."""
    builder = Builder(NUMERICS)
    return builder.program(make(builder))


def job_of(program: Program | None, scale: float = SCALE, keys: int = KEYS, **choices: Any) -> Job:
    """A job of batch 1 and head 2, or without a program."""
    names = ("causal", "offset")
    common = {name: choices.pop(name) for name in names if name in choices}
    score = None if program is None else ScoreInputs(program=program, batch=1, head=2, **choices)
    return Job(scale=NUMERICS.encode_scale(scale), keys=keys, score=score, **common)


def assert_attended(q: Codes, k: Codes, v: Codes, job: Job) -> Result:
    """All of `attend` equals the reference, and `seen_pairs` too."""
    got = attend(q, k, v, job, NUMERICS)
    rows = [[convert_row(row, NUMERICS) for row in tensor.tolist()] for tensor in (q, k, v)]
    want = [attend_query(i, query, rows[1], rows[2], job, NUMERICS) for i, query in enumerate(rows[0])]
    for name, values in got._asdict().items():
        assert values.tolist() == [getattr(outcome, name) for outcome in want], name
    return got


def same(a: Result, b: Result) -> bool:
    """Equal in every part."""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# Programs


def causal(builder: Builder) -> dict[str, int]:
    return {"seen": builder.less_equal(builder.input("kv"), builder.input("q"))}


def alibi(builder: Builder) -> dict[str, int]:
    """A slope of head 2 from a table, in units of 2^-20."""
    slopes = Argument("slopes", 4, -(1 << 22), 1 << 22, 20, factor=LOG2E, table=True)
    distance = builder.subtract(builder.input("kv"), builder.input("q"))
    product = builder.multiply(builder.table(slopes, builder.input("h")), distance)
    return {"score": builder.quantise(builder.add(builder.input("score"), product), SF)}


def softcap(builder: Builder) -> dict[str, int]:
    """2 tanh(score / 2) of natural scores."""
    inverse = builder.constant(round(2**20 / (2 * LOG2E)), 20)
    part = builder.tanh(builder.multiply(builder.input("score"), inverse))
    cap = builder.constant(round(2 * LOG2E * 2**20), 20)
    return {"score": builder.quantise(builder.multiply(part, cap), SF)}


def biased(builder: Builder) -> dict[str, int]:
    total = builder.add(builder.input("score"), builder.input("bias"))
    return {"score": total, "seen": builder.invert(builder.input("hidden"))}


def sunk(builder: Builder) -> dict[str, int]:
    """A sink that grows with the query."""
    slope = builder.constant(round(0.3 * LOG2E * 2**24), 24)
    return {"sink": builder.quantise(builder.multiply(builder.input("q"), slope), SF)}


def dropping(builder: Builder) -> dict[str, int]:
    """Keeps what is not a multiple of 3, at 5/4 of its weight."""
    mixed = builder.add(builder.multiply(builder.input("q"), builder.constant(5)), builder.input("kv"))
    thirds = builder.right(builder.multiply(mixed, builder.constant(43691)), 17)
    rest = builder.subtract(mixed, builder.multiply(thirds, builder.constant(3)))
    return {
        "keep": builder.less(builder.constant(0), rest),
        "keep_factor": builder.constant(5 << 14),
        "keep_shift": builder.constant(1),
    }


def everything(builder: Builder) -> dict[str, int]:
    """All outputs at once."""
    parts = [alibi(builder), causal(builder), sunk(builder), dropping(builder)]
    return {name: node for part in parts for name, node in part.items()}


ALIBI = {"slopes": [0, 0, round(-0.35 * LOG2E * 2**20), 0]}
BIAS = codes_of(np.random.default_rng(50).normal(size=(LENGTH, KEYS)) * 2)
BIAS[[0, 2, 3, 3], [0, 4, 1, 5]] = codes_of(-math.inf)
CASES: dict[str, tuple[Callable[[Builder], dict[str, int]], dict[str, Any]]] = {
    "causal": (causal, {}),
    "alibi": (alibi, {"arguments": ALIBI}),
    "softcap": (softcap, {}),
    "bias": (biased, {"bias": BIAS}),
    "sink": (sunk, {}),
    "dropout": (dropping, {}),
    "everything": (everything, {"arguments": ALIBI}),
}


def case(name: str, **choices: Any) -> Job:
    """The job of one of the cases."""
    make, own = CASES[name]
    return job_of(program_of(make), **own, **choices)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("choices", [{}, {"causal": True, "offset": 1}, {"causal": True, "offset": -2, "keys": 7}])
def test_equals_the_reference(name: str, choices: dict[str, Any]) -> None:
    q, k, v = tensors(1)
    job = case(name, **choices)
    got = assert_attended(q, k, v, job)
    plain = attend(q, k, v, dataclasses.replace(job, score=None), NUMERICS)
    # Moved to the left, the built-in rule hides all that the causal program does.
    assert same(got, plain) == (name == "causal" and job.offset < 0)
    assert not got.saturated.any()


@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference_with_poison(name: str) -> None:
    q, k, v = tensors(2)
    q[4, 1] = k[7, 0] = codes_of(math.nan)
    v[3, 2] = codes_of(math.inf)
    got = assert_attended(q, k, v, case(name, causal=True, offset=-1))
    assert got.poisoned.any() and not got.poisoned.all()


@pytest.mark.parametrize("name", CASES)
def test_seen_pairs(name: str) -> None:
    q, k, _ = tensors(1)
    job = case(name, causal=True, offset=3, keys=8)
    rows = allowed_pairs(job, 0, LENGTH)
    want = [[rows[i, j] and modified(i, j, 0, job, NUMERICS).seen for j in range(8)] for i in range(LENGTH)]
    assert seen_pairs(q, k, job, NUMERICS).tolist() == want
    plain = dataclasses.replace(job, score=None)
    assert np.array_equal(seen_pairs(q, k, plain, NUMERICS), rows)


def test_the_identity_equals_no_program() -> None:
    q, k, v = tensors(3)
    v[5, 0] = codes_of(math.nan)
    want = attend(q, k, v, job_of(None, causal=True, offset=2), NUMERICS)
    everywhere: list[Callable[[Builder], dict[str, int]]] = [
        lambda builder: {"score": builder.input("score")},
        lambda builder: {"seen": builder.boolean(True)},
        lambda builder: {"keep": builder.boolean(True)},
        lambda builder: {
            "keep": builder.boolean(True),
            "keep_factor": builder.constant(1 << 17),
            "keep_shift": builder.constant(0),
        },
        lambda builder: {
            "score": builder.input("score"),
            "keep_factor": builder.constant(5),
            "keep_shift": builder.constant(3),
        },
    ]
    for make in everywhere:
        assert same(attend(q, k, v, job_of(program_of(make), causal=True, offset=2), NUMERICS), want)


def test_a_causal_program_equals_the_causal_rule() -> None:
    q, k, v = tensors(4)
    k[4, 0] = codes_of(math.inf)
    got = attend(q, k, v, job_of(program_of(causal)), NUMERICS)
    assert same(got, attend(q, k, v, job_of(None, causal=True), NUMERICS))
    # It takes away from the other rules and never adds.
    for offset in (-2, 3):
        got = attend(q, k, v, job_of(program_of(causal), causal=True, offset=offset, keys=5), NUMERICS)
        want = attend(q, k, v, job_of(None, causal=True, offset=min(offset, 0), keys=5), NUMERICS)
        assert same(got, want)


def test_seen_may_depend_on_the_score() -> None:
    q, k, v = tensors(5)
    program = program_of(lambda builder: {"seen": builder.less(builder.constant(0), builder.input("score"))})
    got = assert_attended(q, k, v, job_of(program))
    positive = decode(q, NUMERICS.input) @ decode(k, NUMERICS.input).T > 0
    assert np.array_equal(seen_pairs(q, k, job_of(program), NUMERICS), positive)
    assert np.array_equal(got.empty, ~positive.any(axis=1))


def constant_sink(score: int) -> Program:
    """The same sink for every query, in units of scores."""
    return program_of(lambda builder: {"sink": builder.quantise(builder.constant(score, SF), SF)})


@pytest.mark.parametrize("score", [0, 1, -1, units(1.7), units(-30.0), units(1300.0)])
def test_a_sink_alone(score: int) -> None:
    q, k, v = tensors(6)
    got = assert_attended(q, k, v, job_of(constant_sink(score), causal=True, offset=-3))
    alone = slice(0, 3)
    assert not got.empty.any() and not got.poisoned.any() and not got.saturated.any()
    assert not got.out[alone].any()
    assert decode(got.out[3:], NUMERICS.output).any() == (score < units(1000.0))
    # The chord's error is all there is.
    assert np.abs(got.lse(NUMERICS)[alone] - score / 2**SF / LOG2E).max() < 2e-4
    assert same(
        Result(*(part[alone] for part in got)), attend(q[:3], k, v, job_of(constant_sink(score), keys=0), NUMERICS)
    )


def test_a_sink_is_clamped_and_does_not_saturate() -> None:
    q, k, v = tensors(7)
    for sign in (1, -1):
        limit = sign * NUMERICS.score_max
        got = assert_attended(q, k, v, job_of(constant_sink(limit + sign)))
        assert same(got, attend(q, k, v, job_of(constant_sink(limit)), NUMERICS))
        assert not got.saturated.any()


def test_the_lowest_sink_is_none_to_who_sees_a_key() -> None:
    q, k, v = tensors(8)
    got = attend(q, k, v, job_of(constant_sink(-NUMERICS.score_max), causal=True, offset=-1), NUMERICS)
    want = attend(q, k, v, job_of(None, causal=True, offset=-1), NUMERICS)
    assert want.empty.tolist() == [True] + [False] * 5
    assert same(Result(*(part[1:] for part in got)), Result(*(part[1:] for part in want)))
    assert not got.empty.any() and not got.out[0].any()


def test_a_sink_is_one_more_key_without_a_value() -> None:
    # A first key whose score is 0 for every query, and whose value is 0 with the exponent of the smallest numbers.
    q, k, v = tensors(9)
    k[0], v[0] = 0, 0
    want = attend(q, k, v, job_of(None), NUMERICS)
    got = attend(q, k[1:], v[1:], job_of(constant_sink(0), keys=KEYS - 1), NUMERICS)
    assert np.array_equal(got.rd, want.rd) and np.array_equal(got.rm, want.rm) and np.array_equal(got.out, want.out)


def test_a_poisoned_query_that_sees_only_its_sink_is_not_nan() -> None:
    q, k, v = tensors(10)
    q[[0, 3], 0] = codes_of(math.nan)
    got = assert_attended(q, k, v, job_of(constant_sink(units(1.0)), causal=True, offset=-1))
    assert got.poisoned.tolist() == [False, False, False, True, False, False]
    assert not got.out[0].any() and np.isfinite(got.lse(NUMERICS)[0])


def test_nothing_is_kept() -> None:
    q, k, v = tensors(11)
    v[7, 0] = codes_of(math.inf)
    job = job_of(program_of(lambda builder: {"keep": builder.boolean(False)}), causal=True, offset=2)
    got = assert_attended(q, k, v, job)
    want = attend(q, k, v, job_of(None, causal=True, offset=2), NUMERICS)
    # The denominator and poison are as they were; the value side has seen nothing.
    assert same(got, want._replace(out=np.where(want.poisoned[:, None], want.out, 0).astype(want.out.dtype)))
    assert want.poisoned.any() and not want.poisoned.all()


def test_a_row_that_is_not_kept_does_not_set_the_value_reference() -> None:
    q, k, v = tensors(12, spread=0)
    # Key 3 is dropped; its value is so large that no other would survive next to it.
    v[3] = codes_of(2.0**100)
    program = program_of(
        lambda builder: {"keep": builder.invert(builder.equal(builder.input("kv"), builder.constant(3)))}
    )
    got = assert_attended(q, k, v, job_of(program))
    v[3] = 0
    assert np.array_equal(got.out, attend(q, k, v, job_of(None), NUMERICS).out) and got.out.all()


@pytest.mark.parametrize("shift", [0, 1, 7, 40])
def test_a_shift_of_kept_weights_is_a_power_of_two(shift: int) -> None:
    q, k, v = tensors(13)
    program = program_of(lambda builder: {"keep": builder.boolean(True), "keep_shift": builder.constant(shift)})
    got = assert_attended(q, k, v, job_of(program))
    want = attend(q, k, v, job_of(None), NUMERICS)
    assert np.array_equal(decode(got.out, NUMERICS.output), decode(want.out, NUMERICS.output) * 2.0**shift)


def test_poison_by_a_bias() -> None:
    q, k, v = tensors(14)
    clean = attend(q, k, v, job_of(program_of(biased), bias=BIAS, causal=True, offset=1), NUMERICS)
    bias = BIAS.copy()
    # The last two stand where the causal rule sees nothing and where minus infinity hides the key.
    bias[[1, 4, 2], [2, 0, 8]] = codes_of([math.nan, math.inf, math.nan])
    bias[5, 5] = codes_of(-math.inf)
    k[5] = codes_of(math.nan)
    job = job_of(program_of(biased), bias=bias, causal=True, offset=1)
    got = assert_attended(q, k, v, job)
    assert got.poisoned.tolist() == [False, True, False, False, True, False]
    assert np.array_equal(got.out[[0, 2, 3]], clean.out[[0, 2, 3]])
    assert not got.saturated.any()


def test_a_program_that_reads_only_hidden_is_poisoned_too() -> None:
    q, k, v = tensors(15)
    bias = codes_of(np.zeros((LENGTH, KEYS)))
    bias[2, 3], bias[3, 3] = codes_of(math.nan), codes_of(-math.inf)
    program = program_of(lambda builder: {"seen": builder.invert(builder.input("hidden"))})
    got = assert_attended(q, k, v, job_of(program, bias=bias))
    assert got.poisoned.tolist() == [False, False, True, False, False, False]


def test_inputs_are_the_first_head_s_unless_said_otherwise() -> None:
    inputs = ScoreInputs(program=constant_sink(0))
    assert (inputs.batch, inputs.head, inputs.bias, dict(inputs.arguments)) == (0, 0, None, {})


def test_a_sink_is_one_of_the_keys() -> None:
    """All scores are equal and all weights the largest, so RD is the largest that there can be; it just fits."""
    numerics = dataclasses.replace(NUMERICS, key_bits=2, accumulator_bits=40)
    q = np.zeros((1, HEAD), np.uint16)
    k = v = np.zeros((4, HEAD), np.uint16)
    job = dataclasses.replace(job_of(constant_sink(0), keys=3), scale=numerics.encode_scale(SCALE))
    alone, all_four = (int(attend(q, k, v, dataclasses.replace(job, keys=n), numerics).rd[0]) for n in (0, 3))
    assert all_four == 4 * alone and all_four.bit_length() == numerics.denominator_bits
    with pytest.raises(ValueError, match=r"^keys must lie in 0 \.\. 3, not 4$"):
        attend(q, k, v, dataclasses.replace(job, keys=4), numerics)


def test_a_bias_is_given_if_and_only_if_it_is_read() -> None:
    q, k, v = tensors(16)
    with pytest.raises(ValueError, match="needs a bias"):
        attend(q, k, v, job_of(program_of(biased)), NUMERICS)
    with pytest.raises(ValueError, match="does not use the bias"):
        attend(q, k, v, job_of(program_of(causal), bias=BIAS), NUMERICS)


def shifted(score: int) -> Program:
    """Score units added to query 1 and key 2 only."""

    def make(builder: Builder) -> dict[str, int]:
        here = builder.both(
            builder.equal(builder.input("q"), builder.constant(1)),
            builder.equal(builder.input("kv"), builder.constant(2)),
        )
        moved = builder.quantise(builder.add(builder.input("score"), builder.constant(score, SF)), SF)
        return {"score": builder.select(here, moved, builder.input("score"))}

    return program_of(make)


def test_only_a_high_clamp_that_is_seen_saturates() -> None:
    q, k, v = tensors(17)
    far = 2 * NUMERICS.score_max
    got = assert_attended(q, k, v, job_of(shifted(far)))
    assert got.saturated.tolist() == [False, True, False, False, False, False]
    assert got.rm[1] == 1 << 11
    assert not assert_attended(q, k, v, job_of(shifted(-far))).saturated.any()
    # Query 1 does not see key 2.
    assert not assert_attended(q, k, v, job_of(shifted(far), causal=True)).saturated.any()
    k[2] = codes_of(math.nan)
    assert not assert_attended(q, k, v, job_of(shifted(far))).saturated.any()


def test_the_highest_score_is_not_a_clamp() -> None:
    q, k, v = tensors(18)
    q[:] = 0
    highest = NUMERICS.score_max
    assert not assert_attended(q, k, v, job_of(shifted(highest))).saturated.any()
    assert assert_attended(q, k, v, job_of(shifted(highest + 1))).saturated.tolist() == [False, True] + [False] * 4


def test_a_clamp_of_the_scale_saturates_as_before() -> None:
    q, k, v = tensors(19)
    want = attend(q, k, v, job_of(None, scale=1e4), NUMERICS)
    got = assert_attended(q, k, v, job_of(program_of(softcap), scale=1e4))
    assert np.array_equal(got.saturated, want.saturated) and got.saturated.any()


@pytest.mark.parametrize("name", CASES)
def test_chunks_of_queries_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = tensors(20)
    job = case(name, causal=True, offset=1)
    want, seen = attend(q, k, v, job, NUMERICS), seen_pairs(q, k, job, NUMERICS)
    for attribute, value in (("QUERY_CHUNK", 4), ("PAIR_CHUNK", 1), ("PAIR_CHUNK", 3 * KEYS)):
        with monkeypatch.context() as patch:
            patch.setattr(module_of_attention, attribute, value)
            assert same(attend(q, k, v, job, NUMERICS), want)
            assert np.array_equal(seen_pairs(q, k, job, NUMERICS), seen)


def test_heads_and_batches_are_inputs() -> None:
    rng = np.random.default_rng(21)
    q, k, v = (codes_of(rng.normal(size=(2, heads, n, 4))) for heads, n in ((4, 5), (2, 6), (2, 6)))
    lengths = np.array([6, 3])
    by_batch = Argument("by_batch", 2, -(1 << 20), 1 << 20, SF, factor=LOG2E, table=True)

    def make(builder: Builder) -> dict[str, int]:
        outputs = alibi(builder) | biased(builder)
        score = builder.add(alibi(builder)["score"], builder.input("bias"))
        return outputs | {"score": score, "sink": builder.table(by_batch, builder.input("b"))}

    program = program_of(make)
    arguments = {"slopes": rng.integers(-(1 << 20), 1 << 20, 4), "by_batch": by_batch.encode([0.5, -1.0])}
    bias = codes_of(rng.normal(size=(1, 4, 1, 6)))
    got = attention(
        q, k, v, NUMERICS, causal=True, offset=1, key_lengths=lengths, score=program, arguments=arguments, bias=bias
    )
    whole = np.broadcast_to(bias, (2, 4, 5, 6))
    for b, h in np.ndindex(2, 4):
        inputs = ScoreInputs(program=program, arguments=arguments, batch=b, head=h, bias=whole[b, h])
        job = Job(scale=NUMERICS.encode_scale(0.5), keys=int(lengths[b]), causal=True, offset=1, score=inputs)
        want = assert_attended(q[b, h], k[b, h // 2], v[b, h // 2], job)
        assert same(Result(*(part[b, h] for part in got)), want)


# Against float64


@dataclasses.dataclass(frozen=True)
class Workload:
    """A program with its arguments and the same in float64."""

    program: Program
    choices: dict[str, Any]
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    bias: npt.NDArray[np.float64] | None = None


ROWS, COLUMNS = 40, 200
SLOPES = np.array([0.0, 0.0625])
FLOAT_BIAS = np.random.default_rng(30).normal(size=(2, ROWS, COLUMNS)) * 2
FLOAT_BIAS[:, 5:9, 20:60] = -math.inf
FLOAT_BIAS = decode(codes_of(FLOAT_BIAS), NUMERICS.input)


def kept(b: int, h: int, q: exact.IntArray, kv: exact.IntArray) -> npt.NDArray[np.bool_]:
    """What `dropping` keeps; its third by multiplication is exact up to there."""
    assert ROWS * 5 + COLUMNS < 1 << 16
    return (5 * q + kv) % 3 > 0


WORKLOADS = {
    "causal": Workload(program_of(causal), {"mask_mod": lambda b, h, q, kv: kv <= q}),
    "alibi": Workload(
        program_of(alibi),
        {"score_mod": lambda s, b, h, q, kv: s + SLOPES[h] * (kv - q)},
        {"slopes": np.rint(np.append(SLOPES, [0, 0]) * LOG2E * 2**20).astype(np.int64)},
    ),
    "softcap": Workload(program_of(softcap), {"score_mod": lambda s, b, h, q, kv: 2 * np.tanh(s / 2)}),
    "bias": Workload(
        program_of(biased), {"score_mod": lambda s, b, h, q, kv: s + FLOAT_BIAS[h][q, kv]}, bias=FLOAT_BIAS[None]
    ),
    "sink": Workload(program_of(sunk), {"sink": lambda b, h, q: 0.3 * q}),
    "dropout": Workload(program_of(dropping), {"keep": kept, "keep_probability": 0.8}),
}


@pytest.mark.parametrize(("name", "limit"), [("bf16", 1.02), ("fp16", 1.05)])
@pytest.mark.parametrize("workload", WORKLOADS)
def test_as_good_as_rounding(workload: str, name: str, limit: float) -> None:
    numerics = Numerics(in_format=name, out_format=name)
    fmt = numerics.input
    work = WORKLOADS[workload]
    rng = np.random.default_rng(22)
    codes = [encode(rng.normal(size=(1, 2, n, 64)), fmt) for n in (ROWS, COLUMNS, COLUMNS)]
    bias = None if work.bias is None else encode(work.bias, fmt)
    got = attention(*codes, numerics, score=work.program, arguments=work.arguments, bias=bias)
    want = exact.attention(*(decode(tensor, fmt) for tensor in codes), **work.choices)
    assert not (got.saturated.any() or got.poisoned.any())
    assert rounding_ratio(decode(got.out, fmt), want.out, fmt) <= limit
    assert np.abs(got.lse(numerics) - want.lse).max() < 2e-4
