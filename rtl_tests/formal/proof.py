"""What is to be proved."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from rtl_tests.formal.bench import Build


class Method(Enum):
    """How: by k-induction, by looking at all runs of so many cycles, by simulating every input that there is, or by
    finding a run that breaks the property."""

    INDUCTION = "k-induction"
    BOUNDED = "bounded"
    EXHAUSTIVE = "simulation"
    REFUTED = "counterexample"


Every = Callable[[], tuple[int, int]]


@dataclass(frozen=True)
class Breakage:
    """A line of a component's source, and the mistake to make there: the property must be noticed to fail."""

    part: type
    line: str
    mistake: str


@dataclass(frozen=True)
class Proof:
    """A property of a component.

    name:      by which it is called
    component: whose property it is, with the parameters that matter
    says:      the property in plain words
    build:     makes the bench; or
    every:     gives how many inputs there are, and how many of them give a wrong output
    depth:     cycles, and the largest k of an induction
    breakages: mistakes with which the property has to fail, within `broken_depth` cycles
    """

    name: str
    component: str
    says: str
    build: Build | None = None
    every: Every | None = None
    method: Method = Method.INDUCTION
    depth: int = 4
    breakages: tuple[Breakage, ...] = ()
    broken_depth: int = 16

    def broken(self) -> list["Case"]:
        """The cases that must fail."""
        return [
            Case(f"{self.name}_broken" + (f"_{i}" if i else ""), self, breakage)
            for i, breakage in enumerate(self.breakages)
        ]


@dataclass(frozen=True)
class Case:
    """A proof as it is run, of a component as it is or with a mistake."""

    name: str
    proof: Proof
    breakage: Breakage | None = None

    @property
    def method(self) -> Method:
        return Method.REFUTED if self.breakage else self.proof.method

    @property
    def depth(self) -> int:
        return self.proof.broken_depth if self.breakage else self.proof.depth
