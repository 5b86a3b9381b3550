"""Narrow encoders that begin as copies of wider ones."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgebert.config import ModelConfig, PretrainConfig
from edgebert.encoder_loss import EncoderDistiller, Recorder
from edgebert.model import BinaryBert
from edgebert.narrow import is_narrower, narrow
from edgebert.regression import fit, least_squares
from tests.trained import FULL, random_batch, small_config, small_model


def test_least_squares_is_the_solution_of_lstsq() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 3 + torch.randn(300, 5, generator=generator)
    y = x @ torch.randn(5, 4, generator=generator) + torch.randn(300, 4, generator=generator)
    weight, bias = least_squares(x, y)
    design = np.c_[x.double().numpy(), np.ones(len(x))]
    expected = np.linalg.lstsq(design, y.double().numpy(), rcond=None)[0]
    np.testing.assert_allclose(weight.numpy(), expected[:5].T, atol=2e-3)
    np.testing.assert_allclose(bias.numpy(), expected[5], atol=1e-2)
    layer = nn.Linear(5, 4)
    fit(layer, x, y)
    assert torch.equal(layer.weight, weight) and torch.equal(layer.bias, bias)


def test_fewer_tokens_than_channels_have_a_solution() -> None:
    x, y = torch.randn(3, 5), torch.randn(3, 2)
    weight, bias = least_squares(x, y)
    torch.testing.assert_close(x @ weight.T + bias, y, rtol=0, atol=1e-2)


@pytest.fixture(scope="module")
def teacher() -> BinaryBert:
    """Weights so large that every layer matters; states of few directions, as real ones are."""
    model = small_model(small_config(layers=4, vocab=40), FULL, seed=1).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(10)
            elif name.endswith("norm.weight"):
                parameter.copy_(torch.linspace(2.0, 0.1, len(parameter)))
    return model


def batches(model: BinaryBert, seed: int, count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [random_batch(seed + i, model.config, [12, 9, 5, 11, 3, 12]) for i in range(count)]


def narrow_config(**sizes: int) -> ModelConfig:
    return small_config(**{"hidden": 16, "heads": 2, "ffn": 32, "vocab": 40, **sizes})


def unexplained(student: BinaryBert, teacher: BinaryBert) -> list[float]:
    """Part of the variance of the teacher's states that the best maps of a student's leave."""
    model = EncoderDistiller(student, 4, 24, PretrainConfig(relation_heads=4))
    ours, theirs = Recorder(student), Recorder(teacher)
    with torch.no_grad():
        known, fresh = batches(teacher, 0, 30), batches(teacher, 100, 10)
        model.fit([ours(b) for b in known], [theirs(b) for b in known], [b[2] for b in known])
        rows = [[float(v) for v in model.state_losses(ours(b), theirs(b), b[2])] for b in fresh]
    return [float(value) for value in np.mean(rows, axis=0)]


@pytest.mark.parametrize("layers", [2, 4])
def test_a_narrow_copy_knows_more_of_every_state_than_a_random_start(
    teacher: BinaryBert, layers: int
) -> None:
    random = small_model(narrow_config(layers=layers), FULL, labels=24).eval()
    copy = small_model(narrow_config(layers=layers), FULL, labels=24).eval()
    narrow(copy, teacher, batches(teacher, 200, 30))
    pairs = list(zip(unexplained(copy, teacher), unexplained(random, teacher), strict=True))
    assert all(ours < theirs for ours, theirs in pairs), pairs
    assert all(ours < 0.7 * theirs for ours, theirs in pairs[:2]), pairs


def test_the_same_text_gives_the_same_copy(teacher: BinaryBert) -> None:
    first, second = (small_model(narrow_config(), FULL, seed=seed).eval() for seed in (0, 1))
    for model in (first, second):  # whatever was there before
        narrow(model, teacher, batches(teacher, 0, 3))
    for name, tensor in first.state_dict().items():
        if not name.startswith(("pooler", "classifier")):
            assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [({}, True), ({"hidden": 24}, False), ({"layers": 5}, False), ({"ffn": 41}, False)],
)
def test_only_what_is_smaller_is_a_narrow_copy(
    teacher: BinaryBert, sizes: dict[str, int], expected: bool
) -> None:
    assert is_narrower(narrow_config(**sizes), teacher.config) == expected
