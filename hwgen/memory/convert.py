"""Block conversion of a stream of float rows."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.params import Params
from hwgen.part import Part, place


def raw_beat(params: Params) -> data.StructLayout:
    """`beat` float codes of a row, element 0 lowest; last: last beat of the row."""
    elements = data.ArrayLayout(unsigned(params.input.bits), params.config.beat)
    return data.StructLayout({"elements": elements, "last": unsigned(1)})


def converted_beat(params: Params) -> data.StructLayout:
    """`beat` elements in block fixed point with what belongs to their row.

    exponent: the row's largest exponent field, at least 1; poisoned: the row holds NaN or Inf; last: last beat of the
              row
    """
    return data.StructLayout(
        {
            "elements": data.ArrayLayout(signed(params.config.operand_bits), params.config.beat),
            "exponent": unsigned(params.input.exponent_bits),
            "poisoned": unsigned(1),
            "last": unsigned(1),
        }
    )


class ElementShift(Part):
    """One element: significand shifted right by its distance to the row's exponent, nearest even, saturated, signed.

    Structure: distance, its limit, shift, and an adder that rounds and changes the sign at once: `-(f + 1) = ~f`,
    `-f = ~f + 1`.

    Latency LATENCY enabled cycles, throughput 1.
    """

    LATENCY = 4

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "enable": In(1),
                "code": In(unsigned(params.input.bits)),
                "exponent": In(unsigned(params.input.exponent_bits)),
                "element": Out(signed(params.config.operand_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fmt = self._params.input
        magnitude_bits = self._params.config.operand_bits - 1
        digits = fmt.mantissa_bits + 1
        excess = max(0, digits - magnitude_bits)
        mantissa, field, sign = (
            self.code[: fmt.mantissa_bits],
            self.code[fmt.mantissa_bits : -1],
            self.code[-1],
        )
        width = max(digits, magnitude_bits)
        limit = (width + 2).bit_length()
        digit, significand = Signal(digits, reset_less=True), Signal(width, reset_less=True)
        distance = Signal(fmt.exponent_bits + 1, reset_less=True)
        amount = Signal(limit, reset_less=True)
        signs = [Signal(name=f"sign_{i}", reset_less=True) for i in (1, 2, 3)]
        # Bits: the significand left-aligned, below it one guard bit and one sticky bit.
        floor, guard, sticky = (
            Signal(bits, name=name, reset_less=True)
            for name, bits in (("floor", magnitude_bits), ("guard", 1), ("sticky", 1))
        )
        shifted, up = Signal(width + 1), Signal()
        lost = Cat(bit & (amount > i) for i, bit in enumerate(significand, 1)).any()
        # Rounding up what is all ones already would leave the range; it cannot be where digits are few.
        full = floor.all() if digits >= magnitude_bits else Const(0)
        m.d.comb += [
            shifted.eq((significand << 1) >> amount),
            up.eq(guard & (sticky | floor[0]) & ~full),
        ]
        with m.If(self.enable):
            m.d.sync += [
                digit.eq(Cat(mantissa, field != 0)),
                distance.eq(self.exponent - (field | (field == 0)) + excess),
                significand.eq(digit << (width - digits)),
                amount.eq(Mux(distance > width + 2, width + 2, distance)),
                Cat(signs).eq(Cat(sign, *signs[:-1])),
                floor.eq(shifted >> 1),
                guard.eq(shifted[0]),
                sticky.eq(lost),
                self.element.eq((Cat(floor, 0) ^ signs[2].replicate(magnitude_bits + 1)) + (signs[2] ^ up)),
            ]
        return m


class BlockConverter(Part):
    """Rows of at most `dimension` float codes in, the same rows in block fixed point out.

    A row is collected while its largest exponent is found, then read back and shifted; the next row is collected
    meanwhile. Latency: a row's beats + ElementShift.LATENCY + 1; throughput 1 beat a cycle.
    """

    def __init__(self, params: Params, dimension: int) -> None:
        self._params = params
        self._beats = dimension // params.config.beat
        super().__init__(
            {
                "input": In(stream.Signature(raw_beat(params))),
                "output": Out(stream.Signature(converted_beat(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._full = Signal(2)
        self._exponent = [Signal(self._params.input.exponent_bits, name=f"exponent_{i}") for i in range(2)]
        self._poisoned = [Signal(name=f"poisoned_{i}") for i in range(2)]
        bits = ceil_log2(self._beats)
        # The last beat of the row in each bank.
        self._ends = [Signal(bits, name=f"end_{i}") for i in range(2)]
        shape = raw_beat(self._params)["elements"].shape
        m.submodules.rows = rows = Memory(shape=shape, depth=2 << bits, init=[])
        self._collect(m, rows.write_port(), bits)
        self._read_back(m, rows.read_port(domain="sync"), bits)
        return m

    def _collect(self, m: Module, write, bits: int) -> None:
        """Write a row to a bank; keep its largest exponent field."""
        fmt = self._params.input
        bank, beat = Signal(), Signal(range(max(self._beats, 2)))
        fields = [code[fmt.mantissa_bits : -1] for code in self.input.payload.elements]
        top = Const(1, fmt.exponent_bits)
        for field in fields:
            larger = Signal.like(field, name="larger")
            m.d.comb += larger.eq(Mux(field > top, field, top))
            top = larger
        before, poisoned_before = Signal(fmt.exponent_bits), Signal()
        poisoned = Signal()
        with m.If(beat != 0):
            m.d.comb += [
                before.eq(Mux(bank, self._exponent[1], self._exponent[0])),
                poisoned_before.eq(Mux(bank, self._poisoned[1], self._poisoned[0])),
            ]
        m.d.comb += [
            self.input.ready.eq(~Mux(bank, self._full[1], self._full[0])),
            write.en.eq(self.input.valid & self.input.ready),
            write.addr.eq(Cat(beat[:bits], bank)),
            write.data.eq(self.input.payload.elements),
            poisoned.eq(poisoned_before | Cat(field == fmt.max_exponent_field for field in fields).any()),
        ]
        with m.If(self.input.valid & self.input.ready):
            m.d.sync += beat.eq(beat + 1)
            for i in range(2):
                with m.If(bank == i):
                    m.d.sync += [
                        self._exponent[i].eq(Mux(top > before, top, before)),
                        self._poisoned[i].eq(poisoned),
                        self._ends[i].eq(beat),
                    ]
            with m.If(self.input.payload.last):
                m.d.sync += [beat.eq(0), bank.eq(~bank), self._full.bit_select(bank, 1).eq(1)]

    def _read_back(self, m: Module, read, bits: int) -> None:
        """Read full rows, shift their elements; the whole pipeline moves when its end may."""
        p = self._params
        bank, beat = Signal(), Signal(range(max(self._beats, 2)))
        move, present, last = Signal(), Signal(), Signal()
        m.d.comb += [
            move.eq(~self.output.valid | self.output.ready),
            present.eq(Mux(bank, self._full[1], self._full[0])),
            last.eq(beat[:bits] == Mux(bank, self._ends[1], self._ends[0])),
            read.addr.eq(Cat(beat[:bits], bank)),
            read.en.eq(move),
        ]
        side = data.StructLayout({"valid": 1, "exponent": p.input.exponent_bits, "poisoned": 1, "last": 1})
        stages = [Signal(side, name=f"side_{i}") for i in range(ElementShift.LATENCY + 1)]
        with m.If(move):
            m.d.sync += stages[0].valid.eq(present)
            m.d.sync += [
                stages[0].exponent.eq(Mux(bank, self._exponent[1], self._exponent[0])),
                stages[0].poisoned.eq(Mux(bank, self._poisoned[1], self._poisoned[0])),
                stages[0].last.eq(last),
            ]
            for before, after in zip(stages, stages[1:], strict=False):
                m.d.sync += after.eq(before)
            with m.If(present):
                m.d.sync += beat.eq(beat + 1)
                with m.If(last):
                    m.d.sync += [beat.eq(0), bank.eq(~bank), self._full.bit_select(bank, 1).eq(0)]
        self._shift(m, read, stages, move)

    def _shift(self, m: Module, read, stages: list, move: Signal) -> None:
        out = self.output.payload
        for i, code in enumerate(read.data):
            shift = ElementShift(self._params)
            place(m, f"shift_{i}", shift)
            m.d.comb += [
                shift.enable.eq(move),
                shift.code.eq(code),
                shift.exponent.eq(stages[0].exponent),
                out.elements[i].eq(shift.element),
            ]
        m.d.comb += [
            self.output.valid.eq(stages[-1].valid),
            out.exponent.eq(stages[-1].exponent),
            out.poisoned.eq(stages[-1].poisoned),
            out.last.eq(stages[-1].last),
        ]
