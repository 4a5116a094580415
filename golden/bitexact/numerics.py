"""Parameters of the numbers contract and every width that follows from them.

Proof of the widths, with `W` operand bits, `Pw` weight bits, `N = 2^key_bits` the largest number of keys, a sink among
them, `E` the query and key head dimension:

* element:  `|q|, |k|, |v| <= 2^(W-1) - 1` (block conversion saturates symmetrically).
* `QK`:     `|QK| <= E (2^(W-1)-1)^2 < 2^(2(W-1) + ceil(log2 E))`; `qk_bits` adds the sign.
* `P = QK * mantissa`: `|mantissa| < 2^scale_bits`, hence `|P| < 2^(qk_bits - 1 + scale_bits)`, at most `2^63`.
* `x`:      clamped to `+-(2^(11+sf) - 1)`; `score_bits = 12 + sf`.
* `c = ceil(x)`: `-2^11 + 1 <= c <= 2^11`; 13 bits. `c + ev` with `|ev| <= 255` fits 13 bits (kept in 14).
* weight:   `0 <= y <= 2^Pw - 1`, and right shifts only make it smaller.
* `RD`:     a right shift never makes it larger, each key adds at most `2^Pw - 1`:
            `RD <= N (2^Pw - 1) < 2^(Pw + key_bits)`.
* `RNV`:    the floor of a shifted negative number is never below that number, so a right shift never increases the
            magnitude. Each key adds `floor(weight * v / 2^drop)`, of magnitude at most
            `(2^Pw - 1)(2^(W-1) - 1) / 2^drop + 1 <= 2^(Pw + W - 1 - drop)` (as `drop <= W - 1`); hence
            `|RNV| <= 2^(Pw + W - 1 - drop + key_bits)`; `drop` is chosen so that this is `2^(accumulator_bits - 1)`,
            and it is not reached from above because the bound on one term is strict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from golden.formats import FloatFormat, format_named

SCORE_INTEGER_BITS = 11
REFERENCE_BITS = 14
EXPONENT_BITS = 9
SLOPE_BITS = 18
SHIFT_LIMIT = 63


@dataclass(frozen=True)
class ScaleCode:
    """A real factor as `mantissa * 2^exponent`; the mantissa is signed and fits `scale_bits` magnitude bits."""

    mantissa: int
    exponent: int


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """The numbers contract's parameters.

    operand_bits:      W, bits of a converted Q, K or V element, sign included
    weight_bits:       Pw, bits of a weight (unsigned)
    score_frac:        sf, fraction bits of a scaled score
    exp_segments:      chords of the exponential's table (a power of two)
    scale_bits:        magnitude bits of the softmax scale's mantissa
    accumulator_bits:  width of RNV, sign included
    key_bits:          log2 of the largest number of keys, a sink among them
    in_format, out_format: names of the float formats at the edges
    """

    operand_bits: int = 18
    weight_bits: int = 26
    score_frac: int = 14
    exp_segments: int = 32
    scale_bits: int = 20
    accumulator_bits: int = 48
    key_bits: int = 20
    in_format: str = "bf16"
    out_format: str = "bf16"

    def __post_init__(self) -> None:
        limits = {
            "operand_bits": (4, 24),
            "weight_bits": (4, 31),
            "score_frac": (4, 18),
            "scale_bits": (4, 24),
            "accumulator_bits": (16, 63),
            "key_bits": (1, 24),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in {low} .. {high}, not {value!r}")
        segments = self.exp_segments
        if segments & (segments - 1) or not 2 <= segments <= 1 << (self.score_frac - 1):
            raise ValueError(
                f"exp_segments must be a power of two from 2 to 2^(score_frac-1) = {1 << (self.score_frac - 1)}, "
                f"not {segments!r}"
            )
        if not 0 <= self.drop <= self.operand_bits - 1:
            raise ValueError(
                f"accumulator_bits={self.accumulator_bits} cannot hold weight_bits={self.weight_bits} times "
                f"operand_bits={self.operand_bits} over 2^{self.key_bits} keys: it must lie in "
                f"{self.full_product_bits - self.operand_bits + 1} .. {self.full_product_bits}"
            )
        if self.weight_bits - self.score_frac > SLOPE_BITS:
            raise ValueError(
                f"weight_bits - score_frac must be at most {SLOPE_BITS}, the width of a chord's slope, "
                f"not {self.weight_bits - self.score_frac}"
            )
        format_named(self.in_format)
        format_named(self.out_format)

    @property
    def input(self) -> FloatFormat:
        return format_named(self.in_format)

    @property
    def output(self) -> FloatFormat:
        return format_named(self.out_format)

    @property
    def full_product_bits(self) -> int:
        """Accumulator width that would drop nothing."""
        return self.weight_bits + self.operand_bits + self.key_bits

    @property
    def drop(self) -> int:
        """Low bits of weight * v that are not accumulated."""
        return self.full_product_bits - self.accumulator_bits

    @property
    def denominator_bits(self) -> int:
        """Width of RD (unsigned)."""
        return self.weight_bits + self.key_bits

    @property
    def score_bits(self) -> int:
        """Width of a scaled score x, sign included."""
        return SCORE_INTEGER_BITS + 1 + self.score_frac

    @property
    def score_max(self) -> int:
        """Largest magnitude of a scaled score, in units of 2^-score_frac."""
        return (1 << (SCORE_INTEGER_BITS + self.score_frac)) - 1

    @property
    def segment_bits(self) -> int:
        return self.exp_segments.bit_length() - 1

    @property
    def slope_frac(self) -> int:
        """Fraction bits of a chord's slope, so that the steepest one fills SLOPE_BITS."""
        return max(0, SLOPE_BITS - (self.weight_bits - self.score_frac))

    def qk_bits(self, head_e: int) -> int:
        """Width of an exact dot product over `head_e` elements, sign included."""
        return 2 * (self.operand_bits - 1) + (head_e - 1).bit_length() + 1

    def check_head(self, head_e: int) -> None:
        """Refuse a head dimension whose scaled score does not fit 64 bits. Raises ValueError."""
        if self.qk_bits(head_e) - 1 + self.scale_bits > 63:
            raise ValueError(
                f"head dimension {head_e} with operand_bits={self.operand_bits} and scale_bits={self.scale_bits} needs "
                f"{self.qk_bits(head_e) - 1 + self.scale_bits} score bits; at most 63 are supported"
            )

    def encode_scale(self, scale: float) -> ScaleCode:
        """`scale * log2(e)` as a mantissa of `scale_bits` bits. Raises ValueError unless scale is finite and
        moderate."""
        if not math.isfinite(scale):
            raise ValueError(f"scale must be finite, not {scale!r}")
        if scale == 0:
            return ScaleCode(0, 0)
        if not 2.0**-100 <= abs(scale) <= 2.0**100:
            raise ValueError(f"scale must have a magnitude between 2^-100 and 2^100, not {scale!r}")
        factor = Fraction(scale) * Fraction(math.log2(math.e))
        exponent = math.frexp(float(factor))[1] - self.scale_bits
        mantissa = round(factor / Fraction(2) ** exponent)
        if abs(mantissa) == 1 << self.scale_bits:
            mantissa //= 2
            exponent += 1
        return ScaleCode(mantissa, exponent)
