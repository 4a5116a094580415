"""The PyTorch operator against the integer model and against PyTorch's own attention. Run by `make test-torch`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwgen.errors import InputError
from hwgen.torch_operator import attention, to_numpy

TYPES = (torch.bfloat16, torch.float16, torch.float32)


def tensors(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((2, 4, 9, 8), (2, 2, 13, 8), (2, 2, 13, 5))
    return tuple(torch.randn(shape, generator=generator).to(dtype) for shape in shapes)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_the_simulated_accelerator_equals_the_integer_model(dtype: torch.dtype) -> None:
    lengths = torch.tensor([13, 6])
    options = {"is_causal": True, "causal_offset": 4, "kv_lengths": lengths, "preset": "tiny"}
    got, want = (attention(*tensors(dtype), backend=backend, **options) for backend in ("rtl", "bitexact"))
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_it_agrees_with_pytorch(dtype: torch.dtype) -> None:
    q, k, v = tensors(dtype)
    out, lse = torch.ops.hwgen.attention(q, k, v, None, False, 0, None, "tiny", "bitexact")
    wide = (tensor.double() for tensor in (q, k, v))
    want = torch.nn.functional.scaled_dot_product_attention(*wide, enable_gqa=True)
    rounding = torch.finfo(dtype).eps
    assert out.dtype == dtype and lse.dtype == torch.float32
    assert torch.allclose(out.double(), want, rtol=rounding, atol=max(rounding, 2**-12))


def test_the_operator_is_well_formed() -> None:
    """Schema, shapes without data, no aliases: what PyTorch asks of an operator."""
    arguments = (*tensors(torch.bfloat16), None, True, 2, None, "tiny", "bitexact")
    checks = ("test_schema", "test_faketensor")
    assert set(torch.library.opcheck(attention, arguments, test_utils=checks).values()) == {"SUCCESS"}


def test_wrong_tensors() -> None:
    with pytest.raises(InputError, match="must be bfloat16, float16 or float32, not torch.float64"):
        to_numpy(torch.zeros(2, dtype=torch.float64))
    with pytest.raises(InputError, match="must be on the CPU, not on meta"):
        to_numpy(torch.zeros(2, device="meta"))
    strided = torch.arange(12, dtype=torch.float32).reshape(3, 4).T
    assert np.array_equal(to_numpy(strided), strided.numpy())
