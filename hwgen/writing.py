"""Files that are whole or not there: written beside their place under another name, and moved there when complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name to write under, with the same ending; what is there when the block ends takes the place of `path`.

    Makes the folder. If anything fails nothing is left and what was there before stays. Whoever writes the same file at
    the same time writes another one: the last to finish is seen. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Into a device or a pipe one can only write.
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    part = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it; makes its folder."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
