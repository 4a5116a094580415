"""Small cores that differ in everything a configuration can say."""

from __future__ import annotations

from hwgen.config import Config
from hwgen.params import Params

BASE = Config(rows_e=4, rows_f=4, cols=2, slots=4, head_e=8, head_f=8, beat=2, out_beat=2, buffer_rows=4)

# Name: changes to BASE.
CHANGES: dict[str, dict[str, object]] = {
    "base": {},
    "one_fold": {"head_e": 4, "head_f": 4},
    "four_folds": {"head_e": 16, "head_f": 16},
    "e_folds_more": {"head_e": 16, "head_f": 4},
    "f_folds_more": {"head_e": 4, "head_f": 16},
    "rows_not_cols": {"rows_e": 2, "rows_f": 6, "cols": 3, "head_e": 4, "head_f": 12},
    "rows_e_larger": {"rows_e": 8, "rows_f": 2, "cols": 4, "head_e": 8, "head_f": 6, "slots": 3},
    "one_column": {"cols": 1},
    "one_slot": {"slots": 1},
    "one_slot_one_fold": {"slots": 1, "head_e": 4, "head_f": 4},
    "sixteen_slots": {"slots": 16, "cols": 1, "head_e": 4, "head_f": 4},
    "five_slots_three_columns": {"slots": 5, "cols": 3},
    "lane_a_column": {"lanes": 2},
    "shared_lane": {"cols": 4, "lanes": 2},
    "one_lane_for_four": {"cols": 4, "lanes": 1, "head_e": 16, "head_f": 16},
    "lane_slower_than_folds": {"cols": 4, "lanes": 1, "head_e": 4, "head_f": 4},
    "beat_of_one": {"beat": 1, "out_beat": 1},
    "wide_beats": {"beat": 4, "out_beat": 4},
    "shallow_buffer": {"buffer_rows": 2},
    "fp16": {"in_format": "fp16", "out_format": "fp16"},
    "fp32": {"in_format": "fp32", "out_format": "fp32"},
    "small_accumulator": {"weight_bits": 8, "accumulator_bits": 30, "out_format": "fp32"},
    "fine_scores": {"score_frac": 16, "exp_segments": 64},
    "narrow_operands": {"operand_bits": 12, "accumulator_bits": 44, "weight_bits": 20},
}

FP32 = {"in_format": "fp32", "out_format": "fp32"}
FP16 = {"in_format": "fp16", "out_format": "fp16"}
# Name of an accelerator: changes to BASE.
ACCELERATORS: dict[str, dict[str, object]] = {
    "bus of 32": {"bus_bits": 32, "address_bits": 32, "burst_beats": 64, **FP32},
    "bus of 64": {"bus_bits": 64, "address_bits": 40, "outstanding": 2, "head_e": 16, "out_format": "fp32"},
    "bus of 128": {},
    "bus of 512": {"bus_bits": 512, "burst_beats": 4, "head_f": 16, "beat": 4, "out_beat": 4, **FP16},
}


def params(name: str) -> Params:
    """The parameters of a named configuration."""
    return Params(BASE.replace(CHANGES[name]))


def accelerator(name: str) -> Params:
    """The parameters of a named accelerator."""
    return Params(BASE.replace(ACCELERATORS[name]))
