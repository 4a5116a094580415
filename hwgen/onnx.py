"""The operator `Attention` of ONNX (opsets 23 to 25) as a function of NumPy arrays.

`hwgen.onnx_attention` is this module's `onnx_attention`. It turns ONNX's layouts, cache, masks and windows into the
arguments of `hwgen.attention`, and computes the scores that ONNX can give out in float64.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.formats import encode
from hwgen.config import Config
from hwgen.errors import InputError
from hwgen.functional import attention
from hwgen.problem import TYPES, checked_mask, number, whole_number

FloatArray = NDArray[Any]
BoolArray = NDArray[np.bool_]

SOFTMAX_PRECISIONS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
"""What `softmax_precision` may be, by ONNX's numbers of types."""

NO_WINDOW = -1


class OnnxOutputs(NamedTuple):
    """Y in Q's layout; present_key (B, kv heads, T, E), present_value (B, kv heads, T, F) and qk_matmul_output
    (B, q heads, L, T), where T is the length of past and new keys together."""

    Y: FloatArray
    present_key: FloatArray
    present_value: FloatArray
    qk_matmul_output: FloatArray


def onnx_attention(
    Q: FloatArray,
    K: FloatArray,
    V: FloatArray,
    attn_mask: NDArray[Any] | None = None,
    past_key: FloatArray | None = None,
    past_value: FloatArray | None = None,
    nonpad_kv_seqlen: NDArray[np.integer[Any]] | None = None,
    *,
    is_causal: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    q_num_heads: int | None = None,
    kv_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    softmax_precision: int | None = None,
    left_window_size: int = NO_WINDOW,
    right_window_size: int = NO_WINDOW,
    preset: str | Config = "sim",
    backend: str = "rtl",
) -> OnnxOutputs:
    """ONNX's Attention, inputs and attributes as its specification names them.

    Parameters
    ----------
    Q, K, V
        (B, heads, length, head size), or (B, length, heads * head size) with q_num_heads and kv_num_heads; of one type:
        float16, float32 or ml_dtypes.bfloat16.
    attn_mask
        Boolean (True: takes part) or of the inputs' type (added to the scores); broadcasts to (B, q heads, L, T). A
        last dimension shorter than T, even of 1, is padded with False or -inf.
    past_key, past_value
        (B, kv heads, past length, head size): come before K and V; the queries then stand behind the past.
    nonpad_kv_seqlen
        (B,): so many keys exist; the queries then are the last of them.
    is_causal, left_window_size, right_window_size
        Query i stands at p = i + offset, the offset being the past length, or nonpad_kv_seqlen - L, or 0; it sees key j
        if j <= p where is_causal, and p - left <= j <= p + right for what is not -1.
    qk_matmul_output_mode
        What the fourth output holds: 0 scaled scores, 1 after softcap, 2 after mask and bias, 3 probabilities.
    softmax_precision
        1, 10, 11 or 16; the softmax has one precision here, see docs/semantics.md.
    preset, backend
        Those of `hwgen.attention`.

    The fourth output is computed in float64, rounded once, whatever the backend. A query that sees no key gives 0, in
    Y and in mode 3.

    Raises
    ------
    InputError, ConfigError, MissingTool, SimulationError
        As `hwgen.attention` does.
    """
    _check_choices(is_causal, qk_matmul_output_mode, softmax_precision)
    heads = _Heads.checked(Q, K, V, q_num_heads, kv_num_heads)
    q, k, v = heads.split(Q, K, V)
    k, v = _with_past("key", past_key, k), _with_past("value", past_value, v)
    if (past_key is None) != (past_value is None):
        there, missing = ("key", "value") if past_value is None else ("value", "key")
        raise InputError(f"past_{there} needs past_{missing}: they come together")
    if past_key is not None and nonpad_kv_seqlen is not None:
        raise InputError("nonpad_kv_seqlen cannot be combined with past_key: a cache is inside or outside, not both")
    lengths = _checked_nonpad(nonpad_kv_seqlen, q.shape[0], k.shape[2])
    if lengths is not None:
        offset = lengths - q.shape[2]
    else:
        offset = np.full(q.shape[0], 0 if past_key is None else past_key.shape[2], dtype=np.int64)
    sizes = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    mask = None if attn_mask is None else _padded_mask(attn_mask, q.dtype, sizes, lengths)
    windows = [("left_window_size", left_window_size), ("right_window_size", right_window_size)]
    left, right = (_checked_window(name, size) for name, size in windows)
    factor = _checked_scale(scale, q.shape[3])
    cap = number("softcap", softcap)
    if cap < 0:
        raise InputError(f"softcap must be positive, or 0 for none, not {softcap!r}")
    aligned: dict[str, Any] = {"is_causal": bool(is_causal)}
    if is_causal or (left, right) != (NO_WINDOW, NO_WINDOW):
        aligned |= {"causal_offset": offset, "window": (left, right)}
    y = attention(
        q, k, v,
        scale=factor, softcap=cap, attn_mask=mask, kv_lengths=lengths, preset=preset, backend=backend, **aligned,
    )  # fmt: skip
    seen = _seen(sizes, bool(is_causal), offset, left, right, lengths)
    scores = _scores(q, k, factor, cap, mask, seen, qk_matmul_output_mode)
    return OnnxOutputs(heads.joined(y), k, v, scores)


