"""What the core is asked to do."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hwgen.params import LENGTH_BITS, OFFSET_BITS, Params


def job_layout(params: Params) -> data.StructLayout:
    """One (batch, head): L queries over the first `keys` keys; query i sees key j iff, if causal, j <= i + offset.

    queries: L, 1 .. 2^20;  keys: 0 .. 2^20;  offset: signed, magnitude at most 2^20
    scale_mantissa, scale_exponent: `scale * log2(e)`, see `golden.bitexact.Numerics.encode_scale`
    """
    return data.StructLayout(
        {
            "queries": unsigned(LENGTH_BITS),
            "keys": unsigned(LENGTH_BITS),
            "causal": unsigned(1),
            "offset": signed(OFFSET_BITS),
            "scale_mantissa": signed(params.numerics.scale_bits + 1),
            "scale_exponent": signed(8),
        }
    )
