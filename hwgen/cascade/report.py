"""What is found out about a cascade: passes, reasons, footprints and operations, as JSON and as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from golden.cascade import count
from golden.cascade.cascade import Cascade
from golden.cascade.errors import CascadeError
from golden.cascade.footprint import PARTS, RESULT, STATE, WHOLE, boundaries, footprint
from golden.cascade.formula import Formula
from golden.cascade.passes import Passes, passes
from golden.cascade.read import library, load, read
from hwgen import table

MEANINGS = {
    WHOLE: "every element",
    PARTS: "one element a tile",
    STATE: "the last coordinate",
    RESULT: "a result",
}


def find(name: str) -> Cascade:
    """The cascade in a file, or the library's of that name. Raises CascadeError or OSError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or (path.is_file() and name not in library()):
        return read(path)
    return load(name)


def run(
    name: str | None,
    *,
    rank: str | None = None,
    sizes: Mapping[str, int] | None = None,
    picture: Path | None = None,
    json_wanted: bool = False,
) -> int:
    """`hwgen passes`."""
    if name is None:
        found = all_facts()
        text = library_text(found)
    else:
        cascade = find(name)
        analysis = passes(cascade, rank)
        found = facts(analysis, known_sizes(cascade, sizes or {}))
        text = as_text(found)
        if picture is not None:
            from hwgen.cascade.graph import draw

            draw(picture, analysis)
            text += f"\n\npicture  {picture}"
    print(json.dumps(found, indent=2, allow_nan=False) if json_wanted else text)
    return 0


def known_sizes(cascade: Cascade, given: Mapping[str, int]) -> dict[str, int] | None:
    """Sizes of all ranks: those given, the others from the cascade's examples; None if there are none at all.

    Raises
    ------
    CascadeError
        If they contradict each other, or some are given and others are not known.
    """
    if not given and not cascade.sizes:
        return None
    return count.with_pairs(cascade, cascade.space.sizes({**cascade.sizes, **given}))


def facts(found: Passes, sizes: Mapping[str, int] | None) -> dict[str, Any]:
    """Everything about a cascade and a rank, as JSON holds it; numbers are None where sizes are not known."""
    cascade = found.cascade
    operations = count.operations(cascade)
    return {
        "cascade": cascade.name,
        "about": cascade.about,
        "source": cascade.source,
        "rank": found.rank,
        "parts": list(cascade.space.leaves(found.rank)),
        "sizes": None if sizes is None else {r: sizes[r] for r in cascade.space.names},
        "passes": found.count,
        "other_ranks": _other_ranks(found),
        "einsums": [
            {
                "einsum": str(e),
                "pass": found.stages[e.name].number,
                "stage": str(found.stages[e.name]),
                "operations": {kind: str(formula) for kind, formula in operations[e.name].items()},
            }
            for e in sorted(cascade.einsums, key=lambda e: found.stages[e.name].time)
        ],
        "initial": [str(e) for e in cascade.initial],
        "reasons": [reason._asdict() | {"text": str(reason)} for reason in found.reasons],
        "waits": [{"einsum": a, "for": b} for a, b in found.waits],
        "inputs": {tensor: list(numbers) for tensor, numbers in found.reads.items()},
        "kept": [
            {
                "tensor": k.tensor,
                "kind": k.kind,
                "from": str(k.begin),
                "to": str(k.end),
                "elements": _amount(k.elements, sizes),
                "fiber": _amount(k.fiber, sizes),
            }
            for k in footprint(found)
        ],
        "between": [
            {
                "after": number,
                "tensors": [k.tensor for k in kept],
                "elements": _amount(_sum(k.elements for k in kept), sizes),
            }
            for number, kept in enumerate(boundaries(found), 1)
        ],
        "operations": {kind: _amount(formula, sizes) for kind, formula in count.total(cascade).items()},
    }


def _other_ranks(found: Passes) -> dict[str, int | None]:
    """Passes over the other ranks; None where they cannot be counted."""
    counts: dict[str, int | None] = {}
    for rank in found.cascade.space.roots:
        if rank != found.rank:
            try:
                counts[rank] = passes(found.cascade, rank).count
            except CascadeError:
                counts[rank] = None
    return counts


def _sum(formulas: Any) -> Formula:
    total = Formula()
    for formula in formulas:
        total += formula
    return total


def _amount(formula: Formula, sizes: Mapping[str, int] | None) -> dict[str, Any]:
    return {"formula": str(formula), "number": None if sizes is None else formula.value(sizes)}