def _check_choices(is_causal: Any, mode: Any, precision: Any) -> None:
    allowed: list[tuple[str, Any, list[int]]] = [
        ("is_causal", is_causal, [0, 1]),
        ("qk_matmul_output_mode", mode, [0, 1, 2, 3]),
        ("softmax_precision", precision, list(SOFTMAX_PRECISIONS)),
    ]
    for name, value, choices in allowed:
        if value is None and name == "softmax_precision":
            continue
        if value not in choices:
            raise InputError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")


class _Heads(NamedTuple):
    """How many heads there are if the inputs have three dimensions."""

    q: int | None
    kv: int | None

    @classmethod
    def checked(cls, q: Any, k: Any, v: Any, q_num_heads: Any, kv_num_heads: Any) -> _Heads:
        for name, array in (("Q", q), ("K", k), ("V", v)):
            if not isinstance(array, np.ndarray):
                raise InputError(f"{name} must be a NumPy array, not {type(array).__name__}")
        ranks = {array.ndim for array in (q, k, v)}
        if ranks not in ({3}, {4}):
            raise InputError(
                f"Q, K and V must all have 3 or all have 4 dimensions, not shapes {q.shape}, {k.shape} and {v.shape}"
            )
        given = {"q_num_heads": q_num_heads, "kv_num_heads": kv_num_heads}
        if ranks == {4}:
            for name, value in given.items():
                if value is not None:
                    raise InputError(f"{name}={value} is for inputs of 3 dimensions; of these 4, heads are the second")
            return cls(None, None)
        for name, value in given.items():
            if value is None:
                raise InputError(f"inputs of 3 dimensions need {name}")
            if whole_number(name, value) < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        for name, array, heads in (("Q", q, q_num_heads), ("K", k, kv_num_heads), ("V", v, kv_num_heads)):
            if array.shape[2] % heads:
                size = array.shape[2]
                raise InputError(f"the last dimension of {name} must be a multiple of {heads} heads, not {size}")
        return cls(int(q_num_heads), int(kv_num_heads))

    def split(self, q: FloatArray, k: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As (B, heads, length, head size)."""

        def one(array: FloatArray, heads: int | None) -> FloatArray:
            if heads is None:
                return array
            return array.reshape(*array.shape[:2], heads, -1).transpose(0, 2, 1, 3)

        return one(q, self.q), one(k, self.kv), one(v, self.kv)

    def joined(self, y: FloatArray) -> FloatArray:
        """(B, heads, L, F) in the inputs' layout."""
        if self.q is None:
            return y
        return y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)


def _with_past(what: str, past: Any, new: FloatArray) -> FloatArray:
    """The past's rows, then the new ones."""
    if past is None:
        return new
    name = f"past_{what}"
    if not isinstance(past, np.ndarray):
        raise InputError(f"{name} must be a NumPy array, not {type(past).__name__}")
    wanted = f"(B, kv heads, past length, head size) = ({new.shape[0]}, {new.shape[1]}, any, {new.shape[3]})"
    if past.ndim != 4 or (*past.shape[:2], past.shape[3]) != (*new.shape[:2], new.shape[3]):
        raise InputError(f"{name} must have shape {wanted}, not {past.shape}")
    if past.dtype != new.dtype:
        raise InputError(f"{name} must have the type of the new ones, {new.dtype}, not {past.dtype}")
    return np.concatenate([past, new], axis=2)


