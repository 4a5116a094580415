"""The board's memory: block RAM between the accelerator's bus and the serial bridge."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from boards.link.bank import BYTE_BITS, LANE_BITS, LANE_BYTES, Lane, bank_words
from boards.link.bursts import Bursts, in_memory, index_bits
from hwgen.memory.axi import Response, burst_layout, read_layout, write_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.queue import LandingQueue, Slice

ANSWER_PLACES = 16
"""Words read and not yet taken: more than are on their way, so that one can begin in every cycle."""

RESPONSE_PLACES = 8
"""Bursts whose addresses have come and whose responses have not been taken: more than are on their way."""

response_layout = data.StructLayout({"response": unsigned(2)})


class BoardMemory(Part):
    """`memory_bytes` of block RAM from `boards.board.memory_base` on, in banks of powers of two of bus words.

    The accelerator's side takes INCR bursts of one ID and answers in order: DECERR for those outside. Read and write
    throughput 1 word each at the same time (bursts of one beat: one in 2 cycles), read latency READ_LATENCY cycles from
    AR to R, write latency WRITE_LATENCY from the last word to B. A read whose address comes with B or later sees what
    was written. The bridge's bytes go first, and take a cycle of the accelerator's each.

    Members
    -------
    ar, r, aw, w, b: the accelerator
    start, write, address, data: access to a byte, for a cycle; the next one not before `done`
    done, byte, error: its end, BYTE_LATENCY cycles later; there is no such byte
    """

    BANK_CYCLES = 2 + Lane.LATENCY
    """From the cycle in which a beat is taken to that in which its word is in a register behind the banks."""
    READ_LATENCY = Bursts.LATENCY + BANK_CYCLES + LandingQueue.LATENCY
    WRITE_LATENCY = Slice.LATENCY + LandingQueue.LATENCY
    BYTE_LATENCY = 5 + BANK_CYCLES + 2

    def __init__(self, params: Params, memory_bytes: int) -> None:
        self._params, self._bytes = params, memory_bytes
        self._bits = index_bits(memory_bytes, params.bus_bytes)
        super().__init__(
            {
                "ar": In(stream.Signature(burst_layout(params))),
                "r": Out(stream.Signature(read_layout(params))),
                "aw": In(stream.Signature(burst_layout(params))),
                "w": In(stream.Signature(write_layout(params))),
                "b": Out(stream.Signature(response_layout)),
            }
            | {"start": In(1), "write": In(1), "address": In(32), "data": In(8)}
            | {"done": Out(1), "byte": Out(8), "error": Out(1)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depths = bank_words(self._bytes, self._params.bus_bytes)
        self._lanes = [Lane(depths) for _ in range(self._params.bus_bytes // LANE_BYTES)]
        for number, lane in enumerate(self._lanes):
            place(m, f"lane{number}", lane)
        self._word = Signal(self._params.config.bus_bits, reset_less=True)
        self._index, self._steal, self._store = Signal(self._bits, reset_less=True), Signal(), Signal()
        self._steals, self._stores = Signal(), Signal()
        self._strobe = Signal(self._params.bus_bytes, reset_less=True)
        self._byte = Signal(BYTE_BITS, reset_less=True)
        self._bytes_of_bridge(m)
        self._reads(m)
        self._writes(m)
        return m

    def _bytes_of_bridge(self, m: Module) -> None:
        """A byte's word is read or written in a cycle taken from the accelerator."""
        low = ceil_log2(self._params.bus_bytes)
        address, asked, looked, known = Signal(32, reset_less=True), Signal(), Signal(), Signal()
        write, outside = Signal(reset_less=True), Signal(reset_less=True)
        # Of the two registers one is near what it clears.
        refused = Signal(reset_less=True)
        strobe, way = Signal.like(self._strobe, reset_less=True), Signal(self.BANK_CYCLES + 1)
        m.d.comb += [self._steals.eq(known & ~write), self._stores.eq(known & write)]
        # The bridge is far.
        started, came = Signal(), Signal(len(Cat(self.address, self.write, self.data)), reset_less=True)
        m.d.sync += [started.eq(self.start), came.eq(Cat(self.address, self.write, self.data))]
        m.d.sync += [asked.eq(started), looked.eq(asked), known.eq(looked)]
        m.d.sync += [self._steal.eq(self._steals), self._store.eq(self._stores)]
        m.d.sync += way.eq(Cat(self._steal | self._store, way))
        with m.If(started):
            m.d.sync += Cat(address, write, self._byte).eq(came)
        m.d.sync += [
            self._index.eq(address[low:]),
            outside.eq(~in_memory(address, self._bytes)),
            refused.eq(outside),
            strobe.eq(1 << address[:low]),
            self._strobe.eq(Mux(refused, 0, strobe)),
            self.done.eq(way[-1]),
            self.byte.eq(self._byte_of_word(m, address[:low])),
            self.error.eq(refused),
        ]

    def _byte_of_word(self, m: Module, number: Any) -> Any:
        """A byte of the word that was read, a cycle later: of each four the one, and then that of the right four."""
        fours = []
        for first in range(0, self._params.bus_bytes, 4):
            four = Signal(BYTE_BITS, reset_less=True)
            m.d.sync += four.eq(self._word.word_select(first // 4, 4 * BYTE_BITS).word_select(number[:2], BYTE_BITS))
            fours.append(four)
        return Array(fours)[number[2:]]

    def _reads(self, m: Module) -> None:
        layout = read_layout(self._params)
        bursts, answers = Bursts(self._params, self._bytes), LandingQueue(layout.size, ANSWER_PLACES)
        place(m, "read_bursts", bursts)
        place(m, "answers", answers)
        beat, step, word = bursts.output, Signal(), Signal(layout)
        index = Signal(self._bits, reset_less=True)
        m.d.comb += [
            bursts.room.eq(1),
            bursts.input.valid.eq(self.ar.valid),
            bursts.input.payload.eq(self.ar.payload),
            self.ar.ready.eq(bursts.input.ready),
            beat.ready.eq(answers.room & ~self._steal),
            step.eq(beat.valid & beat.ready),
            answers.begin.eq(step),
        ]
        m.d.sync += index.eq(Mux(self._steal, self._index, beat.payload.index))
        # What is known of a word goes beside it.
        facts = Cat(step, beat.payload.inside, beat.payload.last)
        for _ in range(self.BANK_CYCLES):
            facts, before = Signal.like(facts), facts
            m.d.sync += facts.eq(before)
        m.d.comb += [lane.index.eq(index) for lane in self._lanes]
        m.d.sync += self._word.eq(Cat(lane.read for lane in self._lanes))
        m.d.comb += [
            answers.valid.eq(facts[0]),
            word.data.eq(self._word),
            word.response.eq(Mux(facts[1], Response.OKAY, Response.DECERR)),
            word.last.eq(facts[2]),
            answers.word.eq(word),
            self.r.valid.eq(answers.output.valid),
            self.r.payload.eq(answers.output.payload),
            answers.output.ready.eq(self.r.ready),
        ]

    def _writes(self, m: Module) -> None:
        bursts, responses = Bursts(self._params, self._bytes), LandingQueue(1, RESPONSE_PLACES)
        place(m, "write_bursts", bursts)
        place(m, "responses", responses)
        beat, b, ready, step = bursts.output, self.b, Signal(), Signal()
        w = self._words_written(m)
        index, strobe = Signal(self._bits, reset_less=True), Signal(self._params.bus_bytes, reset_less=True)
        data = Signal(self._params.config.bus_bits, reset_less=True)
        m.d.comb += [
            # A burst sets out when there is a place for its response: nothing stops it then but the bridge's bytes.
            bursts.room.eq(responses.room),
            bursts.input.valid.eq(self.aw.valid),
            bursts.input.payload.eq(self.aw.payload),
            self.aw.ready.eq(bursts.input.ready),
            responses.begin.eq(self.aw.valid & self.aw.ready),
            w.ready.eq(ready),
            step.eq(w.valid & ready),
            beat.ready.eq(step),
            responses.valid.eq(step & beat.payload.last),
            responses.word.eq(beat.payload.inside),
            b.valid.eq(responses.output.valid),
            b.payload.response.eq(Mux(responses.output.payload, Response.OKAY, Response.DECERR)),
            responses.output.ready.eq(b.ready),
        ]
        # Where a word is taken there is a beat for it.
        m.d.sync += ready.eq(bursts.coming & ~self._stores)
        inside = step & beat.payload.inside
        m.d.sync += [
            index.eq(Mux(self._store, self._index, beat.payload.index)),
            data.eq(w.payload.data),
            strobe.eq(Mux(self._store, self._strobe, Mux(inside, w.payload.strobe, 0))),
        ]
        for number, lane in enumerate(self._lanes):
            m.d.comb += [
                lane.write_index.eq(index),
                lane.data.eq(data.word_select(number, LANE_BITS)),
                lane.strobe.eq(strobe.word_select(number, LANE_BYTES)),
                lane.fill.eq(self._store),
                lane.byte.eq(self._byte),
            ]

    def _words_written(self, m: Module) -> Any:
        """The stream of words, through a register that is not far from those who send them."""
        layout, w = write_layout(self._params), self.w
        taken = Slice(layout.size)
        place(m, "words", taken)
        words = stream.Signature(layout).create()
        m.d.comb += [
            taken.input.valid.eq(w.valid),
            taken.input.payload.eq(w.payload),
            w.ready.eq(taken.input.ready),
            words.valid.eq(taken.output.valid),
            words.payload.eq(taken.output.payload),
            taken.output.ready.eq(words.ready),
        ]
        return words
