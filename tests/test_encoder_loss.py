"""The losses of pre-training equal formulas written out in NumPy, one token at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgebert.config import PretrainConfig
from edgebert.encoder_loss import (
    EncoderDistiller,
    Projection,
    Recorder,
    projected_loss,
    relation_loss,
    sentence_loss,
)
from tests.trained import FULL, random_batch, small_config, small_model

LENGTHS = [5, 2, 3]
TOKENS = 6  # the last one is padding everywhere
MASK = torch.tensor([[1] * n + [0] * (TOKENS - n) for n in LENGTHS])


def states(seed: int, width: int, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(len(LENGTHS), TOKENS, width, generator=generator)


def relations(x: NDArray[np.float64], head: int, width: int) -> NDArray[np.float64]:
    """Rows of softmax over the tokens of one sentence."""
    part = x[:, head * width : (head + 1) * width]
    result = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        scores = [np.dot(part[i], part[j]) / np.sqrt(width) for j in range(len(x))]
        result[i] = np.exp(scores) / np.sum(np.exp(scores))
    return result


def test_relation_loss_is_the_divergence_of_the_teachers_relations() -> None:
    student, teacher, heads = states(0, 8), states(1, 12), 4
    total, rows = 0.0, 0
    for b, n in enumerate(LENGTHS):
        ours, theirs = (x[b, :n].double().numpy() for x in (student, teacher))
        rows += n * heads
        for head in range(heads):
            q, p = relations(ours, head, 2), relations(theirs, head, 3)
            total += float(np.sum(p * np.log(p / q)))
    assert float(relation_loss(student, teacher, MASK, heads)) == pytest.approx(
        total / rows, rel=1e-5
    )


def test_equal_relations_have_no_loss_and_no_gradient() -> None:
    x = states(0, 8, spread=3.0).requires_grad_()
    loss = relation_loss(x, x.detach() + 0, MASK, 4)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert x.grad is not None and float(x.grad.abs().max()) < 1e-6


def test_projected_loss_is_the_squared_error_by_the_teachers_variance() -> None:
    torch.manual_seed(0)
    projection = Projection(8, 12)
    projection.variance.fill_(2.5)
    student, teacher = states(0, 8), states(1, 12)
    weight, bias = (p.detach().double().numpy() for p in (projection.weight, projection.bias))
    errors = [
        (weight @ student[b, t].double().numpy() + bias - teacher[b, t].double().numpy()) ** 2
        for b, n in enumerate(LENGTHS)
        for t in range(n)
    ]
    loss = projected_loss(projection, student, teacher, MASK)
    assert loss.item() == pytest.approx(float(np.mean(errors)) / 2.5, rel=1e-5)


def test_sentence_loss_is_the_angle_to_the_mean_of_the_teachers_states() -> None:
    prediction, teacher = states(0, 12)[:, 0], states(1, 12)
    expected = []
    for b, n in enumerate(LENGTHS):
        ours, mean = prediction[b].double().numpy(), teacher[b, :n].double().numpy().mean(0)
        expected.append(1 - ours @ mean / np.linalg.norm(ours) / np.linalg.norm(mean))
    assert float(sentence_loss(prediction, teacher, MASK)) == pytest.approx(
        float(np.mean(expected)), rel=1e-5
    )


def test_a_projection_begins_as_the_least_squares_map() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=generator) * torch.tensor([1.0, 3.0, 0.5, 2.0])
    y = 2 + x @ torch.randn(4, 6, generator=generator) + torch.randn(200, 6, generator=generator)
    projection = Projection(4, 6)
    projection.fit(x, y)
    design = np.c_[x.double().numpy(), np.ones(len(x))]
    solution = np.linalg.lstsq(design, y.double().numpy(), rcond=None)[0]
    np.testing.assert_allclose(projection.weight.detach().numpy(), solution[:4].T, atol=1e-2)
    np.testing.assert_allclose(projection.bias.detach().numpy(), solution[4], atol=1e-2)
    assert float(projection.variance) == pytest.approx(y.numpy().var(0).mean(), rel=1e-5)


def test_a_recorder_gives_the_last_layers_query_key_and_value() -> None:
    model = small_model(small_config(), FULL).eval()
    batch = random_batch(0, model.config, [5, 3])
    encoded = Recorder(model)(batch)
    last = model.layers[-1]
    for found, part in zip(encoded.qkv, (last.query, last.key, last.value), strict=True):
        assert torch.equal(found, part(encoded.output.hidden[-2]))
    assert torch.equal(encoded.output.logits, model(*batch).logits)


def distiller(**weights: float) -> tuple[EncoderDistiller, Recorder, Recorder]:
    """A student of 2 layers of 16 channels, and a teacher of 4 of 24."""
    student = small_model(small_config(hidden=16, heads=2), FULL, labels=24)
    teacher = small_model(small_config(layers=4), FULL, seed=1).eval()
    with torch.no_grad():  # so large that attention is far from even
        for model in (student, teacher):
            for parameter in model.parameters():
                parameter.mul_(10 if parameter.ndim == 2 else 1)
    config = PretrainConfig(relation_heads=4, **weights)  # type: ignore[arg-type]
    return EncoderDistiller(student, 4, 24, config), Recorder(student), Recorder(teacher)


def test_chosen_layers_teach_and_the_total_is_weighted() -> None:
    model, student, teacher = distiller(relations=2.0, hidden=3.0, embedding=0.5, sentence=0.25)
    assert model.states == [0, 2, 4]
    batch = random_batch(0, student.model.config, [5, 3, 4], pad=1)
    ours, theirs = student(batch), teacher(batch)
    losses = model.losses(ours, theirs, batch[2])
    each = [
        projected_loss(model.projection(i), a, theirs.output.hidden[state], batch[2]).item()
        for i, (a, state) in enumerate(zip(ours.output.hidden, model.states, strict=True))
    ]
    values = {name: loss.item() for name, loss in losses.items()}
    assert values["embedding"] == pytest.approx(each[0])
    assert values["hidden"] == pytest.approx((each[1] + each[2]) / 2)
    qkv = [
        relation_loss(a, b, batch[2], 4).item() for a, b in zip(ours.qkv, theirs.qkv, strict=True)
    ]
    assert values["relations"] == pytest.approx(sum(qkv)) and min(qkv) > 0
    expected = 2 * values["relations"] + 3 * values["hidden"]
    expected += 0.5 * values["embedding"] + 0.25 * values["sentence"]
    assert model.total(losses).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["relations", "hidden", "embedding", "sentence"])
def test_a_loss_of_weight_0_is_left_out(name: str) -> None:
    everything = ("relations", "hidden", "embedding", "sentence")
    model, student, teacher = distiller(**{n: float(n == name) for n in everything})
    batch = random_batch(0, student.model.config, [5, 3])
    losses = model.losses(student(batch), teacher(batch), batch[2])
    assert list(losses) == [name] and losses[name].item() > 0


def test_padding_changes_nothing() -> None:
    model, student, teacher = distiller()
    student.model.eval()
    batch = random_batch(0, student.model.config, [5, 3])
    longer = tuple(F.pad(tensor, (0, 3)) for tensor in batch)
    longer[0][longer[2] == 0] = 7
    values = []
    for ids, types, mask in (batch, longer):
        losses = model.losses(student((ids, types, mask)), teacher((ids, types, mask)), mask)
        values.append([loss.item() for loss in losses.values()])
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_fitting_lowers_the_states_losses_to_at_most_a_constants() -> None:
    model, student, teacher = distiller()
    student.model.eval()
    batch = random_batch(0, student.model.config, [12] * 40)
    ours, theirs = student(batch), teacher(batch)
    model.fit([ours], [theirs], [batch[2]])
    losses = model.losses(ours, theirs, batch[2])
    assert losses["hidden"].item() < 1 and losses["embedding"].item() < 1
