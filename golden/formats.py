"""IEEE-style number formats as integer codes: decode, encode with one rounding, take apart.

A *code* is the bit pattern of a number, held in the smallest of uint16 and uint32 that fits. Every real value of a
`FloatFormat` is also a float64, so float64 is the common ground: `decode` is exact and `encode` rounds once.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CodeArray = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format: sign bit, biased exponent, mantissa with a hidden leading one.

    The highest exponent field is kept for infinity and NaN, the lowest for zero and subnormals.

    Raises
    ------
    ValueError
        If a field is wider than that of fp32 (float64 could not stand in for the format) or too narrow to tell
        infinity, NaN and ordinary numbers apart.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.exponent_bits <= 8:
            raise ValueError(f"exponent_bits must be 2 to 8, got {self.exponent_bits!r}")
        if not 1 <= self.mantissa_bits <= 23:
            raise ValueError(f"mantissa_bits must be 1 to 23, got {self.mantissa_bits!r}")

    @property
    def bits(self) -> int:
        """Width of a code."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is subtracted from a nonzero exponent field to get the exponent."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def max_exponent_field(self) -> int:
        """The exponent field of infinity and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def dtype(self) -> type[np.uint16] | type[np.uint32]:
        """NumPy type of a code."""
        return np.uint16 if self.bits <= 16 else np.uint32

    @property
    def infinity(self) -> int:
        """Code of positive infinity; every finite positive number has a smaller code."""
        return self.max_exponent_field << self.mantissa_bits

    @property
    def quiet_nan(self) -> int:
        """The one NaN code `encode` produces: sign 0, only the top mantissa bit set."""
        return self.infinity | 1 << (self.mantissa_bits - 1)


BF16 = FloatFormat("bf16", exponent_bits=8, mantissa_bits=7)
FP16 = FloatFormat("fp16", exponent_bits=5, mantissa_bits=10)
FP32 = FloatFormat("fp32", exponent_bits=8, mantissa_bits=23)

FORMATS: dict[str, FloatFormat] = {fmt.name: fmt for fmt in (BF16, FP16, FP32)}


def format_named(name: str) -> FloatFormat:
    """The format called `name`.

    Raises
    ------
    ValueError
        If there is none; the message lists the names there are and, if one is close, suggests it.
    """
    if name in FORMATS:
        return FORMATS[name]
    near = get_close_matches(str(name).lower(), FORMATS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}{hint}")


def fields(codes: npt.ArrayLike, fmt: FloatFormat) -> tuple[IntArray, IntArray, IntArray]:
    """Take codes of any shape apart into (sign, exponent_field, mantissa), three int64 arrays of that shape.

    Raises
    ------
    TypeError
        If `codes` is not an array (or scalar) of `fmt.dtype`.
    ValueError
        If a code has bits set above `fmt.bits`.
    """
    wide = _checked(codes, fmt).astype(np.int64)
    sign = wide >> (fmt.bits - 1)
    exponent_field = wide >> fmt.mantissa_bits & fmt.max_exponent_field
    mantissa = wide & ((1 << fmt.mantissa_bits) - 1)
    return sign, exponent_field, mantissa


def decode(codes: npt.ArrayLike, fmt: FloatFormat) -> FloatArray:
    """The values of codes of any shape as float64: exact, with subnormals, signed zeros and infinities.

    Every NaN code gives the same NaN. Raises what `fields` raises.
    """
    sign, exponent_field, mantissa = fields(codes, fmt)
    significand = mantissa + ((exponent_field > 0).astype(np.int64) << fmt.mantissa_bits)
    # Subnormals share the exponent of the smallest normal numbers, they only lack the hidden one.
    exponent = np.maximum(exponent_field, 1) - fmt.bias - fmt.mantissa_bits
    magnitude = np.ldexp(significand.astype(np.float64), exponent)
    special = exponent_field == fmt.max_exponent_field
    magnitude = np.where(special, np.inf, magnitude)
    return np.where(special & (mantissa > 0), np.nan, np.copysign(magnitude, 0.5 - sign))


def encode(values: npt.ArrayLike, fmt: FloatFormat) -> CodeArray:
    """The codes nearest to `values` (any shape), ties to even, rounded once whatever the format.

    Magnitudes that round past the largest finite number become infinity, zeros keep their sign, any NaN becomes
    `fmt.quiet_nan`.

    Raises
    ------
    TypeError
        If `values` is not float16, float32 or float64: anything else might be rounded on its way to float64.
    """
    array = np.asarray(values)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(f"encode takes float16, float32 or float64 values, got {array.dtype}")
    wide = array.astype(np.float64)
    finite = np.isfinite(wide)
    magnitude = np.abs(np.where(finite, wide, 0.0))
    # Below the normal numbers steps get no shorter; zero, to which frexp gives the exponent 0, belongs there too.
    least = 1 - fmt.bias
    exponent = np.where(magnitude > 0, np.maximum(np.frexp(magnitude)[1].astype(np.int64) - 1, least), least)
    # Scaled so that one unit is one step of the format: scaling by a power of two is exact, rint is the only rounding.
    steps = np.rint(np.ldexp(magnitude, fmt.mantissa_bits - exponent)).astype(np.int64)
    # The hidden one of `steps` lands on the exponent field and so does a carry out of the mantissa.
    code = (exponent - least << fmt.mantissa_bits) + steps
    code = np.where(finite, np.minimum(code, fmt.infinity), fmt.infinity)
    code |= np.signbit(wide).astype(np.int64) << (fmt.bits - 1)
    return np.where(np.isnan(wide), fmt.quiet_nan, code).astype(fmt.dtype)


def quantise(values: npt.ArrayLike, fmt: FloatFormat) -> FloatArray:
    """`values` rounded to `fmt`, as float64 of the same shape. Raises what `encode` raises."""
    return decode(encode(values, fmt), fmt)


def _checked(codes: npt.ArrayLike, fmt: FloatFormat) -> CodeArray:
    """`codes` as an array of `fmt.dtype` whose codes fit `fmt.bits`."""
    array = np.asarray(codes)
    if array.dtype != fmt.dtype:
        raise TypeError(f"{fmt.name} codes must be {np.dtype(fmt.dtype)}, got {array.dtype}")
    if fmt.bits < array.dtype.itemsize * 8 and np.any(array >> fmt.bits):
        raise ValueError(f"{fmt.name} codes must fit {fmt.bits} bits, got {int(array.max()):#x}")
    return array
