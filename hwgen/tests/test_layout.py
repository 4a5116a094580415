"""Tensors in memory: where they lie, what lies around them, and what is found there afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from golden import bitexact
from golden.formats import CodeArray, encode
from hwgen.control.descriptor import DESCRIPTOR_BYTES, pack, unpack
from hwgen.errors import InputError, SimulationError
from hwgen.memory.lse_record import LSE_RECORD
from hwgen.params import Params
from hwgen.sim.layout import ALIGNMENT, GUARD, Arrangement, Image, Placed, arrangements, default_base
from hwgen.tests.bench import tiny
from hwgen.tests.scores import scored

B, HQ, HKV, L, S, E, F = 2, 4, 2, 5, 7, 8, 6


def problem(params: Params, seed: int = 3) -> tuple[CodeArray, CodeArray, CodeArray]:
    rng = np.random.default_rng(seed)
    shapes = ((B, HQ, L, E), (B, HKV, S, E), (B, HKV, S, F))
    q, k, v = (encode(rng.standard_normal(shape), params.input) for shape in shapes)
    return q, k, v


def image_of(params: Params, **options: Any) -> tuple[Image, Placed]:
    image = Image(params)
    return image, image.add(*problem(params), scale=params.numerics.encode_scale(0.5), **options)


Index = tuple[int, ...]


def element(memory: np.ndarray, start: int, index: Index, strides: Index, size: int) -> int:
    """One number of a tensor that begins at byte `start`."""
    at = start + sum(i * stride for i, stride in zip(index, (*strides, size), strict=True))
    return int.from_bytes(memory[at : at + size].tobytes(), "little")


@pytest.mark.parametrize("in_format", ["bf16", "fp32"])
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_every_element_lies_where_the_descriptor_says(seed: int | None, in_format: str) -> None:
    params = tiny(in_format=in_format)
    image, placed = image_of(params, arrange=None if seed is None else arrangements(seed))
    memory, d = image.content(), placed.descriptor
    size = params.input.bits // 8
    checked = 0
    for name, codes in zip("qkv", problem(params), strict=True):
        address, strides = getattr(d, f"{name}_address"), getattr(d, f"{name}_strides")
        assert address % size == 0 and all(stride % size == 0 for stride in strides)
        for index in np.ndindex(codes.shape):
            assert element(memory, address - image.base, index, strides, size) == codes[index]
            checked += 1
    assert checked == B * HQ * L * E + B * HKV * S * (E + F)


def test_packed_rows_by_default() -> None:
    params = tiny(out_format="fp32")
    _, placed = image_of(params)
    d = placed.descriptor
    assert d.q_strides == (HQ * L * E * 2, L * E * 2, E * 2)
    assert d.o_strides == (HQ * L * F * 4, L * F * 4, F * 4)
    assert d.lse_strides == (HQ * L * 8, L * 8, 8)
    for name in ("q", "k", "v", "o", "lse"):
        assert getattr(d, f"{name}_address") % ALIGNMENT == 0
    assert d.q_address >= default_base(params) + GUARD


def test_an_arrangement_says_all() -> None:
    how = Arrangement(order="blh", gaps=(1, 10, 100), shift=3)
    strides, extent = how.strides((2, 3, 4), row_bytes=20, element=2)
    # Heads are innermost, then rows, then batches; each has its gap behind it.
    head = 20 + 2
    row = 3 * head + 20
    batch = 4 * row + 200
    assert strides == (batch, head, row)
    assert extent == batch + 3 * row + 2 * head + 20


def test_shared_dimensions() -> None:
    params = tiny()
    q, k, v = problem(params)
    k[1], v[:, 1] = k[0], v[:, 0]
    image = Image(params)
    scale = params.numerics.encode_scale(1.0)
    shared = {"k": Arrangement(shared="b"), "v": Arrangement(shared="h")}
    placed = image.add(q, k, v, scale=scale, arrange=shared)
    assert placed.descriptor.k_strides[0] == 0 and placed.descriptor.v_strides[1] == 0
    assert placed.descriptor.v_strides[0] == S * F * 2
    start = placed.descriptor.k_address - image.base
    for index in ((1, 1, 6, 7), (0, 1, 6, 7)):
        assert element(image.content(), start, index, placed.descriptor.k_strides, 2) == k[index]
    with pytest.raises(InputError, match="dimension b has entries that differ and cannot be shared"):
        image.add(q, k, v, scale=scale, arrange={"q": Arrangement(shared="b")})


WORDS = [7, -3, 100]


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("shape", [(B, HQ, L, S), (1, HQ, L, S), (B, 1, 1, S), (HQ, L, 1), (1, 1, 1, 1), (L, S)])
def test_every_bias_lies_where_the_score_record_says(shape: tuple[int, ...], seed: int | None) -> None:
    params = scored(3, bias=True, in_format="fp32")
    bias = np.arange(1, 1 + np.prod(shape), dtype=params.input.dtype).reshape(shape)
    image = Image(params)
    how = None if seed is None else arrangements(seed)
    masks: dict[str, Any] = {"words": WORDS, "bias": bias, "arrange": how}
    placed = image.add(*problem(params), scale=params.numerics.encode_scale(0.5), **masks)
    memory, at, group = image.content(), placed.descriptor.score_address - image.base, HQ // HKV
    assert at % 8 == 0
    address, *strides = memory[at : at + 32].view("<u8").tolist()
    assert not memory[at + 32 : at + 64].any()
    assert memory[at + 64 : at + 76].view("<i4").tolist() == WORDS
    assert placed.descriptor.listed == 0
    full = np.broadcast_to(bias, (B, HQ, L, S))
    for b, h, i, j in np.ndindex(full.shape):
        place = (b, h // group, j, i * group + h % group)
        assert element(memory, address - image.base, place, tuple(strides), 4) == full[b, h, i, j]
    small = (1,) * (4 - len(shape)) + shape
    # What is the same for all lies there once.
    assert [s == 0 for s in strides] == [small[axis] == 1 for axis in (0, 1, 3)]


def test_segments() -> None:
    params = tiny(block_list=True)
    raw = bytes(range(96))
    image, placed = image_of(params, segments=raw, arrange=arrangements(1))
    memory, at = image.content(), placed.descriptor.score_address - image.base
    assert placed.descriptor.listed == 1
    assert not memory[at : at + 32].any()
    place, count = memory[at + 32 : at + 48].view("<u8").tolist()
    assert (place % 8, count) == (0, 3)
    assert memory[place - image.base :][:96].tobytes() == raw
    assert image_of(params)[1].descriptor.score_address == 0
    assert image_of(params)[1].descriptor.listed == 0


@pytest.mark.parametrize(
    ("params", "options", "text"),
    [
        (tiny(), {"words": [1]}, "the score program needs 0 argument words, not 1"),
        (scored(2), {}, "the score program needs 2 argument words, not 0"),
        (scored(2), {"words": [1, 2], "bias": np.zeros((1, 1), np.uint16)}, "the machine takes no bias"),
        (scored(bias=True), {}, "the score program needs a bias"),
        (scored(bias=True), {"bias": np.zeros((B, HKV, L, S), np.uint16)}, r"\(2, 2, 5, 7\) does not broadcast to"),
        (scored(bias=True), {"bias": np.zeros((1,) * 5, np.uint16)}, "does not broadcast to"),
        (scored(), {"segments": bytes(32)}, "the machine takes no list of segments"),
    ],
)
def test_what_a_score_program_needs(params: Params, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        image_of(params, **options)


def test_the_descriptor_says_the_rest() -> None:
    params = tiny(in_format="fp16", out_format="fp32")
    lengths = np.array([3, 7])
    image, placed = image_of(params, causal=True, offset=-2, key_lengths=lengths)
    d = unpack(pack(placed.descriptor))
    assert (d.batches, d.query_heads, d.kv_heads, d.queries, d.keys, d.head_e, d.head_f) == (B, HQ, HKV, L, S, E, F)
    assert (d.causal, d.offset, d.write_lse, d.key_lengths, d.in_format, d.out_format) == (1, -2, 1, 1, 1, 2)
    assert (d.scale_mantissa, d.scale_exponent) == tuple(vars(params.numerics.encode_scale(0.5)).values())
    at = d.key_lengths_address - image.base
    assert d.key_lengths_address % 4 == 0
    assert image.content()[at : at + 8].view("<u4").tolist() == [3, 7]
    _, placed = image_of(params, lse=False)
    assert (placed.descriptor.write_lse, placed.descriptor.lse_address, placed.lse) == (0, 0, None)
    assert (placed.descriptor.key_lengths, placed.descriptor.causal) == (0, 0)


def test_the_ring_is_behind_everything() -> None:
    params = tiny()
    image, placed = image_of(params)
    other = image.add(*problem(params, 4), scale=params.numerics.encode_scale(1.0))
    raw = [pack(placed.descriptor), pack(other.descriptor)]
    content, ring = image.with_ring(raw)
    assert ring % DESCRIPTOR_BYTES == 0
    at = ring - image.base
    assert content[at:].tobytes() == b"".join(raw)
    np.testing.assert_array_equal(content[: len(image.content())], image.content())
    assert len(image.content()) <= at


def test_the_base() -> None:
    assert default_base(tiny(address_bits=32)) == 0x80000000 + 0x5A5000
    assert default_base(tiny(address_bits=64)) >> 63 == 1
    assert Image(tiny(), base=0).base == 0
    with pytest.raises(InputError, match="the memory must begin at a multiple of 4096, not at 0x1001"):
        Image(tiny(), base=0x1001)


@pytest.mark.parametrize("seed", [None, 3, 4])
@pytest.mark.parametrize("out_format", ["bf16", "fp32"])
def test_outputs_are_read_from_where_they_were_written(out_format: str, seed: int | None) -> None:
    params = tiny(out_format=out_format)
    q, k, v = problem(params)
    k[0, 0, 0, 0] = params.input.quiet_nan
    image = Image(params)
    lengths = np.array([0, S])
    how = None if seed is None else arrangements(seed)
    placed = image.add(q, k, v, scale=params.numerics.encode_scale(0.5), key_lengths=lengths, arrange=how)
    want = bitexact.attention(q, k, v, params.numerics, scale=0.5, key_lengths=lengths)
    # -5 in 14 bits.
    want.rm[1, 0, 0] = -5
    want.poisoned[1, 2, 1] = True
    memory = image.content()
    write(memory, image, placed, want)
    image.require_untouched(memory)
    got = placed.outputs(memory)
    for name in ("out", "rm", "rd", "empty", "poisoned"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
    assert got.out.dtype == params.output.dtype
    np.testing.assert_array_equal(got.natural_lse(params.numerics), want.lse(params.numerics))


def write(memory: np.ndarray, image: Image, placed: Placed, want: bitexact.Result) -> None:
    """Byte by byte, as the descriptor says."""
    d = placed.descriptor
    size = want.out.dtype.itemsize
    for index in np.ndindex(want.out.shape):
        at = d.o_address - image.base + sum(i * s for i, s in zip(index, (*d.o_strides, size), strict=True))
        memory[at : at + size] = list(int(want.out[index]).to_bytes(size, "little"))
    for index in np.ndindex(want.rm.shape):
        record, low = 0, 0
        for name, width in LSE_RECORD.items():
            record |= (int(getattr(want, name)[index]) & (1 << width) - 1) << low
            low += width
        at = d.lse_address - image.base + sum(i * s for i, s in zip(index, d.lse_strides, strict=True))
        memory[at : at + 8] = list(record.to_bytes(8, "little"))


@pytest.mark.parametrize("seed", [None, 5, 6])
def test_a_byte_that_changed_is_noticed(seed: int | None) -> None:
    params = tiny()
    image, placed = image_of(params, arrange=None if seed is None else arrangements(seed))
    memory = image.content()
    mine = np.zeros(len(memory), dtype=bool)
    for piece in (placed.o, placed.lse):
        assert piece is not None
        for index in np.ndindex(*piece.shape):
            at = piece.address - image.base + sum(i * s for i, s in zip(index, piece.strides, strict=True))
            mine[at : at + piece.row_bytes] = True
    # Around every edge, and here and there.
    edges = np.flatnonzero(np.diff(mine))
    places = {int(at) + near for at in edges for near in (0, 1)} | set(range(0, len(memory), 97)) | {len(memory) - 1}
    for at in places:
        changed = memory.copy()
        changed[at] ^= 0x10
        if mine[at]:
            image.require_untouched(changed)
        else:
            text = f"1 bytes outside of O and LSE have changed, the first at {image.base + at:#x}"
            with pytest.raises(SimulationError, match=text):
                image.require_untouched(changed)
    assert 0 < mine[list(places)].sum() < len(places)


def test_the_surroundings_are_random_and_repeatable() -> None:
    image, _ = image_of(tiny())
    np.testing.assert_array_equal(image.content(), image.content())
    guard = image.content()[:GUARD]
    assert len(set(guard.tolist())) > 64
    image.seed = 2
    assert (image.content()[:GUARD] != guard).any()


def test_bad_arrangements() -> None:
    for order in ("bh", "bhh", "lhbx"):
        with pytest.raises(InputError, match=f"order must have each of b, h and l once, not '{order}'"):
            Arrangement(order=order)
    with pytest.raises(InputError, match="gaps and shift must not be negative"):
        Arrangement(gaps=(0, -1, 0))
    with pytest.raises(InputError, match="gaps and shift must not be negative"):
        Arrangement(shift=-1)


def test_orders_differ() -> None:
    found = {how.order for seed in range(8) for how in arrangements(seed).values()}
    assert len(found) == 6
    assert arrangements(1) == arrangements(1) != arrangements(2)
