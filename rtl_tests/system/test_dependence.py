"""Who may import whom: boards -> hwgen -> golden, and the hardware shares names with golden but no arithmetic."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from hwgen.sim.build import BESIDE

ROOT = Path(__file__).parents[2]

REACH = {
    "golden": {"golden"},
    "hwgen": {"hwgen", "golden"},
    "boards": {"boards", "hwgen", "golden"},
    "rtl_tests": {"rtl_tests", "hwgen", "golden"},
}
"""A room, and the rooms it sees. What is not a room is somebody else's package."""

GOLDEN_PACKAGES = {"numpy"}
TEST_PACKAGES = {"pytest", "ml_dtypes"}
EXCEPTIONS = {
    "golden/cascade/read.py": {"yaml"},
    "golden/data/extract_minilm.py": {"safetensors", "tokenizers"},
}
"""Packages that golden may import besides the standard library: anywhere, in its tests, in single files (which run only
where the package happens to be)."""

HARDWARE = (
    "hwgen/array",
    "hwgen/softmax",
    "hwgen/memory",
    "hwgen/control",
    "hwgen/core.py",
    *(f"hwgen/scoremod/{name}.py" for name in ("functions", "layout", "lower", "schedule")),
)
TABLES = ("CURVE_FRAC", "EXP2_SEGMENTS", "FUNCTION_FRAC", "SLOPE_FRAC", "TANH_LIMIT", "TANH_SEGMENTS", "Parabola")
TABLES += ("exp2_parabolas", "rest_bits", "tanh_parabolas")
SHARED = (
    "golden.bitexact.numerics",
    "golden.bitexact.exp2.chords",
    "golden.formats",
    "golden.scoremod.program",
    "golden.scoremod.bias.LOG2E_CODE",
    "golden.scoremod.bias.LOG2E_FRAC",
    *(f"golden.scoremod.functions.{name}" for name in TABLES),
)
"""What the hardware may know of golden: widths and limits, the exponential's table, the float formats, graphs of score
programs (but not how they are evaluated), the constant log2(e), the tables of the programs' functions."""


