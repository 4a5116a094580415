"""Which elements of a stream of bus words make up the beats of its rows."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.params import LENGTH_BITS, Params
from hwgen.part import Part, place
from hwgen.queue import Slice


@dataclass(frozen=True)
class RingShape:
    """A ring of `LINES` lines of elements, wide enough that a beat lies in one line and the beginning of the next.

    bits: of an element;  beat: elements in a beat;  word: elements in a bus word
    """

    bits: int
    beat: int
    word: int

    LINES = 8

    @staticmethod
    def of(params: Params) -> "RingShape":
        bits = params.input.bits
        return RingShape(bits, params.config.beat, params.config.bus_bits // bits)

    @property
    def line(self) -> int:
        """Elements in a line: a whole word, or several words that hold two beats."""
        return max(self.word, 2 << ceil_log2(self.beat))

    @property
    def line_words(self) -> int:
        return self.line // self.word

    @property
    def banks(self) -> int:
        """Memories side by side: one a word, and at least two, of which a beat's second line needs the first ones."""
        return max(2, self.line_words)

    @property
    def words(self) -> int:
        """Bus words the ring holds."""
        return self.LINES * self.line_words

    @property
    def place_bits(self) -> int:
        return ceil_log2(self.LINES * self.line)

    @property
    def span(self) -> int:
        """Most bus words that a beat touches."""
        return (self.beat + self.word - 2) // self.word + 1


def run_layout(params: Params) -> data.StructLayout:
    """`rows` rows (at least one) that lie back to back, `offset` elements behind the beginning of a bus word."""
    return data.StructLayout({"offset": unsigned(ceil_log2(RingShape.of(params).word)), "rows": unsigned(LENGTH_BITS)})


def step_layout(ring: RingShape) -> data.StructLayout:
    """One beat: `count` elements (none in a fold's padding) from `place` of the ring on.

    need: words that have to be there;  passed: words that nobody needs any more behind this beat;  last: of its row
    """
    return data.StructLayout(
        {
            "place": unsigned(ring.place_bits),
            "count": unsigned(ceil_log2(ring.beat + 1)),
            "need": unsigned(ceil_log2(ring.span + 1)),
            "passed": unsigned(ceil_log2(ring.span + 1)),
            "last": unsigned(1),
        }
    )


class RowSteps(Part):
    """The beats of rows of `elements` elements, each filled up to a multiple of `rows`; a run begins in a new word.

    Depends on no data, so it is ahead of the words. Latency 2 cycles; throughput 1 beat a cycle, also from run to run.

    Members
    -------
    run:      runs of rows
    elements: in a row, 1 .. limit; constant while there are runs, unless each has one row: then it goes with the run
    step:     their beats
    """

    def __init__(self, params: Params, rows: int, limit: int) -> None:
        self._ring = RingShape.of(params)
        self._fold = rows // params.config.beat
        super().__init__(
            {
                "run": In(stream.Signature(run_layout(params))),
                "elements": In(range(limit + 1)),
                "step": Out(stream.Signature(step_layout(self._ring))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        run, step = self.run, Signal(step_layout(self._ring))
        word_bits, beat = ceil_log2(self._ring.word), self._ring.beat
        active, left, rows = Signal(), Signal.like(self.elements), Signal(LENGTH_BITS)
        group = Signal(range(max(self._fold, 2)))
        offset, word = Signal(word_bits), Signal(self._ring.place_bits - word_bits)
        count, end = Signal(range(beat + 1)), Signal(word_bits + ceil_log2(self._ring.span + 1))
        # The row's elements end with this beat, with it the row, with that the run; `ends` and `final` are registers,
        # and so is whether this is a fold's last beat, and that of a final row.
        ends, row_ends, run_ends, final = Signal(), Signal(), Signal(), Signal()
        whole, closing = Signal(init=self._fold == 1), Signal()
        short, passed, rest = Signal(), Signal.like(step.passed), Signal()
        move = self._offer(m, active, step)
        # Keeps operands from having no bits where a word is an element.
        none = Const(0, 1)
        m.d.comb += [
            short.eq(self.elements <= beat),
            count.eq(Mux(ends, left, beat)),
            row_ends.eq(ends & whole),
            run_ends.eq(ends & (final if self._fold == 1 else closing)),
            end.eq(Cat(offset, none) + count),
            rest.eq(Cat(end[:word_bits], none).any()),
            passed.eq(end[word_bits:] + (ends & final & rest)),
            run.ready.eq(~active | (move & run_ends)),
            step.place.eq(Cat(offset, word)),
            step.count.eq(count),
            step.need.eq(end[word_bits:] + rest),
            step.passed.eq(passed),
            step.last.eq(row_ends),
        ]
        with m.If(active & move):
            m.d.sync += [
                group.eq(Mux(whole, 0, group + 1)),
                left.eq(Mux(row_ends, self.elements, left - count)),
                ends.eq(Mux(row_ends, short, ends | (left <= 2 * beat))),
                word.eq(word + passed),
                offset.eq(end[:word_bits]),
            ]
            if self._fold != 1:
                # A row is final from its first beat on.
                before = group == self._fold - 2
                m.d.sync += [whole.eq(before), closing.eq(before & final)]
            with m.If(row_ends):
                m.d.sync += [rows.eq(rows - 1), final.eq(rows == 2)]
            with m.If(ends & final):
                m.d.sync += offset.eq(0)
        with m.If(run.ready):
            m.d.sync += active.eq(run.valid)
            with m.If(run.valid):
                m.d.sync += [offset.eq(run.payload.offset), left.eq(self.elements), ends.eq(short)]
                m.d.sync += [rows.eq(run.payload.rows), final.eq(run.payload.rows == 1)]
        return m

    def _offer(self, m: Module, active: Signal, step: Value) -> Signal:
        """A step leaves through two registers; gives whether another one may be made."""
        output = Slice(step_layout(self._ring).size)
        place(m, "output", output)
        m.d.comb += [
            output.input.valid.eq(active),
            output.input.payload.eq(step),
            self.step.valid.eq(output.output.valid),
            self.step.payload.eq(output.output.payload),
            output.output.ready.eq(self.step.ready),
        ]
        return output.input.ready
