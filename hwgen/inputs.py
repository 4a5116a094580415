"""What the command line feeds the simulated accelerator: tensors of a file or random ones, checked against a preset."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.bitexact import Job, ScaleCode
from golden.exact import Shape, check_shapes
from golden.formats import BF16, FP16, FP32, CodeArray, FloatFormat, decode, encode
from hwgen.control.descriptor import MAX_COUNT
from hwgen.control.descriptor_rules import MAX_GROUP, MAX_LENGTH, MAX_OFFSET, MAX_QUERIES
from hwgen.errors import InputError
from hwgen.params import Params
from hwgen.sim.run import HeadJob

NAMES = ("q", "k", "v")
MOST_BYTES = 1 << 28
"""Of one array in a file, a quarter of what the simulated memory can hold: what is larger is not even read."""

UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
UNREADABLE += (SyntaxError, TokenError, KeyError, TypeError)
"""What NumPy and the standard library raise for files that are damaged, or made to do damage."""

STORED = {np.dtype(np.float16): FP16, np.dtype(np.float32): FP32, np.dtype("V2"): BF16}
"""Formats by the type NumPy gives a stored array; a bfloat16 of ml_dtypes is stored as two bytes without meaning."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One attention problem in codes of the preset's input format.

    q (B, Hq, L, E), k (B, Hkv, S, E), v (B, Hkv, S, F);  source: where they come from, in words
    scale: factor on the scores;  query i sees key j iff j < keys and, if causal, j <= i + offset
    """

    q: CodeArray
    k: CodeArray
    v: CodeArray
    source: str
    scale: float
    keys: int
    causal: bool = False
    offset: int = 0

    @property
    def shape(self) -> Shape:
        return check_shapes(self.q, self.k, self.v)

    def scale_code(self, params: Params) -> ScaleCode:
        """The scale as the hardware has it. Raises InputError for one it cannot hold."""
        try:
            return params.numerics.encode_scale(self.scale)
        except ValueError as error:
            raise InputError(str(error)) from None

    def jobs(self, params: Params) -> list[HeadJob]:
        """One job a query head, in the order of (B, Hq). Raises InputError for a scale the core cannot hold."""
        job = Job(scale=self.scale_code(params), keys=self.keys, causal=self.causal, offset=self.offset)
        shape = self.shape
        group = shape.Hq // shape.Hkv
        jobs = []
        for b in range(shape.B):
            # Heads of a group name the same arrays, of which the simulated memory then holds one copy.
            shared = [(self.k[b, g], self.v[b, g]) for g in range(shape.Hkv)]
            jobs += [HeadJob(self.q[b, h], *shared[h // group], job) for h in range(shape.Hq)]
        return jobs


def make_problem(
    tensors: Mapping[str, CodeArray],
    source: str,
    params: Params,
    *,
    scale: float | None = None,
    causal: bool = False,
    offset: int = 0,
    key_length: int | None = None,
) -> Problem:
    """A problem that fits the preset. `scale` defaults to 1/sqrt(E), `key_length` to all keys.

    Raises InputError if shapes do not agree with each other or with the preset, or a number is out of range.
    """
    shape = _checked_shape(tensors, params)
    keys = shape.S if key_length is None else key_length
    if not 0 <= keys <= shape.S:
        raise InputError(f"the key length must lie in 0 .. {shape.S} (the rows of k), not {keys}")
    if abs(offset) > MAX_OFFSET:
        raise InputError(f"the causal offset must lie in -{MAX_OFFSET} .. {MAX_OFFSET}, not {offset}")
    if offset and not causal:
        raise InputError(f"the causal offset {offset} has no effect without a causal mask")
    factor = 1 / math.sqrt(shape.E) if scale is None else scale
    codes = {name: tensors[name] for name in NAMES}
    return Problem(**codes, source=source, scale=factor, keys=keys, causal=causal, offset=offset)


def _checked_shape(tensors: Mapping[str, CodeArray], params: Params) -> Shape:
    try:
        shape = check_shapes(*(tensors[name] for name in NAMES))
    except ValueError as error:
        raise InputError(str(error)) from None
    c = params.config
    for name, got, most, key in (("q and k", shape.E, c.head_e, "head_e"), ("v", shape.F, c.head_f, "head_f")):
        if got > most:
            raise InputError(f"{name} must have a head dimension of at most {most} (the core's {key}), not {got}")
    for what, size in (("batch entry", shape.B), ("query", shape.L), ("key", shape.S)):
        if size == 0:
            raise InputError(f"there must be at least one {what}, got {_shapes(tensors)}")
    _check_limits(shape, params)
    return shape


def _check_limits(shape: Shape, params: Params) -> None:
    """What a descriptor can say, and the core count."""
    group = shape.Hq // shape.Hkv
    limits = {
        "batch entries": (shape.B, MAX_COUNT),
        "query heads": (shape.Hq, MAX_COUNT),
        "query heads for a key/value head": (group, MAX_GROUP),
        "queries": (shape.L, MAX_LENGTH),
        "queries for a key/value head": (shape.L * group, MAX_QUERIES),
        "keys": (shape.S, params.most_keys),
    }
    for what, (size, most) in limits.items():
        if size > most:
            raise InputError(f"there can be up to {most} {what}, not {size}")


def _shapes(tensors: Mapping[str, CodeArray]) -> str:
    return ", ".join(f"{name} {tensors[name].shape}" for name in NAMES)


def random_tensors(
    shape: tuple[int, int, int, int],
    seed: int,
    params: Params,
    *,
    kv_heads: int | None = None,
    head: tuple[int, int] | None = None,
) -> dict[str, CodeArray]:
    """Normally distributed q, k and v for B, H, L, S; the same seed gives the same numbers. Key/value heads are as many
    as query heads, and head dimensions (E, F) the preset's, unless given."""
    b, h, length, keys = shape
    shared = h if kv_heads is None else kv_heads
    e, f = head or (params.config.head_e, params.config.head_f)
    for what, count in (("queries", b * h * length * e), ("keys", b * shared * keys * max(e, f))):
        if count > MOST_BYTES:
            raise InputError(f"random {what} of {count} numbers are more than the {MOST_BYTES} one can simulate")
    rng = np.random.default_rng(seed)
    sizes = {"q": (b, h, length, e), "k": (b, shared, keys, e), "v": (b, shared, keys, f)}
    return {name: encode(rng.standard_normal(size), params.input) for name, size in sizes.items()}


