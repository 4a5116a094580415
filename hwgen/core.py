"""The streaming core: wiring only."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.array.score_array import ScoreArray
from hwgen.array.value_array import ValueArray
from hwgen.control.block_fork import BlockFork, SegmentFork
from hwgen.control.block_walker import BlockWalker
from hwgen.control.causes import CAUSE_BITS
from hwgen.control.counters import CoreEvents, events_layout
from hwgen.control.drain import DrainWalker, PendingSlots
from hwgen.control.issuer import Issuer
from hwgen.control.job import geometry_layout, job_layout
from hwgen.control.key_score import KeyScore
from hwgen.control.query_loader import QueryLoader
from hwgen.control.run import RunState
from hwgen.control.segment_issuer import SegmentIssuer
from hwgen.control.segment_walker import SegmentWalker
from hwgen.control.segments import fetch_layout, segment_layout
from hwgen.control.tags import block_layout
from hwgen.memory.bias_buffer import BiasBuffer
from hwgen.memory.convert import BlockConverter, raw_beat
from hwgen.memory.row_buffer import RowBuffer
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.scoremod.layout import argument_layout
from hwgen.softmax.group import LaneGroup
from hwgen.softmax.output import OutputUnit, lse_beat, output_beat
from hwgen.timing import key_rows, row_bits


class Core(Part):
    """Attention of one (batch, key/value head) a job: `O = softmax(scale Q K^T + mask) V` for the queries of all heads
    that share it, K and V streamed past resident queries.

    For every block of queries `fetch` tells which rows the streams have to bring: the next `queries` rows on `q`, the
    next `fresh` rows (with `rewind` from row 0 on) on `k` and `v`; each row padded with zeros to whole folds. O and LSE
    come in the order of queries. Jobs follow each other without a gap.

    Members: geometry (changes only while not busy); job; fetch; q, k, v; o, lse; busy (a job is in the machine); active
    (count cycles even if none is); events (what the cycle before adds to the core's counters); cause, value_busy (what
    the arrays do in this cycle, see `control.causes`); saturated, poisoned (sticky); clear (sets those to zero);
    poisoned_row (a pulse a row of O that is NaN); hungry (no queries are loaded: nothing can be done before there are);
    loaded (a pulse: a block's are); both a cycle late.

    Where there is a score program: argument (writes of its arguments, before the first job that they are for); bias (if
    it has one: a row a key in the order of fetch, of the block's queries). Where keys come as segments: fetch_segments
    (of the blocks that `fetch` tells, which rows `k` and `v` have to bring); segments (those of jobs that are listed).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        beat = stream.Signature(raw_beat(params))
        super().__init__(
            {
                "geometry": In(geometry_layout(params)),
                "job": In(stream.Signature(job_layout(params))),
                "fetch": Out(stream.Signature(block_layout(params))),
                "q": In(beat),
                "k": In(beat),
                "v": In(beat),
                "o": Out(stream.Signature(output_beat(params))),
                "lse": Out(stream.Signature(lse_beat(params))),
                "busy": Out(1),
                "active": In(1),
                "clear": In(1),
                "events": Out(events_layout(params)),
                "cause": Out(CAUSE_BITS),
                "value_busy": Out(1),
                "saturated": Out(1),
                "poisoned": Out(1),
                "poisoned_row": Out(1),
                "hungry": Out(1, init=1),
                "loaded": Out(1),
            }
            | ({} if params.score is None else {"argument": In(argument_layout())})
            | ({"bias": In(beat)} if params.has_bias else {})
            | ({"fetch_segments": Out(stream.Signature(fetch_layout(params)))} if params.segmented else {})
            | ({"segments": In(stream.Signature(segment_layout(params)))} if params.config.block_list else {})
        )

    def elaborate(self, platform):
        m = Module()
        self._place(m)
        self._connect_blocks(m)
        self._connect_operands(m)
        self._connect_queries(m)
        self._connect_lanes(m)
        self._connect_drain(m)
        self._connect_status(m)
        if self._params.score is not None:
            self._connect_arguments(m)
        if self._params.has_bias:
            self._connect_biases(m)
        return m

    def _place(self, m: Module) -> None:
        p = self._params
        c = p.config
        self._walker, self._fork = BlockWalker(p), BlockFork(p, 5 if p.segmented else 4)
        self._loader, self._issuer = QueryLoader(p), SegmentIssuer(p) if p.segmented else Issuer(p)
        self._drain, self._pending = DrainWalker(p), PendingSlots(p)
        key_bits = ceil_log2(key_rows(p))
        self._q = BlockConverter(p, c.head_e)
        self._k = BlockConverter(p, c.head_e, 1 << key_bits)
        self._v = BlockConverter(p, c.head_f, 1 << row_bits(p))
        self._keys = RowBuffer(p, c.rows_e, p.folds_e, key_bits)
        self._values = RowBuffer(p, c.rows_f, p.folds_f, row_bits(p))
        self._score, self._value = ScoreArray(p), ValueArray(p)
        self._groups = [LaneGroup(p) for _ in range(p.lanes)]
        self._output, self._events, self._run = OutputUnit(p), CoreEvents(p), RunState(p)
        named = {
            "block_walker": self._walker,
            "block_fork": self._fork,
            "query_loader": self._loader,
            "issuer": self._issuer,
            "drain_walker": self._drain,
            "pending_slots": self._pending,
            "q_converter": self._q,
            "k_converter": self._k,
            "v_converter": self._v,
            "key_buffer": self._keys,
            "value_buffer": self._values,
            "score_array": self._score,
            "value_array": self._value,
            "output_unit": self._output,
            "core_events": self._events,
            "run_state": self._run,
        }
        named |= {f"lane_group_{i}": group for i, group in enumerate(self._groups)}
        self._key_score = None
        if p.has_key_score:
            self._key_score = named["key_score"] = KeyScore(p)
        if p.segmented:
            self._segments, self._segment_fork = SegmentWalker(p), SegmentFork(p)
            named |= {"segment_walker": self._segments, "segment_fork": self._segment_fork}
        if p.has_bias:
            self._biases = named["bias_buffer"] = BiasBuffer(p)
        for name, part in named.items():
            place(m, name, part)

    def _connect_blocks(self, m: Module) -> None:
        connect(m, flipped(self.job), self._walker.job)
        connect(m, self._walker.block, self._fork.input)
        consumers = [self._loader.block, self._issuer.block, self._drain.block, flipped(self.fetch)]
        if self._params.segmented:
            consumers.append(self._segments.block)
            self._connect_segments(m)
        for output, consumer in zip(self._fork.outputs, consumers, strict=True):
            connect(m, output, consumer)

    def _connect_segments(self, m: Module) -> None:
        fork = self._segment_fork
        connect(m, self._segments.segment, fork.input)
        connect(m, fork.issue, self._issuer.segment)
        connect(m, fork.fetch, flipped(self.fetch_segments))
        if self._params.config.block_list:
            connect(m, flipped(self.segments), self._segments.listed)
        m.d.comb += self._drain.void.eq(self._issuer.void)

    def _connect_operands(self, m: Module) -> None:
        issuer = self._issuer
        for source, converter, buffer, array, head in (
            (self.k, self._k, self._keys, self._score, issuer.key),
            (self.v, self._v, self._values, self._value, issuer.value),
        ):
            connect(m, flipped(source), converter.input)
            connect(m, converter.output, buffer.input)
            m.d.comb += [
                array.write_rows.eq(buffer.write_rows),
                array.write_address.eq(buffer.write_address),
                array.write_data.eq(buffer.write_data),
                converter.freed.eq(array.freed),
                buffer.advance.eq(issuer.advance),
                buffer.block_last.eq(issuer.block_last),
                buffer.keep.eq(issuer.keep),
                head.ready.eq(buffer.ready),
                head.row.eq(buffer.row),
                head.exponent.eq(buffer.exponent),
                head.poisoned.eq(buffer.poisoned),
            ]
        if self._key_score is None:
            m.d.comb += [self._score.tag.eq(issuer.tag), self._score.address.eq(issuer.address)]
        else:
            m.d.comb += [
                self._key_score.tag_in.eq(issuer.tag),
                self._key_score.address_in.eq(issuer.address),
                self._key_score.kv.eq(issuer.kv),
                self._key_score.b.eq(issuer.batch),
                self._score.tag.eq(self._key_score.tag),
                self._score.address.eq(self._key_score.address),
            ]

    def _connect_queries(self, m: Module) -> None:
        loader, last = self._loader, self._groups[-1]
        connect(m, flipped(self.q), self._q.input)
        connect(m, self._q.output, loader.query)
        m.d.comb += [
            self._score.load_rows.eq(loader.rows),
            self._score.load_columns.eq(loader.columns),
            self._score.load_operand.eq(loader.operand),
            self._score.load_data.eq(loader.elements),
            loader.release.eq(last.released),
            loader.release_bank.eq(last.released_bank),
            loader.issued.eq(self._issuer.block_done),
            loader.issued_bank.eq(self._issuer.bank),
            loader.empty.eq(self._issuer.empty_done),
            self._issuer.loaded.eq(loader.loaded),
        ]

    def _connect_lanes(self, m: Module) -> None:
        loader = self._loader
        for i, group in enumerate(self._groups):
            for c in range(self._params.group):
                column = i * self._params.group + c
                m.d.comb += [
                    group.sum[c].eq(self._score.sum[column]),
                    group.tag[c].eq(self._score.tag_out[column]),
                    self._value.weights[column].weight.eq(group.weight[c]),
                    self._value.weights[column].shift.eq(group.shift[c]),
                ]
            m.d.comb += group.ends.eq(self._score.ends[i])
            for bank in range(2):
                m.d.comb += [
                    group.mantissa[bank].eq(loader.mantissa[bank]),
                    group.scale_exponent[bank].eq(loader.scale_exponent[bank]),
                ]
            m.d.comb += [
                group.load_enable.eq(loader.lanes[i]),
                group.load_address.eq(loader.lane_address),
                group.load_query.eq(loader.lane_query),
                group.result_address.eq(self._output.result_address),
                self._output.result[i].eq(group.result),
            ]
        m.d.comb += [
            self._value.visit.eq(self._groups[0].visit),
            self._value.last_fold.eq(self.geometry.last_fold_f),
        ]

    def _connect_drain(self, m: Module) -> None:
        output, value, pending = self._output, self._value, self._pending
        connect(m, output.o, flipped(self.o))
        connect(m, output.lse, flipped(self.lse))
        m.d.comb += [
            self._drain.head_f.eq(self.geometry.head_f),
            self._drain.done.eq(value.done),
            self._drain.done_slot.eq(value.done_slot),
            self._drain.room.eq(output.room),
            output.step.eq(self._drain.step),
            value.drain_columns.eq(output.drain_columns),
            value.drain_rows.eq(output.drain_rows),
            value.drain_address.eq(output.drain_address),
            pending.drained.eq(output.drained),
            pending.drained_slot.eq(output.drained_slot),
            pending.finishing.eq(self._issuer.finishing),
            pending.finishing_slot.eq(self._issuer.finishing_slot),
            self._issuer.pending.eq(pending.pending),
        ]
        for taken, given in zip(output.drain, value.drain, strict=True):
            m.d.comb += taken.eq(given)

    def _connect_status(self, m: Module) -> None:
        run, issuer, events = self._run, self._issuer, self._events
        loader, more = self._loader, Signal()
        m.d.sync += more.eq(self._walker.working | self.job.valid)
        m.d.sync += [self.hungry.eq(~loader.loaded.any()), self.loaded.eq(loader.block.valid & loader.block.ready)]
        m.d.comb += [
            run.accepted.eq(self.job.valid & self.job.ready),
            run.finished.eq(self.o.valid & self.o.ready & self.o.payload.job_last),
            run.begun.eq(self._walker.block.valid & self._walker.block.ready),
            run.issued.eq(issuer.block_done),
            run.lse_waiting.eq(self.lse.valid),
            run.visit.eq(issuer.visiting),
            run.clear.eq(self.clear),
            run.saturated_now.eq(Cat(group.saturated for group in self._groups).any()),
            run.poisoned_now.eq(self._output.poisoned),
            self.busy.eq(run.busy),
            self.saturated.eq(run.saturated),
            self.poisoned.eq(run.poisoned),
            self.poisoned_row.eq(self._output.poisoned),
            issuer.geometry.eq(self.geometry),
            issuer.busy.eq(run.busy),
            issuer.running.eq(run.running),
            issuer.more.eq(more),
            events.last_fold_e.eq(self.geometry.last_fold_e),
            events.busy.eq(run.busy | self.active),
            events.cause.eq(issuer.cause),
            events.value_busy.eq(self._value.busy),
            events.pairs.eq(self._pairs()),
            events.job_done.eq(run.done),
            self.cause.eq(issuer.cause),
            self.value_busy.eq(self._value.busy),
            self.events.eq(events.events),
        ]

    def _pairs(self):
        """Pairs that are allowed: as the issuer knows, or those that the score program lets through."""
        score = self._params.score
        if score is None or "seen" not in score.output:
            return self._issuer.pairs
        return sum((group.pair for group in self._groups[1:]), self._groups[0].pair)

    def _connect_arguments(self, m: Module) -> None:
        takers = [self._loader, *self._groups]
        takers += [] if self._key_score is None else [self._key_score]
        takers += [] if self._params.bounds is None else [self._segments]
        for taker in takers:
            m.d.comb += taker.argument.eq(self.argument)

    def _connect_biases(self, m: Module) -> None:
        biases, last = self._biases, self._groups[-1].entering
        connect(m, flipped(self.bias), biases.input)
        m.d.comb += [
            self._issuer.bias.ready.eq(biases.ready),
            self._issuer.bias.row.eq(biases.row),
            biases.advance.eq(self._issuer.advance),
            biases.read_valid.eq(last.valid),
            biases.read_row.eq(last.visit.bias_row),
        ]
        size = self._params.group
        for i, group in enumerate(self._groups):
            m.d.comb += [group.bias.valid.eq(biases.write.valid), group.bias.address.eq(biases.write.address)]
            m.d.comb += [group.bias.elements[c].eq(biases.write.elements[i * size + c]) for c in range(size)]
