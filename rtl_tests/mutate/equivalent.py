"""Mutants that are the same machine for a reason that no proof about one module can know.

Each rule names what it is about by expressions and says why; a rule that fits too much hides a missing test, so it
fits one statement of one module and one change of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rtl_tests.mutate.model import ModelMutant
from rtl_tests.mutate.schemata import Mutant


class Rule(NamedTuple):
    """Modules, statements before and after the change as regular expressions of the whole; the reason."""

    module: str
    before: str
    after: str
    why: str


RULES = [
    Rule(
        "core",
        r"\.visit\(tag\[0\]\)",
        r"\.visit\(tag\[1\]\)",
        "asked is whether there was a visit since `busy` rose, and the first visit of all is the first of its query",
    ),
]

MODEL_RULES = [
    Rule(
        "core",
        r"\.visit\(tag\[0\]\)",
        r"\.visit\(tag\[1\]\)",
        "asked is whether there was a visit since `busy` rose, and the first visit of all is the first of its query",
    ),
]


def reason(mutant: Mutant) -> str:
    """Why a mutant of the Verilog is no other machine; empty if nobody says so."""
    return _reason(RULES, mutant.site.module.lstrip("\\"), mutant.before, mutant.after)


def model_reason(mutant: ModelMutant) -> str:
    """The same for the integer model."""
    return _reason(MODEL_RULES, mutant.module, mutant.before, mutant.after)


def _reason(rules: list[Rule], *words: str) -> str:
    for rule in rules:
        patterns = rule.module, rule.before, rule.after
        if all(re.fullmatch(pattern, word) for pattern, word in zip(patterns, words, strict=True)):
            return rule.why
    return ""
