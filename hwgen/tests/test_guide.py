"""The examples of the guide and of the README run; the score programs are made, the rest is float64, no simulator."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import hwgen

ROOT = Path(hwgen.__file__).parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text()
README = (ROOT / "README.md").read_text()


def examples(page: str, begin: str, end: str) -> str:
    """The Python among the indented lines between two lines."""
    part = f"\n{page}".split(f"\n{begin}\n")[1].split(f"\n{end}\n")[0]
    blocks = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", part)
    lines = "\n".join(blocks).splitlines()
    return "\n".join(line[4:] for line in lines if not re.match(r"    (hwgen|make|\.venv/bin/hwgen) ", line))


@pytest.fixture
def float64(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Puts float64 in place of the simulator; gives what the examples called."""
    calls: dict[str, list[Any]] = {"attention": [], "onnx_attention": []}

    def recording(name: str, function: Any) -> Any:
        def call(*tensors: Any, **options: Any) -> Any:
            calls[name].append(options)
            wanted = options.pop("return_stats", False)
            found = function(*tensors, backend="exact", **options)
            return (*found, {}) if wanted else found

        return functools.wraps(function)(call)

    for name in calls:
        monkeypatch.setattr(hwgen, name, recording(name, getattr(hwgen, name)), raising=False)
    return calls


def test_guide(float64: dict[str, list[Any]]) -> None:
    space: dict[str, Any] = {}
    exec(examples(GUIDE, "## As a function", "## From the command line"), space)
    assert float64["onnx_attention"]
    asked = {name for options in float64["attention"] for name in options}
    assert asked >= {"score_mod", "mask_mod", "score_arguments", "attn_mask", "block_mask", "block_table", "sink"}
    assert len(space["record"]) == 64 + 4 * space["traced"].program.argument_words


def test_readme(float64: dict[str, list[Any]]) -> None:
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((1, 8, 40, 64)).astype(ml_dtypes.bfloat16) for _ in range(3))
    space: dict[str, Any] = {"q": q, "k": k, "v": v, "np": np, "hwgen": hwgen}
    exec(examples(README, README.splitlines()[0], "## How it works"), space)
    assert len(float64["attention"]) == 2
