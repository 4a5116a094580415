"""Ranks: which are parts of which, and their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from golden.cascade.errors import CascadeError, did_you_mean


@dataclass(frozen=True)
class Ranks:
    """How the ranks of a cascade belong together.

    names: every rank, in the order in which they are declared
    of:    M -> (M1, M0): a partition, the outermost part first;  I -> (K,): another name for the same coordinates

    A *root* is a rank that is neither a part nor another name; the *leaves* of a rank are what a coordinate of it is
    made of: of a partitioned one its parts, else itself (or what it is another name of).
    """

    names: tuple[str, ...]
    of: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        parts = [part for parts in self.of.values() if len(parts) > 1 for part in parts]
        for rank, makes in self.of.items():
            for part in makes:
                if part == rank or (len(makes) > 1 and (part in self.of or parts.count(part) > 1)):
                    raise CascadeError(f"{part} cannot be a part of {rank}: it is made of something itself, or twice")
                if len(makes) == 1 and part in self.of and len(self.of[part]) == 1:
                    raise CascadeError(f"{rank} is another name of {part}, which is another name itself")

    @property
    def roots(self) -> tuple[str, ...]:
        parts = {part for parts in self.of.values() if len(parts) > 1 for part in parts}
        return tuple(r for r in self.names if r not in parts and len(self.of.get(r, ())) != 1)

    def leaves(self, rank: str) -> tuple[str, ...]:
        makes = self.of.get(rank, ())
        return (rank,) if not makes else self.leaves(makes[0]) if len(makes) == 1 else makes

    def root(self, rank: str) -> str:
        """The root that a rank, a part or another name belongs to."""
        found = self.of.get(rank, ())
        if len(found) == 1:
            return self.root(found[0])
        return next((whole for whole, parts in self.of.items() if len(parts) > 1 and rank in parts), rank)

    def same(self, a: str, b: str) -> bool:
        """Whether two ranks have the same coordinates."""
        return self.leaves(a) == self.leaves(b)

    def sizes(self, given: Mapping[str, int]) -> dict[str, int]:
        """The size of every rank, from those that are given.

        Raises
        ------
        CascadeError
            If one is unknown, not positive, missing, or contradicts others.
        """
        for rank, size in given.items():
            if rank not in self.names:
                raise CascadeError(f"unknown rank {rank!r}{did_you_mean(rank, self.names)}")
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise CascadeError(f"the size of {rank} must be a whole number from 1 on, not {size!r}")
        sizes = dict(given)
        while self._complete(sizes):
            pass
        missing = [rank for rank in self.names if rank not in sizes]
        if missing:
            raise CascadeError(f"the size of {', '.join(missing)} is not known")
        return {rank: sizes[rank] for rank in self.names}

    def _complete(self, sizes: dict[str, int]) -> bool:
        """One size more from those that are there; whether there was one."""
        for rank, makes in self.of.items():
            unknown = [r for r in (rank, *makes) if r not in sizes]
            known = _product(sizes[part] for part in makes if part in sizes)
            if not unknown and sizes[rank] != known:
                text = " x ".join(f"{part} = {sizes[part]}" for part in makes)
                raise CascadeError(f"{rank} = {sizes[rank]} does not agree with {text}")
            if len(unknown) != 1:
                continue
            if unknown[0] == rank:
                sizes[rank] = known
            elif sizes[rank] % known:
                raise CascadeError(f"{rank} = {sizes[rank]} is no multiple of {known}, so {unknown[0]} has no size")
            else:
                sizes[unknown[0]] = sizes[rank] // known
            return True
        return False


def _product(numbers: Iterable[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result
