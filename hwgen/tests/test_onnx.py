"""`hwgen.onnx_attention` against the text of ONNX's Attention (opset 25), written down in float64."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import hwgen
from golden.error import relative_rmse, rounding_rmse
from golden.formats import FORMATS, encode
from hwgen.errors import InputError

Arrays = dict[str, NDArray[Any]]
Wide = NDArray[np.float64]
B, HQ, HKV, L, S, E, F = 2, 4, 2, 3, 7, 8, 6
INF = np.inf
DTYPES = {"bf16": ml_dtypes.bfloat16, "fp16": np.float16, "fp32": np.float32}


def tensors(dtype: Any = np.float32, seed: int = 3, length: int = L, keys: int = S) -> Arrays:
    rng = np.random.default_rng(seed)
    shapes = {"Q": (B, HQ, length, E), "K": (B, HKV, keys, E), "V": (B, HKV, keys, F)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def past(dtype: Any = np.float32, length: int = 4) -> Arrays:
    rng = np.random.default_rng(4)
    shapes = {"past_key": (B, HKV, length, E), "past_value": (B, HKV, length, F)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def mask(*shape: int, dtype: Any = np.float32, seed: int = 6) -> NDArray[Any]:
    """Additive, with -inf here and there; or boolean."""
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal(shape).astype(dtype)
    hidden = rng.random(shape) < 0.3
    return ~hidden if dtype is bool else np.where(hidden, numbers.dtype.type(-INF), numbers)


def specified(inputs: Arrays, attributes: dict[str, Any]) -> tuple[Wide, Wide, Wide, Wide]:
    """Y, present_key, present_value and qk_matmul_output in the words of the specification."""
    wide = {name: a if a.dtype.kind in "bi" else a.astype(np.float64) for name, a in inputs.items()}
    q, k, v = wide["Q"], wide["K"], wide["V"]
    flat = q.ndim == 3
    if flat:

        def split(array: Wide, heads: int) -> Wide:
            return np.transpose(array.reshape(array.shape[0], array.shape[1], heads, -1), (0, 2, 1, 3))

        q = split(q, attributes["q_num_heads"])
        k, v = (split(array, attributes["kv_num_heads"]) for array in (k, v))
    if "past_key" in wide:
        k, v = (np.concatenate(pair, axis=2) for pair in ((wide["past_key"], k), (wide["past_value"], v)))
    batch, heads, length, total = *q.shape[:3], k.shape[2]
    bias = np.zeros((batch, heads, length, total))
    if "attn_mask" in wide:
        given = wide["attn_mask"]
        given = np.where(given, 0.0, -INF) if given.dtype == bool else given
        missing = total - given.shape[-1]
        bias += np.concatenate([given, np.full((*given.shape[:-1], missing), -INF)], axis=-1)
    nonpad = wide.get("nonpad_kv_seqlen")
    left, right = attributes.get("left_window_size", -1), attributes.get("right_window_size", -1)
    for b, i, j in itertools.product(range(batch), range(length), range(total)):
        offset = 0 if nonpad is None else int(nonpad[b]) - length
        offset += wide["past_key"].shape[2] if "past_key" in wide else 0
        p = i + offset
        hidden = attributes.get("is_causal", 0) and j > p
        hidden |= (left >= 0 and j < p - left) or (right >= 0 and j > p + right)
        hidden |= nonpad is not None and j >= nonpad[b]
        if hidden:
            bias[b, :, i, j] = -INF
    root = math.sqrt(attributes.get("scale", 1 / math.sqrt(q.shape[3])))
    k_heads, v_heads = (np.repeat(array, heads // array.shape[1], axis=1) for array in (k, v))
    stages = [(q * root) @ np.swapaxes(k_heads * root, 2, 3)]
    cap = attributes.get("softcap", 0.0)
    stages.append(np.tanh(stages[0] / cap) * cap if cap else stages[0])
    stages.append(stages[1] + bias)
    none = np.isneginf(bias).all(axis=-1, keepdims=True)
    weights = np.exp(stages[2] - np.where(none, 0, stages[2].max(axis=-1, keepdims=True)))
    stages.append(np.where(none, 0, weights / np.where(none, 1, weights.sum(axis=-1, keepdims=True))))
    y = stages[3] @ v_heads
    if flat:
        y = np.transpose(y, (0, 2, 1, 3)).reshape(batch, length, -1)
    return y, k, v, stages[attributes.get("qk_matmul_output_mode", 0)]


def flattened(inputs: Arrays) -> Arrays:
    """Q, K and V of three dimensions."""
    return {n: a.transpose(0, 2, 1, 3).reshape(a.shape[0], a.shape[2], -1) for n, a in inputs.items() if n in "QKV"}


def nonpad(*lengths: int) -> dict[str, Any]:
    return {"nonpad_kv_seqlen": np.array(lengths, dtype=np.int64)}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "scale": ({}, {"scale": 0.3}),
    "no scale": ({}, {"scale": 0.0}),
    "causal without a cache": ({}, {"is_causal": 1}),
    "softcap": ({}, {"softcap": 2.0}),
    "window": ({}, {"left_window_size": 1, "right_window_size": 2}),
    "left window": ({}, {"left_window_size": 1}),
    "right window": ({}, {"right_window_size": 0}),
    "causal window": ({}, {"is_causal": 1, "left_window_size": 1, "right_window_size": 3}),
    "boolean mask": ({"attn_mask": mask(L, S, dtype=bool)}, {}),
    "mask of keys": ({"attn_mask": mask(S)}, {}),
    "mask of heads": ({"attn_mask": mask(HQ, L, S)}, {}),
    "mask of batches": ({"attn_mask": mask(B, 1, L, S)}, {"softcap": 1.5}),
    "whole mask": ({"attn_mask": mask(B, HQ, L, S)}, {"is_causal": 1}),
    "short mask": ({"attn_mask": mask(L, 5)}, {}),
    "short boolean mask": ({"attn_mask": mask(L, 5, dtype=bool)}, {"is_causal": 1}),
    "mask of one key": ({"attn_mask": np.zeros((L, 1), np.float32)}, {}),
    "hidden rows": ({"attn_mask": np.where(np.arange(L)[:, None] == 1, np.float32(-INF), mask(L, S))}, {}),
    "past": (past(), {}),
    "past, causal": (past(), {"is_causal": 1}),
    "past, window": (past(), {"left_window_size": 2, "right_window_size": 1}),
    "past, mask": (past() | {"attn_mask": mask(L, 9)}, {"is_causal": 1}),
    "empty past": (past(length=0), {"is_causal": 1}),
    "nonpad": (nonpad(5, 0), {}),
    "nonpad, causal": (nonpad(5, 7), {"is_causal": 1}),
    "nonpad below queries": (nonpad(2, 1), {"is_causal": 1}),
    "nonpad, window": (nonpad(4, 6), {"left_window_size": 1, "right_window_size": 1}),
    "nonpad, causal window": (nonpad(6, 6), {"is_causal": 1, "left_window_size": 1}),
    "nonpad, short mask": (nonpad(4, 5) | {"attn_mask": mask(B, 1, 1, 5, dtype=bool)}, {}),
    "precision": ({}, {"softmax_precision": 10}),
}


@pytest.mark.parametrize("case", CASES)
def test_as_specified(case: str) -> None:
    more, attributes = CASES[case]
    inputs = tensors() | more
    want = specified(inputs, attributes)
    got = hwgen.onnx_attention(**inputs, **attributes, preset="tiny", backend="exact")
    np.testing.assert_allclose(got.Y, want[0], rtol=1e-6, atol=1e-7)
    for part, whole in zip(got[1:3], want[1:3], strict=True):
        np.testing.assert_array_equal(part, whole.astype(np.float32))
    integers = hwgen.onnx_attention(**inputs, **attributes, preset="tiny", backend="bitexact")
    np.testing.assert_allclose(integers.Y, want[0], rtol=2e-3, atol=2e-4)
    for part, same in zip(integers[1:], got[1:], strict=True):
        np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", range(4))
def test_scores(mode: int, case: str) -> None:
    more, attributes = CASES[case]
    inputs, attributes = tensors() | more, attributes | {"qk_matmul_output_mode": mode}
    got = hwgen.onnx_attention(**inputs, **attributes, preset="tiny", backend="exact").qk_matmul_output
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, specified(inputs, attributes)[3], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", ["nothing", "causal window", "mask of heads", "past, causal", "nonpad, causal"])
def test_three_dimensions(case: str) -> None:
    more, attributes = CASES[case]
    inputs = tensors() | more
    flat = inputs | flattened(inputs)
    heads = {"q_num_heads": HQ, "kv_num_heads": HKV}
    got = hwgen.onnx_attention(**flat, **attributes, **heads, preset="tiny", backend="bitexact")
    want = hwgen.onnx_attention(**inputs, **attributes, preset="tiny", backend="bitexact")
    assert got.Y.shape == (B, L, HQ * F)
    np.testing.assert_array_equal(got.Y.reshape(B, L, HQ, F).transpose(0, 2, 1, 3), want.Y)
    for part, same in zip(got[1:], want[1:], strict=True):
        np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("name", DTYPES)
def test_types(name: str) -> None:
    """Every output has the inputs' type and is as good as the exact one, rounded."""
    inputs = tensors(DTYPES[name], length=40, keys=50) | {"attn_mask": mask(40, 50, dtype=DTYPES[name])}
    attributes = {"is_causal": 1, "softcap": 3.0, "qk_matmul_output_mode": 3}
    got = hwgen.onnx_attention(**inputs, **attributes, preset="tiny", backend="bitexact")
    assert {part.dtype for part in got} == {np.dtype(DTYPES[name])}
    y, *_, probabilities = specified(inputs, attributes)
    limit = {"bf16": 1.02, "fp16": 1.05}.get(name)
    if limit:
        assert relative_rmse(got.Y.astype(np.float64), y) <= limit * rounding_rmse(y, FORMATS[name])
    codes = got.qk_matmul_output.view(FORMATS[name].dtype)
    assert (codes != encode(probabilities, FORMATS[name])).mean() < 1e-3


