"""Energy of a run: how often everything acts times what one action costs; docs/energy.md tells how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError
from hwgen.model.actions import TENSORS, Actions, Operation, Parts, Store, one_register_file
from hwgen.model.cost_reader import load_table, table_names
from hwgen.model.costs import Table
from hwgen.model.hardware import element_units, lane_units, machine_parts, query_units
from hwgen.model.machine import Prediction
from hwgen.model.memories import banks
from hwgen.model.registers import register_bits
from hwgen.model.work import Work
from hwgen.params import Params

__all__ = ["REGISTER_FILES", "energy", "load_table", "machine_actions", "machine_energy", "table_names", "totals"]

PICO = 1e-12
REGISTER_FILES = ("all PEs", "one PE")


def energy(
    actions: Actions,
    table: Table,
    parts: Parts,
    *,
    register_files: str = "all PEs",
    instances: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Joule by component.

    parts:          what the components are: `actions.published_parts(buffer_bytes)` for the published machines
    register_files: "all PEs", or "one PE": the accesses of the components in `instances` ({"rf_2d": 65536, "rf_1d":
                    256}) are divided by their numbers, as the evaluation published with FuseMax does

    Raises ConfigError for a component or an action that is not in `parts`, and for what the table does not give.
    """
    if register_files not in REGISTER_FILES:
        raise ConfigError(f"unknown register_files {register_files!r}{did_you_mean(register_files, REGISTER_FILES)}")
    if register_files == "one PE":
        actions = one_register_file(actions, instances or {})
    total: dict[str, float] = {}
    for (component, action), count in actions.items():
        total[component] = total.get(component, 0.0) + count * action_energy(component, action, table, parts)
    return total


def action_energy(component: str, action: str, table: Table, parts: Parts) -> float:
    """Joule of one action, of one bit if it is a memory's."""
    part = parts.get(component)
    if part is None:
        raise ConfigError(f"unknown component {component!r}{did_you_mean(component, parts)}")
    if isinstance(part, Store):
        return table.access(part, action).value * PICO
    if action not in part:
        raise ConfigError(f"{component} has no action {action!r}{did_you_mean(action, part)}")
    return table.operation(part[action]).value * PICO


def machine_actions(params: Params, prediction: Prediction, work: Work) -> Actions:
    """How often each component of our machine acts in a run, from its counters.

    All cells of an array act in every cycle in which a fold is issued to it, whether their query may see the key or
    not; flip-flops take the clock in every cycle, as there is nothing that stops it.
    """
    c, counters = params.config, prediction.counters
    actions: Actions = {}
    cells_e, cells_f = counters["score_busy"] * c.rows_e * c.cols, counters["value_busy"] * c.rows_f * c.cols
    folds_e = math.ceil(work.shape.E / c.rows_e)
    scores = counters["score_busy"] // folds_e * c.cols
    actions |= {("score_array", action): float(cells_e) for action in ("multiply", "add")}
    actions["score_array", "fold"] = counters["score_busy"] * c.cols
    actions |= {("value_array", action): float(cells_f) for action in ("multiply", "shift", "add")}
    actions |= {key: scores * number for key, number in lane_units(params).items()}
    actions |= _array_memories(params, prediction, work)
    actions |= _lane_memories(params, scores)
    actions |= _output(params, work)
    actions |= _conversion(params, prediction)
    actions |= _traffic(prediction)
    return actions | {(name, "clock"): prediction.cycles * float(bits) for name, bits in register_bits(params).items()}


