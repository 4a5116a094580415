"""One row of the score array."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.array.feeder import FeederRow, key_address
from hwgen.array.score_pe import ScorePE
from hwgen.control.tags import score_tag_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed


class ScoreRow(Part):
    """A bank of the key buffer and `cols` cells: adds `q[r, c, operand] * k[r]` to every column's sum.

    The row below gets address, tag and sums one cycle later than this one. Latency FeederRow.LATENCY + ScorePE.LATENCY
    from `address_in` to the first column's sum, one more for each further column; throughput 1 fold a cycle.

    Members: write_enable, write_address, write_data (key buffer); address_in, tag_in; address_out, tag_out; sum_in,
    sum_out (`sum_bits` a column); load_columns, load_operand, load_data (query operands).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        # A plain vector: a layout would cost a named wire for every column of every row.
        sums = unsigned(params.sum_bits * c.cols)
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(key_address(params)),
                "write_data": In(signed(c.operand_bits)),
                "address_in": In(key_address(params)),
                "tag_in": In(score_tag_layout(params)),
                "address_out": Out(key_address(params)),
                "tag_out": Out(score_tag_layout(params)),
                "sum_in": In(sums),
                "sum_out": Out(sums),
                "load_columns": In(c.cols),
                "load_operand": In(ceil_log2(params.q_depth)),
                "load_data": In(signed(c.operand_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        feeder = FeederRow(p.config.operand_bits, 1 << key_address(p).width, score_tag_layout(p).size)
        place(m, "feeder", feeder)
        m.d.comb += [
            feeder.write_enable.eq(self.write_enable),
            feeder.write_address.eq(self.write_address),
            feeder.write_data.eq(self.write_data),
            feeder.address_in.eq(self.address_in),
            feeder.side_in.eq(self.tag_in),
            self.address_out.eq(feeder.address_out),
            self.tag_out.eq(feeder.side_out),
        ]
        # The cells register their load enables, so what they load waits a cycle too.
        load_operand, load_data = (
            Signal.like(signal, reset_less=True) for signal in (self.load_operand, self.load_data)
        )
        m.d.sync += [load_operand.eq(self.load_operand), load_data.eq(self.load_data)]
        late = FeederRow.LATENCY - FeederRow.SKEW
        operand = Cat(self.tag_out.fold, self.tag_out.visit.slot, self.tag_out.visit.bank)
        k, operand = feeder.data, delayed(m, operand, late, "operand")
        for c in range(p.config.cols):
            cell = ScorePE(p)
            place(m, f"pe_{c}", cell)
            m.d.comb += [
                cell.k_in.eq(k),
                cell.operand_in.eq(operand),
                cell.sum_in.eq(self.sum_in.word_select(c, p.sum_bits).as_signed()),
                cell.load_enable.eq(self.load_columns[c]),
                cell.load_operand.eq(load_operand),
                cell.load_data.eq(load_data),
                self.sum_out.word_select(c, p.sum_bits).eq(cell.sum_out),
            ]
            k, operand = cell.k_out, cell.operand_out
        return m
