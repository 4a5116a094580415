"""Flip-flops of a machine without a score program, counted from the widths of its parts without making circuits.

Arrays, lanes and normaliser are counted exactly as their circuits are written (a tool may find that some bits are never
read). What is left, control and the way to memory, hardly depends on any choice and is estimated.
"""

from __future__ import annotations

from amaranth.utils import ceil_log2

from golden.bitexact.numerics import REFERENCE_BITS, SLOPE_BITS
from hwgen.array.feeder import key_address, value_address
from hwgen.array.score_array import ScoreArray
from hwgen.array.score_pe import ScorePE
from hwgen.array.value_pe import SHIFT_BITS, ValuePE
from hwgen.control.drain import step_layout
from hwgen.control.tags import lane_tag_layout, score_tag_layout, value_tag_layout
from hwgen.params import Params
from hwgen.softmax.lane import SoftmaxLane, lane_latency, result_layout
from hwgen.softmax.normaliser import NormaliserLane
from hwgen.softmax.reciprocal import (
    divisor_layout,
    newton_steps,
    normal_bits,
    quotient_bits,
    reciprocal_frac,
    reciprocal_latency,
)
from hwgen.softmax.scale import LIMB

CONTROL = 14_500
"""Sequencer, descriptors, registers, counters, bus engines: bits that no choice changes much."""


def register_bits(params: Params) -> dict[str, int]:
    """By component: score_array, value_array, lanes, normaliser, and control (estimated)."""
    return {
        "score_array": score_array(params),
        "value_array": value_array(params),
        "lanes": params.lanes * lane(params) + params.config.cols * column(params),
        "normaliser": params.config.out_beat * normaliser_lane(params) + reciprocal(params),
        "control": control(params),
    }


def score_pe(params: Params) -> int:
    """Inputs from the left and from above, the load enable, both factors, the product."""
    w = params.config.operand_bits
    return w + (params.q_depth - 1).bit_length() + params.qk_bits + 1 + 2 * w + 2 * w


def score_array(params: Params) -> int:
    c, tag = params.config, score_tag_layout(params).size
    cells = c.rows_e * (c.cols * score_pe(params) + key_address(params).width + tag)
    loads = ceil_log2(params.q_depth) + c.beat * c.operand_bits
    foot = c.cols * params.qk_bits + (ScorePE.LATENCY + ScoreArray.FOOT + c.cols - 1) * tag
    return cells + loads + foot


def value_pe(params: Params) -> int:
    """Inputs, the tags of the loop, both factors, the product twice, the accumulator's way through the shifter, what is
    left of the shift, and the drained result."""
    c = params.config
    inputs = c.operand_bits + c.weight_bits
    product = c.operand_bits + c.weight_bits
    shifts = 3 * c.accumulator_bits + 4 + 2
    tags = ValuePE.LOOP * value_tag_layout(params).size
    return inputs + SHIFT_BITS + tags + inputs + 2 * product + shifts + 1 + c.accumulator_bits


def value_array(params: Params) -> int:
    c, tag = params.config, value_tag_layout(params).size
    row = value_address(params).width + tag + 1 + c.accumulator_bits
    cells = c.rows_f * (c.cols * value_pe(params) + row)
    walker = lane_tag_layout(params).size + params.folds_f.bit_length()
    return cells + walker + (params.acc_depth - 1).bit_length() + ValuePE.RESULT_LATENCY * tag


def column(params: Params) -> int:
    """The fold sum at a column's foot with its tag, and its weight and shift."""
    return params.qk_bits + score_tag_layout(params).size + params.config.weight_bits + SHIFT_BITS


def lane(params: Params) -> int:
    """One softmax lane, stage by stage."""
    n, latency = params.numerics, lane_latency(params)
    tags = latency * lane_tag_layout(params).size + latency - SoftmaxLane.INPUT
    inputs = params.qk_bits + params.input.exponent_bits + 1
    references = 6 * REFERENCE_BITS + 3
    amounts = 2 * SHIFT_BITS + 2 * 5
    weights = 2 * (2 * n.weight_bits + 3) + 2 * SHIFT_BITS
    # Three stages keep the references and their flags for the result; the last of `fresh` is read by nobody.
    results = 3 * (2 * REFERENCE_BITS + 3) + result_layout(params).size
    denominator = 2 * n.denominator_bits + 3
    return tags + inputs + _scale(params) + _exp2(params) + references + amounts + weights + results + denominator


def _scale(params: Params) -> int:
    n, width = params.numerics, params.qk_bits
    limbs = [min(LIMB, width - low) for low in range(0, width, LIMB)]
    # All limbs but the top one are unsigned.
    partial = sum(limb + n.scale_bits + 1 for limb in limbs)
    product = width + n.scale_bits
    amount = params.exponent_bits + 5 + 6 + 2
    shifts = 2 * (product + 1) + 2 + 4 + 2 * 3
    return partial + product + amount + shifts + n.score_bits + 1


def _exp2(params: Params) -> int:
    n = params.numerics
    rest = n.score_frac - n.segment_bits
    return (n.score_bits - n.score_frac + 1) + 3 * n.weight_bits + SLOPE_BITS + rest + SLOPE_BITS + rest


def reciprocal(params: Params) -> int:
    stage = divisor_layout(params).size + step_layout(params).size
    return reciprocal_latency(params) * stage + newton_steps(params) * reciprocal_frac(params)


def normaliser_lane(params: Params) -> int:
    """One normaliser lane, stage by stage."""
    fmt, t, width = params.output, quotient_bits(params), normal_bits(params)
    digits, last = fmt.mantissa_bits + 1, NormaliserLane.LATENCY
    queries = (last - 1) * divisor_layout(params).size
    signs, zeros = last - 1, last - 4
    normalise = 3 * width + 2 * 7 + 4 * 7
    divide = (t + 1) + 2 * (width + 2) + (t + 1) + 1 + 2 * width + 2 * (t + 1)
    rounding = (t + 1) + 1 + 20 + digits + 2 + fmt.exponent_bits + fmt.bits
    return queries + signs + zeros + normalise + divide + rounding


def control(params: Params) -> int:
    """All else, estimated: what is fixed, words of the bus in its queues' outputs, and elements on their way."""
    c = params.config
    return CONTROL + 16 * c.bus_bits + 3 * c.beat * (params.input.bits + 3 * c.operand_bits)
