"""The value array's cell."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.bitexact.numerics import SHIFT_LIMIT
from hwgen.control.tags import value_tag_layout
from hwgen.params import Params
from hwgen.part import Part

SHIFT_BITS = SHIFT_LIMIT.bit_length()


class ValuePE(Part):
    """Output-stationary accumulation: `RNV[slot, fold] = (RNV[slot, fold] >> shift) + ((weight * v) >> drop)`.

    Structure: a register behind every input that differs from cell to cell, accumulators in a small memory with an
    asynchronous read, all of the shift but its last bit in three stages beside the registered multiplier, that bit in
    front of the adder (where carry cells have room for it), the adder in front of the memory. A multiplier is far from
    most of its adder and has registers of its own; the product's last one is the adder's. A first visit takes the
    old value as zero; a last visit also writes the result memory, which the drain reads while the next block
    accumulates.

    Latency 1 cycle to the right and below; LOOP cycles between two visits of one accumulator; throughput 1 a cycle.
    Where `drain_select` was set, `drain` is the result at the drain_address of the next cycle, DRAIN_LATENCY cycles
    later; elsewhere it is 0. A result can be read RESULT_LATENCY cycles after `tag_out`.

    Members: v_in, tag_in (left); v_out, tag_out (right); weight_in, shift_in (above); weight_out, shift_out (below);
    drain_select, drain_address, drain.
    """

    LOOP = 4
    RESULT_LATENCY = LOOP + 1
    DRAIN_LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        element = signed(params.config.operand_bits)
        weight = unsigned(params.config.weight_bits)
        super().__init__(
            {
                "v_in": In(element),
                "tag_in": In(value_tag_layout(params)),
                "v_out": Out(element),
                "tag_out": Out(value_tag_layout(params)),
                "weight_in": In(weight),
                "shift_in": In(SHIFT_BITS),
                "weight_out": Out(weight),
                "shift_out": Out(SHIFT_BITS),
                "drain_select": In(1),
                "drain_address": In((params.acc_depth - 1).bit_length()),
                "drain": Out(signed(params.config.accumulator_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self._params.config
        wide = signed(c.accumulator_bits)
        v, weight, shift = (Signal.like(s, reset_less=True) for s in (self.v_in, self.weight_in, self.shift_in))
        # The accumulator is read a cycle behind the inputs' registers.
        shift_late = Signal.like(shift, reset_less=True)
        v_operand, weight_operand = Signal.like(v, reset_less=True), Signal.like(weight, reset_less=True)
        tags = [Signal(value_tag_layout(self._params), name=f"tag_{i}", reset_less=True) for i in range(self.LOOP + 1)]
        product = [Signal((v * weight).shape(), name=f"product_{i}", reset_less=True) for i in (1, 2, 3)]
        shifted = [Signal(wide, name=f"shifted_{i}", reset_less=True) for i in range(3)]
        middle, fine, last = (Signal(bits, name=f"shift_{bits}", reset_less=True) for bits in (4, 2, 1))
        total = Signal(wide)
        old = self._memories(m, tags[1], tags[-1], total)
        m.d.sync += [
            v.eq(self.v_in),
            weight.eq(self.weight_in),
            shift.eq(self.shift_in),
            shift_late.eq(shift),
            Cat(tags).eq(Cat(self.tag_in.as_value(), tags[:-1])),
            v_operand.eq(v),
            weight_operand.eq(weight),
            product[0].eq(v_operand * weight_operand),
            Cat(product[1:]).eq(Cat(product[:-1])),
            shifted[0].eq(Mux(tags[1].first, 0, old >> (shift_late[4:] << 4))),
            middle.eq(shift_late[:4]),
            shifted[1].eq(shifted[0] >> (middle[2:] << 2)),
            fine.eq(middle[:2]),
            shifted[2].eq(Mux(fine[1], shifted[1] >> 2, shifted[1])),
            last.eq(fine[0]),
        ]
        m.d.comb += [
            total.eq(product[-1][self._params.numerics.drop :].as_signed() + Mux(last, shifted[2] >> 1, shifted[2])),
            self.v_out.eq(v),
            self.tag_out.eq(tags[0]),
            self.weight_out.eq(weight),
            self.shift_out.eq(shift),
        ]
        return m

    def _memories(self, m: Module, now, done, total: Signal):
        """Accumulators and results; gives the accumulator that `now` means."""
        wide = signed(self._params.config.accumulator_bits)
        m.submodules.accumulators = accumulators = Memory(shape=wide, depth=self._params.acc_depth, init=[])
        m.submodules.results = results = Memory(shape=wide, depth=self._params.acc_depth, init=[])
        for memory, enable in ((accumulators, done.valid), (results, done.valid & done.last)):
            write = memory.write_port()
            m.d.comb += [write.en.eq(enable), write.addr.eq(Cat(done.fold, done.slot)), write.data.eq(total)]
        read = accumulators.read_port(domain="comb")
        drain = results.read_port(domain="comb")
        m.d.comb += [read.addr.eq(Cat(now.fold, now.slot)), drain.addr.eq(self.drain_address)]
        selected, drained = Signal(reset_less=True), Signal(wide, reset_less=True)
        m.d.sync += [selected.eq(self.drain_select), drained.eq(Mux(selected, drain.data, 0))]
        m.d.comb += self.drain.eq(drained)
        return read.data
