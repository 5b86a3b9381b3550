"""What an accelerator gets and must give is what the reference has."""

from pathlib import Path

import numpy as np

from export.accelerator import embeddings, logits, onnxruntime_encoder, spread
from export.onnx_model import build_encoder
from hw.reference import run
from tests.models import random_integer_model, random_sentences


def test_host_and_encoder_together_are_the_model(tmp_path: Path) -> None:
    model = random_integer_model()
    sentences = random_sentences(1, model, [1, 5, model.dimensions.max_tokens])
    (tmp_path / "encoder.onnx").write_bytes(build_encoder(model).SerializeToString())
    encoder = onnxruntime_encoder(tmp_path / "encoder.onnx")
    residuals = [encoder(residual) for residual in embeddings(model, sentences)]
    expected = [run(model, *sentence) for sentence in sentences]
    name = f"layer.{model.dimensions.layers - 1}.ffn_norm.residual"
    for values, residual in zip(expected, residuals, strict=True):
        assert np.array_equal(values[name], residual)
    assert np.array_equal(logits(model, residuals), [values["logits"] for values in expected])


def test_a_spread_has_the_shortest_and_the_longest_in_random_order() -> None:
    sentences = [([0] * n, [0] * n) for n in (9, 2, 7, 1, 5, 3, 8, 4, 6)]
    chosen = spread(sentences, 5)
    lengths = [len(sentences[i][0]) for i in chosen]
    assert sorted(lengths) == [1, 3, 5, 7, 9]
    assert lengths != sorted(lengths)
    assert spread(sentences, 5) == chosen
    assert sorted(spread(sentences, None)) == sorted(spread(sentences, 99)) == list(range(9))
