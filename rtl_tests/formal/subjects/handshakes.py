"""Every component with streams keeps what it offers, whatever its neighbours do that keep to the rules themselves."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Mux, Signal, Value
from amaranth.lib import stream, wiring

from hwgen.control.axi_lite import RegisterReads, RegisterWrites
from hwgen.control.block_fork import BlockFork, SegmentFork
from hwgen.control.block_walker import BlockWalker
from hwgen.control.command_queue import CommandQueue
from hwgen.control.head_fork import HeadFork
from hwgen.control.job_walker import JobWalker
from hwgen.control.key_lengths import AHEAD, KeyLengths
from hwgen.control.segment_walker import SegmentWalker
from hwgen.memory.bias_reader import BiasFork, BiasReader, BiasWalker
from hwgen.memory.bursts import BurstSplitter
from hwgen.memory.convert import BlockConverter
from hwgen.memory.fetch_fork import FetchFork, SegmentFetch
from hwgen.memory.row_packer import RowPacker
from hwgen.memory.row_reader import RowReader
from hwgen.memory.row_steps import RowSteps
from hwgen.memory.row_unpacker import ElementRing, RowUnpacker
from hwgen.memory.row_walker import RowWalker
from hwgen.memory.row_writer import RowWriter
from hwgen.memory.score_record import ScoreRecord
from hwgen.memory.segment_reader import SegmentReader
from hwgen.memory.word_lanes import WordLanes
from hwgen.memory.word_queue import WordQueue
from hwgen.memory.write_engine import WriteEngine
from hwgen.params import Params
from hwgen.part import Part
from hwgen.presets import preset
from hwgen.softmax.output import OutputUnit
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import obeyed, obeys
from rtl_tests.formal.subjects.queues import slices_hold
from rtl_tests.harness.score_machines import machine


def streams(part: Part) -> Iterator[tuple[Any, bool]]:
    """A component's streams, and whether they come out of it."""

    def walk(signature: Any, value: Any) -> Iterator[tuple[Any, bool]]:
        for name, member in signature.members.items():
            if not member.is_signature:
                continue
            inner, outward = getattr(value, name), member.flow == wiring.Out
            for each in flat(inner) if member.dimensions else [inner]:
                if isinstance(member.signature, stream.Signature):
                    yield each, outward

    def flat(values: Any) -> Iterator[Any]:
        for value in values:
            yield from flat(value) if isinstance(value, list | tuple) else [value]

    yield from walk(part.signature, part)


Also = Callable[[Bench, Opened, Any], None]


def bench_of(
    make: Callable[[], Part],
    unless: tuple[str, ...] = (),
    steady: tuple[str, ...] = (),
    apart: tuple[str, ...] = (),
    also: Also | None = None,
) -> Bench:
    """What comes out of a component is held if what goes in is; pulses `unless` may take back everything, `steady`
    inputs do not change, outputs `apart` are left to `also`, which adds what else is assumed, and invariants."""
    bench, part = Bench(), make()
    opened = bench.place(part)
    slices_hold(bench, opened)
    pulses = sum((getattr(part, name) for name in unless), start=Value.cast(0))
    bench.steady(*(getattr(part, name) for name in steady))
    for each, outward in streams(part):
        if not any(each is getattr(part, name) for name in apart):
            (obeys if outward else obeyed)(bench, each, unless=pulses if outward else 0)
    if also:
        also(bench, opened, part)
    return bench


def lengths_asked(bench: Bench, opened: Opened, part: Any) -> None:
    """A start comes when all that was asked for is taken, a word for what was asked for."""
    ahead = opened.inner("ahead") + opened.inner("counted")
    bench.assume(~part.start | ((opened.inner("left") == 0) & (ahead == 0)))
    bench.assume(~part.words.valid | (ahead != 0))
    bench.check(ahead <= AHEAD)


