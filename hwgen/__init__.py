"""Generator of a streaming one-pass attention accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwgen.functional import attention
    from hwgen.onnx import onnx_attention

__version__ = "0.1.0"
__all__ = ["__version__", "attention", "onnx_attention"]


def __getattr__(name: str) -> Any:
    """Import what needs more than the standard library when it is asked for: `hwgen doctor` runs without."""
    if name == "attention":
        from hwgen.functional import attention

        return attention
    if name == "onnx_attention":
        from hwgen.onnx import onnx_attention

        return onnx_attention
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