def imported(path: PurePosixPath, source: str) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it: `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A dot is the file's own package, each further one the package around it.
            package = path.parts[: len(path.parts) - node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            name = node.args[0] if node.args else None
            # A name that is computed could be anything.
            yield name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else "?"


def within(name: str, places: tuple[str, ...], separator: str) -> bool:
    return any(name == place or name.startswith(place + separator) for place in places)


def complaint(path: PurePosixPath, name: str) -> str | None:
    """Why a file must not import a name."""
    room, package = path.parts[0], name.partition(".")[0]
    if name == "?":
        return "imports a computed name"
    if package in REACH:
        if package not in REACH[room]:
            return f"{room} must not see {package}"
        if package == "golden" and within(str(path), HARDWARE, "/") and not within(name, SHARED, "."):
            return "the hardware must not see golden's arithmetic"
        return None
    known = GOLDEN_PACKAGES | sys.stdlib_module_names | EXCEPTIONS.get(str(path), set())
    if "tests" in path.parts:
        known = known | TEST_PACKAGES
    return f"golden must do without {package}" if room == "golden" and package not in known else None


@functools.cache
def all_imports(root: Path) -> list[tuple[PurePosixPath, str]]:
    """(file, name) of every import in every room."""
    files = [path for room in REACH for path in sorted((root / room).rglob("*.py"))]
    relative = [PurePosixPath(path.relative_to(root)) for path in files]
    return [
        (path, name) for path, file in zip(relative, files, strict=True) for name in imported(path, file.read_text())
    ]


def violations(root: Path) -> list[str]:
    return [f"{path}: {name}: {why}" for path, name in all_imports(root) if (why := complaint(path, name))]


def test_arrows() -> None:
    assert violations(ROOT) == []


def test_no_simulator_is_made_of_the_rooms_beside() -> None:
    code = "import sys, hwgen.accelerator, hwgen.sim.system; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    rooms = {name.split(".")[1] for name in loaded.split() if name.startswith("hwgen.")}
    assert {"accelerator", "control", "memory", "sim"} <= rooms
    assert not rooms & set(BESIDE)


def test_everything_is_looked_at() -> None:
    names = {(str(path), name) for path, name in all_imports(ROOT)}
    assert ("hwgen/softmax/exp2.py", "golden.bitexact.exp2.chords") in names
    rooms = {path.partition("/")[0] for path, _ in names}
    assert rooms >= {"golden", "hwgen", "rtl_tests"}
    ours = {path for path, name in names if name.startswith(("hwgen.", "golden."))}
    for place in HARDWARE:
        assert any(within(path, (place,), "/") for path in ours), place
    # An exception that nobody needs any more has to go.
    for path, packages in EXCEPTIONS.items():
        assert packages <= {name.partition(".")[0] for file, name in names if file == path}


PLANTED = [
    ("golden/a.py", "import hwgen", "golden must not see hwgen"),
    ("golden/a.py", "from hwgen.params import Params", "golden must not see hwgen"),
    ("golden/tests/test_a.py", "import hwgen.config as c", "golden must not see hwgen"),
    ("golden/a.py", "import scipy.special", "golden must do without scipy"),
    ("golden/a.py", "import pytest", "golden must do without pytest"),
    ("golden/a.py", "def f():\n    from tokenizers import Tokenizer", "golden must do without tokenizers"),
    ("golden/bitexact/a.py", "from ...rtl_tests import harness", "golden must not see rtl_tests"),
    ("hwgen/a.py", "from boards import flow", "hwgen must not see boards"),
    ("hwgen/tests/test_a.py", "import rtl_tests.harness.jobs", "hwgen must not see rtl_tests"),
    ("hwgen/a.py", "import importlib\nimportlib.import_module('boards.flow')", "hwgen must not see boards"),
    ("hwgen/a.py", "name = 'boards'\n__import__(name)", "imports a computed name"),
    ("rtl_tests/a.py", "if True:\n    import boards", "rtl_tests must not see boards"),
    ("boards/a.py", "import rtl_tests", "boards must not see rtl_tests"),
    *(
        (f"hwgen/{place}", source, "the hardware must not see golden's arithmetic")
        for place in ("array/a.py", "softmax/a.py", "memory/deep/a.py", "control/a.py", "core.py")
        for source in (
            "import golden.bitexact.exp2",
            "from golden.bitexact.exp2 import exp2_fraction",
            "from golden.bitexact import Numerics",
            "from golden.bitexact.normalise import quiet_nan",
            "from golden import exact",
            "from golden.bitexact.exp2 import *",
        )
    ),
    *(
        (f"hwgen/scoremod/{name}.py", source, "the hardware must not see golden's arithmetic")
        for name in ("functions", "layout", "lower", "schedule")
        for source in (
            "from golden.scoremod import evaluate",
            "from golden.scoremod.evaluate import apply",
            "from golden.scoremod.functions import tanh_codes",
            "from golden.scoremod.functions import *",
            "from golden.scoremod.bias import bias_codes",
        )
    ),
]

ALLOWED = [
    ("golden/a.py", "import math, numpy.typing\nfrom golden.formats import encode\nfrom . import exact"),
    ("golden/tests/test_a.py", "import pytest, ml_dtypes"),
    ("golden/data/extract_minilm.py", "import safetensors.numpy"),
    ("hwgen/a.py", "import amaranth\nfrom golden.bitexact.attention import attend"),
    ("hwgen/softmax/a.py", "from golden.bitexact.exp2 import chords\nfrom golden.bitexact import numerics"),
    ("hwgen/array/a.py", "from golden.formats import fields\nfrom .. import params\nimport numpy"),
    ("hwgen/scoremod/functions.py", "from golden.scoremod.functions import tanh_parabolas, FUNCTION_FRAC"),
    ("hwgen/scoremod/trace.py", "from golden.scoremod import evaluate"),
    ("boards/a.py", "import hwgen.params"),
    ("rtl_tests/a.py", "import cocotb\nfrom golden.bitexact import attend\nfrom hwgen.core import Core"),
]


def plant(root: Path, path: str, source: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(source)


@pytest.mark.parametrize(("path", "source", "why"), PLANTED)
def test_a_planted_violation_is_found(path: str, source: str, why: str, tmp_path: Path) -> None:
    plant(tmp_path, path, source)
    plant(tmp_path, "hwgen/fine.py", "import golden")
    (found,) = violations(tmp_path)
    assert found.startswith(f"{path}: ") and found.endswith(why)


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_what_is_allowed_passes(path: str, source: str, tmp_path: Path) -> None:
    plant(tmp_path, path, source)
    assert violations(tmp_path) == [] and all_imports(tmp_path)