def test_what_a_masked_key_holds_has_no_influence() -> None:
    """On Y: scores of modes 0 and 1 are before any mask."""
    inputs = tensors() | {"attn_mask": np.where(np.arange(S) == 2, np.float32(-INF), np.zeros((L, S), np.float32))}
    want = hwgen.onnx_attention(**inputs, preset="tiny", backend="bitexact", qk_matmul_output_mode=3)
    for name, index in (("K", np.nan), ("V", np.inf)):
        inputs[name][:, :, 2] = index
    for backend in ("bitexact", "exact"):
        got = hwgen.onnx_attention(**inputs, preset="tiny", backend=backend, qk_matmul_output_mode=3)
        assert np.isfinite(got.Y).all()
        np.testing.assert_array_equal(got.qk_matmul_output, want.qk_matmul_output)
        if backend == "bitexact":
            np.testing.assert_array_equal(got.Y, want.Y)


def bad(name: str, text: str, change: dict[str, Any]) -> Any:
    return pytest.param(change, text, id=name)


FLAT = flattened(tensors())
REFUSED = [
    bad("list", "K must be a NumPy array, not list", {"K": [1]}),
    bad("ranks", "Q, K and V must all have 3 or all have 4 dimensions, not shapes (2, 3, 32)", {"Q": FLAT["Q"]}),
    bad("heads of four", "q_num_heads=4 is for inputs of 3 dimensions; of these 4, heads are the second",
        {"q_num_heads": 4}),
    bad("no heads", "inputs of 3 dimensions need kv_num_heads", FLAT | {"q_num_heads": 4}),
    bad("0 heads", "q_num_heads must be at least 1, not 0", FLAT | {"q_num_heads": 0, "kv_num_heads": 2}),
    bad("odd heads", "the last dimension of Q must be a multiple of 3 heads, not 32",
        FLAT | {"q_num_heads": 3, "kv_num_heads": 2}),
    bad("causal", "is_causal must be one of 0, 1, not 2", {"is_causal": 2}),
    bad("mode", "qk_matmul_output_mode must be one of 0, 1, 2, 3, not 4", {"qk_matmul_output_mode": 4}),
    bad("precision", "softmax_precision must be one of 1, 10, 11, 16, not 2", {"softmax_precision": 2}),
    bad("softcap", "softcap must be positive, or 0 for none, not -1", {"softcap": -1}),
    bad("scale", "scale must not be negative, not -0.5: ONNX multiplies Q and K by its square root", {"scale": -0.5}),
    bad("window", "left_window_size must be -1 for no bound, or at least 0, not -2", {"left_window_size": -2}),
    bad("half window", "right_window_size must be a whole number, not 0.5", {"right_window_size": 0.5}),
    bad("past alone", "past_key needs past_value: they come together", {"past_key": past()["past_key"]}),
    bad("past value alone", "past_value needs past_key", {"past_value": past()["past_value"]}),
    bad("past shape", "past_key must have shape (B, kv heads, past length, head size) = (2, 2, any, 8), not (2, 1, 4, "
        "8)", {"past_key": past()["past_key"][:, :1]}),
    bad("past type", "past_key must have the type of the new ones, float32, not float16", past(np.float16)),
    bad("two caches", "nonpad_kv_seqlen cannot be combined with past_key", past() | nonpad(1, 1)),
    bad("nonpad of 3", "nonpad_kv_seqlen must hold a whole number for each of 2 batch entries, got int64 of shape (3,)",
        nonpad(1, 2, 3)),
    bad("long nonpad", "nonpad_kv_seqlen must lie in 0 .. 7 (the rows of K), not 8", nonpad(1, 8)),
    bad("short mask", "attn_mask must reach at least to the last of 6 keys of nonpad_kv_seqlen, not have a last "
        "dimension of 5", nonpad(1, 6) | {"attn_mask": mask(L, 5)}),
    bad("mask type", "attn_mask must be boolean or of q's type float32, not float64",
        {"attn_mask": mask(L, S).astype(np.float64)}),
    bad("mask shape", "attn_mask must broadcast to (B, Hq, L, S) = (2, 4, 3, 7), not have shape (2, 7)",
        {"attn_mask": mask(2, S)}),
    bad("types", "q, k and v must have the same type", {"V": tensors(np.float16)["V"]}),
    bad("double", "q must be of type bfloat16 (of ml_dtypes), float16 or float32, not float64", tensors(np.float64)),
]  # fmt: skip


@pytest.mark.parametrize(("change", "text"), REFUSED)
def test_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=re.escape(text)):
        hwgen.onnx_attention(**tensors() | change, preset="tiny")
