"""The hex files between Python and the testbench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from amaranth.lib import data
from numpy.typing import NDArray


def write_beats(path: Path, rows: NDArray[np.unsignedinteger], beat: int) -> None:
    """Rows of float codes (N, D), `beat` of them a line, element 0 in the lowest bits."""
    lines = rows.reshape(-1, beat)[:, ::-1]
    digits = rows.dtype.itemsize * 2 * beat
    text = lines.astype(rows.dtype.newbyteorder(">")).tobytes().hex()
    path.write_text("\n".join(text[i : i + digits] for i in range(0, len(text), digits)) + "\n")


def write_words(path: Path, words: list[int]) -> None:
    path.write_text("".join(f"{word:x}\n" for word in words))


def read_words(path: Path) -> list[int]:
    """The words Verilog wrote, in order; none if it wrote no file."""
    if not path.exists():
        return []
    return [int(line, 16) for line in path.read_text().split() if line[0] not in "@/"]


def read_lines(path: Path) -> list[str]:
    """The lines of a file; none if there is no file."""
    return path.read_text().splitlines() if path.exists() else []


def unpack(layout: data.StructLayout, word: int) -> dict[str, int]:
    """A structure's scalar fields (arrays stay packed), signed ones as signed numbers."""
    fields = {}
    for name, field in layout:
        value = (word >> field.offset) & ((1 << field.width) - 1)
        shape = field.shape
        if getattr(shape, "signed", False) and value >> (field.width - 1):
            value -= 1 << field.width
        fields[name] = value
    return fields
