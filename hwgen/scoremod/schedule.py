"""When every operation of a score program happens: a pipeline that takes a new set of inputs in every cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from golden.scoremod.program import Format, Node, Program

LIMB = 17
"""Bits of a multiplier limb: with a sign it fits an 18x18 multiplier."""

GATE_DEPTH = 2
"""Boolean gates one behind the other between two registers."""

PARABOLA_CYCLES = 6
"""Read the coefficients, register them, multiply, add, multiply, add."""

CYCLES = {
    "add": 1,
    "subtract": 1,
    "negate": 1,
    "absolute": 1,
    "minimum": 1,
    "maximum": 1,
    "round": 1,
    "clamp": 1,
    "less": 1,
    "less_equal": 1,
    "equal": 1,
    "and": 1,
    "or": 1,
    "xor": 1,
    "select": 1,
    "left": 0,
    "right": 0,
    "low": 0,
    "not": 0,
    # One for the limb products, one for each level of their sum; see `cycles`.
    "multiply": 1,
    # The read; one more before it if the index has to be clamped.
    "table": 1,
    "tanh": PARABOLA_CYCLES + 2,
    "exp2": PARABOLA_CYCLES + 2,
    "input": 0,
    "constant": 0,
    "parameter": 0,
}
"""Cycles from an operation's operands to its result, which a register holds; 0 if it is made of wires."""


