"""Cascades as YAML: what `golden.cascade.read` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable

from golden.cascade.cascade import Cascade
from golden.cascade.einsum import Einsum


def as_yaml(cascade: Cascade) -> str:
    """A file's text; reading it gives an equal cascade."""
    lines = [f"name: {_quoted(cascade.name)}"]
    lines += [f"{key}: {_quoted(text)}" for key in ("about", "source") if (text := getattr(cascade, key))]
    for key, lists in (("inputs", cascade.inputs), ("ranks", cascade.ranks)):
        lines += [f"{key}:"] * bool(lists) + [f"  {name}: [{', '.join(names)}]" for name, names in lists.items()]
    if cascade.stop:
        lines += ["stop:", *(f"  - {variable} >= {rank}" for variable, rank in cascade.stop.items())]
    lines += _block("initial", cascade.initial) + _block("einsums", cascade.einsums)
    lines.append(f"outputs: [{', '.join(cascade.outputs)}]")
    lines += [f"over: {cascade.over}"] * (cascade.over is not None)
    if cascade.sizes:
        lines.append(f"sizes: {{{', '.join(f'{rank}: {size}' for rank, size in cascade.sizes.items())}}}")
    return "\n".join(lines) + "\n"


def _block(key: str, einsums: Iterable[Einsum]) -> list[str]:
    lines = [f"  {einsum}" for einsum in einsums]
    return [f"{key}: |", *lines] if lines else []


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
