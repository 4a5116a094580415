"""A cascade of Extended Einsums: which tensors come in, which Einsums make what of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from golden.cascade import check
from golden.cascade.einsum import Access, Einsum, Index, rank_of
from golden.cascade.errors import CascadeError, Place
from golden.cascade.parse import einsum as parsed
from golden.cascade.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """Einsums in any order; each gives one tensor, and none needs itself except through an iterative rank.

    inputs:  tensors that come in, and their ranks
    einsums: objects or texts, each executed at every point of its space
    initial: what the coordinate 0 of an iterative rank holds, for every tensor that has one
    stop:    the iterative variables and the ranks whose size they stop at: m1 -> M1 for `m1 >= M1`
    ranks:   M -> (M1, M0) partitions M with m = m1*M0 + m0;  I -> (K,) makes I another name of K
    outputs: what the cascade is for; by default all tensors that no other Einsum reads
    over:    the rank whose passes one asks about first
    sizes:   examples of sizes;  about, source: what it is and where it was published

    Raises
    ------
    CascadeError
        If the parts contradict each other; see `golden.cascade.check`.
    """

    name: str
    inputs: Mapping[str, tuple[str, ...]]
    einsums: tuple[Einsum, ...]
    initial: tuple[Einsum, ...] = ()
    stop: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    over: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    about: str = ""
    source: str = ""
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("einsums", "initial"):
            object.__setattr__(self, name, _einsums(getattr(self, name)))
        for name in ("inputs", "ranks"):
            object.__setattr__(self, name, {k: tuple(v) for k, v in getattr(self, name).items()})
        for name in ("stop", "sizes"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        check.structure(self)
        read = {a.tensor for e in self.all for a in e.accesses if a.tensor != e.name}
        outputs = tuple(self.outputs) or tuple(e.name for e in self.einsums if e.name not in read)
        object.__setattr__(self, "outputs", outputs)
        check.meaning(self)

    @cached_property
    def all(self) -> tuple[Einsum, ...]:
        """The initial values and the Einsums."""
        return self.initial + self.einsums

    @cached_property
    def tensors(self) -> dict[str, tuple[str, ...]]:
        """Every tensor and its ranks."""
        made = {
            e.name: tuple(rank_of(i.variable) for i in e.output.indices if isinstance(i, Index)) for e in self.einsums
        }
        return {**self.inputs, **made}

    @cached_property
    def iterative(self) -> dict[str, int]:
        """Tensors with an iterative rank, and which of their ranks that is."""
        return {
            e.name: i
            for e in self.einsums
            for i, index in enumerate(e.output.indices)
            if isinstance(index, Index) and index.shift
        }

    @cached_property
    def space(self) -> Ranks:
        """All ranks and how they belong together."""
        names = [r for ranks in self.inputs.values() for r in ranks]
        names += [r for whole, parts in self.ranks.items() for r in (whole, *parts)]
        return Ranks(tuple(dict.fromkeys(names)), self.ranks)

    def producers(self, tensor: str) -> tuple[Einsum, ...]:
        """The Einsums that give a tensor: none, one, or two if it has an initial value."""
        return tuple(e for e in self.all if e.name == tensor)

    def reads(self, einsum: Einsum) -> tuple[Access, ...]:
        """What an Einsum reads of tensors; sizes of ranks, which look the same, are not among them."""
        return tuple(a for a in einsum.accesses if a.tensor in self.tensors)

    def is_size(self, access: Access) -> bool:
        """Whether an access is the size of a rank."""
        return not access.indices and access.tensor not in self.tensors

    def dependences(self, name: str, *, within_step: bool = False) -> set[str]:
        """Tensors that are read to make a tensor; `within_step`: only what must be there when the same step of an
        iterative rank begins, which leaves out what the step before has left."""
        found: set[str] = set()
        for einsum in self.producers(name):
            for access in self.reads(einsum):
                if not (within_step and self.earlier(einsum, access)):
                    found.add(access.tensor)
        return found

    def earlier(self, einsum: Einsum, access: Access) -> bool:
        """Whether an access reads what the step before has left: `RM[m1,p]` where `RM[m1+1,p]` is being made."""
        dimension = self.iterative.get(access.tensor)
        if dimension is None or not access.indices:
            return False
        index = access.indices[dimension]
        return isinstance(index, Index) and not index.shift and index.variable in einsum.output.variables

    def __str__(self) -> str:
        return "\n".join(map(str, self.all))


def _einsums(given: Iterable[Einsum | str]) -> tuple[Einsum, ...]:
    if isinstance(given, str):
        raise CascadeError("expected several Einsums, not one text")
    return tuple(e if isinstance(e, Einsum) else parsed(e) for e in given)
