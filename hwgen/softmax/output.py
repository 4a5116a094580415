"""From results in the arrays to the O and LSE streams."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from golden.bitexact.numerics import REFERENCE_BITS
from hwgen.array.value_array import drain_latency
from hwgen.control.drain import Credits, beat_address, step_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.queue import Queue
from hwgen.softmax.lane import result_layout, state_address_bits
from hwgen.softmax.normaliser import NormaliserLane
from hwgen.softmax.reciprocal import Reciprocal, reciprocal_latency


def output_beat(params: Params) -> data.StructLayout:
    """`out_beat` numbers of a query's O row, element 0 lowest; `last` beat of the row, `job_last` beat of the job."""
    codes = data.ArrayLayout(unsigned(params.output.bits), params.config.out_beat)
    return data.StructLayout({"data": codes, "last": 1, "job_last": 1})


def lse_beat(params: Params) -> data.StructLayout:
    """A query's RM and RD, of which the host makes `LSE = (RM + log2(RD) - Pw) ln 2`, and its flags."""
    return data.StructLayout(
        {
            "rm": signed(REFERENCE_BITS),
            "rd": unsigned(params.numerics.denominator_bits),
            "empty": 1,
            "poisoned": 1,
        }
    )


def read_latency(params: Params) -> int:
    """Cycles from a drain step to the address of its values."""
    return RESULT_LATENCY + reciprocal_latency(params) + 1


def output_latency(params: Params) -> int:
    """Cycles from a drain step to its beat at the end of an empty queue."""
    return read_latency(params) + drain_latency(params) + NormaliserLane.LATENCY + 2


RESULT_LATENCY = 2
"""Cycles from a drain step to its query's state, chosen of all lanes'."""

RECORD_LATENCY = RESULT_LATENCY + 1
"""Cycles from a drain step until its record enters the queue of LSE."""


def queue_depth(params: Params) -> int:
    """Places in the queue of O: the steps in flight, and some to keep a stop-and-go reader from starving them."""
    return 1 << ceil_log2(output_latency(params) + 8)


LSE_DEPTH = 16
"""Places in the queue of LSE, likewise."""


class OutputUnit(Part):
    """Every drain step passes the reciprocal, fetches its values, is divided and queued; nothing in between stops.

    `room` says that the queues have a place for one more step. Latency `output_latency` cycles from `step` to `o`,
    RECORD_LATENCY + 2 to `lse`; throughput 1 step a cycle, a query in 2 cycles.

    Members: step, room; result_address, result (one a lane, one cycle later); drain_columns, drain_rows, drain_address,
    drain (the value array's); drained, drained_slot (a slot's values have been read); o, lse; poisoned (a query's
    result is NaN).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        super().__init__(
            {
                "step": In(step_layout(params)),
                "room": Out(1),
                "result_address": Out(state_address_bits(params)),
                "result": In(result_layout(params)).array(params.lanes),
                "drain_columns": Out(c.cols),
                "drain_rows": Out(c.rows_f // c.out_beat),
                "drain_address": Out((params.acc_depth - 1).bit_length()),
                "drain": In(signed(c.accumulator_bits)).array(c.out_beat),
                "drained": Out(1),
                "drained_slot": Out(params.slot_bits),
                "o": Out(stream.Signature(output_beat(params))),
                "lse": Out(stream.Signature(lse_beat(params))),
                "poisoned": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._taken, step, result = self._results(m)
        reciprocal = Reciprocal(self._params)
        place(m, "reciprocal", reciprocal)
        m.d.comb += [reciprocal.result.eq(result), reciprocal.step_in.eq(step)]
        self._queue_lse(m, step, result)
        step, divisor = self._fetch(m, reciprocal)
        self._queue_o(m, step, self._normalise(m, divisor))
        return m

    def _results(self, m: Module) -> tuple:
        """The step one cycle later, and another one later with its query's state."""
        p = self._params
        taken, step = Signal(step_layout(p)), Signal(step_layout(p))
        lane = Signal(range(max(p.lanes, 2)))
        address = Signal(p.group_bits)
        for i in range(p.lanes):
            first = i * p.group
            with m.If((self.step.column >= first) & (self.step.column < first + p.group)):
                m.d.comb += address.eq(self.step.column - first)
                m.d.sync += lane.eq(i)
        m.d.comb += self.result_address.eq(Cat(address, self.step.slot))
        result = Signal(result_layout(p), reset_less=True)
        m.d.sync += [
            taken.eq(self.step),
            step.eq(taken),
            result.eq(Array(r.as_value() for r in self.result)[lane]),
        ]
        return taken, step, result

    def _queue_lse(self, m: Module, step, result) -> None:
        layout = lse_beat(self._params)
        queue = Queue(width=layout.size, depth=LSE_DEPTH, rests=True, counted=True)
        place(m, "lse_queue", queue)
        entry, enters = Signal(layout, reset_less=True), Signal()
        blank = step.void | result.empty
        m.d.sync += [
            entry.rm.eq(Mux(blank, 0, result.rm)),
            entry.rd.eq(Mux(blank, 0, result.rd)),
            entry.empty.eq(blank),
            entry.poisoned.eq(~step.void & result.poisoned),
            enters.eq(step.valid & step.first),
        ]
        m.d.comb += [
            queue.w_data.eq(entry),
            queue.w_en.eq(enters),
            self.poisoned.eq(enters & entry.poisoned),
            self.lse.payload.eq(queue.r_data),
            self.lse.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.lse.ready),
        ]
        self._lse_credits = credits = Credits(LSE_DEPTH)
        place(m, "lse_credits", credits)
        m.d.comb += [
            credits.take.eq(self._taken.valid & self._taken.first),
            credits.give.eq(self.lse.valid & self.lse.ready),
        ]

    def _fetch(self, m: Module, reciprocal: Reciprocal) -> tuple:
        """Address the value array, from registers; its divisor waits for the values, the step for what becomes of
        them."""
        step, divisor = reciprocal.step_out, reciprocal.divisor
        reads = step.valid & ~step.void
        m.d.sync += [
            self.drain_columns.eq(Mux(reads, 1 << step.column, 0)),
            self.drain_rows.eq(1 << step.group),
            self.drain_address.eq(beat_address(step)),
            self.drained.eq(reads & step.slot_last),
            self.drained_slot.eq(step.slot),
        ]
        late = 1 + drain_latency(self._params)
        return (
            delayed(m, step, late + NormaliserLane.LATENCY, "step_at", reset_less=False),
            delayed(m, divisor, late, "divisor_at"),
        )

    def _normalise(self, m: Module, divisor) -> list:
        codes = []
        for i, value in enumerate(self.drain):
            lane = NormaliserLane(self._params)
            place(m, f"normaliser_{i}", lane)
            m.d.comb += [lane.rnv.eq(value), lane.divisor.eq(divisor)]
            codes.append(lane.code)
        return codes

    def _queue_o(self, m: Module, step, codes: list) -> None:
        layout = output_beat(self._params)
        queue = Queue(width=layout.size, depth=queue_depth(self._params), counted=True)
        place(m, "o_queue", queue)
        entry = data.View(layout, queue.w_data)
        m.d.comb += [
            *(entry.data[i].eq(code) for i, code in enumerate(codes)),
            entry.last.eq(step.last),
            entry.job_last.eq(step.job_last),
            queue.w_en.eq(step.valid),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        credits = Credits(queue_depth(self._params))
        place(m, "o_credits", credits)
        m.d.comb += [
            credits.take.eq(self._taken.valid),
            credits.give.eq(self.o.valid & self.o.ready),
            self.room.eq(credits.room & self._lse_credits.room),
        ]
