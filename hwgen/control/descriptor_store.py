"""Keeps a descriptor's fields as its words arrive."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.descriptor import DESCRIPTOR_BYTES, FORMAT_CODES, MAGIC, PLACES, STRIDES, TENSORS
from hwgen.control.descriptor_layout import descriptor_layout
from hwgen.control.record import has_record
from hwgen.control.tensor_check import ADDRESS, FIELDS, field_layout, field_number
from hwgen.params import Params
from hwgen.part import Part
from hwgen.pipeline import delayed

WORDS = DESCRIPTOR_BYTES // 4
"""32-bit words in a descriptor."""


class DescriptorStore(Part):
    """Takes a descriptor's bus words and keeps of each field what the machine needs.

    Latency LATENCY cycles, throughput 1 word a cycle.

    Members: start (forget what came so far, take a descriptor); soon (`start` comes in the next cycle, as it does only
    then); words (none is taken in the cycle of `start`); descriptor; stray (a bit for each 32-bit word but those of
    tensors' fields: it has another value than the only valid one, or one that does not fit what is kept of it); full
    (the last word was taken LATENCY cycles before); number (of a 64-bit word), field (that word as an address or
    stride, a cycle later).
    """

    LATENCY = 3

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "start": In(1),
                "soon": In(1),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "descriptor": Out(descriptor_layout(params)),
                "stray": Out(WORDS),
                "full": Out(1),
                "number": In(ceil_log2(FIELDS)),
                "field": Out(field_layout(params)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self._params.config.bus_bits // 32
        last = WORDS // lanes - 1
        place, collecting, taken = Signal(ceil_log2(last + 1)), Signal(), Signal()
        # A word comes from afar, and goes to many: it has a register for either way. Behind it, one-hot, which one it
        # is; each bit enables registers of its own.
        arrived, arriving = Signal(), Signal.like(self.words.payload, reset_less=True)
        turn, here = Signal(last + 1, reset_less=True), Signal(last + 1)
        self._word = word = Signal.like(arriving)
        m.d.comb += [self.words.ready.eq(collecting), taken.eq(self.words.ready & self.words.valid)]
        m.d.sync += [
            arrived.eq(taken),
            arriving.eq(self.words.payload),
            here.eq(Mux(arrived & ~self.start, turn, 0)),
            word.eq(arriving),
            self.full.eq(here[last] & ~self.start),
        ]
        with m.If(self.start):
            m.d.sync += [place.eq(0), collecting.eq(1)]
        with m.Elif(taken):
            m.d.sync += place.eq(place + 1)
            with m.If(place == last):
                m.d.sync += collecting.eq(0)
        # Words come from afar: what stops them is a register.
        with m.If(self.soon):
            m.d.sync += collecting.eq(0)
        with m.If(self.start):
            m.d.sync += turn.eq(1)
        with m.Elif(arrived):
            m.d.sync += turn.eq(turn << 1)
        there, at = Signal(), delayed(m, place, 2, "place")
        m.d.sync += there.eq(arrived)
        self._keep_fields(m, there, at)
        self._keep(m, arriving, here)
        return m

    def _keep(self, m: Module, arriving: Signal, here: Signal) -> None:
        """The word's parts that are kept, and whether the others are as they have to be: that has been found out."""
        kept, lanes = self._kept(), len(arriving) // 32
        wrong: dict[tuple[int, int, int | None], Signal] = {}
        for index in range(WORDS):
            i, lane = divmod(index, lanes)
            if index in kept:
                with m.If(here[i]):
                    m.d.sync += kept[index].eq(self._word.word_select(lane, 32))
            if (rest := self._rest(index, kept)) is None:
                continue
            begin, value = rest
            if (lane, *rest) not in wrong:
                part = arriving.word_select(lane, 32)
                fill = part[begin - 1].replicate(32 - begin) if value is None else value
                wrong[lane, *rest] = Signal(reset_less=True, name=f"wrong_{lane}_{begin}")
                m.d.sync += wrong[lane, *rest].eq(part[begin:] != fill)
            with m.If(here[i]):
                m.d.sync += self.stray[index].eq(wrong[lane, *rest])

    def _rest(self, index: int, kept) -> tuple[int, int | None] | None:
        """Where what is left out of a word begins, and the only value it can have (None: the sign); if any is."""
        if index not in kept:
            return 0, self._constant().get(index, 0)
        target = kept[index]
        numbers = (field_number(name, i) for name in TENSORS for i in range(ADDRESS + 1))
        if index // 2 in numbers or len(target) == 32:
            return None
        return len(target), None if target.shape().signed else 0

    def _keep_fields(self, m: Module, there: Signal, place: Signal) -> None:
        """All of the descriptor once more, to be read word by word of 64 bits."""
        bits, bus = self._params.config.address_bits, self._params.config.bus_bits
        word, lanes = self._word, max(bus // 64, 1)
        lane = self.number[: ceil_log2(lanes)]
        if bus == 32:
            # Halves come one after the other, the low one first.
            values, beyond = [], []
            for half, (name, used) in enumerate((("low", min(bits, 32)), ("high", max(bits - 32, 0)))):
                part = Cat(word[:used], word[used:].any()) if used < 32 else word
                kept = self._bank(m, name, len(part), there & (place[0] == half), place[1:], self.number, part)
                values.append(kept[:used])
                beyond.append(kept[used:].any())
            m.d.comb += self.field.eq(Cat(*values, Cat(beyond).any()))
            return
        found = []
        for i in range(lanes):
            field = word.word_select(i, 64)
            field = Cat(field[:bits], field[bits:].any())
            found.append(self._bank(m, f"fields_{i}", len(field), there, place, self.number[len(lane) :], field))
        if lanes == 1:
            m.d.comb += self.field.eq(found[0])
        else:
            looked = Signal.like(lane)
            m.d.sync += looked.eq(lane)
            m.d.comb += self.field.eq(Array(found)[looked])

    def _bank(self, m: Module, name: str, width: int, enable, to, place, word):
        memory = Memory(shape=unsigned(width), depth=FIELDS * 64 // max(self._params.config.bus_bits, 64), init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [write.en.eq(enable), write.addr.eq(to), write.data.eq(word), read.addr.eq(place)]
        return read.data

    def _constant(self) -> dict[int, int]:
        """Words of which only one value is valid, other than zero."""
        c = self._params.config
        formats = FORMAT_CODES[c.in_format] | FORMAT_CODES[c.out_format] << PLACES["out_format"].low
        return {word_of("magic"): MAGIC, word_of("in_format"): formats}

    def _kept(self):
        """Where words are kept."""
        d = self.descriptor
        names = [name for name in descriptor_layout(self._params).members if name in PLACES]
        kept = {word_of(name): d[name].as_value() if hasattr(d[name], "as_value") else d[name] for name in names}
        flags = [d.causal, d.write_lse, d.key_lengths]
        kept[word_of("causal")] = Cat(*flags, d.listed) if self._params.config.block_list else Cat(flags)
        wide = {word_of("key_lengths_address"): d.key_lengths_address}
        if has_record(self._params):
            wide[word_of("score_address")] = d.score_address
        for name in TENSORS:
            wide[word_of(f"{name}_address")] = d[name].address
            for i, dimension in enumerate(STRIDES):
                wide[word_of(f"{name}_strides", i)] = d[name][f"{dimension}_stride"]
        for index, target in wide.items():
            kept |= {index: target[:32], index + 1: target[32:]}
        return kept


def word_of(name: str, i: int = 0) -> int:
    """The 32-bit word in which a field, or value i of it, begins."""
    place = PLACES[name]
    return (place.offset + i * place.bits // 8) // 4
