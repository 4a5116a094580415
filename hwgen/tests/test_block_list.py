"""Lists of segments against the pairs they show; block masks against the functions they come from."""

from __future__ import annotations

import struct
from itertools import product

import numpy as np
import pytest

from hwgen.params import Params
from hwgen.scoremod.block_list import (
    EMPTY,
    FULL,
    PARTIAL,
    Bools,
    Pages,
    Segment,
    create_block_mask,
    encode_list,
    job_rows,
    list_segments,
    machine_list,
    segments_of,
)
from hwgen.tests.bench import tiny
from hwgen.tests.segmenting import rising, sinking

SHAPES = [
    pytest.param(tiny(), id="4x2"),
    pytest.param(tiny(slots=1, cols=4), id="1x4"),
    pytest.param(tiny(slots=16, cols=1), id="16x1"),
    pytest.param(tiny(slots=3, cols=3, lanes=3), id="3x3"),
]


def random_mask(rng: np.random.Generator, queries: int, keys: int) -> Bools:
    """Keys seen by many queries next to keys seen by few or none."""
    density = rng.choice([0.0, 0.1, 0.6, 1.0], keys)
    steps = np.repeat(rng.random((queries, -(-keys // 3))), 3, axis=1)[:, :keys]
    return steps < density


def shown(segments: list[Segment], slots: int, keys: int) -> Bools:
    """(slots, keys): what the segments show; each pair once, keys in order."""
    table = np.zeros((slots, keys), dtype=bool)
    end = 0
    for segment in segments:
        if not segment.sink:
            assert segment.first >= end or not segment.keys
            end = segment.first + segment.keys
            for slot in range(slots):
                table[slot, segment.first : end] = segment.live >> slot & 1
            assert not segment.live >> slots
    return table


@pytest.mark.parametrize("params", SHAPES)
def test_lists_show_what_is_seen(params: Params) -> None:
    rng = np.random.default_rng(1)
    cols = params.config.cols
    for _ in range(40):
        queries, keys = int(rng.integers(1, params.block + 1)), int(rng.integers(0, 30))
        seen = random_mask(rng, queries, keys)
        slots = -(-queries // cols)
        want = np.array([seen[i * cols : (i + 1) * cols].any(axis=0) for i in range(slots)]).reshape(slots, keys)
        segments = list_segments(seen, params)
        table = shown(segments, slots, keys)
        assert (table == want).all()
        # Each slot is told once, with its last key, that there are no more.
        for slot in range(slots):
            told = [s.first + s.keys - 1 for s in segments if s.last >> slot & 1]
            assert told == ([int(np.flatnonzero(want[slot])[-1])] if want[slot].any() else [])
        assert [s.block_last for s in segments] == [0] * (len(segments) - 1) + [1]
        assert all(s.row == s.first for s in segments)
        # There are no fewer: what follows without a gap is shown to others.
        pairs = zip(segments, segments[1:], strict=False)
        assert all(a.first + a.keys < b.first or a.live != b.live for a, b in pairs)
        assert want.any() or segments == [Segment(0, 0, 0, 0, 0, 0, 1)]


@pytest.mark.parametrize("sink", [False, True])
def test_intervals_are_a_kind_of_mask(sink: bool) -> None:
    params = tiny(slots=8, cols=1)
    rng = np.random.default_rng(2)
    for _ in range(60):
        count = int(rng.integers(1, 9))
        low, high = rising(rng, count, -3, 15), rising(rng, count, -3, 20)
        keys = np.arange(20)
        seen = np.array([(a <= keys) & (keys <= b) for a, b in zip(low, high, strict=True)])
        assert segments_of(list(zip(low, high, strict=True)), sink) == list_segments(seen, params, sink=sink)


def test_the_sink_comes_first() -> None:
    """For all slots; for those that see no key it is the last thing they see."""
    params = sinking(slots=4, cols=2)
    seen = np.zeros((7, 5), dtype=bool)
    seen[2, 1:3] = True
    assert list_segments(seen, params) == [Segment(0, 1, 0, 15, 13, 1), Segment(1, 2, 1, 2, 2, 0, 1)]
    assert list_segments(seen & False, params) == [Segment(0, 1, 0, 15, 15, 1, 1)]


def test_pages_are_never_crossed() -> None:
    params = tiny()
    rng = np.random.default_rng(3)
    for size, stride in ((4, 4), (7, 21), (1, 1)):
        pages = Pages(tuple(int(n) for n in rng.permutation(40)), size, stride)
        seen = random_mask(rng, params.block, 29)
        plain, paged = list_segments(seen, params), list_segments(seen, params, pages)
        assert (shown(paged, 4, 29) == shown(plain, 4, 29)).all()
        for segment in paged:
            keys = range(segment.first, segment.first + segment.keys)
            assert len({key // size for key in keys}) == 1
            where = [pages.table[key // size] * stride + key % size for key in keys]
            assert where == list(range(segment.row, segment.row + segment.keys))
        last = [sum(s.last for s in found) for found in (plain, paged)]
        assert last[0] == last[1]


def test_job_rows() -> None:
    """Row p * group + g of kv head h belongs to position p of head h * group + g."""
    rng = np.random.default_rng(4)
    seen = rng.random((2, 6, 5, 4)) < 0.5
    rows = job_rows(seen, 3)
    assert rows.shape == (2, 2, 15, 4)
    for b, head, p in product(range(2), range(6), range(5)):
        assert (rows[b, head // 3, p * 3 + head % 3] == seen[b, head, p]).all()


def test_a_layer_is_listed_block_by_block() -> None:
    params = tiny()
    rng = np.random.default_rng(5)
    seen = rng.random((2, 4, 7, 10)) < 0.3
    tables = [Pages(tuple(int(n) for n in rng.permutation(9)), 4, 4) for _ in range(2)]
    lengths = [10, 6]
    found = machine_list(seen, params, 2, tables, lengths)
    want = []
    for b, head in product(range(2), range(2)):
        rows = job_rows(seen, 2)[b, head, :, : lengths[b]]
        for first in (0, 8):
            want += list_segments(rows[first : first + 8], params, tables[b])
    assert found == want
    assert sum(s.block_last for s in found) == 8


def test_records() -> None:
    segments = [Segment(5, 7, 1 << 31, 1 << 63 | 1, 1), Segment(0, 1, 2, 3, 2, 1, 1), Segment(0, 0, 0, 0, 0, 0, 1)]
    coded = encode_list(segments)
    words = [(5, 7), (0, 1 | 3 << 30), (0, 1 << 31)]
    want = [
        struct.pack("<IIQQII", first, keys, s.live, s.last, s.row, 0)
        for (first, keys), s in zip(words, segments, strict=True)
    ]
    assert coded == b"".join(want) and len(coded) == 32 * len(segments)
    assert encode_list([]) == b""


@pytest.mark.parametrize("queries", [0, 9])
def test_a_block_holds_so_many_queries(queries: int) -> None:
    with pytest.raises(ValueError, match="a block holds 1 .. 8 queries"):
        list_segments(np.ones((queries, 3), dtype=bool), tiny())


def mask(b: int, h: int, q: np.ndarray, kv: np.ndarray) -> np.ndarray:
    """A window that depends on everything."""
    return (kv <= q + b) & (q - kv < 5 + 3 * h) | (kv == 0)


@pytest.mark.parametrize("block_size", [1, 4, (3, 5), 128], ids=str)
def test_block_mask(block_size: int | tuple[int, int]) -> None:
    whole = create_block_mask(mask, 2, 3, 17, 23, block_size)
    q, kv = np.arange(17)[:, None], np.arange(23)[None, :]
    want = np.array([[mask(b, h, q, kv) for h in range(3)] for b in range(2)])
    assert (whole.seen == want).all() and whole.shape == want.shape
    high, wide = (block_size, block_size) if isinstance(block_size, int) else block_size
    assert whole.kinds.shape == (2, 3, -(-17 // high), -(-23 // wide))
    for b, h, i, j in np.ndindex(whole.kinds.shape):
        part = want[b, h, i * high : (i + 1) * high, j * wide : (j + 1) * wide]
        assert whole.kinds[b, h, i, j] == (FULL if part.all() else PARTIAL if part.any() else EMPTY)
    assert whole.sparsity == (whole.kinds == EMPTY).mean()


def test_masks_of_fewer_axes() -> None:
    """One for all batches and heads; of queries or keys alone."""
    same = create_block_mask(lambda b, h, q, kv: kv < 6, None, None, 8, 16, 4)
    assert same.shape == (1, 1, 8, 16)
    assert (same.kinds == [FULL, PARTIAL, EMPTY, EMPTY]).all() and same.sparsity == 0.5
    assert (same.seen == (np.arange(16) < 6)).all()
    rows = create_block_mask(lambda b, h, q, kv: q % 2 == 0, None, 2, 8, 16, 4)
    assert (rows.kinds == PARTIAL).all() and (rows.seen[0, 1] == (np.arange(8) % 2 == 0)[:, None]).all()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0, 1, 1, 1), "B must"), ((1, 0, 1, 1), "H must"), ((1, 1, 0, 1), "L must"), ((1, 1, 1, 0), "S must")],
)
def test_sizes_of_masks(sizes: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_block_mask(mask, *sizes)
    with pytest.raises(ValueError, match="block_size must be at least 1, not 0"):
        create_block_mask(mask, 1, 1, 1, 1, 0)
