"""Which descriptors are accepted: each rule by example, and the extents of tensors against their bytes one by one."""

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import pytest

from hwgen.control.descriptor import Descriptor
from hwgen.control.descriptor_rules import Finding, check, tensors
from hwgen.control.faults import Fault
from hwgen.params import Params
from hwgen.tests.bench import tiny
from hwgen.tests.descriptors import RandomDescriptors, plain
from hwgen.tests.scores import scored

PARAMS = tiny(address_bits=40, in_format="bf16", out_format="fp32")

SHAPE = {"batches": 2, "query_heads": 6, "kv_heads": 3, "queries": 5, "keys": 7, "write_lse": 1, "key_lengths": 1}
"""Everything larger than 1, everything in memory."""

TOP = 1 << 40

BAD: list[tuple[Fault, int, dict[str, Any]]] = [
    (Fault.VERSION, 0x00, {"magic": 0x48574102}),
    (Fault.RESERVED, 0x04, {"reserved_flags": 1}),
    (Fault.FORMAT, 0x08, {"in_format": 1}),
    (Fault.FORMAT, 0x08, {"out_format": 0}),
    (Fault.FORMAT, 0x08, {"reserved_formats": 1}),
    *((Fault.DIMENSION, 0x0C + 4 * i, {name: 0}) for i, name in enumerate(("batches", "query_heads", "kv_heads"))),
    *((Fault.DIMENSION, 0x0C + 4 * i, {name: 65536}) for i, name in enumerate(("batches", "query_heads", "kv_heads"))),
    (Fault.DIMENSION, 0x18, {"queries": 0}),
    (Fault.DIMENSION, 0x18, {"queries": (1 << 20) + 1}),
    (Fault.DIMENSION, 0x1C, {"keys": 0}),
    (Fault.DIMENSION, 0x1C, {"keys": (1 << 20) + 1}),
    (Fault.DIMENSION, 0x20, {"head_e": 0}),
    (Fault.DIMENSION, 0x20, {"head_e": 9}),
    (Fault.DIMENSION, 0x24, {"head_f": 0}),
    (Fault.DIMENSION, 0x24, {"head_f": 9}),
    (Fault.SCALE, 0x28, {"scale_mantissa": 1 << 20}),
    (Fault.SCALE, 0x28, {"scale_mantissa": -(1 << 20)}),
    (Fault.SCALE, 0x2C, {"scale_exponent": 128}),
    (Fault.SCALE, 0x2C, {"scale_exponent": -129}),
    (Fault.OFFSET, 0x30, {"offset": (1 << 20) + 1}),
    (Fault.OFFSET, 0x30, {"offset": -(1 << 20) - 1}),
    (Fault.RESERVED, 0x34, {"reserved": 1}),
    (Fault.RESERVED, 0xFC, {"tail": (0,) * 5 + (1 << 31,)}),
    (Fault.RESERVED, 0x04, {"listed": 1}),
    (Fault.RESERVED, 0xE0, {"score_address": (1 << 32) + 8}),
    (Fault.RESERVED, 0xE4, {"score_address": 1 << 32}),
    (Fault.ALIGNMENT, 0x38, {"q_address": 0x1001}),
    (Fault.ALIGNMENT, 0x50, {"o_address": 0x1002}),
    (Fault.ALIGNMENT, 0x58, {"lse_address": 0x1004}),
    (Fault.ALIGNMENT, 0x60, {"key_lengths_address": 0x1002}),
    (Fault.ALIGNMENT, 0x70, {"q_strides": (512, 129, 16)}),
    (Fault.ALIGNMENT, 0xC0, {"o_strides": (1 << 20, 1 << 10, 34)}),
    (Fault.ALIGNMENT, 0xC8, {"lse_strides": (1000004, 1 << 10, 8)}),
    (Fault.GROUP, 0x14, {"kv_heads": 4}),
    (Fault.GROUP, 0x14, {"kv_heads": 12}),
    (Fault.GROUP, 0x14, {"kv_heads": 1, "query_heads": 4097}),
    (Fault.DIMENSION, 0x18, {"kv_heads": 1, "query_heads": 257, "queries": 1 << 20}),
    (Fault.OVERFLOW, 0x38, {"q_address": TOP - 2}),
    (Fault.OVERFLOW, 0x38, {"q_address": TOP}),
    (Fault.OVERFLOW, 0x40, {"k_address": 1 << 63}),
    (Fault.OVERFLOW, 0x48, {"v_strides": (1 << 40, 0, 0)}),
    (Fault.OVERFLOW, 0x48, {"v_strides": (0, 0, 1 << 38)}),
    (Fault.OVERFLOW, 0x58, {"lse_address": TOP - 8}),
    (Fault.OVERFLOW, 0x60, {"key_lengths_address": TOP - 4}),
    (Fault.OVERLAP, 0x50, {"o_strides": (0, 160, 32)}),
    (Fault.OVERLAP, 0x50, {"o_strides": (960, 156, 32)}),
    (Fault.OVERLAP, 0x50, {"o_strides": (28, 1000, 8000)}),
    (Fault.OVERLAP, 0x58, {"lse_strides": (240, 40, 0)}),
]

