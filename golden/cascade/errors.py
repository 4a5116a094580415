"""What is wrong with a cascade, and where it is written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A character of a text: file (empty if there is none), line and column from 1 on, and the line itself."""

    file: str
    line: int
    column: int
    text: str

    def after(self, characters: int) -> Place:
        """The place so many characters further right."""
        return Place(self.file, self.line, self.column + characters, self.text)


class CascadeError(ValueError):
    """A cascade is written wrongly, contradicts itself, or cannot be evaluated or analysed.

    message: what is wrong;  place: where, None if the cascade was not read from a text
    """

    def __init__(self, message: str, place: Place | None = None) -> None:
        self.message, self.place = message, place
        super().__init__(message if place is None else _located(message, place))


def _located(message: str, place: Place) -> str:
    where = f"{place.file}:{place.line}:{place.column}" if place.file else f"line {place.line}, column {place.column}"
    if not place.text.strip():
        return f"{where}: {message}"
    return f"{where}: {message}\n  {place.text}\n  {' ' * (place.column - 1)}^"


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest allowed one, then all of them."""
    names = sorted(set(allowed))
    if not names:
        return "; there are none"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or [n for n in names if n.lower() == name.lower()]
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} allowed: {', '.join(names)}"
