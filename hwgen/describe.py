"""The facts about what was generated that whoever connects it needs: `<preset>.json` beside the Verilog."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from amaranth.hdl import Shape, ShapeCastable, ShapeLike
from amaranth.lib import data, wiring

from golden.bitexact.numerics import REFERENCE_BITS
from hwgen import __version__, timing
from hwgen.accelerator import Accelerator
from hwgen.core import Core
from hwgen.netlist import read_modules, walk
from hwgen.params import Params
from hwgen.part import Part
from hwgen.scoremod.report import machine_facts
from hwgen.softmax.lane import lane_latency
from hwgen.softmax.output import output_latency

TOPS: dict[str, type[Part]] = {"accelerator": Accelerator, "core": Core}
"""What can be generated; the Verilog module is `hwgen_` and this name."""

MEMORY_GROUPS = ("query_operands", "accumulators_and_results", "key_buffer", "value_buffer", "other")


def module_name(top: str) -> str:
    """The Verilog module of a name in TOPS."""
    return f"hwgen_{top}"


def describe(
    params: Params, top: str, part: Part, verilog: str, preset: str, score: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Everything about `part`, the `top` whose text is `verilog`, as JSON holds it. The same part gives the same
    description.

    Offsets and widths are in bits, latencies in cycles. `on_chip_bits` and `multipliers` are counted in the text. Only
    a machine with a score program has a section `score`: what is given, or what the program says by itself.
    """
    modules, module = read_modules(verilog), module_name(top)
    about_score = {} if params.score is None else {"score": dict(score or machine_facts(params))}
    return {
        "module": module,
        "preset": preset,
        "generator": {"name": "hwgen", "version": __version__},
        "configuration": dataclasses.asdict(params.config),
        "configuration_hash": params.config.hash(),
        "ports": ports(part),
        "latencies": latencies(params),
        "widths": widths(params),
        "macs_per_cycle": params.macs,
        "queries_per_block": params.block,
        "softmax_lanes": params.lanes,
        "multipliers": _multipliers(modules, module),
        "on_chip_bits": on_chip_bits(modules, module),
        "verilog": {
            "modules": len(modules),
            "bytes": len(verilog.encode()),
            "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        },
    } | about_score


def ports(part: Part) -> list[dict[str, Any]]:
    """Name, direction and width of every port, and the fields of those that carry a structure."""
    result: list[dict[str, Any]] = []
    # The accelerator brings its own clock domains; the core has Amaranth's.
    if "aclk" not in part.signature.members:
        result += [{"name": name, "direction": "input", "width": 1} for name in ("clk", "rst")]
    for path, member, _ in part.signature.flatten(part):
        port: dict[str, Any] = {
            "name": "__".join(map(str, path)),
            "direction": "output" if member.flow == wiring.Out else "input",
            "width": Shape.cast(member.shape).width,
        }
        if isinstance(member.shape, data.Layout):
            port["fields"] = list(fields(member.shape))
        result.append(port)
    return result


def fields(layout: data.Layout) -> Iterator[dict[str, Any]]:
    """Name, offset, width and sign of a layout's fields; an array is one field with a length."""
    if isinstance(layout, data.ArrayLayout):
        yield _field("elements", 0, layout)
        return
    for name, part in layout:
        yield _field(str(name), part.offset, part.shape)


def _field(name: str, offset: int, shape: ShapeLike | ShapeCastable) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name, "offset": offset, "width": Shape.cast(shape).width}
    if isinstance(shape, data.ArrayLayout):
        element = Shape.cast(shape.elem_shape)
        return facts | {"signed": element.signed, "length": shape.length, "element_width": element.width}
    return facts | {"signed": Shape.cast(shape).signed}


def latencies(params: Params) -> dict[str, int]:
    """Cycles; key_to_value and visit at the core's largest head dimensions.

    key_to_score, key_to_value: from the issue of a key to its score in column 0 and to the issue of its value row
    softmax_lane:               from a score to its weight
    output_unit:                from the request of a result to its beat of O
    reset:                      least cycles to hold the reset
    slot_distance:              least cycles between two visits of a slot
    visit:                      cycles a (slot, key) visit occupies the arrays
    """
    return {
        "key_to_score": timing.score_latency(params),
        "key_to_value": timing.value_latency(params),
        "softmax_lane": lane_latency(params),
        "output_unit": output_latency(params),
        "reset": timing.reset_cycles(params),
        "slot_distance": timing.hazard_distance(params),
        "visit": params.visit,
    }


def widths(params: Params) -> dict[str, int]:
    """Bits of the numbers inside, signs included; `dropped` low bits of weight times value are not accumulated."""
    n = params.numerics
    return {
        "input": params.input.bits,
        "operand": n.operand_bits,
        "qk": params.qk_bits,
        "score": n.score_bits,
        "reference": REFERENCE_BITS,
        "weight": n.weight_bits,
        "denominator": n.denominator_bits,
        "accumulator": n.accumulator_bits,
        "dropped": n.drop,
        "output": params.output.bits,
    }


def on_chip_bits(modules: dict[str, Any], top: str) -> dict[str, int]:
    """Bits of memory by purpose; `other` is queues, row converters and the lanes' state. Nothing depends on lengths.

    Of a machine with a score program also `score_tables`, those at run time and constant ones, and `bias_buffers`.
    """
    bits = Counter(dict.fromkeys(MEMORY_GROUPS, 0))
    for path, module in walk(modules, top):
        for memory in module.memories:
            bits[_memory_group(path)] += memory.bits
    return dict(bits) | {"total": bits.total()}


def _memory_group(path: tuple[str, ...]) -> str:
    """What a memory is for, by the instance it lies in."""
    where, *inside = _in_core(path) or ("",)
    if {"datapath", "query_program"} & set(inside):
        return "score_tables"
    if where.startswith("lane_group_") and "biases" in inside:
        return "bias_buffers"
    feeder = any(instance.startswith("feeder") for instance in inside)
    if where == "score_array":
        return "key_buffer" if feeder else "query_operands"
    if where == "value_array":
        return "value_buffer" if feeder else "accumulators_and_results"
    return "other"


def _in_core(path: tuple[str, ...]) -> tuple[str, ...]:
    """An instance's place within the core, if it is there."""
    return path[1:] if path[:1] == ("core",) else path


def _multipliers(modules: dict[str, Any], top: str) -> dict[str, int]:
    """Products in the text by the part they are in: one each in the arrays' cells, more in the lanes and the output."""
    found: Counter[str] = Counter()
    for path, module in walk(modules, top):
        if module.multipliers:
            where = (_in_core(path) or ("",))[0]
            part = "softmax_lanes" if where.startswith("lane_group_") else where
            found[part] += module.multipliers
    return dict(sorted(found.items())) | {"total": found.total()}
