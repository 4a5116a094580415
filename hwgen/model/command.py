"""`hwgen model`: what the counters would say, without a simulation."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from hwgen import doctor
from hwgen.command_line import Commands, add_configuration, add_masks, add_memory, add_verb, number, shape

if TYPE_CHECKING:
    from hwgen.model.machine import Prediction


def add(commands: Commands) -> None:
    """The verb's place on the command line."""
    command = add_verb(
        commands,
        "model",
        "predict cycles and traffic of a problem of any size, as the accelerator would count them",
        (
            "hwgen model --preset sim --shape 1,1,1048576,1048576 --causal",
            "hwgen model --preset sim --set slots=16 --shape 1,32,1,16384 --kv-heads 8 --latency 300 --json",
        ),
        run,
    )
    add_configuration(command)
    problem = command.add_argument_group("problem")
    problem.add_argument("--shape", type=shape, required=True, metavar="B,H,L,S", help="batch, heads, queries, keys")
    text = "key/value heads, which query heads share evenly (default as many as query heads)"
    problem.add_argument("--kv-heads", type=int, metavar="N", help=text)
    text = "head dimensions of q and k, and of v (default the preset's)"
    problem.add_argument("--head", type=head, metavar="E,F", help=text)
    add_masks(problem)
    text = "write log-sum-exps (default), or not"
    problem.add_argument("--lse", action=argparse.BooleanOptionalAction, default=True, help=text)
    add_memory(command, stall=False)
    results = command.add_argument_group("results")
    results.add_argument("--clock", type=clock, metavar="MHZ", help="say how long it takes at this clock")
    results.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def head(text: str) -> tuple[int, int]:
    """Two head dimensions."""
    words = text.split(",")
    if len(words) != 2:
        raise argparse.ArgumentTypeError(f"expected two head dimensions E,F, not {text!r}")
    e, f = (number(word.strip(), 1, 1 << 16) for word in words)
    return e, f


def clock(text: str) -> float:
    """A frequency in MHz."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a frequency in MHz above 0, not {text!r}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Predict and print."""
    doctor.require("python", "amaranth", "numpy")
    from golden.exact import Shape
    from hwgen import table
    from hwgen.commands import to_json
    from hwgen.model.machine import Memory, predict
    from hwgen.model.work import Work
    from hwgen.progress import step
    from hwgen.request import configured

    params = configured(arguments.preset, arguments.set)
    b, heads, queries, keys = arguments.shape
    e, f = arguments.head or (params.config.head_e, params.config.head_f)
    sizes = Shape(b, heads, heads if arguments.kv_heads is None else arguments.kv_heads, queries, keys, e, f)
    lengths = None if arguments.key_length is None else (arguments.key_length,) * b
    masks = {"causal": arguments.causal, "offset": arguments.offset, "key_lengths": lengths, "lse": arguments.lse}
    work = Work(shape=sizes, **masks)
    with step("predicting"):
        prediction = predict(params, work, Memory(latency=arguments.latency, bandwidth=arguments.bandwidth))
    if arguments.json:
        print(to_json(as_json(arguments, prediction)), end="")
    else:
        print(table.pairs(rows(arguments, prediction)))
    return 0


def rows(arguments: argparse.Namespace, prediction: Prediction) -> list[tuple[str, str]]:
    """Name and text of every line of the table."""
    from hwgen import table

    found = [
        ("preset", f"{arguments.preset} {prediction.params.config.hash()}"),
        ("cycles", table.count(prediction.cycles)),
        ("utilisation", f"{prediction.utilisation:.4f}"),
        ("score array idle", table.counts(prediction.idle("score"))),
        ("value array idle", table.counts(prediction.idle("value"))),
        ("bytes", table.counts(prediction.bytes)),
        ("read channel busy", f"{prediction.read_busy:.4f}"),
    ]
    if arguments.clock:
        found.append(("seconds", f"{seconds(arguments, prediction):.6g} at {arguments.clock:g} MHz"))
    return found


def seconds(arguments: argparse.Namespace, prediction: Prediction) -> float:
    return prediction.cycles / (arguments.clock * 1e6)


def as_json(arguments: argparse.Namespace, prediction: Prediction) -> dict[str, Any]:
    """The prediction as one JSON object."""
    from dataclasses import asdict

    work = prediction.work
    return {
        "preset": arguments.preset,
        "configuration": asdict(prediction.params.config),
        "configuration_hash": prediction.params.config.hash(),
        "shape": work.shape._asdict(),
        "causal": work.causal,
        "offset": work.offset,
        "key_lengths": work.key_lengths,
        "lse": work.lse,
        "memory": {"latency": arguments.latency, "bandwidth": arguments.bandwidth},
        "cycles": prediction.cycles,
        "utilisation": prediction.utilisation,
        "pairs": prediction.counters["pairs"],
        "busy": {array: prediction.counters[f"{array}_busy"] for array in ("score", "value")},
        "idle": {array: prediction.idle(array) for array in ("score", "value")},
        "bytes": prediction.bytes,
        "read_channel_busy": prediction.read_busy,
        "seconds": seconds(arguments, prediction) if arguments.clock else None,
        "counters": prediction.counters,
    }
