"""How busy the arrays of a board are: the whole board in simulation, its memory filled by a back door.

python -m boards.sim.utilisation --preset ecp5 --shape 1,1,512,512
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from boards.board import memory_base
from boards.host.driver import Accelerator, Run
from boards.host.link import Link
from boards.sim.board import SimulatedBoard
from hwgen.backends import Answer, Task, machine_answer, place_task
from hwgen.config import Config, parse_assignments
from hwgen.control.descriptor import pack
from hwgen.errors import HwgenError, InputError
from hwgen.functional import attention
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.problem import TYPES

KIB = 1024
TIMEOUT = 5.0
"""Seconds for an answer: a large machine is simulated slowly."""


class LoadedBoard:
    """A `hwgen.backends.Device`: for every task a new simulated board that has it in its memory already.

    Results are read over the cable, which takes longer than the rest.
    """

    def __init__(self, config: Config, memory_bytes: int) -> None:
        self.config, self._bytes = config, memory_bytes

    def run(self, task: Task, lse: bool) -> Answer:
        """Raises InputError if the memory is too small, and what `SimulatedBoard` and `Accelerator` raise."""
        image, placed = place_task(task, lse, memory_base(self._bytes))
        if image.size > self._bytes:
            raise InputError(f"the problem takes {image.size} bytes of the board's memory, which has {self._bytes}")
        content = image.content().tobytes()
        with SimulatedBoard(task.params, memory_bytes=self._bytes, preload=content) as board:
            with Link(board.port, timeout=TIMEOUT) as link:
                accelerator = Accelerator(link, task.params)
                accelerator.reset()
                seconds = accelerator.submit(*image.ring([pack(placed.descriptor)]))
                run: Run = accelerator.finish(placed, seconds)
        return machine_answer(task, run.outputs, run.counters, {"seconds": seconds})


def random_inputs(config: Config, shape: tuple[int, int, int, int], seed: int) -> list[np.ndarray[Any, Any]]:
    """q, k and v of the configuration's format, heads as large as it takes them; shape B, H, L, S."""
    rng = np.random.default_rng(seed)
    b, h, length, keys = shape
    wanted = Params(config).input.name
    kind = next(kind for kind, fmt in TYPES.items() if fmt.name == wanted)
    sizes = (length, config.head_e), (keys, config.head_e), (keys, config.head_f)
    return [rng.standard_normal((b, h, *size)).astype(kind) for size in sizes]


def measure(
    config: Config, shape: tuple[int, int, int, int], memory_bytes: int, causal: bool = False
) -> dict[str, Any]:
    """What the board counted, with `utilisation`, and `equal`: whether every bit is the golden model's."""
    inputs = random_inputs(config, shape, seed=1)
    options: dict[str, Any] = {"is_causal": causal, "return_lse": True}
    out, lse, stats = attention(*inputs, backend=LoadedBoard(config, memory_bytes), return_stats=True, **options)
    golden, golden_lse = attention(*inputs, preset=config, backend="bitexact", **options)
    equal = out.tobytes() == golden.tobytes() and lse.tobytes() == golden_lse.tobytes()
    return dict(stats) | {"equal": equal}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="boards.sim.utilisation", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="ecp5")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change parameters of the preset")
    parser.add_argument("--shape", default="1,1,512,512", metavar="B,H,L,S")
    parser.add_argument("--memory", type=int, default=264, metavar="KIB", help="size of the board's memory")
    parser.add_argument("--causal", action="store_true")
    options = parser.parse_args(arguments)
    b, h, length, keys = map(int, options.shape.split(","))
    try:
        config = preset(options.preset).replace(parse_assignments(options.set))
        stats = measure(config, (b, h, length, keys), options.memory * KIB, options.causal)
    except HwgenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    for name, value in stats.items():
        if value or isinstance(value, bool):
            print(f"{name:26}{value:.4f}" if isinstance(value, float) else f"{name:26}{value}")
    return 0 if stats["equal"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
