"""A BERT encoder in float64 NumPy, sized and named as in all-MiniLM-L6-v2, with the attention function left open.

It runs one sequence of L tokens without padding. D is the hidden size, heads are D / heads wide. The attention
function is an argument, so that the exact one, a rounded one and a simulated one can be compared in the same model;
a recorder, if given, sees Q, K and V of every layer on their way into it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from golden import exact
from golden.formats import FloatArray

Weights = Mapping[str, FloatArray]

# q, k, v (1, heads, L, D / heads) -> outputs of that shape.
Attention = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

# layer, q, k, v, each (heads, L, D / heads).
Recorder = Callable[[int, FloatArray, FloatArray, FloatArray], None]


def exact_attention(q: FloatArray, k: FloatArray, v: FloatArray) -> FloatArray:
    """Unmasked attention in float64 with the default scale; shapes as in `Attention`."""
    return exact.attention(q, k, v).out


@dataclass(frozen=True)
class Encoder:
    """Embeddings and a stack of post-norm transformer layers.

    Members
    -------
    weights
        Arrays by their name in the checkpoint, such as `encoder.layer.0.output.dense.weight` (out, in).
    layers, heads, epsilon
        Depth, attention heads a layer, and what LayerNorm adds to the variance.
    """

    weights: Weights
    layers: int = 6
    heads: int = 12
    epsilon: float = 1e-12

    def run(
        self,
        token_ids: npt.ArrayLike,
        *,
        attention: Attention = exact_attention,
        record: Recorder | None = None,
    ) -> FloatArray:
        """Hidden states (L, D) after the last layer, for token ids (L,)."""
        hidden = self.embed(token_ids)
        for layer in range(self.layers):
            hidden = self.layer(layer, hidden, attention=attention, record=record)
        return hidden

    def embed(self, token_ids: npt.ArrayLike) -> FloatArray:
        """Hidden states (L, D) in front of the first layer: word, position and segment 0 embeddings, normalised."""
        ids = np.asarray(token_ids)
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        positions = self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        segment = self.weights["embeddings.token_type_embeddings.weight"][0]
        return self._layer_norm("embeddings.LayerNorm", words + positions + segment)

    def layer(
        self,
        index: int,
        hidden: FloatArray,
        *,
        attention: Attention = exact_attention,
        record: Recorder | None = None,
    ) -> FloatArray:
        """Hidden states (L, D) after layer `index`, for those in front of it."""
        name = f"encoder.layer.{index}"
        q, k, v = (
            self._split(self._dense(f"{name}.attention.self.{part}", hidden)) for part in ("query", "key", "value")
        )
        if record is not None:
            record(index, q, k, v)
        mixed = self._merge(attention(q[None], k[None], v[None])[0])
        attended = hidden + self._dense(f"{name}.attention.output.dense", mixed)
        hidden = self._layer_norm(f"{name}.attention.output.LayerNorm", attended)
        inner = gelu(self._dense(f"{name}.intermediate.dense", hidden))
        return self._layer_norm(f"{name}.output.LayerNorm", hidden + self._dense(f"{name}.output.dense", inner))

    def _dense(self, name: str, x: FloatArray) -> FloatArray:
        """x (L, in) through the linear map `name`: (L, out)."""
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _layer_norm(self, name: str, x: FloatArray) -> FloatArray:
        """x (L, D) with every row brought to mean 0 and variance 1, then to the learnt gain and bias."""
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + self.epsilon)
        scaled: FloatArray = centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return scaled

    def _split(self, x: FloatArray) -> FloatArray:
        """(L, D) -> (heads, L, D / heads)."""
        return x.reshape(len(x), self.heads, -1).transpose(1, 0, 2)

    def _merge(self, x: FloatArray) -> FloatArray:
        """(heads, L, D / heads) -> (L, D)."""
        return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def gelu(x: FloatArray) -> FloatArray:
    """x times the normal distribution function at x, element by element."""
    erf = np.vectorize(math.erf, otypes=[np.float64])(x * math.sqrt(0.5))
    product: FloatArray = 0.5 * x * (1.0 + erf)
    return product


def sentence_embedding(hidden: FloatArray) -> FloatArray:
    """Mean over the tokens of hidden states (L, D), brought to length 1: (D,)."""
    mean = hidden.mean(axis=0)
    unit: FloatArray = mean / np.linalg.norm(mean)
    return unit
