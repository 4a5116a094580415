"""Takes a descriptor in, checks it, and works out what holds for all its jobs."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.control.derived_fields import DerivedFields
from hwgen.control.descriptor import KEY_LENGTH_BYTES, PLACES, TENSORS
from hwgen.control.descriptor_layout import derived_layout, descriptor_layout
from hwgen.control.descriptor_store import DescriptorStore, word_of
from hwgen.control.faults import FAULT_BITS, Fault
from hwgen.control.field_check import field_rules, record_used
from hwgen.control.head_group import HeadGroup
from hwgen.control.job import geometry_layout
from hwgen.control.record import has_record, record_bytes
from hwgen.control.tensor_check import APART, FIELDS, TensorCheck, field_layout
from hwgen.params import Params
from hwgen.part import Part, place

OFFSET_BITS = 8


class DescriptorUnit(Part):
    """`(code, offset) = descriptor_rules.check(descriptor)`.

    First every field is looked at, all at once; if they are fine, head groups are and beside them tensors, one after
    the other. `done` comes behind the last word by 12 cycles and the longer of these checks: 49 cycles with one batch,
    one head and L = S = 1024, never more than 198. Of several findings the first is searched a cycle each: up to 49
    cycles if it is a field's, 208 if not.

    Members: start (take a descriptor, whatever the unit was doing: its words come from the second cycle on); words;
    done (a pulse, once a start); code (Fault, NONE if all is well) and offset (the byte of the field), which hold from
    `done` until the next start, and so do, if all is well, descriptor, derived and geometry; number (of a 64-bit word
    of the descriptor, not before `done`), field (that word as an address or stride, a cycle later).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "start": In(1),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "done": Out(1),
                "code": Out(FAULT_BITS),
                "offset": Out(OFFSET_BITS),
                "descriptor": Out(descriptor_layout(params)),
                "derived": Out(derived_layout(params)),
                "geometry": Out(geometry_layout(params)),
                "number": In(ceil_log2(FIELDS)),
                "field": Out(field_layout(params)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        store, heads, derived = DescriptorStore(self._params), HeadGroup(self._params), DerivedFields(self._params)
        check = TensorCheck(self._params)
        named = {"store": store, "head_group": heads, "derived_fields": derived, "tensor_check": check}
        for name, part in named.items():
            place(m, name, part)
        connect(m, flipped(self.words), store.words)
        # A start comes from afar and puts an end to much.
        start = Signal()
        m.d.sync += start.eq(self.start)
        m.d.comb += [
            store.start.eq(start),
            store.soon.eq(self.start),
            self.descriptor.eq(store.descriptor),
            derived.descriptor.eq(store.descriptor),
            derived.group.eq(heads.group),
            derived.queries.eq(heads.job_queries),
            derived.edge.eq(heads.edge),
            self.derived.eq(derived.derived),
            self.geometry.eq(derived.geometry),
        ]
        begin, begun = Signal(), Signal()
        m.d.sync += begun.eq(begin)
        self._connect_checks(m, store, heads, derived, check, begun)
        # The checks' results are compared on their way, so they count a cycle later, as does their end.
        busy = Signal()
        m.d.sync += busy.eq(begin | begun | heads.busy | check.busy)

        def known(condition: Any) -> Signal:
            later = Signal()
            m.d.sync += later.eq(condition)
            return later

        alone = field_rules(self._params, store.descriptor, store.stray, known)
        self._judge(m, start, store.full, alone, self._extents(store, heads, check), begin, busy)
        return m

    def _connect_checks(self, m: Module, store, heads, derived, check, begin: Signal) -> None:
        d = store.descriptor
        m.d.comb += [
            heads.start.eq(begin),
            heads.query_heads.eq(d.query_heads),
            heads.kv_heads.eq(d.kv_heads),
            heads.queries.eq(d.queries),
            heads.offset.eq(d.offset),
        ]
        m.d.comb += [
            check.start.eq(begin),
            store.number.eq(Mux(check.busy, check.number, self.number)),
            check.field.eq(store.field),
            self.field.eq(store.field),
        ]
        for name in ("batches", "query_heads", "kv_heads", "queries", "keys", "write_lse"):
            m.d.comb += getattr(check, name).eq(d[name])
        for name in ("row_bytes_e", "row_bytes_f", "row_bytes_o"):
            m.d.comb += getattr(check, name).eq(derived.derived[name])

    def _extents(self, store, heads, check):
        """(fault, byte offset, condition) of what several fields show together, in the order of fields."""
        d = store.descriptor
        rules = [
            (Fault.GROUP, PLACES["kv_heads"].offset, heads.uneven),
            (Fault.DIMENSION, PLACES["queries"].offset, heads.crowded),
        ]
        for name, overflow in zip(TENSORS, check.overflow, strict=True):
            offset = PLACES[f"{name}_address"].offset
            rules.append((Fault.OVERFLOW, offset, overflow))
            if name in APART:
                rules.append((Fault.OVERLAP, offset, check.overlap[APART.index(name)]))
        address = d.key_lengths_address
        end = (address + (d.batches * KEY_LENGTH_BYTES - 1).as_unsigned())[len(address) :].any()
        lost = store.stray[word_of("key_lengths_address") + 1]
        rules.append((Fault.OVERFLOW, PLACES["key_lengths_address"].offset, d.key_lengths & (end | lost)))
        if has_record(self._params):
            address, used = d.score_address, record_used(self._params, d)
            end = (address + (record_bytes(self._params) - 1))[len(address) :].any()
            lost = store.stray[word_of("score_address") + 1]
            rules.append((Fault.OVERFLOW, PLACES["score_address"].offset, used & (end | lost)))
        return rules

    def _judge(self, m: Module, start: Signal, full, alone, together, begin: Signal, busy) -> None:
        """Collect what is found in either way of looking, and search it for the first finding."""
        rules = [*alone, *together]
        found = Signal(max(len(alone), len(together)))
        position = Signal(ceil_log2(len(rules)))
        # What is found is looked at, and a cycle later it is known whether that is nothing.
        looking, clean = Signal(), Signal()
        judging, waiting, calculated = Signal(), Signal(), Signal()
        fields, complete, extents = Signal(len(alone)), Signal(), Signal(len(together))
        m.d.sync += [
            fields.eq(Cat(wrong for *_, wrong in alone)),
            complete.eq(full & ~start),
            extents.eq(Cat(wrong for *_, wrong in together)),
        ]
        m.d.comb += begin.eq(judging & ~calculated & clean & ~start)
        m.d.sync += [self.done.eq(0), looking.eq(0), clean.eq(found == 0)]
        with m.If(start):
            m.d.sync += [judging.eq(0), waiting.eq(0)]
        with m.Elif(complete):
            m.d.sync += [found.eq(fields), position.eq(0), looking.eq(1), calculated.eq(0)]
        with m.Elif(looking):
            m.d.sync += judging.eq(1)
        with m.Elif(judging & clean):
            m.d.sync += [judging.eq(0), waiting.eq(~calculated), calculated.eq(1)]
            m.d.sync += [self.done.eq(calculated), self.code.eq(Fault.NONE), self.offset.eq(0)]
        with m.Elif(judging & found[0]):
            codes, offsets = zip(*((fault, offset) for fault, offset, _ in rules), strict=True)
            m.d.sync += [judging.eq(0), self.done.eq(1)]
            m.d.sync += [self.code.eq(Array(codes)[position]), self.offset.eq(Array(offsets)[position])]
        with m.Elif(judging):
            m.d.sync += [found.eq(found.shift_right(1)), position.eq(position + 1)]
        with m.Elif(waiting & ~busy):
            m.d.sync += [found.eq(extents), position.eq(len(alone))]
            m.d.sync += [looking.eq(1), waiting.eq(0)]
        with m.If(self.start):
            m.d.sync += self.done.eq(0)
