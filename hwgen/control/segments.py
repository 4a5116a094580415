"""Which keys the slots of a block are shown: a stream of segments."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hwgen.params import EDGE_BITS, LENGTH_BITS, Params

ROW_BITS = 32
"""Width of a row's number in memory."""


def segment_layout(params: Params) -> data.StructLayout:
    """Consecutive keys that the same slots of a block are shown; a block has one segment at least.

    first:      index of the first key
    keys:       how many; 0 only in the single segment of a block that sees nothing, 1 in a sink's
    row:        the row in memory of the first key and its value, the others behind it; `first` unless rows are paged
    live:       slots that are shown every one of the keys
    last:       slots of `live` that are shown no key of the block behind these
    sink:       no key but the sink, which has no rows
    block_last: no segment of the block follows
    """
    return data.StructLayout(
        {
            "first": unsigned(LENGTH_BITS),
            "keys": unsigned(LENGTH_BITS),
            "row": unsigned(ROW_BITS),
            "live": unsigned(params.config.slots),
            "last": unsigned(params.config.slots),
            "sink": unsigned(1),
            "block_last": unsigned(1),
        }
    )


def placed_layout(params: Params) -> data.StructLayout:
    """A segment and its block's causal edge.

    edge: at the first key, this many columns from slot 0 on may not see the key (none if negative)
    """
    return data.StructLayout({**_fields(segment_layout(params)), "edge": signed(EDGE_BITS)})


def issue_layout(params: Params) -> data.StructLayout:
    """What the issuer has to know of a segment."""
    fields = _fields(placed_layout(params))
    del fields["row"]
    return data.StructLayout(fields)


def fetch_layout(params: Params) -> data.StructLayout:
    """What the readers of rows have to know of a segment."""
    fields = _fields(segment_layout(params))
    return data.StructLayout({name: fields[name] for name in ("first", "keys", "row", "sink", "block_last")})


def void_layout(params: Params) -> data.StructLayout:
    """The slots of a block that are shown nothing, in the cycle in which its last visit is described."""
    return data.StructLayout({"valid": 1, "mask": params.config.slots})


def _fields(layout: data.StructLayout) -> dict:
    return dict(layout.members)
