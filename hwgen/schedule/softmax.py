"""Steps that the unfused schedule, FLAT and the 2-pass one have in common: both products, and the softmax between them.

Output stationary: the array holds a tile of the result, and the reduced rank passes in time.  Weight stationary: it
holds a tile of K or V, and queries pass.  A multi-cycle exponential or division is a unit of its own that takes a new
element in every cycle.
"""

from __future__ import annotations

from typing import Literal

from hwgen.schedule.parts import Step

Stationary = Literal["output", "weight"]


def scores(stationary: Stationary = "output") -> Step:
    weight = stationary == "weight"
    return Step(
        name="QK",
        unit="2d",
        ranks="E M P",
        inputs={"Q": "P E", "K": "M E"},
        output=("QK", "M P"),
        operations={"mac": 1},
        rows="M" if weight else "P",
        cols="E" if weight else "M",
        loops=("P", "E", "M") if weight else ("E", "M", "P"),
    )


def weights_times_values(weights: str, name: str = "AV", stationary: Stationary = "output") -> Step:
    weight = stationary == "weight"
    return Step(
        name=name,
        unit="2d",
        ranks="F M P",
        inputs={weights: "M P", "V": "M F"},
        output=(name, "P F"),
        operations={"mac": 1},
        rows="M" if weight else "P",
        cols="F",
        loops=("P", "F", "M") if weight else ("M", "F", "P"),
    )


def softmax(*, divide: bool = True) -> tuple[Step, ...]:
    """Maximum, exponentials and their sum, and the division of every weight unless it is left to the result."""
    steps = (
        _of_all_keys("GM", {"QK": "M P"}, "P", {"max": 1}),
        _of_all_keys("SN", {"QK": "M P", "GM": "P"}, "M P", {"add": 1, "exp": 1}),
        _of_all_keys("SD", {"SN": "M P"}, "P", {"add": 1}),
        _of_all_keys("A", {"SN": "M P", "SD": "P"}, "M P", {"divide": 1}),
    )
    return steps if divide else steps[:3]


def _of_all_keys(name: str, inputs: dict[str, str], output: str, operations: dict[str, int]) -> Step:
    """A row of scores over the 1-D array, one element of it a cycle."""
    return Step(
        name=name,
        unit="1d",
        ranks="M P",
        inputs=inputs,
        output=(name, output),
        operations=operations,
        cycles=1,
        cols="M",
        loops=("M",),
    )


def division() -> Step:
    """Of a query's result by its sum, once all keys are done."""
    inputs = {"SNV": "P F", "SD": "P"}
    return Step(
        name="AV", unit="1d", ranks="F P", inputs=inputs, output=("AV", "P F"), operations={"divide": 1}, cols="P"
    )
