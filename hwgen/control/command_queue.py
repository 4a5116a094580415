"""Works off the ring of descriptors, one after the other, and clears up behind faults."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.control.faults import FAULT_BITS, Fault
from hwgen.control.register_map import QUEUE_BITS
from hwgen.memory.axi import fault_layout, request_layout
from hwgen.params import Params
from hwgen.part import Part
from hwgen.timing import reset_cycles


class CommandQueue(Part):
    """For every descriptor from `head` to `tail`: fetch, check, run, wait until all is written.

    A fault ends the descriptor at hand: the bus engines finish what is on the bus and drop the rest (`flush`), the data
    path is reset, and the next descriptor has its turn. An abort does the same, but then the queue halts until the next
    start, as it does if it holds more than the ring has places; with no descriptor at hand, it only halts. A soft reset
    also sets `head` to 0, and nothing is reported.

    Latency 2 cycles from `start` to the first request, 2 from `loaded` to `run`, 2 from `settled` to the end of
    `working`, 2 from `fault_in` to `flush`. The counters are copied before the next descriptor has its turn.

    Members
    -------
    base, size, tail:       of the ring;  head: descriptors finished
    start:                  the host rang;  ready: pulse, that has been noticed
    done:                   pulse, the queue is empty or halts: the answer to a start and to an abort
    abort, soft_reset:      pulses
    working:                a descriptor is being worked on: cycles count
    busy:                   something is to be done
    request:                for the descriptor's bytes
    load, loaded, code, offset: the descriptor unit is to collect and check, from the last cycle in which `load` is set
                            on; has done so; its verdict
    run:                    pulse, the descriptor unit's descriptor is to be worked on
    settled:                nothing of the run is left anywhere
    fault_in:               from engines and walker;  fault, fault_index: what to tell the host
    flush:                  to the engines: finish;  quiet: they have
    reset_data:             to the data path
    capture, copying:       a descriptor is done, counters are to be kept; are being copied
    clear_counters:         with a soft reset
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "base": In(params.config.address_bits),
                "size": In(QUEUE_BITS),
                "tail": In(QUEUE_BITS),
                "head": Out(QUEUE_BITS),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "abort": In(1),
                "soft_reset": In(1),
                "working": Out(1),
                "busy": Out(1),
                "request": Out(stream.Signature(request_layout(params))),
                "load": Out(1),
                "loaded": In(1),
                "code": In(FAULT_BITS),
                "offset": In(unsigned(8)),
                "run": Out(1),
                "settled": In(1),
                "fault_in": In(fault_layout(params)),
                "fault": Out(fault_layout(params)),
                "fault_index": Out(QUEUE_BITS),
                "flush": Out(1),
                "reset_data": Out(1),
                "quiet": In(1),
                "capture": Out(1),
                "copying": In(1),
                "clear_counters": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # The place of descriptor `head` in the ring, found by counting, and its address.
        self._place, self._address = Signal(QUEUE_BITS), Signal(self._params.config.address_bits)
        # What the host wants, a cycle late: descriptors not finished, and whether there are any; the pulses. Behind
        # that, whether there is one left, or too many.
        self._waiting, self._start, self._abort = Signal(QUEUE_BITS), Signal(), Signal()
        self._some, self._single, self._crowded = Signal(), Signal(), Signal()
        # An abort or a soft reset was asked for and has not been done; it is a soft reset.
        self._stop, self._forget, self._halted = Signal(), Signal(), Signal()
        self._keep_stop, self._keep_forget, self._interrupted = Signal(), Signal(), Signal()
        # Counts the cycles of a reset; its highest bit says that they are over.
        bits = ceil_log2(reset_cycles(self._params))
        self._hold = Signal(bits + 1, init=(1 << bits) - reset_cycles(self._params))
        # What comes from afar, a cycle late: none of it is urgent, and its order stays.
        self._settled, self._quiet, self._fault = Signal(), Signal(), Signal.like(self.fault_in)
        self._loaded, self._good, self._copying = Signal(), Signal(), Signal()
        m.d.sync += [
            self._settled.eq(self.settled),
            self._quiet.eq(self.quiet),
            self._fault.eq(self.fault_in),
            self._loaded.eq(self.loaded & ~self.load),
            self._good.eq(self.code == Fault.NONE),
            self._copying.eq(self.copying | self.capture),
        ]
        m.d.sync += self._address.eq(self.base + self._place.shift_left(DESCRIPTOR_BYTES.bit_length() - 1))
        m.d.comb += [
            self.request.payload.address.eq(self._address),
            self.request.payload.bytes.eq(DESCRIPTOR_BYTES),
            self.fault_index.eq(self.head),
            self._stop.eq(self._keep_stop | self._abort | self.soft_reset),
            self._forget.eq(self._keep_forget | self.soft_reset),
            self._interrupted.eq(self._fault.valid | self._stop),
        ]
        m.d.sync += [
            self._waiting.eq(self.tail - self.head),
            self._start.eq(self.start & ~self.ready),
            self._abort.eq(self.abort),
            self._some.eq(self.tail != self.head),
            self._single.eq(self._waiting == 1),
            self._crowded.eq(self._waiting > self.size),
            self._keep_stop.eq(self._stop),
            self._keep_forget.eq(self._forget),
        ]
        with m.FSM(init="BOOT") as fsm:
            at_rest = [fsm.ongoing(state) for state in ("BOOT", "IDLE", "KEEP")]
            m.d.comb += [
                self.working.eq(~Cat(at_rest).any()),
                self.busy.eq(~fsm.ongoing("IDLE") | (self._some & ~self._halted)),
            ]
            self._boot(m)
            self._wait(m)
            self._fetch(m)
            self._work(m)
            self._clear_up(m)
        return m

    def _boot(self, m: Module) -> None:
        """The data path needs a longer reset than the host gives, and may speak to the engines until it comes."""
        with m.State("BOOT"):
            m.d.comb += [self.flush.eq(1), self.reset_data.eq(1)]
            m.d.sync += self._hold.eq(self._hold + 1)
            with m.If(self._hold[-1]):
                m.d.sync += self._hold.eq(self._hold.init)
                m.next = "IDLE"

    def _wait(self, m: Module) -> None:
        """Nothing is at hand."""
        with m.State("IDLE"):
            m.d.comb += self.ready.eq(self._start & ~self._forget)
            with m.If(self._start):
                m.d.sync += self._halted.eq(0)
            with m.If(self._forget):
                m.next = "FLUSH"
            with m.Elif(self._stop):
                m.d.comb += self.done.eq(1)
                m.d.sync += [self._halted.eq(1), self._keep_stop.eq(0)]
            with m.Elif(self._some & (self._start | ~self._halted)):
                m.next = "ASK"
            with m.Elif(self._start):
                m.d.comb += self.done.eq(1)
        with m.State("KEEP"):
            with m.If(~self._copying):
                m.next = "IDLE"

    def _fetch(self, m: Module) -> None:
        """The next descriptor."""
        with m.State("ASK"):
            # The request may be taken in any of these cycles, and its words come later than in the next one.
            m.d.comb += self.load.eq(1)
            # A soft reset takes the tail back at once, so that the queue looks full.
            with m.If((self._crowded) & self._forget):
                m.next = "FLUSH"
            with m.Elif(self._crowded):
                self._report(m, Fault.QUEUE, self.base)
                m.d.sync += self._halted.eq(1)
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
            with m.Else():
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.next = "FETCH"
        with m.State("FETCH"):
            with m.If(self._loaded & ~self._interrupted):
                m.next = "RUN"
                m.d.sync += self.run.eq(self._good)
                with m.If(~self._good):
                    self._report(m, self.code, self._address + self.offset)
                    m.next = "FLUSH"
            self._watch(m)

    def _work(self, m: Module) -> None:
        """Until everything is written."""
        with m.State("RUN"):
            # `run` is a register, as it goes far; what it starts while the host interferes is reset.
            m.d.sync += self.run.eq(0)
            m.next = "BEGUN"
            self._watch(m)
        with m.State("BEGUN"):
            # What `run` has started is not settled from this cycle on, and in the next one that is known here.
            m.next = "SETTLE"
            self._watch(m)
        with m.State("SETTLE"):
            with m.If(self._settled & ~self._interrupted):
                m.d.comb += self.capture.eq(1)
                m.next = "KEEP"
                self._finish(m)
            self._watch(m)

    def _watch(self, m: Module) -> None:
        """Leave for a fault, or because the host wants it."""
        with m.If(self._interrupted):
            m.next = "FLUSH"
        with m.If(self._forget):
            pass
        with m.Elif(self._fault.valid):
            m.d.comb += self.fault.eq(self._fault)
        with m.Elif(self._stop):
            self._report(m, Fault.ABORTED, self._address)

    def _report(self, m: Module, code, address) -> None:
        m.d.comb += [self.fault.valid.eq(1), self.fault.code.eq(code), self.fault.address.eq(address)]

    def _clear_up(self, m: Module) -> None:
        """Engines come to rest; the data path is reset for as long as it takes."""
        with m.State("FLUSH"):
            m.d.comb += [self.flush.eq(1), self.reset_data.eq(1)]
            m.d.sync += self._hold.eq(Mux(self._quiet, self._hold + 1, self._hold.init))
            with m.If(self._hold[-1]):
                m.d.sync += self._hold.eq(self._hold.init)
                m.next = "KEEP"
                self._finish(m)
                with m.If(self._stop):
                    m.d.comb += [self.done.eq(~self._forget), self.ready.eq(self._start & ~self._forget)]
                    m.d.comb += self.clear_counters.eq(self._forget)
                    m.d.sync += [self._halted.eq(~self._forget), self._keep_stop.eq(0), self._keep_forget.eq(0)]
                with m.If(self._forget):
                    m.d.sync += [self.head.eq(0), self._place.eq(0)]

    def _finish(self, m: Module) -> None:
        """The descriptor at hand is over."""
        m.d.comb += self.done.eq(self._single)
        m.d.sync += [self.head.eq(self.head + 1), self._place.eq(self._place + 1)]
        with m.If(self._place + 1 >= self.size):
            m.d.sync += self._place.eq(0)
