"""How far two models agree on unlabelled text, such as one bit a weight with its teacher.

A label says right or wrong of a sentence; two models' probabilities say how near they are. So on
as many sentences this tells models apart that accuracy doesn't, and any text will do.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.data import Example
from edgebert.errors import UserError
from edgebert.metrics import correlation
from edgebert.scoring import Say, Scorer

Logits = NDArray[np.float64]


def agreement(model: Scorer, other: Scorer, text: list[Example], say: Say) -> dict[str, Any]:
    """The figures of `model` against `other` on the same sentences, as plain data.

    Classes: `same`, the fraction of equal predictions, and `divergence`, the mean of
    `sum_c p_c log(p_c / q_c)` in nats, p the probabilities of `other`, q those of `model`.
    Regression: Pearson's correlation, and the mean absolute difference.
    Raises UserError where the models have other labels, or there are too few sentences.
    """
    if (model.regression, model.labels) != (other.regression, other.labels):
        raise UserError(
            f"expected two models of the same labels, got {_kind(model)} and {_kind(other)}"
        )
    if len(text) < 2:
        raise UserError(f"--text: expected 2 sentences or more, got {len(text)}")
    ours, theirs = (m.logits(m.encode(text, "sentences", say)) for m in (model, other))
    if model.regression:
        difference = float(np.abs(ours - theirs).mean())
        figures = {"pearson": correlation(ours[:, 0], theirs[:, 0]), "difference": difference}
    else:
        same = float((ours.argmax(1) == theirs.argmax(1)).mean())
        figures = {"same": same, "divergence": divergence(ours, theirs)}
    return {"sentences": len(text), "model": model.source, "other": other.source, **figures}


def divergence(logits: Logits, reference: Logits) -> float:
    """Mean Kullback-Leibler divergence, in nats, of (sentences, classes) from the reference."""
    q, p = _log_softmax(logits), _log_softmax(reference)
    return float((np.exp(p) * (p - q)).sum(1).mean())


def _log_softmax(logits: Logits) -> Logits:
    shifted = logits - logits.max(1, keepdims=True)
    result: Logits = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _kind(model: Scorer) -> str:
    return "numbers" if model.regression else ", ".join(model.labels)
