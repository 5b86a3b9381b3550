"""The losses equal formulas written out in NumPy, one sentence at a time."""

import math

import numpy as np
import pytest
import torch

from edgebert.config import DistillConfig
from edgebert.distill import (
    UNLABELLED,
    Counts,
    attention_loss,
    distill_loss,
    hidden_loss,
    label_loss,
    logits_loss,
)
from edgebert.model import Output

LENGTHS = [5, 2, 3]
TOKENS, WIDTH, HEADS, CLASSES = 5, 4, 2, 3
MASK = torch.tensor([[1] * n + [0] * (TOKENS - n) for n in LENGTHS])


def outputs(seed: int, classes: int = CLASSES) -> Output:
    g = torch.Generator().manual_seed(seed)
    batch = len(LENGTHS)
    return Output(
        torch.randn(batch, classes, generator=g),
        tuple(torch.randn(batch, TOKENS, WIDTH, generator=g) for _ in range(3)),
        tuple(torch.randn(batch, HEADS, TOKENS, TOKENS, generator=g) for _ in range(2)),
    )


def counts(labels: torch.Tensor) -> Counts:
    return Counts.of(np.array(LENGTHS), labels.numpy())


def test_counts_real_elements_only() -> None:
    labels = torch.tensor([1, UNLABELLED, 0])
    assert counts(labels) == Counts(
        sentences=3, tokens=10, pairs=25 + 4 + 9, labelled=2, unaltered=3
    )
    assert counts(torch.tensor([1.0, math.nan, 0.0])).labelled == 2
    altered = Counts.of(np.array(LENGTHS), labels.numpy(), np.array([True, False, False]))
    assert (altered.sentences, altered.labelled, altered.unaltered) == (3, 1, 2)


def test_label_loss_is_the_mean_negative_log_likelihood_of_labelled_sentences() -> None:
    logits, labels = outputs(0).logits, torch.tensor([2, UNLABELLED, 0])
    x = logits.double().numpy()
    expected = -np.mean([x[i, y] - np.log(np.exp(x[i]).sum()) for i, y in ((0, 2), (2, 0))])
    assert float(label_loss(logits, labels, False, 2)) == pytest.approx(expected, rel=1e-6)


def test_label_loss_of_regression_is_the_mean_squared_error() -> None:
    logits = torch.tensor([[0.5], [7.0], [-1.0]], requires_grad=True)
    loss = label_loss(logits, torch.tensor([1.5, math.nan, 1.0]), True, 2)
    assert float(loss.detach()) == pytest.approx((1.0 + 4.0) / 2)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([-1.0, 0.0, -2.0])


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_logits_loss_is_the_soft_cross_entropy(temperature: float) -> None:
    s, t = outputs(0).logits, outputs(1).logits
    x, y = s.double().numpy() / temperature, t.double().numpy() / temperature
    p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    log_q = x - np.log(np.exp(x).sum(1, keepdims=True))
    expected = temperature**2 * np.mean([-(p[i] @ log_q[i]) for i in range(3)])
    loss = logits_loss(s, t, False, temperature, 3)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_logits_loss_of_regression_is_the_mean_squared_error() -> None:
    s, t = outputs(0, 1).logits, outputs(1, 1).logits
    assert float(logits_loss(s, t, True, 1.0, 3)) == pytest.approx(
        float(np.mean((s - t).numpy() ** 2)), rel=1e-6
    )


def test_hidden_loss_averages_over_real_tokens_of_every_state() -> None:
    s, t = outputs(0).hidden, outputs(1).hidden
    expected = 0.0
    for a, b in zip(s, t, strict=True):
        rows = [(a[i, :n] - b[i, :n]).numpy() for i, n in enumerate(LENGTHS)]
        expected += float(np.mean(np.concatenate(rows).astype(np.float64) ** 2))
    assert float(hidden_loss(s, t, MASK, 10)) == pytest.approx(expected, rel=1e-6)


def test_attention_loss_averages_over_real_pairs_and_bears_minus_infinity() -> None:
    s, t = outputs(0).attention, outputs(1).attention
    s[0][1, :, :, 2:] = -math.inf  # as a masked score would be
    expected = 0.0
    for a, b in zip(s, t, strict=True):
        parts = [(a[i, :, :n, :n] - b[i, :, :n, :n]).numpy().ravel() for i, n in enumerate(LENGTHS)]
        expected += float(np.mean(np.concatenate(parts).astype(np.float64) ** 2))
    assert float(attention_loss(s, t, MASK, 38)) == pytest.approx(expected, rel=1e-6)


def test_distill_loss_is_the_weighted_sum() -> None:
    s, t, labels = outputs(0), outputs(1), torch.tensor([0, 1, UNLABELLED])
    c = counts(labels)
    config = DistillConfig(logits=0.5, hidden=2.0, attention=0.25, labels=3.0, temperature=2.0)
    loss = distill_loss(s, t, labels, MASK, config=config, regression=False, counts=c)
    expected = (
        0.5 * logits_loss(s.logits, t.logits, False, 2.0, 3)
        + 2.0 * hidden_loss(s.hidden, t.hidden, MASK, 10)
        + 0.25 * attention_loss(s.attention, t.attention, MASK, 38)
        + 3.0 * label_loss(s.logits, labels, False, 2)
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_hidden_states_are_compared_from_the_first_that_is_asked_for() -> None:
    s, t, labels = outputs(0), outputs(1), torch.tensor([0, 1, UNLABELLED])
    for first in range(len(s.hidden)):
        config = DistillConfig(logits=0.0, hidden=2.0, hidden_from=first)
        loss = distill_loss(
            s, t, labels, MASK, config=config, regression=False, counts=counts(labels)
        )
        expected = 2.0 * hidden_loss(s.hidden[first:], t.hidden[first:], MASK, 10)
        assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_losses_of_two_halves_add_up_to_the_whole_batch() -> None:
    s, t, labels = outputs(0), outputs(1), torch.tensor([0, 1, 2])
    c = counts(labels)
    config = DistillConfig(attention=1.0, labels=1.0)

    def part(rows: slice) -> float:
        def cut(o: Output) -> Output:
            hidden = tuple(x[rows] for x in o.hidden)
            return Output(o.logits[rows], hidden, tuple(x[rows] for x in o.attention))

        args = (cut(s), cut(t), labels[rows], MASK[rows])
        return float(distill_loss(*args, config=config, regression=False, counts=c))

    assert part(slice(0, 1)) + part(slice(1, 3)) == pytest.approx(part(slice(0, 3)), rel=1e-6)
