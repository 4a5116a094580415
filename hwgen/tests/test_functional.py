"""`hwgen.attention`: what it takes, what it refuses, and that every backend gets the same problem."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import hwgen
from golden import bitexact, exact
from golden.formats import FORMATS, decode, encode
from hwgen import functional
from hwgen.config import Config
from hwgen.errors import ConfigError, HwgenError, InputError
from hwgen.params import Params
from hwgen.presets import PRESETS, preset

ROOT = Path(hwgen.__file__).parent.parent
BF16 = ml_dtypes.bfloat16
DTYPES = {"bf16": BF16, "fp16": np.float16, "fp32": np.float32}
SHAPES = {"q": (2, 4, 5, 8), "k": (2, 2, 7, 8), "v": (2, 2, 7, 6)}

Arrays = dict[str, NDArray[Any]]


def tensors(dtype: Any = np.float16, **shapes: tuple[int, ...]) -> Arrays:
    rng = np.random.default_rng(5)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in (SHAPES | shapes).items()}


def attention(arrays: Arrays | None = None, **options: Any) -> Any:
    arrays = tensors() if arrays is None else arrays
    return hwgen.attention(arrays["q"], arrays["k"], arrays["v"], **{"preset": "tiny", "backend": "bitexact"} | options)


MASKS: list[dict[str, Any]] = [
    {},
    {"scale": 0.7},
    {"scale": -2},
    {"is_causal": True},
    {"is_causal": True, "causal_offset": 2},
    {"is_causal": True, "causal_offset": -2, "kv_lengths": 4},
    {"kv_lengths": 0},
    {"kv_lengths": np.array([0, 7], dtype=np.uint8)},
    {"kv_lengths": [3, 5]},
]


def golden_masks(options: dict[str, Any]) -> dict[str, Any]:
    names = {"scale": "scale", "is_causal": "causal", "causal_offset": "offset", "kv_lengths": "key_lengths"}
    return {names[name]: value for name, value in options.items()}


@pytest.mark.parametrize("options", MASKS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_bitexact(name: str, options: dict[str, Any]) -> None:
    arrays = tensors(DTYPES[name])
    out, lse = attention(arrays, return_lse=True, **options)
    assert out.dtype == DTYPES[name] and out.shape == (2, 4, 5, 6)
    assert lse.dtype == np.float32 and lse.shape == (2, 4, 5)
    numerics = Params(preset("tiny").replace({"in_format": name, "out_format": name})).numerics
    codes = (encode(arrays[t].astype(np.float32), FORMATS[name]) for t in "qkv")
    want = bitexact.attention(*codes, numerics, **golden_masks(options))
    np.testing.assert_array_equal(out.view(want.out.dtype), want.out)
    np.testing.assert_array_equal(lse, want.lse(numerics).astype(np.float32))


@pytest.mark.parametrize("options", MASKS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_exact(name: str, options: dict[str, Any]) -> None:
    arrays = tensors(DTYPES[name])
    out, lse = attention(arrays, backend="exact", return_lse=True, **options)
    assert out.dtype == DTYPES[name] and lse.dtype == np.float32
    want = exact.attention(*(arrays[t].astype(np.float64) for t in "qkv"), **golden_masks(options))
    np.testing.assert_array_equal(out.view(FORMATS[name].dtype), encode(want.out, FORMATS[name]))
    np.testing.assert_array_equal(lse, want.lse.astype(np.float32))


def test_models_agree() -> None:
    arrays = tensors(np.float32)
    one, other = (attention(arrays, backend=name, is_causal=True) for name in ("exact", "bitexact"))
    np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)
    assert (one != other).any()


def test_the_default_scale_is_that_of_the_arrays_not_of_the_preset() -> None:
    arrays = tensors(q=(1, 1, 3, 6), k=(1, 1, 4, 6), v=(1, 1, 4, 8))
    np.testing.assert_array_equal(attention(arrays), attention(arrays, scale=1 / math.sqrt(6)))
    assert (attention(arrays) != attention(arrays, scale=1 / math.sqrt(8))).any()


def test_empty_and_poisoned_queries() -> None:
    arrays = tensors(k=(1, 1, 5, 8), v=(1, 1, 5, 6), q=(1, 1, 4, 8))
    arrays["v"][0, 0, 2, 0] = np.inf
    for backend in ("bitexact", "exact"):
        out, lse = attention(arrays, backend=backend, is_causal=True, causal_offset=-1, return_lse=True)
        assert (out[0, 0, 0] == 0).all() and lse[0, 0, 0] == -np.inf
        assert np.isfinite(out[0, 0, 1:3]).all() and np.isfinite(lse[0, 0, 1:3]).all()
        assert np.isnan(out[0, 0, 3]).all() and np.isnan(lse[0, 0, 3])


def test_arrays_may_be_views_of_foreign_byte_order() -> None:
    arrays = tensors(np.float32)
    want = attention(arrays)
    swapped = {name: array.astype(">f4") for name, array in arrays.items()}
    got = attention(swapped)
    np.testing.assert_array_equal(got, want)
    assert got.dtype == np.dtype("=f4")
    moved = {name: np.ascontiguousarray(array.transpose(0, 2, 1, 3)) for name, array in arrays.items()}
    views = {name: array.transpose(0, 2, 1, 3) for name, array in moved.items()}
    np.testing.assert_array_equal(attention(views), want)
    reversed_ = {name: array[:, :, :, ::-1] for name, array in arrays.items()}
    want = attention({name: array.copy() for name, array in reversed_.items()})
    np.testing.assert_array_equal(attention(reversed_), want)


def test_a_preset_may_be_a_configuration() -> None:
    config = preset("tiny").replace({"weight_bits": 12, "accumulator_bits": 40})
    arrays = tensors(np.float32)
    narrow = attention(arrays, preset=config)
    assert (narrow != attention(arrays)).any()
    # Formats follow the arrays.
    np.testing.assert_array_equal(narrow, attention(arrays, preset=config.replace({"in_format": "fp16"})))
    np.testing.assert_array_equal(attention(arrays, preset=preset("tiny")), attention(arrays))


def bad(name: str, text: str, shapes: dict[str, tuple[int, ...]] | None = None, **options: Any) -> Any:
    return pytest.param(shapes or {}, options, text, id=name)


LENGTHS = "kv_lengths must be a whole number or one for each of 2 batch entries, got"
REFUSED = [
    bad("rank", "q must have 4 dimensions (batch, head, row, element), got shape (4, 5, 8)", {"q": (4, 5, 8)}),
    bad("rank of k", "k must have 4 dimensions", {"k": (2, 2, 1, 7, 8)}),
    bad("batch", "q and k must have the same batch size, got 3 and 2", {"q": (3, 4, 5, 8)}),
    bad("keys", "k and v must agree in batch, heads and keys, got (2, 2, 7, 8)", {"v": (2, 2, 6, 6)}),
    bad("kv heads", "k and v must agree in batch, heads and keys", {"v": (2, 1, 7, 6)}),
    bad("E", "q and k must have the same head dimension, got 7 and 8", {"q": (2, 4, 5, 7)}),
    bad("heads", "query heads must be a multiple of key/value heads, got 3 and 2", {"q": (2, 3, 5, 8)}),
    bad("no E", "q must have at least one head and one element", {"q": (2, 4, 5, 0), "k": (2, 2, 7, 0)}),
    bad("no queries", "there must be at least one query, got L=0", {"q": (2, 4, 0, 8)}),
    bad("no keys", "there must be at least one key, got S=0", {"k": (2, 2, 0, 8), "v": (2, 2, 0, 6)}),
    bad(
        "no batch",
        "there must be at least one batch entry, got B=0",
        {"q": (0, 4, 5, 8), "k": (0, 2, 7, 8), "v": (0, 2, 7, 6)},
    ),
    bad(
        "too large E",
        "head dimension E=9 is too large for preset 'tiny' (head_e=8); preset 'small' is large enough",
        {"q": (2, 4, 5, 9), "k": (2, 2, 7, 9)},
    ),
    bad(
        "too large F",
        "head dimension F=33 is too large for preset 'demo' (head_f=32); preset 'ecp5' is large enough",
        {"v": (2, 2, 7, 33)},
        preset="demo",
    ),
    bad(
        "too large for all",
        "head dimension E=600 is too large for preset 'sim' (head_e=64); no preset is large enough, a "
        "hwgen.config.Config(head_e=608, head_f=64) would be",
        {"q": (2, 4, 5, 600), "k": (2, 2, 7, 600)},
        preset="sim",
    ),
    bad(
        "too large for a configuration",
        "head dimension F=9 is too large for the configuration (head_f=8); preset 'small' is large enough",
        {"v": (2, 2, 7, 9)},
        preset=PRESETS["tiny"].config,
    ),
    bad(
        "too many keys",
        "S=5 keys are too many for the configuration, which takes up to 4 (key_bits=2); preset 'tiny' is large enough",
        {"k": (2, 2, 5, 8), "v": (2, 2, 5, 6)},
        preset=PRESETS["tiny"].config.replace({"key_bits": 2, "accumulator_bits": 40}),
    ),
    bad(
        "too many keys beside a sink",
        "S=4 keys are too many for the configuration, which takes up to 3 (key_bits=2, with one for the sink); preset "
        "'tiny' is large enough",
        {"k": (2, 2, 4, 8), "v": (2, 2, 4, 6)},
        preset=PRESETS["tiny"].config.replace({"key_bits": 2, "accumulator_bits": 40}),
        sink=np.zeros(4),
    ),
    bad("one length too long", "kv_lengths must lie in 0 .. 7 (the rows of k), not 8", kv_lengths=[7, 8]),
    bad("negative length", "kv_lengths must lie in 0 .. 7 (the rows of k), not -1", kv_lengths=-1),
    bad("lengths of three", f"{LENGTHS} int64 of shape (3,)", kv_lengths=[1, 2, 3]),
    bad("lengths of heads", f"{LENGTHS} int64 of shape (2, 2)", kv_lengths=np.ones((2, 2), np.int64)),
    bad("length 1.5", f"{LENGTHS} float64 of shape ()", kv_lengths=1.5),
    bad("length True", f"{LENGTHS} bool of shape ()", kv_lengths=True),
    bad("scale nan", "scale must be finite, not nan", scale=float("nan")),
    bad("scale inf", "scale must be finite, not -inf", scale=-float("inf")),
    bad("scale text", "scale must be a number, not 'a'", scale="a"),
    bad("scale huge", "scale must have a magnitude between 2^-100 and 2^100, not 1e+40", scale=1e40),
    bad("offset 0.5", "causal_offset must be a whole number, not 0.5", is_causal=True, causal_offset=0.5),
    bad(
        "offset far",
        "causal_offset must lie in -1048576 .. 1048576, not 1048577",
        is_causal=True,
        causal_offset=2**20 + 1,
    ),
    bad("offset alone", "causal_offset=3 has no effect without is_causal=True", causal_offset=3),
    bad("backend", "unknown backend 'rlt'; did you mean 'rtl'? allowed: bitexact, board:PORT, exact", backend="rlt"),
    bad("no port", "unknown backend 'board'; did you mean 'board:PORT'? allowed: bitexact", backend="board"),
    bad("preset", "unknown preset 'tini'; did you mean 'tiny'? allowed: demo, ecp5", preset="tini"),
    bad("preset type", "preset must be a name or a hwgen.config.Config, not 3", preset=3),
    bad("configuration", "head_e=64 must be a multiple of rows_e=5; the nearest is 65", preset=Config(rows_e=5)),
    bad("stats", "return_stats needs backend='rtl' or a device: backend 'bitexact' counts nothing", return_stats=True),
]


@pytest.mark.parametrize(("shapes", "options", "text"), REFUSED)
@pytest.mark.parametrize("backend", ["rtl", "bitexact"])
def test_refused(
    shapes: dict[str, Any], options: dict[str, Any], text: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any) -> None:
        raise AssertionError("a backend was called")

    monkeypatch.setattr(functional, "BACKENDS", dict.fromkeys(functional.BACKENDS, nothing))
    if "return_stats" not in options:
        options = {"backend": backend} | options
    with pytest.raises((InputError, ConfigError), match=re.escape(text)):
        attention(tensors(**shapes), **options)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"k": [1.0]}, "k must be a NumPy array, not list"),
        ({"q": np.ones((2, 4, 5, 8))}, "q must be of type bfloat16 (of ml_dtypes), float16 or float32, not float64"),
        ({"v": np.ones((2, 2, 7, 6), int)}, "v must be of type bfloat16 (of ml_dtypes), float16 or float32, not int64"),
        ({"v": np.ones((2, 2, 7, 6), BF16)}, "q, k and v must have the same type, not float16, float16, bfloat16"),
    ],
)
def test_refused_types(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=re.escape(text)):
        attention(tensors() | change)


def test_limits_of_the_accelerator() -> None:
    """Arrays that take no memory: all their rows are one."""

    def broadcast(*shape: int) -> NDArray[Any]:
        return np.broadcast_to(np.float16(1), shape)

    for q, kv, text in (
        ((65536, 1, 1, 8), (65536, 1, 1, 8), "B can be up to 65535, not 65536"),
        ((1, 65536, 1, 8), (1, 65536, 1, 8), "Hq can be up to 65535, not 65536"),
        ((1, 1, 2**20 + 1, 8), (1, 1, 1, 8), "L can be up to 1048576, not 1048577"),
        ((1, 1, 1, 8), (1, 1, 2**20 + 1, 8), "S can be up to 1048576, not 1048577"),
        ((1, 4097, 1, 8), (1, 1, 1, 8), "Hq / Hkv can be up to 4096, not 4097"),
        ((1, 512, 2**20, 8), (1, 1, 1, 8), "L times Hq / Hkv can be up to 268435456, not 536870912"),
    ):
        with pytest.raises(InputError, match=text):
            hwgen.attention(broadcast(*q), broadcast(*kv), broadcast(*kv), preset="tiny")


def test_what_is_returned() -> None:
    assert isinstance(attention(), np.ndarray)
    assert [type(part) for part in attention(return_lse=True)] == [np.ndarray, np.ndarray]


@pytest.mark.parametrize("form", [1, 2])
def test_results_in_code_space_equal_the_inputs_format(form: int) -> None:
    """A single key returns its value row."""
    arrays = tensors(BF16, q=(1, 1, 2, 8), k=(1, 1, 1, 8), v=(1, 1, 1, 6))
    out, lse = attention(arrays, return_lse=True, scale=float(form))
    np.testing.assert_array_equal(out[0, 0, 0], arrays["v"][0, 0, 0])
    dot = (arrays["q"].astype(float) @ arrays["k"].astype(float).transpose(0, 1, 3, 2))[..., 0] * form
    np.testing.assert_allclose(lse, dot, atol=1e-3)
    assert decode(out.view(np.uint16), FORMATS["bf16"]).shape == (1, 1, 2, 6)


def test_the_package_needs_only_the_standard_library() -> None:
    """`-S` leaves out everything installed."""
    text = "import hwgen, hwgen.cli, sys; print(hwgen.__version__, 'numpy' in sys.modules)"
    command = [sys.executable, "-S", "-c", text]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hwgen.__version__, "False"]


def test_unknown_names_of_the_package() -> None:
    with pytest.raises(AttributeError, match="module 'hwgen' has no attribute 'attentoin'"):
        _ = hwgen.attentoin  # type: ignore[attr-defined]
    assert "attention" in hwgen.__all__ and hwgen.attention is functional.attention
    assert issubclass(InputError, HwgenError)
