"""From bus words to converted rows."""

from __future__ import annotations

from collections import deque

from amaranth.utils import ceil_log2

from hwgen.memory.convert import converting_places, shifting_latency
from hwgen.memory.row_steps import RingShape
from hwgen.model.parts.queue import Fifo
from hwgen.model.parts.reading import Client
from hwgen.model.parts.records import Run
from hwgen.model.parts.walker import Walker
from hwgen.params import Params


class Unpacker:
    """A `RowReader` behind its walker, and its `BlockConverter`: runs wait, their rows become beats (`RowSteps`), these
    take words out of a ring (`ElementRing`), and rows are converted. Both halves sleep while nothing can change.

    Members: offered (a converted beat is), last (it is its row's last), taken. With `places` for rows nobody can stop
    what is converted, and freed says that one of them is given back.
    """

    __slots__ = (
        "active",
        "asking",
        "beat",
        "beat_elements",
        "by_rows",
        "calm",
        "came",
        "client",
        "elements",
        "flow",
        "following",
        "fold",
        "free_rows",
        "freed",
        "full",
        "group",
        "half",
        "landed",
        "last",
        "left",
        "moved",
        "offered",
        "offset",
        "ring_words",
        "returned",
        "row_beats",
        "rows",
        "runs",
        "places",
        "stages",
        "step",
        "taken",
        "turned",
        "used",
        "waiting",
        "walker",
        "word",
        "word_bits",
    )

    def __init__(
        self, params: Params, rows: int, elements: int, client: Client, walker: Walker, places: int = 0
    ) -> None:
        ring = RingShape.of(params)
        self.elements, self.client, self.walker = elements, client, walker
        self.fold, self.beat_elements = rows // params.config.beat, ring.beat
        self.word, self.word_bits, self.ring_words = ring.word, ceil_log2(ring.word), ring.words
        self.row_beats = -(-elements // rows) * self.fold
        self.runs = Fifo(params.config.queue_beats)
        # RowSteps, with the step that it offers: words needed, words passed, last of its row; and the one behind it.
        self.active = False
        self.left = self.rows = self.group = self.offset = 0
        self.step: tuple[int, int, bool] | None = None
        self.waiting: tuple[int, int, bool] | None = None
        # ElementRing: words, whether one came a cycle ago, the two stages behind, and what comes before it is known
        # that the last one stays: None, or whether the beat is its row's last.
        self.used, self.came = 0, False
        self.half: bool | None = None
        self.turned: bool | None = None
        self.following: bool | None = None
        # BlockConverter: beats collected and read back, full banks, its stages and what has landed behind them: 0, or 1
        # for a beat, 2 for its row's last; places left for further ones.
        self.beat = self.full = self.flow = 0
        self.by_rows, self.free_rows = places > 0, places
        # What lands is offered behind its stages, what cannot be stopped in the last one.
        self.stages: deque[int] = deque([0] * (shifting_latency(params) - self.by_rows))
        self.landed: deque[int] = deque()
        self.places = converting_places(params)
        self.offered = self.last = self.taken = self.moved = self.calm = self.freed = self.returned = False
        self.asking = True

    def tick(self) -> None:
        """One cycle of all that comes behind the words, before the read engine's."""
        blocked = not self.client.present or self.used == self.ring_words
        if self.calm and blocked and not (self.taken or self.freed) and (self.active or not self.runs.ready):
            return
        self.calm = True
        self._turn(self._convert())

    def ask(self, element_bytes: int) -> None:
        """One cycle of the walker and of the runs, behind the read engine's."""
        runs, walker, splitter = self.runs, self.walker, self.client.splitter
        if not (self.asking or splitter.taken or runs.taken):
            return
        run = None
        if walker.run is not None and runs.room():
            walker.run_taken = True
            run = Run(walker.run.offset // element_bytes, walker.run.rows)
        self.asking = runs.tick(run)
        walker.request_taken = splitter.taken
        self.asking |= walker.tick()
        splitter.request = walker.request

    def _convert(self) -> bool:
        """Beats of a full bank move on; one is collected in the other bank. Whether it is."""
        accept = self.turned is not None and self.full < 2
        if self.by_rows:
            self._pass()
        else:
            self._land()
        if accept:
            self.calm = False
            self.full += bool(self.turned)
        return accept

    def _pass(self) -> None:
        """Of rows that have a place."""
        begins = self.full > 0 and self.beat == 0 and self.free_rows > 0
        step = begins or (self.full > 0 and self.beat > 0)
        self.free_rows += self.returned - begins
        if self.freed or self.returned:
            self.returned, self.freed, self.calm = self.freed, False, False
        if step or self.flow or self.offered:
            self.calm = False
            self._read_back(step)
            landed = self.landed.popleft() if self.landed else 0
            self.offered, self.last = landed > 0, landed == 2

    def _land(self) -> None:
        """Of beats that have a place."""
        move = bool(self.landed) and (self.taken or not self.offered)
        step = self.full > 0 and self.places > 0
        if self.taken:
            self.taken = self.offered = self.calm = False
        if move:
            self.offered, self.calm = True, False
            self.last = self.landed.popleft() == 2
        # That a place is free is known a cycle late.
        self.places += self.moved - step
        if move != self.moved:
            self.moved, self.calm = move, False
        if step or self.flow:
            self.calm = False
            self._read_back(step)

    def _read_back(self, step: bool) -> None:
        """The stages move, with a beat of a full bank or none."""
        landed = self.stages.popleft()
        if landed:
            self.landed.append(landed)
        self.flow += step - (landed > 0)
        if step:
            self.beat += 1
            if self.beat == self.row_beats:
                self.beat = 0
                self.full -= 1
                self.stages.append(2)
            else:
                self.stages.append(1)
        else:
            self.stages.append(0)

    def _turn(self, taken: bool) -> None:
        """The ring: a word comes in, a step takes its elements out."""
        word = self.client.present and self.used + self.came != self.ring_words
        step, used = self.step, self.used
        turns = self.following is None
        move = turns or self.half is None
        there = step is not None and used >= step[0]
        coming = self.half if turns else self.following
        if taken or self.turned is None:
            self.turned, self.following = coming, None
        else:
            self.following = coming
        if turns and self.half is not None:
            self.calm = False
        if move:
            self.half = step[2] if step is not None and there else None
        if self.came:
            self.calm = False
            self.used += 1
        self.came = word
        if word:
            self.calm = False
            self.client.taken = True
        free = self.waiting is None
        if step is not None and move and there:
            self.used -= step[1]
            self.step, self.waiting = self.waiting, None
            self.calm = False
        self._steps(free)

    def _steps(self, free: bool) -> None:
        """The next beat's step, if there is a place for it."""
        run_ends = False
        if self.active and free:
            self.calm = False
            step, run_ends = self._next_step()
            if self.step is None:
                self.step = step
            else:
                self.waiting = step
        if not self.active or run_ends:
            runs = self.runs
            self.active = runs.ready
            if runs.ready:
                self.calm = False
                self.offset, self.rows = runs.head
                self.left = self.elements
                runs.taken = True

    def _next_step(self) -> tuple[tuple[int, int, bool], bool]:
        """A step, and whether the run ends with it."""
        left, final = self.left, self.rows == 1
        ends = left <= self.beat_elements
        count = left if ends else self.beat_elements
        row_ends = ends and self.group == self.fold - 1
        end = self.offset + count
        words, rest = end >> self.word_bits, end & (self.word - 1)
        partial = 1 if rest else 0
        step = (words + partial, words + (partial if ends and final else 0), row_ends)
        self.group = 0 if self.group == self.fold - 1 else self.group + 1
        self.offset = 0 if ends and final else rest
        if row_ends:
            self.left = self.elements
            self.rows -= 1
        else:
            self.left = left - count
        return step, row_ends and final
