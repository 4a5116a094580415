"""The encoder with its attention elsewhere: sentences travel together as they would alone, and what may not differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from golden.data import extract_minilm
from golden.data.minilm_encoder import Encoder, sentence_embedding
from golden.formats import FloatArray
from hwgen import cli, demo_minilm, doctor, functional
from hwgen.demo_minilm import COSINE_TARGET, Report, encode_together, gather, nearest, render
from hwgen.errors import InputError, SimulationError

VOCABULARY, POSITIONS, D, INNER, HEADS, LAYERS = 13, 8, 8, 12, 2, 3
TOKENS = [[1, 5, 2, 7, 3], [4, 9], [1, 5, 2, 7, 11, 12, 3]]
BF16 = ml_dtypes.bfloat16


def tiny_encoder() -> Encoder:
    """Random weights under the names of a BERT checkpoint, such that sentences stay apart."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, D),
        "embeddings.position_embeddings.weight": (POSITIONS, D),
        "embeddings.token_type_embeddings.weight": (2, D),
    }
    dense = {f"attention.self.{part}": (D, D) for part in ("query", "key", "value")}
    dense |= {"attention.output.dense": (D, D), "intermediate.dense": (INNER, D), "output.dense": (D, INNER)}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for name, shape in dense.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
    rng = np.random.default_rng(3)
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    for name in norms:
        weights |= {f"{name}.weight": 1 + 0.1 * rng.normal(size=D), f"{name}.bias": 0.1 * rng.normal(size=D)}
    return Encoder(weights, LAYERS, HEADS)


