"""Roofs, what is measured and modelled below them, and the page that shows it."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from golden.exact import Shape
from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.model.machine import Prediction, predict
from hwgen.model.roofline import (
    MEASURED,
    Point,
    attainable,
    bound,
    chunk,
    decode,
    draw,
    intensity,
    measured,
    model_point,
    page,
    prefill,
    ridge,
    useful,
    with_bus,
    with_rows,
    with_slots,
)
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.presets import PRESETS, preset
from hwgen.timing import resident_rows

SIM = Params(preset("sim"))
RUNS = measured(SIM)
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "README.md"


@cache
def random_runs() -> list[tuple[Params, Work, Prediction]]:
    """Seed 5: problems on small and large machines."""
    rng, runs = random.Random(5), []
    for _ in range(16):
        params = Params(preset(rng.choice(("tiny", "demo", "sim"))))
        c, kv_heads = params.config, rng.randint(1, 2)
        e, f = (rng.choice([n for n in (8, 16, 32, 64) if n <= most]) for most in (c.head_e, c.head_f))
        length, keys = (rng.choice((1, 7, 30, 64)) for _ in range(2))
        shape = Shape(1, kv_heads * rng.randint(1, 3), kv_heads, length, keys, e, f)
        work = Work(shape=shape, causal=rng.random() < 0.5)
        runs.append((params, work, predict(params, work)))
    return runs


def test_runs_are_those_of_the_results() -> None:
    """The configuration is still the one measured, and the results tell the same cycles."""
    assert f"configuration_hash: {SIM.config.hash()}" in MEASURED.read_text()
    assert len(RUNS) == 5
    text = RESULTS.read_text()
    for point, work in RUNS:
        assert f"| {point.cycles:,} | {point.performance / SIM.macs:.4f} |" in text, point.label
        assert point.macs == useful(work)
    assert measured(Params(preset("tiny"))) == ()


@pytest.mark.parametrize(("point", "work"), RUNS, ids=[point.label for point, _ in RUNS])
def test_measured_runs_are_below_the_roofs(point: Point, work: Work) -> None:
    limit = bound(SIM, work)
    assert point.performance <= limit.performance(SIM) <= attainable(SIM, limit.intensity)
    assert point.performance <= attainable(SIM, point.intensity)
    assert point.cycles >= limit.compute and point.cycles * SIM.bus_bytes >= limit.read


@pytest.mark.parametrize(("point", "work"), RUNS, ids=[point.label for point, _ in RUNS])
def test_the_closed_form_has_every_byte_that_was_read(point: Point, work: Work) -> None:
    """All of the hardware's reads but its descriptor."""
    assert bound(SIM, work).read + DESCRIPTOR_BYTES == point.bytes


def test_roofs() -> None:
    for name in PRESETS:
        params = Params(preset(name))
        for x in (0.1, 1.0, ridge(params), 2 * ridge(params), 1e4):
            assert attainable(params, x) <= params.macs
            assert attainable(params, x) <= params.bus_bytes * x
            assert attainable(params, x) in (params.macs, params.bus_bytes * x)
        assert attainable(params, ridge(params)) == params.macs


def test_intensity_in_closed_form() -> None:
    """K and V rows once a block: for L = n blocks, S keys and E = F, `L S / (L + n S)` halves of an element's bytes."""
    for blocks, keys in ((1, 500), (4, 512), (8, 3000)):
        queries = blocks * SIM.block
        work = Work(shape=Shape(1, 1, 1, queries, keys, 64, 64))
        limit = bound(SIM, work)
        # Elements of 2 bytes: Q once and all keys and values once a block.
        assert limit.read == 2 * 64 * (queries + 2 * blocks * keys)
        assert limit.intensity == queries * keys * 128 / (128 * (queries + 2 * blocks * keys))
    for group in (1, 4, 16, 64):
        limit = bound(SIM, decode(1 << 15, heads=group))
        # Beside the rows of K and V, those of Q do not count.
        assert limit.intensity == pytest.approx(group / 2, rel=2e-3)
    alone = bound(SIM, decode(4096, heads=8, kv_heads=8))
    assert alone.intensity == bound(SIM, decode(4096, heads=1)).intensity


def test_intensity_is_the_model_s_traffic() -> None:
    for params, work, prediction in random_runs():
        written = prediction.bytes["o"] + prediction.bytes["lse"]
        read = sum(prediction.bytes.values()) - written
        point = model_point(params, work, "x", prediction)
        assert (point.macs, point.cycles, point.measured) == (useful(work), prediction.cycles, False)
        assert point.intensity == useful(work) / max(read, written)
    assert intensity(params, work) == point.intensity


