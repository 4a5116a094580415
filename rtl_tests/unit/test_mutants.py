"""Mutants: each is another text, the same for the same seed, asleep until it is called, and noticed when it matters."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from hwgen.control.drain import Credits
from hwgen.emit import to_verilog
from hwgen.errors import SimulationError
from hwgen.memory.row_walker import RowWalker
from hwgen.sim.build import Recipe, cached_build, content_key
from hwgen.sim.launch import launch
from hwgen.tests.bench import tiny
from rtl_tests.mutate import formal, model
from rtl_tests.mutate.operators import CLASSES, Change
from rtl_tests.mutate.rtl import moved
from rtl_tests.mutate.schemata import Mutant, choose, mutated, pool, with_mutants
from rtl_tests.mutate.verilog import mutable, parse, width_read
from rtl_tests.unit.cocotb_credits import MOST

TOP = "credits"


def credits() -> tuple[str, list[Mutant]]:
    """A small module, and all its mutants."""
    text = to_verilog(Credits(MOST), TOP)
    return text, choose(pool(text, TOP, {}), 1000, Random(1))


def find(mutants: list[Mutant], kind: str, part: str) -> Mutant:
    return next(m for m in mutants if m.change.kind == kind and part in m.before)


def test_every_statement_is_read_as_it_is_written() -> None:
    text = to_verilog(RowWalker(tiny()), "walker")
    lines, modules = text.splitlines(), parse(text)
    sites = list(mutable(modules, "walker"))
    assert {site.kind for site in sites} >= {"assign", "clocked", "comb", "if"}
    for site in sites:
        assert lines[site.line] == f"{site.before}{site.expression}{site.after}"


def test_every_mutant_is_another_text() -> None:
    text = to_verilog(RowWalker(tiny()), "walker")
    mutants = choose(pool(text, "walker", {}), 10_000, Random(2))
    assert Counter(m.change.kind for m in mutants).keys() == set(CLASSES)
    texts = [mutated(text, m) for m in mutants]
    assert len({*texts, text}) == len(mutants) + 1 > 200
    for m, other in zip(mutants, texts, strict=True):
        changed = [
            i for i, pair in enumerate(zip(text.splitlines(), other.splitlines(), strict=True)) if len({*pair}) == 2
        ]
        assert changed == [m.site.line]


def test_the_seed_says_which() -> None:
    text = to_verilog(RowWalker(tiny()), "walker")
    chosen = [[(m.before, m.after) for m in choose(pool(text, "walker", {}), 20, Random(seed))] for seed in (5, 5, 6)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_nothing_that_nobody_reads_is_changed() -> None:
    text = """module child(a, b, unread);
  input a;
  input unread;
  output b;
  wire dead;
  assign b = ~ a;
  assign dead = ~ a;
endmodule

module top(a, b);
  input a;
  output b;
  child inner (
    .a(a),
    .b(b),
    .unread(a)
  );
endmodule
"""
    sites = [(site.module, site.before.strip()) for site in mutable(parse(text), "top")]
    assert sites == [("top", ".a("), ("child", "assign b =")]


def test_asleep_nothing_is_wrong_and_awake_it_is_noticed(tmp_path: Path) -> None:
    text, mutants = credits()
    asleep = with_mutants(text, mutants)

    def sources(folder: Path) -> list[Path]:
        (folder / "credits.sv").write_text(asleep)
        return [folder / "credits.sv"]

    recipe = Recipe(TOP, f'`verilator_config\npublic_flat_rw -module "{TOP}" -port "*"\n', {}, fast=False)
    build = cached_build(content_key("mutants", asleep), sources, recipe)

    def run(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        launch(build, TOP, "rtl_tests.unit.cocotb_credits", folder, plusargs=[f"+mutant={number}"])

    run(0)
    for mutant in (find(mutants, "operator", "give"), find(mutants, "constant", " < ")):
        with pytest.raises(SimulationError, match="of 5 are taken"):
            run(mutant.number)


def test_a_proof_tells_the_same_from_another(tmp_path: Path) -> None:
    text, mutants = credits()
    # `a + b` for `b + a` is no mutant; the same value with one bit more that is cut off again is what it comes to.
    wrong = find(mutants, "operator", "give")
    same = Mutant(1, "", wrong.site, wrong.change._replace(expression=f"{wrong.site.expression} + 0"))
    assert formal.is_same(text, same, tmp_path)
    assert not formal.is_same(text, wrong, tmp_path)


PARENT = """module child(a, b);
  input [3:0] a;
  output b;
  wire name;
  assign b = ~ a[1];
  assign name = a[3];
endmodule

module top(a, b);
  input [3:0] a;
  output b;
  child inner (
    .a(a),
    .b(b)
  );
endmodule
"""


def test_a_proof_looks_at_what_the_instance_looks_at(tmp_path: Path) -> None:
    child, top = sorted(parse(PARENT), key=lambda module: module.name)
    assert (width_read(child, "a"), width_read(top, "a")) == (2, 4)
    site = next(site for site in top.sites if site.target == ".a")
    for mask, same in ((3, True), (13, False)):
        change = Change("width", f"4'h{mask:x} & (a)")
        assert formal.is_same(PARENT, Mutant(1, "", site, change), tmp_path) is same


def test_a_mutant_goes_to_every_machine_that_has_its_module() -> None:
    numbered = "    if (\\$auto$verilog_backend.cc:2355:dump_module$%d ) begin end\n  assign b = ~ a[1];"
    text, other = (PARENT.replace("  assign b = ~ a[1];", numbered % i) for i in (1, 12))
    other = "// A line more.\n" + other.replace("child", "kid")
    for mutant in choose(pool(text, "top", {}), 100, Random(1)):
        there = moved(mutant, text, other)
        if mutant.site.module == "top":
            # What stands in it has another name.
            assert there is None
        else:
            assert there and (there.site.module, there.before, there.after) == ("kid", mutant.before, mutant.after)
            assert other.splitlines()[there.site.line] == text.splitlines()[mutant.site.line]


def test_mutants_of_the_model_are_programs_that_differ() -> None:
    for module in model.TESTS:
        mutants = list(model.mutants_of(module))
        assert len(mutants) > 50
        for mutant in Random(1).sample(mutants, 5):
            assert ast.dump(ast.parse(model.changed(mutant))) != ast.dump(ast.parse(model._source(module)))
    assert model.draw(7, 3) == model.draw(7, 3) != model.draw(7, 4)


def test_a_wrong_model_is_noticed() -> None:
    mutants = list(model.mutants_of("exp2"))
    wrong = next(m for m in mutants if m.kind == "operator" and "-" in m.before)
    assert model.is_killed(wrong), f"golden/bitexact/exp2.py:{wrong.line}: {wrong.before} became {wrong.after}"
