"""Plain-text tables and the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns, a name and what it is; a blank name continues the row above."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)


def columns(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = ()) -> str:
    """Columns under a header: flush right, but flush left the first one and those named in `left`."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    flush_left = [i == 0 or name in left for i, name in enumerate(header)]

    def text(line: Sequence[str]) -> str:
        cells = zip(line, widths, flush_left, strict=True)
        return "  ".join(cell.ljust(width) if is_left else cell.rjust(width) for cell, width, is_left in cells).rstrip()

    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(text(line) for line in lines)


def count(number: int) -> str:
    """Thousands apart: 41946 is 41,946."""
    return f"{number:,}"


def counts(numbers: Mapping[str, int]) -> str:
    """Those that are not zero: `fill 100, drain 1,240`; `never` if none is."""
    return ", ".join(f"{name} {count(number)}" for name, number in numbers.items() if number) or "never"


def equal_bits(compared: int, equal: int) -> str:
    """How many bits agree: `all 1,024`, or `all but 3`."""
    return f"all {count(compared)}" if equal == compared else f"all but {count(compared - equal)}"


def met(target: bool | None) -> str:
    """Whether a target was reached, if there was one."""
    return {None: "-", True: "yes", False: "no"}[target]


def rate(number: float) -> str:
    """A number of events in a second, with three digits and a prefix: 24006.7 is 24.0 k."""
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{three_digits(number / size)}{prefix}"
    return three_digits(number)


def three_digits(number: float) -> str:
    """Three significant digits of a number from 0.001 to 1000; others in scientific notation."""
    if number == 0 or not math.isfinite(number):
        return f"{number:g}"
    if not 1e-3 <= abs(number) < 1e3:
        return f"{number:.2e}"
    return f"{number:.{max(0, 2 - math.floor(math.log10(abs(number))))}f}"


def json_number(number: float) -> float | str:
    """What JSON can hold: a finite number as it is, `inf`, `-inf` and `nan` as text."""
    return number if math.isfinite(number) else str(number)
