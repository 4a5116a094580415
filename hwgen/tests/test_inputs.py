"""Tensors in files: what is read, how it is rounded, and what is refused."""

from __future__ import annotations

import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from golden.formats import BF16, FP16, FP32, CodeArray, encode
from hwgen.errors import InputError
from hwgen.inputs import make_problem, random_tensors, read_tensors, to_codes
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.run import head_dimensions
from hwgen.tests.fakes import TINY, random_problem

SHAPES = {"q": (2, 4, 5, 8), "k": (2, 2, 7, 8), "v": (2, 2, 7, 8)}


def tensors(dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(5)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


def bf16() -> dict[str, CodeArray]:
    return {name: encode(array, BF16) for name, array in tensors().items()}


def saved(folder: Path, arrays: dict[str, NDArray[Any]]) -> Path:
    path = folder / "in.npz"
    np.savez(path, allow_pickle=True, **arrays)
    return path


@pytest.mark.parametrize(
    ("dtype", "in_format", "said"),
    [
        (np.float32, "bf16", "fp32 rounded to bf16"),
        (np.float16, "bf16", "fp16 rounded to bf16"),
        (np.float16, "fp16", "fp16 as stored"),
        (np.float16, "fp32", "fp16 widened to fp32"),
        (np.float32, "fp32", "fp32 as stored"),
        (">f4", "bf16", "fp32 rounded to bf16"),
    ],
)
def test_ieee_types(tmp_path: Path, dtype: Any, in_format: str, said: str) -> None:
    params = Params(preset("tiny").replace({"in_format": in_format}))
    arrays = tensors(dtype)
    codes, source = read_tensors(saved(tmp_path, arrays), params)
    assert source == f"in.npz: {said}"
    for name, array in arrays.items():
        np.testing.assert_array_equal(codes[name], encode(array.astype(np.float64), params.input))


def test_bfloat16_of_ml_dtypes(tmp_path: Path) -> None:
    arrays = tensors(ml_dtypes.bfloat16)
    path = saved(tmp_path, arrays)
    codes, source = read_tensors(path, TINY)
    assert source == "in.npz: bf16 as stored"
    for name, array in arrays.items():
        np.testing.assert_array_equal(codes[name], array.view(np.uint16))
    wide, source = read_tensors(path, Params(preset("tiny").replace({"in_format": "fp32"})))
    assert source == "in.npz: bf16 widened to fp32"
    np.testing.assert_array_equal(wide["q"].view(np.float32), arrays["q"].astype(np.float32))


def test_types_may_differ(tmp_path: Path) -> None:
    arrays = tensors(np.float16) | {"k": tensors()["k"]}
    assert read_tensors(saved(tmp_path, arrays), TINY)[1] == "in.npz: fp16 and fp32 rounded to bf16"


def test_rounding_keeps_what_is_not_a_number() -> None:
    array = np.array([np.nan, np.inf, -np.inf, 1e-40], dtype=np.float32)
    assert to_codes(array, FP32, BF16).tolist() == [0x7FC0, 0x7F80, 0xFF80, 0x0001]
    assert to_codes(array[1:], FP32, FP16).tolist() == [0x7C00, 0xFC00, 0x0000]


def test_heads_of_a_group_share_keys(tmp_path: Path) -> None:
    codes, source = read_tensors(saved(tmp_path, tensors()), TINY)
    problem = make_problem(codes, source, TINY)
    jobs = problem.jobs(TINY)
    assert len(jobs) == 8
    for i, job in enumerate(jobs):
        b, h = divmod(i, 4)
        np.testing.assert_array_equal(job.q, codes["q"][b, h])
        np.testing.assert_array_equal(job.k, codes["k"][b, h // 2])
        np.testing.assert_array_equal(job.v, codes["v"][b, h // 2])
    # The same object: the simulated memory keeps one copy.
    assert jobs[0].k is jobs[1].k and jobs[0].v is jobs[1].v
    assert jobs[1].k is not jobs[2].k


def test_masks_reach_every_job() -> None:
    problem = random_problem(scale=0.25, causal=True, offset=-2, key_length=4)
    for head in problem.jobs(TINY):
        assert (head.job.causal, head.job.offset, head.job.keys) == (True, -2, 4)
        assert head.job.scale == TINY.numerics.encode_scale(0.25)
    assert random_problem().scale == 1 / math.sqrt(8)


def test_random_data_depend_on_the_seed_only() -> None:
    first, again, other = (random_tensors((1, 2, 3, 4), seed, TINY) for seed in (1, 1, 2))
    assert {name: codes.shape for name, codes in first.items()} == {
        "q": (1, 2, 3, 8),
        "k": (1, 2, 4, 8),
        "v": (1, 2, 4, 8),
    }
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != other[name]).any()


def test_random_data_of_other_heads_than_the_preset() -> None:
    codes = random_tensors((2, 6, 3, 4), 1, TINY, kv_heads=2, head=(5, 3))
    shapes = {"q": (2, 6, 3, 5), "k": (2, 2, 4, 5), "v": (2, 2, 4, 3)}
    assert {name: array.shape for name, array in codes.items()} == shapes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": np.zeros((5, 8), np.float32)}, "q must have 4 dimensions"),
        ({"q": np.zeros((2, 4, 5, 9), np.float32)}, "q and k must have the same head dimension"),
        (
            {"v": np.zeros((2, 2, 7, 9), np.float32)},
            "v must have a head dimension of at most 8 (the core's head_f), not 9",
        ),
        ({"v": np.zeros((2, 2, 7, 0), np.float32)}, "v must have at least one head and one element a row"),
        ({"v": np.zeros((2, 2, 6, 8), np.float32)}, "k and v must agree"),
        ({"q": np.zeros((2, 3, 5, 8), np.float32)}, "query heads must be a multiple"),
        ({"q": np.zeros((3, 4, 5, 8), np.float32)}, "same batch size"),
        ({"q": np.zeros((2, 4, 0, 8), np.float32)}, "at least one query"),
        ({"q": np.zeros((2, 4, 5, 8))}, "q must be float16, float32 or bfloat16, not float64"),
        ({"k": np.zeros((2, 2, 7, 8), np.int32)}, "k must be float16, float32 or bfloat16, not int32"),
        ({"k": np.zeros((2, 2, 7, 8), "V4")}, "k must be float16, float32 or bfloat16, not |V4"),
        (
            {"q": np.zeros((2, 4, 5, 12), np.float32), "k": np.zeros((2, 2, 7, 12), np.float32)},
            "q and k must have a head dimension of at most 8 (the core's head_e), not 12",
        ),
    ],
)
def test_refused_arrays(tmp_path: Path, change: dict[str, NDArray[Any]], message: str) -> None:
    path = saved(tmp_path, tensors() | change)
    with pytest.raises(InputError) as caught:
        make_problem(*read_tensors(path, TINY), TINY)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("head_e", "head_f"), [(1, 8), (5, 3), (8, 1)])
def test_heads_may_be_smaller_than_the_core(head_e: int, head_f: int) -> None:
    codes = {
        name: array[..., :size] for (name, array), size in zip(bf16().items(), (head_e, head_e, head_f), strict=True)
    }
    problem = make_problem(codes, "", TINY)
    assert (problem.shape.E, problem.shape.F, problem.scale) == (head_e, head_f, 1 / math.sqrt(head_e))
    assert head_dimensions(problem.jobs(TINY)) == (head_e, head_f)


def test_missing_array(tmp_path: Path) -> None:
    arrays = tensors()
    arrays["value"] = arrays.pop("v")
    path = saved(tmp_path, arrays)
    with pytest.raises(InputError) as caught:
        read_tensors(path, TINY)
    assert str(caught.value) == f"{path}: no array called v; there is k, q, value"


def test_array_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    path = saved(tmp_path, tensors() | {"q": np.array([[1], [2, 3]], dtype=object)})
    with pytest.raises(InputError, match="not a readable npz file: Object arrays cannot be loaded"):
        read_tensors(path, TINY)


def test_unreadable_files(tmp_path: Path) -> None:
    good = saved(tmp_path, tensors()).read_bytes()
    contents = {
        "empty": b"",
        "text": b"q = 1\n",
        "pickle": pickle.dumps({"q": [1.0]}),
        "half": good[: len(good) // 2],
        "spoilt": good[:400] + bytes([good[400] ^ 255]) + good[401:],
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a readable npz file") as caught:
            read_tensors(path, TINY)
        assert "\n" not in str(caught.value), name


def test_no_file_a_folder_and_one_bare_array(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing.npz: no such file"):
        read_tensors(tmp_path / "nothing.npz", TINY)
    with pytest.raises(InputError, match="not a readable npz file: Is a directory"):
        read_tensors(tmp_path, TINY)
    np.save(tmp_path / "bare.npy", np.zeros(3))
    with pytest.raises(InputError, match="one bare array; expected an npz file with arrays q, k, v"):
        read_tensors(tmp_path / "bare.npy", TINY)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as file:
        file.writestr("notes.txt", "hello")
    with pytest.raises(InputError, match="no array called q or k or v; there is notes.txt"):
        read_tensors(tmp_path / "other.npz", TINY)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"key_length": 10}, "key length must lie in 0 .. 9"),
        ({"key_length": -1}, "key length must lie in 0 .. 9"),
        ({"offset": 1 << 21}, "causal offset must lie in"),
        ({"scale": float("nan")}, "scale must be finite"),
        ({"scale": 2.0**200}, "scale must have a magnitude"),
    ],
)
def test_refused_masks(masks: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        random_problem(**masks).jobs(TINY)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((65536, 1, 1, 1, 1), "there can be up to 65535 batch entries, not 65536"),
        ((1, 65536, 65536, 1, 1), "there can be up to 65535 query heads, not 65536"),
        ((1, 4097, 1, 1, 1), "there can be up to 4096 query heads for a key/value head, not 4097"),
        ((1, 1, 1, (1 << 20) + 1, 1), "there can be up to 1048576 queries, not 1048577"),
        ((1, 257, 1, 1 << 20, 1), "there can be up to 268435456 queries for a key/value head, not 269484032"),
        ((1, 1, 1, 1, (1 << 20) + 1), "there can be up to 1048576 keys, not 1048577"),
    ],
)
def test_more_than_a_descriptor_can_say(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_problem(endless(*sizes), "", TINY)


@pytest.mark.parametrize(
    "sizes", [(65535, 65535, 65535, 1, 1), (1, 4096, 1, 1 << 16, 1), (1, 256, 1, 1 << 20, 1 << 20)]
)
def test_as_much_as_a_descriptor_can_say(sizes: tuple[int, ...]) -> None:
    assert make_problem(endless(*sizes), "", TINY).shape[:5] == sizes


def endless(b: int, hq: int, hkv: int, length: int, keys: int) -> dict[str, CodeArray]:
    """Zeros of any shape, without memory for them."""
    shapes = {"q": (b, hq, length, 1), "k": (b, hkv, keys, 1), "v": (b, hkv, keys, 1)}
    return {name: np.broadcast_to(np.zeros(1, BF16.dtype), shape) for name, shape in shapes.items()}
