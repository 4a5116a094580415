"""All memories of a machine without a score program, as the circuits ask for them, without making the circuits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.utils import ceil_log2

from golden.bitexact.numerics import REFERENCE_BITS
from hwgen.array.feeder import key_address, value_address
from hwgen.control import block_fork, head_fork
from hwgen.control.counters import COUNTER_BITS
from hwgen.control.job_walker import turns
from hwgen.control.register_map import counter_names
from hwgen.control.tags import block_layout
from hwgen.control.tensor_check import FIELDS
from hwgen.memory import fetch_fork
from hwgen.memory.axi import burst_layout
from hwgen.memory.convert import converted_beat, converting_places, rows_converted
from hwgen.memory.read_client import ReadClient
from hwgen.memory.row_steps import RingShape, run_layout
from hwgen.memory.row_walker import row_block_layout
from hwgen.memory.write_client import places
from hwgen.memory.write_engine import WORDS_UNDER_WAY
from hwgen.params import QUERY_BITS, Params
from hwgen.softmax.lane import query_layout, result_layout, state_address_bits
from hwgen.softmax.output import LSE_DEPTH, lse_beat, output_beat, queue_depth
from hwgen.timing import key_rows, row_bits


@dataclass(frozen=True)
class Bank:
    """`count` equal memories of a component, each of `depth` words of `width` bits."""

    component: str
    count: int
    width: int
    depth: int

    @property
    def bits(self) -> int:
        """Of one of them."""
        return self.width * self.depth


def banks(params: Params) -> tuple[Bank, ...]:
    """Every memory of the accelerator. Components: query_operands, accumulators, results, key_buffer, value_buffer,
    lane_state, converters, queues, control."""
    return tuple(bank for part in (_arrays, _lanes, _streams, _bus, _control) for bank in part(params))


def memory_bits(params: Params) -> dict[str, int]:
    """By component."""
    bits: Counter[str] = Counter()
    for bank in banks(params):
        bits[bank.component] += bank.count * bank.bits
    return dict(bits)


def _arrays(params: Params) -> Iterator[Bank]:
    c = params.config
    yield Bank("query_operands", c.rows_e * c.cols, c.operand_bits, params.q_depth)
    yield Bank("accumulators", c.rows_f * c.cols, c.accumulator_bits, params.acc_depth)
    yield Bank("results", c.rows_f * c.cols, c.accumulator_bits, params.acc_depth)
    yield Bank("key_buffer", c.rows_e, c.operand_bits, 1 << key_address(params).width)
    yield Bank("value_buffer", c.rows_f, c.operand_bits, 1 << value_address(params).width)


def _lanes(params: Params) -> Iterator[Bank]:
    states = 1 << state_address_bits(params)
    yield Bank("lane_state", params.lanes, query_layout(params).size, 2 * states)
    # The two references, and whether there is one and whether it is poisoned.
    yield Bank("lane_state", params.lanes, 2 * REFERENCE_BITS + 2, states)
    yield Bank("lane_state", params.lanes, params.numerics.denominator_bits, states)
    yield Bank("lane_state", params.lanes, result_layout(params).size, states)


def _streams(params: Params) -> Iterator[Bank]:
    """Between the bus and the arrays."""
    c = params.config
    for count, head in ((2, c.head_e), (1, c.head_f)):
        yield Bank("converters", count, c.beat * params.input.bits, 2 << ceil_log2(head // c.beat))
    facts = params.input.exponent_bits + 1
    yield Bank("converters", 3, facts, 1 << ceil_log2(rows_converted(params)))
    # Of queries; keys and values have places for whole rows.
    yield Bank("converters", 1, converted_beat(params).size, converting_places(params))
    yield Bank("converters", 1, facts, 1 << ceil_log2(key_rows(params)))
    yield Bank("converters", 1, facts, 1 << row_bits(params))
    ring = RingShape.of(params)
    yield Bank("queues", 3 * ring.banks, ring.line // ring.banks * ring.bits, ring.LINES)
    for beat, depth in ((output_beat(params), queue_depth(params)), (lse_beat(params), LSE_DEPTH)):
        yield Bank("queues", 1, beat.size, depth - 1)


def _bus(params: Params) -> Iterator[Bank]:
    """The engines' queues. Where a queue holds a word in its output, its memory has a place less."""
    c = params.config
    yield Bank("queues", 3, c.bus_bits, c.queue_beats)
    yield Bank("queues", 2, c.bus_bits, 2 * c.burst_beats)
    word = c.bus_bits + params.bus_bytes
    yield Bank("queues", len(head_fork.WRITTEN), word, places(params))
    # On its way to the bus a word has with it whose it is and whether it is its burst's last one.
    yield Bank("queues", 1, word + len(head_fork.WRITTEN) + 1, WORDS_UNDER_WAY)
    yield Bank("control", 3, run_layout(params).size, c.queue_beats - 1)
    yield Bank("control", 5, burst_layout(params).size, ReadClient.PLACES)
    # Of a burst in flight: whose it is (one of five), the address of its words, and how many are left.
    chunk = c.address_bits - ceil_log2(params.bus_bytes)
    yield Bank("control", 1, ceil_log2(5) + chunk + 8, max(2, 1 << ceil_log2(c.outstanding)))
    yield Bank("control", 1, c.address_bits, c.outstanding)
    yield Bank("control", 1, len(head_fork.WRITTEN) + 8, c.outstanding)


def _control(params: Params) -> Iterator[Bank]:
    yield Bank("control", 4, block_layout(params).size, block_fork.DEPTH - 1)
    yield Bank("control", 3, row_block_layout().size, fetch_fork.DEPTH - 1)
    yield Bank("control", 3 + len(head_fork.WRITTEN), params.config.address_bits, head_fork.DEPTH - 1)
    yield Bank("control", len(head_fork.WRITTEN), QUERY_BITS, head_fork.DEPTH - 1)
    yield Bank("control", 2, params.config.address_bits, len(turns(params)))
    yield Bank("control", 2, COUNTER_BITS, len(counter_names()))
    # A descriptor once more, by words of 64 bits.
    address_bits, lanes = params.config.address_bits, params.config.bus_bits // 64
    if lanes:
        yield Bank("control", lanes, address_bits + 1, FIELDS // lanes)
    else:
        yield Bank("control", 1, min(address_bits, 31) + 1, FIELDS)
        yield Bank("control", 1, max(address_bits - 32, 0) + 1, FIELDS)
