"""What follows from a descriptor without checking it."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib.wiring import In, Out

from hwgen.control.descriptor import LSE_BYTES
from hwgen.control.descriptor_layout import derived_layout, descriptor_layout
from hwgen.control.job import geometry_layout
from hwgen.params import EDGE_BITS, GROUP_BITS, QUERY_BITS, Params
from hwgen.part import Part


class DerivedFields(Part):
    """Rows in bytes and folds of the head dimensions; which tensors are packed.

    `row_bytes = dimension * element size`, `last_fold = ceil(dimension / rows) - 1`. A tensor is packed if its row
    stride is a row's length or it has one row a head, and, but for K and V, no other head's rows come between. Latency
    2 cycles; 1 of group, queries and edge, 0 of row_bytes.

    Members: descriptor; group, queries, edge (of `HeadGroup`); derived; geometry.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "descriptor": In(descriptor_layout(params)),
                "group": In(GROUP_BITS),
                "queries": In(QUERY_BITS),
                "edge": In(signed(EDGE_BITS)),
                "derived": Out(derived_layout(params)),
                "geometry": Out(geometry_layout(params)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, d, derived = self._params, self.descriptor, self.derived
        # Those who take these are far from where they are worked out.
        m.d.sync += [
            derived.group.eq(self.group),
            derived.queries.eq(self.queries),
            derived.edge.eq(self.edge),
        ]
        read, written = p.input.bits // 8, p.output.bits // 8
        single = Signal()
        m.d.sync += single.eq(self.group == 1)
        for name, dimension, size in (("e", d.head_e, read), ("f", d.head_f, read), ("o", d.head_f, written)):
            m.d.comb += derived[f"row_bytes_{name}"].eq(dimension.shift_left(size.bit_length() - 1))
        for name, rows, length in (
            ("q", d.queries, derived.row_bytes_e),
            ("k", d.keys, derived.row_bytes_e),
            ("v", d.keys, derived.row_bytes_f),
            ("o", d.queries, derived.row_bytes_o),
            ("lse", d.queries, LSE_BYTES),
        ):
            close = Signal(name=f"{name}_close")
            m.d.sync += close.eq((rows == 1) | (d[name].row_stride == length))
            m.d.sync += derived[f"packed_{name}"].eq(close & (1 if name in "kv" else single))
        self._folds(m)
        return m

    def _folds(self, m: Module) -> None:
        p, d, geometry = self._params, self.descriptor, self.geometry
        c = p.config
        m.d.comb += geometry.head_f.eq(d.head_f)
        ranks = ((d.head_e, c.rows_e, p.folds_e), (d.head_f, c.rows_f, p.folds_f))
        for field, (dimension, rows, folds) in zip((geometry.last_fold_e, geometry.last_fold_f), ranks, strict=True):
            m.d.sync += field.eq(0)
            for fold in range(1, folds):
                # The last fold that begins within the dimension.
                with m.If(dimension > fold * rows):
                    m.d.sync += field.eq(fold)
        # A visit lasts as many cycles as a lane has columns, or the longer of the two heads folds.
        m.d.sync += geometry.last_step.eq(p.group - 1)
        for step in range(p.group, p.visit):
            with m.If(Cat(dimension > step * rows for dimension, rows, folds in ranks if step < folds).any()):
                m.d.sync += geometry.last_step.eq(step)
