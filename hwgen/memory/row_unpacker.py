"""Takes rows of elements out of bus words, whatever their alignment."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.memory.convert import raw_beat
from hwgen.memory.row_steps import RingShape, RowSteps, run_layout, step_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.queue import Slice


class ElementRing(Part):
    """Bus words in, beats of elements out: `elements[i] = stream[place + i]`, zero from `count` on.

    Words are written to a ring of memory banks. A beat's banks are read at addresses of their own (those before its
    place belong to the next line), and the line is rotated to it: coarse distances before a register, fine ones behind.
    Latency LATENCY cycles from a word, two less from a step; throughput one word and one beat a cycle.
    """

    LATENCY = 4

    def __init__(self, params: Params) -> None:
        self._ring = RingShape.of(params)
        self._beat_layout = raw_beat(params)
        super().__init__(
            {
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "step": In(stream.Signature(step_layout(self._ring))),
                "output": Out(stream.Signature(raw_beat(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ring, step = self._ring, self.step.payload
        distances = [1 << i for i in reversed(range(ceil_log2(ring.line)))]
        coarse = distances[: len(distances) // 2]
        fine = distances[len(coarse) :]
        line = self._banks(m)
        turned = self._rotate(m, line, step.place, coarse)
        middle = data.StructLayout(
            {"line": unsigned(len(turned)), "place": unsigned(len(fine)), "keep": unsigned(ring.beat), "last": 1}
        )
        half, beat = Signal(middle, reset_less=True), Signal(self._beat_layout)
        valid, move = Signal(), Signal()
        # Who takes beats is far off: two registers, of which one is for what comes before it is known that none is.
        leaving = Slice(self._beat_layout.size)
        place(m, "leaving", leaving)
        m.d.comb += [
            move.eq(~valid | leaving.input.ready),
            self.step.ready.eq(move & self._there),
            leaving.input.valid.eq(valid),
            leaving.input.payload.eq(beat),
            self.output.valid.eq(leaving.output.valid),
            self.output.payload.eq(leaving.output.payload),
            leaving.output.ready.eq(self.output.ready),
        ]
        with m.If(move):
            m.d.sync += [
                valid.eq(self.step.valid & self._there),
                half.line.eq(turned),
                half.place.eq(step.place),
                half.keep.eq(Cat(i < step.count for i in range(ring.beat))),
                half.last.eq(step.last),
            ]
        elements = self._rotate(m, half.line, half.place, fine)
        m.d.comb += beat.last.eq(half.last)
        for i in range(ring.beat):
            m.d.comb += beat.elements[i].eq(Mux(half.keep[i], elements.word_select(i, ring.bits), 0))
        return m

    def _banks(self, m: Module) -> Value:
        """Write words, count those that are there; gives the line from the step's place on, not yet rotated."""
        ring, step = self._ring, self.step.payload
        # Words that are there, whether one came in the cycle before, and whether a place is free for the next one.
        used, came, room = Signal(range(ring.words + 1)), Signal(), Signal(init=1)
        kept, left, end = Signal.like(used), Signal.like(used), Signal(range(ring.words))
        self._there = Signal()
        accept, width = Signal(), ring.line // ring.banks * ring.bits
        m.d.comb += [
            self.words.ready.eq(room),
            accept.eq(self.words.valid & self.words.ready),
            self._there.eq(used >= step.need),
        ]
        taken = self.step.valid & self.step.ready
        # Whether a step is taken is known last. Words come from afar: what counts them is behind a register.
        m.d.comb += [kept.eq(used + came), left.eq(used + came - step.passed)]
        m.d.sync += [
            came.eq(accept),
            end.eq(end + accept),
            used.eq(Mux(taken, left, kept)),
            room.eq((taken & step.passed.any()) | Mux(accept, kept != ring.words - 1, room)),
        ]
        word_bits, bank_bits = ceil_log2(ring.line_words), ceil_log2(ring.banks)
        line_bits = ceil_log2(ring.line)
        bank, found = step.place[line_bits - bank_bits : line_bits], []
        for i in range(ring.banks):
            memory = Memory(shape=unsigned(width), depth=ring.LINES, init=[])
            m.submodules[f"bank_{i}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            whole = ring.line_words == 1
            m.d.comb += [
                # Nobody reads a free place.
                write.en.eq(room if whole else room & (end[:word_bits] == i)),
                write.addr.eq(end[word_bits:]),
                write.data.eq(self.words.payload.word_select(i, width) if whole else self.words.payload),
                read.addr.eq(step.place[line_bits:] + (bank > i if i < ring.banks - 1 else 0)),
            ]
            found.append(read.data)
        return Cat(found)

    def _rotate(self, m: Module, line: Value, amount: Value, distances: list[int]) -> Value:
        """Rotate right by the bits of `amount` that stand for the distances, keeping only what is needed behind."""
        ring = self._ring
        for distance in distances:
            length = min(ring.line, distance - 1 + ring.beat)
            turned = Signal(length * ring.bits, name=f"turned_{distance}")
            moved = Cat(line, line)[distance * ring.bits :][: len(turned)]
            m.d.comb += turned.eq(Mux(amount[ceil_log2(distance)], moved, line[: len(turned)]))
            line = turned
        return line


class RowUnpacker(Part):
    """Rows of elements in beats, each row filled up with zeros to a multiple of `rows` elements, from bus words.

    The first row of a run begins `offset` elements behind the beginning of a new word, the others follow each other;
    what comes behind the last one in its word is dropped.

    Latency LATENCY cycles from a word to the beat it completes; throughput 1 beat a cycle, or what the words hold.

    Members
    -------
    run:      where rows lie in the words
    words:    exactly the bus words that the runs touch
    elements: in a row, 1 .. limit; constant while there are runs, unless each has one row: then it goes with the run
    output:   beats, the last one of a row marked
    """

    LATENCY = ElementRing.LATENCY

    def __init__(self, params: Params, rows: int, limit: int) -> None:
        self._params, self._rows, self._limit = params, rows, limit
        super().__init__(
            {
                "run": In(stream.Signature(run_layout(params))),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "elements": In(range(limit + 1)),
                "output": Out(stream.Signature(raw_beat(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        steps, ring = RowSteps(self._params, self._rows, self._limit), ElementRing(self._params)
        place(m, "steps", steps)
        place(m, "ring", ring)
        connect(m, flipped(self.run), steps.run)
        connect(m, flipped(self.words), ring.words)
        connect(m, steps.step, ring.step)
        connect(m, ring.output, flipped(self.output))
        m.d.comb += steps.elements.eq(self.elements)
        return m
