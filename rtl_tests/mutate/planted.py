"""Twelve bugs planted by hand, one at a time, in a copy of the tree: does the everyday test of their room catch them?

python -m rtl_tests.mutate.planted              all of them; a table
python -m rtl_tests.mutate.planted wlast tie    those whose names hold one of these words
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("golden", "hwgen", "rtl_tests", "pyproject.toml", "README.md", "docs")
SECONDS = 300
"""A test that takes longer does not end."""


@dataclass(frozen=True)
class Bug:
    """One exact change of one file of hwgen, and the test that has to fail for it, a node of pytest."""

    name: str
    file: str
    before: str
    after: str
    test: str

    @property
    def room(self) -> str:
        return self.file.split("/")[0].removesuffix(".py")


BUGS = [
    Bug(
        "an entry of the exponent's table is one too large",
        "softmax/exp2.py",
        "Array(Const(chord.base, n.weight_bits) for chord in table)",
        "Array(Const(chord.base + (i == 19), n.weight_bits) for i, chord in enumerate(table))",
        "test_exp2_unit.py::test_ends_of_all_chords",
    ),
    Bug(
        "a rescale by 16 and more shifts by 32",
        "array/value_pe.py",
        "old >> (shift_late[4:] << 4)",
        "old >> (shift_late[4:] << 5)",
        "test_value_pe.py::test_random_visits",
    ),
    Bug(
        "a tie of the quotient is rounded up, not to even",
        "softmax/normaliser.py",
        "(guard & (sticky | significand[0]))",
        "guard",
        "test_normaliser_lane.py::test_quotients_beside_numbers_and_midpoints",
    ),
    Bug(
        "the banks of the block converter are not swapped behind a row",
        "memory/convert.py",
        "m.d.sync += [beat.eq(0), bank.eq(~bank), self._full.bit_select(bank, 1).eq(1)]",
        "m.d.sync += [beat.eq(0), self._full.bit_select(bank, 1).eq(1)]",
        "test_block_conversion.py::test_rows_of_any_number_of_beats",
    ),
    Bug(
        "a request that ends with a page is cut as if it went on",
        "memory/bursts.py",
        "request.address[:chunk_bits] - 1 + request.bytes",
        "request.address[:chunk_bits] + request.bytes",
        "test_bursts.py::test_every_alignment",
    ),
    Bug(
        "WLAST comes a word early",
        "memory/write_engine.py",
        "last.eq(order.length == 1)",
        "last.eq(order.length == 2)",
        "test_write_engine.py::test_memory_holds_what_was_sent",
    ),
    Bug(
        "an abort leaves bursts in flight: their words go to whoever reads next",
        "memory/read_engine.py",
        "drop.eq(self.flush | (drop & tracker.busy))",
        "drop.eq(self.flush)",
        "test_read_engine.py::test_flush_and_go_on",
    ),
    Bug(
        "back-pressure loses a beat",
        "queue.py",
        "m.d.sync += [ready.eq(~some), some.eq(1)]",
        "m.d.sync += [ready.eq(1), some.eq(1)]",
        "test_queue.py::test_slice_keeps_words_in_order",
    ),
    Bug(
        "rows of the output that touch are not refused if they share one byte",
        "control/tensor_check.py",
        "(self._step <= self._reach)",
        "(self._step < self._reach)",
        "test_tensor_check.py::test_random_tensors",
    ),
    Bug(
        "the interrupt's status cannot be cleared",
        "control/register_file.py",
        "with m.If(self._ones(register.name, field.name)):\n"
        "                        m.d.sync += self._held[register.name, field.name].eq(0)",
        "with m.If(self._ones(register.name, field.name)):\n"
        "                        m.d.sync += self._held[register.name, field.name].eq(1)",
        "test_register_file.py::test_interrupt_status_is_cleared_bit_by_bit",
    ),
    Bug(
        "the last query of a causal block sees a key too many",
        "control/block_walker.py",
        "bound = Mux(self._sight < 0, 0, self._sight + part)",
        "bound = Mux(self._sight < 0, 0, self._sight + 1)",
        "test_block_walker.py::test_every_offset",
    ),
    Bug(
        "counters go on while they are being copied",
        "control/command_queue.py",
        'for state in ("BOOT", "IDLE", "KEEP")',
        'for state in ("BOOT", "IDLE")',
        "test_command_queue.py::test_latencies",
    ),
]


def plant(bug: Bug, tree: Path) -> None:
    """Put the bug into a copy of the tree. Raises ValueError unless its place is there exactly once."""
    path = tree / "hwgen" / bug.file
    text = path.read_text()
    if text.count(bug.before) != 1:
        raise ValueError(f"hwgen/{bug.file} has {bug.before!r} {text.count(bug.before)} times, not once: {bug.name}")
    path.write_text(text.replace(bug.before, bug.after))


def copy_tree(tree: Path) -> None:
    """What the tests need of the project."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)


def passes(test: str, tree: Path) -> bool:
    """Whether a test passes in a tree. Raises ValueError if pytest cannot run it."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"hwgen/tests/{test}"]
    where = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=tree, env=where, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):
        raise ValueError(f"{test} did not run: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    return done.returncode == 0


def judge(bug: Bug) -> tuple[str, float]:
    """What became of a bug, and the seconds that its test took with it: first the test has to pass without."""
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        tree = Path(name)
        copy_tree(tree)
        if not passes(bug.test, tree):
            return "FAILS WITHOUT THE BUG", 0.0
        plant(bug, tree)
        begin = time.monotonic()
        caught = not passes(bug.test, tree)
        return "caught" if caught else "NOT CAUGHT", time.monotonic() - begin


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 unless every bug is caught by a test that passes without it."""
    words = sys.argv[1:] if arguments is None else arguments
    bugs = [bug for bug in BUGS if not words or any(word.lower() in bug.name.lower() for word in words)]
    print("| bug | room | test | | seconds |\n|---|---|---|---|---|")
    fates = []
    for bug in bugs:
        fate, seconds = judge(bug)
        fates.append(fate)
        print(f"| {bug.name} | {bug.room} | `{bug.test}` | {fate} | {seconds:.1f} |", flush=True)
    print(f"\n{fates.count('caught')} of {len(fates)} caught")
    return int(set(fates) != {"caught"})


if __name__ == "__main__":
    sys.exit(main())
