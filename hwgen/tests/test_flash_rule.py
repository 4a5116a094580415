"""FlashAttention's acceptance rule, on as many cases as take a few seconds; `hwgen.tests.flash_rule` runs more."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hwgen.params import Params
from hwgen.tests.flash_rule import HEADS, MACHINE, RMSE_LIMIT, Case, Verdict, plain_attention, pooled, summary

CASES = int(os.environ.get("FLASH_RULE_CASES", "24"))
"""Every head dimension in both formats."""

LARGE = 2000
"""So many numbers and more are enough for a case's own RMSE to be compared."""


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return [Verdict.of(Case.random(number)) for number in range(CASES)]


def test_largest_error(verdicts: list[Verdict], capsys: pytest.CaptureFixture[str]) -> None:
    """At most twice that of plain arithmetic in the inputs' type."""
    with capsys.disabled():
        print(f"\n{summary(verdicts)}; one case: python -m hwgen.tests.flash_rule --first N --cases 1")
    assert [str(verdict) for verdict in verdicts if not verdict.accepted] == []


def test_rmse(verdicts: list[Verdict]) -> None:
    """bf16: 1.02 times what rounding the exact answer costs, over all cases and for each that is large enough."""
    own = [verdict for verdict in verdicts if verdict.case.fmt.name == "bf16"]
    assert pooled(own) <= RMSE_LIMIT
    far = [str(v) for v in own if v.count >= LARGE and v.rmse > RMSE_LIMIT * v.rounding]
    assert far == []


def test_the_cases_cover_what_they_should() -> None:
    cases = [Case.random(number) for number in range(48)]
    assert {case.q.shape[3] for case in cases} == set(HEADS)
    assert {case.fmt.name for case in cases} == {"bf16", "fp16"}
    for option in ("causal", "window", "softcap", "alibi_slopes"):
        assert 8 <= sum(option in case.options for case in cases) <= 40
    assert sum(case.q.shape[1] != case.k.shape[1] for case in cases) >= 8
    assert min(case.q.shape[2] for case in cases) <= 5 and max(case.k.shape[2] for case in cases) >= 200


def test_plain_arithmetic_is_the_same_formula() -> None:
    """In float32 it is the exact answer but for float32's own errors, so the rule compares like with like."""
    for number in range(6):
        case = Case.random(number)
        wide = Case(number, *(array.astype(np.float32) for array in (case.q, case.k, case.v)), case.options)
        verdict = Verdict.of(wide)
        assert verdict.plain <= 1e-4 * np.abs(plain_attention(wide)).max()


def test_the_widest_head_fits_the_numbers_contract() -> None:
    """A dot product of 256 elements takes 62 of the 63 bits that a scaled score may have; 512 fit, 1024 do not."""
    numerics = Params(MACHINE).numerics
    assert numerics.qk_bits(max(HEADS)) - 1 + numerics.scale_bits == 62
    numerics.check_head(512)
    with pytest.raises(ValueError, match="head dimension 1024 .* needs 64 score bits; at most 63"):
        numerics.check_head(1024)
