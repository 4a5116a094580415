"""From bursts to beats."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from boards.board import memory_base
from hwgen.memory.axi import burst_layout
from hwgen.params import PAGE_BYTES, Params
from hwgen.part import Part


def index_bits(memory_bytes: int, bus_bytes: int) -> int:
    """Width of the number of a bus word."""
    return ceil_log2(memory_bytes // bus_bytes)


def beat_layout(bits: int) -> data.StructLayout:
    """A word's number, whether it is in memory, and whether it is its burst's last one."""
    return data.StructLayout({"index": unsigned(bits), "inside": unsigned(1), "last": unsigned(1)})


def in_memory(address: Any, memory_bytes: int) -> Any:
    """Whether an address is that of a byte of memory, by its page. Raises ValueError for a memory that ends inside of
    one, or that addresses are too short for."""
    if memory_bytes <= 0 or memory_bytes % PAGE_BYTES:
        raise ValueError(f"a board's memory must be a multiple of {PAGE_BYTES} bytes, not {memory_bytes!r}")
    bits = ceil_log2(memory_bytes)
    if len(address) <= bits:
        raise ValueError(f"addresses of {len(address)} bits do not reach a board's memory of {memory_bytes} bytes")
    page = address[ceil_log2(PAGE_BYTES) : bits]
    return (address[bits:] == memory_base(memory_bytes) >> bits) & (page <= memory_bytes // PAGE_BYTES - 1)


class Bursts(Part):
    """Beats of bursts in the order in which those come. A burst never leaves its page of 4 KiB, as AXI has it.

    Latency 3 cycles; throughput 1 beat, also from burst to burst if each has at least 2 beats; 3 bursts in flight.

    Members: input; output; room (one may come, from the next cycle on); coming (a beat is offered in the next cycle).
    """

    LATENCY = 3

    def __init__(self, params: Params, memory_bytes: int) -> None:
        self._params, self._memory_bytes = params, memory_bytes
        self._bits = index_bits(memory_bytes, params.bus_bytes)
        super().__init__(
            {
                "input": In(stream.Signature(burst_layout(params))),
                "output": Out(stream.Signature(beat_layout(self._bits))),
                "room": In(1),
                "coming": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        low = ceil_log2(self._params.bus_bytes)
        # A burst may come; none has; the address of one that has is known.
        ready, free, known = Signal(init=1), Signal(init=1), Signal()
        address, length = Signal(self._params.config.address_bits), Signal(8)
        index, inside, beats = Signal(self._bits), Signal(), Signal(8)
        # Of the burst that is known: whether it has one beat, and whether it has two. Beats behind the one that is
        # offered, and whether that is the last but one.
        single, double = Signal(), Signal()
        left, second, beat = Signal(8), Signal(), self.output.payload
        learn, begin, move, over = Signal(), Signal(), Signal(), Signal()
        # Without a beat one may begin; a burst's last one makes room for the next burst's first one.
        m.d.comb += [
            self.input.ready.eq(ready),
            move.eq(Mux(self.output.valid, self.output.ready, known)),
            over.eq(~self.output.valid | beat.last),
            begin.eq(known & move & over),
            # Never in the cycle in which one begins, as that is known late: a second beat hides it.
            learn.eq(~free & ~known),
            self.coming.eq(known | (self.output.valid & ~(self.output.ready & beat.last))),
        ]
        with m.If(learn):
            m.d.sync += [index.eq(address[low:]), beats.eq(length), free.eq(1)]
            m.d.sync += inside.eq(in_memory(address, self._memory_bytes))
            m.d.sync += [single.eq(length == 0), double.eq(length == 1)]
        with m.If((free | learn) & self.room):
            m.d.sync += ready.eq(1)
        with m.If(self.input.valid & ready):
            m.d.sync += [ready.eq(0), free.eq(0)]
            m.d.sync += [address.eq(self.input.payload.address), length.eq(self.input.payload.length)]
        m.d.sync += known.eq(learn | (known & ~begin))
        with m.If(move):
            m.d.sync += [
                self.output.valid.eq(self.coming),
                beat.index.eq(Mux(over, index, beat.index + 1)),
                beat.inside.eq(Mux(over, inside, beat.inside)),
                left.eq(Mux(over, beats, left - 1)),
                second.eq(Mux(over, double, left == 2)),
                beat.last.eq(Mux(over, single, second)),
            ]
        return m