def as_text(found: Mapping[str, Any]) -> str:
    """The facts as tables."""
    blocks = [table.pairs(_summary(found)), _einsums(found)]
    if found["reasons"] or found["waits"]:
        blocks.append(table.pairs(_reasons(found)))
    if found["kept"]:
        blocks.append(_kept(found))
    blocks.append(_operations(found))
    return "\n\n".join(blocks)


def _summary(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    rank, parts = found["rank"], found["parts"]
    rows = [("cascade", found["cascade"])]
    rows += [("", found["about"])] if found["about"] else []
    rows += [("source", found["source"])] if found["source"] else []
    rows.append(("rank", rank if parts == [rank] else f"{rank} = {' x '.join(parts)}"))
    if found["sizes"] is not None:
        rows.append(("sizes", ", ".join(f"{r}={n}" for r, n in found["sizes"].items())))
    rows.append(("passes", str(found["passes"])))
    rows += [("read", f"{t} in {_passes(numbers)}") for t, numbers in found["inputs"].items()]
    others = ", ".join(f"{r} {'not countable' if n is None else n}" for r, n in found["other_ranks"].items())
    return rows + ([("other ranks", others)] if others else [])


def _passes(numbers: list[int]) -> str:
    return f"pass{'es'[: 2 * (len(numbers) > 1)]} {', '.join(map(str, numbers))}"


def _einsums(found: Mapping[str, Any]) -> str:
    rows = [("initial", einsum, "") for einsum in found["initial"]]
    for einsum in found["einsums"]:
        counts = ", ".join(f"{formula} {kind}" for kind, formula in einsum["operations"].items())
        rows.append((einsum["stage"], einsum["einsum"], counts))
    return table.columns(("pass", "Einsum", "operations"), rows, left=("Einsum", "operations"))


def _reasons(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for reason in found["reasons"]:
        label = f"pass {reason['number']}"
        rows.append(("" if label in dict(rows) else label, reason["text"]))
    for wait in found["waits"]:
        rows.append(("wait", f"{wait['einsum']} has to wait for all of {wait['for']}, but reads nothing again"))
    return rows


def _kept(found: Mapping[str, Any]) -> str:
    rows = []
    for k in found["kept"]:
        amounts = [text for of in ("elements", "fiber") for text in (k[of]["formula"], _number(k[of]["number"]))]
        rows.append((k["tensor"], MEANINGS[k["kind"]], f"{k['from']} to {k['to']}", *amounts))
    header = ("kept", "what", "pass", "elements", "number", "of a fiber", "number")
    return table.columns(header, rows, left=("what", "pass", "elements", "of a fiber"))


def _operations(found: Mapping[str, Any]) -> str:
    rows = [(kind, amount["formula"], _number(amount["number"])) for kind, amount in found["operations"].items()]
    return table.columns(("operation", "formula", "number"), rows, left=("formula",))


def _number(number: int | None) -> str:
    return "" if number is None else table.count(number)


# The library


def all_facts() -> dict[str, Any]:
    """The list of the library."""
    return {"library": [library_facts(load(name)) for name in library()]}


def library_facts(cascade: Cascade) -> dict[str, Any]:
    """One cascade of the list: its rank, passes, and what is kept whole between them."""
    found = passes(cascade)
    kept = [k for k in footprint(found) if k.kind in (WHOLE, PARTS)]
    return {
        "cascade": cascade.name,
        "about": cascade.about,
        "source": cascade.source,
        "rank": found.rank,
        "passes": found.count,
        "kept": {k.tensor: str(k.elements) for k in kept if k.kind == WHOLE},
        "kept_parts": {k.tensor: str(k.elements) for k in kept if k.kind == PARTS},
    }


LIBRARY_HEADER = ("cascade", "rank", "passes", "kept whole", "kept by tile")


def library_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The library in lines below `LIBRARY_HEADER`."""
    rows = []
    for c in found["library"]:
        kept = [", ".join(f"{t} {size}" for t, size in c[key].items()) or "-" for key in ("kept", "kept_parts")]
        rows.append((c["cascade"], c["rank"], str(c["passes"]), *kept))
    return rows


def library_text(found: Mapping[str, Any]) -> str:
    """The library as a table."""
    return table.columns(LIBRARY_HEADER, library_rows(found), left=("rank", "kept whole", "kept by tile"))
