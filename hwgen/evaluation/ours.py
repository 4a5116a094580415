"""Our machine at the published machines' size: as many multipliers, the same clock, no more bandwidth."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from golden.exact import Shape
from hwgen.config import Config
from hwgen.evaluation.workloads import Model
from hwgen.model.machine import Memory, Prediction, predict
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.schedule import arrays
from hwgen.schedule.cost import Cost, evaluate
from hwgen.schedule.parts import Array
from hwgen.schedule.streaming import machine, streaming

CORES = 4
"""Cores of 64 x 128 score and 64 x 128 value elements: 65,536 multipliers, 8 slots, 1,024 queries at a time each. Every
core has a port of 64 bytes a cycle, 224 GiB/s for all four at the published clock, of the 400 that the others have."""

LATENCY = 100
"""Of the memory, in cycles."""


@functools.cache
def core(head: int) -> Params:
    """One core, made for heads of this dimension."""
    return Params(
        Config(
            rows_e=64,
            rows_f=64,
            cols=128,
            slots=8,
            head_e=head,
            head_f=head,
            beat=32,
            out_beat=32,
            buffer_rows=64,
            bus_bits=512,
        )
    )


def array(head: int) -> Array:
    """All cores, with the bandwidth of their ports."""
    params = core(head)
    bandwidth = CORES * params.bus_bytes * arrays.CLOCK
    return machine(params, clock_hz=arrays.CLOCK, bandwidth=min(bandwidth, arrays.BANDWIDTH), cores=CORES)


def steady(model: Model, length: int) -> Cost:
    """As the published machines are counted: the schedule alone, without fill, drain, latency and hazards."""
    return evaluate(streaming(core(model.head), cores=CORES), array(model.head), model.attention(length))


@dataclass(frozen=True)
class Run:
    """What the machine's model says: one core with its share of the heads, in one descriptor; all cores do the same."""

    params: Params
    work: Work
    prediction: Prediction

    @property
    def seconds(self) -> float:
        return self.prediction.cycles / arrays.CLOCK

    @property
    def bytes(self) -> int:
        return CORES * sum(self.prediction.bytes.values())

    @property
    def useful(self) -> float:
        return self.prediction.utilisation


@functools.cache
def run(model: Model, length: int) -> Run:
    """Heads are shared out evenly: their number is a multiple of the cores'."""
    shape = model.attention(length)
    work = Work(shape=shape._replace(Hq=shape.Hq // CORES, Hkv=shape.Hkv // CORES))
    return Run(core(model.head), work, predicted(work))


def predicted(work: Work) -> Prediction:
    """What `predict` says to within 16 cycles, but at once: for whole blocks of queries and as many keys.

    With so many keys loading and draining hide behind computing, and these cores never wait between the first fill and
    the last drain. So the idle cycles of any such problem are those of one block, but for the descriptor's check, which
    takes a cycle more for each bit of a length. The rest is the schedule's.
    """
    params, shape = core(work.shape.E), work.shape
    one = _one_block(work.shape.E)
    cost = evaluate(streaming(params), machine(params, clock_hz=arrays.CLOCK, bandwidth=arrays.BANDWIDTH), shape)
    busy, heads = int(cost.cycles), shape.B * shape.Hq
    cycles = busy + one.cycles - one.counters["score_busy"]
    counters = one.counters | {"cycles": cycles, "score_busy": busy, "value_busy": busy}
    counters |= {"pairs": work.pairs, "heads": heads, "jobs": heads}
    counters |= {f"read_bytes_{name.lower()}": int(cost.traffic[name]) for name in "QKV"}
    counters["written_bytes_o"] = int(cost.traffic["AV"])
    return replace(one, work=work, counters=counters)


@functools.cache
def _one_block(head: int) -> Prediction:
    params = core(head)
    shape = Shape(B=1, Hq=1, Hkv=1, L=params.block, S=params.block, E=head, F=head)
    return predict(params, Work(shape=shape), Memory(latency=LATENCY))
