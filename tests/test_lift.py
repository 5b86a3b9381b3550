"""A lifted model computes the integers that it came from, and can be trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgebert.config import ArithmeticConfig, Config, to_dict
from edgebert.deploy import trace_forward
from edgebert.encoder_folder import EncoderFolder
from edgebert.errors import UserError
from edgebert.init import load_quantized_state
from edgebert.lift import lift
from edgebert.model import BinaryBert
from edgebert.zoo import model_file, read_index
from edgebert.zoo.encoders import local_encoder
from export.lower import lower_tensors
from hw.integer_model import IntegerModel, load_integer_model
from hw.reference import run
from tests.trained import ONE, random_batch, small_config, trained_model

Tensors = dict[str, NDArray[Any]]

SIZES: list[dict[str, int]] = [
    {},
    {"layers": 1, "hidden": 9, "heads": 1, "ffn": 7, "token_types": 1},
    {"hidden": 32, "heads": 4, "ffn": 64, "relative_positions": 3},
]
FORMATS = [
    ArithmeticConfig(),
    ArithmeticConfig(fraction_bits=9, word_bits=11, multiplier_bits=10),
    ArithmeticConfig(rsqrt_index_bits=6, exp_bits=8, norm_fraction_bits=16),
]


def lowered(model: BinaryBert) -> IntegerModel:
    """A model's integers, with golden sentences."""
    settings = to_dict(Config(model.config, model.arithmetic))
    labels = [f"label{i}" for i in range(model.labels)] if model.labels > 1 else []
    config = {name: settings[name] for name in ("model", "arithmetic")}
    config |= {"labels": labels, "regression": not labels}
    lengths = [model.config.max_tokens, 3, 7]
    ids, types, _ = random_batch(1, model.config, lengths)
    golden = {
        "golden.input_ids": ids.numpy(),
        "golden.token_type_ids": types.numpy(),
        "golden.lengths": np.array(lengths),
    }
    return IntegerModel(config, {**lower_tensors(model), **golden})


def integers(model: IntegerModel) -> Tensors:
    return {name: t for name, t in model.tensors.items() if not name.startswith("golden.")}


def assert_same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert np.array_equal(found[name], tensor), name


@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize(("sizes", "formats"), list(zip(SIZES, FORMATS, strict=True)))
@pytest.mark.parametrize("labels", [1, 3])
def test_lowering_a_lifted_model_gives_the_same_integers(
    sizes: dict[str, int], formats: ArithmeticConfig, attention: str, labels: int
) -> None:
    config = small_config(attention, **sizes)
    before = lowered(trained_model(config, ONE, True, arithmetic=formats, labels=labels))
    assert_same(lower_tensors(lift(before)), integers(before))


@pytest.mark.parametrize("name", ["tiny-sst2", "mini-stsb"])  # classes, and a regression
def test_the_zoos_models_come_back(name: str) -> None:
    before = load_integer_model(model_file(read_index()[name]))
    assert_same(lower_tensors(lift(before)), integers(before))


@pytest.mark.parametrize("way", [-1, 1])
def test_no_integer_hangs_on_a_rounding(way: int) -> None:
    """Thresholds of nothing, too, whose shift would be an exact zero, which every step moves."""
    before = lowered(trained_model(small_config(relative_positions=3), ONE, True))
    for name, tensor in before.tensors.items():
        if name.endswith("threshold"):
            tensor[: len(tensor) // 2] = 0
    model = lift(before)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(way * 1e-12)
    assert_same(lower_tensors(model), integers(before))


def test_it_computes_what_the_reference_does() -> None:
    before = lowered(trained_model(small_config(), ONE, True))
    ids, types = before["golden.input_ids"][:1], before["golden.token_type_ids"][:1]
    found = trace_forward(
        lift(before), *(torch.from_numpy(x) for x in (ids, types, np.ones_like(ids)))
    )
    for name, expected in run(before, ids[0], types[0]).items():
        assert np.array_equal(found[name][0].numpy(), expected), name


@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_every_parameter_gets_a_gradient_and_training_changes_the_integers(attention: str) -> None:
    config = small_config(attention, relative_positions=3)
    before = lowered(trained_model(config, ONE, True))
    model = lift(before).train()
    # the latent weights of this model are large
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    for step in range(8):
        output = model(*random_batch(step, config, [12, 9, 12, 5]))
        loss = output.logits.float().square().mean()
        (loss + sum((h - 1).square().mean() for h in output.hidden)).backward()
        if not step:
            still = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        optimizer.step()
        optimizer.zero_grad()
    assert still == set()
    after = lower_tensors(model.eval())
    changed = {name for name, t in after.items() if not np.array_equal(t, before[name])}
    assert {"layer.0.query.weight", "layer.0.up.threshold", "layer.1.ffn_norm.gamma"} <= changed


def test_scales_that_no_integer_tells_are_about_those_of_training() -> None:
    """Of the zoo's encoder `tiny`, on the golden sentences of a model that started from it."""
    folder = EncoderFolder(Path(local_encoder("tiny")))
    config = folder.read_config()
    trained = BinaryBert(config.model, config.arithmetic, 2, ONE, deploy=True)
    load_quantized_state(trained, folder.load_stage(ONE, folder.read_info()))
    exported = load_integer_model(model_file(read_index()["tiny-sst2"]))
    golden = {n: t for n, t in exported.tensors.items() if n.startswith("golden.")}
    before = IntegerModel(exported.config, {**lower_tensors(trained.eval()), **golden})
    found = lift(before).state_dict()
    for name, alpha in trained.state_dict().items():
        # training may shrink that of probabilities to nothing, and with it the context's
        if name.endswith("alpha") and not ("probability" in name or "output" in name):
            ratio = found[name] / alpha
            assert (ratio > 0.25).all() and (ratio < 4).all(), (name, ratio)


def test_without_golden_sentences_it_is_one_line() -> None:
    before = lowered(trained_model(small_config(), ONE, True))
    with pytest.raises(UserError, match="expected an integer model with golden sentences"):
        lift(replace(before, tensors=integers(before)))
