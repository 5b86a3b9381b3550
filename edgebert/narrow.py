"""A narrow encoder that begins as the best copy of a wider one, fitted on some text.

Every matrix is a least-squares solution on real tokens, one after the other, so that each makes up
for what those before it lost:

    word, position, type    the wide one's embeddings in the basis of its states' largest variance
    query, key, value, up   give what chosen rows of the wide layer give
    output, down            add what the wide layer adds, reduced to the narrow stream

LayerNorms keep their initial values. The narrow layers follow evenly spaced wide ones; the heads
and inner channels chosen are those that add most to the stream.
"""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgebert.config import ModelConfig
from edgebert.init import chosen_layers
from edgebert.model import BinaryBert, EncoderLayer
from edgebert.regression import fit, least_squares

Batch = tuple[Tensor, Tensor, Tensor]  # ids, types, mask: (batch, tokens) int64


@torch.no_grad()
def narrow(student: BinaryBert, teacher: BinaryBert, batches: Sequence[Batch]) -> None:
    """Let a full-precision student begin as a copy of a wider teacher, both in eval mode.

    Needs a student of at most the teacher's layers and widths, and of the same vocabulary.
    """
    masks = [mask.bool() for _, _, mask in batches]
    chosen = chosen_layers(student.config.layers, teacher.config.layers)
    wide = [_layers(teacher)[i] for i in chosen]
    found = [_Inputs(layer, ("query", "output", "up")) for layer in wide]
    states = [teacher(*batch).hidden for batch in batches]
    _embed(student, teacher, [_gather(layer, masks) for layer in zip(*states, strict=True)])
    x = [student(*batch).hidden[0] for batch in batches]
    for layer, source, inputs in zip(_layers(student), wide, found, strict=True):
        _fit_layer(layer, source, x, masks, [_gather(part, masks) for part in inputs.stop()])
        x = _run(layer, x, masks)


def is_narrower(student: ModelConfig, teacher: ModelConfig) -> bool:
    """Whether `narrow` makes a student of a teacher: nothing larger, the stream narrower."""
    nothing_larger = student.layers <= teacher.layers and student.ffn <= teacher.ffn
    return nothing_larger and student.hidden < teacher.hidden


def _fit_layer(
    layer: EncoderLayer,
    source: EncoderLayer,
    x: Sequence[Tensor],
    masks: Sequence[Tensor],
    inputs: Sequence[Tensor],
) -> None:
    """Fit one narrow layer to a wide one.

    x: the narrow stream of each batch. inputs: of the wide layer's query, output and up matrices,
    (tokens, channels).
    """
    stream, context, middle = inputs

    def reaches(name: str) -> Tensor:
        """The input of one of the narrow layer's matrices as it is now."""
        record = _Inputs(layer, (name,))
        _run(layer, x, masks)
        return _gather(record.stop()[0], masks)

    ours = _gather(x, masks)
    reduction, _ = least_squares(stream, ours)
    width = source.config.head_width
    group = width if len(layer.query.weight) % width == 0 else 1
    rows = _most(reduction @ source.output.weight, context, len(layer.query.weight), group)
    for module, wide in (
        (layer.query, source.query),
        (layer.key, source.key),
        (layer.value, source.value),
    ):
        fit(module, ours, F.linear(stream, wide.weight[rows], wide.bias[rows]))
    fit(layer.output, reaches("output"), source.output(context) @ reduction.T)
    ours = reaches("up")
    reduction, _ = least_squares(middle, ours)
    inner = source.up(middle)
    active = source.activation(inner)
    rows = _most(reduction @ source.down.weight, active, len(layer.up.weight), 1)
    fit(layer.up, ours, inner[:, rows])
    fit(layer.down, reaches("down"), source.down(active) @ reduction.T)


def _layers(model: BinaryBert) -> list[EncoderLayer]:
    return [cast(EncoderLayer, layer) for layer in model.layers]


def _run(layer: EncoderLayer, x: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
    return [layer(part, mask[:, None, None, :])[0] for part, mask in zip(x, masks, strict=True)]


def _gather(padded: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """(real tokens of all batches, channels) from a (batch, tokens, channels) of each."""
    return torch.cat([x[mask] for x, mask in zip(padded, masks, strict=True)])


class _Inputs:
    """Records the inputs of some matrices of a layer, batch by batch."""

    def __init__(self, layer: EncoderLayer, names: tuple[str, ...]) -> None:
        self._found: dict[str, list[Tensor]] = {name: [] for name in names}
        self._hooks = [
            getattr(layer, name).register_forward_pre_hook(partial(self._keep, name))
            for name in names
        ]

    def stop(self) -> list[list[Tensor]]:
        """End it; what was recorded of each."""
        for hook in self._hooks:
            hook.remove()
        return list(self._found.values())

    def _keep(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._found[name].append(inputs[0])


def _embed(student: BinaryBert, teacher: BinaryBert, states: Sequence[Tensor]) -> None:
    """Embeddings in the basis of the largest variance of all states, every state counted alike."""
    total = sum(_correlation(x) for x in states)
    assert isinstance(total, Tensor)
    basis = torch.linalg.eigh(total)[1].flip(1)[:, : student.config.hidden].float()
    basis = basis * teacher.embedding_norm.weight[:, None]  # LayerNorm's gamma comes first
    for name in ("word", "position", "token_type"):
        ours, theirs = getattr(student, name).weight, getattr(teacher, name).weight
        ours.copy_(theirs[: len(ours)] @ basis)


def _correlation(x: Tensor) -> Tensor:
    """(channels, channels) covariance of rows, its trace made 1."""
    centred = x - x.mean(0)
    covariance = (centred.T @ centred).double()
    normalised: Tensor = covariance / covariance.trace()
    return normalised


def _most(weight: Tensor, x: Tensor, count: int, group: int) -> Tensor:
    """Indices of `count` inputs of a matrix, in whole groups, that change its output most."""
    spread = (x - x.mean(0)).square().mean(0) * weight.square().sum(0)
    groups = spread.unflatten(0, (-1, group)).sum(1).topk(count // group).indices.sort()[0]
    offsets = torch.arange(group, device=x.device)
    indices: Tensor = (groups[:, None] * group + offsets).flatten()
    return indices
