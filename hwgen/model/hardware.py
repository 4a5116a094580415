"""What our machine is made of, for energy and area: the operation behind every action, and how many there are.

Operations have the widths of the circuits in `hwgen.array`, `hwgen.softmax` and `hwgen.memory`. Multiplexers that only
select, control logic and wires are not counted; flip-flops and memories are, all of them.
"""

from __future__ import annotations

from functools import lru_cache

from amaranth.utils import ceil_log2

from golden.bitexact.numerics import REFERENCE_BITS, SLOPE_BITS
from hwgen.array.value_pe import SHIFT_BITS
from hwgen.model.actions import REGISTER, TENSORS, Actions, Operation, Part, Store
from hwgen.model.memories import banks
from hwgen.model.registers import register_bits
from hwgen.params import Params
from hwgen.softmax.reciprocal import newton_steps, normal_bits, quotient_bits, reciprocal_frac

LARGE = 1 << 15
"""From so many bits on a memory counts as a buffer, not as registers beside a processing element."""


@lru_cache(maxsize=256)
def machine_parts(params: Params) -> dict[str, Part]:
    """Every component: arithmetic with its actions, or a memory."""
    parts: dict[str, Part] = {
        "score_array": _score_array(params),
        "lanes": _lanes(params),
        "exp_table": _exp_table(params),
        "value_array": _value_array(params),
        "normaliser": _normaliser(params),
        "converters": _converters(params),
        "control": {"clock": REGISTER},
    }
    parts |= {f"{name}_memory" if name in parts else name: store for name, store in _stores(params).items()}
    return parts | {f"dram_{tensor}": Store("dram", 0, params.config.bus_bits) for tensor in TENSORS}


def units(params: Params) -> Actions:
    """How many units stand behind each (component, action) that is arithmetic; behind `clock`, flip-flops."""
    c = params.config
    count: Actions = {("score_array", action): c.rows_e * c.cols for action in ("multiply", "add")}
    count["score_array", "fold"] = c.cols
    count |= {("value_array", action): c.rows_f * c.cols for action in ("multiply", "shift", "add")}
    steps = {action: number for action, (number, _) in _lane_steps(params).items()}
    count |= {("lanes", action): params.lanes * number for action, number in steps.items()}
    for action, (number, _) in _element_steps(params).items():
        count["normaliser", action] = c.out_beat * number
    for action, (number, _) in _query_steps(params).items():
        count["normaliser", action] = number
    count |= {("converters", action): 3 * c.beat for action in _converters(params)}
    return count | {(name, "clock"): bits for name, bits in register_bits(params).items()}


def _score_array(params: Params) -> dict[str, Operation]:
    w = params.config.operand_bits
    add, fold = (Operation("add", "int", (bits,)) for bits in (params.sum_bits, params.qk_bits))
    return {"multiply": Operation("multiply", "int", (w, w)), "add": add, "fold": fold, "clock": REGISTER}


def _value_array(params: Params) -> dict[str, Operation]:
    c = params.config
    return {
        "multiply": Operation("multiply", "int", (c.operand_bits, c.weight_bits)),
        "shift": Operation("shift", "int", (c.accumulator_bits, SHIFT_BITS)),
        "add": Operation("add", "int", (c.accumulator_bits,)),
        "clock": REGISTER,
    }


def _lane_steps(params: Params) -> dict[str, tuple[int, Operation]]:
    """What a lane does for a score: by action how many units of which operation."""
    n = params.numerics
    product = params.qk_bits + n.scale_bits
    return {
        "scale": (1, Operation("multiply", "int", (params.qk_bits, n.scale_bits + 1))),
        "scale_shift": (1, Operation("shift", "int", (product + 1, 6))),
        "round": (1, Operation("add", "int", (n.score_bits,))),
        "chord": (1, Operation("multiply", "int", (SLOPE_BITS, n.score_frac - n.segment_bits))),
        "subtract": (1, Operation("add", "int", (n.weight_bits,))),
        # The ceiling and its sum with the value's exponent, two references, four differences.
        "reference": (8, Operation("add", "int", (REFERENCE_BITS,))),
        "weight_shift": (2, Operation("shift", "int", (n.weight_bits, 5))),
        "denominator_shift": (1, Operation("shift", "int", (n.denominator_bits, SHIFT_BITS))),
        "denominator": (1, Operation("add", "int", (n.denominator_bits,))),
    }


