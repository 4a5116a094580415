"""Jobs of every shape the core has to take, filled with values that hurt."""

from __future__ import annotations

import numpy as np

from golden.bitexact import Job
from golden.formats import encode
from hwgen.params import Params
from hwgen.sim.run import HeadJob

SPECIAL = ("nan", "inf", "-inf")


def tensor(rng: np.random.Generator, rows: int, width: int, params: Params) -> np.ndarray:
    """Codes (rows, width) of normal numbers whose rows differ in size, with zeros, subnormals and large numbers among
    them."""
    fmt = params.input
    spread = 4 if fmt.name == "fp16" else 10
    values = rng.standard_normal((rows, width)) * 2.0 ** rng.integers(-spread, spread // 2, (rows, 1))
    codes = encode(values, fmt)
    kind = rng.integers(0, 16, rows)
    codes[kind == 0] = 0
    codes[kind == 1] = rng.integers(1, 1 << fmt.mantissa_bits, codes[kind == 1].shape)
    codes[kind == 2, 0] = encode(np.array(2.0**14), fmt)
    return codes


def poison(rng: np.random.Generator, codes: np.ndarray, row: int, params: Params) -> None:
    """Put a NaN or an infinity into a row."""
    value = float(SPECIAL[int(rng.integers(0, 3))])
    codes[row, int(rng.integers(0, codes.shape[1]))] = encode(np.array(value), params.input)


def job(
    rng: np.random.Generator,
    params: Params,
    positions: int,
    rows: int,
    *,
    group: int = 1,
    head: tuple[int, int] | None = None,
    keys: int | None = None,
    causal: bool = False,
    offset: int = 0,
    scale: float | None = None,
    bad: tuple[str, ...] = (),
) -> HeadJob:
    """A job over random tensors, of `group` heads of dimensions `head` (the core's largest if not given); `bad` names
    tensors that get a poisoned row."""
    head_e, head_f = head or (params.config.head_e, params.config.head_f)
    q = tensor(rng, positions * group, head_e, params)
    k = tensor(rng, max(rows, 1), head_e, params)
    v = tensor(rng, max(rows, 1), head_f, params)
    for name in bad:
        target = {"q": q, "k": k, "v": v}[name]
        poison(rng, target, int(rng.integers(0, len(target))), params)
    factor = head_e**-0.5 if scale is None else scale
    return HeadJob(
        q,
        k,
        v,
        Job(
            scale=params.numerics.encode_scale(factor),
            keys=rows if keys is None else keys,
            causal=causal,
            offset=offset,
        ),
        group,
    )


def every_shape(params: Params, seed: int, head: tuple[int, int] | None = None) -> list[HeadJob]:
    """One run: single rows, whole and ragged blocks, causal offsets of both signs, short and empty key ranges, heads
    that share keys, poison."""
    rng = np.random.default_rng(seed)
    block = params.block

    def make(*args, **kwargs) -> HeadJob:
        return job(rng, params, *args, head=head, **kwargs)

    return [
        make(1, 1),
        make(1, 19),
        make(block, 7),
        make(2 * block + 1, 5),
        make(max(block - 1, 1), 12, causal=True),
        make(block + 3, 10, causal=True, offset=-4),
        make(5, 9, causal=True, offset=-100),
        make(block + 2, 14, causal=True, offset=3),
        make(3, 8, causal=True, offset=1000),
        make(4, 11, keys=6, bad=("k",)),
        make(2, 5, keys=0),
        make(block, 9, causal=True, keys=7, bad=("v",)),
        make(block + 1, 6, bad=("q", "v")),
        make(6, 8, scale=40.0),
        make(6, 8, scale=-0.3),
        make(3, 4, scale=0.0),
        make(1, 2, causal=True, offset=-1),
        make(7, 3),
        make(1, 13, group=3),
        make(block, 6, group=2),
        make(block // 2 + 1, 9, group=3, causal=True, offset=-2),
        make(5, 12, group=7, causal=True, offset=3, keys=10, bad=("k",)),
        make(2, 6, group=2 * params.config.cols + 1, causal=True),
        make(2 * block + 1, 64, causal=True),
    ]


def heads(params: Params) -> list[tuple[int, int]]:
    """Head dimensions (E, F): the largest, the smallest, and such that fill no whole fold."""
    c = params.config
    ragged = max(c.head_e - c.rows_e // 2 - 1, 1), max(c.head_f - c.out_beat - 1, 1)
    return [(c.head_e, c.head_f), ragged, (1, 1), (min(c.rows_e + 1, c.head_e), max(c.rows_f - 1, 1))]
