"""What the machine keeps of a descriptor, and what it works out from it."""

from typing import Any

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hwgen.control.descriptor import MAX_COUNT, STRIDES, TENSORS
from hwgen.control.record import has_record
from hwgen.params import EDGE_BITS, GROUP_BITS, LENGTH_BITS, OFFSET_BITS, QUERY_BITS, Params

COUNT_BITS = MAX_COUNT.bit_length()
"""Width of a number of batches or heads."""

ROW_BYTES_BITS = 16
"""Width of the length of a row in bytes."""


def tensor_layout(params: Params) -> data.StructLayout:
    """Address of a tensor's first byte, and bytes from one batch, head and row to the next."""
    names = ("address", *(f"{dimension}_stride" for dimension in STRIDES))
    return data.StructLayout({name: unsigned(params.config.address_bits) for name in names})


def descriptor_layout(params: Params) -> data.StructLayout:
    """The fields of `control.descriptor.Descriptor` under their names, as wide as their largest valid values; an
    address and its strides are a tensor."""
    c = params.config
    return data.StructLayout(
        {
            "causal": unsigned(1),
            "write_lse": unsigned(1),
            "key_lengths": unsigned(1),
            "batches": unsigned(COUNT_BITS),
            "query_heads": unsigned(COUNT_BITS),
            "kv_heads": unsigned(COUNT_BITS),
            "queries": unsigned(LENGTH_BITS),
            "keys": unsigned(LENGTH_BITS),
            "head_e": unsigned(c.head_e.bit_length()),
            "head_f": unsigned(c.head_f.bit_length()),
            "scale_mantissa": signed(c.scale_bits + 1),
            "scale_exponent": signed(8),
            "offset": signed(OFFSET_BITS),
            "key_lengths_address": unsigned(c.address_bits),
        }
        | {name: tensor_layout(params) for name in TENSORS}
        | score_fields(params)
    )


def score_fields(params: Params) -> dict[str, Any]:
    """What a machine with a score program or lists of segments has to know besides."""
    fields: dict[str, Any] = {}
    if params.config.block_list:
        fields["listed"] = unsigned(1)
    if has_record(params):
        fields["score_address"] = unsigned(params.config.address_bits)
    return fields


def derived_layout(params: Params) -> data.StructLayout:
    """What follows from a descriptor and holds for all its jobs.

    group:       G, query heads that share a key/value head
    queries:     L G, queries of a job;  edge: -offset G
    row_bytes_e, row_bytes_f, row_bytes_o: bytes in a row of Q and of K, of V, of O
    packed_q and so on: the rows of a job lie in memory one behind the other
    """
    return data.StructLayout(
        {
            "group": unsigned(GROUP_BITS),
            "queries": unsigned(QUERY_BITS),
            "edge": signed(EDGE_BITS),
            "row_bytes_e": unsigned(ROW_BYTES_BITS),
            "row_bytes_f": unsigned(ROW_BYTES_BITS),
            "row_bytes_o": unsigned(ROW_BYTES_BITS),
            "packed_q": unsigned(1),
            "packed_k": unsigned(1),
            "packed_v": unsigned(1),
            "packed_o": unsigned(1),
            "packed_lse": unsigned(1),
        }
    )
