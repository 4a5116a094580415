"""Packs rows of elements into bus words, wherever in a word they begin."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.errors import ConfigError
from hwgen.params import LENGTH_BITS
from hwgen.part import Part


def values_layout(element_bits: int, beat: int) -> data.StructLayout:
    """`beat` elements of a row, the first one lowest, and whether they are the row's last ones."""
    return data.StructLayout({"elements": data.ArrayLayout(unsigned(element_bits), beat), "last": unsigned(1)})


def packed_run_layout(bus_bits: int) -> data.StructLayout:
    """`rows` rows back to back, the first one from byte `offset` of its bus word on."""
    return data.StructLayout({"offset": unsigned(ceil_log2(bus_bits // 8)), "rows": unsigned(LENGTH_BITS)})


class RowPacker(Part):
    """Every bus word that a run of rows touches, with strobes on the rows' bytes only; each run begins a new word.

    A beat (or each word's worth of a beat that is wider than the bus) is turned by its place in the `span` lanes of a
    word that it may fill, `span` being the least power of two that holds it; so the large word needs no shifter, only
    an enable for each of its lanes. What turns over the word's end waits for the next word.

    Latency LATENCY cycles from a beat to the word that it completes. Throughput 1 beat a cycle, or one in
    ceil(beat / lanes) cycles if it is wider than the bus; a run whose last beat reaches into one word more takes one
    cycle more. The next run is taken with a run's last beat at the latest.

    Members
    -------
    run:      how many rows follow each other without a gap, and the offset of the first one in its word, in bytes, a
              multiple of the element's size
    values:   their elements; in each row those beyond `elements` are dropped
    elements: length of a row, 1 .. limit, constant while there is work
    words:    data and strobes; `ready` does not wait for them, as nothing comes without it
    """

    LATENCY = 3

    def __init__(self, bus_bits: int, element_bits: int, beat: int, limit: int) -> None:
        lanes = bus_bits // element_bits
        if element_bits % 8 or lanes * element_bits != bus_bits or lanes & (lanes - 1):
            raise ConfigError(f"{bus_bits!r} bits of a bus do not hold a power of two of {element_bits!r}-bit elements")
        if beat < 1 or limit < 1:
            raise ConfigError(f"a row and a beat hold at least one element, not {limit!r} and {beat!r}")
        self._lanes, self._element_bits, self._limit = lanes, element_bits, limit
        self._beat, self._size = beat, min(beat, lanes)
        self._span = min(1 << ceil_log2(beat), lanes)
        word = data.StructLayout({"data": unsigned(bus_bits), "strobe": unsigned(bus_bits // 8)})
        super().__init__(
            {
                "run": In(stream.Signature(packed_run_layout(bus_bits))),
                "values": In(stream.Signature(values_layout(element_bits, beat))),
                "elements": In(range(limit + 1)),
                "words": Out(stream.Signature(word)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Everything moves while words are taken, whether there is one or not: nothing is between a register of their
        # taker's and all the enables here.
        self._move = Signal()
        m.d.comb += self._move.eq(self.words.ready)
        # A step: elements and the place of the first one; which of them count, and whether the word is finished.
        step = Signal(
            data.StructLayout(
                {
                    "elements": data.ArrayLayout(unsigned(self._element_bits), self._span),
                    "place": unsigned(ceil_log2(self._lanes)),
                }
            ),
            reset_less=True,
        )
        self._used, self._complete = Signal(self._span), Signal()
        self._cut(m, step)
        self._turn(m, step)
        return m

    def _cut(self, m: Module, step) -> None:
        """Beats become steps, row by row; a run that reaches into one word more ends with an empty step."""
        chunks = -(-self._beat // self._size)
        rest = self._beat - (chunks - 1) * self._size
        active, overhang = Signal(), Signal()
        left, place, chunk = Signal(range(self._limit + 1)), Signal(range(self._lanes)), Signal(range(chunks))
        take, beat_end, finish, fresh = Signal(), Signal(), Signal(), Signal()
        rows, final, row_end = Signal(LENGTH_BITS), Signal(), Signal()
        m.d.comb += [
            beat_end.eq(chunk == chunks - 1),
            take.eq(active & self.values.valid & self._move & ~overhang),
            self.values.ready.eq(active & self._move & ~overhang & beat_end),
            row_end.eq(beat_end & self.values.payload.last),
            finish.eq(take & row_end),
            # What the next run says is taken over as long as there is none: that one ends is known last.
            fresh.eq(~active | (row_end & final)),
            self.run.ready.eq(~active | (finish & final)),
        ]
        codes = [*self.values.payload.elements, *[0] * (self._size - rest)]
        parts = Array(Cat(codes[i : i + self._size]) for i in range(0, len(codes), self._size))
        with m.If(self._move):
            m.d.sync += [
                step.elements.eq(parts[chunk]),
                self._used.eq(Cat(take & (left > i) & ((i < rest) | ~beat_end) for i in range(self._size))),
                step.place.eq(place),
            ]
        size = self._size if rest == self._size else Mux(beat_end, rest, self._size)
        remaining, following = self._count(m, take, overhang, left, place, size, final)
        run = self.run.payload
        with m.If(take):
            m.d.sync += chunk.eq(Mux(beat_end, 0, chunk + 1))
        with m.If(take | ~active):
            m.d.sync += [
                left.eq(Mux(~active | row_end, self.elements, remaining)),
                place.eq(Mux(fresh, run.offset[ceil_log2(self._element_bits // 8) :], following)),
            ]
        with m.If(finish | ~active):
            m.d.sync += [
                rows.eq(Mux(~active | final, run.rows, rows - 1)),
                final.eq(Mux(~active | final, run.rows == 1, rows == 2)),
            ]
        with m.If(self.run.ready):
            m.d.sync += active.eq(self.run.valid)

    def _count(self, m: Module, take: Signal, overhang: Signal, left: Signal, place: Signal, size, final) -> tuple:
        """What a step of `size` elements leaves of its row, and its end in its word; the final row ends the run's last
        word."""
        ends, run_end = Signal(), Signal()
        following = Signal(range(2 * self._lanes + 1))
        m.d.comb += [
            ends.eq(left <= size),
            run_end.eq(ends & (left != 0) & final),
            following.eq(place + Mux(ends, left[: ceil_log2(self._size + 1)], size)),
        ]
        with m.If(self._move):
            m.d.sync += [
                overhang.eq(take & run_end & (following > self._lanes)),
                self._complete.eq(overhang | (take & (run_end | (following >= self._lanes)))),
            ]
        return Mux(ends, 0, left - size), following

    def _turn(self, m: Module, step) -> None:
        """Turn a step's elements into the lanes of its span; those that come round belong to the next span."""
        span_bits = ceil_log2(self._span)
        amount = step.place[:span_bits]
        turned = [Cat(element, used) for element, used in zip(step.elements, self._used, strict=True)]
        for bit in range(span_bits):
            turned = [Mux(amount[bit], turned[i - (1 << bit)], turned[i]) for i in range(self._span)]
        elements = Signal(step.elements.shape(), reset_less=True)
        inner, outer = Signal(self._span), Signal(self._span)
        place, complete = Signal.like(step.place[span_bits:], name="place"), Signal()
        with m.If(self._move):
            m.d.sync += [place.eq(step.place[span_bits:]), complete.eq(self._complete)]
            for i, lane in enumerate(turned):
                m.d.sync += [
                    elements[i].eq(lane[:-1]),
                    inner[i].eq(lane[-1] & (amount <= i)),
                    outer[i].eq(lane[-1] & (amount > i)),
                ]
        self._fill(m, elements, inner, outer, place, complete)

    def _fill(self, m: Module, elements, inner: Signal, outer: Signal, place: Signal, complete: Signal) -> None:
        """Collect a word; a complete one leaves, and what belongs to the next one stays. What is not complete is shown
        too, so that nothing but the taker's register enables all bits."""
        spans, size = self._lanes // self._span, self._element_bits // 8
        # Apart from each other, because each lane has an enable of its own.
        word, full = (
            [Signal(self._element_bits, name=f"{name}_{i}", reset_less=True) for i in range(self._lanes)]
            for name in ("word", "full")
        )
        held, strobe = Signal(self._lanes), Signal(self._lanes, reset_less=True)
        here, onward = Signal(self._lanes), Signal(self._lanes)
        for lane in range(self._lanes):
            s, i = divmod(lane, self._span)
            if s:
                m.d.comb += here[lane].eq((inner[i] & (place == s)) | (outer[i] & (place == s - 1)))
            else:
                m.d.comb += [here[lane].eq(inner[i] & (place == 0)), onward[lane].eq(outer[i] & (place == spans - 1))]
            with m.If(self._move & (here[lane] | onward[lane])):
                m.d.sync += word[lane].eq(elements[i])
            with m.If(self._move):
                m.d.sync += full[lane].eq(Mux(here[lane], elements[i], word[lane]))
        with m.If(self._move):
            m.d.sync += [self.words.valid.eq(complete), held.eq(Mux(complete, onward, held | here))]
            m.d.sync += strobe.eq(held | here)
        m.d.comb += [
            self.words.payload.data.eq(Cat(full)),
            self.words.payload.strobe.eq(Cat(bit.replicate(size) for bit in strobe)),
        ]