GOOD: list[dict[str, Any]] = [
    {},
    {"batches": 65535, "query_heads": 4096 * 15, "kv_heads": 15, "queries": 1, "keys": 1, "v_strides": (0, 0, 0)},
    {"query_heads": 256, "kv_heads": 1, "queries": 1 << 20},
    {"scale_mantissa": (1 << 20) - 1, "scale_exponent": -128, "offset": -(1 << 20)},
    {"scale_mantissa": 1 - (1 << 20), "scale_exponent": 127, "offset": 1 << 20},
    {"q_strides": (0, 0, 0), "k_strides": (0, 0, 0), "v_strides": (2, 0, 2)},
    {"o_strides": (960, 32, 192), "lse_strides": (8, 16, 96)},
    {"key_lengths_address": TOP - 8},
    {"o_address": TOP - 2 * 6 * 5 * 32},
    # Nobody looks at what is not in use.
    {"write_lse": 0, "lse_address": 1, "lse_strides": (1, 1, 1)},
    {"key_lengths": 0, "key_lengths_address": 1},
    {"batches": 1, "o_strides": (1, 160, 32), "q_strides": ((1 << 64) - 1, 80, 16)},
    {"query_heads": 1, "kv_heads": 1, "o_strides": (160, 0, 32), "k_strides": (112, (1 << 64) - 1, 16)},
    {"queries": 1, "keys": 1, "o_strides": (192, 32, 1), "lse_strides": (8, 16, 3), "v_strides": (0, 2, 5)},
]


def made(changes: dict[str, Any]) -> Descriptor:
    return plain(PARAMS, **{**SHAPE, **changes})


@pytest.mark.parametrize(("fault", "offset", "changes"), BAD)
def test_every_rule_refuses(fault: Fault, offset: int, changes: dict[str, Any]) -> None:
    assert check(made(changes), PARAMS) == Finding(fault, offset)


@pytest.mark.parametrize("changes", GOOD)
def test_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert check(made(changes), PARAMS) is None


@pytest.mark.parametrize(
    ("changes", "fault", "offset"),
    [
        ({"keys": 0, "tail": (1,) * 6, "magic": 0}, Fault.VERSION, 0x00),
        ({"tail": (0, 1) * 3}, Fault.RESERVED, 0xEC),
        ({"lse_strides": (1, 8, 8), "o_address": 1}, Fault.ALIGNMENT, 0x50),
        # Single fields come before what several of them show.
        ({"kv_heads": 4, "tail": (1,) * 6}, Fault.RESERVED, 0xE8),
        ({"kv_heads": 4, "q_address": 1 << 50}, Fault.GROUP, 0x14),
        ({"o_address": TOP, "o_strides": (0, 0, 0), "k_address": TOP}, Fault.OVERFLOW, 0x40),
        ({"o_address": TOP, "o_strides": (0, 0, 0)}, Fault.OVERFLOW, 0x50),
    ],
)
def test_the_first_finding_counts(changes: dict[str, Any], fault: Fault, offset: int) -> None:
    assert check(made(changes), PARAMS) == Finding(fault, offset)


def scored_descriptor(params: Params, **changes: Any) -> Descriptor:
    return plain(params, **{**SHAPE, "score_address": 0x800, **changes})


