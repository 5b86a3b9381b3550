"""Losses by which an encoder learns from a larger one on plain text, whatever their sizes.

As in edgebert.distill, each is a sum over real tokens divided by the real tokens of the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgebert.config import PretrainConfig
from edgebert.init import chosen_layers
from edgebert.model import BinaryBert, Output
from edgebert.regression import fit

MASKED = -1e9  # a score that no real one comes near, yet finite: 0 times it is 0

Batch = tuple[Tensor, Tensor, Tensor]  # ids, types, mask: (batch, tokens) int64


@dataclass(frozen=True)
class Encoded:
    """What an encoder computes of a batch: its output, and Q, K and V of its last layer.

    qkv: three of (batch, tokens, hidden), before they are split into heads.
    """

    output: Output
    qkv: tuple[Tensor, ...]


class Recorder:
    """Runs a model and keeps what its last layer's query, key and value matrices give."""

    NAMES = ("query", "key", "value")

    def __init__(self, model: BinaryBert) -> None:
        self.model = model
        self._found: dict[str, Tensor] = {}
        for name in self.NAMES:
            getattr(model.layers[-1], name).register_forward_hook(partial(self._keep, name))

    def __call__(self, batch: Batch) -> Encoded:
        output = self.model(*batch)
        found, self._found = self._found, {}
        return Encoded(output, tuple(found[name] for name in self.NAMES))

    def _keep(self, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._found[name] = output


class Identity(nn.Module):
    """Leaves a student's states as they are, and knows the variance of its teacher's."""

    variance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("variance", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.no_grad()
    def fit(self, student: Tensor, teacher: Tensor) -> None:
        """Take the variance of some states: (tokens, student), (tokens, teacher)."""
        self.variance.copy_(_variance(teacher))


class Projection(nn.Linear):
    """Maps a student's states to a teacher's, and knows the variance of those."""

    variance: Tensor

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__(student, teacher)
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def fit(self, student: Tensor, teacher: Tensor) -> None:
        """Begin with the least-squares map of some states: (tokens, student), (tokens, teacher)."""
        fit(self, student, teacher)
        self.variance.copy_(_variance(teacher))


class EncoderDistiller(nn.Module):
    """A student with its projections, and the losses against a teacher's results.

    The student's classifier, of as many outputs as the teacher is wide, predicts the teacher's
    sentence embedding; neither it nor the projections outlive the distillation. A quantized
    student has its teacher's layers and width, so its states are compared as they are.
    """

    def __init__(self, student: BinaryBert, layers: int, width: int, config: PretrainConfig):
        """layers, width: of the teacher."""
        super().__init__()
        self.student = student
        self.settings = config
        # Hidden state 0 is the embedding; state i is what layer i gives, counted from 1.
        count = student.config.layers
        self.states = [0, *(layer + 1 for layer in chosen_layers(count, layers))]
        hidden, learned = student.config.hidden, student.bits.weight == 32
        self.projections = nn.ModuleList(
            Projection(hidden, width) if learned else Identity() for _ in self.states
        )

    def fit(
        self, students: Sequence[Encoded], teachers: Sequence[Encoded], masks: Sequence[Tensor]
    ) -> None:
        """Let the projections begin with what fits some batches best."""
        for i, state in enumerate(self.states):
            pairs = [
                (ours.output.hidden[i][mask.bool()], theirs.output.hidden[state][mask.bool()])
                for ours, theirs, mask in zip(students, teachers, masks, strict=True)
            ]
            x, y = (torch.cat(side) for side in zip(*pairs, strict=True))
            self.projection(i).fit(x, y)

    def projection(self, i: int) -> Projection | Identity:
        """From the student's hidden state i."""
        return cast(Projection | Identity, self.projections[i])

    def losses(self, ours: Encoded, theirs: Encoded, mask: Tensor) -> dict[str, Tensor]:
        """The losses of weight above 0 by name, unweighted."""
        c = self.settings
        result = {}
        if c.relations:
            result["relations"] = sum(
                (
                    relation_loss(a, b, mask, c.relation_heads)
                    for a, b in zip(ours.qkv, theirs.qkv, strict=True)
                ),
                start=torch.zeros((), device=mask.device),
            )
        first = 0 if c.embedding else 1
        last = len(self.states) if c.hidden else 1
        states = self.state_losses(ours, theirs, mask)[first:last]
        if c.embedding:
            result["embedding"] = states.pop(0)
        if c.hidden:
            result["hidden"] = torch.stack(states).mean()
        if c.sentence:
            result["sentence"] = sentence_loss(ours.output.logits, theirs.output.hidden[-1], mask)
        return result

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum."""
        parts = [getattr(self.settings, name) * loss for name, loss in losses.items()]
        return torch.stack(parts).sum()

    def state_losses(self, ours: Encoded, theirs: Encoded, mask: Tensor) -> list[Tensor]:
        """Of the embedding and of the state after each of the student's layers."""
        return [
            projected_loss(
                self.projection(i), ours.output.hidden[i], theirs.output.hidden[state], mask
            )
            for i, state in enumerate(self.states)
        ]


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Divergence of two encoders' relations (MiniLMv2, arXiv 2012.15828), a real token and head.

    The relation of a token in a head is softmax_j(x_i x_j / sqrt(d)) over the real tokens j, with
    x one of Q, K, V, (batch, tokens, width), cut into `heads` of width d, which may differ between
    student and teacher. The result is the mean of KL(teacher's || student's).
    """
    real = mask.bool()
    ours = _log_relations(student, real, heads)
    theirs = _log_relations(teacher, real, heads)
    divergence = (theirs.exp() * (theirs - ours)).sum(-1)  # (batch, heads, tokens)
    result: Tensor = (divergence * real[:, None]).sum() / (real.sum() * heads)
    return result


def projected_loss(
    projection: Projection | Identity, student: Tensor, teacher: Tensor, mask: Tensor
) -> Tensor:
    """Mean squared error of projected states, (batch, tokens, width), by the teacher's variance.

    So 1 is what a constant would reach, at every layer of every teacher.
    """
    error = (projection(student).float() - teacher.float()) * mask.unsqueeze(-1)
    result: Tensor = error.square().sum() / mask.sum() / teacher.shape[-1] / projection.variance
    return result


def sentence_loss(student: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """Mean of 1 - cos of predicted and real sentence embedding.

    student: (batch, width), the prediction. states: (batch, tokens, width), the teacher's last;
    their mean over real tokens is its embedding of the sentence.
    """
    real = mask.unsqueeze(-1)
    mean = (states.float() * real).sum(1) / real.sum(1)
    return 1 - F.cosine_similarity(student.float(), mean, dim=-1).mean()


def _variance(states: Tensor) -> Tensor:
    """Of (tokens, width), about each channel's mean."""
    centred = states - states.mean(0)
    return centred.square().mean().clamp(min=1e-12)


def _log_relations(x: Tensor, real: Tensor, heads: int) -> Tensor:
    """(batch, heads, tokens, tokens) logarithms."""
    split = x.float().unflatten(-1, (heads, -1)).transpose(1, 2)
    scores = (split @ split.transpose(-1, -2)) * split.shape[-1] ** -0.5
    logarithms: Tensor = scores.masked_fill(~real[:, None, None, :], MASKED).log_softmax(-1)
    return logarithms
