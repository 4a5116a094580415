"""What is evaluated: encoders of four sizes, six lengths, batch 64 (FuseMax, MICRO 2024, section VI)."""

from __future__ import annotations

from dataclasses import dataclass

from golden.exact import Shape
from hwgen.schedule import linear

BATCH = 64
LENGTHS = {1024: "1K", 4096: "4K", 16384: "16K", 65536: "64K", 262144: "256K", 1048576: "1M"}


@dataclass(frozen=True)
class Model:
    """One layer: `heads` of dimension `head`, vectors of `width`, a feed-forward layer of `hidden`."""

    name: str
    heads: int
    head: int
    width: int
    hidden: int

    def attention(self, length: int) -> Shape:
        return Shape(B=BATCH, Hq=self.heads, Hkv=self.heads, L=length, S=length, E=self.head, F=self.head)

    def linear(self, length: int) -> list[Shape]:
        """The products around it: queries, keys, values, output, and both of the feed-forward layer."""
        rows, inner = BATCH * length, self.heads * self.head
        sizes = [*[(self.width, inner)] * 3, (inner, self.width), (self.width, self.hidden), (self.hidden, self.width)]
        return [linear.product(rows, summed, columns) for summed, columns in sizes]


MODELS = (
    Model("BERT", heads=12, head=64, width=768, hidden=3072),
    Model("TrXL", heads=16, head=64, width=1024, hidden=4096),
    Model("T5", heads=8, head=64, width=512, hidden=2048),
    Model("XLM", heads=16, head=128, width=2048, hidden=8192),
)
POINTS = tuple((model, length) for model in MODELS for length in LENGTHS)
