"""Formats against the casts of NumPy and ml_dtypes: every code of the 16-bit formats, samples of fp32."""

import dataclasses
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from golden.formats import BF16, FORMATS, FP16, FP32, FloatFormat, decode, encode, fields, format_named, quantise

ALL_16_BIT_CODES = np.arange(1 << 16, dtype=np.uint16)
SIXTEEN_BIT = [pytest.param(BF16, ml_dtypes.bfloat16, id="bf16"), pytest.param(FP16, np.float16, id="fp16")]
ALL = [*SIXTEEN_BIT, pytest.param(FP32, np.float32, id="fp32")]

NativeType = type[Any]


def same_bits(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    """Equal with signed zeros told apart and every NaN alike."""
    a, b = (np.where(np.isnan(x), np.nan, x) for x in (a, b))
    return bool(np.array_equal(a.view(np.uint64), b.view(np.uint64)))


def native_decode(codes: npt.NDArray[Any], native: NativeType) -> npt.NDArray[np.float64]:
    """Values by a cast to float64, which is exact; casting a signalling NaN warns."""
    with np.errstate(invalid="ignore"):
        return codes.view(native).astype(np.float64)


def native_encode(values: npt.NDArray[Any], fmt: FloatFormat, native: NativeType) -> npt.NDArray[Any]:
    """Codes by a cast that rounds once, with NaN brought to the one code used here."""
    with np.errstate(over="ignore", under="ignore"):
        codes = values.astype(native).view(fmt.dtype)
    return np.where(np.isnan(values), fmt.quiet_nan, codes).astype(fmt.dtype)


def finite_steps(fmt: FloatFormat) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Codes of all nonnegative finite numbers, their values, and the value one step above, as if nothing overflowed."""
    codes = np.arange(fmt.infinity, dtype=fmt.dtype)
    lower = decode(codes, fmt)
    largest_step = lower[-1] - lower[-2]
    return codes, lower, np.append(lower[1:], lower[-1] + largest_step)


def random_doubles(seed: int, fmt: FloatFormat, count: int = 200_000) -> npt.NDArray[np.float64]:
    """Doubles of both signs whose exponents reach beyond both ends of the format."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(-fmt.bias - fmt.mantissa_bits - 4, fmt.bias + 4, count)
    return np.ldexp(rng.uniform(-2.0, 2.0, count), exponents)


@pytest.mark.parametrize(
    ("fmt", "bits", "bias", "max_exponent_field", "dtype"),
    [(BF16, 16, 127, 255, np.uint16), (FP16, 16, 15, 31, np.uint16), (FP32, 32, 127, 255, np.uint32)],
    ids=lambda x: x.name if isinstance(x, FloatFormat) else None,
)
def test_derived_numbers(fmt: FloatFormat, bits: int, bias: int, max_exponent_field: int, dtype: type[Any]) -> None:
    assert (fmt.bits, fmt.bias, fmt.max_exponent_field, fmt.dtype) == (bits, bias, max_exponent_field, dtype)


def test_special_codes() -> None:
    assert [f.infinity for f in (BF16, FP16, FP32)] == [0x7F80, 0x7C00, 0x7F80_0000]
    assert [f.quiet_nan for f in (BF16, FP16, FP32)] == [0x7FC0, 0x7E00, 0x7FC0_0000]


def test_formats_are_found_by_name() -> None:
    assert FORMATS == {"bf16": BF16, "fp16": FP16, "fp32": FP32}
    assert all(format_named(name) is fmt for name, fmt in FORMATS.items())


def test_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"bf16, fp16, fp32, got 'FP61'; did you mean 'fp16'\?"):
        format_named("FP61")
    with pytest.raises(ValueError, match=r"got 'posit'$"):
        format_named("posit")


def test_formats_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BF16.mantissa_bits = 8  # type: ignore[misc]


