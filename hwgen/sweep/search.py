"""A search instead of a grid: Optuna proposes points, generation by generation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hwgen.sweep.journal import Result
from hwgen.sweep.points import Point, point
from hwgen.sweep.spec import Search, Spec

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

Evaluate = Callable[[Sequence[Point]], Mapping[str, Result]]
"""Gives results by key, of the points at least."""

WORST_VIOLATION = 1e12
"""Of a point that has no metrics: worse than any that has."""


def search(spec: Spec, wanted: Search, evaluate: Evaluate) -> list[Point]:
    """The points of all trials in order; several may be the same.

    A generation is proposed as a whole, and its results are told in the order of its trials, so that what is proposed
    depends on the seed and on results only: not on who is faster, and not on whether results were known before.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize"] * len(spec.objectives), sampler=sampler(wanted))
    points: list[Point] = []
    while len(points) < wanted.trials:
        trials = [propose(study, spec) for _ in range(min(wanted.population, wanted.trials - len(points)))]
        generation = [point(spec, [trial.params[parameter.name] for parameter in spec.parameters]) for trial in trials]
        results = evaluate(generation)
        for trial, one in zip(trials, generation, strict=True):
            tell(study, trial, results[one.key], spec)
        points += generation
    return points


def sampler(wanted: Search) -> BaseSampler:
    from optuna import samplers

    if wanted.sampler == "nsga2":
        return samplers.NSGAIISampler(population_size=wanted.population, seed=wanted.seed)
    if wanted.sampler == "tpe":
        return samplers.TPESampler(seed=wanted.seed)
    return samplers.RandomSampler(seed=wanted.seed)


def propose(study: Study, spec: Spec) -> Trial:
    """A trial whose parameters are places in the lists of values, in their order."""
    from optuna.distributions import IntDistribution

    return study.ask({parameter.name: IntDistribution(0, len(parameter.values) - 1) for parameter in spec.parameters})


def tell(study: Study, trial: Trial, result: Result, spec: Spec) -> None:
    """Costs and missed constraints. A bad point has none: it counts as one that misses all by far."""
    bad = result.error is not None
    trial.set_constraint("a result", WORST_VIOLATION if bad else 0.0)
    for number, constraint in enumerate(spec.constraints):
        violation = WORST_VIOLATION if bad else constraint.violation(result.metrics)
        trial.set_constraint(f"constraint {number}", violation)
    study.tell(trial, [math.inf if bad else objective.cost(result.metrics) for objective in spec.objectives])
