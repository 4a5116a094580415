"""One of many values."""

from amaranth.hdl import Mux, Value
from amaranth.utils import ceil_log2


def choose(values: list, number: Value) -> Value:
    """`values[number]` as a tree of choices between two: half as large as the comparisons of an `Array`. Any of them
    if there are not as many."""
    if len(values) == 1:
        return Value.cast(values[0])
    bit = ceil_log2(len(values)) - 1
    return Mux(number[bit], choose(values[1 << bit :], number), choose(values[: 1 << bit], number))
