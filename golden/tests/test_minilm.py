"""The stored tensors, the files around them, and the encoder that made them."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden import exact
from golden.data import MINILM_PATH, MiniLM, extract_minilm, load_minilm, save_minilm
from golden.data.minilm_encoder import Encoder, exact_attention, gelu, sentence_embedding
from golden.formats import BF16, decode

README = MINILM_PATH.with_name("README.md").read_text(encoding="utf-8")

Array = npt.NDArray[np.float64]

VOCABULARY, POSITIONS, D, INNER, HEADS, LAYERS = 11, 6, 8, 12, 2, 2


def random_weights(seed: int) -> dict[str, Array]:
    """Weights of a tiny encoder under the names of a BERT checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, D),
        "embeddings.position_embeddings.weight": (POSITIONS, D),
        "embeddings.token_type_embeddings.weight": (2, D),
    }
    norms = ["embeddings.LayerNorm"]
    linear: dict[str, tuple[int, ...]] = {}
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        linear |= {f"{layer}.attention.self.{part}": (D, D) for part in ("query", "key", "value")}
        linear |= {f"{layer}.attention.output.dense": (D, D)}
        linear |= {f"{layer}.intermediate.dense": (INNER, D), f"{layer}.output.dense": (D, INNER)}
    for name in norms:
        shapes |= {f"{name}.weight": (D,), f"{name}.bias": (D,)}
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def tiny_encoder(seed: int) -> Encoder:
    return Encoder(random_weights(seed), layers=LAYERS, heads=HEADS)


def normalised(x: Array, gain: Array, bias: Array) -> Array:
    standard: Array = (x - x.mean()) / math.sqrt(x.var() + 1e-12)
    return standard * gain + bias


