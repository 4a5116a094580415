"""Real tensors to test with; README.md of this folder says where they come from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MINILM_PATH = Path(__file__).with_name("minilm.npz")

Bf16Codes = npt.NDArray[np.uint16]


class MiniLM(NamedTuple):
    """Q, K and V of every layer and head of all-MiniLM-L6-v2 on one paragraph.

    q, k and v are bf16 codes (6 layers, 12 heads, L tokens, 32 elements); `tokens` are the L word pieces.
    """

    q: Bf16Codes
    k: Bf16Codes
    v: Bf16Codes
    tokens: tuple[str, ...]


def load_minilm(path: Path = MINILM_PATH) -> MiniLM:
    """Read what `save_minilm` wrote, by default the file shipped with the package."""
    with np.load(path, allow_pickle=False) as file:
        q, k, v = (file[f"{name}_high"].astype(np.uint16) << 8 | file[f"{name}_low"] for name in "qkv")
        return MiniLM(q, k, v, tuple(file["tokens"].tolist()))


def save_minilm(data: MiniLM, path: Path = MINILM_PATH) -> None:
    """Write `data` compressed, the same bytes for the same data and the same zlib.

    High and low bytes are kept apart: signs and exponents are few and compress, mantissas do not, and mixed they would
    hide each other's statistics.
    """
    parts: dict[str, npt.NDArray[np.uint8]] = {}
    for name, codes in (("q", data.q), ("k", data.k), ("v", data.v)):
        parts[f"{name}_high"] = (codes >> 8).astype(np.uint8)
        parts[f"{name}_low"] = (codes & 0xFF).astype(np.uint8)
    np.savez_compressed(path, allow_pickle=False, tokens=np.array(data.tokens), **parts)