WITH_SCORE = [
    # Machine, what is changed, what is found.
    ({"words": 5}, {}, None),
    ({"words": 5}, {"score_address": TOP - 84}, Finding(Fault.ALIGNMENT, 0xE0)),
    ({"words": 5}, {"score_address": TOP - 88}, None),
    ({"words": 5}, {"score_address": TOP - 80}, Finding(Fault.OVERFLOW, 0xE0)),
    ({"words": 5}, {"score_address": 1 << 50}, Finding(Fault.OVERFLOW, 0xE0)),
    ({"words": 5}, {"listed": 1}, Finding(Fault.RESERVED, 0x04)),
    ({"words": 5}, {"tail": (1,) * 6}, Finding(Fault.RESERVED, 0xE8)),
    ({"bias": True}, {"score_address": TOP - 64}, None),
    ({"bias": True}, {"score_address": 12}, Finding(Fault.ALIGNMENT, 0xE0)),
    # It knows no more than what is in the descriptor.
    ({}, {}, Finding(Fault.RESERVED, 0xE0)),
    ({"block_list": True}, {"listed": 1}, None),
    ({"block_list": True}, {"listed": 1, "score_address": TOP - 56}, Finding(Fault.OVERFLOW, 0xE0)),
    ({"block_list": True}, {"listed": 1, "reserved_flags": 1}, Finding(Fault.RESERVED, 0x04)),
    ({"block_list": True}, {"score_address": (1 << 64) - 1}, None),
    ({"words": 1, "block_list": True}, {"score_address": (1 << 64) - 1}, Finding(Fault.ALIGNMENT, 0xE0)),
]


@pytest.mark.parametrize(("machine", "changes", "found"), WITH_SCORE)
def test_score_records(machine: dict[str, Any], changes: dict[str, Any], found: Finding | None) -> None:
    params = scored(**machine, address_bits=40)
    assert check(scored_descriptor(params, **changes), params) == found


MACHINES = [(tiny(address_bits=40), 1 << 20), (tiny(address_bits=40, key_bits=5), 32)]
MACHINES += [(scored(sink=True, address_bits=40), (1 << 20) - 1), (scored(sink=True, address_bits=40, key_bits=5), 31)]


@pytest.mark.parametrize(("params", "most"), MACHINES)
def test_keys_are_as_many_as_the_sums_have_room_for(params: Params, most: int) -> None:
    assert check(plain(params, keys=most, k_strides=(0, 0, 0), v_strides=(0, 0, 0)), params) is None
    assert check(plain(params, keys=most + 1), params) == Finding(Fault.DIMENSION, 0x1C)


def starts(strides: tuple[int, ...], counts: tuple[int, ...]) -> list[int]:
    """Where rows begin."""
    return [sum(i * s for i, s in zip(at, strides, strict=True)) for at in product(*(range(n) for n in counts))]


def test_rows_of_accepted_outputs_are_apart() -> None:
    """And those of refused ones are not, if strides are multiples of each other."""
    rng = np.random.default_rng(3)
    outcomes = []
    for _ in range(1500):
        counts = tuple(int(n) for n in rng.integers(1, 4, 3))
        strides = tuple(int(s) for s in 32 << rng.integers(0, 5, 3)) if rng.random() < 0.5 else None
        nested = strides is not None
        strides = strides or tuple(int(s) for s in 4 * rng.integers(0, 60, 3))
        shape = {"batches": counts[0], "query_heads": counts[1], "kv_heads": 1, "queries": counts[2]}
        found = check(plain(PARAMS, **shape, o_strides=strides), PARAMS)
        rows = [set(range(start, start + 32)) for start in starts(strides, counts)]
        apart = len(set().union(*rows)) == 32 * len(rows)
        assert found in (None, Finding(Fault.OVERLAP, 0x50))
        assert apart if found is None else not nested or not apart, (counts, strides)
        outcomes.append((found is None, nested))
    assert len(set(outcomes)) == 4


@pytest.mark.parametrize(
    "params", [tiny(), tiny(address_bits=32), PARAMS, tiny(address_bits=17)], ids=["64", "32", "40", "17"]
)
def test_random_good_descriptors_are_good(params: Params) -> None:
    """They reach the end of the address space, one element further is too far."""
    descriptors = RandomDescriptors(4, params)
    full = 0
    for _ in range(150):
        values = descriptors.good()
        assert check(values, params) is None
        for tensor in tensors(values, params):
            further = dataclasses.replace(values, **{f"{tensor.name}_address": tensor.address + tensor.element})
            found = check(further, params)
            assert found is None or found.fault == Fault.OVERFLOW
            full += found is not None
    assert full > 50
