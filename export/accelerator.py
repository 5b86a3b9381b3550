"""What an accelerator gets and must give: the embedding's residuals, and ONNX Runtime's encoder."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from export.sessions import Integers, OrtSession, Sentence
from hw.integer_model import IntegerModel
from hw.reference import float_product, run, run_embedding, run_head

Encoder = Callable[[Integers], Integers]  # residual (N, H) of a sentence, before and after


def embeddings(model: IntegerModel, sentences: Sequence[Sentence]) -> list[Integers]:
    """`embedding.residual` (N, H) of each sentence: what the host sends."""
    return [run_embedding(model, *sentence)["embedding.residual"] for sentence in sentences]


def last_residual(model: IntegerModel) -> str:
    """The name of the tensor that leaves the accelerator."""
    return f"layer.{model.dimensions.layers - 1}.ffn_norm.residual"


def logits(model: IntegerModel, residuals: Sequence[Integers]) -> Integers:
    """Logits (sentences, labels) of the last layers' residuals: what the host makes of them."""
    rows = [run_head(model, residual, float_product)["logits"] for residual in residuals]
    return np.array(rows, dtype=np.int64)


def expected_outputs(
    model: IntegerModel, sentences: Sequence[Sentence]
) -> Iterator[tuple[Sentence, Integers, Integers]]:
    """Each sentence with its logits (labels,) and its last residual (N, H), by the reference."""
    for sentence in sentences:
        values = run(model, *sentence, float_product)
        yield sentence, values["logits"], values[last_residual(model)]


def onnxruntime_encoder(path: Path, threads: int = 1) -> Encoder:
    """`encoder.onnx` in ONNX Runtime."""
    session = OrtSession(path, threads)
    (name,) = [output.name for output in session.model.graph.output]

    def encode(residual: Integers) -> Integers:
        inputs = {
            "embedding.residual": residual[None].astype(np.float32),
            "attention_mask": np.ones((1, len(residual)), np.int64),
        }
        return session.values(inputs, [name])[name]

    return encode


def spread(sentences: Sequence[Sentence], count: int | None, seed: int = 0) -> list[int]:
    """Indices of `count` sentences of all lengths, the shortest and the longest among them.

    They come in a random order, so that short and long ones follow each other.
    """
    order = sorted(range(len(sentences)), key=lambda i: (len(sentences[i][0]), i))
    number = len(order) if count is None else min(count, len(order))
    places = np.linspace(0, len(order) - 1, number).round().astype(int)
    chosen = [order[place] for place in places]
    np.random.default_rng(seed).shuffle(chosen)
    return chosen
