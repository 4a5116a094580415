"""What a verb that runs one attention problem was asked for: a machine, data, masks, a memory."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from hwgen.config import parse_assignments
from hwgen.inputs import Problem, make_problem, random_tensors, read_tensors
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.system import MemoryTraits


def configured(name: str, assignments: Sequence[str]) -> Params:
    """The preset with its changes. Raises ConfigError."""
    return Params(preset(name).replace(parse_assignments(assignments)))


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The arguments that `add_configuration`, `add_data` and `add_memory` of `hwgen.command_line` read."""

    preset: str
    set: tuple[str, ...] = ()
    input: Path | None = None
    shape: tuple[int, int, int, int] | None = None
    seed: int = 1
    scale: float | None = None
    causal: bool = False
    offset: int = 0
    key_length: int | None = None
    latency: int = 100
    bandwidth: int = 256
    stall: int = 0

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Those of the command line; what is none of its fields is left out."""
        values = {field.name: getattr(arguments, field.name) for field in fields(cls)}
        return cls(**values | {"set": tuple(arguments.set)})

    @property
    def params(self) -> Params:
        """The machine. Raises ConfigError."""
        return configured(self.preset, self.set)

    @property
    def memory(self) -> MemoryTraits:
        return MemoryTraits(seed=self.seed, latency=self.latency, bandwidth=self.bandwidth, stall=self.stall)

    def size(self, params: Params) -> tuple[int, int, int, int]:
        """B, H, L and S of random data; without --shape two blocks of queries over as many keys."""
        return self.shape or (1, 1, 2 * params.block, 2 * params.block)

    def problem(self, params: Params) -> Problem:
        """The tensors and masks asked for. Raises InputError."""
        if self.input is not None:
            tensors, source = read_tensors(self.input, params)
        else:
            tensors = random_tensors(self.size(params), self.seed, params)
            source = f"random N(0, 1), seed {self.seed}, {params.input.name}"
        masks = {"causal": self.causal, "offset": self.offset, "key_length": self.key_length}
        return make_problem(tensors, source, params, scale=self.scale, **masks)  # type: ignore[arg-type]
