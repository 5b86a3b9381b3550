"""A trained model, its integers, and the reference compute the same tensors, with ==."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgebert.config import ArithmeticConfig, Config, from_dict, to_dict
from edgebert.deploy import trace_forward
from edgebert.model import BinaryBert
from edgebert.quantizers import binary_rows
from edgebert.tokenizer import Encoding
from export.lower import golden_tensors, lower_tensors
from hw.integer_model import (
    IntegerModel,
    check_model,
    expected_shapes,
    load_integer_model,
    save_integer_model,
)
from hw.reference import float_product, logits, run
from tests.trained import ONE, random_batch, small_config, small_model, trained_model

LENGTHS = [12, 1, 5, 11, 2, 12]  # max_tokens is 12

SIZES: dict[str, dict[str, int]] = {
    "odd": {},
    "one head, one layer": {
        **{"layers": 1, "hidden": 9, "heads": 1, "ffn": 7},
        **{"token_types": 1, "relative_positions": 11},
    },
    # takes the int8 matmul where there are no kernels
    "aligned": {"hidden": 32, "heads": 4, "ffn": 64, "relative_positions": 2},
    "wide heads": {"hidden": 48, "heads": 2, "ffn": 20, "token_types": 3, "vocab": 300},
}
FORMATS: dict[str, dict[str, int]] = {
    "odd": {},
    "one head, one layer": {"fraction_bits": 9, "word_bits": 11, "multiplier_bits": 10},
    "aligned": {"rsqrt_index_bits": 6, "exp_bits": 8, "norm_fraction_bits": 16},
    "wide heads": {"probability_bits": 12, "gamma_fraction_bits": 7, "embedding_fraction_bits": 14},
}


def lowered(model: BinaryBert) -> IntegerModel:
    names = [f"label{i}" for i in range(model.labels)] if model.labels > 1 else []
    settings = to_dict(Config(model.config, model.arithmetic))
    config: dict[str, Any] = {
        "model": settings["model"],
        "arithmetic": settings["arithmetic"],
        "labels": names,
        "regression": not names,
    }
    return IntegerModel(config, lower_tensors(model))


@pytest.fixture(
    scope="module", params=[(a, s) for a in ("softmax", "sps") for s in SIZES], ids=" ".join
)
def model(request: pytest.FixtureRequest) -> BinaryBert:
    attention, name = request.param
    return trained_model(
        small_config(attention, **SIZES[name]),
        ONE,
        deploy=True,
        arithmetic=ArithmeticConfig(**FORMATS[name]),
        labels=1 if name == "wide heads" else 3,
        seed=len(name),
    )


@pytest.fixture(scope="module")
def integer_model(model: BinaryBert) -> IntegerModel:
    return lowered(model)


def sentences(model: BinaryBert) -> list[tuple[list[int], list[int]]]:
    ids, types, _ = random_batch(5, model.config, LENGTHS)
    return [(ids[i, :n].tolist(), types[i, :n].tolist()) for i, n in enumerate(LENGTHS)]


def alone(model: BinaryBert, ids: list[int], types: list[int]) -> dict[str, np.ndarray]:
    """The trace of one sentence, without the batch axis."""
    batch = torch.tensor([ids]), torch.tensor([types]), torch.ones(1, len(ids), dtype=torch.int64)
    return {name: tensor[0].numpy() for name, tensor in trace_forward(model, *batch).items()}


def test_every_named_tensor_equals_the_references(
    model: BinaryBert, integer_model: IntegerModel
) -> None:
    for ids, types in sentences(model):
        trace, expected = alone(model, ids, types), run(integer_model, ids, types)
        assert trace.keys() == expected.keys()
        for name, tensor in expected.items():
            assert trace[name].dtype == np.int64 and trace[name].shape == tensor.shape, name
            assert (trace[name] == tensor).all(), name


def test_tensors_are_those_of_the_documentation_and_bits_vary(
    model: BinaryBert, integer_model: IntegerModel
) -> None:
    """Otherwise equality would prove little."""
    check_model(integer_model)
    shapes = expected_shapes(integer_model.config)
    assert set(integer_model.tensors) == set(shapes)
    for name, (_, binary) in shapes.items():
        assert integer_model[name].dtype == (np.int8 if binary else np.int64)
    ids, types = sentences(model)[0]
    values = run(integer_model, ids, types)
    for name, tensor in values.items():
        last = name.rsplit(".", 1)[-1]
        if last in ("input", "output", "probabilities"):
            assert 0.02 < (tensor > 0).mean() < 0.98, name
        elif last in ("residual", "sum", "accumulator", "context"):
            assert len(np.unique(tensor)) > 2, name


def test_a_padded_batch_traces_each_sentence_as_it_is_alone(model: BinaryBert) -> None:
    trace = trace_forward(model, *random_batch(5, model.config, LENGTHS))
    for row, (ids, types) in enumerate(sentences(model)):
        n = len(ids)
        for name, tensor in alone(model, ids, types).items():
            batched = trace[name][row].numpy()
            if name.endswith(("scores", "probabilities")):  # (heads, tokens, tokens)
                assert not name.endswith("probabilities") or not batched[:, :, n:].any()
                batched = batched[:, :n, :n]
            elif not name.startswith(("pooler", "logits")):
                batched = batched[:n]
            assert (batched == tensor).all(), name


def test_logits_of_the_model_are_the_references_in_their_unit(
    model: BinaryBert, integer_model: IntegerModel
) -> None:
    a = model.arithmetic
    unit = 2.0 ** -(a.fraction_bits + a.classifier_fraction_bits)
    with torch.no_grad():
        result = model(*random_batch(5, model.config, LENGTHS)).logits
    assert result.dtype == torch.float64
    expected = [logits(integer_model, *sentence, float_product) for sentence in sentences(model)]
    assert (result.numpy() / unit == np.stack(expected)).all()


def test_word_embeddings_lower_to_the_rows_that_training_uses(
    model: BinaryBert, integer_model: IntegerModel
) -> None:
    bits = model.arithmetic.embedding_fraction_bits
    rows = binary_rows(torch.arange(model.config.vocab)[None], model.word.weight, bits)[0]
    scale = integer_model["embedding.word.scale"][:, None]
    signs = integer_model["embedding.word.weight"]
    assert (rows.detach().double().numpy() * 2.0**bits == scale * signs).all()


def test_the_file_holds_the_same_model(
    model: BinaryBert, integer_model: IntegerModel, tmp_path: Path
) -> None:
    path = tmp_path / "integer.safetensors"
    save_integer_model(path, integer_model)
    loaded = load_integer_model(path)
    assert loaded.config == integer_model.config
    assert loaded.tensors.keys() == integer_model.tensors.keys()
    for name, tensor in integer_model.tensors.items():
        assert loaded[name].dtype == tensor.dtype and (loaded[name] == tensor).all(), name
    ids, types = sentences(model)[2]
    assert (logits(loaded, ids, types) == logits(integer_model, ids, types)).all()


@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_extreme_parameters_lower_within_their_ranges_and_still_agree(attention: str) -> None:
    """Channels that are always or never 1, saturated residuals, tiny and negative scales."""
    config = small_config(attention)
    model = trained_model(config, ONE, deploy=True, steps=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            large = torch.rand(parameter.shape, generator=generator) < 0.15
            if name.endswith(".beta") and parameter.ndim == 1:
                parameter[large] *= 1e4
            elif name.endswith("bias") and "classifier" not in name:
                parameter[large] *= 200
            elif "norm.weight" in name:
                parameter[large] *= -60
        layers = model.layers
        layers[0].query.quantizer.alpha.fill_(-1.0)
        layers[1].down.quantizer.alpha.fill_(1e-9)
        layers[0].quantizer("probability").beta[0] = 5.0  # always
        layers[0].quantizer("probability").beta[1] = -5.0  # never
    model.eval()
    model._folded = None
    integer_model = lowered(model)
    check_model(integer_model)
    saturated = 0
    for ids, types in sentences(model):
        trace, expected = alone(model, ids, types), run(integer_model, ids, types)
        for name, tensor in expected.items():
            assert (trace[name] == tensor).all(), name
        bits = expected["layer.0.attention.probabilities"]
        assert bits[0].all() and not bits[1].any()
        saturated += (expected["layer.0.ffn_norm.residual"] == 2**17 - 1).sum()
    assert saturated > 0


def test_a_fresh_model_lowers_and_agrees() -> None:
    """Weights of 0.02, no biases: every threshold at its tie."""
    model = small_model(small_config(), ONE, deploy=True).eval()
    integer_model = lowered(model)
    check_model(integer_model)
    for ids, types in sentences(model):
        trace, expected = alone(model, ids, types), run(integer_model, ids, types)
        assert all((trace[name] == tensor).all() for name, tensor in expected.items())


def test_golden_sentences_are_padded_with_zeros() -> None:
    first, second = Encoding([2, 7, 3], [0, 1, 1], False), Encoding([2], [0], False)
    tensors = golden_tensors([first, second])
    assert tensors["golden.input_ids"].tolist() == [[2, 7, 3], [2, 0, 0]]
    assert tensors["golden.token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert tensors["golden.lengths"].tolist() == [3, 1]
    assert golden_tensors([])["golden.input_ids"].shape == (0, 0)


def test_the_configuration_survives_as_plain_data(integer_model: IntegerModel) -> None:
    config = {name: integer_model.config[name] for name in ("model", "arithmetic")}
    assert to_dict(from_dict(config))["arithmetic"] == config["arithmetic"]
    assert to_dict(from_dict(config))["model"] == config["model"]
