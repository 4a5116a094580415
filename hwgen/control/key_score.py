"""What a score program makes of a key's index."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib.wiring import In, Out

from golden.scoremod.program import INDEX_BITS
from hwgen.array.feeder import key_address
from hwgen.control.tags import score_tag_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.scoremod.layout import argument_layout
from hwgen.scoremod.lower import Datapath


class KeyScore(Part):
    """Evaluates the score program's part for keys once a visit, and sends the visit on with the result in its tag.

    Latency `timing.key_latency` cycles, throughput 1.

    Members: argument (writes of the program's arguments); tag_in, address_in (of the issuer), kv, b (index of the key
    and of its batch); tag, address (to the score array).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "argument": In(argument_layout()),
                "tag_in": In(score_tag_layout(params)),
                "address_in": In(key_address(params)),
                "kv": In(unsigned(INDEX_BITS["kv"])),
                "b": In(unsigned(INDEX_BITS["b"])),
                "tag": Out(score_tag_layout(params)),
                "address": Out(key_address(params)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        partition = self._params.partition
        path = Datapath(partition.key, (), partition.places(partition.key))
        place(m, "datapath", path)
        m.d.comb += path.argument.eq(self.argument)
        m.d.comb += [getattr(path.inputs, name).eq(getattr(self, name)) for name in partition.key.inputs]
        valid = self.tag_in.valid
        # Whether there is a visit must be known from the reset on.
        for _ in range(path.latency):
            before, valid = valid, Signal()
            m.d.sync += valid.eq(before)
        m.d.comb += [
            self.tag.eq(delayed(m, self.tag_in, path.latency, "tag")),
            self.tag.valid.eq(valid),
            self.tag.visit.key.eq(path.outputs),
            self.address.eq(delayed(m, self.address_in, path.latency, "address")),
        ]
        return m
