"""What can be wrong with an expression of emitted Verilog: mutations by class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rtl_tests.mutate.verilog import NAME, Module, Site, tokens

CLASSES = ("constant", "operator", "width", "swap", "stuck", "index")
"""constant: a number one more or less;  operator: another one, or a negation missing;  width: the top bit lost, or a
signed comparison unsigned;  swap: operands, branches, halves of a concatenation;  stuck: a condition or bit always 0
or 1, a register that keeps its value;  index: a bit or slice one place off."""

CONSTANT = re.compile(r"(\d+)'(s?)([bdh])([0-9a-fA-F_]+)$")
BASES = {"b": 2, "d": 10, "h": 16}
BINARY = {"&": "|", "|": "&", "^": "|", "&&": "||", "||": "&&", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "+"}
BINARY |= {">": ">=", ">=": ">", "<": "<=", "<=": "<", "<<": ">>", ">>": "<<", ">>>": "<<"}
UNARY = {"~": "", "-": "", "!": "|", "|": "&", "&": "|", "^": "|"}
COMPARISONS = {"==", "!=", ">", ">=", "<", "<="}
SWAPPED = {"-", ">", ">=", "<", "<=", "<<", ">>", ">>>"}


class Change(NamedTuple):
    """A mutation: its class and the expression that takes the place of a site's."""

    kind: str
    expression: str


def changes(site: Site, module: Module) -> Iterator[Change]:
    """All mutations of a site, none of them the site's own text.

    Amaranth resets every register, most of which need none: what a reset sets, and a reset that does not come, are not
    worth a change. One that never ends is.
    """
    if site.in_reset:
        yield from [Change("stuck", "1'h1")] * (site.kind == "if")
        return
    words, widths = tokens(site.expression), module.widths
    found = [*_constants(words), *_indices(words, widths), *_stuck(site)]
    found += [*_operators(words), *_swaps(words), *_narrow(site, words, module)]
    seen = {site.expression.strip()}
    for change in found:
        text = change.expression.strip()
        if text not in seen:
            seen.add(text)
            yield change


def _joined(words: list[str]) -> str:
    return re.sub(
        r" \[ (\d+)(?: (:) (\d+))? \]", lambda found: f"[{''.join(filter(None, found.groups()))}]", " ".join(words)
    )


def _replaced(words: list[str], at: int, count: int, *new: str) -> str:
    return _joined([*words[:at], *new, *words[at + count :]])


def _constants(words: list[str]) -> Iterator[Change]:
    for i, word in enumerate(words):
        if found := CONSTANT.match(word):
            bits, value = int(found[1]), int(found[4], BASES[found[3]])
            for other in (value + 1, value - 1):
                text = f"{bits}'{found[2]}h{other % (1 << bits):x}"
                yield Change("constant", _replaced(words, i, 1, text))


def _indices(words: list[str], widths: Mapping[str, int]) -> Iterator[Change]:
    """`name[i]` and `name[i:j]` with numbers."""
    for i, word in enumerate(words):
        width = widths.get(word.strip()) if NAME.fullmatch(word) else None
        if width is None or words[i + 1 : i + 2] != ["["]:
            continue
        end = words.index("]", i)
        inside = words[i + 2 : end]
        numbers = [int(text) for text in inside if text.isdigit()]
        if len(inside) != 2 * len(numbers) - 1 or _copies(words, i, end) > 2:
            continue
        for step in (1, -1):
            moved = [n + step for n in numbers]
            if min(moved) >= 0 and max(moved) < width:
                new = [text for n in moved for text in (":", str(n))][1:]
                yield Change("index", _replaced(words, i + 2, len(inside), *new))


def _copies(words: list[str], first: int, last: int) -> int:
    """How often these words stand there: a sign that is repeated to extend a number is worth no change of one copy."""
    part = words[first : last + 1]
    return sum(words[i : i + len(part)] == part for i in range(len(words)))


def _stuck(site: Site) -> Iterator[Change]:
    if site.width == 1:
        yield Change("stuck", "1'h0")
        yield Change("stuck", "1'h1")
    plain = site.before.split("<=")[0].strip().lstrip("\\")
    if site.kind == "clocked" and plain == site.target.lstrip("\\"):
        yield Change("stuck", f"{site.target} " if site.target.startswith("\\") else site.target)


def _top(words: list[str]) -> list[int]:
    """Places outside of all brackets."""
    depth, found = 0, []
    for i, word in enumerate(words):
        depth += (word in "([{") - (word in ")]}")
        if depth == 0 and word not in ")]}":
            found.append(i)
    return found


def _is_operand_end(word: str) -> bool:
    return word in (")", "]", "}") or bool(NAME.fullmatch(word) or word[0].isdigit())


def _binary(words: list[str]) -> int | None:
    """Where the one binary operator outside of brackets stands."""
    places = [i for i in _top(words) if words[i] in BINARY and i > 0 and _is_operand_end(words[i - 1])]
    return places[0] if len(places) == 1 else None


def _operators(words: list[str]) -> Iterator[Change]:
    at = _binary(words)
    if at is not None:
        yield Change("operator", _replaced(words, at, 1, BINARY[words[at]]))
        if words[at] in ("+", "-", "&", "|"):
            yield Change("operator", _joined(words[:at]))
    elif words[0] in UNARY:
        other = UNARY[words[0]]
        yield Change("operator", _replaced(words, 0, 1, *filter(None, [other])))


def _swaps(words: list[str]) -> Iterator[Change]:
    top, at = _top(words), _binary(words)
    if at is not None and words[at] in SWAPPED:
        yield Change("swap", _joined([*words[at + 1 :], words[at], *words[:at]]))
    question = [i for i in top if words[i] == "?"]
    colon = [i for i in top if words[i] == ":"]
    if len(question) == len(colon) == 1:
        q, c = question[0], colon[0]
        yield Change("swap", _joined([*words[: q + 1], *words[c + 1 :], ":", *words[q + 1 : c]]))
    if words[0] == "{" and words[-1] == "}":
        commas = [i + 1 for i in _top(words[1:-1]) if words[i + 1] == ","]
        if len(commas) == 1:
            c = commas[0]
            yield Change("swap", _joined(["{", *words[c + 1 : -1], ",", *words[1:c], "}"]))


def is_signed(words: list[str]) -> bool:
    """Whether the value is signed: then what takes its place has to be so too."""
    return "$signed" in words and not any(words[i] in COMPARISONS for i in _top(words))


def _narrow(site: Site, words: list[str], module: Module) -> Iterator[Change]:
    at = _binary(words)
    if at is not None and words[at] in COMPARISONS and words[0] == "$signed":
        yield Change("width", _joined(["$unsigned", *words[1:]]))
    arithmetic = at is not None and words[at] in ("+", "-", "*", "<<", ">>", ">>>")
    plain = site.before.replace("assign", "").split("=")[0].rstrip("< ").strip() == site.target
    if plain and site.target not in module.outputs and module.top_bits.get(site.target, 0) < (site.width or 0) - 1:
        # Nobody reads the top bit.
        return
    if site.width is not None and site.width > 1 and (arithmetic or site.kind in ("clocked", "port")):
        sign = "s" if is_signed(words) else ""
        mask = f"{site.width}'{sign}h{(1 << (site.width - 1)) - 1:x}"
        yield Change("width", f"{mask} & ({site.expression})")
