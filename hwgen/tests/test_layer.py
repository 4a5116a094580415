"""A whole problem in memory and back: what the descriptor says, and which results belong to which head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden import bitexact
from golden.bitexact import Result
from golden.formats import BF16
from hwgen.compare import compare, golden_results
from hwgen.control.causes import BUSY, Cause
from hwgen.control.faults import Fault
from hwgen.control.register_map import counter_names
from hwgen.errors import InputError, SimulationError
from hwgen.inputs import Problem, make_problem, random_tensors
from hwgen.memory.lse_record import LSE_RECORD
from hwgen.sim import layer
from hwgen.sim.layer import head_results, memory_size, place_problem, run_layer, working_activity
from hwgen.sim.layout import Image, Outputs, Placed
from hwgen.sim.system import FaultReport, MemoryTraits, QueueRun, SystemBuild, SystemResult
from hwgen.tests.fakes import TINY, random_problem

BUILD = SystemBuild(Path("nowhere"), TINY, 20)


def grouped_problem(**masks: Any) -> Problem:
    """Two batch entries, four query heads over two key/value heads, head dimensions below the preset's."""
    tensors = random_tensors((2, 4, 3, 5), 7, TINY, kv_heads=2, head=(6, 7))
    return make_problem(tensors, "random", TINY, **masks)


def golden(problem: Problem) -> Result:
    lengths = np.full(problem.shape.B, problem.keys)
    masks: dict[str, Any] = {"causal": problem.causal, "offset": problem.offset, "key_lengths": lengths}
    return bitexact.attention(problem.q, problem.k, problem.v, TINY.numerics, scale=problem.scale, **masks)


def test_the_descriptor_says_what_the_problem_is() -> None:
    problem = grouped_problem(scale=0.3, causal=True, offset=-1)
    image, placed = place_problem(problem, TINY, lse=True)
    d = placed.descriptor
    assert (d.batches, d.query_heads, d.kv_heads, d.queries, d.keys, d.head_e, d.head_f) == (2, 4, 2, 3, 5, 6, 7)
    assert (d.causal, d.offset, d.write_lse, d.key_lengths) == (1, -1, 1, 0)
    code = TINY.numerics.encode_scale(0.3)
    assert (d.scale_mantissa, d.scale_exponent) == (code.mantissa, code.exponent)
    content = image.content()
    for name, size in (("q", 2 * 4 * 3 * 6), ("k", 2 * 2 * 5 * 6), ("v", 2 * 2 * 5 * 7)):
        at = getattr(d, f"{name}_address") - image.base
        want = getattr(problem, name)
        np.testing.assert_array_equal(content[at : at + 2 * size].view("<u2").reshape(want.shape), want)


@pytest.mark.parametrize("keys", [0, 4])
def test_fewer_keys_for_every_batch_entry(keys: int) -> None:
    image, placed = place_problem(grouped_problem(key_length=keys), TINY, lse=False)
    d = placed.descriptor
    assert (d.keys, d.key_lengths, d.write_lse) == (5, 1, 0)
    at = d.key_lengths_address - image.base
    assert image.content()[at : at + 8].view("<u4").tolist() == [keys, keys]


def test_a_scale_the_core_cannot_hold() -> None:
    with pytest.raises(InputError, match="scale must have a magnitude"):
        place_problem(grouped_problem(scale=2.0**200), TINY, lse=True)


def test_memory_for_all_tensors() -> None:
    problem = random_problem((1, 1, 1 << 12, 1))
    # Q and O of 16 bytes a row, LSE of 8; the rest is little.
    assert 40 << 12 < memory_size(problem, TINY) < (40 << 12) + 4096
    image, placed = place_problem(problem, TINY, lse=True)
    assert memory_size(problem, TINY) >= len(image.with_ring([bytes(256)])[0])
    assert placed.lse is not None


def test_results_are_those_of_the_heads_in_order() -> None:
    want = golden(grouped_problem())
    heads = list(head_results(Outputs(want.out, want.rm, want.rd, want.empty, want.poisoned)))
    assert len(heads) == 2 * 4
    for i, head in enumerate(heads):
        b, h = divmod(i, 4)
        for name in ("out", "rm", "rd", "empty", "poisoned"):
            np.testing.assert_array_equal(getattr(head, name), getattr(want, name)[b, h], err_msg=name)


def test_results_without_lse() -> None:
    want = golden(grouped_problem())
    heads = list(head_results(Outputs(want.out, None, None, None, None)))
    assert len(heads) == 8
    assert all((head.rm, head.rd, head.empty, head.poisoned) == (None,) * 4 for head in heads)
    np.testing.assert_array_equal(heads[6].out, want.out[1, 2])


