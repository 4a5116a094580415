"""The whole machine, cycle by cycle."""

from __future__ import annotations

from collections import deque

from amaranth.utils import ceil_log2

from hwgen.control.causes import Cause
from hwgen.control.traffic import PLAIN_READERS
from hwgen.memory.lse_record import LSE_BEAT, LSE_ELEMENT_BITS
from hwgen.model.parts.blocks import IDLE, BlockWalker, FetchFork
from hwgen.model.parts.draining import JOB_LAST, Drain
from hwgen.model.parts.host import SETTLE, Host
from hwgen.model.parts.issuing import Issuer
from hwgen.model.parts.jobs import JobWalker, KeyLengths
from hwgen.model.parts.loading import Loader, RowBuffer
from hwgen.model.parts.queue import Bell
from hwgen.model.parts.reading import ReadEngine
from hwgen.model.parts.records import Job
from hwgen.model.parts.unpacking import Unpacker
from hwgen.model.parts.walker import Walker
from hwgen.model.parts.writing import Packer, WriteClient, WriteEngine
from hwgen.model.periods import BLOCKS, JOBS, Periods
from hwgen.model.placing import places
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.timing import key_rows, row_bits

KNOWN = 2
"""Cycles from all being done until the command queue knows."""

MOST_RUNS = 4096
"""Runs of one cause that are remembered: the last ones, which are in the value array's pipeline at the end."""


