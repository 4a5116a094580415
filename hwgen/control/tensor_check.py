"""Where a tensor ends, and whether its rows are apart."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import In, Out

from hwgen.control.descriptor_layout import COUNT_BITS, ROW_BYTES_BITS, tensor_layout
from hwgen.params import LENGTH_BITS, Params
from hwgen.part import Part


class TensorCheck(Part):
    """Follows the dimensions larger than 1 from a tensor's first byte to its last: `reach = row_bytes - 1 + sum of
    stride * (count - 1)`.

    overflow: `address + reach` does not fit the address. overlap, only if `apart`: taken in ascending order of
    strides, some stride is not larger than the reach of the dimensions before it. Products are made bit by bit: busy
    for `1 + sum of (1 + bits of (count - 1))` cycles after `start`, the sum over dimensions larger than 1.

    Members: start; tensor, batches, heads, rows (counts, not 0), row_bytes (not 0), all held while busy; beyond
    (the address or a stride in use, in the order of the tensor's fields, has bits above the address width); busy;
    overflow, overlap (hold until the next start).
    """

    def __init__(self, params: Params, apart: bool) -> None:
        self._bits, self._apart = params.config.address_bits, apart
        super().__init__(
            {
                "start": In(1),
                "tensor": In(tensor_layout(params)),
                "batches": In(COUNT_BITS),
                "heads": In(COUNT_BITS),
                "rows": In(LENGTH_BITS),
                "row_bytes": In(ROW_BYTES_BITS),
                "beyond": In(4),
                "busy": Out(1),
                "overflow": Out(1),
                "overlap": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._reach, self._step, self._left = Signal(self._bits), Signal(self._bits), Signal(LENGTH_BITS)
        self._pending, self._adding = Signal(3), Signal()
        # The strides of batch, head and row, and of each how many steps are made.
        self._strides = (self.tensor.batch_stride, self.tensor.head_stride, self.tensor.row_stride)
        self._counts = (self.batches, self.heads, self.rows)
        # The first bit of a product is at hand; bits of the step that an add would need were shifted out.
        self._first, self._lost = Signal(), Signal()
        chosen = self._choose(m)
        with m.If(self.start):
            self._begin(m)
        with m.Elif(self.busy & ~self._adding):
            end = Signal(self._bits + 1)
            m.d.comb += end.eq(self.tensor.address + self._reach)
            with m.If(self._pending == 0):
                m.d.sync += [self.busy.eq(0), self.overflow.eq(self.overflow | end[-1])]
            m.d.sync += [
                self._adding.eq(self._pending != 0),
                self._first.eq(1),
                self._lost.eq(0),
                self._pending.eq(self._pending & ~Cat(chosen)),
            ]
            for this, stride, count in zip(chosen, self._strides, self._counts, strict=True):
                with m.If(this):
                    m.d.sync += [self._step.eq(stride), self._left.eq(count - 1)]
        with m.Elif(self.busy):
            self._add(m)
        return m

    def _begin(self, m: Module) -> None:
        used = Cat(count > 1 for count in self._counts)
        m.d.sync += [
            self.busy.eq(1),
            self._adding.eq(0),
            self._pending.eq(used),
            self._reach.eq(self.row_bytes - 1),
            self.overflow.eq((self.beyond & Cat(1, used)) != 0),
            self.overlap.eq(0),
        ]

    def _choose(self, m: Module):
        """The next dimension, one-hot: the one with the smallest stride of those that are left."""
        batch, head, row = self._pending
        if not self._apart:
            return batch & ~head & ~row, head & ~row, row
        before = {}
        for name, low, high in (("batch_head", 0, 1), ("batch_row", 0, 2), ("head_row", 1, 2)):
            before[name] = Signal(name=f"{name}_order")
            with m.If(self.start):
                m.d.sync += before[name].eq(self._strides[low] < self._strides[high])
        return (
            batch & (~head | before["batch_head"]) & (~row | before["batch_row"]),
            head & (~batch | ~before["batch_head"]) & (~row | before["head_row"]),
            row & (~batch | ~before["batch_row"]) & (~head | ~before["head_row"]),
        )

    def _add(self, m: Module) -> None:
        """One bit of a product."""
        total = Signal(self._bits + 1)
        m.d.comb += total.eq(self._reach + self._step)
        m.d.sync += [
            self._step.eq(self._step.shift_left(1)),
            self._lost.eq(self._lost | self._step[-1]),
            self._left.eq(self._left.shift_right(1)),
            self._first.eq(0),
        ]
        with m.If(self._left[0]):
            m.d.sync += [self._reach.eq(total), self.overflow.eq(self.overflow | total[-1] | self._lost)]
        if self._apart:
            with m.If(self._first & (self._step <= self._reach)):
                m.d.sync += self.overlap.eq(1)
        with m.If(self._left[1:] == 0):
            m.d.sync += self._adding.eq(0)
