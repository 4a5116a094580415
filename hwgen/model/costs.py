"""What one action and one part cost: a table of published numbers, and rules that derive from them what is not there.

A table (see `hwgen.model.cost_reader`) holds operations at certain widths and memories of certain sizes. Whatever else
is asked for follows by one of a few rules, and every answer says by which; what no rule gives is an error that names
what the table has. The rules, and how far they may be wrong, are told in docs/energy.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError
from hwgen.model.actions import Operation, Store

UNITS = {"energy_pj": "energy", "area_um2": "area", "read_pj": "energy", "write_pj": "energy"}


@dataclass(frozen=True)
class Price:
    """A number, the `source` of the entries behind it, and the `rule` by which it follows ("entry" if it is one)."""

    value: float
    rule: str
    source: str

    def times(self, factor: float, rule: str) -> Price:
        return Price(self.value * factor, rule, self.source)


@dataclass(frozen=True, kw_only=True)
class OperationEntry:
    """One operation on operands of `bits`; an adder has one width, a multiplier two, a shifter the value's and the
    amount's."""

    kind: str
    number: str
    bits: tuple[int, ...]
    source: str
    energy_pj: float | None = None
    area_um2: float | None = None

    @property
    def size(self) -> int:
        """What a cost grows with: width, or the product of widths."""
        return math.prod(self.bits)

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {'x'.join(map(str, self.bits))}"


