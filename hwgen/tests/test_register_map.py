"""The description of the registers: nothing overlaps, everything is named and explained, values tell the truth."""

from __future__ import annotations

import pytest

from golden.formats import FORMATS
from hwgen.config import Config
from hwgen.control.causes import Cause
from hwgen.control.counters import COUNTER_BITS, counters_layout
from hwgen.control.descriptor import FORMAT_CODES, MAGIC
from hwgen.control.faults import Fault
from hwgen.control.register_map import (
    ACCELERATOR_COUNTERS,
    ADDRESS_BITS,
    COUNTERS_BASE,
    Access,
    Register,
    counter_meanings,
    counter_names,
    meanings,
    register_map,
    words,
)
from hwgen.params import Params
from hwgen.presets import PRESETS, preset
from hwgen.tests.bench import tiny

NARROW = tiny(address_bits=40, bus_bits=64, in_format="fp16", out_format="fp32")
CORES = [pytest.param(NARROW, id="narrow")] + [pytest.param(Params(preset(name)), id=name) for name in PRESETS]


def named(params: Params) -> dict[str, Register]:
    return {register.name: register for register in register_map(params)}


@pytest.mark.parametrize("params", CORES)
def test_no_two_things_share_bits(params: Params) -> None:
    registers = register_map(params)
    numbers = [number for number, _, _ in words(registers)]
    assert numbers == sorted(set(numbers)) and numbers[0] >= 0 and numbers[-1] < 1 << (ADDRESS_BITS - 2)
    for register in registers:
        assert register.address % (4 * register.words) == 0, register.name
        masks = [field.mask for field in register.fields]
        assert masks and max(masks) < 1 << register.width, register.name
        assert all(a & b == 0 for i, a in enumerate(masks) for b in masks[:i]), register.name
        assert all(0 <= field.reset < 1 << field.width for field in register.fields), register.name


@pytest.mark.parametrize("params", CORES)
def test_names_make_distinct_identifiers(params: Params) -> None:
    registers = register_map(params)
    names = [f"{register.name}_{field.name.upper()}" for register in registers for field in register.fields]
    assert len({*names, *(register.name for register in registers)}) == len(names) + len(registers)
    assert all(name.isidentifier() and name.isupper() for name in names)
    assert all(field.name.islower() and field.doc for register in registers for field in register.fields)


def test_bits_with_an_effect_lie_in_the_first_word() -> None:
    effects = {Access.WRITE_SET, Access.WRITE_CLEAR, Access.READ_CLEAR, Access.PULSE}
    found = [field for r in register_map(NARROW) for field in r.fields if field.access in effects]
    assert len(found) == 8 and all(field.width == 1 and field.lsb < 32 and not field.reset for field in found)


def test_parts_of_a_field_cover_it_once() -> None:
    seen = []
    for register in register_map(NARROW):
        for field in register.fields:
            parts = [field.part(word) for word in range(register.words)]
            bits = [bit for part in parts if part for bit in range(part[0].start, part[0].stop)]
            assert bits == list(range(field.width)), (register.name, field.name)
            for word, part in enumerate(parts):
                assert part is None or 0 <= part[1].start < part[1].stop <= 32
                assert part is None or 32 * word + part[1].start == field.lsb + part[0].start
            seen.append(sum(part is not None for part in parts))
    assert {1, 2} == set(seen)


def test_addresses_are_those_of_the_contract() -> None:
    contract = {"CONTROL": 0x00, "GLOBAL_INTERRUPT_ENABLE": 0x04, "INTERRUPT_ENABLE": 0x08, "INTERRUPT_STATUS": 0x0C}
    contract |= {"QUEUE_BASE": 0x10, "QUEUE_SIZE": 0x18, "QUEUE_TAIL": 0x1C, "QUEUE_HEAD": 0x20, "STATUS": 0x24}
    contract |= {"ERROR_CODE": 0x28, "ERROR_INDEX": 0x2C, "ERROR_ADDRESS": 0x30, "ERROR_COUNT": 0x38, "MAGIC": 0x40}
    registers = named(NARROW)
    assert {name: registers[name].address for name in contract} == contract
    control = [field.name for field in registers["CONTROL"].fields]
    assert control == ["start", "done", "idle", "ready", "abort", "soft_reset", "clear_counters", "auto_restart"]
    assert [field.lsb for field in registers["CONTROL"].fields] == list(range(8))


def test_identification_follows_the_configuration() -> None:
    config, registers = NARROW.config, named(NARROW)
    fields = [field for register in registers.values() for field in register.fields]
    told = {field.name: field.reset for field in fields if field.access is Access.CONFIGURED}
    for name in ("rows_e", "rows_f", "cols", "slots", "out_beat", "head_e", "head_f", "bus_bits", "address_bits"):
        assert told[name] == getattr(config, name)
    assert f"{told['hash']:016x}" == config.hash()
    assert told["lanes"] == NARROW.lanes
    assert (told["in_format"], told["out_format"]) == (FORMAT_CODES["fp16"], FORMAT_CODES["fp32"])
    assert (told["weight_bits"], told["scale_bits"]) == (config.weight_bits, config.scale_bits)
    assert (told["version"], told["total"]) == (MAGIC & 0xFF, len(counter_names()))
    assert named(tiny())["CONFIG_HASH"].reset != registers["CONFIG_HASH"].reset
    assert registers["QUEUE_BASE"].fields[0].mask == (1 << 40) - 256


def test_every_format_has_a_code() -> None:
    for name in FORMATS:
        code = named(Params(Config(out_format=name)))["FORMATS"].fields[1].reset
        assert code == FORMAT_CODES[name]


def test_all_counters_have_a_register_and_a_meaning() -> None:
    names = counter_names()
    core = tuple(counters_layout().members)
    assert names == (*core, *ACCELERATOR_COUNTERS) and len(set(names)) == len(names)
    assert all(counter_meanings()[name] for name in names)
    registers = [register for register in register_map(NARROW) if register.address >= COUNTERS_BASE]
    assert [(r.name, r.address) for r in registers] == [
        (f"COUNTER_{name.upper()}", COUNTERS_BASE + 8 * i) for i, name in enumerate(names)
    ]
    assert all(r.words == 2 and r.fields[0].width == COUNTER_BITS for r in registers)


@pytest.mark.parametrize(("enum", "silent"), [(Cause, set()), (Fault, {"NONE"})], ids=["causes", "faults"])
def test_every_member_is_explained(enum: type, silent: set[str]) -> None:
    assert set(meanings(enum)) == {member.name for member in enum} - silent
    assert all(text and not text.endswith(":") for text in meanings(enum).values())


def test_a_meaning_may_go_on_in_the_next_line() -> None:
    class Kind(Fault.__base__):  # type: ignore[misc, name-defined]
        """What there is.

        ONE: a text
             of two lines
        TWO: another

        And something else.
        """

    assert meanings(Kind) == {"ONE": "a text of two lines", "TWO": "another"}
