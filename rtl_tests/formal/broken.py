"""Components with a mistake."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from rtl_tests.formal.proof import Breakage


@contextmanager
def broken(breakage: Breakage | None) -> Iterator[None]:
    """While in this context the component has the mistake, wherever it stands. Raises ValueError if there is not
    exactly one such line to make it in."""
    if breakage is None:
        yield
        return
    part: Any = breakage.part
    mistaken = _mistaken(breakage)
    kept = {name: vars(part)[name] for name in mistaken}
    for name, function in mistaken.items():
        setattr(part, name, function)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(part, name, function)


def _mistaken(breakage: Breakage) -> dict[str, FunctionType]:
    """The methods that the mistake changes."""
    part: Any = breakage.part
    source = inspect.getsource(part)
    if source.count(breakage.line) != 1:
        raise ValueError(f"{part.__name__} has {source.count(breakage.line)} times {breakage.line!r}, not once")
    names = dict(vars(sys.modules[part.__module__]))
    exec(source.replace(breakage.line, breakage.mistake), names)
    methods = {name: value for name, value in vars(part).items() if isinstance(value, FunctionType)}
    changed = [name for name, method in methods.items() if breakage.line in inspect.getsource(method)]
    return {name: vars(names[part.__name__])[name] for name in changed}