def limbs(format: Format, number: int | None = None) -> list[int]:
    """Where the limbs of a factor begin: LIMB bits each, the last one with the sign. A known number's zero limbs are
    left out."""
    width = format.width + (not format.signed)
    starts = [LIMB * i for i in range(max(1, -(-(width - 1) // LIMB)))]
    if number is None:
        return starts
    found = [at for at in starts[:-1] if (number >> at) % (1 << LIMB)] + [at for at in starts[-1:] if number >> at]
    return found or starts[:1]


@dataclass(frozen=True)
class Graph:
    """What a program's nodes are for the hardware."""

    program: Program

    def format(self, i: int) -> Format:
        return self.program.nodes[i].format

    def shift(self, i: int) -> tuple[int, int] | None:
        """For a product with a power of two: (the other factor, the exponent); else None."""
        node = self.program.nodes[i]
        if node.op == "multiply":
            for a, b in (node.args, node.args[::-1]):
                factor = self.program.nodes[a]
                if factor.op == "constant" and factor.number > 0 and factor.number & (factor.number - 1) == 0:
                    return b, factor.number.bit_length() - 1
        return None

    def is_wiring(self, i: int) -> bool:
        """A node that only moves or drops bits."""
        return self.program.nodes[i].op in ("left", "right", "low") or self.shift(i) is not None

    def source(self, i: int) -> int:
        """What a wiring node takes its bits from."""
        moved = self.shift(i)
        return moved[0] if moved else self.program.nodes[i].args[0]

    def is_gate(self, i: int) -> bool:
        """Boolean logic, which shares a cycle with what follows it."""
        node = self.program.nodes[i]
        return node.op in ("and", "or", "xor", "not") and node.format.width == 1

    def partial_products(self, i: int) -> list[tuple[int, int]]:
        """Where the limbs of both factors of a product begin."""
        a, b = (self.program.nodes[j] for j in self.program.nodes[i].args)
        starts = [limbs(n.format, n.number if n.op == "constant" else None) for n in (a, b)]
        return [(x, y) for x in starts[0] for y in starts[1]]

    def clamps_index(self, i: int) -> bool:
        """A table's index can lie outside of it."""
        node = self.program.nodes[i]
        index, size = self.format(node.args[0]), self.program.argument(node.name).size
        return index.low < 0 or index.high >= size

    def cycles(self, i: int) -> int:
        """From the operands to the result."""
        node = self.program.nodes[i]
        if self.is_wiring(i) or self.is_gate(i):
            return 0
        if node.op == "multiply":
            return 1 + max(len(self.partial_products(i)) - 1, 0).bit_length()
        if node.op == "table":
            return 1 + self.clamps_index(i)
        return CYCLES[node.op]

    @cached_property
    def static(self) -> tuple[bool, ...]:
        """Nodes that depend on arguments only, and so stand still while sets of inputs come in."""
        found: list[bool] = []
        for node in self.program.nodes:
            found.append(node.op != "input" and all(found[i] for i in node.args))
        return tuple(found)


@dataclass(frozen=True)
class Schedule:
    """When what of a set of inputs is there, in cycles after the set's time 0.

    start:   when a node takes its operands
    valid:   when its result is there; what stands still (`Graph.static`) is always there, and says 0
    latency: when all outputs are there, each in a register
    """

    graph: Graph
    start: tuple[int, ...]
    valid: tuple[int, ...]
    latency: int

    @cached_property
    def demands(self) -> tuple[dict[int, int], ...]:
        """For every node the delays at which its value is wanted, each with the bits wanted (a mask)."""
        return _demands(self.graph, self.start, self.valid, self.latency)

    @cached_property
    def settling(self) -> int:
        """Cycles from the last write of an argument until all that stands still does, and is right."""
        settled: list[int] = []
        for i, node in enumerate(self.graph.program.nodes):
            before = max((settled[a] for a in node.args), default=0)
            own = 1 if node.op in ("parameter", "table") or self.graph.is_gate(i) else 0
            settled.append(before + max(self.graph.cycles(i), own) if self.graph.static[i] else 0)
        return 1 + max(settled, default=0)

    @property
    def delays(self) -> tuple[int, ...]:
        """For every node the registers its value passes through behind its own: one chain for all who want it."""
        return tuple(max(wanted, default=0) for wanted in self.demands)

    @property
    def balancing_bits(self) -> int:
        """Register bits that only make values wait for each other."""
        return _chain_bits(self.demands)

    @property
    def operation_bits(self) -> int:
        """Register bits inside of the operations."""
        return sum(operation_bits(self.graph, i) for i in range(len(self.start)))

    @property
    def register_bits(self) -> int:
        """All register bits of the pipeline; those of parameters and tables are not counted."""
        return self.balancing_bits + self.operation_bits


def operation_bits(graph: Graph, i: int) -> int:
    """Register bits of one operation, its result included."""
    from hwgen.scoremod import functions

    node, cycles = graph.program.nodes[i], graph.cycles(i)
    width = node.format.width
    if cycles == 0:
        return 0
    if node.op == "multiply":
        return sum(sum(term.width for term in level) for level in product_levels(graph, i))
    if node.op == "table":
        index = max((graph.program.argument(node.name).size - 1).bit_length(), 1)
        return width + (index if graph.clamps_index(i) else 0)
    if node.op in ("tanh", "exp2"):
        return functions.register_bits(node.op, graph.format(node.args[0]), node.format)
    return width


def product_levels(graph: Graph, i: int) -> list[list[Format]]:
    """Formats of the partial products of a product, of their sums two by two, and so on to the product itself. Only
    their ranges count: fractions are left out."""
    node = graph.program.nodes[i]
    factors = [graph.program.nodes[j] for j in node.args]

    def limb(factor: Node, at: int) -> tuple[int, int]:
        if factor.op == "constant":
            is_last = at == limbs(factor.format)[-1]
            number = factor.number >> at
            number = number if is_last else number % (1 << LIMB)
            return number, number
        if at == limbs(factor.format)[-1]:
            return factor.format.low >> at, factor.format.high >> at
        return 0, (1 << LIMB) - 1

    level = []
    for x, y in graph.partial_products(i):
        ends = [p * q << (x + y) for p in limb(factors[0], x) for q in limb(factors[1], y)]
        level.append(Format(min(ends), max(ends)))
    levels = [level]
    while len(level) > 1:
        pairs = [level[k : k + 2] for k in range(0, len(level), 2)]
        level = [Format(sum(t.low for t in pair), sum(t.high for t in pair)) for pair in pairs]
        levels.append(level)
    levels[-1] = [Format(node.format.low, node.format.high)]
    return levels


def _demands(graph: Graph, start: tuple[int, ...], valid: tuple[int, ...], latency: int) -> tuple[dict[int, int], ...]:
    nodes = graph.program.nodes
    wanted: list[dict[int, int]] = [{} for _ in nodes]

    def want(i: int, at: int, mask: int) -> None:
        while graph.is_wiring(i):
            node, width = nodes[i], graph.format(graph.source(i)).width
            moved = graph.shift(i)
            if moved or node.op == "left":
                mask >>= moved[1] if moved else node.number
            elif node.op == "right":
                # What lies above the source is its sign.
                mask <<= node.number
            i = graph.source(i)
            if mask >> width:
                mask |= 1 << (width - 1)
            mask &= (1 << width) - 1
        if not graph.static[i]:
            delay = at - valid[i]
            wanted[i][delay] = wanted[i].get(delay, 0) | mask

    for i, node in enumerate(nodes):
        if not graph.is_wiring(i) and not graph.static[i]:
            for a in node.args:
                want(a, start[i], (1 << graph.format(a).width) - 1)
    for _, i in graph.program.outputs:
        want(i, latency, (1 << graph.format(i).width) - 1)
    return tuple(wanted)


def _chain_bits(demands: tuple[dict[int, int], ...]) -> int:
    bits = 0
    for wanted in demands:
        mask, before = 0, 0
        for delay in sorted(wanted, reverse=True):
            if mask:
                bits += mask.bit_count() * (before - delay)
            mask, before = mask | wanted[delay], delay
        bits += mask.bit_count() * before
    return bits


def _times(
    graph: Graph, arrivals: dict[str, int], wish: Callable[[int, int], int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(start, valid, gates since the last register) of every node, which starts as soon as it can and `wish(node,
    earliest)` lets it."""
    start: list[int] = []
    valid: list[int] = []
    depth: list[int] = []
    for i, node in enumerate(graph.program.nodes):
        moving = [a for a in node.args if not graph.static[a]]
        begin = max((valid[a] for a in moving), default=0)
        deep = 0
        if node.op == "input":
            begin = arrivals.get(node.name, 0)
        elif graph.is_wiring(i):
            deep = depth[graph.source(i)]
        elif not graph.static[i]:
            if graph.is_gate(i):
                begin += max(depth[a] for a in moving if valid[a] == begin) >= GATE_DEPTH
            begin = wish(i, begin)
            if graph.is_gate(i):
                deep = 1 + max(depth[a] if valid[a] == begin else 0 for a in moving)
        start.append(begin)
        valid.append(0 if graph.static[i] else begin + graph.cycles(i))
        depth.append(deep)
    return tuple(start), tuple(valid), tuple(depth)


@lru_cache(maxsize=256)
def schedule(program: Program, arrivals: tuple[tuple[str, int], ...] = ()) -> Schedule:
    """As early as the inputs allow; then what can wait without making others wait does so where that saves registers.

    arrivals: (input, cycle at which it is there), 0 for those not named. Raises KeyError for another name.
    """
    graph, when = Graph(program), dict(arrivals)
    for name in when:
        if name not in program.inputs:
            raise KeyError(name)
    start, valid, depth = _times(graph, when, lambda i, earliest: earliest)

    def ends(valid: tuple[int, ...], depth: tuple[int, ...]) -> int:
        """The first cycle in which all outputs can be in registers."""
        latency = max([1, *when.values()])
        for _, i in program.outputs:
            if not graph.static[i]:
                latency = max(latency, valid[i] + (depth[i] > 0 or _is_input(graph, i)))
        return latency

    latency = ends(valid, depth)
    wishes = dict(enumerate(start))
    bits = _chain_bits(_demands(graph, start, valid, latency))
    improved = True
    while improved:
        improved = False
        for i in reversed(range(len(program.nodes))):
            if graph.static[i] or graph.is_wiring(i) or program.nodes[i].op == "input":
                continue
            slack = _slack(graph, i, start, valid, latency)
            if slack == 0:
                continue
            trial = wishes | {i: start[i] + slack}
            new = _times(graph, when, lambda j, earliest, trial=trial: max(earliest, trial[j]))  # type: ignore[misc]
            if ends(new[1], new[2]) > latency:
                continue
            fewer = _chain_bits(_demands(graph, new[0], new[1], latency))
            if fewer < bits:
                wishes, bits, improved = trial, fewer, True
                start, valid, depth = new
    return Schedule(graph, start, valid, latency)


def _is_input(graph: Graph, i: int) -> bool:
    """A node is an input, or bits of one."""
    while graph.is_wiring(i):
        i = graph.source(i)
    return graph.program.nodes[i].op == "input"


def _slack(graph: Graph, i: int, start: tuple[int, ...], valid: tuple[int, ...], latency: int) -> int:
    """Cycles a node's result waits before anybody wants it."""
    waits = _demands(graph, start, valid, latency)[i]
    return min(waits, default=0)
