"""The fast graph gives the reference's logits, by its functions and by the fused operators."""

import numpy as np
import onnx
import onnxruntime
import pytest

from export.fast_ops import use_fast_ops
from export.onnx_fast import build_fast
from hw import reference
from hw.integer_model import IntegerModel
from tests.models import random_integer_model, random_sentences
from tests.onnx_inputs import Sentence, padded, session
from tests.test_export_onnx_model import EDGE_SENTENCES, SIZES, edge_model


def assert_logits_equal(model: IntegerModel, sentences: list[Sentence], tokens: int) -> None:
    expected = np.stack([reference.logits(model, *sentence) for sentence in sentences])
    graph, inputs = build_fast(model), padded(sentences, tokens)
    for engine in (session(graph), fused_session(graph)):
        result = engine.run(["logits"], inputs)[0]
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, expected)


def fused_session(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not use_fast_ops(graph, options):
        pytest.skip("no C++ compiler for the fused operators")
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [1, 2])
def test_logits_of_padded_batches_equal_the_reference(seed: int, size: str, attention: str) -> None:
    model = random_integer_model(seed, attention=attention, **SIZES[size])
    assert_logits_equal(model, random_sentences(seed, model, [1, 2, 16, 9, 15] * 4), 16)


@pytest.mark.parametrize("relative_positions", [0, 1])
@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_edges_equal_the_reference(attention: str, relative_positions: int) -> None:
    assert_logits_equal(edge_model(attention, relative_positions), EDGE_SENTENCES, 5)


@pytest.mark.parametrize("tokens", [1, 2, 16])
def test_an_unpadded_sentence_equals_the_reference(tokens: int) -> None:
    model = random_integer_model(3, layers=3)
    assert_logits_equal(model, random_sentences(4, model, [tokens]), tokens)


def test_a_real_size_equals_the_reference() -> None:
    model = random_integer_model(5, hidden=384, heads=12, ffn=1536, vocab=100, max_tokens=32)
    assert_logits_equal(model, random_sentences(6, model, [24, 32, 5]), 32)


def test_thresholds_at_the_ends_of_their_range_equal_the_reference() -> None:
    model = random_integer_model(6)
    for name in ("query", "key", "value", "up"):
        threshold = model[f"layer.0.{name}.threshold"]
        threshold[0::3], threshold[1::3] = -32, 33
    assert_logits_equal(model, random_sentences(7, model, [16, 3]), 16)


@pytest.mark.parametrize("relative_positions", [0, 3])
@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_the_checker_accepts_the_file_and_its_bytes_are_the_same_again(
    attention: str, relative_positions: int
) -> None:
    model = random_integer_model(7, attention=attention, relative_positions=relative_positions)
    first = build_fast(model)
    onnx.checker.check_model(first)
    assert first.SerializeToString() == build_fast(model).SerializeToString()


def test_the_file_of_mini_is_small() -> None:
    model = random_integer_model(
        9, layers=4, hidden=256, heads=4, ffn=1024, vocab=30522, max_tokens=128, golden=0
    )
    assert len(build_fast(model).SerializeToString()) < 45_000_000
