"""What a cascade must keep while it goes through a rank, as formulas in the ranks.

If a rank is gone through twice, what the second pass reads again must have been kept whole in between (or be fetched or
computed again): that grows with the rank, however the cascade is mapped. All else that lives across elements is a
result, or the state of an iterative rank, and does not grow.
"""

from __future__ import annotations

from dataclasses import dataclass

from golden.cascade.cascade import Cascade
from golden.cascade.count import whole
from golden.cascade.einsum import Access, rank_of
from golden.cascade.formula import Formula
from golden.cascade.passes import Passes, Stage

WHOLE, PARTS, STATE, RESULT = "whole", "parts", "state", "result"


@dataclass(frozen=True)
class Kept:
    """A tensor that is made and read at different times.

    kind:     `whole`: an element for every coordinate of the rank;  `parts`: one for every coordinate of a part only;
              `state`: the last coordinate of an iterative rank;  `result`: without the rank
    begin, end: the stages in which it is made (an input: first read) and read last
    elements: of all fibers;  fiber: of one fiber of the rank
    """

    tensor: str
    kind: str
    begin: Stage
    end: Stage
    elements: Formula
    fiber: Formula

    def crosses(self, number: int) -> bool:
        """Whether it lives when pass `number` is over."""
        return self.begin.time <= (number, True) < self.end.time


def footprint(found: Passes) -> tuple[Kept, ...]:
    """What must be kept while the passes go on, those that grow most first."""
    cascade = found.cascade
    kept = (_kept(found, tensor) for tensor in cascade.tensors)
    order = (WHOLE, PARTS, STATE, RESULT)
    return tuple(sorted((k for k in kept if k is not None), key=lambda k: (order.index(k.kind), k.begin.time)))


def boundaries(found: Passes) -> tuple[tuple[Kept, ...], ...]:
    """For the end of each pass but the last one, what is kept whole there."""
    kept = [k for k in footprint(found) if k.kind == WHOLE]
    return tuple(tuple(k for k in kept if k.crosses(number)) for number in range(1, found.count))


def _kept(found: Passes, tensor: str) -> Kept | None:
    cascade = found.cascade
    leaves = [leaf for r in cascade.tensors[tensor] for leaf in cascade.space.leaves(r)]
    own = [leaf for leaf in leaves if leaf in cascade.space.leaves(found.rank)]
    reads = [(found.stages[e.name], a) for e in cascade.einsums for a in cascade.reads(e) if a.tensor == tensor]
    if not reads or (tensor in cascade.inputs and not own):
        return None
    stages = sorted((stage for stage, _ in reads), key=lambda stage: stage.time)
    begin, end = found.stages.get(tensor, stages[0]), stages[-1]
    later = [access for stage, access in reads if stage.time > begin.time]
    if own and any(_goes_along(found, access) for access in later):
        kind = WHOLE if len(own) == len(cascade.space.leaves(found.rank)) else PARTS
    elif own and tensor in cascade.iterative:
        kind = STATE
    elif later:
        kind = RESULT
    else:
        return None
    fiber = own if kind in (WHOLE, PARTS) else []
    others = [leaf for leaf in leaves if leaf not in own]
    return Kept(tensor, kind, begin, end, _formula(cascade, others + fiber), _formula(cascade, fiber))


def _goes_along(found: Passes, access: Access) -> bool:
    """Whether an access reads more than one coordinate of the rank, or of its parts."""
    leaves = found.cascade.space.leaves(found.rank)
    return any(leaf in leaves for v in access.variables for leaf in found.cascade.space.leaves(rank_of(v)))


def _formula(cascade: Cascade, leaves: list[str]) -> Formula:
    return Formula.product(whole(cascade.space, leaves))
