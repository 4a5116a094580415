"""The machine's model: equations between its counters, and between going step by step and leaping."""

from __future__ import annotations

import numpy as np
import pytest

from golden.exact import Shape
from golden.formats import encode
from hwgen.config import Config
from hwgen.control.causes import Cause
from hwgen.errors import ConfigError, InputError
from hwgen.model.machine import Memory, predict
from hwgen.model.placing import places
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.layout import Image
from hwgen.timing import resident_rows

TINY, DEMO, SIM = (Params(preset(name)) for name in ("tiny", "demo", "sim"))
LARGEST = 1 << 20


def work(b: int, heads: int, queries: int, keys: int, params: Params, kv_heads: int = 0, **masks: object) -> Work:
    c = params.config
    shape = Shape(b, heads, kv_heads or heads, queries, keys, c.head_e, c.head_f)
    return Work(shape=shape, **masks)  # type: ignore[arg-type]


def some(seed: int) -> tuple[Params, Work, Memory]:
    """A random problem on a small machine."""
    rng = np.random.default_rng(seed)
    changes = ({}, {"slots": 1}, {"outstanding": 2}, {"buffer_rows": 30}, {"bus_bits": 64, "burst_beats": 4})
    params = Params(preset(str(rng.choice(["tiny", "demo"]))).replace(changes[int(rng.integers(len(changes)))]))
    c = params.config
    b, kv_heads, group = (int(rng.choice([1, 1, 2, 5])) for _ in range(3))
    queries, keys = (int(rng.choice([1, rng.integers(2, 90), rng.integers(2, 500)])) for _ in range(2))
    queries = max(1, min(queries, 800 * c.cols // (b * kv_heads * group * keys)))
    causal = bool(rng.random() < 0.5)
    offset = int(rng.choice([0, keys - queries, rng.integers(-queries, keys)])) if causal else 0
    lengths = tuple(int(n) for n in rng.integers(0, keys + 1, b)) if rng.random() < 0.3 else None
    shape = Shape(b, kv_heads * group, kv_heads, queries, keys, c.head_e, int(rng.integers(1, c.head_f + 1)))
    masks = {"causal": causal, "offset": offset, "key_lengths": lengths, "lse": bool(rng.random() < 0.5)}
    memory = Memory(latency=int(rng.choice([2, 100, 300])), bandwidth=int(rng.choice([256, 256, 90])))
    return params, Work(shape=shape, **masks), memory  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(10))
def test_leaping_changes_nothing(seed: int) -> None:
    params, problem, memory = some(seed)
    leapt, stepped = (predict(params, problem, memory, leap=leap) for leap in (True, False))
    assert leapt.counters == stepped.counters
    assert stepped.steps == stepped.cycles >= leapt.steps


@pytest.mark.parametrize("seed", range(100, 104))
def test_busy_and_idle_are_all_cycles(seed: int) -> None:
    found = predict(*some(seed))
    for array in ("score", "value"):
        assert found.counters[f"{array}_busy"] + sum(found.idle(array).values()) == found.cycles
    assert sum(found.bytes.values()) == sum(n for name, n in found.counters.items() if "_bytes_" in name)
    assert 0 <= found.utilisation <= 1 and found.counters["pairs"] == found.work.pairs


@pytest.mark.parametrize("masks", [{}, {"causal": True}])
def test_bytes_grow_with_the_batch(masks: dict) -> None:
    """By as much with every entry, but for descriptor and padding: rows lie at the same places of a word."""
    found = [predict(TINY, work(b, 2, 20, 30, TINY, lse=True, **masks)).bytes for b in (1, 2, 3)]
    steps = [
        {name: after[name] - before[name] for name in after} for before, after in zip(found[:2], found[1:], strict=True)
    ]
    assert steps[0] == steps[1] and steps[0]["q"] == found[0]["q"] > 0 and steps[0]["other"] == 0


@pytest.mark.parametrize("keys", [resident_rows(DEMO) - 1, resident_rows(DEMO), resident_rows(DEMO) + 1, 300])
def test_keys_are_read_once_a_block_unless_they_stay(keys: int) -> None:
    blocks = 4
    found = predict(DEMO, work(1, 1, blocks * DEMO.block, keys, DEMO))
    reads = 1 if keys <= resident_rows(DEMO) else blocks
    row = found.work.shape.E * DEMO.input.bits // 8
    assert found.bytes["k"] == reads * keys * row


@pytest.mark.parametrize(
    "problem, most",
    [
        (work(1, 1, LARGEST, LARGEST, SIM), 50_000),
        (work(1, 1, LARGEST, LARGEST, SIM, causal=True), 80_000),
        (work(1, 8, 1, LARGEST, SIM, kv_heads=1), 4_000),
        (work(4096, 64, 1, 256, SIM, kv_heads=16), 30_000),
    ],
    ids=["full", "causal", "decode", "many heads"],
)
def test_large_problems_take_few_steps(problem: Work, most: int) -> None:
    """Bounded by the machine, not by the problem. What one core needs at least is known: visits of at most a block."""
    found = predict(SIM, problem)
    assert found.steps < most < found.cycles
    assert found.counters["score_busy"] + sum(found.idle("score").values()) == found.cycles
    assert found.counters["pairs"] * (64 + 64) <= found.cycles * SIM.macs


def test_leaps_reach_everywhere_alike() -> None:
    """A block more is the same work more, however many there were before, and so is a head of a block."""
    cycles = [predict(TINY, work(1, 1, n * TINY.block, 40, TINY)).cycles for n in (30, 31, 50, 51, 5000, 5001)]
    assert len({cycles[i + 1] - cycles[i] for i in (0, 2, 4)}) == 1
    heads = [predict(TINY, work(1, n, TINY.block, 40, TINY)).cycles for n in (30, 31, 500, 501)]
    assert heads[1] - heads[0] == heads[3] - heads[2]


@pytest.mark.parametrize("seed", range(5))
def test_tensors_lie_where_the_simulation_puts_them(seed: int) -> None:
    params, problem, _ = some(seed)
    s, image = problem.shape, Image(params, base=0)
    sizes = (s.B, s.Hq, s.L, s.E), (s.B, s.Hkv, s.S, s.E), (s.B, s.Hkv, s.S, s.F)
    tensors = [encode(np.zeros(size), params.input) for size in sizes]
    lengths = None if problem.key_lengths is None else np.array(problem.key_lengths)
    scale = params.numerics.encode_scale(1.0)
    placed = image.add(*tensors, scale=scale, key_lengths=lengths, lse=problem.lse)
    layout, descriptor = places(params, problem), placed.descriptor
    for name, place in layout.tensors.items():
        batch, head, row = getattr(descriptor, f"{name}_strides")
        group = problem.group if name in ("q", "o", "lse") else 1
        assert place == (getattr(descriptor, f"{name}_address"), batch, group * head), name
        assert (layout.shapes[name].stride, layout.shapes[name].head_stride) == (row, head), name
    if lengths is not None:
        assert layout.lengths == descriptor.key_lengths_address
    assert layout.ring == image.with_ring([])[1]


@pytest.mark.parametrize(
    "params, changes, memory, words",
    [
        (Params(Config(block_list=True)), {}, {}, "does not know machines with lists of segments"),
        (TINY, {"E": 9}, {}, "E must be at most 8 .the core's head_e., not 9"),
        (TINY, {"S": LARGEST + 1}, {}, f"up to {LARGEST} keys, not {LARGEST + 1}"),
        (TINY, {}, {"latency": 1}, "latency must lie in 2 .. 65536, not 1"),
        (TINY, {}, {"bandwidth": 0}, "bandwidth must lie in 1 .. 256, not 0"),
    ],
)
def test_what_cannot_be_told_is_refused(params: Params, changes: dict, memory: dict, words: str) -> None:
    with pytest.raises((ConfigError, InputError), match=words):
        predict(params, Work(shape=Shape(1, 1, 1, 4, 4, 4, 4)._replace(**changes)), Memory(**memory))


def test_every_cause_is_named() -> None:
    assert set(predict(*some(0)).idle("value")) == {cause.name.lower() for cause in Cause}
