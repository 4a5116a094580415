"""Attention problems for the accelerator: shapes, masks and places at random, filled with values that hurt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from golden import bitexact
from golden.bitexact.attention import Result
from golden.formats import CodeArray
from hwgen.params import Params
from hwgen.sim.layout import Arrangement, Image, Placed, arrangements
from rtl_tests.harness.jobs import poison, tensor


@dataclass(frozen=True)
class Layer:
    """One problem: codes q (B, Hq, L, E), k (B, Hkv, S, E), v (B, Hkv, S, F); masks as the golden model names them."""

    q: CodeArray
    k: CodeArray
    v: CodeArray
    scale: float
    causal: bool = False
    offset: int = 0
    lengths: np.ndarray | None = None
    lse: bool = True
    arrange: dict[str, Arrangement] = field(default_factory=dict)

    def place(self, image: Image) -> Placed:
        code = image.params.numerics.encode_scale(self.scale)
        masks: dict[str, Any] = {"causal": self.causal, "offset": self.offset, "key_lengths": self.lengths}
        return image.add(self.q, self.k, self.v, scale=code, lse=self.lse, arrange=self.arrange, **masks)

    def golden(self, params: Params) -> Result:
        masks: dict[str, Any] = {"causal": self.causal, "offset": self.offset, "key_lengths": self.lengths}
        return bitexact.attention(self.q, self.k, self.v, params.numerics, scale=self.scale, **masks)

    @property
    def pairs(self) -> int:
        """Allowed (query, key) pairs of all heads."""
        b, hq, length, _ = self.q.shape
        keys = np.broadcast_to(self.k.shape[2] if self.lengths is None else self.lengths, (b,))[:, None]
        limit = np.arange(length) + self.offset + 1 if self.causal else np.full(length, self.k.shape[2])
        return hq * int(np.clip(limit, 0, keys).sum())

    def __str__(self) -> str:
        mask = f"causal {self.offset}" if self.causal else "all"
        lengths = "" if self.lengths is None else f" lengths {self.lengths.tolist()}"
        return f"q {self.q.shape} k {self.k.shape} v {self.v.shape} {mask}{lengths} lse {self.lse} {self.arrange}"


def stack(rng: np.random.Generator, shape: tuple[int, ...], params: Params) -> CodeArray:
    """Codes of any shape, rows of unlike sizes."""
    return tensor(rng, int(np.prod(shape[:-1])), shape[-1], params).reshape(shape)


def layer(rng: np.random.Generator, params: Params, largest: int = 20) -> Layer:
    """A problem of random shape, mask and arrangement; up to `largest` queries and keys."""
    c = params.config
    b, hkv, group = (int(n) for n in rng.choice([1, 1, 2, 3], 3))
    length, keys = (int(n) for n in rng.integers(1, largest + 1, 2))
    # Often all there is, else any number.
    e, f = (int(rng.choice([n, rng.integers(1, n + 1)])) for n in (c.head_e, c.head_f))
    q = stack(rng, (b, hkv * group, length, e), params)
    k, v = stack(rng, (b, hkv, keys, e), params), stack(rng, (b, hkv, keys, f), params)
    if rng.random() < 0.3:
        bad = (q, k, v)[rng.integers(3)]
        rows = bad.reshape(-1, bad.shape[-1])
        poison(rng, rows, int(rng.integers(len(rows))), params)
    return Layer(
        q,
        k,
        v,
        scale=float(rng.choice([e**-0.5, 1.0, -0.3])),
        causal=bool(rng.random() < 0.5),
        offset=int(rng.integers(-largest, largest + 1)) if rng.random() < 0.7 else 0,
        lengths=rng.integers(0, keys + 1, b) if rng.random() < 0.4 else None,
        lse=bool(rng.random() < 0.8),
        arrange=arrangements(int(rng.integers(1 << 16))) if rng.random() < 0.7 else {},
    )


def assert_layer(placed: Placed, memory: np.ndarray, want: Result, label: str) -> None:
    """Every bit that the accelerator wrote."""
    got = placed.outputs(memory)
    for name in ("empty", "poisoned", "rm", "rd", "out"):
        a, b = getattr(got, name), getattr(want, name)
        if a is None:
            continue
        assert a.shape == b.shape, f"{label}: {name} has shape {a.shape}, not {b.shape}"
        if not np.array_equal(a, b):
            at = tuple(int(i) for i in np.argwhere(a != b)[0])
            wrong = f"{int((a != b).sum())} of {a.size} differ"
            raise AssertionError(f"{label}: {name}{list(at)} is {a[at]!r}, golden has {b[at]!r} ({wrong})")
