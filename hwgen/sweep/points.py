"""Points of an exploration, and the key under which the result of a point is kept."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hwgen.config import Config
from hwgen.sweep.metrics import Setting
from hwgen.sweep.spec import Parameter, Spec, Value

ROOT = Path(__file__).resolve().parent.parent.parent

SOURCES = (
    *(f"golden/{name}" for name in ("__init__.py", "bitexact", "exact.py", "formats.py", "scoremod")),
    *(f"hwgen/{name}" for name in ("array", "control", "memory", "model", "scoremod", "softmax")),
    *(f"hwgen/{name}.py" for name in ("sim/__init__", "sim/layout", "sweep/__init__", "sweep/metrics", "yaml_tree")),
    *(f"hwgen/{name}.py" for name in ("__init__", "config", "errors", "params", "part", "pipeline", "queue", "timing")),
)
"""Files and folders of what the model is made of."""


@dataclass(frozen=True)
class Point:
    """Values by parameter, the configuration they make, and the key of its result."""

    values: Mapping[str, Value]
    config: Config
    key: str


def grid(spec: Spec) -> Iterator[Point]:
    """Every combination; the last parameter changes fastest."""
    for indices in itertools.product(*(range(len(parameter.values)) for parameter in spec.parameters)):
        yield point(spec, indices)


def grid_size(parameters: Sequence[Parameter]) -> int:
    return math.prod(len(parameter.values) for parameter in parameters)


def point(spec: Spec, indices: Sequence[int]) -> Point:
    """The point at the given place of each parameter's values."""
    chosen = zip(spec.parameters, indices, strict=True)
    values = {name: parameter.values[i] for parameter, i in chosen for name in parameter.names}
    config = spec.base.replace(values)
    return Point(values, config, result_key(config, spec.setting))


def result_key(config: Config, setting: Setting) -> str:
    """Changes with anything the result of a point depends on: the configuration, what is asked of it, the model."""
    text = f"{config.hash()} {setting.text} {model_version()}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def model_version() -> str:
    """Sixteen hexadecimal digits that change with the sources the model is made of."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def sources() -> list[Path]:
    """All files that a result may depend on, apart from what a file of costs says."""
    files: set[Path] = set()
    for name in SOURCES:
        place = ROOT / name
        found = place.rglob("*") if place.is_dir() else [place]
        files |= {path for path in found if path.suffix in (".py", ".yaml") and "tables" not in path.parts}
    return sorted(files)