def test_activity_begins_with_the_work() -> None:
    activity = [
        (0, Cause.NO_JOB, 0, 0),
        (70, Cause.NO_JOB, 0, 1),
        (95, Cause.FILL, 0, 1),
        (120, BUSY, 1, 1),
        (300, Cause.DRAIN, 1, 1),
        (330, Cause.NO_JOB, 0, 1),
        (360, Cause.NO_JOB, 0, 0),
    ]
    assert working_activity([(t, int(cause), busy, active) for t, cause, busy, active in activity]) == [
        (0, Cause.NO_JOB, 0),
        (25, Cause.FILL, 0),
        (50, BUSY, 1),
        (230, Cause.DRAIN, 1),
        (260, Cause.NO_JOB, 0),
    ]
    assert working_activity([]) == working_activity([(0, int(Cause.NO_JOB), 0, 0)]) == []


class FakeSystem:
    """In place of `run_system`: writes what the golden model says to where the descriptor says."""

    def __init__(self, want: Result) -> None:
        self.want = want
        self.faults: list[FaultReport] = []
        self.spoil: int | None = None
        self.options: dict[str, Any] = {}

    def __call__(self, build: SystemBuild, image: Image, descriptors: Any, **options: Any) -> SystemResult:
        (descriptor,) = descriptors
        self.options = options
        memory = image.content()
        placed = Placed(build.params, image.base, descriptor, *image._results[:1], (image._results[1:] or [None])[0])
        self.write(memory, placed)
        if self.spoil is not None:
            memory[self.spoil] ^= 1
        counters = dict.fromkeys(counter_names(), 0) | {"cycles": 500}
        run = QueueRun(520, counters, 1, len(self.faults), self.faults, saturated=True, poisoned=False)
        activity = [(0, 0, 0, 0), (5, 0, 0, 1), (7, int(BUSY), 1, 1)] if options["trace"] else []
        return SystemResult(memory, [run], {}, 0.25, activity)

    def write(self, memory: NDArray[np.uint8], placed: Placed) -> None:
        out = np.ascontiguousarray(self.want.out.astype("<u2")).view(np.uint8)
        placed.o.rows(memory, placed.base)[...] = out
        if placed.lse is not None:
            records, low = np.zeros(self.want.rm.shape, np.uint64), 0
            for name, width in LSE_RECORD.items():
                part = getattr(self.want, name).astype(np.int64).view(np.uint64) & np.uint64((1 << width) - 1)
                records |= part << np.uint64(low)
                low += width
            placed.lse.rows(memory, placed.base)[...] = records[..., None].astype("<u8").view(np.uint8)


def faked(monkeypatch: pytest.MonkeyPatch, problem: Problem) -> FakeSystem:
    system = FakeSystem(golden(problem))
    monkeypatch.setattr(layer, "run_system", system)
    return system


@pytest.mark.parametrize("lse", [True, False])
def test_a_run(monkeypatch: pytest.MonkeyPatch, lse: bool) -> None:
    problem = grouped_problem(causal=True, offset=-1, key_length=4)
    q = problem.q.copy()
    q[1, 2, 2, 0] = BF16.infinity
    problem = replace(problem, q=q)
    system = faked(monkeypatch, problem)
    memory, waves = MemoryTraits(latency=7), Path("a.vcd")
    result = run_layer(BUILD, problem, lse=lse, memory=memory, trace=True, waves=waves)
    assert system.options == {"memory": memory, "trace": True, "waves": waves}
    assert (result.head_e, result.head_f) == (6, 7)
    assert (result.counters["cycles"], result.seconds, result.saturated, result.poisoned) == (500, 0.25, True, False)
    assert result.activity == [(0, 0, 0), (2, BUSY, 1)]
    comparison = compare(
        replace(result, saturated=False, poisoned=True), golden_results(problem.jobs(TINY), TINY), 4, TINY
    )
    assert comparison.first is None
    rows = 2 * 4 * 3
    want = rows * 7 * 16 + 2 + (rows * (14 + TINY.numerics.denominator_bits + 2) if lse else 0)
    assert comparison.bits == comparison.equal == want
    assert comparison.poisoned == 1


def test_a_run_that_reports_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = grouped_problem()
    system = faked(monkeypatch, problem)
    system.faults = [FaultReport(Fault.READ_RESPONSE, 0, 0x1230)]
    with pytest.raises(SimulationError, match=r"fault READ_RESPONSE \(descriptor 0, address 0x1230\)"):
        run_layer(BUILD, problem)


def test_a_run_that_writes_where_it_must_not(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = grouped_problem()
    system = faked(monkeypatch, problem)
    run_layer(BUILD, problem)
    image, placed = place_problem(problem, TINY, lse=True)
    system.spoil = placed.o.address - image.base - 1
    with pytest.raises(SimulationError, match="1 bytes outside of O and LSE have changed"):
        run_layer(BUILD, problem)