def reference_run(w: dict[str, Array], ids: list[int]) -> Array:
    """The encoder token by token and head by head."""
    words, positions, segments = (w[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type"))

    def norm(name: str, x: Array) -> Array:
        return np.array([normalised(row, w[f"{name}.weight"], w[f"{name}.bias"]) for row in x])

    def dense(name: str, x: Array) -> Array:
        return np.array([w[f"{name}.weight"] @ row + w[f"{name}.bias"] for row in x])

    x = norm("embeddings.LayerNorm", np.array([words[t] + positions[i] + segments[0] for i, t in enumerate(ids)]))
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        q, k, v = (dense(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value"))
        mixed = np.zeros_like(x)
        for head in range(HEADS):
            part = slice(head * D // HEADS, (head + 1) * D // HEADS)
            for i in range(len(ids)):
                weights = np.exp(k[:, part] @ q[i, part] / math.sqrt(D / HEADS))
                mixed[i, part] = weights @ v[:, part] / weights.sum()
        x = norm(f"{layer}.attention.output.LayerNorm", x + dense(f"{layer}.attention.output.dense", mixed))
        inner = dense(f"{layer}.intermediate.dense", x)
        inner = np.array([[y * (1 + math.erf(y / math.sqrt(2))) / 2 for y in row] for row in inner])
        x = norm(f"{layer}.output.LayerNorm", x + dense(f"{layer}.output.dense", inner))
    return x


def test_file_is_small_and_is_the_one_described() -> None:
    content = MINILM_PATH.read_bytes()
    assert len(content) <= 500_000
    assert hashlib.sha256(content).hexdigest() in README
    assert f"{len(content):,} bytes" in README


def test_readme_states_the_source() -> None:
    assert extract_minilm.MODEL_SHA256 in README
    assert extract_minilm.PARAGRAPH in README.replace("\n> ", " ")


def test_tensors() -> None:
    data = load_minilm()
    assert len(data.tokens) == 48
    assert (data.tokens[0], data.tokens[-1]) == ("[CLS]", "[SEP]")
    for codes in (data.q, data.k, data.v):
        assert codes.shape == (6, 12, 48, 32)
        assert codes.dtype == np.uint16
        assert np.isfinite(decode(codes, BF16)).all()
        # A swap of high and low bytes would scatter magnitudes over the whole range.
        assert 1.0 < np.abs(decode(codes, BF16)).max() < 16.0
        assert len(np.unique(codes)) > 1000


def test_tokens_spell_the_paragraph() -> None:
    spelt = "".join(load_minilm().tokens[1:-1]).replace("##", "")
    assert spelt == extract_minilm.PARAGRAPH.lower().replace(" ", "")


def test_attention_is_uneven_as_in_a_trained_model() -> None:
    """Normal random rows of the same deviation spread the lse over a range of about 4."""
    data = load_minilm()
    result = exact.attention(*(decode(codes, BF16) for codes in (data.q, data.k, data.v)))
    assert np.isfinite(result.out).all()
    assert result.lse.max() - result.lse.min() > 30.0


def test_saving_gives_the_same_tensors_and_the_same_bytes(tmp_path: Path) -> None:
    codes = np.arange(1 << 16, dtype=np.uint16).reshape(2, 4, 256, 32)
    data = MiniLM(codes, codes[:, ::-1], codes[::-1], ("[CLS]", "##x", "[SEP]"))
    save_minilm(data, tmp_path / "one.npz")
    save_minilm(data, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = load_minilm(tmp_path / "one.npz")
    assert again.tokens == data.tokens
    assert all(np.array_equal(a, b) for a, b in zip(again[:3], data[:3], strict=True))


@pytest.mark.parametrize("seed", [1, 2], ids=lambda seed: f"seed{seed}")
def test_encoder_against_token_by_token(seed: int) -> None:
    ids = [3, 1, 4, 1, 5]
    got = tiny_encoder(seed).run(ids)
    np.testing.assert_allclose(got, reference_run(random_weights(seed), ids), rtol=1e-10, atol=1e-11)


def test_recorder_sees_what_attention_gets() -> None:
    attended: list[tuple[Array, ...]] = []
    recorded: list[tuple[Any, ...]] = []

    def spy(q: Array, k: Array, v: Array) -> Array:
        attended.append((q, k, v))
        return exact_attention(q, k, v)

    encoder = tiny_encoder(3)
    got = encoder.run([1, 2, 3], attention=spy, record=lambda *x: recorded.append(x))
    assert np.array_equal(got, encoder.run([1, 2, 3]))
    assert [x[0] for x in recorded] == [0, 1]
    for (_, *rows), inputs in zip(recorded, attended, strict=True):
        assert all(x.shape == (HEADS, 3, D // HEADS) for x in rows)
        assert all(np.array_equal(x[None], y) for x, y in zip(rows, inputs, strict=True))


def test_attention_can_be_replaced() -> None:
    encoder = tiny_encoder(4)
    silent = encoder.run([1, 2, 3], attention=lambda q, k, v: np.zeros_like(v))
    assert not np.allclose(silent, encoder.run([1, 2, 3]))
    # Without attention no token knows of another.
    assert np.array_equal(silent[:2], encoder.run([1, 2, 9], attention=lambda q, k, v: np.zeros_like(v))[:2])


def test_extract_rounds_once_and_keeps_every_layer() -> None:
    encoder, recorded = tiny_encoder(5), []
    data = extract_minilm.extract(encoder, lambda _: ([1, 2, 3], ["a", "b", "c"]), "")
    encoder.run([1, 2, 3], record=lambda *x: recorded.append(x[1:]))
    assert data.tokens == ("a", "b", "c")
    for part, codes in enumerate((data.q, data.k, data.v)):
        values = np.stack([layer[part] for layer in recorded])
        assert codes.dtype == np.uint16
        assert codes.shape == values.shape == (LAYERS, HEADS, 3, D // HEADS)
        assert np.all(np.abs(decode(codes, BF16) - values) <= np.abs(values) * 2.0**-8)


def test_a_wrong_encoder_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"similarities should be \(0.666, 0.1046, 0.1411\), got"):
        extract_minilm.check_encoder(tiny_encoder(6), lambda text: ([len(text) % VOCABULARY], []))


def test_gelu() -> None:
    assert gelu(np.array([0.0, 40.0, -40.0])).tolist() == [0.0, 40.0, 0.0]
    # x times the probability of a standard normal number below 1, 0.8413447460685429.
    assert abs(gelu(np.array([1.0]))[0] - 0.8413447460685429) < 1e-15


def test_sentence_embedding_is_a_mean_of_length_one() -> None:
    assert np.allclose(sentence_embedding(np.array([[6.0, 0.0], [0.0, 8.0]])), [0.6, 0.8], rtol=1e-15, atol=0)
