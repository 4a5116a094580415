"""Turns blocks of rows into the memory requests that bring or take them."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.descriptor_layout import ROW_BYTES_BITS
from hwgen.control.segments import ROW_BITS
from hwgen.memory.axi import BYTE_COUNT_BITS, request_layout
from hwgen.params import GROUP_BITS, LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part


def row_block_layout(seek: bool = False) -> data.StructLayout:
    """The next `rows` rows of a job, maybe none.

    rewind: they start at the job's first row again, else behind the block before; or, if blocks are sought,
    row:    the first one of them
    last:   no block of the job follows
    """
    start = {"row": unsigned(ROW_BITS)} if seek else {"rewind": unsigned(1)}
    return data.StructLayout({"rows": unsigned(QUERY_BITS)} | start | {"last": unsigned(1)})


def run_layout(params: Params) -> data.StructLayout:
    """`rows` rows back to back, the first one from byte `offset` of its bus word on."""
    return data.StructLayout({"offset": unsigned(ceil_log2(params.bus_bytes)), "rows": unsigned(LENGTH_BITS)})


class RowWalker(Part):
    """One head address a job and its blocks in, a request and a run a row out, or a block if rows are packed.

    Row i of a job lies at `head + (i // group) stride + (i % group) head_stride`; if `packed` is set (only with
    group = 1) at `head + i row_bytes`, and a block is one request. A block of no rows asks for nothing.

    Latency 3 cycles from a block to its first request, one more in the first block of a job, and one more for every
    binary digit of `row_bytes` if packed. Throughput a row in 2 cycles and 3 cycles more a block, another one a job.

    With `seek` a block says where it starts (and `group` must be 1). That takes a cycle more for every binary digit of
    its first row's number, 0 having one, unless this is the row behind the block before.

    Members: head; block; stride, head_stride, group, row_bytes, packed (constant while there is work); request; run.
    """

    def __init__(self, params: Params, seek: bool = False) -> None:
        self._params, self._seek = params, seek
        address = unsigned(params.config.address_bits)
        super().__init__(
            {
                "head": In(stream.Signature(address)),
                "block": In(stream.Signature(row_block_layout(seek))),
                "stride": In(address),
                "head_stride": In(address),
                "group": In(unsigned(GROUP_BITS)),
                "row_bytes": In(unsigned(ROW_BYTES_BITS)),
                "packed": In(1),
                "request": Out(stream.Signature(request_layout(params))),
                "run": Out(stream.Signature(run_layout(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        address_bits = self._params.config.address_bits
        # Where the job's tensor, the current position and the current row begin; no block of the job came so far.
        self._base, self._position, self._row = Signal(address_bits), Signal(address_bits), Signal(address_bits)
        self._fresh = Signal()
        # The row's head in the group, whether it is the last one, and whether the next row's is; that row.
        self._member, self._member_last, self._next_last = Signal(GROUP_BITS), Signal(), Signal()
        self._next = Signal(address_bits)
        # Rows that are left, and whether there are any.
        self._left, self._some, self._last = Signal(QUERY_BITS), Signal(), Signal()
        self._bytes, self._factor = Signal(BYTE_COUNT_BITS), Signal(ROW_BYTES_BITS)
        # Beside the state, as they enable addresses: a job is waited for, or a block; a cycle later, that one starts
        # at the job's first row; the next row is found; bytes are.
        self._starting, self._beginning, self._rewinding = Signal(init=1), Signal(), Signal()
        self._stepping, self._multiplying, self._seeking = Signal(), Signal(), Signal()
        # What is left of a block's first row's number, and its unit.
        self._number, self._distance = Signal(ROW_BITS), Signal(address_bits)
        self._single, self._group_second = Signal(), Signal(GROUP_BITS)
        # A row is asked for between one step and the next: time to compare, and to add.
        m.d.sync += [self._single.eq(self.group == 1), self._group_second.eq(self.group - 2)]
        second = self._member == self._group_second
        m.d.sync += self._next_last.eq(Mux(self._member_last, self._single, second))
        for output in (self.request, self.run):
            with m.If(output.ready):
                m.d.sync += output.valid.eq(0)
        m.d.sync += [flag.eq(0) for flag in (self._starting, self._beginning, self._stepping, self._multiplying)]
        m.d.comb += [self.head.ready.eq(self._starting), self.block.ready.eq(self._beginning)]
        with m.If(self._starting):
            m.d.sync += [self._base.eq(self.head.payload), self._fresh.eq(1)]
        with m.FSM():
            with m.State("JOB"):
                self._enter(m, "JOB")
                with m.If(self.head.valid):
                    m.d.sync += self._starting.eq(0)
                    self._enter(m, "BLOCK")
            with m.State("BLOCK"):
                self._enter(m, "BLOCK")
                with m.If(self.block.valid):
                    m.d.sync += self._beginning.eq(0)
                    m.next = "PLACE"
            with m.State("PLACE"):
                # That a block is there is known late, and addresses are wide: they wait until it was taken.
                self._place(m)
            if self._seek:
                with m.State("SEEK"):
                    m.d.comb += self._seeking.eq(1)
                    with m.If(self._number[1:] == 0):
                        self._found(m)
            with m.State("MULTIPLY"):
                self._enter(m, "MULTIPLY")
                with m.If(self._factor[1:] == 0):
                    m.d.sync += self._multiplying.eq(0)
                    m.next = "ROW"
            with m.State("ROW"):
                self._issue(m)
            with m.State("STEP"):
                m.next = "ROW"
        self._count(m)
        self._offer(m)
        self._address(m)
        return m

    def _enter(self, m: Module, state: str) -> None:
        """The next state is one that is known beside the state too."""
        flags = {
            "JOB": self._starting,
            "BLOCK": self._beginning,
            "MULTIPLY": self._multiplying,
            "STEP": self._stepping,
        }
        m.d.sync += flags[state].eq(1)
        m.next = state

    def _place(self, m: Module) -> None:
        """Where the block that was taken begins."""
        m.d.sync += self._fresh.eq(0)
        self._found(m)
        if not self._seek:
            return
        # The row behind the block before.
        self._following = Signal(ROW_BITS)
        away = self._number != Mux(self._fresh, 0, self._following)
        m.d.comb += self._rewinding.eq(self._fresh | (self._some & away))
        with m.If(self._fresh):
            m.d.sync += self._following.eq(0)
        with m.If(self._some):
            m.d.sync += self._following.eq(self._number + self._left)
            with m.If(away):
                m.next = "SEEK"

    def _found(self, m: Module) -> None:
        """A block's first row is known: the bytes of a packed one are found a binary digit a cycle."""
        m.next = "ROW"
        with m.If(self.packed):
            self._enter(m, "MULTIPLY")

    def _count(self, m: Module) -> None:
        """What is left of the block, and the bytes of a request."""
        block, multiple = self.block.payload, Signal(BYTE_COUNT_BITS)
        with m.If(self._beginning):
            m.d.sync += [
                self._left.eq(block.rows),
                self._some.eq(block.rows != 0),
                self._last.eq(block.last),
                self._bytes.eq(Mux(self.packed, 0, self.row_bytes)),
                multiple.eq(block.rows),
                self._factor.eq(self.row_bytes),
            ]
        with m.Else():
            with m.If(self._stepping):
                m.d.sync += self._left.eq(Mux(self.packed, 0, self._left - 1))
                m.d.sync += self._some.eq(~self.packed & (self._left != 1))
            with m.If(self._multiplying):
                m.d.sync += [self._factor.eq(self._factor >> 1), multiple.eq(multiple.shift_left(1))]
                with m.If(self._factor[0]):
                    m.d.sync += self._bytes.eq(self._bytes + multiple)

    def _issue(self, m: Module) -> None:
        """Offer a row or a packed block once both outputs are free, or end the block. Outputs that are taken are free a
        cycle later: in time for the next row, as long as they are taken at once."""
        request, run = self.request, self.run
        with m.If(~self._some):
            with m.If(self._last):
                self._enter(m, "JOB")
            with m.Else():
                self._enter(m, "BLOCK")
        with m.Elif(~request.valid & ~run.valid):
            m.d.sync += [request.valid.eq(1), run.valid.eq(1)]
            self._enter(m, "STEP")

    def _offer(self, m: Module) -> None:
        """What is not offered is what would be. A run stays for as long as its request does."""
        request, run = self.request, self.run
        with m.If(~request.valid):
            m.d.sync += [request.payload.address.eq(self._row), request.payload.bytes.eq(self._bytes)]
        with m.If(~request.valid & ~run.valid):
            m.d.sync += [
                run.payload.offset.eq(self._row[: ceil_log2(self._params.bus_bytes)]),
                run.payload.rows.eq(Mux(self.packed, self._left, 1)),
            ]

    def _address(self, m: Module) -> None:
        """The job's first row, or the next one: behind the current one or behind the position's first."""
        step, ahead, last = Signal.like(self._row), Signal.like(self._row), Signal()
        kept = Mux(self._stepping, self._next_last, self._member_last)
        m.d.comb += [
            last.eq(Mux(self._rewinding, self._single, kept)),
            step.eq(Mux(self.packed, self._bytes, ahead)),
        ]
        # How far it is from a row to the next one, as long as there is one.
        m.d.sync += [self._member_last.eq(last), ahead.eq(Mux(last, self.stride, self.head_stride))]
        if not self._seek:
            rewinds = self._beginning & self.block.valid & (self._fresh | self.block.payload.rewind)
            m.d.sync += self._rewinding.eq(rewinds)
        m.d.sync += self._next.eq(Mux(self._member_last, self._position, self._row) + step)
        with m.If(self._rewinding):
            m.d.sync += [self._position.eq(self._base), self._row.eq(self._base), self._member.eq(0)]
        with m.Elif(self._stepping):
            m.d.sync += [
                self._row.eq(self._next),
                self._member.eq(Mux(self._member_last, 0, self._member + 1)),
            ]
            with m.If(self._member_last):
                m.d.sync += self._position.eq(self._next)
        if self._seek:
            self._find(m)

    def _find(self, m: Module) -> None:
        """The address of a block's first row, a binary digit of its number a cycle."""
        with m.If(self._beginning):
            m.d.sync += [
                self._number.eq(self.block.payload.row),
                self._distance.eq(Mux(self.packed, self.row_bytes, self.stride)),
            ]
        with m.Elif(self._seeking):
            m.d.sync += [self._number.eq(self._number >> 1), self._distance.eq(self._distance.shift_left(1))]
            with m.If(self._number[0]):
                found = self._row + self._distance
                m.d.sync += [self._position.eq(found), self._row.eq(found)]
