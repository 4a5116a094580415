"""Attention problems for the accelerator: shapes, masks and places at random, filled with values that hurt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from golden import bitexact
from golden.bitexact.attention import Result, seen_pairs
from golden.formats import CodeArray
from hwgen.params import Params
from hwgen.sim.layout import Arrangement, Image, Placed, arrangements
from rtl_tests.harness.jobs import poison, tensor


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a layer needs for the score program of its machine: codes of the arguments by their names, the bias of a
    shape that broadcasts to (B, Hq, L, S); the list of segments as it lies in memory."""

    params: Params
    arguments: Mapping[str, np.ndarray] = field(default_factory=dict)
    bias: CodeArray | None = None
    segments: bytes | None = None

    @property
    def words(self) -> np.ndarray:
        """Of all arguments, in the order of the program."""
        program = self.params.score
        parts = [] if program is None else [np.reshape(self.arguments[a.name], -1) for a in program.arguments]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def __str__(self) -> str:
        bias = "" if self.bias is None else f" bias {self.bias.shape}"
        return f"{len(self.words)} argument words{bias}{'' if self.segments is None else ' listed'}"


@dataclass(frozen=True)
class Layer:
    """One problem: codes q (B, Hq, L, E), k (B, Hkv, S, E), v (B, Hkv, S, F); masks as the golden model names them;
    `score` if the machine has a score program or reads lists of segments."""

    q: CodeArray
    k: CodeArray
    v: CodeArray
    scale: float
    causal: bool = False
    offset: int = 0
    lengths: np.ndarray | None = None
    lse: bool = True
    arrange: dict[str, Arrangement] = field(default_factory=dict)
    score: Score | None = None

    def place(self, image: Image) -> Placed:
        code = image.params.numerics.encode_scale(self.scale)
        masks: dict[str, Any] = {"causal": self.causal, "offset": self.offset, "key_lengths": self.lengths}
        if self.score is not None:
            masks |= {"words": self.score.words, "bias": self.score.bias, "segments": self.score.segments}
        return image.add(self.q, self.k, self.v, scale=code, lse=self.lse, arrange=self.arrange, **masks)

    def golden(self, params: Params) -> Result:
        masks: dict[str, Any] = {"causal": self.causal, "offset": self.offset, "key_lengths": self.lengths}
        if self.score is not None:
            masks |= {"score": params.score, "arguments": self.score.arguments, "bias": self.score.bias}
        return bitexact.attention(self.q, self.k, self.v, params.numerics, scale=self.scale, **masks)

    @property
    def pairs(self) -> int:
        """Allowed (query, key) pairs of all heads."""
        if self.score is not None:
            return sum(int(seen_pairs(q, k, job, self.score.params.numerics).sum()) for q, k, job in self.heads())
        b, hq, length, _ = self.q.shape
        keys = np.broadcast_to(self.k.shape[2] if self.lengths is None else self.lengths, (b,))[:, None]
        limit = np.arange(length) + self.offset + 1 if self.causal else np.full(length, self.k.shape[2])
        return hq * int(np.clip(limit, 0, keys).sum())

    def heads(self) -> Iterator[tuple[CodeArray, CodeArray, bitexact.Job]]:
        """Of every head its queries, its keys and the job of a score program."""
        assert self.score is not None
        program, numerics = self.score.params.score, self.score.params.numerics
        shape = (*self.q.shape[:3], self.k.shape[2])
        bias = None if self.score.bias is None else np.broadcast_to(self.score.bias, shape)
        lengths = np.broadcast_to(self.k.shape[2] if self.lengths is None else self.lengths, shape[:1])
        for b, h in np.ndindex(shape[:2]):
            own: dict[str, Any] = {"batch": b, "head": h, "bias": None if bias is None else bias[b, h]}
            inputs = None
            if program is not None:
                inputs = bitexact.ScoreInputs(program=program, arguments=self.score.arguments, **own)
            masks: dict[str, Any] = {"keys": int(lengths[b]), "causal": self.causal, "offset": self.offset}
            job = bitexact.Job(scale=numerics.encode_scale(self.scale), score=inputs, **masks)
            yield self.q[b, h], self.k[b, h * self.k.shape[1] // shape[1]], job

    def __str__(self) -> str:
        mask = f"causal {self.offset}" if self.causal else "all"
        lengths = "" if self.lengths is None else f" lengths {self.lengths.tolist()}"
        score = "" if self.score is None else f" {self.score}"
        shapes = f"q {self.q.shape} k {self.k.shape} v {self.v.shape}"
        return f"{shapes} {mask}{lengths} lse {self.lse} {self.arrange}{score}"


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
