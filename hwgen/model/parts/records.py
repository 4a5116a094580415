"""What the parts hand to each other."""

from __future__ import annotations

from typing import NamedTuple


class Tensor(NamedTuple):
    """How the rows of a tensor lie; bytes, strides from one row and from one head of a group to the next."""

    row_bytes: int
    stride: int
    head_stride: int
    group: int
    packed: bool


class Place(NamedTuple):
    """Where a tensor begins; bytes from one batch entry and from one (group of) heads to the next."""

    address: int
    batch_stride: int
    head_stride: int


class Job(NamedTuple):
    """The queries of all heads that share a key/value head."""

    queries: int
    group: int
    keys: int
    causal: bool
    offset: int


class Block(NamedTuple):
    """A block of queries, as `block_layout` has it; `slots` minus one, `edge` is 0 if not causal."""

    queries: int
    slots: int
    width: int
    void_slots: int
    causal: bool
    rewind: bool
    keep: bool
    last: bool
    group: int
    keys: int
    fresh: int
    edge: int


class Rows(NamedTuple):
    """The next `rows` rows of a job, `rewind`: from its first row on; `last`: no block of the job follows."""

    rewind: bool
    last: bool
    rows: int


class Request(NamedTuple):
    """`size` bytes from `address` on, the latter within a chunk of memory."""

    address: int
    size: int


class Run(NamedTuple):
    """`rows` rows back to back, the first one from byte or element `offset` of its bus word on."""

    offset: int
    rows: int


class Split(NamedTuple):
    """A request counted: its first word's place in its chunk, its last word's, and chunks behind the first."""

    word: int
    end: int
    left: int


COUNTS: dict[type, int] = {Block: 3, Rows: 1, Request: 1, Run: 1, Split: 1}
"""How many of the last fields of a record are numbers that matter only when they are small, or large: see
`hwgen.model.state`."""
