"""The accelerator: the core between an AXI4 master, its memory, and an AXI4-Lite slave, its registers. Wiring only."""

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, Mux, ResetSignal, Signal
from amaranth.lib.wiring import In, Out, connect

from hwgen.control.causes import CAUSE_BITS
from hwgen.control.command_queue import CommandQueue
from hwgen.control.counter_bank import CounterBank
from hwgen.control.counter_snapshot import CounterSnapshot
from hwgen.control.descriptor import LSE_BYTES
from hwgen.control.descriptor_unit import DescriptorUnit
from hwgen.control.head_fork import HeadFork, RowsOwed
from hwgen.control.job_walker import JobWalker
from hwgen.control.record import always_read, has_record
from hwgen.control.register_file import RegisterFile
from hwgen.control.traffic import WRITERS, TrafficEvents, readers
from hwgen.core import Core
from hwgen.errors import ConfigError
from hwgen.memory.axi_ports import connect_master, connect_slave, master_ports, slave_ports
from hwgen.memory.bias_reader import BiasFork, BiasReader
from hwgen.memory.fetch_fork import FetchFork, SegmentFetch
from hwgen.memory.lse_record import LSE_BEAT, LSE_ELEMENT_BITS, RD_BITS, lse_record
from hwgen.memory.read_engine import ReadEngine
from hwgen.memory.row_reader import RowReader
from hwgen.memory.row_writer import RowWriter
from hwgen.memory.score_record import ScoreRecord
from hwgen.memory.segment_reader import SegmentReader
from hwgen.memory.write_engine import WriteEngine
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import ResetRelay, place_apart


