"""Results, one line of JSON each, that outlive whoever writes them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from hwgen.errors import InputError

BEGIN = b'{"key": "'
"""Of every line, so that what a killed process left can be told from another file's text."""


@dataclass(frozen=True)
class Result:
    """What became of a point: its metrics, or why it has none."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


class Journal:
    """The results in a file, by key; those added are on the disk when `add` returns.

    One process at a time has the file. A line that a killed process did not finish is dropped. Used with `with`; raises
    InputError if another process has the file or if it is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, Result] = {}

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        try:
            self._lock()
            self._load()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, lines: Iterable[tuple[str, Mapping[str, Any], Result]]) -> None:
        """Record results: key, the values of the parameters (for who reads the file), result."""
        lines = list(lines)
        for key, values, result in lines:
            line = {"key": key, "values": dict(values), **asdict(result)}
            self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        for key, _, result in lines:
            self.results[key] = result

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self.path}: another sweep is writing here; -o names another folder") from None

    def _load(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        whole = text.rfind(b"\n") + 1
        if not BEGIN.startswith(text[whole:][: len(BEGIN)]):
            raise self._foreign(text.count(b"\n") + 1)
        for number, line in enumerate(text[:whole].splitlines(), 1):
            try:
                found = json.loads(line)
                self.results[found["key"]] = Result(found["metrics"], found["error"])
            except (ValueError, KeyError, TypeError):
                raise self._foreign(number) from None
        self._file.truncate(whole)

    def _foreign(self, number: int) -> InputError:
        return InputError(f"{self.path}:{number}: not a line of results; -o names another folder")
