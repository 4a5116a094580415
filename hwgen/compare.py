"""Simulated results against the golden model, bit for bit, and against exact attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from golden import exact
from golden.bitexact import Result, attend
from golden.bitexact.numerics import REFERENCE_BITS
from golden.error import ErrorReport
from golden.formats import FloatArray, FloatFormat, decode
from hwgen.inputs import Problem
from hwgen.params import Params
from hwgen.sim.run import HeadJob, HeadResult, RunResult

SHOWN_ROWS = 5
"""Poisoned rows named one by one."""

Row = tuple[int, int, int]
"""Batch entry, query head, query."""


@dataclass(frozen=True)
class Difference:
    """The first place where simulation and golden model disagree.

    quantity: O, RM, RD, empty or poisoned of one query, or saturated, a status bit of the run (`row` is None)
    element:  index within the row of O, else None;  got, want: as integers;  bits: width of both
    values:   what the two codes mean, for O
    """

    quantity: str
    row: Row | None
    element: int | None
    got: int
    want: int
    bits: int
    values: tuple[float, float] | None = None

    def __str__(self) -> str:
        where = ""
        if self.row is not None:
            b, h, p = self.row
            where = f" at b={b} h={h} p={p}" + ("" if self.element is None else f" f={self.element}")
        digits = -(-self.bits // 4)
        mask = (1 << self.bits) - 1
        text = f"{self.quantity}{where}: got 0x{self.got & mask:0{digits}x}, want 0x{self.want & mask:0{digits}x}"
        got, want = self.values or (self.got, self.want)
        return text if self.bits == 1 else f"{text} ({got:.9g}, want {want:.9g})"


@dataclass(frozen=True)
class Comparison:
    """How many bits were compared, how many were equal, and the first difference if there is one.

    by_quantity: compared and equal bits of O, RM, RD and the flags
    poisoned:    queries whose result is NaN because they saw NaN or infinity; the first of them in poisoned_rows
    """

    by_quantity: dict[str, tuple[int, int]]
    first: Difference | None
    poisoned: int = 0
    poisoned_rows: list[Row] = field(default_factory=list)

    @property
    def bits(self) -> int:
        return sum(bits for bits, _ in self.by_quantity.values())

    @property
    def equal(self) -> int:
        return sum(equal for _, equal in self.by_quantity.values())


@dataclass(frozen=True)
class _Quantity:
    """One result of all queries of a head: values (L,) or (L, F), each `bits` wide."""

    name: str
    got: NDArray[np.int64]
    want: NDArray[np.int64]
    bits: int

    def unequal_bits(self) -> int:
        mask = (1 << self.bits) - 1
        return int(np.bitwise_count((self.got ^ self.want) & mask).sum())


def golden_results(jobs: Sequence[HeadJob], params: Params) -> list[Result]:
    """What the integer model says about each job."""
    return [attend(head.q, head.k, head.v, head.job, params.numerics) for head in jobs]


def compare(result: RunResult, want: Sequence[Result], heads: int, params: Params) -> Comparison:
    """Every bit of O, RM, RD and the flags; results are in the order of (B, heads).

    The first difference is the one of the lowest (b, h, p), and there of O before RM, RD and the flags.
    """
    totals = {"O": (0, 0), "RM": (0, 0), "RD": (0, 0), "flags": (0, 0)}
    first: Difference | None = None
    rows: list[Row] = []
    for i, (head, golden) in enumerate(zip(result.heads, want, strict=True)):
        quantities = list(_quantities(head, golden, params))
        for quantity in quantities:
            name = quantity.name if quantity.name in totals else "flags"
            bits, equal = totals[name]
            size = quantity.got.size * quantity.bits
            totals[name] = (bits + size, equal + size - quantity.unequal_bits())
        first = first or _first_difference(quantities, divmod(i, heads), params.output)
        rows += [(*divmod(i, heads), int(p)) for p in np.flatnonzero(golden.poisoned)]
    status = _compare_status(result, want, totals)
    return Comparison(totals, first or status, len(rows), rows[:SHOWN_ROWS])


def _quantities(head: HeadResult, golden: Result, params: Params) -> Iterator[_Quantity]:
    widths = {"RM": REFERENCE_BITS, "RD": params.numerics.denominator_bits, "empty": 1, "poisoned": 1}
    yield _Quantity("O", head.out.astype(np.int64), golden.out.astype(np.int64), params.output.bits)
    for name, bits in widths.items() if head.rm is not None else ():
        got, want = (getattr(source, name.lower()).astype(np.int64) for source in (head, golden))
        yield _Quantity(name, got, want, bits)


def _first_difference(quantities: Sequence[_Quantity], at: tuple[int, int], fmt: FloatFormat) -> Difference | None:
    """The first difference of one head, whose batch entry and head are `at`."""
    found: list[tuple[int, int, int | None]] = []
    for order, quantity in enumerate(quantities):
        where = np.argwhere(quantity.got != quantity.want)
        if len(where):
            p, *element = map(int, where[0])
            found.append((p, order, element[0] if element else None))
    if not found:
        return None
    p, order, f = min(found, key=lambda place: place[:2])
    quantity = quantities[order]
    index = (p,) if f is None else (p, f)
    got, want = int(quantity.got[index]), int(quantity.want[index])
    values = None
    if quantity.name == "O":
        values = tuple(decode(np.array([got, want], dtype=fmt.dtype), fmt).tolist())
    return Difference(quantity.name, (*at, p), f, got, want, quantity.bits, values)


def _compare_status(result: RunResult, want: Sequence[Result], totals: dict[str, tuple[int, int]]) -> Difference | None:
    """The sticky status bits, which belong to the run; adds them to the flags."""
    first = None
    for name in ("saturated", "poisoned"):
        got, wanted = getattr(result, name), any(bool(getattr(golden, name).any()) for golden in want)
        bits, equal = totals["flags"]
        totals["flags"] = (bits + 1, equal + (got == wanted))
        if got != wanted and first is None:
            first = Difference(name, None, None, int(got), int(wanted), 1)
    return first


def outputs(result: RunResult, problem: Problem, params: Params) -> tuple[FloatArray, FloatArray]:
    """The simulated outputs (B, Hq, L, F) and exact attention on the same inputs, as the core's input format holds
    them."""
    q, k, v = (decode(codes, params.input) for codes in (problem.q, problem.k, problem.v))
    want = exact.attention(
        q, k, v, scale=problem.scale, causal=problem.causal, offset=problem.offset, key_lengths=problem.keys
    )
    got = np.stack([decode(head.out, params.output) for head in result.heads])
    return got.reshape(want.out.shape), want.out


def measure_error(result: RunResult, problem: Problem, params: Params) -> ErrorReport:
    """How far the simulated outputs are from exact attention."""
    return ErrorReport.measure(*outputs(result, problem, params), params.output)
