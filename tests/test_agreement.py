"""How far two models agree on text, by hand-made logits."""

import math

import numpy as np
import pytest

from edgebert.agreement import agreement, divergence
from edgebert.data import Example
from edgebert.errors import UserError
from edgebert.scoring import Scorer
from edgebert.tokenizer import Tokenizer

TEXT = [Example("good"), Example("bad"), Example("a film")]
CLASSES = ("negative", "positive")


def scorer(rows: list[list[float]], labels: tuple[str, ...] = CLASSES) -> Scorer:
    """A model that gives these logits."""
    return Scorer(
        engine="torch",
        task="csv",
        labels=labels,
        regression=not labels,
        tokenizer=Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good"], 8),
        logits=lambda split: np.array(rows),
        source={"rows": rows},
    )


def test_equal_models_agree() -> None:
    model = scorer([[1.0, 2.0], [3.0, -1.0], [0.0, 0.0]])
    found = agreement(model, model, TEXT, print)
    assert found["sentences"] == 3 and found["same"] == 1.0 and found["divergence"] == 0.0


def test_classes_by_hand() -> None:
    model = scorer([[0.0, math.log(3)], [0.0, 0.0], [5.0, 4.0]])  # 1/4, 3/4; 1/2, 1/2
    other = scorer([[math.log(3), 0.0], [0.0, math.log(3)], [5.0, 4.0]])
    found = agreement(model, other, TEXT, print)
    assert found["same"] == pytest.approx(1 / 3)
    first = 3 / 4 * math.log(3) + 1 / 4 * math.log(1 / 3)
    second = 1 / 4 * math.log(1 / 2) + 3 / 4 * math.log(3 / 2)
    assert found["divergence"] == pytest.approx((first + second) / 3)
    assert found["model"] == model.source and found["other"] == other.source


def test_divergence_is_of_the_reference_and_needs_no_small_logits() -> None:
    a, b = np.array([[1000.0, 0.0]]), np.array([[0.0, 0.0]])
    assert divergence(a, b) == pytest.approx(500 - math.log(2))
    assert divergence(b, a) == pytest.approx(math.log(2))


def test_regression_by_hand() -> None:
    found = agreement(
        scorer([[1.0], [2.0], [3.0]], ()), scorer([[3.0], [5.0], [7.0]], ()), TEXT, print
    )
    assert found["pearson"] == pytest.approx(1.0) and found["difference"] == pytest.approx(3.0)


def test_what_cannot_be_compared_is_one_line() -> None:
    model = scorer([[1.0, 2.0]] * 3)
    with pytest.raises(UserError, match="same labels, got negative, positive and numbers"):
        agreement(model, scorer([[1.0]] * 3, ()), TEXT, print)
    with pytest.raises(UserError, match="expected 2 sentences or more, got 1"):
        agreement(model, model, TEXT[:1], print)
