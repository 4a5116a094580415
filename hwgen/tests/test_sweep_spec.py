"""The file of an exploration: what it means, and where its mistakes are reported."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from golden.exact import Shape
from hwgen.errors import ConfigError
from hwgen.model.energy import load_table
from hwgen.model.machine import Memory
from hwgen.model.work import Work
from hwgen.presets import preset
from hwgen.sweep.metrics import METRICS, Load, Setting
from hwgen.sweep.parse import PARAMETERS, read_spec
from hwgen.sweep.points import ROOT, grid, grid_size, result_key, sources
from hwgen.sweep.spec import Constraint, Objective, Search, Spec
from hwgen.tests.sweeps import environment

FULL = """\
preset: tiny
set: {bus_bits: 256}
parameters:
  rows_e, rows_f: [4, 8]
  cols: {from: 2, to: 17, times: 2}
  slots: {from: 3, to: 9, step: 3}
  lanes: [none, 2]
  out_format: fp32
works:
  - {name: layer, Hq: 4, Hkv: 2, L: 9, S: 12, causal: true, offset: 3, times: 5, latency: 20, bandwidth: 99}
  - {B: 2, L: 1, S: 7, E: 6, F: 5, key_lengths: [7, 0], lse: true}
clock: 2e8
table: horowitz2014
objectives: {energy: minimise, utilisation: maximise}
constraints: [area <= 2.5, "seconds >= 1e-9"]
search: {trials: 7, population: 3, sampler: tpe, seed: 0}
"""

LEAST = """\
preset: tiny
parameters: {cols: [1, 2]}
works: {L: 3}
objectives: {cycles: minimise}
"""


def spec_of(folder: Path, text: str) -> Spec:
    path = folder / "spec.yaml"
    path.write_text(text)
    return read_spec(path)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, FULL)
    assert spec.base == preset("tiny").replace({"bus_bits": 256})
    values = {parameter.names: parameter.values for parameter in spec.parameters}
    assert values == {
        ("rows_e", "rows_f"): (4, 8),
        ("cols",): (2, 4, 8, 16),
        ("slots",): (3, 6, 9),
        ("lanes",): (None, 2),
        ("out_format",): ("fp32",),
    }
    assert spec.setting.loads == (
        Load(
            name="layer",
            work=Work(shape=Shape(1, 4, 2, 9, 12, 8, 8), causal=True, offset=3),
            times=5,
            memory=Memory(latency=20, bandwidth=99),
        ),
        Load(name="work 2", work=Work(shape=Shape(2, 1, 1, 1, 7, 6, 5), key_lengths=(7, 0), lse=True)),
    )
    assert (spec.setting.clock, spec.setting.table) == (2e8, load_table("horowitz2014"))
    assert spec.setting.costs == ("area", "energy") and spec.setting.metrics == list(METRICS)
    assert spec.objectives == (Objective("energy"), Objective("utilisation", maximise=True))
    assert spec.constraints == (Constraint("area", "<=", 2.5), Constraint("seconds", ">=", 1e-9))
    assert spec.search == Search(trials=7, population=3, sampler="tpe", seed=0)


def test_what_is_not_said_has_defaults(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LEAST)
    assert spec.setting == Setting(loads=(Load(name="work 1", work=Work(shape=Shape(1, 1, 1, 3, 3, 8, 8))),))
    assert spec.setting.metrics == [name for name, metric in METRICS.items() if metric.needs is None]
    assert spec.search is None and spec.constraints == ()


def test_a_table_may_be_a_file_beside_the_spec_and_have_no_areas(tmp_path: Path) -> None:
    entry = "{kind: dram, name: near, word: 8, read_pj: 1, write_pj: 1, source: a}"
    text = "name: mine\ntitle: m\ntechnology: t\nsources: {a: b}\noperations: []\n"
    (tmp_path / "mine.yaml").write_text(f"{text}memories:\n  - {entry}\n  - {entry.replace('near', 'far')}\n")
    spec = spec_of(tmp_path, f"{LEAST}table: mine.yaml\ndram: far\n")
    assert spec.setting.table == load_table(tmp_path / "mine.yaml").with_dram("far") and spec.setting.costs == ()


CHANGES = [
    ("tiny", "@tinny", "unknown preset 'tinny'; did you mean 'tiny'?"),
    ("works", "@work", "unknown key 'work'; did you mean 'works'?"),
    ("preset: tiny\n", "@", "the key 'preset' is missing"),
    ("bus_bits: 256", "@bus_bit: 256", "unknown parameter 'bus_bit'; did you mean 'bus_bits'?"),
    ("bus_bits: 256", "bus_bits: @100", "bus_bits must be one of 32, 64"),
    ("bus_bits: 256", "bus_bits: @wide", "bus_bits must be a whole number, not 'wide'"),
    ("  cols: {from: 2", "  @bus_bits: {from: 2", "'bus_bits' is among `set` already"),
    ("slots: {", "@rows_e: {", "'rows_e' is among `parameters` already"),
    ("rows_e, rows_f", "@rows_e, rows", "unknown parameter 'rows'"),
    ("[4, 8]", "[4, @8.5]", "rows_e must be a whole number, not '8.5'"),
    ("[4, 8]", "[4, @'8']", "rows_e must be a whole number, not '8'"),
    ("[4, 8]", "[4, @257]", "rows_e must lie in 1 .. 256, not 257"),
    ("[4, 8]", "[@0, 8]", "rows_e must lie in 1 .. 256, not 0"),
    ("[4, 8]", "[8, @8]", "8 stands twice"),
    ("[4, 8]", "@[]", "the list is empty"),
    ("[4, 8]", "[@[4], 8]", "expected one value, not a list"),
    ("to: 17", "to: @1", "expected a whole number from 2 on, not 1"),
    ("to: 17", "to: @300", "cols must lie in 1 .. 256, not 300"),
    ("to: 17", "@too: 17", "unknown key 'too'; did you mean 'to'?"),
    ("times: 2}", "times: @1}", "expected a whole number from 2 on, not 1"),
    ("step: 3}", "step: 3, times: @2}", "a range has a `step` or `times`, not both"),
    ("step: 3}", "step: 3, @step: 2}", "'step' stands twice"),
    ("[none, 2]", "{from: @none, to: 2}", "expected a whole number from 1 on, not 'none'"),
    ("fp32", "{@fp32: 1}", "unknown key 'fp32'"),
    ("{name: layer, Hq: 4, Hkv: 2", "@{name: layer, Hq: 4, Hkv: 3", "Hq=4 must be a multiple of Hkv=3"),
    ("{B: 2, L: 1", "@{B: 2", "the key 'L' is missing"),
    ("L: 9", "L: @0", "expected a whole number from 1 on, not 0"),
    ("causal: true", "causal: @1", "expected true or false, not '1'"),
    ("latency: 20", "latency: @1", "expected a whole number 2 .. 65536, not 1"),
    ("{B: 2", "@{B: 3", "there must be 3 key lengths"),
    ("{B: 2", "@{name: layer, B: 2", "there is another work 'layer'"),
    ("2e8", "@fast", "expected a number, not 'fast'"),
    ("2e8", "@0", "a clock has more than 0 Hz, not 0"),
    ("energy: minimise, utilisation", "energy: minimise, @time", "unknown metric 'time'"),
    (
        "clock: 2e8\ntable: horowitz2014\nobjectives: {",
        "objectives: {@seconds: minimise, ",
        "seconds needs the key 'clock'",
    ),
    ("table: horowitz2014\nobjectives: {energy", "objectives: {@energy", "energy needs the key 'table'"),
    ("horowitz2014", "@horowitz2015", "no table of costs 'horowitz2015'"),
    ("horowitz2014", "horowitz2014\ndram: @tape", "the table horowitz2014 has no memory off the chip called 'tape'"),
    ("energy: min", "@energie: min", "unknown metric 'energie'; did you mean 'energy'?"),
    ("energy: minimise", "energy: @minimize", "unknown direction 'minimize'; did you mean 'minimise'?"),
    ("{energy: minimise, utilisation: maximise}", "@{}", "there is no objective"),
    ("area <= 2.5", "@area < 2.5", "expected a metric, <= or >=, and a number, as `area <= 2.5`, not 'area < 2.5'"),
    ("area <= 2.5", "@area <= inf", "expected a metric, <= or >=, and a number"),
    ("area <= 2.5", "@aera <= 2.5", "unknown metric 'aera'; did you mean 'area'?"),
    ("trials: 7", "@trial: 7", "unknown key 'trial'; did you mean 'trials'?"),
    ("trials: 7", "trials: @0", "expected a whole number 1 .. 1000000, not 0"),
    ("tpe", "@tp", "unknown sampler 'tp'; did you mean 'tpe'?"),
    ("slots: {", "slots: @}", "not YAML"),
]
"""Part of FULL, what stands there instead with an @ where the mistake is, and how the message begins."""


@pytest.mark.parametrize(("old", "new", "message"), CHANGES)
def test_mistakes_have_a_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FULL
    before, _, after = FULL.replace(old, new, 1).partition("@")
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    with pytest.raises(ConfigError) as error:
        spec_of(tmp_path, before + after)
    assert str(error.value).startswith(f"{tmp_path / 'spec.yaml'}:{place}: {message}")


def test_a_memory_off_the_chip_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="5:7: 'dram' needs the key 'table'"):
        spec_of(tmp_path, f"{LEAST}dram: ddr\n")


@pytest.mark.parametrize(("text", "message"), [("", ":1:1: the file is empty"), ("- a", ":1:1: expected keys with")])
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec_of(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'spec.yaml'}{message}")
    (tmp_path / "spec.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not YAML"):
        read_spec(tmp_path / "spec.yaml")


def test_a_grid_may_not_be_endless(tmp_path: Path) -> None:
    wide = "{cols: {from: 1, to: 256}, slots: {from: 1, to: 64}, buffer_rows: {from: 2, to: 101}}"
    text = LEAST.replace("{cols: [1, 2]}", wide)
    with pytest.raises(ConfigError, match=r"2:13: 1,638,400 combinations are more than 1,000,000; a `search`"):
        spec_of(tmp_path, text)
    assert grid_size(spec_of(tmp_path, text + "search: {trials: 1}\n").parameters) == 256 * 64 * 100


def test_the_grid_is_the_product(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, FULL)
    base = preset("tiny").replace({"bus_bits": 256, "out_format": "fp32"})
    product = itertools.product((4, 8), (2, 4, 8, 16), (3, 6, 9), (None, 2))
    want = [replace(base, rows_e=rows, rows_f=rows, cols=c, slots=s, lanes=n) for rows, c, s, n in product]
    points = list(grid(spec))
    assert [point.config for point in points] == want and len(want) == grid_size(spec.parameters)
    for point in points:
        assert point.config == base.replace(point.values) and point.values.keys() <= set(PARAMETERS)


def test_a_key_changes_with_whatever_the_result_depends_on(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, FULL)
    setting = spec.setting
    first, second = setting.loads
    others = [
        replace(setting, clock=3e8),
        replace(setting, table=load_table("fusemax2024")),
        replace(setting, costs=("energy",)),
        replace(setting, loads=(first,)),
        replace(setting, loads=(replace(first, times=6), second)),
        replace(setting, loads=(replace(first, memory=Memory(latency=21, bandwidth=99)), second)),
        replace(setting, loads=(replace(first, work=replace(first.work, offset=2)), second)),
    ]
    keys = [result_key(spec.base, one) for one in (setting, *others)]
    keys += [point.key for point in grid(spec)]
    assert len(set(keys)) == len(keys)
    renamed = replace(setting, loads=(replace(first, name="other"), second))
    assert result_key(spec.base, renamed) == keys[0]


def test_a_key_changes_with_all_sources_of_the_model() -> None:
    text = (
        "import sys, hwgen.sweep.metrics; print(*(m.__file__ for m in sys.modules.values() if hasattr(m, '__file__')))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=environment())
    loaded = {Path(name) for name in done.stdout.split() if name.startswith(f"{ROOT}{os.sep}")}
    loaded = {path for path in loaded if path.relative_to(ROOT).parts[0] in ("golden", "hwgen")}
    assert ROOT / "hwgen/model/machine.py" in loaded
    assert loaded <= set(sources())
