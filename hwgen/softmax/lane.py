"""The softmax lane: one score in, one weight out, every cycle."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from golden.bitexact.numerics import REFERENCE_BITS, SHIFT_LIMIT
from hwgen.array.feeder import FeederRow
from hwgen.array.value_array import FoldWalker
from hwgen.control.tags import lane_tag_layout
from hwgen.memory.bias_buffer import BiasLane, bias_write_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.scoremod.layout import argument_layout, outputs_layout
from hwgen.softmax.exp2 import Exp2
from hwgen.softmax.pair import KeptWeight, PairScore, pair_latency
from hwgen.softmax.scale import ScoreScale

SHIFT_BITS = SHIFT_LIMIT.bit_length()


def query_layout(params: Params) -> data.StructLayout:
    """What a lane keeps of a query row: its exponent (as converted), whether it is poisoned, and what a score program
    makes of its indices."""
    fields = {"exponent": unsigned(params.input.exponent_bits), "poisoned": unsigned(1)}
    if params.score is not None:
        fields["score"] = outputs_layout(params.partition.query)
    return data.StructLayout(fields)


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


def lane_latency(params: Params) -> int:
    """Cycles from a lane's `qk` to its `weight`."""
    return SoftmaxLane.INPUT + pair_latency(params) + Exp2.LATENCY + _kept_latency(params) + 2


def _kept_latency(params: Params) -> int:
    """Cycles that the factor of kept weights takes."""
    return KeptWeight.LATENCY if params.has_dropout else 0


def score_members(params: Params) -> dict:
    """What a score program adds to a lane and to all it stands in."""
    if params.score is None:
        return {}
    members = {"argument": In(argument_layout()), "pair": Out(1)}
    if params.has_bias:
        members["bias"] = In(bias_write_layout(params, params.group))
    return members


class Pair(NamedTuple):
    """Of the pair at every stage of the lane: whether it takes part in the denominator, whether in the value, whether
    it is poisoned; and of kept weights the factor where the exponent unit ends and what raises their references."""

    seen: list
    kept: list
    poison: list
    keep_factor: object = None
    lift: tuple = ()


class Distance(NamedTuple):
    """How far a reference lies from what it is compared with; nothing unless it holds."""

    value: Any
    holds: Any


class Compared(NamedTuple):
    """A reference behind a visit: by how much it has risen, or how far it lies above the ceiling."""

    reference: Any
    up: Distance
    down: Distance


class Reference(NamedTuple):
    """Both references; whether the state was void; and what is kept of all that."""

    rm: Compared
    rmv: Compared
    fresh: Any
    kept: Any


