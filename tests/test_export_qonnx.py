"""qonnx executes the exported graph with equal integers and knows its bits."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from qonnx.core.modelwrapper import ModelWrapper

from export import qonnx_ops
from export.onnx_model import build_encoder, build_model
from hw.integer_model import IntegerModel
from tests.models import random_integer_model, random_sentences
from tests.onnx_inputs import first_difference, padded, run_all
from tests.test_export_onnx_model import EDGE_SENTENCES, SIZES, edge_model


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("size", SIZES)
def test_every_named_tensor_equals_the_reference(size: str, attention: str) -> None:
    model = random_integer_model(1, attention=attention, **SIZES[size])
    sentences = random_sentences(2, model, [1, 16, 9])
    wrapper = qonnx_ops.load(build_model(model), batch=3, tokens=16)
    values = qonnx_ops.execute(wrapper, padded(sentences, 16))
    assert first_difference(model, sentences, values) == ""


@pytest.mark.parametrize("relative_positions", [0, 1])
@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_edges_equal_the_reference(attention: str, relative_positions: int) -> None:
    model = edge_model(attention, relative_positions)
    wrapper = qonnx_ops.load(build_model(model), batch=2, tokens=5)
    values = qonnx_ops.execute(wrapper, padded(EDGE_SENTENCES, 5))
    assert first_difference(model, EDGE_SENTENCES, values) == ""


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("build", [build_model, build_encoder])
def test_qonnx_infers_bits(
    build: Callable[[IntegerModel], onnx.ModelProto], attention: str
) -> None:
    model = random_integer_model(3, attention=attention, relative_positions=2)
    wrapper = qonnx_ops.load(build(model), batch=1, tokens=4)
    quantized = [n.output[0] for n in wrapper.graph.node if n.op_type == "BipolarQuant"]
    weights = [name for name in model.tensors if name.startswith("layer") and "weight" in name]
    assert len(weights) == 12
    assert set(weights) <= set(quantized)
    types = {
        name: wrapper.get_tensor_datatype(name).name for name in wrapper.get_all_tensor_names()
    }
    assert {types[name] for name in quantized} == {"BIPOLAR"}
    assert types["layer.1.query.output"] == types["layer.1.up.input"] == "BIPOLAR"
    assert types["layer.1.down.input"] == types["layer.1.attention.probabilities"] == "BINARY"
    assert types["layer.1.query.accumulator"] == types["layer.1.attention.context"] == "INT32"
    assert types["layer.1.attention.products"] == types["layer.1.attention.scores"] == "INT32"
    assert types["embedding.residual"] == types["layer.1.ffn_norm.sum"] == "INT18"


def test_the_functions_survive_qonnx_and_its_file_still_runs(tmp_path: Path) -> None:
    model = random_integer_model(4)
    exported = build_model(model)
    wrapper = qonnx_ops.load(exported, batch=2, tokens=6)
    wrapper.save(str(tmp_path / "model.onnx"))
    saved = onnx.load(tmp_path / "model.onnx")
    assert [f.name for f in saved.functions] == [f.name for f in exported.functions]
    onnx.checker.check_model(saved, full_check=True)
    sentences = random_sentences(5, model, [6, 2])
    assert first_difference(model, sentences, run_all(saved, padded(sentences, 6))) == ""
    again = ModelWrapper(str(tmp_path / "model.onnx"))
    values = qonnx_ops.execute(again, padded(sentences, 6))
    assert first_difference(model, sentences, values) == ""
