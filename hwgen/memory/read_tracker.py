"""Which word the next beat of R is."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.memory.axi import burst_layout
from hwgen.params import Params
from hwgen.part import Part


class ReadTracker(Part):
    """Keeps the bursts in flight, in order; those that are answered end where R says so.

    A burst is known 2 cycles behind `issue`, when its first beat may come at the earliest. Throughput 1 burst a cycle.

    Members
    -------
    issue:   `burst` of `client` goes to AR
    room:    one more burst may be in flight
    busy:    a burst is in flight
    beat:    a word comes, `last` of its burst
    known:   there is a burst it belongs to: that of `owner`
    address: the word's address
    final:   the burst's last word
    extra:   the burst should have ended before this word
    """

    def __init__(self, params: Params, clients: int) -> None:
        self._params, self._client_bits = params, max(1, ceil_log2(clients))
        super().__init__(
            {
                "issue": In(1),
                "client": In(self._client_bits),
                "burst": In(burst_layout(params)),
                "room": Out(1),
                "busy": Out(1),
                "beat": In(1),
                "last": In(1),
                "known": Out(1),
                "owner": Out(self._client_bits),
                "address": Out(unsigned(params.config.address_bits)),
                "final": Out(1),
                "extra": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self._params.config
        word_bits, beat_bits = ceil_log2(self._params.bus_bytes), ceil_log2(c.burst_beats)
        layout = data.StructLayout(
            {
                "owner": unsigned(self._client_bits),
                "chunk": unsigned(c.address_bits - word_bits - beat_bits),
                "word": unsigned(beat_bits),
                "left": unsigned(8),
            }
        )
        depth = max(2, 1 << ceil_log2(c.outstanding))
        m.submodules.bursts = bursts = Memory(shape=layout, depth=depth, init=[])
        write, read = bursts.write_port(), bursts.read_port(domain="comb")
        flying, stored = Signal(range(c.outstanding + 1)), Signal(range(depth + 1))
        head, end, load = Signal(layout, reset_less=True), Signal(), Signal()
        m.d.comb += [
            self.room.eq(flying != c.outstanding),
            self.busy.eq(flying != 0),
            end.eq(self.beat & self.last & self.known),
            load.eq((stored != 0) & (~self.known | end)),
            write.en.eq(self.issue),
            write.data.owner.eq(self.client),
            Cat(write.data.word, write.data.chunk).eq(self.burst.address[word_bits:]),
            write.data.left.eq(self.burst.length),
            self.owner.eq(head.owner),
            self.address.eq(Cat(Const(0, word_bits), head.word, head.chunk)),
            self.final.eq(head.left == 0),
        ]
        m.d.sync += [
            flying.eq(flying + self.issue - end),
            stored.eq(stored + self.issue - load),
            write.addr.eq(write.addr + self.issue),
            read.addr.eq(read.addr + load),
            self.known.eq(load | (self.known & ~end)),
        ]
        with m.If(self.beat):
            m.d.sync += [
                head.word.eq(head.word + 1),
                head.left.eq(head.left - 1),
                self.extra.eq(self.extra | self.final),
            ]
        with m.If(~self.known | end):
            m.d.sync += [head.eq(read.data), self.extra.eq(0)]
        return m
