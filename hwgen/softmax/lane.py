"""The softmax lane: one score in, one weight out, every cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from golden.bitexact.numerics import REFERENCE_BITS, SHIFT_LIMIT
from hwgen.control.tags import lane_tag_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.softmax.exp2 import Exp2
from hwgen.softmax.scale import ScoreScale

SHIFT_BITS = SHIFT_LIMIT.bit_length()


def query_layout(params: Params) -> data.StructLayout:
    """What a lane keeps of a query row: its exponent (as converted) and whether it is poisoned."""
    return data.StructLayout({"exponent": unsigned(params.input.exponent_bits), "poisoned": unsigned(1)})


def result_layout(params: Params) -> data.StructLayout:
    """A query's final state: RM, RMV, RD (0 where no key was seen), and what else decides its output."""
    return data.StructLayout(
        {
            "rm": signed(REFERENCE_BITS),
            "rmv": signed(REFERENCE_BITS),
            "rd": unsigned(params.numerics.denominator_bits),
            "empty": unsigned(1),
            "poisoned": unsigned(1),
        }
    )


class SoftmaxLane(Part):
    """Running reference, weight and denominator of the queries of `group` columns.

    `c = ceil(x)`, `RM' = max(RM, c)`, `SLN = y >> (RM' - c)`, `RD' = (RD >> (RM' - RM)) + SLN`; for the value array
    `RMV' = max(RMV, c + ev)`, `weight = y >> (RMV' - c - ev)`, `shift = RMV' - RMV`. A key that is not seen gives
    weight 0 and shift 0. Results of a slot's last visit go to a memory that the drain reads.

    Structure: input register, scale, exponent unit, references (one-cycle loop), shift amounts, two shift stages,
    denominator (LOOP cycles from read to write). Latency LATENCY cycles from `qk` to `weight`; throughput 1.

    Members: tag, qk; mantissa, scale_exponent (two banks); load_* (a query's row exponent); weight, shift, tag_out;
    result_address (column within the group, then slot), result (one cycle later); saturated (pulse).
    """

    INPUT = 1
    LATENCY = INPUT + ScoreScale.LATENCY + Exp2.LATENCY + 2
    LOOP = 3

    def __init__(self, params: Params) -> None:
        self._params = params
        n = params.numerics
        self._state_bits = params.slot_bits + params.group_bits
        super().__init__(
            {
                "qk": In(signed(params.qk_bits)),
                "tag": In(lane_tag_layout(params)),
                "mantissa": In(signed(n.scale_bits + 1)).array(2),
                "scale_exponent": In(signed(8)).array(2),
                "load_enable": In(1),
                "load_address": In(self._state_bits + 1),
                "load_query": In(query_layout(params)),
                "weight": Out(unsigned(n.weight_bits)),
                "shift": Out(SHIFT_BITS),
                "tag_out": Out(lane_tag_layout(params)),
                "result_address": In(self._state_bits),
                "result": Out(result_layout(params)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        tags = self._tags(m)
        x, seen, poison = self._score(m, tags)
        exp = Exp2(self._params)
        place(m, "exp2", exp)
        m.d.comb += exp.x.eq(x)
        at = self.INPUT + ScoreScale.LATENCY + Exp2.CEILING_LATENCY
        reference = self._reference(m, tags[at], exp.ceiling, seen[at], poison[at])
        amounts = self._amounts(m, reference, seen[at + 1])
        self._weights(m, exp.y, amounts, seen[at + 2])
        self._denominator(m, tags, reference, amounts, seen)
        m.d.comb += self.tag_out.eq(tags[self.LATENCY])
        return m

    def _tags(self, m: Module) -> list:
        """tags[i] belongs to the data i cycles behind the input."""
        tags = [self.tag]
        for i in range(self.LATENCY):
            tag = Signal(lane_tag_layout(self._params), name=f"tag_{i + 1}")
            m.d.sync += tag.eq(tags[-1])
            tags.append(tag)
        return tags

    def _score(self, m: Module, tags: list) -> tuple:
        """x, and for every stage whether the key is seen and whether the pair is poisoned."""
        p = self._params
        m.submodules.queries = queries = Memory(shape=query_layout(p), depth=2 << self._state_bits, init=[])
        write = queries.write_port()
        read = queries.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.load_enable),
            write.addr.eq(self.load_address),
            write.data.eq(self.load_query),
            read.addr.eq(Cat(self.tag.column, self.tag.visit.slot, self.tag.visit.bank)),
        ]
        qk = Signal.like(self.qk, reset_less=True)
        query = Signal(query_layout(p), reset_less=True)
        m.d.sync += [qk.eq(self.qk), query.eq(read.data)]
        scale = ScoreScale(p)
        place(m, "scale", scale)
        visit = tags[1].visit
        # Converted rows have exponent field - bias + 1; the biases of both rows meet here.
        offset = 2 * (1 - p.input.bias)
        m.d.comb += [
            scale.qk.eq(qk),
            scale.mantissa.eq(Mux(visit.bank, self.mantissa[1], self.mantissa[0])),
            scale.exponent.eq(
                query.exponent + visit.ek + Mux(visit.bank, self.scale_exponent[1], self.scale_exponent[0]) + offset
            ),
        ]
        seen = [None] + [tag.valid & (tag.visit.skip == 0) & (tag.visit.width != 0) for tag in tags[1:]]
        poison = self._delay(m, visit.bad | query.poisoned, 1, len(tags), "poison")
        at = 1 + ScoreScale.LATENCY
        m.d.comb += self.saturated.eq(seen[at] & scale.clamped & ~poison[at])
        return scale.x, seen, poison

    def _delay(self, m: Module, value, first: int, end: int, name: str) -> list:
        """value at stage `first` and its copies at the stages behind it."""
        stages = [None] * first + [value]
        for i in range(first + 1, end):
            later = Signal.like(stages[-1], name=f"{name}_{i}", reset_less=True)
            m.d.sync += later.eq(stages[-1])
            stages.append(later)
        return stages

    def _reference(self, m: Module, tag, ceiling, seen, poison) -> dict:
        """The running references: read, compare and write in one cycle."""
        p = self._params
        layout = data.StructLayout(
            {"rm": signed(REFERENCE_BITS), "rmv": signed(REFERENCE_BITS), "empty": 1, "poisoned": 1}
        )
        m.submodules.references = memory = Memory(shape=layout, depth=1 << self._state_bits, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        address = Cat(tag.column, tag.visit.slot)
        old, new = read.data, Signal(layout)
        fresh = Signal()
        value_ceiling = Signal(signed(REFERENCE_BITS))
        stage = {
            name: Signal(signed(REFERENCE_BITS), name=f"reference_{name}", reset_less=True)
            for name in ("old_rm", "old_rmv", "rm", "rmv", "c", "cv")
        }
        later = {name: Signal(name=f"reference_{name}", reset_less=True) for name in ("fresh", "empty", "poisoned")}
        m.d.comb += [
            read.addr.eq(address),
            write.addr.eq(address),
            write.en.eq(tag.valid),
            write.data.eq(new),
            fresh.eq(tag.visit.first | old.empty),
            value_ceiling.eq(ceiling + tag.visit.ev + (1 - p.input.bias)),
            new.rm.eq(Mux(seen, Mux(fresh | (ceiling > old.rm), ceiling, old.rm), Mux(fresh, 0, old.rm))),
            new.rmv.eq(
                Mux(seen, Mux(fresh | (value_ceiling > old.rmv), value_ceiling, old.rmv), Mux(fresh, 0, old.rmv))
            ),
            new.empty.eq(fresh & ~seen),
            new.poisoned.eq((seen & poison) | (old.poisoned & ~tag.visit.first)),
        ]
        m.d.sync += [
            stage["old_rm"].eq(old.rm),
            stage["old_rmv"].eq(old.rmv),
            stage["rm"].eq(new.rm),
            stage["rmv"].eq(new.rmv),
            stage["c"].eq(ceiling),
            stage["cv"].eq(value_ceiling),
            later["fresh"].eq(fresh),
            later["empty"].eq(new.empty),
            later["poisoned"].eq(new.poisoned),
        ]
        return stage | later

    def _amounts(self, m: Module, reference: dict, seen) -> dict:
        """Shift amounts, clamped to what the shifters do; nothing moves where there is nothing yet or nothing seen."""
        differences = {
            "back": ("rm", "old_rm", SHIFT_BITS),
            "value_back": ("rmv", "old_rmv", SHIFT_BITS),
            "down": ("rm", "c", 5),
            "value_down": ("rmv", "cv", 5),
        }
        amounts = {}
        for name, (high, low, bits) in differences.items():
            amounts[name] = Signal(bits, name=f"amount_{name}", reset_less=True)
            difference = Signal(REFERENCE_BITS + 1, name=f"difference_{name}")
            m.d.comb += difference.eq(reference[high] - reference[low])
            void = ~seen | reference["fresh"] if bits == SHIFT_BITS else 0
            clamped = Mux(difference[bits:].any(), (1 << bits) - 1, difference[:bits])
            m.d.sync += amounts[name].eq(Mux(void, 0, clamped))
        return amounts

    def _weights(self, m: Module, y, amounts: dict, seen) -> None:
        """`y >> amount` in two stages, for the denominator and for the value array."""
        n = self._params.numerics
        self._sln = Signal(n.weight_bits, reset_less=True)
        weight = Signal(n.weight_bits, reset_less=True)
        for name, out in (("down", self._sln), ("value_down", weight)):
            coarse = Signal(n.weight_bits, name=f"coarse_{name}", reset_less=True)
            fine = Signal(3, name=f"fine_{name}", reset_less=True)
            m.d.sync += [
                coarse.eq(Mux(seen, y >> (amounts[name][3:] << 3), 0)),
                fine.eq(amounts[name][:3]),
                out.eq(coarse >> fine),
            ]
        shift = self._delay(m, amounts["value_back"], 0, 3, "shift")
        m.d.comb += [self.weight.eq(weight), self.shift.eq(shift[-1])]

    def _denominator(self, m: Module, tags: list, reference: dict, amounts: dict, seen: list) -> None:
        """`RD' = (RD >> back) + SLN`: read and coarse shift, fine shift, add and write; and the results."""
        p = self._params
        n = p.numerics
        at = self.LATENCY - 2
        m.submodules.denominators = memory = Memory(
            shape=unsigned(n.denominator_bits), depth=1 << self._state_bits, init=[]
        )
        read, write = memory.read_port(domain="comb"), memory.write_port()
        coarse, moved, total = (
            Signal(n.denominator_bits, name=name, reset_less=True) for name in ("coarse_rd", "moved_rd", "total_rd")
        )
        fine = Signal(3, reset_less=True)
        names = ("rm", "rmv", "fresh", "empty", "poisoned")
        stages = {name: self._delay(m, reference[name], at - 1, self.LATENCY + 1, f"result_{name}") for name in names}
        m.d.comb += [
            read.addr.eq(Cat(tags[at].column, tags[at].visit.slot)),
            write.addr.eq(Cat(tags[self.LATENCY].column, tags[self.LATENCY].visit.slot)),
            write.en.eq(tags[self.LATENCY].valid),
            write.data.eq(total),
            total.eq(moved + self._sln),
        ]
        m.d.sync += [
            coarse.eq(Mux(stages["fresh"][at], 0, read.data >> (amounts["back"][3:] << 3))),
            fine.eq(amounts["back"][:3]),
            moved.eq(coarse >> fine),
        ]
        final = {name: values[self.LATENCY] for name, values in stages.items() if name != "fresh"}
        self._results(m, tags[self.LATENCY], final | {"rd": total})

    def _results(self, m: Module, tag, final: dict) -> None:
        """Keep the state behind a last visit until the drain has read it."""
        layout = result_layout(self._params)
        m.submodules.results = memory = Memory(shape=layout, depth=1 << self._state_bits, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        for name, value in final.items():
            m.d.comb += write.data[name].eq(value)
        m.d.comb += [
            write.addr.eq(Cat(tag.column, tag.visit.slot)),
            write.en.eq(tag.valid & tag.visit.last),
            read.addr.eq(self.result_address),
        ]
        m.d.sync += self.result.eq(read.data)


def state_address_bits(params: Params) -> int:
    """Width of `result_address`: a column within the group, then a slot."""
    return ceil_log2(params.group) + params.slot_bits