def test_the_model_is_below_the_bound() -> None:
    for params, work, prediction in random_runs():
        point, limit = model_point(params, work, "x", prediction), bound(params, work)
        assert point.performance <= limit.performance(params), (params.config, work)
        assert limit.performance(params) <= min(params.macs, params.bus_bytes * limit.intensity) * (1 + 1e-12)


def test_larger_blocks_and_buffers_read_less() -> None:
    reads = [bound(with_slots(SIM, slots), prefill(4096)).read for slots in (1, 2, 4, 8, 16, 32, 64)]
    assert reads == sorted(reads, reverse=True) and len(set(reads)) == len(reads)
    # A head that fits is read once, by however many blocks it is used.
    once = 2 * 64 * 3 * 512
    for rows in (32, 64, 128, 256, 512):
        machine = with_rows(SIM, rows)
        read = bound(machine, prefill(512)).read
        assert (read == once) == (resident_rows(machine) >= 512)
        assert read == once or read == 2 * 64 * (512 + 2 * 512 * 512 // SIM.block)
    for bits in (64, 256, 512):
        assert bound(with_bus(SIM, bits), prefill(512)) == bound(SIM, prefill(512))


def test_a_causal_block_needs_the_keys_of_its_last_query() -> None:
    work = prefill(4 * SIM.block, causal=True)
    rows = sum((i + 1) * SIM.block for i in range(4))
    limit = bound(SIM, work)
    assert limit.read == 2 * 64 * (4 * SIM.block + 2 * rows)
    # Slots are shown what their own last query sees.
    cols, slots = SIM.config.cols, SIM.config.slots
    assert limit.compute == SIM.visit * sum((i + 1) * cols for i in range(4 * slots))


def test_queries_of_a_chunk_and_heads_that_share_count_alike() -> None:
    """Without a mask, 8 queries of one head are 8 heads' one query."""
    for queries, heads in ((8, 1), (2, 4), (1, 8)):
        work = replace(chunk(queries, 4096, heads=heads), causal=False, offset=0)
        assert bound(SIM, work) == bound(SIM, decode(4096, heads=8))
    # Its last query sees all keys, its first one as many less as there are others.
    assert chunk(4, 100, heads=1).pairs == 97 + 98 + 99 + 100


def test_one_query_waits_for_its_own_state() -> None:
    """A slot is shown keys no faster than the running reference goes round."""
    small = Params(replace(preset("tiny"), head_e=4, head_f=4, lanes=2))
    assert small.visit == 1
    keys = 1000
    assert bound(small, Work(shape=Shape(1, 1, 1, 1, keys, 4, 4))).compute == 4 * keys
    assert bound(small, Work(shape=Shape(1, 1, 1, 8, keys, 4, 4))).compute == 4 * keys


def test_the_page(tmp_path: Path) -> None:
    files = page(tmp_path)
    assert [path.name for path in files] == ["roofline.md", "roofline.svg", "decode.svg"]
    text = files[0].read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (tmp_path / link).exists() or link == RESULTS.name, link
    for point, _ in RUNS:
        assert re.search(rf"\| \d+\. {re.escape(point.label)} \| RTL \|.* \| {point.performance:.1f} \|", text)
    for path in files[1:]:
        svg = path.read_text()
        assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
    stale = "docs/results is not what the code says; make it again: hwgen results"
    assert text == (RESULTS.parent / files[0].name).read_text(), stale


def test_points_in_the_picture() -> None:
    """Measured ones are filled; what lies on each other shares a label; nothing needs a point."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = [Point("a", 512 * 100, 6400, 110, True), Point("b", 512 * 100, 6410, 112, False)]
    points.append(Point("c", 1000, 1000, 100, False))
    nothing = Point("d", 0, 1000, 100, True)
    for shown, extra in ((points, [nothing]), ([], [])):
        figure, axes = pyplot.subplots()
        draw(axes, SIM, [*shown, *extra])
        assert len(axes.collections) == len(shown)
        filled = [len(dots.get_facecolor()) > 0 for dots in axes.collections]
        assert filled == [point.measured for point in shown]
        labels = {text.get_text() for text in axes.texts}
        assert labels == {"512 multipliers", "16 bytes a cycle"} | ({"1, 2", "3"} if shown else set())
        low, high = axes.get_xlim()
        assert all(low < point.intensity < high for point in shown)
        pyplot.close(figure)
