"""Side information that travels with the data.

A *visit* shows one key to one slot for `visit` cycles. Its tag goes down the feeders of the score array with the key's
elements, along the columns with the scores, through the softmax lane with the weight, and down the feeders of the value
array with the value's elements. Nobody else needs to know when.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from golden.scoremod.program import INDEX_BITS
from hwgen.control.job import batch_head, listed
from hwgen.params import EDGE_BITS, GROUP_BITS, LENGTH_BITS, OFFSET_BITS, QUERY_BITS, Params
from hwgen.scoremod.layout import outputs_layout
from hwgen.timing import row_bits

OF_ROWS = ("ek", "ev", "bad", "row", "bias_row", "key")
"""Fields of a visit that come from its rows or, behind the issuer, from a score program."""


def visit_layout(params: Params) -> data.StructLayout:
    """What a lane and the value array have to know of a visit.

    slot:       query context
    bank:       bank of the query operands, exponents and scale
    first:      first key of this slot: the old state is void
    last:       last key of this slot: results leave
    block_last: last visit of its block: the query bank is free behind it
    key_last:   last visit of its key, in no block will it be needed again: the key and value rows are free behind it
    skip:       this many columns, counted from this one, may not see the key
    width:      this many columns, counted from this one, hold a query
    ek, ev:     exponents of the key row and of the value row, biased as they come from the converter
    bad:        one of the two rows is poisoned
    row:        where the value row lies in its buffer

    Where there is a score program:
    key:        what it makes of the key's index
    sink:       no key but the sink
    bias_row:   where the key's biases lie in their buffer
    """
    return data.StructLayout(
        {
            "slot": unsigned(params.slot_bits),
            "bank": unsigned(1),
            "first": unsigned(1),
            "last": unsigned(1),
            "block_last": unsigned(1),
            "key_last": unsigned(1),
            "skip": unsigned(params.count_bits),
            "width": unsigned(params.count_bits),
            "ek": unsigned(params.input.exponent_bits),
            "ev": unsigned(params.input.exponent_bits),
            "bad": unsigned(1),
            "row": unsigned(row_bits(params)),
        }
        | score_fields(params)
    )


def score_fields(params: Params) -> dict:
    """What a score program adds to a visit's tag."""
    fields = {}
    if params.has_key_score:
        fields["key"] = outputs_layout(params.partition.key)
    if params.has_sink:
        fields["sink"] = unsigned(1)
    if params.has_bias:
        from hwgen.memory.bias_buffer import bias_row_bits

        fields["bias_row"] = unsigned(bias_row_bits(params))
    return fields


def planned_layout(params: Params) -> data.StructLayout:
    """A visit before it has its turn: what its tag says of it that does not come from its rows, and

    row_end: the current key's row is not needed behind it
    keep:    the block's rows stay
    nothing: its block has no keys: there is no visit, only the block's end
    key, batch: indices of the key and of its batch, where a score program may ask for them
    """
    fields = {name: shape for name, shape in visit_layout(params).members.items() if name not in OF_ROWS}
    fields |= {"row_end": unsigned(1), "keep": unsigned(1), "nothing": unsigned(1)}
    if params.score is not None:
        fields |= {"key": unsigned(LENGTH_BITS), "batch": unsigned(INDEX_BITS["b"])}
    return data.StructLayout(fields)


def score_tag_layout(params: Params) -> data.StructLayout:
    """A visit's tag in the score array: one a fold."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "fold": unsigned(params.fold_e_bits),
            "first_fold": unsigned(1),
            "last_fold": unsigned(1),
            "visit": visit_layout(params),
        }
    )


def lane_tag_layout(params: Params) -> data.StructLayout:
    """A visit's tag in a lane: `column` counts within the columns that share the lane."""
    return data.StructLayout(
        {"valid": unsigned(1), "column": unsigned(params.group_bits), "visit": visit_layout(params)}
    )


def value_tag_layout(params: Params) -> data.StructLayout:
    """What a value PE needs: one a fold."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "first": unsigned(1),
            "last": unsigned(1),
            "slot": unsigned(params.slot_bits),
            "fold": unsigned(params.fold_f_bits),
        }
    )


def block_layout(params: Params) -> data.StructLayout:
    """A block of queries, as the block walker describes it to everyone.

    first_query: index of its first query
    queries:     how many it holds (1 .. cols x slots)
    slots:       slots in use, minus one
    width:       queries in the last slot in use (1 .. cols)
    keys:        keys 0 .. keys-1 are seen by some query
    causal:      `edge` is meaningful
    edge:        at key 0, this many columns of slot `void_slots` may not see the key (none if negative)
    group:       by so much `edge` grows with every key
    scale_mantissa, scale_exponent: `scale * log2(e)`
    job_last:    last block of its job
    batch, head: of its first query, where there is a score program

    Where its keys are not given as segments:
    void_slots:  leading slots that see no key
    fresh:       key and value rows to bring for this block: those behind the block before, or
    rewind:      all from row 0 on
    keep:        key and value rows stay in the buffers for the next block

    Where they are, `keys` are those of the job, no slot counts as void, and
    offset:      the job's
    listed:      its segments are listed in memory, where that is a choice
    """
    shared = {"causal": unsigned(1), "edge": signed(EDGE_BITS)}
    ranges = {"fresh": unsigned(LENGTH_BITS), "rewind": unsigned(1), "keep": unsigned(1)} | shared
    if params.segmented:
        ranges = shared | {"offset": signed(OFFSET_BITS)} | listed(params)
    return data.StructLayout(
        {
            "first_query": unsigned(QUERY_BITS),
            "queries": unsigned(ceil_log2(params.block + 1)),
            "slots": unsigned(params.slot_bits),
            "width": unsigned(params.count_bits),
        }
        | ({} if params.segmented else {"void_slots": unsigned(params.slot_bits + 1)})
        | {"keys": unsigned(LENGTH_BITS)}
        | ranges
        | {
            "group": unsigned(GROUP_BITS),
            "scale_mantissa": signed(params.numerics.scale_bits + 1),
            "scale_exponent": signed(8),
            "job_last": unsigned(1),
        }
        | batch_head(params)
    )
