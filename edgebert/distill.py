"""Losses of a stage: the task's labels, or a teacher's logits and hidden states.

Every loss is a sum over real elements (tokens of padding never count) divided by the
number of real elements of the *whole* batch, which several processes may share. So the
gradients of the processes add up to those of one process that holds the joint batch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgebert.config import DistillConfig
from edgebert.model import Output

UNLABELLED = -100  # class of a sentence without a label; NaN in regression


@dataclass(frozen=True)
class Counts:
    """Real elements of the whole batch, over all processes, that the losses divide by."""

    sentences: int
    tokens: int
    pairs: int  # sum over sentences of tokens squared: the real attention scores of a head
    labelled: int
    unaltered: int  # sentences as they are in the split

    @classmethod
    def of(
        cls,
        lengths: NDArray[np.int64],
        labels: NDArray[Any] | None,
        altered: NDArray[np.bool_] | None = None,
    ) -> "Counts":
        """Counts of a batch of sentences of these lengths. NumPy, so that no GPU is asked.

        altered: (sentences,) which of them lost their label, being changed.
        """
        kept = np.ones(len(lengths), np.bool_) if altered is None else ~altered
        known = 0
        if labels is not None:
            real = ~np.isnan(labels) if labels.dtype.kind == "f" else labels != UNLABELLED
            known = int((real & kept).sum())
        squares = int((lengths * lengths).sum())
        return cls(len(lengths), int(lengths.sum()), squares, known, int(kept.sum()))


def label_loss(logits: Tensor, labels: Tensor, regression: bool, labelled: int) -> Tensor:
    """Cross entropy, or squared error in regression, of the sentences that have a label.

    logits (batch, labels); labels (batch,) int64 classes with `UNLABELLED`, or floats with
    NaN; the sum is divided by `labelled`.
    """
    logits = logits.float()
    if not regression:
        total = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
        return total / max(labelled, 1)
    known = ~labels.isnan()
    error = (logits[:, 0] - labels.float().nan_to_num()) * known
    return error.square().sum() / max(labelled, 1)


def logits_loss(
    student: Tensor, teacher: Tensor, regression: bool, temperature: float, sentences: int
) -> Tensor:
    """Soft cross entropy `-t^2 sum_c softmax(teacher / t)_c log softmax(student / t)_c`.

    The factor t^2 keeps the gradient's size independent of the temperature. Regression:
    squared error.
    """
    student, teacher = student.float(), teacher.float()
    if regression:
        return (student - teacher).square().sum() / sentences
    target = F.softmax(teacher / temperature, dim=-1)
    log_p = F.log_softmax(student / temperature, dim=-1)
    return -(target * log_p).sum() * (temperature**2 / sentences)


def hidden_loss(
    student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], mask: Tensor, tokens: int
) -> Tensor:
    """Sum over the hidden states of the mean squared error over real tokens and channels.

    Each state is (batch, tokens, hidden), `mask` (batch, tokens).
    """
    total = torch.zeros((), device=mask.device)
    weight = mask.unsqueeze(-1).float()
    for ours, theirs in zip(student, teacher, strict=True):
        error = (ours.float() - theirs.float()) * weight
        total = total + error.square().sum() / (tokens * ours.shape[-1])
    return total


def attention_loss(
    student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], mask: Tensor, pairs: int
) -> Tensor:
    """Sum over layers of the mean squared error of the scores of real token pairs.

    Each tensor is (batch, heads, tokens, tokens).
    """
    total = torch.zeros((), device=mask.device)
    real = (mask[:, None, :, None] * mask[:, None, None, :]).bool()
    for ours, theirs in zip(student, teacher, strict=True):
        # where, not a product: a masked score may be minus infinity
        error = torch.where(real, ours.float(), 0.0) - torch.where(real, theirs.float(), 0.0)
        total = total + error.square().sum() / (pairs * ours.shape[1])
    return total


def distill_loss(
    student: Output,
    teacher: Output,
    labels: Tensor,
    mask: Tensor,
    *,
    config: DistillConfig,
    regression: bool,
    counts: Counts,
) -> Tensor:
    """Weighted sum of the losses of a quantized stage; a weight of 0 costs nothing."""
    loss = torch.zeros((), device=mask.device)
    if config.logits:
        loss = loss + config.logits * logits_loss(
            student.logits, teacher.logits, regression, config.temperature, counts.sentences
        )
    if config.hidden:
        loss = loss + config.hidden * hidden_loss(
            student.hidden[config.hidden_from :],
            teacher.hidden[config.hidden_from :],
            mask,
            counts.tokens,
        )
    if config.attention:
        loss = loss + config.attention * attention_loss(
            student.attention, teacher.attention, mask, counts.pairs
        )
    if config.labels:
        loss = loss + config.labels * label_loss(
            student.logits, labels, regression, counts.labelled
        )
    return loss
