"""Tables and numbers of the generated pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def digits(number: float, count: int = 4) -> str:
    """So many significant digits, thousands apart: 0.001342, 7.600, 6,336; a whole number as it is."""
    if float(number).is_integer() and abs(number) < 10**count:
        return f"{int(number):,}"
    if abs(number) >= 10 ** (count - 1):
        return f"{float(f'{number:.{count}g}'):,.0f}"
    return f"{number:#.{count}g}"


def seconds(number: float) -> str:
    """With a unit that leaves one to three digits before the point."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if number >= size:
            return f"{digits(number / size)} {unit}"
    return f"{digits(number * 1e9)} ns"


def share(number: float) -> str:
    """Three digits behind the point."""
    return f"{number:.3f}"


def deviation(found: float, published: float) -> str:
    """How far off, in percent."""
    return f"{100 * (found / published - 1):+.2f} %"
