"""ONNX Runtime computes every named tensor of the exported graph as the reference does."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from export.onnx_model import build_encoder, build_model
from hw import reference
from hw.integer_model import IntegerModel
from tests.models import random_integer_model, random_sentences
from tests.onnx_inputs import first_difference, padded, run_all, session

SIZES = {
    "even": {},
    "odd": {"hidden": 24, "heads": 3, "ffn": 44},
    "odd head width": {"hidden": 35, "heads": 5, "ffn": 30, "layers": 1},
    "narrow word": {"arithmetic": {"word_bits": 15, "rsqrt_index_bits": 6, "fraction_bits": 10}},
    "regression": {"labels": 1, "layers": 1},
    "relative": {"relative_positions": 5},
    "relative to the ends": {"relative_positions": 15, "hidden": 35, "heads": 5, "layers": 1},
}

EDGE_SENTENCES = [([7, 3, 4], [0, 0, 1]), ([7], [0])]


def edge_model(attention: str, relative_positions: int = 0) -> IntegerModel:
    """Probability thresholds that are always and never exceeded, and a row without variance.

    Relative biases are the largest that there are, of either sign.
    """
    model = random_integer_model(
        4,
        attention=attention,
        layers=1,
        hidden=24,
        heads=3,
        ffn=40,
        relative_positions=relative_positions,
    )
    width, reach = 8, 24 if relative_positions else 8
    if relative_positions:
        bias = model["layer.0.attention.relative_bias"]
        bias[:, 0::2], bias[:, 1::2] = -width, width
    if attention == "softmax":
        model["layer.0.attention.probability_threshold"][:] = [-1, 1 << 16, 0]
    else:
        model["layer.0.attention.score_threshold"][:] = [-reach, reach + 1, 0]
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


@pytest.mark.parametrize("relative_positions", [0, 1])
@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_edges_equal_the_reference(attention: str, relative_positions: int) -> None:
    model = edge_model(attention, relative_positions)
    values = run_all(build_model(model), padded(EDGE_SENTENCES, 5))
    assert first_difference(model, EDGE_SENTENCES, values) == ""


def test_a_relative_bias_puts_scores_further_apart_than_the_table_goes() -> None:
    model = edge_model("softmax", 1)
    scores = reference.run(model, *EDGE_SENTENCES[0])["layer.0.attention.scores"]
    assert (scores.max(-1) - scores.min(-1)).max() // 2 > model.dimensions.head_width


@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_a_relative_bias_stands_between_the_products_and_what_uses_scores(attention: str) -> None:
    model = random_integer_model(8, attention=attention, layers=1, relative_positions=3)
    graph = build_encoder(model).graph
    name = "layer.0.attention"
    made = {node.output[0]: node for node in graph.node}
    probabilities = made[f"{name}.probabilities"]
    scores = made[probabilities.input[0]]
    assert (scores.op_type, scores.output[0]) == ("RelativeBias", f"{name}.scores")
    assert list(scores.input) == [f"{name}.products", f"{name}.relative_bias"]
    assert made[f"{name}.products"].op_type == "MatMul"
    table = next(t for t in graph.initializer if t.name == f"{name}.relative_bias")
    assert table.data_type == onnx.TensorProto.FLOAT and tuple(table.dims) == (2, 7)
    assert f"{name}.products" in {value.name for value in graph.value_info}


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
@pytest.mark.parametrize("relative_positions", [0, 3])
@pytest.mark.parametrize("build", [build_model, build_encoder])
def test_the_checker_accepts_the_file_and_its_bytes_are_the_same_again(
    build: Callable[[IntegerModel], onnx.ModelProto], relative_positions: int, attention: str
) -> None:
    model = random_integer_model(7, attention=attention, relative_positions=relative_positions)
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
