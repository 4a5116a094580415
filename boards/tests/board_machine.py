"""The machine of the tests of simulated boards: the smallest one with a board's bus, and problems for it."""

from __future__ import annotations

from typing import Any

import numpy as np

import hwgen
from boards.board import memory_base
from boards.sim import Faults, SimulatedBoard
from hwgen.params import Params
from hwgen.presets import preset

CONFIG = preset("tiny").replace({"address_bits": 32, "bus_bits": 32, "in_format": "fp16", "out_format": "fp16"})
MEMORY_BYTES = 5 * 4096
MEMORY_BASE = memory_base(MEMORY_BYTES)

Arrays = list[np.ndarray[Any, Any]]


def board(faults: Faults | None = None, preload: bytes = b"") -> SimulatedBoard:
    return SimulatedBoard(Params(CONFIG), memory_bytes=MEMORY_BYTES, faults=faults, preload=preload)


def tensors(seed: int = 1, length: int = 9, keys: int = 11, heads: tuple[int, int] = (4, 2)) -> Arrays:
    rng = np.random.default_rng(seed)
    sizes = (heads[0], length, 8), (heads[1], keys, 8), (heads[1], keys, 6)
    return [rng.standard_normal((2, *size)).astype(np.float16) for size in sizes]


def golden(arrays: Arrays, **options: Any) -> Any:
    return hwgen.attention(*arrays, preset=CONFIG, backend="bitexact", return_lse=True, **options)


def require_equal(got: Any, want: Any) -> None:
    """Outputs and log-sum-exps agree in every bit."""
    for ours, theirs in zip(got[:2], want, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()
