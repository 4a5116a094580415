"""What a score program makes of one (query, key) pair."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from golden.scoremod.program import KEEP_FRAC, MOST_KEEP_SHIFT
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.scoremod.layout import argument_layout, outputs_layout
from hwgen.scoremod.lower import Datapath
from hwgen.scoremod.schedule import schedule
from hwgen.softmax.bias_convert import BiasConvert
from hwgen.softmax.scale import ScoreScale


def arrivals(params: Params) -> tuple[tuple[str, int], ...]:
    """When the inputs of a lane's program are there, counted from the lane's input register; the others at once."""
    inputs = params.partition.lane.inputs
    when = {"score": ScoreScale.LATENCY, "bias": BiasConvert.LATENCY, "hidden": BiasConvert.LATENCY}
    return tuple((name, when[name]) for name in inputs if name in when)


def pair_latency(params: Params) -> int:
    """Cycles from a lane's input register to the score that the exponent unit gets."""
    if params.score is None:
        return ScoreScale.LATENCY
    # A program that does not look at the score could be done sooner, but whether the score was clamped could not.
    return max(schedule(params.partition.lane, arrivals(params)).latency, ScoreScale.LATENCY)


class PairScore(Part):
    """`x = score program(scaled score, indices, bias)`, or the sink; and what becomes of the pair.

    Latency `pair_latency` cycles from seen_in, poison_in, sink, query, key and bias to all outputs; scaled and clamped
    come ScoreScale.LATENCY cycles behind these. Throughput 1.

    Members: argument (writes of the program's arguments); seen_in (the key is shown to the query), poison_in (one of
    its rows is poisoned), sink (it is the sink); query, key (what the program's other parts made of the indices); bias
    (raw element); scaled, clamped (of ScoreScale); x; seen (takes part in the denominator), kept (in the value too),
    poison, saturated (seen, and clamped); pair (seen, and no sink); keep_factor, keep_shift (of kept weights).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        n, partition = params.numerics, params.partition
        super().__init__(
            {
                "argument": In(argument_layout()),
                "seen_in": In(1),
                "poison_in": In(1),
                "sink": In(1),
                "query": In(outputs_layout(partition.query)),
                "key": In(outputs_layout(partition.key)),
                "bias": In(params.input.bits if params.has_bias else 0),
                "scaled": In(signed(n.score_bits)),
                "clamped": In(1),
                "x": Out(signed(n.score_bits)),
                "seen": Out(1),
                "kept": Out(1),
                "poison": Out(1),
                "saturated": Out(1),
                "pair": Out(1),
                "keep_factor": Out(unsigned(KEEP_FRAC + 1)),
                "keep_shift": Out(unsigned(MOST_KEEP_SHIFT.bit_length())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        part = p.partition.lane
        path = Datapath(part, arrivals(p), p.partition.places(part))
        place(m, "datapath", path)
        late = pair_latency(p)
        m.d.comb += path.argument.eq(self.argument)
        bias_poison = self._inputs(m, path, late)
        wait = late - path.latency
        outputs = {name: delayed(m, getattr(path.outputs, name), wait, name) for name, _ in part.outputs}
        shown = delayed(m, self.seen_in, late, "shown")
        poison = delayed(m, self.poison_in, late, "poison")
        clamped = delayed(m, self.clamped, late - ScoreScale.LATENCY, "clamped")
        m.d.comb += [
            self.pair.eq(shown & outputs.get("seen", 1)),
            self.poison.eq(poison | bias_poison),
            self.saturated.eq(self.pair & ~self.poison & (clamped | outputs.get("saturated", 0))),
            self.x.eq(outputs["score"]),
            self.seen.eq(self.pair),
            self.kept.eq(self.pair & outputs.get("keep", 1)),
            self.keep_factor.eq(outputs.get("keep_factor", 1 << KEEP_FRAC)),
            self.keep_shift.eq(outputs.get("keep_shift", 0)),
        ]
        if p.has_sink:
            sink = delayed(m, self.sink, late, "is_sink")
            value = delayed(m, self.query.sink, late, "sink_score")
            with m.If(sink):
                m.d.comb += [self.x.eq(value), self.seen.eq(shown), self.kept.eq(0), self.pair.eq(0), self.poison.eq(0)]
        return m

    def _inputs(self, m: Module, path: Datapath, late: int):
        """Connect what the program asks for; gives whether the bias poisons, as late as the outputs."""
        p = self._params
        poison = 0
        for name in p.partition.lane.inputs:
            side = name.partition("_")[0]
            if name == "score":
                m.d.comb += path.inputs.score.eq(self.scaled)
            elif side in ("query", "key"):
                m.d.comb += getattr(path.inputs, name).eq(getattr(getattr(self, side), name))
        if p.has_bias:
            convert = BiasConvert(p)
            place(m, "bias_convert", convert)
            m.d.comb += convert.bits.eq(self.bias)
            for name, value in (("bias", convert.x), ("hidden", convert.hidden)):
                if name in p.partition.lane.inputs:
                    m.d.comb += getattr(path.inputs, name).eq(value)
            poison = delayed(m, convert.poison, late - BiasConvert.LATENCY, "bias_poison")
        return poison


class KeptWeight(Part):
    """`kept = (y * factor) >> KEEP_FRAC`. Latency LATENCY cycles, throughput 1; `y_out` is `y` as late."""

    LATENCY = 2

    def __init__(self, params: Params) -> None:
        weight = unsigned(params.numerics.weight_bits)
        super().__init__(
            {
                "y": In(weight),
                "factor": In(unsigned(KEEP_FRAC + 1)),
                "y_out": Out(weight),
                "kept": Out(weight),
            }
        )

    def elaborate(self, platform):
        m = Module()
        y, factor = Signal.like(self.y, reset_less=True), Signal.like(self.factor, reset_less=True)
        m.d.sync += [
            y.eq(self.y),
            factor.eq(self.factor),
            self.y_out.eq(y),
            # A factor of exactly one would need the product's highest bit.
            self.kept.eq(Mux(factor[-1], y, (y * factor[:-1]) >> KEEP_FRAC)),
        ]
        return m