def _array_memories(params: Params, prediction: Prediction, work: Work) -> Actions:
    """Bits read and written beside the cells and at the arrays' edge."""
    c, counters, shape = params.config, prediction.counters, work.shape
    queries = shape.B * shape.Hq * shape.L
    padded_e = math.ceil(shape.E / c.rows_e) * c.rows_e
    padded_f = math.ceil(shape.F / c.rows_f) * c.rows_f
    cells_f = counters["value_busy"] * c.rows_f * c.cols
    elements = _elements(params, prediction)
    results = float(queries * padded_f * c.accumulator_bits)
    return {
        ("query_operands", "read"): float(counters["score_busy"] * c.rows_e * c.cols * c.operand_bits),
        ("query_operands", "write"): float(queries * padded_e * c.operand_bits),
        ("key_buffer", "read"): float(counters["score_busy"] * c.rows_e * c.operand_bits),
        ("key_buffer", "write"): elements["k"] * c.operand_bits,
        ("value_buffer", "read"): float(counters["value_busy"] * c.rows_f * c.operand_bits),
        ("value_buffer", "write"): elements["v"] * c.operand_bits,
        ("accumulators", "read"): float(cells_f * c.accumulator_bits),
        ("accumulators", "write"): float(cells_f * c.accumulator_bits),
        ("results", "read"): results,
        ("results", "write"): results,
    }


def _lane_memories(params: Params, scores: int) -> Actions:
    """A score reads its query's exponent, the references and the denominator, and writes the latter two."""
    widths = [bank.width for bank in banks(params) if bank.component == "lane_state"]
    query, references, denominator, _ = widths
    table = machine_parts(params)["exp_table"]
    assert isinstance(table, Store)
    return {
        ("lane_state", "read"): float(scores * (query + references + denominator)),
        ("lane_state", "write"): float(scores * (references + denominator)),
        ("exp_table", "read"): float(scores * table.word),
    }


def _output(params: Params, work: Work) -> Actions:
    """The normaliser: once a number of O, and its reciprocal once a beat."""
    shape = work.shape
    rows = shape.B * shape.Hq * shape.L
    beats = rows * math.ceil(shape.F / params.config.out_beat)
    actions: Actions = {key: beats * params.config.out_beat * n for key, n in element_units(params).items()}
    return actions | {key: beats * number for key, number in query_units(params).items()}


def _elements(params: Params, prediction: Prediction) -> dict[str, float]:
    """Elements of Q, K and V that come from memory."""
    return {name: prediction.bytes[name] * 8 / params.input.bits for name in ("q", "k", "v")}


def _conversion(params: Params, prediction: Prediction) -> Actions:
    """Every element that comes from memory is converted; its row is kept once in between."""
    elements = sum(_elements(params, prediction).values())
    part = machine_parts(params)["converters"]
    assert not isinstance(part, Store)
    actions: Actions = {("converters", action): elements for action in part}
    bits = elements * params.input.bits
    return actions | {("converters_memory", "read"): bits, ("converters_memory", "write"): bits}


def _traffic(prediction: Prediction) -> Actions:
    """Off the chip by tensor; on the chip every word waits in a queue once."""
    written = ("o", "lse")
    bits = {tensor: 8.0 * prediction.bytes[tensor] for tensor in TENSORS}
    actions: Actions = {(f"dram_{name}", "write" if name in written else "read"): bits[name] for name in TENSORS}
    return actions | {("queues", action): sum(bits.values()) for action in ("read", "write")}


def machine_energy(params: Params, prediction: Prediction, work: Work, table: Table) -> dict[str, float]:
    """Joule by component of a run of our machine. Raises ConfigError for what the table does not give."""
    return energy(machine_actions(params, prediction, work), table, machine_parts(params))


def totals(by_component: Mapping[str, float]) -> dict[str, float]:
    """The same in few groups: `arrays`, `softmax` (lanes and normaliser), `memories`, `control`, and `dram`."""
    groups = {"score_array": "arrays", "value_array": "arrays", "lanes": "softmax", "exp_table": "softmax"}
    groups |= {"normaliser": "softmax", "control": "control", "converters": "control"}
    total: dict[str, float] = {}
    for name, value in by_component.items():
        group = "dram" if name.startswith("dram") else groups.get(name, "memories")
        total[group] = total.get(group, 0.0) + value
    return total


def operations(parts: Parts) -> dict[tuple[str, str], Operation]:
    """All arithmetic of a machine, for a table of what each costs."""
    found: dict[tuple[str, str], Operation] = {}
    for component, part in parts.items():
        if not isinstance(part, Store):
            found |= {(component, action): operation for action, operation in part.items()}
    return found
