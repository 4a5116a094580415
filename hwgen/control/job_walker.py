"""Cuts a descriptor into jobs: one for every batch and key/value head."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.control.descriptor import KEY_LENGTH_BYTES, TENSORS
from hwgen.control.descriptor_layout import COUNT_BITS, derived_layout, descriptor_layout, tensor_layout
from hwgen.control.faults import Fault
from hwgen.control.job import job_layout
from hwgen.control.key_lengths import KeyLengths
from hwgen.control.tensor_check import ADDRESS, FIELDS, field_layout, field_number
from hwgen.memory.axi import fault_layout, request_layout
from hwgen.params import GROUP_BITS, LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed

ADDRESSES, BATCHES, HEADS = range(3)
"""What is added in a pass over the tensors: nothing to their addresses, or one of their strides."""


def turns(params: Params) -> tuple[str, ...]:
    """Tensors in the order in which a pass comes to them; the last REPEATED have a place for every query head."""
    return ("k", "v", *(("bias",) if params.has_bias else ()), "q", "o", "lse")


REPEATED = 3


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

    Addresses are found by adding strides, one a cycle. With n tensors, 5 or 6, the first job is offered n + 3 cycles
    behind `start`, and where a batch begins another one n + 4 cycles behind the one before was taken; within a batch
    that takes `n + 4 + 3 (group - 1)` cycles. With key lengths in memory a batch waits for its own, which is asked for
    ahead: it is taken n + 3 cycles behind `start` if it is there, and its first job offered 3 cycles later.

    Members: start (a pulse, after a reset or when `finished`); descriptor, derived, bias if there is one (constant from
    `start` until `finished`); number (of a 64-bit word in the descriptor), field (that word, a cycle later);
    lengths_request, lengths_words; job (to the core) and heads (to the tensors' walkers), one of each a job; finished
    (all jobs were taken; until the next start); fault (a pulse, three cycles behind a length that is larger than S.
    The walker then stands still until it is reset).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(descriptor_layout(params)),
                "derived": In(derived_layout(params)),
                "number": Out(ceil_log2(FIELDS)),
                "field": In(field_layout(params)),
                "lengths_request": Out(stream.Signature(request_layout(params))),
                "lengths_words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "job": Out(stream.Signature(job_layout(params))),
                "heads": Out(stream.Signature(heads_layout(params))),
                "finished": Out(1),
                "fault": Out(fault_layout(params)),
            }
            | ({"bias": In(tensor_layout(params))} if params.has_bias else {})
        )

    def elaborate(self, platform):
        m = Module()
        d = self.descriptor
        self._lengths, self._turns = KeyLengths(self._params), turns(self._params)
        place(m, "key_lengths", self._lengths)
        # Batches and heads that are left, with those at hand, and whether they are the last ones.
        self._batches, self._heads, self._keys = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(LENGTH_BITS)
        self._last_batch, self._last_head = Signal(), Signal()
        # What a batch entry's length in memory says: any 32 bits; and, a cycle later, that there are not so many keys.
        self._length, self._beyond = Signal(KEY_LENGTH_BYTES * 8), Signal()
        # A pass: what is added, whether a stride is still asked for, and for which tensor; in how many rounds yet. The
        # question leaves a cycle later.
        self._kind, self._asking, self._turn = Signal(2), Signal(), Signal(range(len(self._turns)))
        self._asked = Signal()
        self._group = Signal(GROUP_BITS)
        # The descriptor is far, and stands for longer than that.
        self._has_lengths = Signal()
        m.d.sync += self._has_lengths.eq(d.key_lengths)
        self._connect_lengths(m)
        self._offers(m)
        self._pass(m)
        self._addresses(m)
        self._count_down(m)
        with m.If(self.start):
            m.d.sync += [self._keys.eq(d.keys), self.finished.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    self._begin(m, ADDRESSES)
            with m.State("PASS"):
                with m.If(~self._asking & ~self._asked):
                    with m.If(self._has_lengths & (self._kind != HEADS)):
                        m.next = "LENGTH"
                    with m.Else():
                        self._begin_offer(m)
            with m.State("LENGTH"):
                self._take_length(m)
            with m.State("COMPARE"):
                m.next = "CHECK"
            with m.State("CHECK"):
                self._check_length(m)
            with m.State("OFFER"):
                self._offer(m)
            with m.State("STOPPED"):
                pass
        return m

    def _count_down(self, m: Module) -> None:
        """With a pass's first tensor: whether a job was taken, which is known late, is no part of it."""
        d = self.descriptor
        m.d.sync += [self._last_batch.eq(self._batches == 1), self._last_head.eq(self._heads == 1)]
        with m.If(self.start):
            m.d.sync += [self._batches.eq(d.batches), self._heads.eq(d.kv_heads)]
        with m.Elif(self._asking & (self._turn == 0)):
            with m.If(self._kind == HEADS):
                m.d.sync += self._heads.eq(self._heads - 1)
            with m.Elif(self._kind == BATCHES):
                m.d.sync += [self._heads.eq(d.kv_heads), self._batches.eq(self._batches - 1)]

    def _begin(self, m: Module, kind: int) -> None:
        """A pass over all tensors."""
        m.d.sync += [self._kind.eq(kind), self._asking.eq(1)]
        m.next = "PASS"

    def _pass(self, m: Module) -> None:
        """One tensor a cycle; those of queries once more for every other head of the group."""
        # Looked at once every REPEATED cycles, so that it may be known a cycle late.
        again = Signal()
        m.d.sync += again.eq((self._kind == HEADS) & (self._group != 1))
        with m.If(self._asking):
            m.d.sync += self._turn.eq(self._turn + 1)
            with m.If(self._turn == len(self._turns) - 1):
                m.d.sync += [self._group.eq(self._group - 1), self._turn.eq(len(self._turns) - REPEATED)]
                with m.If(~again):
                    m.d.sync += [self._asking.eq(0), self._turn.eq(0)]
        with m.Else():
            m.d.sync += self._group.eq(self.derived.group)
        m.d.sync += self._asked.eq(self._asking)
        with m.Switch(Cat(self._kind, self._turn)):
            for turn, name in enumerate(self._turns):
                for kind, i in ((ADDRESSES, ADDRESS), (BATCHES, 0), (HEADS, 1)):
                    if name != "bias":
                        with m.Case(turn << 2 | kind):
                            m.d.sync += self.number.eq(field_number(name, i))

    def _connect_lengths(self, m: Module) -> None:
        lengths, d = self._lengths, self.descriptor
        connect(m, lengths.request, flipped(self.lengths_request))
        connect(m, flipped(self.lengths_words), lengths.words)
        m.d.comb += [
            lengths.start.eq(self.start & d.key_lengths),
            lengths.address.eq(d.key_lengths_address),
            lengths.batches.eq(d.batches),
        ]
        # The descriptor is far, and the offer of a job beside this.
        m.d.sync += self._beyond.eq(self._length > d.keys)
        # Told a cycle late: a comparison has been on the way.
        m.d.sync += [self.fault.valid.eq(0), self.fault.code.eq(Fault.KEY_LENGTH)]

    def _take_length(self, m: Module) -> None:
        length = self._lengths.length
        m.d.comb += length.ready.eq(1)
        m.d.sync += [self._length.eq(length.payload.keys), self.fault.address.eq(length.payload.address)]
        with m.If(length.valid):
            m.next = "COMPARE"

    def _check_length(self, m: Module) -> None:
        m.d.sync += self._keys.eq(self._length)
        with m.If(self._beyond):
            m.d.sync += self.fault.valid.eq(1)
            m.next = "STOPPED"
        with m.Else():
            self._begin_offer(m)

    def _begin_offer(self, m: Module) -> None:
        m.d.sync += [self.job.valid.eq(1), self.heads.valid.eq(1)]
        m.next = "OFFER"

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
        """Indices of the batch and of the group's first query head."""
        batch, head = Signal.like(job.batch), Signal.like(job.head)
        m.d.comb += [job.batch.eq(batch), job.head.eq(head)]
        with m.If(self._asking & (self._turn == self._turns.index("q"))):
            with m.Switch(self._kind):
                with m.Case(ADDRESSES):
                    m.d.sync += [batch.eq(0), head.eq(0)]
                with m.Case(BATCHES):
                    m.d.sync += [batch.eq(batch + 1), head.eq(0)]
                with m.Default():
                    m.d.sync += head.eq(head + 1)

    def _offer(self, m: Module) -> None:
        """Job and heads go their own ways; the next are found when both are gone: a cycle late, as their takers are
        far."""
        for offer in (self.job, self.heads):
            with m.If(offer.ready):
                m.d.sync += offer.valid.eq(0)
        with m.If(~self.job.valid & ~self.heads.valid):
            with m.If(~self._last_head):
                self._begin(m, HEADS)
            with m.Elif(~self._last_batch):
                self._begin(m, BATCHES)
            with m.Else():
                m.d.sync += self.finished.eq(1)
                m.next = "IDLE"

    def _addresses(self, m: Module) -> None:
        """Of each tensor the address of the batch, and that of the job, in a cycle behind the question for what is to
        be added."""
        bits, depth = self._params.config.address_bits, len(self._turns)
        early = delayed(m, self._turn, 1, "turn")
        turn, there, after = delayed(m, early, 1, "later_turn"), Signal(), Signal(bits)
        m.d.sync += there.eq(self._asked)
        ports = []
        for name, enable in (("batches", self._kind != HEADS), ("jobs", 1)):
            memory = Memory(shape=unsigned(bits), depth=depth, init=[])
            m.submodules[name] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [write.addr.eq(turn), write.data.eq(after), write.en.eq(there & enable), read.addr.eq(early)]
            ports.append(read.data)
        # Read a cycle ahead: the same tensor comes again after three.
        before = Signal(bits, reset_less=True)
        m.d.sync += before.eq(Mux(self._kind == HEADS, ports[1], Mux(self._kind == BATCHES, ports[0], 0)))
        m.d.comb += after.eq(before + self._added(turn))
        for i, name in enumerate(self._turns):
            with m.If(there & (turn == i)):
                m.d.sync += self.heads.payload[name].eq(after)

    def _added(self, turn: Signal) -> Value:
        """The field that was asked for; the bias is not one of the descriptor's tensors."""
        if not self._params.has_bias:
            return self.field.value
        strides = Mux(self._kind == HEADS, self.bias.head_stride, self.bias.batch_stride)
        bias = Mux(self._kind == ADDRESSES, self.bias.address, strides)
        return Mux(turn == self._turns.index("bias"), bias, self.field.value)
