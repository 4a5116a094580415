"""One row of the value array."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.array.feeder import FeederRow, value_address
from hwgen.array.value_pe import SHIFT_BITS, ValuePE
from hwgen.control.tags import value_tag_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed, unreset


def weight_layout(params: Params) -> data.StructLayout:
    """What goes down a column: a weight and a shift."""
    return data.StructLayout({"weight": unsigned(params.config.weight_bits), "shift": unsigned(SHIFT_BITS)})


class ValueRow(Part):
    """A bank of the value buffer and `cols` cells: `RNV[r, c]` of every slot and fold; see ValuePE for the equation.

    The row below gets address, tag and weights one cycle later than this one. Latency FeederRow.LATENCY from
    `address_in` until the first column takes its weight; throughput 1 fold a cycle.

    Members: write_enable, write_address, write_data (value buffer); address_in, tag_in, free_in; address_out, tag_out,
    free_out; weights_in, weights_out (a `weight_layout` a column); last_tag (the last cell's tag); drain_columns,
    drain_address, drain (DRAIN_LATENCY cycles behind both).
    """

    DRAIN_LATENCY = ValuePE.DRAIN_LATENCY + 1

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        # A plain vector: a layout would cost two named wires for every column of every row.
        weights = unsigned(weight_layout(params).size * c.cols)
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(value_address(params)),
                "write_data": In(signed(c.operand_bits)),
                "address_in": In(value_address(params)),
                "tag_in": In(value_tag_layout(params)),
                "free_in": In(1),
                "address_out": Out(value_address(params)),
                "tag_out": Out(value_tag_layout(params)),
                "free_out": Out(1),
                "weights_in": In(weights),
                "weights_out": Out(weights),
                "last_tag": Out(value_tag_layout(params)),
                "drain_columns": In(c.cols),
                "drain_address": In((params.acc_depth - 1).bit_length()),
                "drain": Out(signed(c.accumulator_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        feeder = FeederRow(p.config.operand_bits, 1 << value_address(p).width, value_tag_layout(p).size + 1)
        place(m, "feeder", feeder)
        m.d.comb += [
            feeder.write_enable.eq(self.write_enable),
            feeder.write_address.eq(self.write_address),
            feeder.write_data.eq(self.write_data),
            feeder.address_in.eq(self.address_in),
            feeder.side_in.eq(Cat(self.tag_in, self.free_in)),
            self.address_out.eq(feeder.address_out),
            Cat(self.tag_out, self.free_out).eq(feeder.side_out),
        ]
        # The cells register their selects, so the address waits a cycle too.
        drain_address = Signal.like(self.drain_address, reset_less=True)
        m.d.sync += drain_address.eq(self.drain_address)
        late = FeederRow.LATENCY - FeederRow.SKEW
        v, tag = feeder.data, delayed(m, self.tag_out, late, "tag", reset_less=False)
        drained = []
        column = weight_layout(p).size
        for c in range(p.config.cols):
            cell = ValuePE(p)
            place(m, f"pe_{c}", cell)
            m.d.comb += [
                cell.v_in.eq(v),
                cell.tag_in.eq(tag),
                Cat(cell.weight_in, cell.shift_in).eq(self.weights_in.word_select(c, column)),
                self.weights_out.word_select(c, column).eq(Cat(cell.weight_out, cell.shift_out)),
                cell.drain_select.eq(self.drain_columns[c]),
                cell.drain_address.eq(drain_address),
            ]
            v, tag = cell.v_out, cell.tag_out
            drained.append(cell.drain)
        m.d.comb += self.last_tag.eq(tag)
        m.d.sync += unreset(m, self.drain).eq(reduce(or_, drained))
        return m