def jobs_at_rest(bench: Bench, opened: Opened, part: Any) -> None:
    """A start comes first, or when all is finished; a length when it was asked for. As many lengths are owed as there
    are batches that have none."""
    started = Signal()
    bench.m.d.sync += started.eq(started | part.start)
    bench.assume(~part.start | ~started | part.finished)
    bench.assume((part.descriptor.batches != 0) & (part.descriptor.batches < 1 << 20))
    left, ahead = (
        opened.inner("key_lengths.left"),
        opened.inner("key_lengths.ahead") + opened.inner("key_lengths.counted"),
    )
    bench.assume(~part.lengths_words.valid | (ahead != 0))
    batches, idle, stopped = opened.inner("_batches"), opened.state("IDLE"), opened.state("STOPPED")
    bench.check(idle == (~started | part.finished))
    bench.check(opened.state("PASS") | ~(opened.inner("_asking") | opened.inner("_asked")))
    bench.check(opened.state("OFFER") | ~(part.job.valid | part.heads.valid))
    # A batch is counted down with the first tensor of its pass; whether it is the last one is known two cycles later.
    kind, turn, passing = opened.inner("_kind"), opened.inner("_turn"), opened.state("PASS") & opened.inner("_asking")
    counting = passing & (kind == 1) & (turn == 0)
    bench.check(~counting | (batches != 1))
    bench.check(opened.inner("_asking") | (turn == 0))
    bench.check(idle | (passing & (turn < 2)) | (opened.inner("_last_batch") == (batches == 1)))
    taken = opened.state("COMPARE") | opened.state("CHECK") | opened.state("OFFER")
    got = taken | (opened.state("PASS") & (kind == 2)) | counting
    owed = Mux(idle | ~part.descriptor.key_lengths, 0, batches - got)
    bench.check(stopped | ((left + ahead == owed) & (ahead <= AHEAD)))
    bench.check(idle | stopped | ((batches != 0) & (batches < 1 << 20)))


def list_at_rest(bench: Bench, opened: Opened, part: Any) -> None:
    """A list, never an empty one, is started when the one before is done; its words come when they were asked for."""
    active, left, piece, full, pieces = (opened.inner(n) for n in ("active", "left", "piece", "full", "pieces"))
    lanes = opened.inner("lanes")
    count = part.list.count
    bench.assume(~part.start | (~active & (count != 0) & (count < 1 << 20)))
    bench.assume(~part.words.valid | ~part.request.valid)
    narrow = opened.inner("word_lanes.left") + lanes.output.valid + piece + Mux(full, pieces, 0)
    bench.check((narrow == left * pieces) & (left < 1 << 20))
    bench.check(active | ((left == 0) & ~part.request.valid & ~part.segments.valid))
    bench.check(~part.request.valid | ((piece == 0) & ~full & ~lanes.output.valid & (left != 0)))


def edge_of_keys(bench: Bench, opened: Opened, part: Any) -> None:
    """A segment's edge is the product of the first key and the group, two registers behind them; so it is held if they
    have been for two cycles. Nobody looks at the edge of a sink, or of no keys: it may come late."""
    bench.check(opened.state("BLOCK") | part.block.valid)
    offered, seen = part.segment.payload, Signal(part.segment.payload.shape())
    bench.m.d.comb += [seen.eq(offered), seen.edge.eq(0)]
    obeys(bench, SimpleNamespace(valid=part.segment.valid, ready=part.segment.ready, payload=seen))
    first, was = offered.first, bench.past(offered.first)
    known = (first == was) & (was == bench.past(was))
    bench.check(~part.segment.valid | offered.sink | (offered.live == 0) | known)


def ring_kept(bench: Bench, opened: Opened, part: Any) -> None:
    """The host keeps the ring's rules, and resets nothing."""
    bench.assume(((part.tail - part.head)[: len(part.tail)] <= part.size) & ~part.soft_reset)
    where = part.base + opened.inner("_place").shift_left(8)
    bench.check((opened.inner("_waiting") <= part.size) & ~opened.inner("_crowded"))
    bench.check(~opened.state("ASK") | (opened.inner("_address") == where[: len(part.base)]))


def one_read(bench: Bench, opened: Opened, part: Any) -> None:
    """Of a read at a time."""
    busy, waiting, looking = (opened.inner(name) for name in ("busy", "waiting", "looking"))
    steps = (part.read, waiting, looking, part.r.valid)
    bench.check(sum(steps) == busy)


def told_ahead(bench: Bench, opened: Opened, part: Any) -> None:
    """Whether words are taken is known a cycle before."""
    bench.assume(part.words.ready == (bench.past(part.room) & bench.begun))


def states_in_registers(bench: Bench, opened: Opened, part: Any) -> None:
    """What the state says of the streams is known beside it."""
    bench.check(part.block.valid == opened.state("OFFER"))
    came = opened.inner("came")
    bench.check((part.job.ready == (opened.state("IDLE") & ~came)) & (opened.state("IDLE") | ~came))
    bench.check((opened.inner("gone") == opened.state("GONE")) & (opened.inner("starting") == opened.state("START")))