class FakeAttention:
    """`hwgen.attention` with the integer model in place of the simulator; remembers its calls, may spoil a result."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.spoilt_layer = -1

    def __call__(self, q: FloatArray, k: FloatArray, v: FloatArray, **options: Any) -> Any:
        stats = options.pop("return_stats", False)
        out = functional.attention(q, k, v, **options | {"backend": "bitexact"})
        if not stats:
            assert options["backend"] == "bitexact"
            return out
        if len(self.calls) == self.spoilt_layer:
            out.view(np.uint16)[0, 0, 0, 0] ^= 1
        self.calls.append(options | {"shape": q.shape})
        return out, {"cycles": 1000 + len(self.calls), "pairs": 70, "heads": 6}


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> FakeAttention:
    fake = FakeAttention()
    monkeypatch.setattr(demo_minilm, "attention", fake)
    return fake


def alone(encoder: Encoder, ids: list[int]) -> FloatArray:
    """One sentence, without padding."""

    def rounded(q: FloatArray, k: FloatArray, v: FloatArray) -> FloatArray:
        codes = (x.astype(BF16) for x in (q, k, v))
        out: FloatArray = functional.attention(*codes, preset="demo", backend="bitexact").astype(np.float64)
        return out

    return sentence_embedding(encoder.run(ids, attention=rounded))


def test_sentences_together_are_sentences_alone(simulated: FakeAttention) -> None:
    encoder = tiny_encoder()
    embeddings, counted = encode_together(encoder, TOKENS)
    np.testing.assert_array_equal(embeddings, [alone(encoder, ids) for ids in TOKENS])
    assert [stats["cycles"] for stats in counted] == [1001, 1002, 1003]
    # One call a layer, of all sentences padded to the longest.
    assert len(simulated.calls) == LAYERS
    for call in simulated.calls:
        assert call["shape"] == (3, HEADS, 7, D // HEADS)
        assert call["kv_lengths"].tolist() == [5, 2, 7]
        assert call["preset"] == "demo"


def test_rounding_is_all_that_differs_from_the_float_encoder(simulated: FakeAttention) -> None:
    encoder = tiny_encoder()
    exact = np.stack([sentence_embedding(encoder.run(ids)) for ids in TOKENS])
    embeddings, _ = encode_together(encoder, TOKENS)
    assert (embeddings != exact).any()
    np.testing.assert_allclose(embeddings, exact, atol=0.05)


def test_a_layer_that_differs_from_the_integer_model(simulated: FakeAttention) -> None:
    simulated.spoilt_layer = 1
    with pytest.raises(SimulationError, match="layer 2 differs from the integer model"):
        encode_together(tiny_encoder(), TOKENS)


def test_gathered_tensors_are_those_of_every_sentence() -> None:
    encoder = tiny_encoder()
    hidden = [encoder.embed(ids) for ids in TOKENS]
    gathered = gather(encoder, 1, hidden, longest=9)
    recorded: list[Any] = []
    for states in hidden:
        encoder.layer(1, states, record=lambda layer, *qkv: recorded.append((layer, qkv)))
    for part, tensor in enumerate(gathered):
        assert tensor.shape == (3, HEADS, 9, D // HEADS) and tensor.dtype == BF16
        for (layer, qkv), got, ids in zip(recorded, tensor, TOKENS, strict=True):
            assert layer == 1
            np.testing.assert_array_equal(got[:, : len(ids)], qkv[part].astype(BF16))
            assert (got[:, len(ids) :] == 0).all()


def test_nearest_is_another_row() -> None:
    angles = np.radians([0, 10, 100, 85, 300])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert nearest(embeddings).tolist() == [1, 0, 3, 2, 0]


def turned(angles: list[float]) -> FloatArray:
    """A vector of length 1 for each angle in degrees."""
    return np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)


def report(reference: list[float], accelerated: list[float]) -> Report:
    stats = [{"cycles": 1200, "pairs": 40, "heads": 6}, {"cycles": 34, "pairs": 40, "heads": 6}]
    return Report(["one", "two", "three"], turned(reference), turned(accelerated), stats)


def test_a_report_that_passes() -> None:
    good = report([0, 10, 100], [0.5, 10, 99.5])
    good.require()
    np.testing.assert_allclose(good.cosines, np.cos(np.radians([0.5, 0, 0.5])))
    table, totals = render(good).split("\n\n")
    lines = table.splitlines()[2:]
    assert [line.split() for line in lines] == [
        ["0.999962", "2", "2", "1", "one"],
        ["1.000000", "1", "1", "2", "two"],
        ["0.999962", "2", "2", "3", "three"],
    ]
    assert "2 descriptors of 6 heads each" in totals and "1,234" in totals and "80" in totals
    assert f"0.999962 (at least {COSINE_TARGET})" in totals


@pytest.mark.parametrize(
    ("reference", "accelerated", "message"),
    [
        # 1 degree is a cosine of 0.99985.
        ([0, 10, 100], [0, 10, 101], r"an embedding's cosine is 0\.999848, below 0\.9999"),
        ([0, 10, 100], [0, float("nan"), 100], r"an embedding's cosine is nan, below 0\.9999"),
        # The one in the middle, 0.1 degrees off, is nearer to the other neighbour.
        ([0, 10.05, 20], [0, 9.95, 20], "a sentence has another nearest neighbour than in the float encoder"),
    ],
)
def test_a_report_that_fails(reference: list[float], accelerated: list[float], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        report(reference, accelerated).require()


def test_the_whole_demo(
    simulated: FakeAttention, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = tiny_encoder()
    letters = [chr(ord("a") + i) for i in range(VOCABULARY)]
    monkeypatch.setattr(demo_minilm, "load", lambda: (encoder, lambda text: (list(map(letters.index, text)), [])))
    # So small a model is not worth four digits.
    monkeypatch.setattr(demo_minilm, "COSINE_TARGET", 0.99)
    assert demo_minilm.run(["abc", "hijklmg"]) == 0
    printed = capsys.readouterr().out
    assert "1 abc\n" in printed and "2 hijklmg\n" in printed and "3 descriptors of 6 heads each" in printed
    # The tables are there even if the demo fails.
    monkeypatch.setattr(demo_minilm, "COSINE_TARGET", 1.1)
    with pytest.raises(SimulationError, match=r"below 1\.1"):
        demo_minilm.run(["abc", "hijklmg"])
    assert "2 hijklmg\n" in capsys.readouterr().out


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(demo_minilm, "find_spec", lambda name: None if name == "tokenizers" else object())
    assert cli.main(["demo-minilm"]) == 2
    assert capsys.readouterr().err == "hwgen: missing tokenizers: `make demo-minilm` installs them\n"


def test_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: object) -> None:
        raise ValueError("model.safetensors must have SHA-256 53, got 54")

    monkeypatch.setattr(demo_minilm, "find_spec", lambda name: object())
    monkeypatch.setattr(extract_minilm, "default_model_folder", lambda: None)
    monkeypatch.setattr(extract_minilm, "load_model", refuse)
    with pytest.raises(InputError, match="must have SHA-256 53, got 54"):
        demo_minilm.load()


def test_what_is_looked_for_is_what_is_installed() -> None:
    lines = (Path(demo_minilm.__file__).parent.parent / "requirements-minilm.txt").read_text().splitlines()
    found = {line.partition("==")[0].replace("-", "_") for line in lines if not line.startswith("#")}
    assert found == set(demo_minilm.PACKAGES)
