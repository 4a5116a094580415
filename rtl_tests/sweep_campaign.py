"""`hwgen sweep` over 500 points on a local Dask cluster, killed again and again and resumed.

    python -m rtl_tests.sweep_campaign              # some minutes

The cluster counts what its workers evaluate. These must hold, or an AssertionError says which does not:
* the results are those of a sweep in one process, every point once;
* no point whose result was recorded at a kill is evaluated again;
* of those that were under way at a kill at most two a worker are evaluated again, also when a worker is killed;
* of all points only one that kills its workers is bad for that reason;
* a sweep with workers of its own (--workers) that is killed leaves no process behind, and goes on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from hwgen import table
from hwgen.progress import step
from hwgen.sweep.engine import AHEAD
from hwgen.sweep.journal import Result
from hwgen.sweep.parse import read_spec
from hwgen.sweep.points import grid
from hwgen.tests import sweeps

COLS, SLOTS = 25, 10
"""500 points, a quarter of which are bad: two lanes do not divide odd numbers of columns."""

OWN_COLS, OWN_SLOTS = 10, 6
"""Of the sweep with workers of its own."""

KILLS = (60, 200, 201, 400)
"""Results behind which the sweep is killed."""


def on_cluster(folder: Path, workers: int) -> dict[str, int]:
    """Killed as often as KILLS says, at last with a worker killed; what was counted."""
    spec = folder / "grid.yaml"
    spec.write_text(sweeps.grid_text(COLS, SLOTS))
    with sweeps.cluster(workers, folder / "cluster", delay=0.02) as cluster:
        found = sweeps.check_kill_and_resume(spec, folder / "dask", cluster, KILLS, AHEAD * workers)
    assert sweeps.results(folder / "dask") == sweeps.alone(spec, folder / "alone")
    return found


def on_dying_workers(folder: Path, workers: int) -> int:
    """A point kills whatever worker begins it; how often it did."""
    spec = folder / "deadly.yaml"
    spec.write_text(sweeps.grid_text(4, 3))
    want = sweeps.alone(spec, folder / "harmless")
    guilty = [point.key for point in grid(read_spec(spec)) if want[point.key].error is None][2]
    want[guilty] = Result(error="the worker that evaluates it dies")
    with sweeps.cluster(workers, folder / "dying", allowed_failures=0) as cluster:
        cluster.make_deadly(guilty)
        sweeps.finish(sweeps.start_sweep(spec, folder / "deadly", "--dask", cluster.address))
        assert sweeps.results(folder / "deadly") == want
        return [key for key, _ in cluster.evaluated()].count(guilty)


def on_processes(folder: Path, workers: int) -> int:
    """Killed once; how many processes that left behind, of which none may be there a little later."""
    spec = folder / "longer.yaml"
    spec.write_text(sweeps.grid_text(OWN_COLS, OWN_SLOTS, keys=200))
    process = sweeps.start_sweep(spec, folder / "own", "--workers", str(workers))
    sweeps.wait_for(process, folder / "own", 1)
    family = descendants(process.pid)
    assert len(family) >= workers
    known = sweeps.kill_behind(process, folder / "own", 1)
    end = time.monotonic() + sweeps.PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in family):
        assert time.monotonic() < end, f"still there: {family}"
        time.sleep(0.05)
    printed = sweeps.finish(sweeps.start_sweep(spec, folder / "own", "--workers", str(workers)))
    assert printed["computed"] == OWN_COLS * OWN_SLOTS * 2 - len(known)
    assert sweeps.results(folder / "own") == sweeps.alone(spec, folder / "longer")
    return len(family)


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have."""
    children = [int(n) for path in Path(f"/proc/{pid}/task").glob("*/children") for n in path.read_text().split()]
    return children + [deeper for child in children for deeper in descendants(child)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="of the cluster (default 4)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        with step(f"on a Dask cluster of {arguments.workers} workers"):
            found = on_cluster(Path(name), arguments.workers)
        with step("with a point that kills workers"):
            deaths = on_dying_workers(Path(name), 2)
        with step("on processes of its own"):
            family = on_processes(Path(name), 2)
    most = AHEAD * arguments.workers * (len(KILLS) + 1)
    rows = [
        ("points", f"{table.count(found['points'])}, {found['bad']} of them bad, every one recorded once"),
        ("kills", f"{found['kills']} of the sweep, 1 of a worker"),
        ("evaluated twice", f"{found['repeated']}, all under way at a kill (at most {most})"),
        ("deadly point", f"killed {deaths} workers, and is the only one that is bad for that"),
        ("left behind", f"0 of {family} processes"),
    ]
    print(table.pairs(rows))


if __name__ == "__main__":
    main()