def _lanes(params: Params) -> dict[str, Operation]:
    return {action: operation for action, (_, operation) in _lane_steps(params).items()} | {"clock": REGISTER}


def _exp_table(params: Params) -> Store:
    """Intercepts and slopes of the chords; constants, taken as a memory."""
    word = params.numerics.weight_bits + SLOPE_BITS
    return Store("memory", params.numerics.exp_segments * word, word)


def _element_steps(params: Params) -> dict[str, tuple[int, Operation]]:
    """What the normaliser does for a number of O."""
    t, width, acc = quotient_bits(params), normal_bits(params), params.config.accumulator_bits
    return {
        "magnitude": (1, Operation("add", "int", (acc,))),
        "normalise": (1, Operation("shift", "int", (acc, ceil_log2(acc)))),
        "estimate": (1, Operation("multiply", "int", (t + 4, reciprocal_frac(params) + 1))),
        "back": (1, Operation("multiply", "int", (t + 1, width))),
        # Remainder, comparison, correction.
        "remainder": (3, Operation("add", "int", (width + 2,))),
        "align": (1, Operation("shift", "int", (t + 1, ceil_log2(t + 1)))),
        "round_output": (1, Operation("add", "int", (params.output.bits,))),
    }


def _query_steps(params: Params) -> dict[str, tuple[int, Operation]]:
    """What the reciprocal does for a beat of O."""
    frac, width = reciprocal_frac(params), normal_bits(params)
    return {
        "divisor": (1, Operation("shift", "int", (width, ceil_log2(width)))),
        "newton": (2 * newton_steps(params), Operation("multiply", "int", (frac + 1, frac + 1))),
        "newton_add": (2 * newton_steps(params), Operation("add", "int", (frac + 1,))),
    }


def _normaliser(params: Params) -> dict[str, Operation]:
    steps = _element_steps(params) | _query_steps(params)
    return {action: operation for action, (_, operation) in steps.items()} | {"clock": REGISTER}


def _converters(params: Params) -> dict[str, Operation]:
    """For an element of Q, K or V: its distance to the row's exponent, the shift, the rounding, the sign."""
    w = params.config.operand_bits
    return {
        "distance": Operation("add", "int", (params.input.exponent_bits + 1,)),
        "shift": Operation("shift", "int", (w, ceil_log2(w))),
        "round": Operation("add", "int", (w,)),
        "sign": Operation("add", "int", (w,)),
    }


def _stores(params: Params) -> dict[str, Store]:
    """By component, the largest of its memories."""
    found: dict[str, Store] = {}
    for bank in banks(params):
        if bank.component not in found or bank.bits > found[bank.component].bits:
            found[bank.component] = store(bank.bits, bank.width)
    return found


def store(bits: int, word: int) -> Store:
    return Store("sram" if bits >= LARGE else "memory", bits, word)


def lane_units(params: Params) -> Actions:
    """How often a lane's actions happen for one score."""
    return {("lanes", action): number for action, (number, _) in _lane_steps(params).items()}


def element_units(params: Params) -> Actions:
    """How often the normaliser's actions happen for one number of O."""
    return {("normaliser", action): number for action, (number, _) in _element_steps(params).items()}


def query_units(params: Params) -> Actions:
    """How often the normaliser's actions happen for one beat of O."""
    return {("normaliser", action): number for action, (number, _) in _query_steps(params).items()}
