"""Cuts a descriptor into jobs: one for every batch and key/value head."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.control.descriptor import TENSORS
from hwgen.control.descriptor_layout import COUNT_BITS, derived_layout, descriptor_layout, tensor_layout
from hwgen.control.faults import Fault
from hwgen.control.job import job_layout
from hwgen.control.key_lengths import KeyLengths
from hwgen.memory.axi import fault_layout, request_layout
from hwgen.params import GROUP_BITS, LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part, place

JOBS_BITS = 2 * COUNT_BITS


def head_tensors(params: Params) -> tuple[str, ...]:
    """Tensors of which every job has a part of its own."""
    return (*TENSORS, "bias") if params.has_bias else TENSORS


def heads_layout(params: Params) -> data.StructLayout:
    """Where a job's tensors begin (those of queries with the first head of the group), and how many queries and keys
    it has."""
    return data.StructLayout(
        {name: unsigned(params.config.address_bits) for name in head_tensors(params)}
        | {"queries": unsigned(QUERY_BITS), "keys": unsigned(LENGTH_BITS)}
    )


class JobWalker(Part):
    """For batch b, then kv head h: the job, and the addresses `Q + b batch_stride + h group head_stride` (O and LSE
    alike) and `K + b batch_stride + h head_stride` (V and the bias alike).

    Addresses are found by adding strides. The first job is offered in the cycle after `start`; from one being taken
    to the next being offered it takes `group + 1` cycles (loading a job's queries takes the core at least `group`), and
    2 where a batch begins. With key lengths in memory a batch waits for its own, which is asked for ahead.

    Members: start (a pulse, after a reset or when `finished`); descriptor, derived, bias if there is one (constant from
    `start` until `finished`); lengths_request, lengths_words; job (to the core) and heads (to the tensors' walkers),
    one of each a job; finished (all jobs were taken; until the next start); jobs (how many were); fault (a pulse: a
    length is larger than S. The walker then stands still until it is reset).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(descriptor_layout(params)),
                "derived": In(derived_layout(params)),
                "lengths_request": Out(stream.Signature(request_layout(params))),
                "lengths_words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "job": Out(stream.Signature(job_layout(params))),
                "heads": Out(stream.Signature(heads_layout(params))),
                "finished": Out(1),
                "jobs": Out(JOBS_BITS),
                "fault": Out(fault_layout(params)),
            }
            | ({"bias": In(tensor_layout(params))} if params.has_bias else {})
        )

    def elaborate(self, platform):
        m = Module()
        d = self.descriptor
        self._lengths = KeyLengths(self._params)
        place(m, "key_lengths", self._lengths)
        self._batches, self._heads, self._group = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(GROUP_BITS)
        self._keys = Signal(LENGTH_BITS)
        self._job_taken, self._heads_taken = Signal(), Signal()
        self._batch_step, self._head_step, self._first = Signal(), Signal(), Signal()
        self._connect_lengths(m)
        self._offers(m)
        self._addresses(m)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [self._batches.eq(d.batches - 1), self._heads.eq(d.kv_heads - 1), self._keys.eq(d.keys)]
                    m.d.sync += [self.jobs.eq(0), self.finished.eq(0)]
                    self._begin(m)
            with m.State("LENGTH"):
                self._take_length(m)
            with m.State("OFFER"):
                self._offer(m)
            with m.State("STEP"):
                self._step(m)
            with m.State("STOPPED"):
                pass
        return m

    def _begin(self, m: Module) -> None:
        """A batch."""
        m.next = "OFFER"
        with m.If(self.descriptor.key_lengths):
            m.next = "LENGTH"

    def _connect_lengths(self, m: Module) -> None:
        lengths, d = self._lengths, self.descriptor
        connect(m, lengths.request, flipped(self.lengths_request))
        connect(m, flipped(self.lengths_words), lengths.words)
        m.d.comb += [
            lengths.start.eq(self.start & d.key_lengths),
            lengths.address.eq(d.key_lengths_address),
            lengths.batches.eq(d.batches),
            self.fault.address.eq(lengths.length.payload.address),
        ]

    def _take_length(self, m: Module) -> None:
        length = self._lengths.length
        m.d.comb += length.ready.eq(1)
        m.d.sync += self._keys.eq(length.payload.keys)
        with m.If(length.valid):
            m.next = "OFFER"
            with m.If(length.payload.keys > self.descriptor.keys):
                m.d.comb += [self.fault.valid.eq(1), self.fault.code.eq(Fault.KEY_LENGTH)]
                m.next = "STOPPED"

    def _offers(self, m: Module) -> None:
        """What the streams carry."""
        d, derived, job, heads = self.descriptor, self.derived, self.job.payload, self.heads.payload
        m.d.comb += [
            job.queries.eq(derived.queries),
            job.group.eq(derived.group),
            job.keys.eq(self._keys),
            job.causal.eq(d.causal),
            job.offset.eq(d.offset),
            job.edge.eq(derived.edge),
            job.scale_mantissa.eq(d.scale_mantissa),
            job.scale_exponent.eq(d.scale_exponent),
            heads.queries.eq(derived.queries),
            heads.keys.eq(self._keys),
        ]
        if self._params.score is not None:
            self._count(m, job)
        if self._params.config.block_list:
            m.d.comb += job.listed.eq(d.listed)

    def _count(self, m: Module, job) -> None:
        """Indices of the batch and of the group's first query head, which moves on by one a step."""
        batch, head = Signal.like(job.batch), Signal.like(job.head)
        m.d.comb += [job.batch.eq(batch), job.head.eq(head)]
        with m.If(self.start):
            m.d.sync += [batch.eq(0), head.eq(0)]
        with m.Elif(self._batch_step):
            m.d.sync += [batch.eq(batch + 1), head.eq(0)]
        with m.Elif(self._head_step):
            m.d.sync += head.eq(head + 1)

    def _offer(self, m: Module) -> None:
        """Job and heads go their own ways; the next are found when both are gone."""
        gone = []
        for offer, taken in ((self.job, self._job_taken), (self.heads, self._heads_taken)):
            m.d.comb += offer.valid.eq(~taken)
            gone.append(taken | offer.ready)
            m.d.sync += taken.eq(gone[-1])
        with m.If(Cat(gone).all()):
            m.d.sync += [self._job_taken.eq(0), self._heads_taken.eq(0)]
            m.d.sync += [self.jobs.eq(self.jobs + 1), self._first.eq(1), self._group.eq(self.derived.group)]
            m.next = "STEP"

    def _step(self, m: Module) -> None:
        m.d.sync += [self._first.eq(0), self._group.eq(self._group - 1)]
        with m.If(self._heads != 0):
            m.d.comb += self._head_step.eq(1)
            with m.If(self._group == 1):
                m.d.sync += self._heads.eq(self._heads - 1)
                m.next = "OFFER"
        with m.Elif(self._batches != 0):
            m.d.comb += self._batch_step.eq(1)
            m.d.sync += [self._batches.eq(self._batches - 1), self._heads.eq(self.descriptor.kv_heads - 1)]
            self._begin(m)
        with m.Else():
            m.d.sync += self.finished.eq(1)
            m.next = "IDLE"

    def _addresses(self, m: Module) -> None:
        """Of each tensor the address of the batch, and that of the job."""
        for name in head_tensors(self._params):
            tensor = self.bias if name == "bias" else self.descriptor[name]
            batch = Signal.like(tensor.address, name=f"{name}_batch")
            now = self.heads.payload[name]
            # A group of query heads shares one key/value head.
            moves = self._head_step & (self._first if name in ("k", "v", "bias") else 1)
            after = Signal.like(batch, name=f"{name}_after")
            m.d.comb += after.eq(
                Mux(self._batch_step, batch, now) + Mux(self._batch_step, tensor.batch_stride, tensor.head_stride)
            )
            with m.If(self.start):
                m.d.sync += [batch.eq(tensor.address), now.eq(tensor.address)]
            with m.Elif(self._batch_step):
                m.d.sync += [batch.eq(after), now.eq(after)]
            with m.Elif(moves):
                m.d.sync += now.eq(after)
