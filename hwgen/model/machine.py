"""What the machine's counters say behind a problem, found without simulating it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hwgen.control.causes import BUSY, Cause, idle_cycles
from hwgen.control.descriptor import MAX_COUNT
from hwgen.control.descriptor_rules import MAX_GROUP, MAX_LENGTH, MAX_OFFSET, MAX_QUERIES
from hwgen.control.job import geometry
from hwgen.control.register_map import counter_names
from hwgen.control.traffic import PLAIN_READERS
from hwgen.errors import ConfigError, InputError
from hwgen.model.clockwork import Clockwork
from hwgen.model.parts.reading import BEAT_CREDIT
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.timing import issue_latency, value_latency

MOST_LATENCY = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How the memory behaves; the fields mean what they mean in `hwgen.sim.system.MemoryTraits`.

    latency:   cycles from an address to its first data and from the last data to the response, at least 2
    bandwidth: cycles of 256 in which data can move, each for reads and writes

    Raises InputError for numbers out of range.
    """

    latency: int = 100
    bandwidth: int = 256

    def __post_init__(self) -> None:
        if not 2 <= self.latency <= MOST_LATENCY:
            raise InputError(f"the memory's latency must lie in 2 .. {MOST_LATENCY}, not {self.latency}")
        if not 1 <= self.bandwidth <= BEAT_CREDIT:
            raise InputError(f"the memory's bandwidth must lie in 1 .. {BEAT_CREDIT}, not {self.bandwidth}")


@dataclass(frozen=True)
class Prediction:
    """What the machine's counters would say.

    counters: by the names of `control.register_map.counter_names`
    steps:    cycles that were gone through one by one
    """

    params: Params
    work: Work
    counters: dict[str, int]
    steps: int

    @property
    def cycles(self) -> int:
        """From the doorbell to done, as the counter of that name."""
        return self.counters["cycles"]

    @property
    def bytes(self) -> dict[str, int]:
        """Off-chip, by tensor: q, k, v, o, lse, and other (descriptors, key lengths, score records)."""
        read = {name: self.counters[f"read_bytes_{name}"] for name in ("q", "k", "v", "other")}
        return read | {name: self.counters[f"written_bytes_{name}"] for name in ("o", "lse")}

    @property
    def utilisation(self) -> float:
        """Useful multiply-accumulates over possible ones, start to done."""
        shape = self.work.shape
        return self.counters["pairs"] * (shape.E + shape.F) / (self.cycles * self.params.macs)

    @property
    def read_busy(self) -> float:
        """Share of cycles in which the read channel delivers a word."""
        read = sum(n for name, n in self.counters.items() if name.startswith("read_bytes_"))
        return read / self.params.bus_bytes / self.cycles

    def idle(self, array: str) -> dict[str, int]:
        """Idle cycles of the `score` or `value` array by cause."""
        return idle_cycles(self.counters, array)


def predict(params: Params, work: Work, memory: Memory = Memory(), *, leap: bool = True) -> Prediction:
    """The counters behind one descriptor with tensors that lie in memory as `hwgen.sim.layout` puts them.

    leap: pass over what repeats itself; the result is the same without, but every cycle is gone through.
    Raises ConfigError for a machine that the model does not know, InputError for a problem that does not fit it.
    """
    check(params, work)
    machine = Clockwork(params, work, memory.latency, memory.bandwidth)
    steps = machine.run(leap)
    return Prediction(params, work, _counters(machine), steps)


def _counters(machine: Clockwork) -> dict[str, int]:
    params, work = machine.params, machine.work
    counters = dict.fromkeys(counter_names(), 0)
    idle, sizes = machine.issuer.idle, geometry(params, work.shape.E, work.shape.F)
    visits, steps = machine.issuer.visits, sizes["last_step"] + 1
    counters |= {"cycles": machine.now, "score_busy": idle[BUSY], "value_busy": visits * (sizes["last_fold_f"] + 1)}
    # The value array's cycles are the issuer's, so many later.
    delay = issue_latency() + value_latency(params) - (params.folds_e - 1) + sizes["last_fold_e"]
    late = _last_causes(machine, delay)
    for cause in Cause:
        before = delay if cause == Cause.NO_JOB else 0
        counters[f"score_idle_{cause.name.lower()}"] = idle[cause]
        counters[f"value_idle_{cause.name.lower()}"] = idle[cause] + before - late[cause]
    counters["value_idle_pad"] = visits * (steps - sizes["last_fold_f"] - 1)
    jobs = work.shape.B * work.shape.Hkv
    counters |= {"pairs": work.pairs, "jobs": jobs, "heads": jobs * work.group, "descriptors": 1}
    return counters | _traffic(machine)


def _last_causes(machine: Clockwork, cycles: int) -> Counter[int]:
    """What the issuer did in the last cycles."""
    found: Counter[int] = Counter()
    for cause, length in reversed(machine.runs):
        found[cause] += min(length, cycles)
        cycles -= min(length, cycles)
    return found


def _traffic(machine: Clockwork) -> dict[str, int]:
    size = machine.params.bus_bytes
    traffic = {"read_bytes_other": 0, "read_wait": machine.reads.waits, "write_wait": machine.writes.waits}
    for name, client in zip(PLAIN_READERS, machine.reads.clients, strict=True):
        if name in ("q", "k", "v"):
            traffic[f"read_bytes_{name}"] = client.words * size
        else:
            traffic["read_bytes_other"] += client.words * size
    return traffic | {f"written_bytes_{name}": writer.words * size for name, writer in machine.writers.items()}


def check(params: Params, work: Work) -> None:
    """Raises ConfigError for a machine that the model does not know, InputError for a problem that does not fit it."""
    if params.score is not None or params.config.block_list:
        what = "a score program" if params.score is not None else "lists of segments"
        raise ConfigError(f"the model does not know machines with {what}; `hwgen sim` runs them")
    s, c = work.shape, params.config
    for name, size, most, key in (("E", s.E, c.head_e, "head_e"), ("F", s.F, c.head_f, "head_f")):
        if size > most:
            raise InputError(f"the head dimension {name} must be at most {most} (the core's {key}), not {size}")
    limits = {
        "batch entries": (s.B, MAX_COUNT),
        "query heads": (s.Hq, MAX_COUNT),
        "query heads for a key/value head": (work.group, MAX_GROUP),
        "queries": (s.L, MAX_LENGTH),
        "queries for a key/value head": (s.L * work.group, MAX_QUERIES),
        "keys": (s.S, params.most_keys),
    }
    for what, (size, most) in limits.items():
        if size > most:
            raise InputError(f"there can be up to {most} {what}, not {size}")
    if abs(work.offset) > MAX_OFFSET:
        raise InputError(f"the causal offset must lie in -{MAX_OFFSET} .. {MAX_OFFSET}, not {work.offset}")
