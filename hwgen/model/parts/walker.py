"""From blocks of rows to the memory requests that bring or take them."""

from __future__ import annotations

from hwgen.model.parts.queue import Fifo
from hwgen.model.parts.records import Request, Rows, Run, Tensor
from hwgen.params import Params

JOB, BLOCK, MULTIPLY, ROW, STEP = range(5)


class Walker:
    """`RowWalker`; addresses are those within a chunk.

    Members: head, block (queues); open (a block may be taken); request, run (offered, or None) with request_taken,
    run_taken, asked (rows of the last request); state; wait (cycles to find a block's place and to multiply); base,
    position, row (addresses); member; left, last.
    """

    __slots__ = (
        "asked",
        "base",
        "block",
        "chunk",
        "following",
        "head",
        "last",
        "left",
        "member",
        "open",
        "position",
        "request",
        "request_taken",
        "row",
        "run",
        "run_taken",
        "state",
        "tensor",
        "wait",
        "word_bytes",
    )

    def __init__(self, params: Params, tensor: Tensor, head: Fifo, block: Fifo) -> None:
        self.tensor, self.head, self.block = tensor, head, block
        self.word_bytes = params.bus_bytes
        self.chunk = params.bus_bytes * params.config.burst_beats
        self.open = True
        self.request: Request | None = None
        self.run: Run | None = None
        self.request_taken = self.run_taken = self.last = False
        self.state, self.wait = JOB, 0
        self.base = self.position = self.row = self.member = self.left = self.following = 0
        self.asked = 0

    def tick(self) -> bool:
        """One cycle; whether anything changed."""
        changed, free = self.request_taken or self.run_taken, self.request is None and self.run is None
        if self.request_taken:
            self.request, self.request_taken = None, False
        if self.run_taken:
            self.run, self.run_taken = None, False
        return self._work(free) or changed

    def _work(self, free: bool) -> bool:
        state = self.state
        if state == ROW:
            return self._row(free)
        if state == STEP:
            self._step()
        elif state == BLOCK:
            if not self.open or not self.block.ready:
                return False
            self._begin(self.block.head)
            self.block.take()
        elif state == JOB:
            if not self.head.ready:
                return False
            self.base = self.position = self.row = self.head.head % self.chunk
            self.member = 0
            self.head.take()
            self.state = BLOCK
        else:
            self.wait -= 1
            if self.wait == 0:
                self.state = ROW
        return True

    def _begin(self, block: Rows) -> None:
        self.left, self.last = block.rows, block.last
        if block.rewind:
            self.position = self.row = self.base
            self.member = 0
        # Its place is found in a cycle, its bytes in more.
        self.state, self.wait = MULTIPLY, 1
        if self.tensor.packed:
            self.wait += self.tensor.row_bytes.bit_length()

    def _row(self, free: bool) -> bool:
        if self.left == 0:
            self.state = JOB if self.last else BLOCK
        elif not free:
            return False
        else:
            t, row = self.tensor, self.row
            rows = self.left if t.packed else 1
            self.request = Request(row, rows * t.row_bytes)
            self.run = Run(row % self.word_bytes, rows)
            self.asked = rows
            last = self.member == t.group - 1
            step = rows * t.row_bytes if t.packed else t.stride if last else t.head_stride
            self.following = ((self.position if last else row) + step) % self.chunk
            self.state = STEP
        return True

    def _step(self) -> None:
        t = self.tensor
        self.row = self.following
        self.left = 0 if t.packed else self.left - 1
        if self.member == t.group - 1:
            self.member = 0
            self.position = self.following
        else:
            self.member += 1
        self.state = ROW
