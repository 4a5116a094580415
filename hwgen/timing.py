"""Distances in cycles, read from the components that cause them."""

from amaranth.utils import ceil_log2

from hwgen.params import Params


def hazard_distance(params: Params) -> int:
    """Least cycles between the starts of two visits of one slot."""
    from hwgen.array.value_pe import ValuePE
    from hwgen.softmax.lane import SoftmaxLane

    return max(SoftmaxLane.LOOP, ValuePE.LOOP)


def score_latency(params: Params) -> int:
    """Cycles from a key's issue to its score at the foot of column 0."""
    from hwgen.array.feeder import FeederRow
    from hwgen.array.score_array import ScoreArray
    from hwgen.array.score_pe import ScorePE

    last_row = key_latency(params) + (params.config.rows_e - 1) * FeederRow.SKEW
    return last_row + FeederRow.LATENCY + ScorePE.LATENCY + ScoreArray.FOOT


def key_latency(params: Params) -> int:
    """Cycles from a key's issue to its entry into the score array: those of what a score program makes of its index."""
    from hwgen.scoremod.schedule import schedule

    return schedule(params.partition.key).latency if params.has_key_score else 0


def settling(params: Params) -> int:
    """Cycles from the last write of a score program's arguments until all that follows from them alone is right."""
    from hwgen.scoremod.schedule import schedule

    if params.score is None:
        return 0
    parts = [params.partition.query, params.partition.key, params.partition.lane]
    parts += [] if params.bounds is None else [params.bounds.program]
    return max(schedule(part).settling for part in parts)


def weight_latency(params: Params) -> int:
    """Cycles from a key's issue to its first weight at its lane's end, at the largest head dimension."""
    from hwgen.softmax.fold_sum import FoldSum
    from hwgen.softmax.lane import lane_latency

    folds = params.folds_e - 1
    return score_latency(params) + folds + FoldSum.LATENCY + lane_latency(params)


def value_latency(params: Params) -> int:
    """Cycles from a key's issue to the issue of its value row, at the largest head dimension: the row's first elements
    are there when the weight is in the register of its column."""
    from hwgen.array.feeder import FeederRow

    return weight_latency(params) + 1 - FeederRow.LATENCY


def issue_latency() -> int:
    """Cycles from a visit's start, which claims its rows, to a key's issue."""
    from hwgen.control.issuer import VisitIssuer

    return VisitIssuer.LATENCY


def value_rows(params: Params) -> int:
    """Value rows to hold: those ahead of the arrays and those in flight between issue and release."""
    in_flight = issue_latency() + value_latency(params) + params.config.rows_f + params.visit + 4
    return params.config.buffer_rows + -(-in_flight // _shortest_visit(params))


def reset_cycles(params: Params) -> int:
    """Cycles to hold the reset: cells have none, so what is in a row of the value array has to leave by itself."""
    from hwgen.array.value_pe import ValuePE

    return params.config.cols + ValuePE.LOOP + ValuePE.RESULT_LATENCY


def key_rows(params: Params) -> int:
    """Key rows to hold: those ahead of the array and those in flight between issue and release."""
    in_flight = issue_latency() + key_latency(params) + params.config.rows_e + 2
    return params.config.buffer_rows + -(-in_flight // _shortest_visit(params))


def resident_rows(params: Params) -> int:
    """Keys of a head that stays in the buffers for all its blocks."""
    return min(1 << ceil_log2(key_rows(params)), 1 << row_bits(params))


def _shortest_visit(params: Params) -> int:
    """Least cycles from key to key: a single slot with the smallest head dimensions."""
    return max(params.group, hazard_distance(params))


def row_bits(params: Params) -> int:
    """Width of a row number in the value buffer."""
    return ceil_log2(value_rows(params))
