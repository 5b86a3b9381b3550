"""ONNX Runtime computes every named tensor of the exported graph as the reference does."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from export.onnx_model import build_encoder, build_model
from hw.integer_model import IntegerModel
from tests.models import random_integer_model, random_sentences
from tests.onnx_inputs import first_difference, padded, run_all, session

SIZES = {
    "even": {},
    "odd": {"hidden": 24, "heads": 3, "ffn": 44},
    "odd head width": {"hidden": 35, "heads": 5, "ffn": 30, "layers": 1},
    "narrow word": {"arithmetic": {"word_bits": 15, "rsqrt_index_bits": 6, "fraction_bits": 10}},
    "regression": {"labels": 1, "layers": 1},
}


def edge_model(attention: str) -> IntegerModel:
    """Probability thresholds that are always and never exceeded, and a row without variance."""
    model = random_integer_model(4, attention=attention, layers=1, hidden=24, heads=3, ffn=40)
    if attention == "softmax":
        model["layer.0.attention.probability_threshold"][:] = [-1, 1 << 16, 0]
    else:
        model["layer.0.attention.score_threshold"][:] = [-8, 9, 0]
    model["embedding.word.scale"][7] = 0
    model["embedding.position"][0] = 0
    model["embedding.token_type"][0] = 3
    return model


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("size", SIZES)
def test_every_named_tensor_equals_the_reference(size: str, attention: str) -> None:
    model = random_integer_model(1, attention=attention, **SIZES[size])
    sentences = random_sentences(2, model, [1, 2, 16, 9, 15])
    values = run_all(build_model(model), padded(sentences, 16))
    assert first_difference(model, sentences, values) == ""
    assert values["logits"].dtype == np.int64


@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_edges_equal_the_reference(attention: str) -> None:
    model = edge_model(attention)
    sentences = [([7, 3, 4], [0, 0, 1]), ([7], [0])]
    values = run_all(build_model(model), padded(sentences, 5))
    assert first_difference(model, sentences, values) == ""


@pytest.mark.parametrize("tokens", [1, 2, 16])
def test_an_unpadded_sentence_equals_the_reference(tokens: int) -> None:
    model = random_integer_model(3)
    sentences = random_sentences(4, model, [tokens])
    values = run_all(build_model(model), padded(sentences, tokens))
    assert first_difference(model, sentences, values) == ""


@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_the_encoder_alone_gives_the_same_residual(attention: str) -> None:
    model = random_integer_model(5, attention=attention)
    inputs = padded(random_sentences(6, model, [7, 3]), 7)
    values = run_all(build_model(model), inputs)
    last = "layer.1.ffn_norm.residual"
    encoder_inputs = {
        "embedding.residual": values["embedding.residual"],
        "attention_mask": inputs["attention_mask"],
    }
    result = session(build_encoder(model)).run([last], encoder_inputs)[0]
    np.testing.assert_array_equal(result, values[last])


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("build", [build_model, build_encoder])
def test_the_checker_accepts_the_file_and_its_bytes_are_the_same_again(
    build: Callable[[IntegerModel], onnx.ModelProto], attention: str
) -> None:
    model = random_integer_model(7, attention=attention)
    first, second = build(model), build(model)
    onnx.checker.check_model(first, full_check=True)
    assert first.SerializeToString() == second.SerializeToString()


def test_the_encoder_consists_of_few_kinds_of_nodes() -> None:
    kinds = {node.op_type for node in build_encoder(random_integer_model(8)).graph.node}
    assert kinds == {
        "AttentionProbabilities",
        "BipolarQuant",
        "IntegerLayerNorm",
        "MatMul",
        "Reshape",
        "ResidualAdd",
        "Threshold",
        "Transpose",
    }


def test_the_file_of_mini_is_small() -> None:
    model = random_integer_model(
        9, layers=4, hidden=256, heads=4, ffn=1024, vocab=30522, max_tokens=128, golden=0
    )
    assert len(build_model(model).SerializeToString()) < 45_000_000