def _checked_nonpad(nonpad: Any, batches: int, keys: int) -> NDArray[np.int64] | None:
    if nonpad is None:
        return None
    lengths = np.asarray(nonpad)
    if lengths.dtype.kind not in "iu" or lengths.shape != (batches,):
        got = f"{lengths.dtype} of shape {lengths.shape}"
        raise InputError(f"nonpad_kv_seqlen must hold a whole number for each of {batches} batch entries, got {got}")
    outside = lengths[(lengths < 0) | (lengths > keys)]
    if outside.size:
        raise InputError(f"nonpad_kv_seqlen must lie in 0 .. {keys} (the rows of K), not {int(outside[0])}")
    return lengths.astype(np.int64)


def _padded_mask(
    mask: Any, dtype: np.dtype[Any], sizes: tuple[int, int, int, int], lengths: NDArray[np.int64] | None
) -> NDArray[Any]:
    """The mask with a last dimension of all keys."""
    if isinstance(mask, np.ndarray) and mask.ndim and mask.shape[-1] < sizes[3]:
        keys = mask.shape[-1]
        if lengths is not None and keys < lengths.max(initial=0):
            raise InputError(
                f"attn_mask must reach at least to the last of {int(lengths.max())} keys of nonpad_kv_seqlen, "
                f"not have a last dimension of {keys}"
            )
        hidden = False if mask.dtype == np.bool_ else -np.inf
        widths = [(0, 0)] * (mask.ndim - 1) + [(0, sizes[3] - keys)]
        mask = np.pad(mask, widths, constant_values=hidden)
    return checked_mask("attn_mask", mask, dtype, sizes)


def _checked_window(name: str, size: Any) -> int:
    count = whole_number(name, size)
    if count < NO_WINDOW:
        raise InputError(f"{name} must be -1 for no bound, or at least 0, not {count}")
    return count


def _checked_scale(scale: Any, head_e: int) -> float:
    if scale is None:
        return 1 / math.sqrt(head_e)
    factor = number("scale", scale)
    if factor < 0:
        raise InputError(f"scale must not be negative, not {factor!r}: ONNX multiplies Q and K by its square root")
    return factor


def _seen(
    sizes: tuple[int, int, int, int], causal: bool, offset: NDArray[np.int64], left: int, right: int, lengths: Any
) -> BoolArray:
    """(B, 1, L, T): what causal rule, window and padding leave."""
    position = np.arange(sizes[2])[:, None] + offset[:, None, None, None]
    j = np.arange(sizes[3])
    seen = np.ones((sizes[0], 1, sizes[2], sizes[3]), dtype=bool)
    if causal:
        seen &= j <= position
    if left >= 0:
        seen &= j >= position - left
    if right >= 0:
        seen &= j <= position + right
    if lengths is not None:
        seen &= j < lengths[:, None, None, None]
    return seen


def _scores(
    q: FloatArray, k: FloatArray, scale: float, cap: float, mask: NDArray[Any] | None, seen: BoolArray, mode: int
) -> FloatArray:
    """(B, q heads, L, T) of Q's type; what an unseen key holds is in modes 0 and 1 only."""
    wide = np.repeat(k.astype(np.float64), q.shape[1] // k.shape[1], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        scores = q.astype(np.float64) @ wide.transpose(0, 1, 3, 2) * scale
        if mode >= 1 and cap:
            scores = cap * np.tanh(scores / cap)
        if mode >= 2:
            scores, seen = _masked(scores, mask, seen)
        if mode == 3:
            scores = _softmax(scores, seen)
        return _rounded(scores, q.dtype)


def _masked(
    scores: NDArray[np.float64], mask: NDArray[Any] | None, seen: BoolArray
) -> tuple[NDArray[np.float64], BoolArray]:
    """Scores with the bias, -inf where a key is not seen; and where it is."""
    if mask is not None and mask.dtype == np.bool_:
        seen = seen & mask
    elif mask is not None:
        bias = mask.astype(np.float64)
        scores, seen = scores + bias, seen & (bias != -np.inf)
    return np.where(seen, scores, -np.inf), np.broadcast_to(seen, scores.shape)


def _softmax(scores: NDArray[np.float64], seen: BoolArray) -> NDArray[np.float64]:
    """Rows that see nothing are 0."""
    highest = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(highest == -np.inf, 0, highest))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(seen.any(axis=-1, keepdims=True), total, 1)


def _rounded(values: NDArray[np.float64], dtype: np.dtype[Any]) -> FloatArray:
    """Rounded once."""
    fmt = TYPES[dtype.newbyteorder("=")]
    return encode(values, fmt).view(dtype.newbyteorder("="))

