"""Descriptors that a confused host might write: changed ones, random ones, and small ones with any strides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.control.descriptor import DESCRIPTOR_BYTES, LSE_BYTES, PLACES, TENSORS, Descriptor, pack, unpack
from hwgen.params import Params

USED = tuple(name for name in PLACES if name not in ("tail", "reserved", "reserved_flags", "reserved_formats"))


def flipped(rng: np.random.Generator, d: Descriptor, params: Params, playground: int) -> Descriptor:
    """A few bits of used fields are the other way round."""
    raw = int.from_bytes(pack(d), "little")
    for _ in range(int(rng.integers(1, 4))):
        place = PLACES[USED[int(rng.integers(len(USED)))]]
        raw ^= 1 << (8 * place.offset + place.low + int(rng.integers(place.bits * place.count)))
    return unpack(raw.to_bytes(DESCRIPTOR_BYTES, "little"))


def _nasty(rng: np.random.Generator, value: int, allowed: range) -> int:
    """A number a field can hold, preferably on some edge."""
    near = [allowed.start, allowed.stop - 1, 0, 1, value + 1, value - 1, value * 2, value + 8, value - 8]
    near += [1 << int(rng.integers(63)), (1 << 20) + int(rng.integers(-1, 2)), 65536]
    span = allowed.stop - allowed.start
    near.append(allowed.start + int(rng.integers(1 << 62)) * 4 % span)
    return int(np.clip(near[int(rng.integers(len(near)))], allowed.start, allowed.stop - 1, dtype=object))


def edged(rng: np.random.Generator, d: Descriptor, params: Params, playground: int) -> Descriptor:
    """One or two fields hold something else."""
    for _ in range(int(rng.integers(1, 3))):
        name = USED[int(rng.integers(len(USED)))]
        place, value = PLACES[name], getattr(d, name)
        if place.count == 1:
            d = replace(d, **{name: _nasty(rng, value, place.allowed)})
        else:
            items = list(value)
            which = int(rng.integers(place.count))
            items[which] = _nasty(rng, items[which], place.allowed)
            d = replace(d, **{name: tuple(items)})
    return d


def noise(rng: np.random.Generator, d: Descriptor, params: Params, playground: int) -> Descriptor:
    """Random words but for the first few, without which nobody would look at the others."""
    raw = bytearray(rng.bytes(DESCRIPTOR_BYTES))
    known = int(rng.choice([0, 4, 8, 12]))
    raw[:known] = pack(d)[:known]
    return unpack(bytes(raw))


PLAYGROUND = 8192
"""Bytes that a mutant of small strides has for its O and LSE."""

LSE_OFFSET = 6144


def spread(rng: np.random.Generator, counts: tuple[int, int, int], row: int, element: int) -> tuple[int, int, int]:
    """Strides in any order, with which rows of so many bytes lie apart."""
    strides, reach = [0, 0, 0], row
    for axis in rng.permutation(3):
        strides[axis] = reach + element * int(rng.integers(0, 4))
        reach += strides[axis] * (counts[axis] - 1)
    return strides[0], strides[1], strides[2]


def strided(rng: np.random.Generator, d: Descriptor, params: Params, playground: int) -> Descriptor:
    """A small problem with strides of any kind: rows of Q, K and V overlap, those of O and LSE seldom."""
    kv_heads, group = (int(n) for n in rng.integers(1, 3, 2))
    changes: dict[str, Any] = {"batches": int(rng.integers(1, 3)), "kv_heads": kv_heads}
    changes |= {"query_heads": kv_heads * group, "queries": int(rng.integers(1, 6)), "keys": int(rng.integers(1, 9))}
    changes |= {"head_e": int(rng.integers(1, params.config.head_e + 1)), "key_lengths": 0}
    changes |= {"head_f": int(rng.integers(1, params.config.head_f + 1)), "offset": int(rng.integers(-8, 8))}
    sizes = dict.fromkeys(("q", "k", "v"), params.input.bits // 8) | {"o": params.output.bits // 8, "lse": LSE_BYTES}
    for name in TENSORS:
        steps = (int(n) * sizes[name] for n in rng.integers(0, 120 // sizes[name], 3))
        changes[f"{name}_strides"] = tuple(steps)
    counts = (changes["batches"], changes["query_heads"], changes["queries"])
    if rng.random() < 0.8:
        changes["o_strides"] = spread(rng, counts, changes["head_f"] * sizes["o"], sizes["o"])
        changes["lse_strides"] = spread(rng, counts, LSE_BYTES, LSE_BYTES)
    changes["o_address"] = playground + sizes["o"] * int(rng.integers(64))
    changes["lse_address"] = playground + LSE_OFFSET + LSE_BYTES * int(rng.integers(16))
    return replace(d, **changes)


Kind = Callable[[np.random.Generator, Descriptor, Params, int], Descriptor]
KINDS: tuple[Kind, ...] = (flipped, edged, noise, strided)


def mutant(rng: np.random.Generator, d: Descriptor, params: Params, playground: int) -> tuple[str, Descriptor]:
    """Some change of a descriptor, and what it is called; small ones write to the playground."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    return kind.__name__, kind(rng, d, params, playground)


def damaged(rng: np.random.Generator, raw: bytes) -> bytes:
    """Bytes of which some bits, or whole 32-bit words, are others."""
    array = np.frombuffer(raw, dtype="<u4").copy()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(array)))
        array[at] = rng.integers(1 << 32) if rng.random() < 0.3 else array[at] ^ np.uint32(1 << int(rng.integers(32)))
    return array.tobytes()
