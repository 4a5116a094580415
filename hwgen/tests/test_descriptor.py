"""The descriptor's layout against one laid out by hand, in Python and in C."""

import dataclasses
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.control.descriptor import DESCRIPTOR_BYTES, PLACES, Descriptor, c_struct, markdown, pack, unpack
from hwgen.errors import InputError
from hwgen.tests.bench import tiny
from hwgen.tests.descriptors import RandomDescriptors, plain

VALUES = Descriptor(
    causal=1,
    key_lengths=1,
    listed=1,
    in_format=1,
    out_format=2,
    batches=2,
    query_heads=12,
    kv_heads=4,
    queries=1000,
    keys=77,
    head_e=64,
    head_f=48,
    scale_mantissa=-756384,
    scale_exponent=-22,
    offset=-33,
    q_address=0x1122334455667788,
    k_address=0x2000,
    v_address=0x3000,
    o_address=0x4000,
    lse_address=0x5000,
    key_lengths_address=0xFFFFFFFFFFFFFFFC,
    q_strides=(1 << 40, 2, 3),
    k_strides=(4, 5, 6),
    v_strides=(7, 8, 9),
    o_strides=(10, 11, 12),
    lse_strides=(13, 14, 15),
    score_address=0x0123456789ABCDE8,
)

BYTES = (
    struct.pack("<13I", 0x48574101, 0b1101, 0x201, 2, 12, 4, 1000, 77, 64, 48, 2**32 - 756384, 2**32 - 22, 2**32 - 33)
    + struct.pack("<I6Q", 0, 0x1122334455667788, 0x2000, 0x3000, 0x4000, 0x5000, 0xFFFFFFFFFFFFFFFC)
    + struct.pack("<15Q", 1 << 40, *range(2, 16))
    + struct.pack("<Q", 0x0123456789ABCDE8)
    + bytes(24)
)


def test_bytes_by_hand() -> None:
    assert len(BYTES) == DESCRIPTOR_BYTES
    assert pack(VALUES) == BYTES
    assert unpack(BYTES) == VALUES


def test_every_bit_belongs_to_one_field() -> None:
    owners = np.zeros(8 * DESCRIPTOR_BYTES, int)
    for place in PLACES.values():
        start = 8 * place.offset + place.low
        assert start % 64 == 0 or place.bits < 64
        owners[start : start + place.bits * place.count] += 1
    assert (owners == 1).all()


def test_whatever_fits_its_field_is_written_and_read_back() -> None:
    rng = np.random.default_rng(1)
    noise = [rng.bytes(DESCRIPTOR_BYTES) for _ in range(20)]
    assert [pack(unpack(raw)) for raw in noise] == noise
    descriptors = RandomDescriptors(2, tiny())
    for _ in range(20):
        values = descriptors.spoil(descriptors.good())
        assert unpack(pack(values)) == values


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"batches": 1 << 32}, r"batches must lie in 0 .. 4294967295, not 4294967296"),
        ({"queries": -1}, r"queries must lie in 0 .. 4294967295, not -1"),
        ({"causal": 2}, r"causal must lie in 0 .. 1, not 2"),
        ({"in_format": 256}, r"in_format must lie in 0 .. 255, not 256"),
        ({"offset": 1 << 31}, r"offset must lie in -2147483648 .. 2147483647, not 2147483648"),
        ({"o_address": 1 << 64}, r"o_address must lie in 0 .. 18446744073709551615, not 18446744073709551616"),
        ({"k_strides": (1, 2, -2)}, r"k_strides\[2\] must lie in 0 .. 18446744073709551615, not -2"),
        ({"k_strides": (1, 2)}, r"k_strides needs 3 values, not 2"),
        ({"tail": (0,) * 7}, r"tail needs 6 values, not 7"),
    ],
)
def test_what_cannot_be_written(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        pack(dataclasses.replace(VALUES, **changes))


def test_numbers_of_other_types() -> None:
    values = dataclasses.replace(VALUES, causal=True, batches=np.int64(2), q_strides=np.array([1 << 40, 2, 3]))
    assert pack(values) == BYTES
    with pytest.raises(TypeError):
        pack(dataclasses.replace(VALUES, batches=2.0))


def test_too_few_bytes() -> None:
    with pytest.raises(InputError, match="a descriptor has 256 bytes, not 255"):
        unpack(BYTES[1:])


PROGRAM = """\
{struct}
#include <stdio.h>
int main() {{
    hwgen_descriptor d = {{}};
    d.magic = HWGEN_DESCRIPTOR_MAGIC;
    d.flags = HWGEN_DESCRIPTOR_CAUSAL(1) | HWGEN_DESCRIPTOR_WRITE_LSE(0) | HWGEN_DESCRIPTOR_KEY_LENGTHS(1)
        | HWGEN_DESCRIPTOR_LISTED(1);
    d.formats = HWGEN_DESCRIPTOR_IN_FORMAT(HWGEN_FORMAT_FP16) | HWGEN_DESCRIPTOR_OUT_FORMAT(HWGEN_FORMAT_FP32);
{fields}
    return fwrite(&d, 1, sizeof d, stdout) != sizeof d;
}}
"""


def test_c_writes_the_same_bytes(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    assert compiler, "g++ is needed; `hwgen doctor` says how to get it"
    fields = []
    for name, place in PLACES.items():
        value = getattr(VALUES, name)
        if place.count > 1:
            fields += [f"    d.{name}[{i}] = {item}u;" for i, item in enumerate(value)]
        elif not place.word:
            fields.append(f"    d.{name} = {value}{'' if place.signed else 'u'};")
    source, program = tmp_path / "write.cpp", tmp_path / "write"
    source.write_text(PROGRAM.format(struct=c_struct(), fields="\n".join(fields)))
    subprocess.run([compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", source, "-o", program], check=True)
    assert subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout == BYTES


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "descriptor.md"
    command = "python -c 'from hwgen.control.descriptor import markdown; print(markdown(), end=str())'"
    assert page.read_text() == markdown(), f"make it again: {command} > docs/descriptor.md"


def test_plain_descriptors_are_packed() -> None:
    values = plain(tiny(), batches=2, query_heads=6, kv_heads=3, queries=5, keys=7)
    assert values.q_strides == (6 * 5 * 16, 5 * 16, 16)
    assert values.k_strides == (3 * 7 * 16, 7 * 16, 16)
    assert values.lse_strides == (6 * 5 * 8, 5 * 8, 8)
