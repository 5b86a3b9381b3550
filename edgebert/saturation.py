"""How much of the residual stream lies at the end of its word.

LayerNorm takes the scale out of what is added to the residual, so nothing holds that scale but the
loss: in a long training it can grow until sums are clipped, and then what was there before the sum
is lost, while gradients pass as if nothing was.
"""

import torch
from torch import Tensor

from edgebert.deploy import trace_forward
from edgebert.model import BinaryBert

Inputs = tuple[Tensor, Tensor, Tensor]  # ids, types, mask: (batch, tokens)

MUCH = 0.01  # of a sum's elements


def saturation(model: BinaryBert, inputs: Inputs) -> dict[str, float]:
    """The fraction of each saturating sum's real elements that lie at an end of its word.

    model: W1A1, in the deployed arithmetic. By the names of docs/arithmetic.md, such as
    `layer.0.ffn_norm.sum`; sums without any are left out.
    """
    real, trace = inputs[2].bool(), trace_forward(model, *inputs)
    sums = {n: values[real] for n, values in trace.items() if n.endswith("_norm.sum")}
    found = {name: _at_the_ends(model, values) for name, values in sums.items()}
    return {name: fraction for name, fraction in found.items() if fraction}


@torch.no_grad()
def shrink_sums(model: BinaryBert, inputs: Inputs) -> dict[str, float]:
    """Scale down what saturates sums much: matrices that then add as much as the residual is.

    That is, the standard deviation of what they add becomes that of the residual. Their signs stay,
    and as LayerNorm takes a sum's scale, not much of it changes but that the residual counts again.
    model: as for `saturation`. The factor by the matrix's name, such as `layer.0.down`.
    """
    real, trace, folded = inputs[2].bool(), trace_forward(model, *inputs), model.folded()
    factors = {}
    residual = "embedding.residual"
    for i, layer in enumerate(model.layers):
        for matrix, norm in (("output", "attention_norm"), ("down", "ffn_norm")):
            name, result = f"layer.{i}.{matrix}", f"layer.{i}.{norm}.residual"
            if _at_the_ends(model, trace[f"layer.{i}.{norm}.sum"][real]) >= MUCH:
                m, n, bias = folded.requantization(name)
                added = (trace[f"{name}.accumulator"][real] * m + bias) * 2.0**-n
                factors[name] = float(trace[residual][real].double().std() / added.std())
                for parameter in getattr(layer, matrix).parameters(recurse=False):
                    parameter.mul_(factors[name])
            residual = result
    model.changed()
    return factors


def _at_the_ends(model: BinaryBert, values: Tensor) -> float:
    """The fraction of integers at an end of the residual's word."""
    largest = 2 ** (model.arithmetic.word_bits - 1)
    return float(((values >= largest - 1) | (values <= -largest)).float().mean())


def advice(found: dict[str, float]) -> str | None:
    """One line where a sum saturates much; None where none does."""
    if not found:
        return None
    name = max(found, key=lambda key: found[key])
    if found[name] < MUCH:
        return None
    return (
        f"note: {found[name]:.1%} of {name} saturate; if that grows, train with a smaller --lr, "
        "or with fewer arithmetic.fraction_bits; or start another run from this one with "
        "train.shrink_sums=true"
    )
