"""Loads a descriptor's score record: where the bias and the list of segments lie, and the score program's arguments."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.control.descriptor import STRIDES
from hwgen.control.descriptor_layout import tensor_layout
from hwgen.control.faults import Fault
from hwgen.control.record import ARGUMENT_BYTES, HEADER, HEADER_BYTES, RECORD_ALIGNMENT, list_layout, record_bytes
from hwgen.memory.axi import fault_layout, request_layout
from hwgen.memory.word_lanes import WordLanes
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.scoremod.layout import argument_layout
from hwgen.timing import settling

WORD_BITS = 8 * ARGUMENT_BYTES
HEADER_WORDS = HEADER_BYTES // ARGUMENT_BYTES


class ScoreRecord(Part):
    """Reads the record at `address`, keeps its header, hands argument word i on as a write to address i.

    The first word that is not as it has to be is reported, and nothing behind it is used; the loader then stands still
    until it is reset. One word a cycle; `done` comes 2 cycles behind the last one and, where there is a score program,
    `timing.settling` more, when all that follows from the arguments alone is right; or one behind `start` if nothing is
    wanted.

    Members
    -------
    start:          a pulse, after a reset or when not `busy`
    address:        at `start`, a multiple of 8
    wanted, listed: at `start`: there is a record; there is a list of segments
    request, words: the read engine's
    argument:       writes, where there is a score program
    bias:           address and strides, where there is a bias
    segments:       address and number, where there may be a list; the number is 0 if there is none
    busy:           from the cycle after `start` until `done`
    done:           a pulse: all is loaded
    fault:          a pulse
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        optional = {
            "argument": (Out(argument_layout()), params.score is not None),
            "bias": (Out(tensor_layout(params)), params.has_bias),
            "segments": (Out(list_layout(params)), c.block_list),
        }
        super().__init__(
            {
                "start": In(1),
                "address": In(c.address_bits),
                "wanted": In(1),
                "listed": In(1),
                "request": Out(stream.Signature(request_layout(params))),
                "words": In(stream.Signature(unsigned(c.bus_bits))),
                "busy": Out(1),
                "done": Out(1),
                "fault": Out(fault_layout(params)),
            }
            | {name: flow for name, (flow, here) in optional.items() if here}
        )

    def elaborate(self, platform):
        m = Module()
        total = record_bytes(self._params) // ARGUMENT_BYTES
        lanes = WordLanes(self._params, WORD_BITS)
        place(m, "word_lanes", lanes)
        connect(m, flipped(self.words), lanes.words)
        base, listed = Signal(self._params.config.address_bits), Signal()
        # The word that comes next; the one that is looked at.
        coming, index = Signal(range(total + 1)), Signal(range(total))
        word, there, wrong = Signal(WORD_BITS), Signal(), Signal()
        begin = Signal()
        settle = settling(self._params)
        settled = Signal(range(settle + 1))
        m.d.comb += [
            begin.eq(self.start & self.wanted),
            self.request.payload.address.eq(base),
            self.request.payload.bytes.eq(record_bytes(self._params)),
            lanes.start.eq(begin),
            lanes.lane.eq(self.address[ceil_log2(ARGUMENT_BYTES) :]),
            lanes.count.eq(total),
            wrong.eq(self._look(m, word, index, there, listed)),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [base.eq(self.address), listed.eq(self.listed), coming.eq(0)]
                with m.If(self.start):
                    m.next = "DONE"
                with m.If(begin):
                    m.next = "ASK"
                if self._params.config.block_list:
                    with m.If(self.start):
                        m.d.sync += self.segments.count.eq(0)
            with m.State("ASK"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += lanes.output.ready.eq(1)
                m.d.sync += [
                    there.eq(lanes.output.valid),
                    word.eq(lanes.output.payload),
                    index.eq(coming),
                    coming.eq(coming + lanes.output.valid),
                ]
                with m.If(there & (index == total - 1)):
                    m.d.sync += [there.eq(0), settled.eq(settle)]
                    m.next = "SETTLE" if settle else "DONE"
                with m.If(wrong):
                    m.d.comb += [
                        self.fault.valid.eq(1),
                        self.fault.code.eq(Fault.SCORE_RECORD),
                        self.fault.address.eq(base + index * ARGUMENT_BYTES),
                    ]
                    m.d.sync += there.eq(0)
                    m.next = "STOPPED"
            if settle:
                with m.State("SETTLE"):
                    m.d.sync += settled.eq(settled - 1)
                    with m.If(settled == 1):
                        m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
            with m.State("STOPPED"):
                pass
        return m

    def _look(self, m: Module, word: Signal, index: Signal, there: Signal, listed: Signal) -> Value:
        """Keep or pass on the word with this index; gives whether it is wrong."""
        wrong = Signal()
        kept, refused = self._header(word, listed)
        for i in range(HEADER_WORDS):
            with m.If(there & (index == i)):
                if i in kept:
                    m.d.sync += kept[i].eq(word)
                m.d.comb += wrong.eq(refused.get(i, word != 0))
        if self._params.score is not None:
            m.d.comb += [
                self.argument.valid.eq(there & (index >= HEADER_WORDS)),
                self.argument.address.eq(index - HEADER_WORDS),
                self.argument.data.eq(word),
            ]
        return wrong

    def _header(self, word: Signal, listed: Signal) -> tuple[dict[int, Value], dict[int, Value]]:
        """Of the words that may be other than zero: where they are kept, and whether they are wrong."""
        kept, refused = {}, {}

        def wide(offset: int, target: Value, size: int) -> None:
            low, beyond = offset // ARGUMENT_BYTES, word[max(len(target) - WORD_BITS, 0) :]
            kept[low], refused[low] = target[:WORD_BITS], word[: ceil_log2(size)].any()
            kept[low + 1], refused[low + 1] = target[WORD_BITS:], beyond.any()

        if self._params.has_bias:
            element = self._params.input.bits // 8
            wide(HEADER["bias_address"], self.bias.address, element)
            for i, dimension in enumerate(STRIDES):
                wide(HEADER["bias_strides"] + 8 * i, self.bias[f"{dimension}_stride"], element)
        if self._params.config.block_list:
            wide(HEADER["segments_address"], self.segments.address, RECORD_ALIGNMENT)
            count, place_of_count = self.segments.count, HEADER["segments"] // ARGUMENT_BYTES
            kept[place_of_count] = count
            # Without a list there is no number; with one, every block has a segment.
            refused[place_of_count] = Mux(listed, word[len(count) :].any() | (word == 0), word != 0)
        return kept, refused
