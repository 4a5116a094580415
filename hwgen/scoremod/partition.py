"""Which part of a score program runs where: once a query, once a visit, or once a pair in every lane.

What depends on the query alone is computed while its row is loaded, what depends on the key alone while its row is
issued; both results travel with the data. Only what needs both, or the score, stands in the lanes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from golden.bitexact.numerics import Numerics
from golden.scoremod.program import BOOLEAN, Format, Node, Program, extract, input_format

QUERY_SIDE = frozenset({"q", "h", "b"})
KEY_SIDE = frozenset({"kv", "b"})


@dataclass(frozen=True)
class Partition:
    """The three programs. What `query` and `key` give are inputs of `lane` under the same names.

    `lane` has an output `score` (clamped) in every case, `saturated` if the clamp can act, and whatever else the whole
    has but `sink`, which is an output of `query`.
    """

    program: Program
    numerics: Numerics

    @cached_property
    def _cut(self) -> dict[int, str]:
        """Nodes computed outside of the lanes whose values are needed there, and their names."""
        program = self.program
        dependences = program.dependences()

        def side(i: int) -> str | None:
            found = dependences[i]
            if not found:
                return None
            return "query" if found <= QUERY_SIDE else "key" if found <= KEY_SIDE else None

        def mixed(i: int) -> bool:
            return bool(dependences[i]) and side(i) is None

        cut: dict[int, str] = {}
        for i, node in enumerate(program.nodes):
            wanted = [a for a in node.args if side(a)] if mixed(i) else []
            for a in wanted:
                cut[a] = f"{side(a)}_{a}"
        for name, i in program.outputs:
            if name != "sink" and side(i):
                cut[i] = f"{side(i)}_{i}"
        return cut

    def _side(self, side: str, *more: tuple[str, int]) -> Program:
        outputs = [(label, i) for i, label in self._cut.items() if label.startswith(side)]
        return extract(self.program, [*outputs, *more])

    @cached_property
    def query(self) -> Program:
        """Of b, h and q."""
        if "sink" not in self.program.output:
            return self._side("query")
        return self._clamped(self._side("query", ("sink", self.program.output["sink"])), "sink")

    @cached_property
    def key(self) -> Program:
        """Of b and kv."""
        return self._side("key")

    @cached_property
    def lane(self) -> Program:
        """Of the score, the bias, and what the other two give."""
        part = extract(self.program, [o for o in self.program.outputs if o[0] != "sink"], self._cut)
        if "score" not in part.output:
            score = Node("input", input_format("score", self.numerics), name="score")
            outputs = (*part.outputs, ("score", len(part.nodes)))
            return Program((*part.nodes, score), outputs, part.arguments)
        return self._clamped(part, "score")

    def _clamped(self, part: Program, name: str) -> Program:
        """A part with an output kept in the range of scores, and an output `saturated` if it may lie above it."""
        nodes, outputs = list(part.nodes), part.output
        limits, source = input_format("score", self.numerics), outputs[name]
        before = nodes[source].format
        if before.low < limits.low or before.high > limits.high:
            if name == "score" and before.high > limits.high:
                nodes.append(Node("constant", Format(limits.high, limits.high, limits.frac), number=limits.high))
                nodes.append(Node("less", BOOLEAN, (len(nodes) - 1, source)))
                outputs["saturated"] = len(nodes) - 1
            nodes.append(Node("clamp", limits, (source,)))
            outputs[name] = len(nodes) - 1
        return Program(tuple(nodes), tuple(outputs.items()), part.arguments)

    def places(self, part: Program) -> tuple[tuple[str, int], ...]:
        """Where the arguments of a part lie among the words of the whole."""
        return tuple((a.name, self.program.argument_offset(a.name)) for a in part.arguments)


def used(program: Program, names: Iterable[str]) -> bool:
    """Whether a program needs one of these inputs."""
    return bool(set(program.inputs) & set(names))
