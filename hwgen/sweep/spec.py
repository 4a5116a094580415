"""What `hwgen sweep` is asked for: a file that names a machine, what may change in it, works, and what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwgen.config import Config
from hwgen.sweep.metrics import Setting

Value = int | str | None
"""Of a parameter."""

SAMPLERS = ("nsga2", "tpe", "random")


@dataclass(frozen=True)
class Parameter:
    """Parameters of a configuration that change together, and the values they take in turn."""

    names: tuple[str, ...]
    values: tuple[Value, ...]

    @property
    def name(self) -> str:
        """As it stands in the file."""
        return ", ".join(self.names)


@dataclass(frozen=True)
class Objective:
    metric: str
    maximise: bool = False

    def cost(self, metrics: Mapping[str, float]) -> float:
        """The less, the better."""
        return -metrics[self.metric] if self.maximise else metrics[self.metric]


@dataclass(frozen=True)
class Constraint:
    """A limit on a metric: the most it may be, or the least."""

    metric: str
    relation: str
    limit: float

    def violation(self, metrics: Mapping[str, float]) -> float:
        """By how much it is missed, relative to the limit; zero or less if it is kept."""
        beyond = metrics[self.metric] - self.limit
        return (beyond if self.relation == "<=" else -beyond) / (abs(self.limit) or 1.0)

    def __str__(self) -> str:
        return f"{self.metric} {self.relation} {self.limit:g}"


@dataclass(frozen=True, kw_only=True)
class Search:
    """Instead of every combination `trials` of them, chosen by a sampler that sees results after every `population`."""

    sampler: str = "nsga2"
    trials: int = 200
    seed: int = 1
    population: int = 20


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One exploration.

    base:       the configuration that points are changes of
    parameters: what changes
    setting:    works, clock and costs, the same for all points
    """

    path: Path
    base: Config
    parameters: tuple[Parameter, ...]
    setting: Setting
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    search: Search | None = None
