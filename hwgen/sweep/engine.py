"""Where points are evaluated: in this process, in several on this machine, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import signal
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.sweep.journal import Result
from hwgen.sweep.metrics import Setting, metrics
from hwgen.sweep.points import Point, model_version

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""Points a thread of the cluster has at a time: one at work, and one waiting so that it never waits for us. Of a sweep
that is killed at most these are computed again."""

PATIENCE = 30
"""Seconds to wait for a cluster to answer and to have a worker."""

LOCAL = {"distributed.comm.timeouts.connect": "10s", "distributed.scheduler.allowed-failures": 0}
"""Dask's settings for processes of our own: a dead neighbour is noticed sooner than a host far away, and what killed a
worker is not tried on others before it is tried alone."""

KEPT = "what was recorded is kept, and the same command goes on"

Done = list[tuple[Point, Result]]


class EngineError(HwgenError):
    """The machines that evaluate points cannot be used, or no longer."""

    exit_status = 1


class Engine(Protocol):
    """Evaluates points in any order and gives results as they come."""

    def run(self, points: Iterable[Point]) -> Iterator[Done]: ...


def evaluate(config: Config, setting: Setting, version: str) -> Result:
    """What the model says of a configuration; whatever goes wrong there is a result too.

    Raises EngineError if `version` is not the version of the model here: results of two models do not mix.
    """
    if version != model_version():
        raise EngineError("a worker has other sources of hwgen than this machine")
    try:
        found = metrics(config, setting)
    except Exception as error:
        return Result(error=f"{type(error).__name__}: {' '.join(str(error).split())}")
    wrong = [f"{name}={value}" for name, value in found.items() if not math.isfinite(value)]
    return Result(error=f"not finite: {', '.join(wrong)}") if wrong else Result(found)


class InProcess:
    """One point after the other, here."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def run(self, points: Iterable[Point]) -> Iterator[Done]:
        for point in points:
            yield [(point, evaluate(point.config, self.setting, model_version()))]


class OnCluster:
    """On the workers of a Dask cluster. A worker that dies has its points done by others; a point that kills workers is
    a bad one."""

    def __init__(self, client: Client, setting: Setting) -> None:
        self.client = client
        self.setting = setting

    def run(self, points: Iterable[Point]) -> Iterator[Done]:
        suspects: list[Point] = []
        yield from self._together(iter(points), suspects)
        # Dask suspects all points that were with a worker when it died. The guilty one does it again by itself.
        for point in suspects:
            yield [(point, self._alone(point))]

    def _together(self, waiting: Iterator[Point], suspects: list[Point]) -> Iterator[Done]:
        """As many as the cluster has room for; `suspects` gets those with which workers died too often."""
        running = self._more(waiting, 0)
        while running:
            ready = self._ready(list(running))
            suspects += [running.pop(future) for future in ready if deadly(future)]
            finished = [future for future in ready if future in running]
            # Results are recorded before more points are sent, so that no more than those sent have no record.
            yield list(zip(map(running.pop, finished), self.client.gather(finished), strict=True))
            running |= self._more(waiting, len(running))

    def _ready(self, futures: list[Future]) -> list[Future]:
        """Wait for the first ones. Raises EngineError if all workers are gone, or the connection to them."""
        from distributed import CancelledError, wait

        while True:
            try:
                return list(wait(futures, timeout=PATIENCE, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                if not self.client.nthreads():
                    raise EngineError(f"the cluster has no worker left; {KEPT}") from None
            except CancelledError:
                raise EngineError(f"the connection to the cluster was lost; {KEPT}") from None

    def _more(self, waiting: Iterator[Point], running: int) -> dict[Future, Point]:
        """Send as many points as there is room for, at least one if none is running."""
        room = AHEAD * sum(self.client.nthreads().values()) - running
        return {self._send(point, "point"): point for point in itertools.islice(waiting, max(room, int(not running)))}

    def _alone(self, point: Point) -> Result:
        future = self._send(point, "alone")
        self._ready([future])
        return Result(error="the worker that evaluates it dies") if deadly(future) else future.result()

    def _send(self, point: Point, name: str) -> Future:
        key = f"{name}-{point.key}"
        return self.client.submit(evaluate, point.config, self.setting, model_version(), key=key)


def deadly(future: Future) -> bool:
    """Whether a future has no result because workers died. Raises EngineError if it has none for another reason."""
    from distributed.scheduler import KilledWorker

    # A result that its worker has taken along is worked out again: this waits for it.
    error = future.exception()
    if error is None:
        return False
    if isinstance(error, KilledWorker):
        return True
    if isinstance(error, EngineError):
        raise error
    raise EngineError(f"the workers cannot evaluate points: {type(error).__name__}: {error}")


@contextlib.contextmanager
def open_engine(setting: Setting, workers: int = 1, address: str | None = None) -> Iterator[Engine]:
    """The cluster at `address`, else `workers` processes here, else (one worker) this process. Raises EngineError."""
    if address is None and workers == 1:
        yield InProcess(setting)
        return
    from distributed import Client

    logging.getLogger("distributed.client").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        if address is None:
            client = stack.enter_context(Client(stack.enter_context(_local_cluster(workers))))
        else:
            try:
                client = stack.enter_context(Client(address, timeout=PATIENCE))
                client.wait_for_workers(1, timeout=PATIENCE)
            except (OSError, ValueError, TimeoutError) as error:
                text = " ".join(str(error).split())
                raise EngineError(f"no Dask cluster with a worker answers at {address}: {text}") from None
        yield OnCluster(client, setting)


@contextlib.contextmanager
def _local_cluster(workers: int) -> Iterator[object]:
    """Processes that end with this one, reachable from this machine only."""
    import dask
    from distributed import LocalCluster

    quiet = {"silence_logs": logging.ERROR, "dashboard_address": "127.0.0.1:0"}
    with dask.config.set(LOCAL), contextlib.ExitStack() as stack:
        with _interrupts_ignored():
            cluster = LocalCluster(host="127.0.0.1", n_workers=workers, threads_per_worker=1, **quiet)
        yield stack.enter_context(cluster)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes that are started meanwhile leave Ctrl-C to this one, which then stops them in order."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