class SoftmaxLane(Part):
    """Running reference, weight and denominator of the queries of `group` columns.

    `c = ceil(x)`, `RM' = max(RM, c)`, `SLN = y >> (RM' - c)`, `RD' = (RD >> (RM' - RM)) + SLN`; for the value array
    `RMV' = max(RMV, c + ev)`, `weight = y >> (RMV' - c - ev)`, `shift = RMV' - RMV`. A key that is not seen gives
    weight 0 and shift 0. Results of a slot's last visit go to a memory that the drain reads.

    Structure: input register, scale, score program, exponent unit, references (read, compare, choose and write), shift
    amounts, factor of kept weights, two shift stages, denominator (LOOP cycles from read to write). Latency
    `lane_latency` cycles from `qk` to `weight`; throughput 1.

    Members: tag, qk; mantissa, scale_exponent (two banks); load_* (a query's row exponent); weight, shift, tag_out
    (TAG_LEAD cycles before both); result_address (column within the group, then slot), result (one cycle later);
    saturated (pulse). Where there is a score program: argument (writes of its arguments), pair (a pulse for each pair
    that it lets through), bias (writes of slot rows of its bias, if it has one).
    """

    INPUT = 1
    LOOP = 4
    TAG_LEAD = FoldWalker.LATENCY + FeederRow.LATENCY - 1
    """As long as a visit takes to the value array's first row, less the cycle in which its weight gets there."""

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
            | score_members(params)
        )

    def elaborate(self, platform):
        m = Module()
        self._latency = lane_latency(self._params)
        tags = self._tags(m)
        x, pair = self._score(m, tags)
        exp = Exp2(self._params)
        place(m, "exp2", exp)
        m.d.comb += exp.x.eq(x)
        at = self.INPUT + pair_latency(self._params) + Exp2.CEILING_LATENCY
        reference = self._reference(m, tags, exp.ceiling, pair, at)
        amounts = self._amounts(m, reference)
        self._weights(m, exp.y, amounts, pair, at + 3)
        self._denominator(m, tags, reference, amounts)
        m.d.comb += self.tag_out.eq(tags[self._latency - self.TAG_LEAD])
        return m

    def _tags(self, m: Module) -> list:
        """tags[i] belongs to the data i cycles behind the input."""
        tags = [self.tag]
        for i in range(self._latency):
            tag = Signal(lane_tag_layout(self._params), name=f"tag_{i + 1}")
            m.d.sync += tag.eq(tags[-1])
            tags.append(tag)
        return tags

    def _score(self, m: Module, tags: list) -> tuple:
        """x, and what is known of the pair at every stage."""
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
        scale = ScoreScale(p)
        place(m, "scale", scale)
        mantissa = Signal.like(scale.mantissa, reset_less=True)
        rows_exponent, scale_exponent = (
            Signal.like(scale.exponent, name=f"{of}_exponent", reset_less=True) for of in ("rows", "scale")
        )
        visit, bank = tags[1].visit, self.tag.visit.bank
        # Converted rows have exponent field - bias + 1; the biases of both rows meet here.
        offset = 2 * (1 - p.input.bias)
        m.d.sync += [
            qk.eq(self.qk),
            query.eq(read.data),
            mantissa.eq(Mux(bank, self.mantissa[1], self.mantissa[0])),
            # A cycle later: the adder does not wait for the memory.
            rows_exponent.eq(query.exponent + visit.ek),
            scale_exponent.eq(Mux(visit.bank, self.scale_exponent[1], self.scale_exponent[0]) + offset),
        ]
        m.d.comb += [
            scale.qk.eq(qk),
            scale.mantissa.eq(mantissa),
            scale.exponent.eq(rows_exponent + scale_exponent),
        ]
        shown = tags[1].valid & (visit.skip == 0) & (visit.width != 0)
        poison = self._delay(m, visit.bad | query.poisoned, 1, len(tags), "poison")
        if p.score is not None:
            return self._pair_score(m, tags, scale, query.score, shown, poison[1])
        seen = self._delay(m, shown, 1, len(tags), "seen", reset_less=False)
        at = 1 + ScoreScale.LATENCY
        m.d.comb += self.saturated.eq(seen[at] & scale.clamped & ~poison[at])
        return scale.x, Pair(seen, seen, poison)

    def _pair_score(self, m: Module, tags: list, scale, query, seen, poison) -> tuple:
        """The same with a score program."""
        p = self._params
        visit = tags[1].visit
        score = PairScore(p)
        place(m, "pair_score", score)
        m.d.comb += [
            score.argument.eq(self.argument),
            score.seen_in.eq(seen),
            score.poison_in.eq(poison),
            score.query.eq(query),
            score.scaled.eq(scale.x),
            score.clamped.eq(scale.clamped),
            self.saturated.eq(score.saturated),
            self.pair.eq(score.pair),
        ]
        if p.has_key_score:
            m.d.comb += score.key.eq(visit.key)
        if p.has_sink:
            m.d.comb += score.sink.eq(visit.sink)
        if p.has_bias:
            biases, now = BiasLane(p), self.tag.visit
            place(m, "biases", biases)
            m.d.comb += [
                biases.write.eq(self.bias),
                biases.address.row.eq(now.bias_row),
                biases.address.slot.eq(now.slot),
                biases.column.eq(self.tag.column),
                score.bias.eq(biases.element),
            ]
        at = self.INPUT + pair_latency(p)
        names = ("seen", "kept", "poison")
        stages = {name: self._delay(m, getattr(score, name), at, len(tags), name) for name in names}
        # The factor is wanted with the exponent unit's result, the shift with its ceiling.
        factor = delayed(m, score.keep_factor, Exp2.LATENCY, "keep_factor")
        lift = (delayed(m, score.keep_shift, Exp2.CEILING_LATENCY, "keep_shift"),) if p.has_dropout else ()
        return score.x, Pair(**stages, keep_factor=factor, lift=lift)

    def _delay(self, m: Module, value, first: int, end: int, name: str, reset_less: bool = True) -> list:
        """value at stage `first` and its copies at the stages behind it."""
        stages = [None] * first + [value]
        for i in range(first + 1, end):
            later = Signal.like(stages[-1], name=f"{name}_{i}", reset_less=reset_less)
            m.d.sync += later.eq(stages[-1])
            stages.append(later)
        return stages

    def _reference(self, m: Module, tags: list, ceiling, pair: Pair, at: int) -> Reference:
        """The running references: read beside the ceilings, compared in the next cycle, chosen and written in the one
        behind, in which all of the result is known."""
        p = self._params
        # Where weight may go without a value, the value's reference begins later than the denominator's.
        separate = p.has_sink or p.has_dropout
        layout = data.StructLayout(
            {"rm": signed(REFERENCE_BITS), "rmv": signed(REFERENCE_BITS), "empty": 1, "poisoned": 1}
            | ({"value_empty": 1} if separate else {})
        )
        m.submodules.references = memory = Memory(shape=layout, depth=1 << self._state_bits, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        old, new = Signal(layout, reset_less=True), Signal(layout, reset_less=True)
        first, seen, kept, poison = tags[at + 1].visit.first, pair.seen[at + 1], pair.kept[at + 1], pair.poison[at + 1]
        value_ceiling = Signal(signed(REFERENCE_BITS), reset_less=True)
        exponent = Signal(signed(p.input.exponent_bits + 1), reset_less=True)
        m.d.sync += [
            old.eq(read.data),
            exponent.eq(tags[at - 1].visit.ev + (1 - p.input.bias)),
            value_ceiling.eq(sum(pair.lift, ceiling + exponent)),
        ]
        fresh = first | old.empty
        value_fresh = first | old.value_empty if separate else fresh
        rm = self._compare(m, "rm", delayed(m, ceiling, 1, "ceiling"), old.rm, seen, fresh)
        rmv = self._compare(m, "rmv", value_ceiling, old.rmv, kept, value_fresh)
        flags = {"empty": fresh & ~seen, "poisoned": (seen & poison) | (old.poisoned & ~first)}
        flags |= {"value_empty": value_fresh & ~kept} if separate else {}
        for name, flag in flags.items():
            m.d.sync += new[name].eq(flag)
        tag, written = tags[at + 2], Signal(layout)
        m.d.comb += [
            written.eq(new),
            written.rm.eq(rm.reference),
            written.rmv.eq(rmv.reference),
            read.addr.eq(Cat(tags[at].column, tags[at].visit.slot)),
            write.addr.eq(Cat(tag.column, tag.visit.slot)),
            write.en.eq(tag.valid),
            write.data.eq(written),
        ]
        return Reference(rm, rmv, delayed(m, fresh, 1, "fresh"), written)

    def _compare(self, m: Module, name: str, ceiling, old, seen, fresh) -> Compared:
        """The larger of a ceiling and a reference, a cycle later, with the distances to it: what the state has to move
        by if the ceiling is larger, and the weight if not."""
        above, below = (Signal(REFERENCE_BITS + 1, name=f"{name}_{at}", reset_less=True) for at in ("above", "below"))
        rest = old - ceiling
        larger = rest[-1]
        found = Signal(signed(REFERENCE_BITS), name=f"new_{name}")
        facts = {
            fact: delayed(m, value, 1, f"{name}_{fact}")
            for fact, value in (
                ("taken", seen & (fresh | larger)),
                ("void", fresh & ~seen),
                ("moves", seen & ~fresh & larger),
                ("stays", ~fresh & ~larger),
            )
        }
        m.d.sync += [above.eq(ceiling - old), below.eq(rest)]
        later = delayed(m, ceiling, 1, f"{name}_ceiling"), delayed(m, old, 1, f"{name}_before")
        m.d.comb += found.eq(Mux(facts["void"], 0, Mux(facts["taken"], *later)))
        return Compared(found, Distance(above, facts["moves"]), Distance(below, facts["stays"]))

    def _amounts(self, m: Module, reference: Reference) -> dict:
        """Shift amounts, clamped to what the shifters do; nothing moves where there is nothing yet or nothing seen."""
        distances = {
            "back": (reference.rm.up, SHIFT_BITS),
            "value_back": (reference.rmv.up, SHIFT_BITS),
            "down": (reference.rm.down, 5),
            "value_down": (reference.rmv.down, 5),
        }
        amounts = {}
        for name, (distance, bits) in distances.items():
            amount = Signal(bits, name=f"amount_{name}", reset_less=True)
            clamped = Mux(distance.value[bits:].any(), (1 << bits) - 1, distance.value[:bits])
            m.d.sync += amount.eq(Mux(distance.holds, clamped, 0))
            amounts[name] = delayed(m, amount, _kept_latency(self._params), f"amount_{name}")
        return amounts

    def _weights(self, m: Module, y, amounts: dict, pair: Pair, at: int) -> None:
        """`y >> amount` in two stages, for the denominator and for the value array."""
        n = self._params.numerics
        self._sln = Signal(n.weight_bits, reset_less=True)
        weight = Signal(n.weight_bits, reset_less=True)
        kept_y, at = y, at + _kept_latency(self._params)
        if self._params.has_dropout:
            factor = KeptWeight(self._params)
            place(m, "kept_weight", factor)
            m.d.comb += [factor.y.eq(y), factor.factor.eq(pair.keep_factor)]
            y, kept_y = factor.y_out, factor.kept
        sides = (("down", self._sln, y, pair.seen[at]), ("value_down", weight, kept_y, pair.kept[at]))
        for name, out, unit, taken in sides:
            coarse = Signal(n.weight_bits, name=f"coarse_{name}", reset_less=True)
            fine = Signal(3, name=f"fine_{name}", reset_less=True)
            m.d.sync += [
                coarse.eq(Mux(taken, unit >> (amounts[name][3:] << 3), 0)),
                fine.eq(amounts[name][:3]),
                out.eq(coarse >> fine),
            ]
        shift = self._delay(m, amounts["value_back"], 0, 3, "shift")
        m.d.comb += [self.weight.eq(weight), self.shift.eq(shift[-1])]

    def _denominator(self, m: Module, tags: list, reference: Reference, amounts: dict) -> None:
        """`RD' = (RD >> back) + SLN`: read, coarse shift, fine shift, add and write; and the results."""
        p = self._params
        n = p.numerics
        at = self._latency - 3
        m.submodules.denominators = memory = Memory(
            shape=unsigned(n.denominator_bits), depth=1 << self._state_bits, init=[]
        )
        read, write = memory.read_port(domain="comb"), memory.write_port()
        names = ("held", "coarse", "moved", "total")
        held, coarse, moved, total = (Signal(n.denominator_bits, name=f"{name}_rd", reset_less=True) for name in names)
        fine = Signal(3, reset_less=True)
        known = {name: reference.kept[name] for name in ("rm", "rmv", "empty", "poisoned")}
        stages = {
            name: self._delay(m, value, at - _kept_latency(p), self._latency + 1, f"result_{name}")
            for name, value in (known | {"fresh": reference.fresh}).items()
        }
        m.d.comb += [
            read.addr.eq(Cat(tags[at].column, tags[at].visit.slot)),
            write.addr.eq(Cat(tags[self._latency].column, tags[self._latency].visit.slot)),
            write.en.eq(tags[self._latency].valid),
            write.data.eq(total),
            total.eq(moved + self._sln),
        ]
        m.d.sync += [
            held.eq(read.data),
            coarse.eq(Mux(stages["fresh"][at + 1], 0, held >> (amounts["back"][3:] << 3))),
            fine.eq(amounts["back"][:3]),
            moved.eq(coarse >> fine),
        ]
        final = {name: values[self._latency] for name, values in stages.items() if name != "fresh"}
        self._results(m, tags[self._latency], final | {"rd": total})

    def _results(self, m: Module, tag, final: dict) -> None:
        """Keep the state behind a last visit until the drain has read it. It is written a cycle late, as much later as
        it is asked for."""
        layout = result_layout(self._params)
        m.submodules.results = memory = Memory(shape=layout, depth=1 << self._state_bits, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        for name, value in final.items():
            m.d.comb += write.data[name].eq(delayed(m, value, 1, f"final_{name}"))
        last = Signal()
        m.d.sync += last.eq(tag.valid & tag.visit.last)
        m.d.comb += [
            write.addr.eq(delayed(m, Cat(tag.column, tag.visit.slot), 1, "final_address")),
            write.en.eq(last),
            read.addr.eq(self.result_address),
            self.result.eq(delayed(m, read.data, 1, "result_read")),
        ]


def state_address_bits(params: Params) -> int:
    """Width of `result_address`: a column within the group, then a slot."""
    return ceil_log2(params.group) + params.slot_bits