class Clockwork:
    """All parts, joined as `hwgen.accelerator` and `hwgen.core` join the hardware's."""

    def __init__(self, params: Params, work: Work, latency: int, bandwidth: int) -> None:
        c, s = params.config, work.shape
        self.params, self.work = params, work
        self.now = 0
        self.done = False
        depths = tuple(c.queue_beats if name in ("q", "k", "v") else 2 * c.burst_beats for name in PLAIN_READERS)
        self.reads = ReadEngine(params, depths, latency, bandwidth)
        clients = dict(zip(PLAIN_READERS, self.reads.clients, strict=True))
        layout = places(params, work)
        self.host = Host(clients["other"], layout.ring % self.reads.clients[0].splitter.chunk, params.bus_bytes, work)
        job = Job(s.L * work.group, work.group, s.S, work.causal, work.offset)
        self.bell = bell = Bell()
        self.jobs = JobWalker(params, job, work.keys, s.Hkv, layout.tensors, bell)
        if work.key_lengths is not None:
            self.jobs.lengths = KeyLengths(params, clients["lengths"], layout.lengths % self.jobs.chunk)
        self.blocks = BlockWalker(params, bell)
        load, issue, drain, fetch = self.blocks.outputs
        self.fetch = FetchFork(fetch, bell)
        heads = {"q": (c.rows_e, s.E), "k": (c.rows_e, s.E), "v": (c.rows_f, s.F)}
        self.unpackers = {}
        row_places = {"q": 0, "k": 1 << ceil_log2(key_rows(params)), "v": 1 << row_bits(params)}
        for name, (rows, elements) in heads.items():
            tensor = layout.shapes[name]
            walker = Walker(params, tensor, self.jobs.queues[name], self.fetch.queues[name])
            self.unpackers[name] = Unpacker(params, rows, elements, clients[name], walker, row_places[name])
        self.loader = Loader(load, self.unpackers["q"])
        self.keys, self.values = RowBuffer(self.unpackers["k"]), RowBuffer(self.unpackers["v"])
        self.issuer = Issuer(params, (s.E, s.F), issue, self.loader, self.keys, self.values)
        self.drain = Drain(params, s.F, drain, self.issuer)
        facts = {"o": (params.output.bits, c.out_beat, s.F, self.drain.o)}
        if work.lse:
            facts["lse"] = (LSE_ELEMENT_BITS, LSE_BEAT, LSE_BEAT, self.drain.lse)
        self.writers = {}
        for name, (bits, beat, elements, values) in facts.items():
            walker = Walker(params, layout.shapes[name], self.jobs.queues[name], self.jobs.rows[name])
            self.writers[name] = WriteClient(params, Packer(params, bits, beat, elements, values, walker))
        self.writes = WriteEngine(params, list(self.writers.values()), latency, bandwidth)
        self.running = self.more = False
        self.settled = 0
        self.hungry, self.loaded = True, False
        self.rows = s.B * s.Hq * s.L
        self.job_count = self.block_count = 0
        # A cycle behind the queues of results, and another one behind that.
        self.job_done = self.job_over = self.lse_waiting = False
        self.element_bytes = params.input.bits // 8
        self.runs: deque[list[int]] = deque([[Cause.NO_JOB, 0]], MOST_RUNS)

    def run(self, leap: bool = True) -> int:
        """Until all is done; gives the number of cycles that were gone through one by one."""
        periods, issuer = Periods(self) if leap else None, self.issuer
        steps = 1
        while self.tick():
            steps += 1
            if periods is not None:
                if self.stirred:
                    periods.forget_rows()
                    if self.job_taken:
                        periods.forget_blocks()
                if issuer.began:
                    periods.block(JOBS if issuer.job_begins else BLOCKS)
                elif issuer.row_end:
                    periods.row()
        return steps

    def tick(self) -> bool:
        """One cycle; whether the machine works on."""
        now, jobs, loader, host = self.now, self.jobs, self.loader, self.host
        drain, issuer, writes, reads = self.drain, self.issuer, self.writes, self.reads
        busy = self.job_count != 0 or self.block_count != 0 or self.lse_waiting
        # Known outside of the core a cycle later.
        hungry, loaded = self.hungry, self.loaded
        now_hungry = not (loader.loaded[0] or loader.loaded[1])
        over = self.settled == KNOWN
        self.settled += (
            host.state == SETTLE
            and jobs.finished
            and not busy
            and all(client.asked == self.rows for client in self.writers.values())
            and reads.idle()
            and writes.idle()
        )
        # Writers, back to front.
        job_over, self.job_over, self.lse_waiting = self.job_over, self.job_done, drain.lse.ready
        last = drain.o.ready and drain.o.head & JOB_LAST == JOB_LAST
        writes.tick(now)
        if "lse" not in self.writers:
            drain.lse.taken = drain.lse.ready
        self.job_done = last and drain.o.taken
        drain.tick(now)
        # A cycle late: visits' tags, that blocks are issued, and that others wait.
        shown, issued = issuer.visiting, issuer.block_done
        cause = issuer.tick(now, busy, self.running, self.more)
        self.more = self.blocks.state != IDLE or jobs.offering
        runs = self.runs
        if runs[-1][0] == cause:
            runs[-1][1] += 1
        else:
            runs.append([cause, 1])
        issuer.idle[cause] += 1
        loader.tick(now)
        self.keys.tick(now)
        self.values.tick(now)
        for unpacker in self.unpackers.values():
            unpacker.tick()
        host.tick()
        jobs.await_length()
        reads.tick(now, PLAIN_READERS.index("q") if hungry else -1)
        self.stirred = self.bell.rung
        if self.bell.rung:
            gate = self.fetch.gate()
            self.unpackers["q"].walker.open = gate
            for unpacker in self.unpackers.values():
                unpacker.asking = True
        for unpacker in self.unpackers.values():
            unpacker.ask(self.element_bytes)
        job_taken = begun = self.job_taken = False
        if self.bell.rung or loaded:
            self.bell.rung = False
            self.fetch.tick(hungry, loaded)
            job_taken = jobs.offering and self.blocks.state == IDLE
            self.job_taken = job_taken
            begun = self.blocks.tick(jobs.current() if job_taken else None)
            jobs.tick(job_taken)
        if host.run:
            jobs.start()
        if jobs.lengths is not None:
            jobs.lengths.tick()
        if now_hungry != hungry:
            self.hungry, self.bell.rung = now_hungry, True
        self.loaded = loader.taken
        self.running = busy and (self.running or shown)
        self.job_count += job_taken - job_over
        self.block_count += begun - issued
        self.now += 1
        return not over

    def relabel(self) -> None:
        """Call the bank of queries that is computed with the first one. Which one is which makes no difference, and so
        blocks that differ in nothing else are seen to be equal."""
        if self.issuer.bank:
            loader = self.loader
            loader.loaded.reverse()
            loader.occupied.reverse()
            loader.bank ^= 1
            loader.released = deque((time, bank ^ 1) for time, bank in loader.released)
            self.issuer.queue = deque(visit._replace(bank=visit.bank ^ 1) for visit in self.issuer.queue)
            self.issuer.bank = 0

    def moved(self) -> None:
        """Time has leapt: what is held twice is the same again, and nobody sleeps."""
        for unpacker in self.unpackers.values():
            unpacker.calm, unpacker.asking = False, True
            unpacker.client.splitter.request = unpacker.walker.request
        for client in self.reads.clients:
            client.calm = False
        for writer in self.writers.values():
            writer.splitter.request = writer.source.walker.request
        self.writes.quiet = 0
        self.bell.rung = True