@pytest.mark.parametrize(("exponent_bits", "mantissa_bits"), [(1, 7), (9, 7), (8, 0), (8, 24)])
def test_impossible_formats_are_refused(exponent_bits: int, mantissa_bits: int) -> None:
    with pytest.raises(ValueError, match="_bits must be"):
        FloatFormat("odd", exponent_bits, mantissa_bits)


@pytest.mark.parametrize(("fmt", "native"), SIXTEEN_BIT)
def test_decode_every_code(fmt: FloatFormat, native: NativeType) -> None:
    assert same_bits(decode(ALL_16_BIT_CODES, fmt), native_decode(ALL_16_BIT_CODES, native))


@pytest.mark.parametrize(("fmt", "native"), SIXTEEN_BIT)
def test_encode_undoes_decode(fmt: FloatFormat, native: NativeType) -> None:
    is_nan = np.isnan(native_decode(ALL_16_BIT_CODES, native))
    want = np.where(is_nan, fmt.quiet_nan, ALL_16_BIT_CODES)
    assert np.array_equal(encode(decode(ALL_16_BIT_CODES, fmt), fmt), want)


@pytest.mark.parametrize(("fmt", "native"), SIXTEEN_BIT)
def test_fields_make_up_the_code(fmt: FloatFormat, native: NativeType) -> None:
    sign, exponent_field, mantissa = fields(ALL_16_BIT_CODES, fmt)
    assert {x.dtype for x in (sign, exponent_field, mantissa)} == {np.dtype(np.int64)}
    assert sign.max() == 1
    assert exponent_field.max() == fmt.max_exponent_field
    assert mantissa.max() == 2**fmt.mantissa_bits - 1
    joined = sign * 2**15 + exponent_field * 2**fmt.mantissa_bits + mantissa
    assert np.array_equal(joined, ALL_16_BIT_CODES)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("fmt", "native"), SIXTEEN_BIT)
def test_every_midpoint_goes_to_even(fmt: FloatFormat, native: NativeType, sign: float) -> None:
    codes, lower, upper = finite_steps(fmt)
    midpoints = sign * (lower + upper) / 2
    want = codes + codes % 2 + (0 if sign > 0 else 1 << 15)
    assert np.array_equal(encode(midpoints, fmt), want)
    # All midpoints are exact in float32, from where both casts round once.
    assert np.array_equal(encode(midpoints, fmt), native_encode(midpoints.astype(np.float32), fmt, native))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("fmt", "native"), SIXTEEN_BIT)
def test_next_to_a_midpoint_the_nearer_wins(fmt: FloatFormat, native: NativeType, sign: float) -> None:
    """One float64 step off a midpoint: rounding through float32 first would land on the midpoint and then on even."""
    codes, lower, upper = finite_steps(fmt)
    midpoints = (lower + upper) / 2
    offset = 0 if sign > 0 else 1 << 15
    assert np.array_equal(encode(sign * np.nextafter(midpoints, -np.inf), fmt), codes + offset)
    assert np.array_equal(encode(sign * np.nextafter(midpoints, np.inf), fmt), codes + 1 + offset)


@pytest.mark.parametrize("seed", [1, 2], ids=lambda seed: f"seed{seed}")
def test_fp16_random_doubles(seed: int) -> None:
    values = random_doubles(seed, FP16)
    assert np.array_equal(encode(values, FP16), native_encode(values, FP16, np.float16))


@pytest.mark.parametrize("seed", [3, 4], ids=lambda seed: f"seed{seed}")
def test_bf16_random_singles(seed: int) -> None:
    with np.errstate(over="ignore", under="ignore"):
        values = random_doubles(seed, BF16).astype(np.float32)
    assert np.array_equal(encode(values, BF16), native_encode(values, BF16, ml_dtypes.bfloat16))


@pytest.mark.parametrize("seed", [5, 6], ids=lambda seed: f"seed{seed}")
def test_fp32_random_doubles(seed: int) -> None:
    values = random_doubles(seed, FP32)
    assert np.array_equal(encode(values, FP32), native_encode(values, FP32, np.float32))


