"""Cascades as YAML files: what is written where, with line and column in every complaint.

The keys are those of `golden.cascade.cascade.Cascade`; `einsums` and `initial` hold one Einsum a line, `stop` one
condition or a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from golden.cascade import parse
from golden.cascade.cascade import Cascade
from golden.cascade.einsum import Einsum
from golden.cascade.errors import CascadeError, Place, did_you_mean

LIBRARY = Path(__file__).parent / "library"
KEYS = ("name", "about", "source", "inputs", "ranks", "stop", "initial", "einsums", "outputs", "over", "sizes")
NEEDED = ("name", "inputs", "einsums")


def library() -> tuple[str, ...]:
    """Names of the cascades that come with the package."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.yaml")))


def load(name: str) -> Cascade:
    """The library's cascade of a name. Raises CascadeError."""
    if name not in library():
        raise CascadeError(f"unknown cascade {name!r}{did_you_mean(name, library())}")
    return read(LIBRARY / f"{name}.yaml")


def read(path: Path) -> Cascade:
    """The cascade in a file.

    Raises
    ------
    CascadeError
        With file, line and column.
    OSError
        If the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CascadeError(f"{path} is no text: {error.reason} at byte {error.start}") from None
    return loads(text, str(path))


def loads(text: str, file: str = "") -> Cascade:
    """The cascade in a text; `file` is what complaints call it. Raises CascadeError."""
    return _Reader(text, file).cascade()


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.lines, self.file = text.splitlines(), file
        try:
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = None if mark is None else self.at(mark.line, mark.column)
            raise CascadeError(str(error.problem or error.context), place) from None
        except yaml.YAMLError as error:
            raise CascadeError(f"{file or 'the text'} is no YAML: {error}") from None
        except RecursionError:
            raise CascadeError(f"{file or 'the text'} is nested too deep") from None

    def at(self, line: int, column: int) -> Place:
        """A place by line and column from 0 on."""
        return Place(self.file, line + 1, column + 1, self.lines[line] if line < len(self.lines) else "")

    def place(self, node: yaml.Node) -> Place:
        return self.at(node.start_mark.line, node.start_mark.column)

    def cascade(self) -> Cascade:
        if not isinstance(self.root, yaml.MappingNode):
            raise CascadeError(f"a cascade has the keys {', '.join(KEYS)}", self.at(0, 0))
        found = self.mapping(self.root, KEYS)
        for key in NEEDED:
            if key not in found:
                raise CascadeError(f"a cascade needs {key!r}", self.place(self.root))
        choices: dict[str, Any] = {}
        places = {key: self.place(node) for key, (_, node) in found.items()}
        for key, read in self.readers().items():
            if key in found:
                choices[key] = read(found[key][1])
        for key in ("inputs", "ranks"):
            if key in found:
                places |= {name: self.place(own) for name, (own, _) in self.mapping(found[key][1]).items()}
        return Cascade(**choices, places=places)

    def readers(self) -> Mapping[str, Callable[[yaml.Node], Any]]:
        return {
            "name": self.text,
            "about": self.text,
            "source": self.text,
            "over": self.text,
            "inputs": lambda node: {k: self.names(v) for k, (_, v) in self.mapping(node).items()},
            "ranks": lambda node: {k: self.names(v) for k, (_, v) in self.mapping(node).items()},
            "outputs": self.names,
            "stop": self.stops,
            "initial": self.einsums,
            "einsums": self.einsums,
            "sizes": lambda node: {k: self.whole(v) for k, (_, v) in self.mapping(node).items()},
        }

    # Values

    def mapping(self, node: yaml.Node, allowed: tuple[str, ...] = ()) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key and value nodes by key, every key once and among those allowed."""
        if not isinstance(node, yaml.MappingNode):
            raise CascadeError("expected `key: value` pairs", self.place(node))
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = self.text(key)
            if allowed and name not in allowed:
                raise CascadeError(f"unknown key {name!r}{did_you_mean(name, allowed)}", self.place(key))
            if name in found:
                raise CascadeError(f"{name!r} stands there twice", self.place(key))
            found[name] = (key, value)
        return found

    def text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            hint = "; a line with ': ' must stand under `|` or in quotes" if isinstance(node, yaml.MappingNode) else ""
            raise CascadeError(f"expected a text{hint}", self.place(node))
        return str(node.value).strip()

    def whole(self, node: yaml.Node) -> int:
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:int" or not node.value.isdecimal():
            raise CascadeError("expected a whole number", self.place(node))
        return int(node.value)

    def names(self, node: yaml.Node) -> tuple[str, ...]:
        """A list `[M1, M0]`, or one text with blanks or commas between."""
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.text(item) for item in node.value)
        return tuple(self.text(node).replace(",", " ").split())

    def stops(self, node: yaml.Node) -> dict[str, str]:
        return dict(parse.stop(text, place) for text, place in self.written(node))

    def einsums(self, node: yaml.Node) -> tuple[Einsum, ...]:
        return tuple(parse.einsum(text, place) for text, place in self.written(node))

    def written(self, node: yaml.Node) -> list[tuple[str, Place]]:
        """Lines of a block under `|` but for comments, or the texts of a list, each with its place."""
        if isinstance(node, yaml.SequenceNode):
            return [line for item in node.value for line in self.written(item)]
        value = self.text(node)
        line, column = node.start_mark.line, node.start_mark.column
        if node.style != "|":
            start = self.at(line, column + (node.style in ("'", '"')))
            return [(value, start)] if value else []
        found = []
        for number in range(line + 1, min(node.end_mark.line + 1, len(self.lines))):
            written = self.lines[number]
            text = written.partition("#")[0].rstrip()
            indent = len(text) - len(text.lstrip())
            if text and (number < node.end_mark.line or indent > self.indent(line)):
                found.append((text[indent:], self.at(number, indent)))
        return found

    def indent(self, line: int) -> int:
        return len(self.lines[line]) - len(self.lines[line].lstrip())
