"""The AXI4-Lite slave: an answer for every access, and what was written is read."""

from typing import Any

from amaranth.hdl import Cat, Mux, Signal

from hwgen.control.axi_lite import RegisterReads, RegisterWrites
from hwgen.control.register_file import RegisterFile
from hwgen.control.register_map import Access, register_map, words
from hwgen.memory.axi import Response
from rtl_tests.formal.bench import Bench
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import obeyed, obeys
from rtl_tests.formal.subjects.bursts import NARROW

SOFT_RESET = 5
"""The bit of the first word that undoes what was written."""


def fires(stream: Any) -> Any:
    return stream.valid & stream.ready


def slave() -> Bench:
    """Any word that only the host writes, and any address that has no register."""
    bench, file = Bench(), RegisterFile(NARROW)
    opened = bench.place(file)
    m = bench.m
    obeyed(bench, file.aw, file.w, file.ar)
    obeys(bench, file.b, file.r)
    registers = register_map(NARROW)
    plain = {
        number: (register, index)
        for number, register, index in words(registers)
        if all(field.access is Access.READ_WRITE for field in register.fields)
    }
    known = [number for number, _, _ in words(registers)]
    writes, reads = opened.inner("_writes"), opened.inner("_reads")
    # One access at a time: no answer without a question, none left out.
    waiting, looking = opened.inner("reads.waiting"), opened.inner("reads.looking")
    bench.check(opened.inner("reads.busy") == reads.read + waiting + looking + file.r.valid)
    asked, told = (Signal(4, name=name) for name in ("writes_asked", "writes_told"))
    m.d.sync += [asked.eq(asked + fires(file.aw)), told.eq(told + fires(file.b))]
    bench.check((asked - told)[:4] == opened.inner("writes.addressed") + file.b.valid)
    came = Signal(4, name="words_came")
    m.d.sync += came.eq(came + fires(file.w))
    bench.check((came - told)[:4] == opened.inner("writes.filled") + file.b.valid)
    # The words as the ports show them.
    word, strobe, address = Signal(32), Signal(4), Signal.like(writes.word)
    with m.If(fires(file.aw)):
        m.d.sync += address.eq(file.aw.payload.address[2:])
    with m.If(fires(file.w)):
        m.d.sync += [word.eq(file.w.payload.data), strobe.eq(file.w.payload.strobe)]
    bench.check((address == writes.word) & (word == writes.data))
    mask = Cat(bit.replicate(8) for bit in strobe)
    bench.check(mask == writes.mask)
    bench.assume(~(writes.write & (address == 0) & (word & mask)[SOFT_RESET]))
    bench.check(~opened.inner("_clear"))
    # The word at `place` as the host wrote it last.
    place, shadow = bench.constant(len(address), "place"), Signal(32)
    holds, mirrored = Signal(32), Signal(init=1)
    with m.Switch(place):
        for number, (register, index) in plain.items():
            shown = file._word(register, index)
            with m.Case(number):
                parts = [part[1] for field in register.fields if (part := field.part(index))]
                m.d.comb += holds.eq(sum((1 << bits.stop) - (1 << bits.start) for bits in parts))
                m.d.comb += mirrored.eq((shadow & holds) == shown)
    bench.check(mirrored)
    bench.assume(Cat(place == number for number in plain).any())
    with m.If(writes.write & (address == place)):
        m.d.sync += shadow.eq((shadow & ~mask) | (word & mask))
    # What is read: the shadow, if it has not changed on the way; nothing and an error where there is no register.
    where, before, same = Signal.like(reads.word), Signal(32), Signal()
    with m.If(fires(file.ar)):
        m.d.sync += [where.eq(file.ar.payload.address[2:]), same.eq(1)]
    with m.Elif(shadow != before):
        m.d.sync += same.eq(0)
    m.d.sync += before.eq(shadow)
    bench.check(where == reads.word)
    there = Cat(where == number for number in known).any()
    answer = file.r.payload
    bench.check(~file.r.valid | (answer.response == Mux(there, Response.OKAY, Response.SLVERR)))
    bench.check(~file.r.valid | there | (answer.data == 0))
    settled = same & (shadow == before)
    bench.check(~(file.r.valid & (where == place) & settled) | ((answer.data & holds) == (shadow & holds)))
    return bench


def channels(part: Any) -> Bench:
    """The two halves alone: an answer comes for every access, and in time."""
    bench = Bench()
    opened = bench.place(part)
    if isinstance(part, RegisterWrites):
        obeyed(bench, part.aw, part.w)
        obeys(bench, part.b)
        ready = opened.inner("addressed") & opened.inner("filled")
        late = Signal(2)
        bench.m.d.sync += late.eq(Mux(ready & ~part.b.valid, late + 1, 0))
        bench.check((late < 3) & (part.write == (late == 1)))
        told = part.b.valid & part.b.ready
        owed_a, owed_w = Signal(2), Signal(2)
        bench.m.d.sync += [owed_a.eq(owed_a + fires(part.aw) - told), owed_w.eq(owed_w + fires(part.w) - told)]
        bench.check(
            (owed_a == opened.inner("addressed") + part.b.valid) & (owed_w == opened.inner("filled") + part.b.valid)
        )
        return bench
    obeyed(bench, part.ar)
    obeys(bench, part.r)
    busy, waiting, looking = (opened.inner(name) for name in ("busy", "waiting", "looking"))
    owed, late = Signal(2), Signal(3)
    bench.m.d.sync += [owed.eq(owed + fires(part.ar) - fires(part.r)), late.eq(Mux(busy & ~part.r.valid, late + 1, 0))]
    bench.check((owed == busy) & (busy == part.read + waiting + looking + part.r.valid))
    bench.check((late < 4) & (~part.read | (late == 0)) & (~waiting | (late == 1)) & (~looking | (late == 2)))
    return bench


PROOFS = (
    Proof(
        "lite_writes",
        "RegisterWrites",
        "one B for an address and a word, whichever comes first, 3 cycles behind both if it is free to; B stays",
        lambda: channels(RegisterWrites()),
        breakages=(Breakage(RegisterWrites, "addressed & filled & ~self.b.valid", "addressed & ~self.b.valid"),),
    ),
    Proof(
        "lite_reads",
        "RegisterReads",
        "one R for an address, 4 cycles behind it; R stays",
        lambda: channels(RegisterReads()),
        breakages=(Breakage(RegisterReads, "self.ar.ready.eq(~busy)", "self.ar.ready.eq(1)"),),
    ),
    Proof(
        "register_file",
        "RegisterFile",
        "a register of the host's reads as it was written, byte by byte; an address without one reads as 0, SLVERR",
        slave,
        depth=6,
        breakages=(Breakage(RegisterFile, "m.d.comb += hit.eq(1)", "m.d.comb += hit.eq(0)"),),
    ),
)