@pytest.mark.parametrize("seed", [7, 8], ids=lambda seed: f"seed{seed}")
def test_fp32_random_codes(seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    values = native_decode(codes, np.float32)
    assert same_bits(decode(codes, FP32), values)
    assert np.array_equal(encode(values, FP32), np.where(np.isnan(values), FP32.quiet_nan, codes))


def test_fp32_midpoints_around_every_power_of_two() -> None:
    near = np.arange(-3, 4)[:, None] + np.arange(1, FP32.max_exponent_field)[None, :] * 2**23
    codes = near.astype(np.uint32)
    lower, upper = decode(codes, FP32), decode(codes + np.uint32(1), FP32)
    midpoints = (lower + upper) / 2
    assert np.array_equal(encode(midpoints, FP32), codes + codes % 2)
    assert np.array_equal(encode(np.nextafter(midpoints, np.inf), FP32), codes + 1)


@pytest.mark.parametrize(("fmt", "native"), ALL)
def test_special_values(fmt: FloatFormat, native: NativeType) -> None:
    negative = 1 << (fmt.bits - 1)
    huge, tiny = np.finfo(np.float64).max, np.finfo(np.float64).smallest_subnormal
    values = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, huge, -huge, tiny, -tiny]
    infinity, nan = fmt.infinity, fmt.quiet_nan
    want = [0, negative, infinity, negative | infinity, nan, nan, infinity, negative | infinity, 0, negative]
    assert encode(values, fmt).tolist() == want
    assert np.array_equal(encode(values, fmt), native_encode(np.array(values), fmt, native))


@pytest.mark.parametrize(("fmt", "native"), ALL)
def test_quantise_is_decode_of_encode_and_stays(fmt: FloatFormat, native: NativeType) -> None:
    values = random_doubles(9, fmt, count=10_000)
    rounded = quantise(values, fmt)
    assert same_bits(rounded, decode(encode(values, fmt), fmt))
    assert same_bits(quantise(rounded, fmt), rounded)
    assert not np.array_equal(rounded, values)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3, 4)])
@pytest.mark.parametrize(("fmt", "native"), ALL)
def test_any_shape_and_the_dtypes(fmt: FloatFormat, native: NativeType, shape: tuple[int, ...]) -> None:
    codes = encode(np.ones(shape), fmt)
    assert codes.shape == shape
    assert codes.dtype == fmt.dtype
    values = decode(codes, fmt)
    assert values.shape == shape
    assert values.dtype == np.float64
    assert np.all(values == 1.0)
    assert all(part.shape == shape for part in fields(codes, fmt))


def test_wrong_code_types_are_refused() -> None:
    with pytest.raises(TypeError, match="bf16 codes must be uint16, got int64"):
        decode([1, 2], BF16)
    with pytest.raises(TypeError, match="fp32 codes must be uint32, got uint16"):
        fields(ALL_16_BIT_CODES, FP32)
    with pytest.raises(TypeError, match="fp16 codes must be uint16, got float16"):
        decode(np.zeros(3, np.float16), FP16)


def test_wrong_value_types_are_refused() -> None:
    for values in (np.arange(3), np.zeros(3, np.longdouble), np.zeros(3, np.complex128), np.zeros(3, bool)):
        with pytest.raises(TypeError, match=f"takes float16, float32 or float64 values, got {values.dtype}"):
            encode(values, BF16)


def test_a_narrow_format_checks_its_codes() -> None:
    fp8 = FloatFormat("fp8_e5m2", exponent_bits=5, mantissa_bits=2)
    codes = np.arange(256, dtype=np.uint16)
    assert same_bits(decode(codes, fp8), native_decode(codes.astype(np.uint8), ml_dtypes.float8_e5m2))
    with pytest.raises(ValueError, match="must fit 8 bits, got 0x100"):
        decode(np.array([0x100], np.uint16), fp8)