@dataclass(frozen=True, kw_only=True)
class MemoryEntry:
    """A memory of `bits` (a dram has none); energies are those of a whole `word`, the area that of the whole memory."""

    kind: str
    word: int
    source: str
    bits: int | None = None
    name: str = ""
    read_pj: float | None = None
    write_pj: float | None = None
    area_um2: float | None = None
    range_pj: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.bits}"


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What a table lacks costs what it costs in `like`, times the ratio of the costs of `reference` in both."""

    like: Table
    reference: Operation
    source: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Costs in one technology. `sources` by key; `dram` names the memory off the chip that is taken, its first entry if
    empty."""

    name: str
    title: str
    technology: str
    sources: dict[str, str] = field(hash=False)
    operations: tuple[OperationEntry, ...]
    memories: tuple[MemoryEntry, ...]
    missing: Missing | None = None
    dram: str = ""

    def with_dram(self, name: str) -> Table:
        """The same with another memory off the chip. Raises ConfigError if there is none called so."""
        names = [entry.name for entry in self.memories if entry.kind == "dram"]
        if name not in names:
            hint = did_you_mean(name, names)
            raise ConfigError(f"the table {self.name} has no memory off the chip called {name!r}{hint}")
        return replace(self, dram=name)

    def operation(self, wanted: Operation, unit: str = "energy_pj") -> Price:
        """Of one operation: pJ, or with `area_um2` the um2 of what does it. Raises ConfigError if no rule gives it."""
        price = self._operation(wanted, unit)
        if price is None and self.missing is not None:
            price = self._borrowed(wanted, unit)
        if price is None:
            asked = OperationEntry(kind=wanted.kind, number=wanted.number, bits=wanted.bits, source="")
            has = sorted({str(entry) for entry in self.operations if getattr(entry, unit) is not None})
            if not has:
                raise ConfigError(f"the table {self.name} gives no {UNITS[unit]} of any operation")
            hint = did_you_mean(str(asked), has)
            raise ConfigError(f"the table {self.name} says nothing of the {UNITS[unit]} of {str(asked)!r}{hint}")
        return price

    def _operation(self, wanted: Operation, unit: str) -> Price | None:
        """By the table's own entries."""
        kind, number, bits = wanted.kind, wanted.number, wanted.bits
        entries = [e for e in self.operations if (e.kind, e.number) == (kind, number) and getattr(e, unit) is not None]
        for entry in entries:
            if sorted(entry.bits) == sorted(bits):
                return Price(getattr(entry, unit), "entry", self.sources[entry.source])
        if kind == "mac":
            wide = bits[2] if len(bits) > 2 else (sum(bits[:2]) if number == "int" else max(bits))
            return self._sum(unit, (1, Operation("multiply", number, bits[:2])), (1, Operation("add", number, (wide,))))
        if kind == "exp":
            return self._sum(unit, (5, Operation("mac", number, bits)), (1, Operation("multiply", number, bits)))
        if kind == "max":
            found = self._operation(Operation("add", "int", bits[:1]), unit)
            return found and found.times(1, "a comparison is an integer subtraction")
        if not entries:
            return None
        if kind in ("shift", "register"):
            factor = math.prod(bits) / entries[0].size
            source = self.sources[entries[0].source]
            return Price(getattr(entries[0], unit) * factor, "in proportion to multiplexers or bits", source)
        if number != "int" or kind not in ("add", "multiply"):
            return None
        points = sorted({entry.size: entry for entry in entries}.values(), key=lambda entry: entry.size)
        return self._between(points, math.prod(bits), unit, linear=kind == "add")

    def _sum(self, unit: str, *terms: tuple[int, Operation]) -> Price | None:
        prices = [(count, self._operation(operation, unit)) for count, operation in terms]
        if any(price is None for _, price in prices):
            return None
        total = sum(count * price.value for count, price in prices if price)
        sources = "; ".join(dict.fromkeys(price.source for _, price in prices if price))
        rule = " + ".join(f"{count} {operation.kind}" for count, operation in terms)
        return Price(total, rule, sources)

    def _between(self, points: Sequence[OperationEntry], size: int, unit: str, linear: bool) -> Price:
        """Linear in the width, or a power of the product of widths, through the two nearest points."""
        sources = "; ".join(dict.fromkeys(self.sources[point.source] for point in points))
        values = [(point.size, getattr(point, unit)) for point in points]
        if len(values) == 1:
            return Price(values[0][1] * size / values[0][0], "in proportion to the size", sources)
        (x0, y0), (x1, y1) = nearest(values, size)
        if linear:
            return Price(y0 + (y1 - y0) * (size - x0) / (x1 - x0), "linear in the width", sources)
        return Price(power(x0, y0, x1, y1, size), "a power of the product of widths", sources)

    def _borrowed(self, wanted: Operation, unit: str) -> Price | None:
        """From the table named under `missing`."""
        assert self.missing is not None
        like, reference = self.missing.like, self.missing.reference
        theirs, base = like._operation(wanted, unit), like._operation(reference, unit)
        ours = self._operation(reference, unit)
        if theirs is None or ours is None or base is None:
            return None
        source = f"{self.missing.source}; {theirs.source}"
        return Price(theirs.value * ours.value / base.value, f"{theirs.rule}, in the table {like.name}, scaled", source)

    def access(self, store: Store, action: str) -> Price:
        """pJ a bit that is read or written. Raises ConfigError if the table has no such memory."""
        if action not in ("read", "write"):
            raise ConfigError(f"a memory is read or written, not {action!r}")
        if store.kind == "dram":
            entry = self._dram()
            value = getattr(entry, f"{action}_pj") / entry.word
            return Price(value, "entry", self.sources[entry.source])
        unit = f"{action}_pj"
        points = self._sizes(unit, "word")
        size, low = store.bits, points[0][0] if points else 0
        if not points:
            raise ConfigError(f"the table {self.name} has no memory on the chip with a {unit}")
        sources = self._memory_sources(unit)
        exact = dict(points).get(size)
        if exact is not None:
            return Price(exact, "entry", sources)
        if size < low:
            # Bit lines and word lines both shrink; but a bit that is kept in flip-flops is never cheaper than those.
            value = points[0][1] * math.sqrt(size / low)
            least = self.operation(Operation("register", "int", (1,)))
            return Price(max(value, least.value), "the square root of the size below the smallest memory", sources)
        if len(points) == 1:
            return Price(points[0][1] * math.sqrt(size / low), "the square root of the size", sources)
        (x0, y0), (x1, y1) = nearest(points, size)
        return Price(power(x0, y0, x1, y1, size), "a power of the size", sources)

    def storage(self, store: Store) -> Price:
        """um2 of a memory. Raises ConfigError if the table has no memory with an area."""
        points = self._sizes("area_um2", "bits")
        if not points:
            raise ConfigError(f"the table {self.name} says nothing of the area of memories")
        sources, size = self._memory_sources("area_um2"), store.bits
        for entry in self.memories:
            if entry.bits == size and entry.area_um2 is not None:
                return Price(entry.area_um2, "entry", sources)
        if size < points[0][0] or len(points) == 1:
            return Price(points[0][1] * size, "in proportion to the bits", sources)
        if size > points[-1][0]:
            return Price(points[-1][1] * size, "in proportion to the bits", sources)
        (x0, y0), (x1, y1) = nearest(points, size)
        return Price(power(x0, y0, x1, y1, size) * size, "area a bit a power of the size", sources)

    def _dram(self) -> MemoryEntry:
        entries = [entry for entry in self.memories if entry.kind == "dram" and self.dram in ("", entry.name)]
        if not entries:
            raise ConfigError(f"the table {self.name} has no memory off the chip")
        return entries[0]

    def _sizes(self, unit: str, per: str) -> list[tuple[int, float]]:
        """(bits, cost a bit) of the memories on the chip that have the unit, ascending; `per` is `word` or `bits`."""
        entries = [e for e in self.memories if e.bits and getattr(e, unit) is not None]
        return sorted((entry.bits or 0, getattr(entry, unit) / getattr(entry, per)) for entry in entries)

    def _memory_sources(self, unit: str) -> str:
        keys = [e.source for e in self.memories if e.kind != "dram" and getattr(e, unit) is not None]
        return "; ".join(self.sources[key] for key in dict.fromkeys(keys))


def nearest(points: Sequence[tuple[int, float]], x: float) -> tuple[tuple[int, float], tuple[int, float]]:
    """The two of the ascending points between which x lies, or the two outermost on its side."""
    for i in range(1, len(points) - 1):
        if x <= points[i][0]:
            return points[i - 1], points[i]
    return points[-2], points[-1]


def power(x0: float, y0: float, x1: float, y1: float, x: float) -> float:
    """`y = c x^a` through two points."""
    return y0 * (x / x0) ** (math.log(y1 / y0) / math.log(x1 / x0))