class Accelerator(Part):
    """Whole attention layers, described by descriptors in memory; see docs/accelerator.md.

    One descriptor at a time: fetched, checked, walked by batch and key/value head, every job's rows read, computed and
    written. Two reset domains share the clock: registers, queue and bus engines live until `aresetn`; all that holds
    a job's data is reset after a fault too. The bus engines never break off a transaction.

    Members: aclk, aresetn, interrupt; s_axi_*: AXI4-Lite slave (`control.register_map`); m_axi_*: AXI4 master;
    active, cause, value_busy: a descriptor is being worked on; what the arrays do (`control.causes`).
    """

    def __init__(self, params: Params) -> None:
        if params.numerics.denominator_bits > RD_BITS:
            excess = params.numerics.denominator_bits - RD_BITS
            raise ConfigError(
                f"weight_bits={params.config.weight_bits} leaves no room for RD in an LSE record; at most "
                f"{params.config.weight_bits - excess} with an accelerator"
            )
        self._params, self._names = params, readers(params)
        super().__init__(
            {"aclk": In(1), "aresetn": In(1), "interrupt": Out(1)}
            | slave_ports()
            | master_ports(params)
            | {"active": Out(1), "cause": Out(CAUSE_BITS), "value_busy": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.domains += [ClockDomain("sync"), ClockDomain("data")]
        self._place(m)
        # Until its own reset has come the queue speaks of what was before, and nobody is to listen.
        early = Signal(ResetRelay.LATENCY, init=(1 << ResetRelay.LATENCY) - 1)
        m.d.sync += early.eq(early << 1)
        self._early = early[-1]
        # The queue asks for a reset of the data path from its own reset on, and holds it long enough.
        reset_data = Signal(init=1)
        m.d.sync += reset_data.eq(self._queue.reset_data | self._early)
        m.d.comb += [
            ClockSignal("sync").eq(self.aclk),
            ClockSignal("data").eq(self.aclk),
            ResetSignal("sync").eq(~self.aresetn),
            ResetSignal("data").eq(reset_data),
        ]
        connect_slave(m, self, self._registers)
        connect_master(m, self, self._params, self._reads, self._writes)
        self._connect_registers(m)
        self._connect_queue(m)
        self._connect_jobs(m)
        self._connect_score(m)
        self._connect_reads(m)
        self._connect_writes(m)
        self._connect_counters(m)
        return m

    def _place(self, m: Module) -> None:
        p = self._params
        c = p.config
        self._registers, self._snapshot, self._queue = RegisterFile(p), CounterSnapshot(p), CommandQueue(p)
        self._unit, self._jobs, self._heads = DescriptorUnit(p), JobWalker(p), HeadFork(p)
        queues = dict.fromkeys(("q", "k", "v", "bias"), c.queue_beats)
        self._reads = ReadEngine(p, tuple(queues.get(name, 2 * c.burst_beats) for name in self._names))
        self._writes = WriteEngine(p, len(WRITERS))
        self._core, self._traffic, self._counters = Core(p), TrafficEvents(p), CounterBank(p)
        self._fetch = SegmentFetch(p) if p.segmented else FetchFork(p)
        heads = {"q": (c.rows_e, c.head_e), "k": (c.rows_e, c.head_e), "v": (c.rows_f, c.head_f)}
        # Rows of keys and values are sought where they come as segments.
        self._readers = {name: RowReader(p, *shape, p.segmented and name != "q") for name, shape in heads.items()}
        self._writers = {
            "o": RowWriter(p, p.output.bits, c.out_beat, c.head_f),
            "lse": RowWriter(p, LSE_ELEMENT_BITS, LSE_BEAT, LSE_BEAT),
        }
        self._owed = {name: RowsOwed() for name in WRITERS}
        # What the bus sees obeys its reset in the same cycle.
        at_the_bus = {"registers": self._registers, "read_engine": self._reads, "write_engine": self._writes}
        lasting = {"snapshot": self._snapshot, "queue": self._queue, "descriptor_unit": self._unit}
        working = {
            "job_walker": self._jobs,
            "head_fork": self._heads,
            "fetch_fork": self._fetch,
            "core": self._core,
            "traffic": self._traffic,
            "counters": self._counters,
        }
        working |= {f"{name}_reader": reader for name, reader in self._readers.items()}
        working |= {f"{name}_writer": writer for name, writer in self._writers.items()}
        working |= {f"{name}_owed": owed for name, owed in self._owed.items()}
        working |= self._score_parts()
        for name, part in at_the_bus.items():
            place(m, name, part)
        for name, part in lasting.items():
            place_apart(m, name, part)
        for name, part in working.items():
            place_apart(m, name, part, "data")

    def _score_parts(self) -> dict[str, Part]:
        """What only a machine with a score program or with lists of segments has."""
        p = self._params
        self._record = ScoreRecord(p) if has_record(p) else None
        self._segments = SegmentReader(p) if p.config.block_list else None
        self._bias = BiasReader(p) if p.has_bias else None
        parts = {"score_record": self._record, "segment_reader": self._segments, "bias_reader": self._bias}
        return {name: part for name, part in parts.items() if part is not None}

    def _connect_registers(self, m: Module) -> None:
        registers, queue, core = self._registers, self._queue, self._core
        # What the queue has to tell follows from much, and is told a cycle later, all in the same order.
        fault, index, done = Signal.like(queue.fault), Signal.like(queue.fault_index), Signal()
        m.d.sync += [fault.eq(queue.fault), index.eq(queue.fault_index), done.eq(queue.done & ~self._early)]
        with m.If(self._early):
            m.d.sync += fault.valid.eq(0)
        m.d.comb += [
            self.interrupt.eq(registers.interrupt),
            queue.base.eq(registers.queue_base),
            queue.size.eq(registers.queue_size),
            queue.tail.eq(registers.queue_tail),
            queue.start.eq(registers.pending),
            queue.abort.eq(registers.abort),
            queue.soft_reset.eq(registers.soft_reset),
            registers.queue_head.eq(queue.head),
            registers.ready.eq(queue.ready & ~self._early),
            registers.done.eq(done),
            registers.busy.eq(queue.busy),
            registers.copying.eq(self._snapshot.copying),
            registers.saturated.eq(core.saturated),
            registers.poisoned.eq(core.poisoned),
            registers.fault.eq(fault),
            registers.fault_index.eq(index),
            self._snapshot.address.eq(registers.counter_address),
            registers.counter_data.eq(self._snapshot.data),
        ]

    def _connect_queue(self, m: Module) -> None:
        queue, unit, reads, writes = self._queue, self._unit, self._reads, self._writes
        self._connect_reader(m, "other", queue.request, unit.words)
        fault = self._jobs.fault
        for part in (self._segments, self._record):
            if part is not None:
                fault = Mux(part.fault.valid, part.fault, fault)
        fault = Mux(reads.fault.valid, reads.fault, Mux(writes.fault.valid, writes.fault, fault))
        at_rest = Signal(3 + len(WRITERS))
        jobs_finished = self._jobs.finished if self._record is None else ~self._record.busy & self._jobs.finished
        m.d.comb += [
            unit.start.eq(queue.load),
            queue.loaded.eq(unit.done),
            queue.code.eq(unit.code),
            queue.offset.eq(unit.offset),
            queue.fault_in.eq(fault),
            reads.flush.eq(queue.flush | self._early),
            writes.flush.eq(queue.flush | self._early),
            queue.quiet.eq(reads.idle & writes.idle),
            queue.copying.eq(self._snapshot.copying),
            # The read engine tells a cycle late, and asks for nothing while all others rest.
            queue.settled.eq(at_rest.all() & reads.idle),
        ]
        # In this order: what leaves one place has arrived in the next. What was there before a start is out of date.
        owed = [self._owed[name].none for name in WRITERS]
        m.d.sync += at_rest.eq(Cat(jobs_finished & ~queue.run, *owed, ~self._core.busy, writes.idle))

    def _connect_jobs(self, m: Module) -> None:
        jobs, heads, core, unit = self._jobs, self._heads, self._core, self._unit
        self._connect_reader(m, "lengths", jobs.lengths_request, jobs.lengths_words)
        connect(m, jobs.job, core.job)
        connect(m, jobs.heads, heads.heads)
        if self._bias is None:
            connect(m, core.fetch, self._fetch.fetch)
        m.d.comb += [
            jobs.start.eq(self._queue.run if self._record is None else self._record.done),
            jobs.descriptor.eq(unit.descriptor),
            jobs.derived.eq(unit.derived),
            unit.number.eq(jobs.number),
            jobs.field.eq(unit.field),
            heads.write_lse.eq(unit.descriptor.write_lse),
            core.geometry.eq(unit.geometry),
            self._fetch.hungry.eq(core.hungry),
            self._fetch.loaded.eq(core.loaded),
        ]

    def _connect_reader(self, m: Module, name: str, request, words) -> None:
        """One of the read engine's clients."""
        client = self._names.index(name)
        connect(m, request, self._reads.requests[client])
        connect(m, self._reads.words[client], words)

    def _connect_score(self, m: Module) -> None:
        """The score record is loaded before the jobs start; what it names is read while they run."""
        p, record = self._params, self._record
        if record is not None:
            self._connect_record(m, record)
            if self._segments is not None:
                self._connect_list(m, record, self._segments)
            if self._bias is not None:
                self._connect_bias(m, record, self._bias)
        if p.segmented:
            connect(m, self._core.fetch_segments, self._fetch.segments)

    def _connect_record(self, m: Module, record: ScoreRecord) -> None:
        p, descriptor = self._params, self._unit.descriptor
        listed = descriptor.listed if p.config.block_list else 0
        self._connect_reader(m, "score", record.request, record.words)
        m.d.comb += [
            record.start.eq(self._queue.run),
            record.address.eq(descriptor.score_address),
            record.wanted.eq(1 if always_read(p) else listed),
            record.listed.eq(listed),
        ]
        if p.score is not None:
            m.d.comb += self._core.argument.eq(record.argument)

    def _connect_bias(self, m: Module, record: ScoreRecord, bias: BiasReader) -> None:
        fork = BiasFork(self._params)
        place_apart(m, "bias_fork", fork, "data")
        connect(m, self._core.fetch, fork.fetch)
        connect(m, fork.blocks, self._fetch.fetch)
        if self._params.segmented:
            connect(m, self._fetch.bias, fork.rows)
        self._connect_reader(m, "bias", bias.request, bias.words)
        connect(m, self._heads.bias, bias.head)
        connect(m, fork.bias, bias.block)
        connect(m, bias.output, self._core.bias)
        m.d.comb += [self._jobs.bias.eq(record.bias), bias.stride.eq(record.bias.row_stride)]

    def _connect_list(self, m: Module, record: ScoreRecord, segments: SegmentReader) -> None:
        core = self._core
        self._connect_reader(m, "segments", segments.request, segments.words)
        connect(m, segments.segments, core.segments)
        m.d.comb += [
            segments.start.eq(record.done & self._unit.descriptor.listed),
            segments.list.eq(record.segments),
            segments.keys.eq(self._unit.descriptor.keys),
            segments.block.eq(core.fetch.valid & core.fetch.ready),
            # A list that is too long is the only thing that is left then.
            segments.finish.eq(
                self._jobs.finished & self._owed["o"].none & self._owed["lse"].none & ~core.busy & self._writes.idle
            ),
        ]

    def _connect_reads(self, m: Module) -> None:
        unit, core = self._unit, self._core
        derived, descriptor = unit.derived, unit.descriptor
        facts = {
            "q": (derived.group, derived.row_bytes_e, derived.packed_q, descriptor.head_e),
            "k": (1, derived.row_bytes_e, derived.packed_k, descriptor.head_e),
            "v": (1, derived.row_bytes_f, derived.packed_v, descriptor.head_f),
        }
        for name, (group, row_bytes, packed, elements) in facts.items():
            reader = self._readers[name]
            connect(m, getattr(self._heads, name), reader.head)
            connect(m, getattr(self._fetch, name), reader.block)
            self._connect_reader(m, name, reader.request, reader.words)
            connect(m, reader.output, getattr(core, name))
            m.d.comb += [
                reader.stride.eq(descriptor[name].row_stride),
                reader.head_stride.eq(descriptor[name].head_stride),
                reader.group.eq(group),
                reader.row_bytes.eq(row_bytes),
                reader.packed.eq(packed),
                reader.elements.eq(elements),
            ]
        # While no queries are loaded nothing else is of use.
        m.d.comb += self._reads.prefer.eq(Mux(core.hungry, 1 << self._names.index("q"), 0))

    def _connect_writes(self, m: Module) -> None:
        unit, core, heads = self._unit, self._core, self._heads
        derived, descriptor = unit.derived, unit.descriptor
        facts = {
            "o": (derived.row_bytes_o, derived.packed_o, descriptor.head_f),
            "lse": (LSE_BYTES, derived.packed_lse, LSE_BEAT),
        }
        for name, (row_bytes, packed, elements) in facts.items():
            writer, owed, client = self._writers[name], self._owed[name], WRITERS.index(name)
            connect(m, getattr(heads, name), writer.head)
            connect(m, getattr(heads, f"{name}_rows"), writer.rows)
            connect(m, writer.request, self._writes.requests[client])
            connect(m, writer.words, self._writes.words[client])
            m.d.comb += writer.room.eq(self._writes.rooms[client])
            wanted = descriptor.write_lse if name == "lse" else 1
            m.d.comb += [
                writer.stride.eq(descriptor[name].row_stride),
                writer.head_stride.eq(descriptor[name].head_stride),
                writer.group.eq(derived.group),
                writer.row_bytes.eq(row_bytes),
                writer.packed.eq(packed),
                writer.elements.eq(elements),
                owed.add.eq(heads.heads.valid & heads.heads.ready & wanted),
                owed.rows.eq(heads.heads.payload.queries),
                owed.pay.eq(writer.asked),
            ]
        o, lse = self._writers["o"].values, self._writers["lse"].values
        # A register, as it comes from afar and is long there when the first result is.
        write_lse = Signal()
        m.d.sync += write_lse.eq(descriptor.write_lse)
        m.d.comb += [
            o.valid.eq(core.o.valid),
            o.payload.elements.eq(core.o.payload.data),
            o.payload.last.eq(core.o.payload.last),
            core.o.ready.eq(o.ready),
            lse.valid.eq(core.lse.valid & write_lse),
            lse.payload.elements.eq(lse_record(core.lse.payload)),
            lse.payload.last.eq(1),
            core.lse.ready.eq(lse.ready | ~write_lse),
        ]

    def _connect_counters(self, m: Module) -> None:
        queue, core, traffic = self._queue, self._core, self._traffic
        counters, snapshot = self._counters, self._snapshot
        clear = self._registers.clear_counters | queue.clear_counters
        # That a job is taken is known late, in the midst of the core.
        job = Signal()
        m.d.sync += job.eq(core.job.valid & core.job.ready)
        m.d.comb += [
            core.active.eq(queue.working),
            core.clear.eq(clear),
            counters.clear.eq(clear),
            traffic.read.eq(self._reads.taken),
            traffic.written.eq(self._writes.taken),
            traffic.read_wait.eq(self._reads.waiting),
            traffic.write_wait.eq(self._writes.waiting),
            traffic.descriptor.eq(queue.capture),
            traffic.job.eq(job),
            traffic.group.eq(self._unit.derived.group),
            traffic.poisoned_row.eq(core.poisoned_row),
            snapshot.capture.eq(queue.capture),
            counters.events.eq(Cat(core.events, traffic.events)),
            snapshot.number.eq(counters.number),
            snapshot.value.eq(counters.value),
            self.active.eq(queue.working),
            self.cause.eq(core.cause),
            self.value_busy.eq(core.value_busy),
        ]
