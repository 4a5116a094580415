"""The score array: dot products, their tags beside them, and when both are there."""

from typing import Any

import numpy as np
import pytest

from hwgen.array.feeder import FeederRow, key_address
from hwgen.array.score_array import ScoreArray
from hwgen.control.tags import score_tag_layout
from hwgen.params import Params
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.pairs import PROGRAMS
from hwgen.timing import key_latency, score_latency

SHAPES = [
    pytest.param(tiny(), id="4x2"),
    pytest.param(tiny(rows_e=2, cols=3, lanes=3, head_e=6, beat=1), id="2x3-three-folds"),
    pytest.param(tiny(rows_e=4, cols=1, slots=2, head_e=4, beat=4), id="4x1-one-fold"),
    pytest.param(tiny(score=PROGRAMS["everything"]), id="4x2-program"),
]


def memories(rng: np.random.Generator, params: Params) -> tuple[Any, Any]:
    """Query operands (rows, columns, operands) and key elements (rows, addresses)."""
    c = params.config
    most = 2 ** (c.operand_bits - 1) - 1
    queries = rng.integers(-most, most + 1, (c.rows_e, c.cols, params.q_depth))
    keys = rng.integers(-most, most + 1, (c.rows_e, 1 << key_address(params).width))
    queries[..., 0], keys[..., 0] = most, -most
    return queries, keys


def filling(queries: Any, keys: Any, params: Params) -> list[dict[str, Any]]:
    """Cycles that write both memories, a beat a cycle."""
    beat = params.config.beat
    cycles = []
    for group in range(params.config.rows_e // beat):
        rows = slice(group * beat, (group + 1) * beat)
        for column, operand in np.ndindex(queries.shape[1:]):
            load = {"load_rows": 1 << group, "load_columns": 1 << column, "load_operand": operand}
            cycles.append({**load, "load_data": queries[rows, column, operand].tolist()})
        for address in range(keys.shape[1]):
            write = {"write_rows": 1 << group, "write_address": address, "write_data": keys[rows, address].tolist()}
            cycles.append({"load_rows": 0, **write})
        cycles.append({"write_rows": 0})
    return cycles


def random_fold(rng: np.random.Generator, params: Params) -> dict[str, Any]:
    """A fold of any visit, now and then none."""
    layout, visit = score_tag_layout(params), {}
    for name, field in layout["visit"].shape:
        number = int.from_bytes(rng.bytes(field.width // 8 + 1), "little") % (1 << field.width)
        visit[name] = field.shape.from_bits(number) if name == "key" else number
    visit["skip"], visit["width"] = rng.integers(0, params.config.cols + 1, 2).tolist()
    visit["slot"] = int(rng.integers(params.config.slots))
    tag = {
        "valid": int(rng.random() < 0.8),
        "fold": int(rng.integers(params.folds_e)),
        "first_fold": int(rng.integers(2)),
        "last_fold": int(rng.integers(2)),
        "visit": visit,
    }
    return {"tag": tag, "address": int(rng.integers(1 << key_address(params).width))}


def operand_of(tag: dict[str, Any], params: Params) -> int:
    """Where the cells find the fold's query operand."""
    slot = tag["visit"]["bank"] << params.slot_bits | tag["visit"]["slot"]
    return slot << params.fold_e_bits | tag["fold"]


def tag_at(tag: dict[str, Any], column: int, params: Params) -> int:
    """A column counts skip and width from itself."""
    visit = {name: max(0, tag["visit"][name] - column) for name in ("skip", "width")}
    return score_tag_layout(params).const({**tag, "visit": {**tag["visit"], **visit}}).as_bits()


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_sums_and_tags_come_together(seed: int, params: Params) -> None:
    rng = np.random.default_rng(seed)
    # What a program makes of keys is done in front of the array.
    c, latency = params.config, score_latency(params) - key_latency(params)
    queries, keys = memories(rng, params)
    fill = filling(queries, keys, params)
    folds = [random_fold(rng, params) for _ in range(80)]
    columns = [f"sum.{i}" for i in range(c.cols)] + [f"tag_out.{i}" for i in range(c.cols)]
    columns += [*(f"ends.{i}" for i in range(params.lanes)), "freed"]
    seen = clocked(ScoreArray(params), [*fill, *folds], columns, latency + c.cols)[len(fill) :]
    for t, fold in enumerate(folds):
        tag, elements = fold["tag"], keys[:, fold["address"]]
        for i in range(c.cols):
            want = int(queries[:, i, operand_of(tag, params)] @ elements)
            assert seen[t + latency + i][i] == want
            assert seen[t + latency + i][c.cols + i] == tag_at(tag, i, params)
        for i in range(params.lanes):
            assert seen[t + latency + i * params.group][2 * c.cols + i] == (tag["valid"] & tag["last_fold"])
        # The lowest bank is read last, a cycle for each row.
        freed = seen[t + c.rows_e * FeederRow.SKEW][-1]
        assert freed == (tag["valid"] & tag["last_fold"] & tag["visit"]["key_last"])
