"""tanh and 2^x of score programs."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.scoremod.functions import (
    CURVE_FRAC,
    EXP2_SEGMENTS,
    FUNCTION_FRAC,
    SLOPE_FRAC,
    TANH_LIMIT,
    TANH_SEGMENTS,
    Parabola,
    exp2_parabolas,
    rest_bits,
    tanh_parabolas,
)
from golden.scoremod.program import Format
from hwgen.part import Part, place
from hwgen.scoremod.schedule import CYCLES, PARABOLA_CYCLES

CURVE_SHIFT = FUNCTION_FRAC + CURVE_FRAC - SLOPE_FRAC


@dataclass(frozen=True)
class Curve:
    """A table of parabolas and the widths that follow from it.

    Slopes and values are never negative over a whole segment, and a value needs no more bits than `value`.
    """

    table: tuple[Parabola, ...]
    rest: int

    @property
    def segment(self) -> int:
        return (len(self.table) - 1).bit_length()

    @property
    def base(self) -> int:
        return max(parabola.base for parabola in self.table).bit_length()

    @property
    def curve(self) -> int:
        """Width of the quadratic coefficient, sign included."""
        found = Format(min(p.curve for p in self.table), max(p.curve for p in self.table))
        return found.width + (not found.signed)

    def _steep(self, parabola: Parabola) -> list[int]:
        """The slope at both ends of a segment."""
        last = (1 << self.rest) - 1
        return [parabola.slope + ((parabola.curve * r) >> CURVE_SHIFT) for r in (0, last)]

    @property
    def slope(self) -> int:
        ends = [steep for parabola in self.table for steep in self._steep(parabola)]
        assert min(ends) >= 0
        return max(ends).bit_length()

    @property
    def value(self) -> int:
        last = (1 << self.rest) - 1
        return max(p.base + ((max(self._steep(p)) * last) >> SLOPE_FRAC) for p in self.table).bit_length()

    @property
    def layout(self) -> data.StructLayout:
        return data.StructLayout(
            {"base": unsigned(self.base), "slope": unsigned(self.slope), "curve": signed(self.curve)}
        )

    @property
    def rom_bits(self) -> int:
        return len(self.table) * (self.base + self.slope + self.curve)

    @property
    def register_bits(self) -> int:
        """Of a Parabolas unit."""
        coefficients = self.base + self.slope + self.curve
        bent, risen = self.curve + self.rest, self.slope + self.rest
        read, linear, steep = coefficients + self.rest, self.base + self.slope + self.rest, risen + self.base
        return 2 * read + (linear + bent) + steep + (self.base + risen) + self.value


CURVES = {
    "tanh": Curve(tanh_parabolas(), rest_bits(TANH_SEGMENTS, TANH_LIMIT)),
    "exp2": Curve(exp2_parabolas(), rest_bits(EXP2_SEGMENTS, 1)),
}


class Parabolas(Part):
    """`value = base + ((slope + (curve r >> CURVE_SHIFT)) r >> SLOPE_FRAC)`, where `position` is the number of the
    segment, whose coefficients a ROM has, above r.

    Latency LATENCY cycles, throughput 1. The argument names one of CURVES.
    """

    LATENCY = PARABOLA_CYCLES

    def __init__(self, name: str) -> None:
        self._curve = CURVES[name]
        position = unsigned(self._curve.segment + self._curve.rest)
        super().__init__({"position": In(position), "value": Out(unsigned(self._curve.value))})

    def elaborate(self, platform):
        m = Module()
        c = self._curve
        entries = [parabola._asdict() for parabola in c.table]
        m.submodules.rom = rom = Memory(shape=c.layout, depth=len(entries), init=entries)
        read = rom.read_port()
        r = [Signal(c.rest, name=f"r_{i}", reset_less=True) for i in range(1, 5)]
        # A block RAM answers late in its cycle: its data gets a register before it is multiplied.
        coefficients = Signal(c.layout, reset_less=True)
        base = [Signal(c.base, name=f"base_{i}", reset_less=True) for i in range(3, 6)]
        slope = Signal(c.slope, reset_less=True)
        bent = Signal(signed(c.curve + c.rest), reset_less=True)
        steep = Signal(c.slope, reset_less=True)
        risen = Signal(c.slope + c.rest, reset_less=True)
        value = Signal(c.value, reset_less=True)
        m.d.comb += [read.addr.eq(self.position[c.rest :]), read.en.eq(1), self.value.eq(value)]
        m.d.sync += [
            r[0].eq(self.position[: c.rest]),
            coefficients.eq(read.data),
            r[1].eq(r[0]),
            bent.eq(coefficients.curve * r[1]),
            slope.eq(coefficients.slope),
            base[0].eq(coefficients.base),
            r[2].eq(r[1]),
            steep.eq(slope + (bent >> CURVE_SHIFT)),
            base[1].eq(base[0]),
            r[3].eq(r[2]),
            risen.eq(steep * r[3]),
            base[2].eq(base[1]),
            value.eq(base[2] + (risen >> SLOPE_FRAC)),
        ]
        return m


class Tanh(Part):
    """tanh of numbers of `bits` bits with FUNCTION_FRAC fraction bits, which the result has as well.

    The parabolas of the magnitude, limited to what they cover, and the sign beside them. Latency LATENCY cycles,
    throughput 1.
    """

    LATENCY = CYCLES["tanh"]

    def __init__(self, bits: int, is_signed: bool) -> None:
        self._signed = is_signed
        super().__init__({"x": In(signed(bits) if is_signed else unsigned(bits)), "y": Out(signed(FUNCTION_FRAC + 2))})

    def elaborate(self, platform):
        m = Module()
        parabolas = Parabolas("tanh")
        place(m, "parabolas", parabolas)
        width = len(parabolas.position)
        magnitude = Signal(max(len(self.x), width))
        position = Signal(width, reset_less=True)
        negative = [Signal(name=f"negative_{i}", reset_less=True) for i in range(1, Parabolas.LATENCY + 2)]
        y = Signal(signed(FUNCTION_FRAC + 2), reset_less=True)
        m.d.comb += [
            magnitude.eq(Mux(self.x < 0, -self.x, self.x)),
            parabolas.position.eq(position),
            self.y.eq(y),
        ]
        m.d.sync += [
            position.eq(Mux(magnitude[width:].any(), -1, magnitude[:width])),
            negative[0].eq(self.x < 0),
            *(after.eq(before) for before, after in zip(negative, negative[1:], strict=False)),
            y.eq(Mux(negative[-1], -parabolas.value, parabolas.value)),
        ]
        return m


@dataclass(frozen=True)
class PowerWidths:
    """How 2^x of numbers `operand` gets `frac` fraction bits: moved left by `left`, then right by what each x asks for.

    down: shift of the largest x;  down_bits: width of any shift, those of 63 and more being one
    """

    operand: Format
    frac: int

    @property
    def top(self) -> int:
        return self.operand.high >> FUNCTION_FRAC

    @property
    def _change(self) -> int:
        return self.top + self.frac - FUNCTION_FRAC

    @property
    def left(self) -> int:
        return max(self._change, 0)

    @property
    def down(self) -> int:
        return max(-self._change, 0)

    @property
    def down_bits(self) -> int:
        most = self.down + self.top - (self.operand.low >> FUNCTION_FRAC)
        return min(most.bit_length(), 6)

    @property
    def moved(self) -> int:
        """Width of a value moved left."""
        return CURVES["exp2"].value + self.left

    @property
    def result(self) -> int:
        return max(self.moved - self.down, 1)


class Power(Part):
    """`y = 2^x`, rounded down to `frac` fraction bits, of numbers x of the format `operand` with FUNCTION_FRAC fraction
    bits.

    The parabolas of x's fraction, shifted by its integer part in two stages. Latency LATENCY cycles, throughput 1.
    """

    LATENCY = CYCLES["exp2"]

    def __init__(self, operand: Format, frac: int) -> None:
        self._widths = w = PowerWidths(operand, frac)
        x = signed(operand.width) if operand.signed else unsigned(operand.width)
        super().__init__({"x": In(x), "y": Out(unsigned(w.result))})

    def elaborate(self, platform):
        m = Module()
        w = self._widths
        parabolas = Parabolas("exp2")
        place(m, "parabolas", parabolas)
        shift = Signal(max(len(self.x) - FUNCTION_FRAC, 1) + 8)
        down = [Signal(w.down_bits, name=f"down_{i}", reset_less=True) for i in range(1, Parabolas.LATENCY + 1)]
        moved, coarse = Signal(w.moved), Signal(w.moved, reset_less=True)
        fine = Signal(min(w.down_bits, 3), reset_less=True)
        y = Signal(w.result, reset_less=True)
        most = (1 << w.down_bits) - 1
        m.d.comb += [
            # Assignment to its full width continues a short x with its sign.
            parabolas.position.eq(self.x),
            shift.eq((w.down + w.top) - (self.x >> FUNCTION_FRAC)),
            moved.eq(parabolas.value.shift_left(w.left)),
            self.y.eq(y),
        ]
        m.d.sync += [
            down[0].eq(Mux(shift[w.down_bits :].any(), most, shift)),
            *(after.eq(before) for before, after in zip(down, down[1:], strict=False)),
            coarse.eq(moved >> (down[-1][3:] << 3)),
            fine.eq(down[-1][:3]),
            y.eq(coarse >> fine),
        ]
        return m


def register_bits(op: str, operand: Format, result: Format) -> int:
    """Registers of Tanh or Power."""
    curve = CURVES[op]
    if op == "tanh":
        return curve.register_bits + curve.segment + curve.rest + (Parabolas.LATENCY + 1) + FUNCTION_FRAC + 2
    w = PowerWidths(operand, result.frac)
    return curve.register_bits + Parabolas.LATENCY * w.down_bits + w.moved + min(w.down_bits, 3) + w.result
