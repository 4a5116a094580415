"""What the core is asked to do."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from golden.scoremod.program import INDEX_BITS
from hwgen.params import EDGE_BITS, GROUP_BITS, LENGTH_BITS, OFFSET_BITS, QUERY_BITS, Params


def job_layout(params: Params) -> data.StructLayout:
    """The queries of all heads that share one key/value head, over its first `keys` keys.

    Query i belongs to position i // group; it sees key j iff, if causal, j <= i // group + offset.

    queries: L * group, 1 .. 2^28;  group: query heads, from 1 on;  keys: 0 .. 2^20
    offset:  signed, magnitude at most 2^20;  edge: -offset * group
    scale_mantissa, scale_exponent: `scale * log2(e)`, see `golden.bitexact.Numerics.encode_scale`
    batch, head: of its first query, where there is a score program
    listed: its keys are listed in memory, where that is a choice
    """
    return data.StructLayout(
        {
            "queries": unsigned(QUERY_BITS),
            "group": unsigned(GROUP_BITS),
            "keys": unsigned(LENGTH_BITS),
            "causal": unsigned(1),
            "offset": signed(OFFSET_BITS),
            "edge": signed(EDGE_BITS),
            "scale_mantissa": signed(params.numerics.scale_bits + 1),
            "scale_exponent": signed(8),
        }
        | batch_head(params)
        | listed(params)
    )


def listed(params: Params) -> dict:
    """Whether a job's keys are listed in memory, where they may be."""
    return {"listed": unsigned(1)} if params.config.block_list else {}


def batch_head(params: Params) -> dict:
    """Indices of a job's batch and of the first of its query heads, where a score program may ask for them."""
    if params.score is None:
        return {}
    return {"batch": unsigned(INDEX_BITS["b"]), "head": unsigned(INDEX_BITS["h"])}


def geometry_layout(params: Params) -> data.StructLayout:
    """Head dimensions of the jobs in the machine; changes only while there is none.

    head_f:                   F, 1 .. the core's head_f
    last_fold_e, last_fold_f: folds that E and F need, minus one
    last_step:                cycles of a visit, minus one
    """
    return data.StructLayout(
        {
            "head_f": unsigned(params.config.head_f.bit_length()),
            "last_fold_e": unsigned(params.fold_e_bits),
            "last_fold_f": unsigned(params.fold_f_bits),
            "last_step": unsigned(ceil_log2(params.visit)),
        }
    )


def geometry(params: Params, head_e: int, head_f: int) -> dict[str, int]:
    """The geometry's fields for head dimensions E and F. Raises ValueError if the core is too small for them."""
    c = params.config
    for name, size, limit in (("E", head_e, c.head_e), ("F", head_f, c.head_f)):
        if not 1 <= size <= limit:
            raise ValueError(f"head dimension {name} must lie in 1 .. {limit}, not {size!r}")
    folds_e, folds_f = -(-head_e // c.rows_e), -(-head_f // c.rows_f)
    return {
        "head_f": head_f,
        "last_fold_e": folds_e - 1,
        "last_fold_f": folds_f - 1,
        "last_step": max(folds_e, folds_f, params.group) - 1,
    }
