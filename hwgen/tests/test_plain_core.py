"""A core without a score program has nothing of what one with a score program has."""

from __future__ import annotations

import re
from functools import cache

import pytest

from hwgen.control.tags import block_layout, visit_layout
from hwgen.core import Core
from hwgen.emit import to_verilog
from hwgen.errors import ConfigError
from hwgen.params import Params
from hwgen.sim.build import build
from hwgen.tests.bench import tiny
from hwgen.tests.pairs import PROGRAMS

SMALL = {"cols": 1, "slots": 2, "head_e": 4, "head_f": 4}

ADDED = {
    "tanh": {"datapath", "pair_score", "parabolas", "tanh"},
    "everything": {"datapath", "pair_score", "key_score", "kept_weight", "bias_buffer", "bias_convert", "bias_lane"}
    | {"segment_fork", "segment_issuer", "segment_walker"},
}
"""Modules that a program brings."""

REPLACED = {"tanh": set(), "everything": {"issuer"}}

CARRIERS = {"core", "lane_group", "softmax_lane", "query_loader"}
CARRIERS |= {"block_fork", "block_walker", "drain_walker", "issuer", "visit_queue", "queue"}
"""Who knows of a program that reads the score only: what it stands in, and those that are told of batch and head, or
pass them on."""

WORDS = {"argument", "batch", "bias", "biases", "datapath", "factor", "hidden", "kept", "kv", "member", "segment"}
WORDS |= {"segments", "sink", "live"}
"""What only programs and segments speak of."""


def params(name: str | None) -> Params:
    return tiny(score=None if name is None else PROGRAMS[name], **SMALL)


@cache
def text(name: str | None) -> str:
    return to_verilog(Core(params(name)), "core")


@cache
def bodies(name: str | None) -> dict[str, str]:
    """The text of every part's module, but for the numbers of its nameless signals."""
    found = dict(re.findall(r"^module (\w+)\b(.*?)^endmodule", text(name), re.MULTILINE | re.DOTALL))
    return {module: re.sub(r"\$\d+", "$", body) for module, body in found.items()}


def kinds(name: str | None) -> set[str]:
    """Names of the modules without their numbers."""
    return {re.sub(r"_\d+$", "", module) for module in bodies(name)}


def words(name: str | None) -> set[str]:
    """Of all identifiers."""
    identifiers = re.findall(r"[A-Za-z_]\w*", text(name))
    return {word for identifier in identifiers for word in identifier.split("_")}


@pytest.mark.parametrize("name", ADDED)
def test_modules(name: str) -> None:
    assert kinds(name) - kinds(None) == ADDED[name]
    assert kinds(None) - kinds(name) == REPLACED[name]


def test_words() -> None:
    assert words("everything") >= WORDS
    assert words(None) & WORDS == set()


def test_only_those_who_carry_a_program_know_of_it() -> None:
    """Where neither keys nor queries matter, all tags are what they were: arrays, exponents, values do not change."""
    plain, scored = bodies(None), bodies("tanh")
    differ = {module for module in plain if plain[module] != scored[module]}
    # What is counted depends on how much later a value is.
    assert differ == CARRIERS | {"core_events"}


def test_layouts() -> None:
    plain, scored = params(None), params("everything")
    for layout, new in ((visit_layout, {"key", "sink", "bias_row"}), (block_layout, {"batch", "head", "offset"})):
        names = [{name for name, _ in layout(machine)} for machine in (plain, scored)]
        assert names[1] - names[0] == new


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_the_core_alone_is_not_simulated_with_a_program(name: str) -> None:
    with pytest.raises(ConfigError, match="no score programs; simulate the accelerator"):
        build(tiny(score=PROGRAMS[name]))


def test_the_core_alone_is_not_simulated_with_lists() -> None:
    with pytest.raises(ConfigError, match="no lists of segments; simulate the accelerator"):
        build(tiny(block_list=True))