SMALL = Params(preset("tiny"))
BOUNDED, LISTED, BIASED = (lambda name=name: machine(name) for name in ("bounds", "documents", "random"))
WALKED = ("stride", "head_stride", "group", "row_bytes", "packed")

Make = Callable[[], Part]
COMPONENTS: dict[str, tuple[Make, dict[str, Any]]] = {
    "word_queue": (lambda: WordQueue(8, 5), {"unless": ("clear",)}),
    "word_lanes": (lambda: WordLanes(SMALL, 32), {}),
    "burst_splitter": (lambda: BurstSplitter(SMALL), {"unless": ("clear",)}),
    "write_engine": (lambda: WriteEngine(SMALL, 2), {}),
    "row_walker": (lambda: RowWalker(SMALL), {"steady": WALKED}),
    "row_walker_seek": (lambda: RowWalker(SMALL, True), {"steady": WALKED}),
    "row_steps": (lambda: RowSteps(SMALL, 4, 8), {}),
    "element_ring": (lambda: ElementRing(SMALL), {}),
    "row_unpacker": (lambda: RowUnpacker(SMALL, 4, 8), {}),
    "row_reader": (lambda: RowReader(SMALL, 4, 8), {"steady": WALKED}),
    "row_packer": (lambda: RowPacker(32, 16, 2, 8), {"steady": ("elements",)}),
    "row_writer": (lambda: RowWriter(SMALL, 16, 2, 8), {"steady": (*WALKED, "elements"), "also": told_ahead}),
    "block_converter": (lambda: BlockConverter(SMALL, 8), {}),
    "fetch_fork": (lambda: FetchFork(SMALL), {}),
    "segment_fetch": (lambda: SegmentFetch(BOUNDED()), {}),
    "bias_walker": (lambda: BiasWalker(BIASED()), {"steady": ("stride",)}),
    "bias_fork": (lambda: BiasFork(BIASED()), {}),
    "bias_reader": (lambda: BiasReader(BIASED()), {"steady": ("stride",)}),
    "score_record": (lambda: ScoreRecord(BIASED()), {}),
    "segment_reader": (lambda: SegmentReader(LISTED()), {"steady": ("list",), "also": list_at_rest}),
    "block_fork": (lambda: BlockFork(SMALL, 4), {}),
    "segment_fork": (lambda: SegmentFork(BOUNDED()), {}),
    "head_fork": (lambda: HeadFork(SMALL), {}),
    "block_walker": (lambda: BlockWalker(SMALL), {"also": states_in_registers}),
    "block_walker_segments": (lambda: BlockWalker(BOUNDED()), {"also": states_in_registers}),
    "job_walker": (lambda: JobWalker(SMALL), {"also": jobs_at_rest, "steady": ("descriptor", "derived")}),
    "key_lengths": (lambda: KeyLengths(SMALL), {"also": lengths_asked}),
    "segment_walker": (lambda: SegmentWalker(BOUNDED()), {"apart": ("segment",), "also": edge_of_keys}),
    "segment_walker_listed": (lambda: SegmentWalker(LISTED()), {"apart": ("segment",), "also": edge_of_keys}),
    "command_queue": (lambda: CommandQueue(SMALL), {"steady": ("base", "size"), "also": ring_kept}),
    "register_writes": (lambda: RegisterWrites(), {}),
    "register_reads": (lambda: RegisterReads(), {"also": one_read}),
    "output_unit": (lambda: OutputUnit(SMALL), {}),
}

TITLES = {
    "row_walker_seek": "RowWalker(seeking)",
    "block_walker_segments": "BlockWalker(segments)",
    "segment_walker_listed": "SegmentWalker(lists)",
}


def title(name: str) -> str:
    """The component as the table calls it."""
    return TITLES.get(name) or "".join(word.title() for word in name.split("_"))


def unstable(part: type, line: str, mistake: str) -> tuple[Breakage, ...]:
    return (Breakage(part, line, mistake),)


BREAKAGES = {
    "word_lanes": unstable(WordLanes, "free.eq(~self.output.valid | self.output.ready)", "free.eq(1)"),
    "command_queue": unstable(CommandQueue, "self.request.valid.eq(1)", "self.request.valid.eq(~self.start)"),
}

PROOFS = tuple(
    Proof(
        f"keeps_{name}",
        title(name),
        "what is offered stays as it is until it is taken",
        lambda m=make, o=options: bench_of(m, **o),
        breakages=BREAKAGES.get(name, ()),
        broken_depth=40 if name == "command_queue" else 16,
    )
    for name, (make, options) in COMPONENTS.items()
)
