"""Where tensors end, and whether their rows are apart."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.descriptor import DESCRIPTOR_BYTES, LSE_BYTES, PLACES, STRIDES, TENSORS
from hwgen.control.descriptor_layout import COUNT_BITS, ROW_BYTES_BITS
from hwgen.params import LENGTH_BITS, Params
from hwgen.part import Part

APART = ("o", "lse")
"""Tensors whose rows must not overlap."""

FIELDS = DESCRIPTOR_BYTES // 8
"""64-bit words in a descriptor, of which addresses and strides are some."""

ADDRESS = len(STRIDES)
"""A tensor's address stands behind its dimensions."""


def field_layout(params: Params) -> data.StructLayout:
    """A 64-bit word as an address or a stride, and whether it has bits above the address width."""
    return data.StructLayout({"value": unsigned(params.config.address_bits), "beyond": unsigned(1)})


def field_number(name: str, i: int) -> int:
    """Of dimension i of a tensor, or of its address."""
    return PLACES[f"{name}_address"].offset // 8 if i == ADDRESS else PLACES[f"{name}_strides"].offset // 8 + i


class TensorCheck(Part):
    """Follows the dimensions larger than 1 of one tensor after the other from its first byte to its last:
    `reach = row_bytes - 1 + sum of stride * (count - 1)`, taken in ascending order of strides.

    overflow: `address + reach` does not fit the address, or a field in use is beyond. overlap, of tensors that are
    written: some stride is not larger than the reach of the dimensions before it.

    Each round looks at the strides that are left, one a cycle and one more, and multiplies the smallest, two bits a
    cycle; behind the last one the address is added. Behind `start` busy for one cycle, 4 a tensor without a dimension
    larger than 1, and `2 + n (n + 3) / 2 + base-4 digits of all (count - 1)` cycles a tensor with n of them. LSE takes
    none if it is not written.

    Members: start; batches, query_heads, kv_heads, queries, keys (counts, not 0), row_bytes_e, row_bytes_f, row_bytes_o
    (not 0) and write_lse, all held while busy; number (of a 64-bit word in the descriptor); field (that word, a cycle
    later); busy; overflow (a bit a tensor), overlap (a bit for each of APART), which hold until the next start.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "start": In(1),
                "batches": In(COUNT_BITS),
                "query_heads": In(COUNT_BITS),
                "kv_heads": In(COUNT_BITS),
                "queries": In(LENGTH_BITS),
                "keys": In(LENGTH_BITS),
                "row_bytes_e": In(ROW_BYTES_BITS),
                "row_bytes_f": In(ROW_BYTES_BITS),
                "row_bytes_o": In(ROW_BYTES_BITS),
                "write_lse": In(1),
                "number": Out(ceil_log2(FIELDS)),
                "field": In(field_layout(params)),
                "busy": Out(1),
                "overflow": Out(len(TENSORS)),
                "overlap": Out(len(APART)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = self._params.config.address_bits
        # The tensor at hand, one-hot; whether its queries or its keys are rows; its dimensions larger than 1.
        self._tensor = Signal(len(TENSORS))
        self._of_keys, self._used = Signal(), Signal(ADDRESS)
        # One-hot: the dimension whose stride is the round's smallest so far, whose field is asked for, whose is there.
        self._chosen, self._asked, self._seen = (Signal(ADDRESS + 1) for _ in range(3))
        self._reach, self._step, self._factor = Signal(bits), Signal(bits), Signal(LENGTH_BITS)
        self._beginning, self._looking, self._adding = Signal(), Signal(), Signal()
        self._fresh, self._ends = Signal(), Signal()
        # The product's last digit is at hand; the address is asked for behind the round's stride, if there is one.
        self._final, self._near = Signal(), Signal()
        m.d.comb += [
            self._ends.eq(self._adding & self._final),
            self._of_keys.eq((self._tensor & tensors("k", "v")).any()),
        ]
        # Steps in each dimension.
        names = ("batches", "query_heads", "kv_heads", "queries", "keys")
        self._steps = {name: Signal(len(getattr(self, name)), name=f"steps_{name}") for name in names}
        m.d.sync += [steps.eq(getattr(self, name) - 1) for name, steps in self._steps.items()]
        of_queries, of_keys = Signal(ADDRESS), Signal(ADDRESS)
        # Few steps have a digit.
        self._few_queries, self._few_keys = Signal(ADDRESS), Signal(ADDRESS)
        m.d.sync += [
            of_queries.eq(Cat(n[1:].any() for n in (self.batches, self.query_heads, self.queries))),
            of_keys.eq(Cat(n[1:].any() for n in (self.batches, self.kv_heads, self.keys))),
            self._few_queries.eq(Cat(self._steps[name][2:] == 0 for name in ("batches", "query_heads", "queries"))),
            self._few_keys.eq(Cat(self._steps[name][2:] == 0 for name in ("batches", "kv_heads", "keys"))),
        ]
        m.d.comb += self._used.eq(Mux(self._of_keys, of_keys, of_queries))
        self._rounds(m)
        self._states(m)
        self._look(m)
        self._add(m)
        return m

    def _states(self, m: Module) -> None:
        """Begin with a tensor, look at its fields, add the product, in turn; behind the last product, the address."""
        last = self._tensor[-1] | (self._tensor[-2] & ~self.write_lse)
        there, ended = self._seen.any(), Signal()
        m.d.sync += [
            self._beginning.eq(0),
            ended.eq(0),
            self._fresh.eq(self._beginning | self._ends | (self._fresh & ~there)),
        ]
        with m.If(self._beginning):
            m.d.sync += self._looking.eq(1)
        with m.If(there & ~self._asked[:ADDRESS].any()):
            m.d.sync += [self._looking.eq(0), self._adding.eq(1)]
        with m.If(self._ends):
            m.d.sync += [self._adding.eq(self._near & ~self._chosen[ADDRESS]), self._looking.eq(~self._near)]
            with m.If(self._chosen[ADDRESS]):
                m.d.sync += [self._tensor.eq(self._tensor << 1), self._beginning.eq(~last), ended.eq(last)]
        # The last finding is told in this cycle.
        with m.If(ended):
            m.d.sync += self.busy.eq(0)
        with m.If(self.start):
            m.d.sync += [self._looking.eq(0), self._adding.eq(0), self._asked.eq(0), self._seen.eq(0), ended.eq(0)]
            m.d.sync += [self._tensor.eq(1), self._beginning.eq(1), self.busy.eq(1)]

    def _rounds(self, m: Module) -> None:
        """Ask for the next field of the round."""
        # Dimensions without a product, and those of the round that were not asked for.
        left, ahead, rest = Signal(ADDRESS), Signal(ADDRESS + 1), Signal(ADDRESS)
        wanted, asked = Signal(ADDRESS + 1), Signal(ADDRESS + 1)
        # At most one dimension is left, and behind it the address.
        near = Signal()
        m.d.comb += [
            rest.eq(Mux(self._beginning, self._used, left & ~self._chosen[:ADDRESS])),
            near.eq(~reduce(or_, (rest[i] & rest[:i].any() for i in range(1, ADDRESS)))),
            wanted.eq(Mux(self._looking, ahead, Cat(rest, near))),
            asked.eq(Cat(bit & ~wanted[:i].any() for i, bit in enumerate(wanted))),
        ]
        turns = self._beginning | (self._ends & ~self._near)
        asking = turns | self._looking
        m.d.sync += [ahead.eq(wanted & ~asked), self._asked.eq(Mux(asking, asked, 0)), self._seen.eq(self._asked)]
        with m.If(turns):
            m.d.sync += [left.eq(rest), self._near.eq(near)]
        numbers = (
            Mux(this & bit, field_number(name, i), 0)
            for this, name in zip(self._tensor, TENSORS, strict=True)
            for i, bit in enumerate(asked)
        )
        # The address stays until it is added.
        with m.If(turns | (self._looking & ahead.any())):
            m.d.sync += self.number.eq(reduce(or_, numbers))

    def _count(self) -> Value:
        """Steps in the dimension whose field is there, else one to the address."""
        steps = self._steps
        counts = (
            steps["batches"],
            Mux(self._of_keys, steps["kv_heads"], steps["query_heads"]),
            Mux(self._of_keys, steps["keys"], steps["queries"]),
        )
        dimensions = self._seen[:ADDRESS]
        return reduce(or_, (Mux(bit, n, 0) for bit, n in zip(dimensions, counts, strict=True)), ~dimensions.any())

    def _look(self, m: Module) -> None:
        """Keep the field if it is the smallest so far, or the address where a product ends; else a digit is done."""
        smaller, shift = Signal(), Signal()
        m.d.comb += [smaller.eq(self.field.value < self._step), shift.eq(self._adding & ~self._final)]
        dimensions, many = self._seen[:ADDRESS], ~Mux(self._of_keys, self._few_keys, self._few_queries)
        with m.If(shift):
            m.d.sync += [self._step.eq(self._step << 2), self._factor.eq(self._factor >> 2)]
            m.d.sync += self._final.eq(self._factor[4:] == 0)
        # What is kept before the first field is there is not looked at.
        with m.Elif(self._adding | self._fresh | smaller):
            m.d.sync += [self._step.eq(self.field.value), self._factor.eq(self._count())]
            m.d.sync += [self._chosen.eq(Cat(dimensions, ~dimensions.any())), self._final.eq((dimensions & many) == 0)]

    def _add(self, m: Module) -> None:
        """One digit of a product."""
        total, row_bytes = Signal(len(self._reach) + 2), Signal(ROW_BYTES_BITS)
        low, high = self._factor[:2]
        # The product's first digit is at hand; bits that an add would need were shifted out.
        first, lost = Signal(), Signal()
        over, under = Signal(), Signal()
        row_bytes_of = {("q", "k"): self.row_bytes_e, ("v",): self.row_bytes_f, ("o",): self.row_bytes_o}
        m.d.comb += [
            row_bytes.eq(LSE_BYTES),
            total.eq(self._reach + Mux(low, self._step, 0) + Mux(high, self._step << 1, 0)),
            over.eq(self._adding & (total[-2:].any() | (lost & (low | high)))),
            under.eq(self._adding & first & (self._step <= self._reach) & ~self._chosen[ADDRESS]),
        ]
        for names, length in row_bytes_of.items():
            with m.If((self._tensor & tensors(*names)).any()):
                m.d.comb += row_bytes.eq(length)
        m.d.sync += [first.eq(~self._adding), lost.eq(self._adding & ~self._final & (lost | self._step[-2:].any()))]
        # The tensor's row, and a cycle later, before any product, its last byte.
        row, begun = Signal.like(row_bytes), Signal()
        m.d.sync += [row.eq(row_bytes), begun.eq(self._beginning)]
        with m.If(begun):
            m.d.sync += self._reach.eq(row - 1)
        with m.Elif(self._adding):
            m.d.sync += self._reach.eq(total)
        # Both are told a cycle late: a sum and a comparison have been on the way.
        written = Cat((self._tensor & tensors(name)).any() for name in APART)
        missed, found = Signal.like(self.overflow), Signal.like(self.overlap)
        beyond = self._seen.any() & self.field.beyond
        m.d.sync += [
            missed.eq(Mux((over | beyond) & ~self.start, self._tensor, 0)),
            found.eq(Mux(under & ~self.start, written, 0)),
            self.overflow.eq(Mux(self.start, 0, self.overflow | missed)),
            self.overlap.eq(Mux(self.start, 0, self.overlap | found)),
        ]


def tensors(*names: str) -> int:
    """A bit for each of them."""
    return sum(1 << TENSORS.index(name) for name in names)
