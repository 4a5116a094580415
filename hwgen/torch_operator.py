"""The accelerator as an operator of PyTorch: `torch.ops.hwgen.attention`, registered when this module is imported.

    import hwgen.torch_operator as operator
    out, lse = operator.attention(q, k, v, is_causal=True)

PyTorch is not among hwgen's packages; importing this module without it raises ModuleNotFoundError.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray

from hwgen import functional
from hwgen.errors import InputError

NUMPY_TYPES = {torch.float16: np.float16, torch.float32: np.float32}


def to_numpy(tensor: torch.Tensor) -> NDArray[np.generic]:
    """A CPU tensor's numbers. Raises InputError for one that is elsewhere or of another type."""
    if tensor.device.type != "cpu":
        raise InputError(f"tensors must be on the CPU, not on {tensor.device}")
    tensor = tensor.detach().contiguous()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if tensor.dtype not in NUMPY_TYPES:
        raise InputError(f"tensors must be bfloat16, float16 or float32, not {tensor.dtype}")
    return tensor.numpy()


def to_torch(array: NDArray[np.generic]) -> torch.Tensor:
    """The same numbers as a tensor."""
    array = np.ascontiguousarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


@torch.library.custom_op("hwgen::attention", mutates_args=())
def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float | None = None,
    is_causal: bool = False,
    causal_offset: int = 0,
    kv_lengths: torch.Tensor | None = None,
    preset: str = "sim",
    backend: str = "rtl",
) -> tuple[torch.Tensor, torch.Tensor]:
    """`hwgen.attention` of CPU tensors: out (B, Hq, L, F) of the inputs' type and lse (B, Hq, L) of float32; kv_lengths
    is one number for each batch entry. There is no gradient."""
    lengths = None if kv_lengths is None else kv_lengths.numpy()
    options = {"is_causal": is_causal, "causal_offset": causal_offset, "kv_lengths": lengths}
    tensors = (to_numpy(tensor) for tensor in (q, k, v))
    out, lse = functional.attention(
        *tensors, scale=scale, return_lse=True, preset=preset, backend=backend, **options  # type: ignore[arg-type]
    )
    return to_torch(out), to_torch(lse)


@attention.register_fake
def _(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float | None = None,
    is_causal: bool = False,
    causal_offset: int = 0,
    kv_lengths: torch.Tensor | None = None,
    preset: str = "sim",
    backend: str = "rtl",
) -> tuple[torch.Tensor, torch.Tensor]:
    return q.new_empty((*q.shape[:3], v.shape[3])), q.new_empty(q.shape[:3], dtype=torch.float32)