def read_tensors(path: Path, params: Params) -> tuple[dict[str, CodeArray], str]:
    """q, k and v of an npz file in codes of the preset's input format, and how they got there.

    Raises InputError for a file that cannot be read, lacks an array, or holds one of an unknown type.
    """
    arrays = _load(path)
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        there = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(f"{path}: no array called {' or '.join(missing)}; there is {there}")
    stored = []
    for name in NAMES:
        fmt = STORED.get(arrays[name].dtype.newbyteorder("="))
        if fmt is None:
            raise InputError(f"{path}: {name} must be float16, float32 or bfloat16, not {arrays[name].dtype}")
        stored.append(fmt)
    # What does not fit is not converted, which takes longer than reading.
    _checked_shape(arrays, params)
    codes = {name: to_codes(arrays[name], fmt, params.input) for name, fmt in zip(NAMES, stored, strict=True)}
    return codes, f"{path.name}: {_conversion(stored, params.input)}"


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays called q, k and v, and the names of all others with an empty array."""
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: one bare array; expected an npz file with arrays {', '.join(NAMES)}")
            return {name: _bounded(path, file, name) if name in NAMES else np.empty(0) for name in file.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path}: not a readable npz file: {reason}") from None


def _bounded(path: Path, file: np.lib.npyio.NpzFile, name: str) -> NDArray[Any]:
    """An array of an npz file, read only if its header names a size that can be simulated: a small file may unpack to
    any size. Raises InputError or ValueError."""
    assert file.zip is not None
    member = name if name in file.zip.namelist() else f"{name}.npy"
    with file.zip.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"{name} has version {version} of the format")
        shape, _, dtype = readers[version](stream)
    size = math.prod(shape) * dtype.itemsize
    if size > MOST_BYTES or any(not 0 <= length <= MOST_BYTES for length in shape):
        raise InputError(f"{path}: {name} has shape {shape}, more than {MOST_BYTES} bytes")
    array: NDArray[Any] = file[name]
    return array


def to_codes(array: NDArray[Any], stored: FloatFormat, wanted: FloatFormat) -> CodeArray:
    """Codes of `wanted` for an array as NumPy loads it; bfloat16 arrives as two bytes an element."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if stored is BF16:
        codes = np.ascontiguousarray(native).view(np.uint16)
        return codes if wanted is BF16 else encode(decode(codes, BF16), wanted)
    return encode(native, wanted)


def _conversion(stored: list[FloatFormat], wanted: FloatFormat) -> str:
    """In words, what happened to the numbers on their way into the core's format."""
    names = list(dict.fromkeys(fmt.name for fmt in stored))
    if names == [wanted.name]:
        return f"{wanted.name} as stored"
    widens = all(f.mantissa_bits <= wanted.mantissa_bits and f.exponent_bits <= wanted.exponent_bits for f in stored)
    return f"{' and '.join(names)} {'widened' if widens else 'rounded'} to {wanted.name}"
