"""Choices, presets, derived numbers, and the messages that refuse what cannot be built."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from golden.bitexact.numerics import Numerics
from golden.scoremod import Builder
from hwgen.config import Config, did_you_mean, parse_assignments
from hwgen.errors import ConfigError, HwgenError
from hwgen.params import LIMITS, Params
from hwgen.presets import PRESETS, preset
from hwgen.scoremod import Table, trace
from hwgen.tests.bench import tiny

ROOT = Path(hwgen.__file__).parent.parent


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_can_be_built(name: str) -> None:
    params = Params(preset(name))
    assert preset(name) is PRESETS[name].config and PRESETS[name].purpose
    c = params.config
    assert (params.folds_e * c.rows_e, params.folds_f * c.rows_f) == (c.head_e, c.head_f)
    assert params.macs == (c.rows_e + c.rows_f) * c.cols
    assert params.lanes * params.group == c.cols and params.group <= params.visit


def test_unknown_preset_names_the_nearest() -> None:
    allowed = ", ".join(sorted(PRESETS))
    with pytest.raises(ConfigError, match=rf"^unknown preset 'tyni'; did you mean 'tiny'\? allowed: {allowed}$"):
        preset("tyni")
    with pytest.raises(ConfigError, match=f"^unknown preset 'xyzzy'; allowed: {allowed}$"):
        preset("xyzzy")


def test_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^unknown parameter 'row_e'; did you mean 'rows_e'\? allowed: accumul"):
        Config().replace({"row_e": 4})


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("rows_e", "4", "a whole number"),
        ("rows_e", 4.0, "a whole number"),
        ("rows_e", True, "a whole number"),
        ("rows_e", None, "a whole number"),
        ("lanes", "4", "a whole number"),
        ("lanes", False, "a whole number"),
        ("in_format", 16, "a name"),
        ("in_format", None, "a name"),
    ],
)
def test_wrong_types(key: str, value: object, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key} must be {kind}, not {value!r}$"):
        Config().replace({key: value})


def test_replace_changes_what_is_named() -> None:
    changed = Config().replace({"rows_e": 8, "lanes": 4, "out_format": "fp16"})
    assert changed == Config(rows_e=8, lanes=4, out_format="fp16")
    assert changed.replace({"lanes": None}) == Config(rows_e=8, out_format="fp16")
    assert Config().replace({}) == Config()


def test_parse_assignments() -> None:
    words = ["rows_e=8", "lanes=none", "lanes=None", "in_format=fp16", "x=-3", "y=a=b"]
    assert [parse_assignments([word]) for word in words] == [
        {"rows_e": 8},
        {"lanes": None},
        {"lanes": None},
        {"in_format": "fp16"},
        {"x": -3},
        {"y": "a=b"},
    ]
    assert parse_assignments(["a=1", "b=two", "a=3"]) == {"a": 3, "b": "two"}
    assert parse_assignments([]) == {}


@pytest.mark.parametrize("word", ["rows_e", "rows_e=", "=4", "", "="])
def test_words_that_assign_nothing(word: str) -> None:
    with pytest.raises(ConfigError, match=f"^expected key=value, not {word!r}$"):
        parse_assignments([word])


def test_did_you_mean() -> None:
    assert did_you_mean("colls", ["slots", "cols"]) == "; did you mean 'cols'? allowed: cols, slots"
    assert did_you_mean("zzz", ["slots", "cols"]) == "; allowed: cols, slots"


@pytest.mark.parametrize("name", list(LIMITS))
def test_limits(name: str) -> None:
    high = LIMITS[name]
    for value in (0, -1, high + 1):
        with pytest.raises(ConfigError, match=rf"^{name} must lie in 1 \.\. {high}, not {value}$"):
            tiny(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_e": 10}, "head_e=10 must be a multiple of rows_e=4; the nearest is 8"),
        ({"head_e": 11}, "head_e=11 must be a multiple of rows_e=4; the nearest is 12"),
        ({"head_f": 2}, "head_f=2 must be a multiple of rows_f=4; the nearest is 4"),
        ({"beat": 3, "out_beat": 2}, "rows_e=4 must be a multiple of beat=3; the nearest is 3"),
        ({"beat": 4, "rows_f": 2, "out_beat": 1}, "rows_f=2 must be a multiple of beat=4; the nearest is 4"),
        ({"out_beat": 3}, "rows_f=4 must be a multiple of out_beat=3; the nearest is 3"),
        ({"cols": 12, "lanes": 5}, "lanes=5 must divide cols=12: one of 1, 2, 3, 4, 6, 12"),
        ({"buffer_rows": 1}, "buffer_rows must be at least 2, not 1"),
        ({"bus_bits": 96}, "bus_bits must be one of 32, 64, 128, 256, 512, not 96"),
        ({"address_bits": 15}, "address_bits must lie in 16 .. 64, not 15"),
        ({"address_bits": 65}, "address_bits must lie in 16 .. 64, not 65"),
        ({"burst_beats": 12}, "burst_beats must be a power of two in 1 .. 256 with bus_bits=128, not 12"),
        ({"burst_beats": 4, "bus_bits": 32, "queue_beats": 7}, "queue_beats must hold two bursts, 8, not 7"),
        (
            {"burst_beats": 128, "bus_bits": 512},
            "burst_beats must be a power of two in 1 .. 64 with bus_bits=512, not 128",
        ),
        ({"burst_beats": 0}, "burst_beats must be a power of two in 1 .. 256 with bus_bits=128, not 0"),
        ({"queue_beats": 31}, "queue_beats must hold two bursts, 32, not 31"),
        ({"operand_bits": 3}, "operand_bits must lie in 4 .. 24, not 3"),
        ({"in_format": "fp61"}, "format must be one of bf16, fp16, fp32, got 'fp61'; did you mean 'fp16'?"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_choices_that_do_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        tiny(**changes)
    assert str(refusal.value) == message


def test_head_dimension_whose_scores_are_too_wide() -> None:
    assert tiny(operand_bits=20, head_e=32, accumulator_bits=52).qk_bits == 2 * 19 + 5 + 1
    with pytest.raises(ConfigError, match="^head dimension 64 with operand_bits=20 and scale_bits=20 needs 64 score"):
        tiny(operand_bits=20, head_e=64, accumulator_bits=52)


def test_refusals_are_errors_of_the_user() -> None:
    assert issubclass(ConfigError, HwgenError) and ConfigError.exit_status == 2


@pytest.mark.parametrize(
    ("choices", "lanes", "group", "visit"),
    [
        # Folds of the longer head dimension say how often a lane may serve within a visit.
        ({"cols": 2}, 1, 2, 2),
        ({"cols": 8, "head_f": 16}, 2, 4, 4),
        ({"cols": 6, "head_e": 16}, 2, 3, 4),
        ({"cols": 5}, 5, 1, 2),
        ({"cols": 8, "head_e": 4, "head_f": 4}, 8, 1, 1),
        # Fewer lanes than that make a visit longer, more make nothing shorter.
        ({"cols": 8, "lanes": 1}, 1, 8, 8),
        ({"cols": 8, "lanes": 8}, 8, 1, 2),
    ],
    ids=str,
)
def test_lanes(choices: dict[str, int], lanes: int, group: int, visit: int) -> None:
    params = tiny(**choices)
    assert (params.lanes, params.group, params.visit) == (lanes, group, visit)


def test_memories_have_a_place_for_every_slot_and_fold() -> None:
    params = tiny(slots=5, head_e=12, head_f=8)
    # Addresses are put together from bits: five slots take eight places, three folds four.
    assert (params.q_depth, params.acc_depth) == (2 * 8 * 4, 8 * 2)
    assert params.block == 10
    assert [tiny(cols=cols).count_bits for cols in (1, 2, 3, 4)] == [1, 2, 2, 3]


def test_numbers_contract_is_passed_on() -> None:
    changes = {"operand_bits": 16, "weight_bits": 20, "score_frac": 12, "exp_segments": 16, "scale_bits": 18}
    formats = {"in_format": "fp16", "out_format": "fp32"}
    widths = {"accumulator_bits": 36, "key_bits": 13}
    params = tiny(**changes, **formats, **widths)
    want = Numerics(**changes, **formats, **widths)  # type: ignore[arg-type]
    assert params.numerics == want
    assert (params.input.name, params.output.name) == ("fp16", "fp32")


def other(value: object) -> object:
    """Another value of the same kind."""
    return {None: 4, "bf16": "fp16"}.get(value, 1) if not isinstance(value, int) else value + 1  # type: ignore[call-overload]


def test_hash_tells_every_choice_apart() -> None:
    fields = dataclasses.asdict(Config())
    changed = [Config().replace({name: other(value)}) for name, value in fields.items()]
    assert len(changed) == len(fields) and Config() not in changed
    hashes = {config.hash() for config in (Config(), *changed)}
    assert len(hashes) == len(fields) + 1
    assert all(len(text) == 16 and set(text) <= set("0123456789abcdef") for text in hashes)


def test_hash_is_the_same_everywhere() -> None:
    code = "from hwgen.config import Config; print(Config(rows_e=8, lanes=4).hash())"
    texts = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        texts.add(done.stdout.strip())
    assert texts == {Config().replace({"lanes": 4, "rows_e": 8}).hash()}


def test_a_score_program_with_too_many_numbers_is_refused() -> None:
    """A table of one number a position would grow with the sequence."""
    for size, fits in ((1 << 16, True), ((1 << 16) + 1, False)):
        table = Table(np.zeros(size), "per_position")
        score = trace(lambda s, b, h, q, k, table=table: s + table[k]).program
        if fits:
            assert Params(Config(score=score)).argument_words == size
            continue
        with pytest.raises(ConfigError, match=r"have 65537 numbers; at most 65536 are kept on the chip"):
            Params(Config(score=score))


@pytest.mark.parametrize(("name", "code"), [("seen", 2), ("keep", -1), ("keep_factor", 131073), ("keep_shift", 64)])
def test_outputs_that_cannot_be_what_they_are_called(name: str, code: int) -> None:
    builder = Builder(Numerics())
    with pytest.raises(ConfigError, match=rf"{name} must lie in 0 \.\. \d+, not {code} \.\. {code}"):
        Params(Config(score=builder.program({name: builder.constant(code)})))
    Params(Config(score=builder.program({name: builder.constant(max(code - 1, 0))})))
