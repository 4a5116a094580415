"""The score array's cell."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.params import Params
from hwgen.part import Part


class ScorePE(Part):
    """Query-stationary multiply-accumulate: `sum_out = sum_in + q[operand] * k`.

    Structure: a register behind every input that differs from cell to cell, query operands in a small memory with an
    asynchronous read, two registers in front of either multiplier input and one at its output, the adder in front of
    the cell below. A multiplier is far from the memory, and has the inner one of each two registers in itself.
    `k` and `operand` pass to the right through their one register, the sum goes down through one.

    Latency LATENCY cycles from `k_in` to `sum_out`, 1 from `sum_in`; throughput 1 product a cycle.

    Members: k_in, operand_in (left); k_out, operand_out (right); sum_in (above); sum_out (below); load_enable writes
    load_data, one cycle later, to load_operand.
    """

    LATENCY = 4

    def __init__(self, params: Params) -> None:
        self._params = params
        element = signed(params.config.operand_bits)
        operand = unsigned((params.q_depth - 1).bit_length())
        total = signed(params.sum_bits)
        super().__init__(
            {
                "k_in": In(element),
                "operand_in": In(operand),
                "k_out": Out(element),
                "operand_out": Out(operand),
                "sum_in": In(total),
                "sum_out": Out(total),
                "load_enable": In(1),
                "load_operand": In(operand),
                "load_data": In(element),
            }
        )

    def elaborate(self, platform):
        m = Module()
        element = signed(self._params.config.operand_bits)
        m.submodules.operands = operands = Memory(shape=element, depth=self._params.q_depth, init=[])
        write = operands.write_port()
        read = operands.read_port(domain="comb")
        k = Signal(element, reset_less=True)
        q_operand, k_operand = (
            [Signal(element, name=f"{name}_{i}", reset_less=True) for i in (1, 2)] for name in ("q", "k_operand")
        )
        product = Signal(signed(2 * self._params.config.operand_bits), reset_less=True)
        operand = Signal.like(self.operand_in, reset_less=True)
        above = Signal.like(self.sum_in, reset_less=True)
        load = Signal(reset_less=True)
        m.d.comb += [
            write.en.eq(load),
            write.addr.eq(self.load_operand),
            write.data.eq(self.load_data),
            read.addr.eq(operand),
            self.k_out.eq(k),
            self.operand_out.eq(operand),
            self.sum_out.eq(above + product),
        ]
        m.d.sync += [
            k.eq(self.k_in),
            operand.eq(self.operand_in),
            above.eq(self.sum_in),
            load.eq(self.load_enable),
            Cat(q_operand).eq(Cat(read.data, q_operand[0])),
            Cat(k_operand).eq(Cat(k, k_operand[0])),
            product.eq(q_operand[1] * k_operand[1]),
        ]
        return m
