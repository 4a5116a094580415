"""A handful of cases, and what makes them: the same everywhere, all kinds, kept, and made small when they fail."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.control.descriptor_rules import Tensor, check
from rtl_tests.fuzz import campaign, machines
from rtl_tests.fuzz.campaign import Line
from rtl_tests.fuzz.cases import MISHAPS, Case, Job, Memory, Mishap, case_of
from rtl_tests.fuzz.facts import required
from rtl_tests.fuzz.mutants import KINDS, mutant
from rtl_tests.fuzz.report import COMPLETE, tables
from rtl_tests.fuzz.run import run_case
from rtl_tests.fuzz.scene import Scene
from rtl_tests.fuzz.shrink import shrink, simpler
from rtl_tests.fuzz.territory import covers
from rtl_tests.fuzz.values import RECIPES, tensors

# Other tests have this machine built.
MACHINE = "bus of 64"
SEED = 1


def cases_of(machine: str, kind: str, count: int) -> list[Case]:
    """The first cases of a machine with a kind of mishap."""
    found = (case for index in range(100_000) if (case := case_of(SEED, index)).machine == machine)
    wanted = (case for case in found if case.mishap.kind == kind)
    return [next(wanted) for _ in range(count)]


@pytest.mark.parametrize("kind", MISHAPS)
def test_cases(kind: str) -> None:
    """Repeat with the command; `make fuzz` runs many more, on more machines."""
    for case in cases_of(MACHINE, kind, 2):
        print(f"python -m rtl_tests.fuzz --case {case.name}")
        outcome = run_case(case, machines.build(MACHINE, fast=False))
        assert outcome.failure is None, case.to_json()
        if case.mishap.target:
            assert outcome.facts[f"error on: {case.mishap.target}"] == 1


def digest(count: int) -> str:
    """Of cases and of all that they put into memory."""
    found = hashlib.sha256()
    for index in range(count):
        case = case_of(SEED, index)
        found.update(case.to_json().encode())
        if index % 8 == 0:
            found.update(Scene(case).before.tobytes())
    return found.hexdigest()


def test_a_case_is_the_same_everywhere() -> None:
    program = "from rtl_tests.system.test_fuzz import digest; print(digest(48))"
    # Of this process the seed of hashes is another.
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert told.stdout.strip() == digest(48), told.stderr


def test_json_says_all_of_a_case() -> None:
    for index in range(200):
        case = case_of(SEED, index)
        assert Case.from_json(case.to_json()) == case
    assert case_of(1, 2) != case_of(2, 1)


@pytest.mark.parametrize("values", RECIPES)
def test_recipes_are_what_they_say(values: str) -> None:
    """Shapes and types for every format, and what makes the recipe."""
    job = Job(batches=2, kv_heads=2, group=2, queries=3, keys=5, head_e=4, head_f=3, values=values, seed=7)
    for name in ("bus of 32", "bus of 64", "bus of 512"):
        fmt = machines.params(name).input
        q, k, v = tensors(job, fmt)
        assert [t.shape for t in (q, k, v)] == [(2, 4, 3, 4), (2, 2, 5, 4), (2, 2, 5, 3)]
        assert {t.dtype for t in (q, k, v)} == {np.dtype(fmt.dtype)}
        magnitudes = np.concatenate([t.reshape(-1) for t in (k, v)]) & ((1 << (fmt.bits - 1)) - 1)
        facts = {
            "zeros": (magnitudes == 0).all(),
            "subnormal": (magnitudes < 1 << fmt.mantissa_bits).all(),
            "largest": (magnitudes == fmt.infinity - 1).all(),
            "equal": len(set(k.reshape(-1).tolist())) == 1,
            "one_hot": ((k != 0).sum(axis=3) == 1).all(),
            "ties": len({row.tobytes() for row in k.reshape(-1, 4)}) <= 8,
            "rising": (np.diff(k[..., 0].astype(np.int64), axis=2) > 0).all(),
        }
        assert facts.get(values, True)
        assert (magnitudes < fmt.infinity).all() or values == "bits"


def plant(scene: Scene) -> None:
    """A wrong expectation: the last bit of O of jobs with a causal mask and at least three keys."""
    for entry in scene.entries:
        job = scene.case.jobs[entry.job]
        if job.causal and job.keys >= 3 and entry.want is not None:
            out = entry.want.out.copy()
            out.reshape(-1)[-1] ^= 1
            entry.want = entry.want._replace(out=out)


def test_a_planted_mismatch_is_found_and_made_small() -> None:
    build = machines.build(MACHINE, fast=False)

    def fails(case: Case) -> bool:
        return run_case(case, build, plant).failure is not None

    jobs = (
        Job(queries=3, keys=2, head_e=3, head_f=2, values="normal", seed=5),
        Job(kv_heads=2, group=2, queries=5, keys=9, head_e=8, head_f=4, causal=True, offset=1, layout="far", seed=6),
    )
    memory = Memory(latency=20, stalls=(20, 20, 0, 0, 90), aw_waits=True)
    case = Case(name="1:0", machine=MACHINE, jobs=jobs, portion=2, memory=memory, mishap=Mishap(kind="abort", when=9))
    assert fails(case)
    small = shrink(case, fails)
    assert small == Case(name="1:0", machine=MACHINE, jobs=(Job(keys=3, causal=True),))
    assert not any(fails(less) for less in simpler(small))


def test_a_write_that_nobody_owns_is_found() -> None:
    """O is expected beside where it is written."""

    def elsewhere(scene: Scene) -> None:
        entry = scene.entries[0]
        entry.descriptor = replace(entry.descriptor, o_address=entry.descriptor.o_address + 4096)

    case = Case(name="1:0", machine=MACHINE, jobs=(Job(),))
    failure = run_case(case, machines.build(MACHINE, fast=False), elsewhere).failure
    assert failure is not None and "bytes were written that no descriptor owns" in failure


def test_shrinking_keeps_to_its_budget_and_to_valid_cases() -> None:
    asked: list[Case] = []

    def fails(case: Case) -> bool:
        asked.append(case)
        return True

    case = max((case_of(SEED, index) for index in range(50)), key=lambda case: len(case.jobs))
    assert shrink(case, fails, budget=5) == asked[-1] and len(asked) == 5
    smallest = shrink(case, fails, budget=10_000)
    assert smallest.jobs == (Job(),) and smallest.mishap == Mishap() and smallest.memory == Memory()
    for candidate in asked:
        assert Scene(replace(candidate, mishap=Mishap())).problems
        for job in candidate.jobs:
            assert job.lengths is None or (len(job.lengths) == job.batches and max(job.lengths) <= job.keys)


def runner(failing: int, ran: list[int]) -> campaign.Runner:
    def run(seed: int, indices: Iterable[int], jobs: int) -> Iterator[Line]:
        for index in indices:
            ran.append(index)
            yield Line(index, "it is wrong" if index == failing else None, Counter(["something"]), 10, 0.1)

    return run


def test_it_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(campaign, "minimised", lambda case, folder: f"made {case.name} small")
    ran: list[int] = []
    folder, file = tmp_path / "new", tmp_path / "new" / "1.jsonl"
    assert campaign.campaign(3, folder, runner=runner(4, ran)) == 0
    # A line that was being written when the machine stopped.
    file.write_text(file.read_text()[:-9])
    assert campaign.campaign(6, folder, runner=runner(4, ran)) == 1
    assert ran == [0, 1, 2, 2, 3, 4, 5]
    printed = capsys.readouterr().out
    assert "made 1:4 small" in printed and "all but 1" in printed
    # Results of other sources do not count, nor do those of another seed.
    lines = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    assert len(lines) == 6
    file.write_text("\n".join(json.dumps(line | {"key": "other"}) for line in lines))
    assert campaign.campaign(2, folder, runner=runner(9, ran)) == 0
    assert campaign.campaign(1, folder, seed=2, runner=runner(9, ran)) == 0
    assert campaign.campaign(1, folder, again=True, runner=runner(9, ran)) == 0
    assert ran[7:] == [0, 1, 0, 0] and len(file.read_text().split()) == len(json.dumps(lines[0]).split())


def test_a_failure_names_the_commands_that_show_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case = cases_of(MACHINE, "none", 1)[0]
    monkeypatch.setattr(campaign, "guarded", lambda case: campaign.Outcome("it is wrong"))
    text = campaign.minimised(case, tmp_path)
    file = tmp_path / f"{case.name.replace(':', '-')}.json"
    assert f"rtl_tests.fuzz --case {case.name}\n" in text and f"rtl_tests.fuzz --file {file}" in text
    assert Case.from_json(file.read_text()).jobs == (Job(),)


def test_a_campaign_that_lacks_something_is_not_complete(tmp_path: Path) -> None:
    everything = Counter(required())
    lines = [Line(index, None, everything, 1, 0.0) for index in range(COMPLETE)]
    assert tables(lines, tmp_path)[1]
    for name in ("values: rising", "error on: k", "mutant: refused"):
        text, complete = tables([replace(line, facts=everything - Counter([name])) for line in lines], tmp_path)
        assert not complete and f"never seen: {name}" in text


def test_territory_is_where_rows_lie() -> None:
    """Against every row, for strides in any order."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        size, counts = int(rng.integers(1, 9)), tuple(int(n) for n in rng.integers(1, 4, 3))
        strides, reach = [0, 0, 0], size
        for axis in rng.permutation(3):
            strides[axis] = reach + int(rng.integers(0, 5))
            reach += strides[axis] * (counts[axis] - 1)
        first = (1 << 64) - 2000 if rng.random() < 0.5 else 1000
        tensor = Tensor("o", first, (strides[0], strides[1], strides[2]), counts, 1, size)
        places = [sum(i * s for i, s in zip(at, strides, strict=True)) for at in np.ndindex(counts)]
        want = {place + lane for place in places for lane in range(size)}
        assert max(want) < 900
        addresses = np.uint64(first - 900) + np.arange(1800, dtype=np.uint64)
        assert {int(i) - 900 for i in np.flatnonzero(covers(tensor, addresses))} == want


def test_mutants_are_of_every_kind_and_not_all_refused() -> None:
    core = machines.params(MACHINE)
    base = Scene(cases_of(MACHINE, "none", 1)[0]).entries[0].descriptor
    rng = np.random.default_rng(1)
    made = [mutant(rng, base, core, (1 << 39) + (1 << 20)) for _ in range(400)]
    accepted = Counter(kind for kind, d in made if check(d, core) is None)
    assert set(Counter(kind for kind, _ in made)) == {kind.__name__ for kind in KINDS}
    assert min(accepted["flipped"], accepted["edged"], accepted["strided"]) > 3
    assert accepted.total() < len(made) / 2
