"""Reads YAML as a tree whose parts know where they stand, so that a mistake is reported with file, line and column."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError

KINDS = {yaml.ScalarNode: "one value", yaml.SequenceNode: "a list", yaml.MappingNode: "keys with values"}


@dataclass(frozen=True)
class Entry:
    """A node of a file. What is asked of it either fits or raises ConfigError with its place."""

    file: str
    node: yaml.Node

    def error(self, text: str) -> ConfigError:
        mark = self.node.start_mark
        return ConfigError(f"{self.file}:{mark.line + 1}:{mark.column + 1}: {text}")

    def pairs(self) -> list[tuple[Entry, Entry]]:
        """Keys and values of a mapping, in order; no key stands twice."""
        self._expect(yaml.MappingNode)
        found = [(Entry(self.file, key), Entry(self.file, value)) for key, value in self.node.value]
        seen: set[str] = set()
        for key, _ in found:
            name = key.text()
            if name in seen:
                raise key.error(f"{name!r} stands twice")
            seen.add(name)
        return found

    def fields(self, allowed: Iterable[str], required: Iterable[str] = ()) -> dict[str, Entry]:
        """The values of a mapping with known keys only, by name."""
        allowed = list(allowed)
        found = {}
        for key, value in self.pairs():
            if key.text() not in allowed:
                raise key.error(f"unknown key {key.text()!r}{did_you_mean(key.text(), allowed)}")
            found[key.text()] = value
        for name in required:
            if name not in found:
                raise self.error(f"the key {name!r} is missing")
        return found

    def items(self, *, may_be_empty: bool = False) -> list[Entry]:
        """The entries of a list."""
        self._expect(yaml.SequenceNode)
        if not self.node.value and not may_be_empty:
            raise self.error("the list is empty")
        return [Entry(self.file, node) for node in self.node.value]

    def text(self) -> str:
        self._expect(yaml.ScalarNode)
        return str(self.node.value)

    def choice(self, allowed: Iterable[str], what: str) -> str:
        """One of some names."""
        allowed = list(allowed)
        if self.text() not in allowed:
            raise self.error(f"unknown {what} {self.text()!r}{did_you_mean(self.text(), allowed)}")
        return self.text()

    def whole(self, least: int | None = None, most: int | None = None) -> int:
        """A whole number within limits."""
        value = self.value()
        limits = "" if least is None else f" from {least} on" if most is None else f" {least} .. {most}"
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"expected a whole number{limits}, not {self.text()!r}")
        if (least is not None and value < least) or (most is not None and value > most):
            raise self.error(f"expected a whole number{limits}, not {value}")
        return value

    def number(self) -> float:
        """A finite number; 1e9 is one, with or without a point."""
        text = self.text()
        try:
            value = float(text) if self._plain else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"expected a number, not {text!r}")
        return value

    def flag(self) -> bool:
        value = self.value()
        if not isinstance(value, bool):
            raise self.error(f"expected true or false, not {self.text()!r}")
        return value

    def value(self) -> int | bool | str | None:
        """A whole number, true, false, none, or else text. Quoted words are text."""
        text = self.text()
        words: dict[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}
        if self._plain and re.fullmatch(r"[-+]?[0-9]{1,1000}", text):
            return int(text)
        return words[text] if self._plain and text in words else text

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def _plain(self) -> bool:
        """Not quoted."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.style is None

    def _expect(self, kind: type[yaml.Node]) -> None:
        if not isinstance(self.node, kind):
            raise self.error(f"expected {KINDS[kind]}, not {KINDS[type(self.node)]}")


def read(path: Path) -> Entry:
    """The tree of a file. Raises ConfigError if it is not YAML or is empty, OSError if it cannot be read."""
    return parse(path.read_bytes(), str(path))


def parse(text: str | bytes, file: str) -> Entry:
    """The tree of a text; `file` stands before line and column in errors. Raises ConfigError as `read` does."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise ConfigError(f"{where}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{file}: lists or keys are nested too deep") from None
    if node is None:
        raise ConfigError(f"{file}:1:1: the file is empty")
    return Entry(file, node)
