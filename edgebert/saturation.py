"""How much of the residual stream lies at the end of its word.

LayerNorm takes the scale out of what is added to the residual, so nothing holds that scale but the
loss: in a long training it can grow until sums are clipped, and then what was there before the sum
is lost, while gradients pass as if nothing was.
"""

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
    largest = 2 ** (model.arithmetic.word_bits - 1)
    real = inputs[2].bool()
    found = {}
    for name, values in trace_forward(model, *inputs).items():
        if name.endswith("_norm.sum"):
            ends = (values[real] >= largest - 1) | (values[real] <= -largest)
            found[name] = float(ends.float().mean())
    return {name: fraction for name, fraction in found.items() if fraction}


def advice(found: dict[str, float]) -> str | None:
    """One line where a sum saturates much; None where none does."""
    if not found:
        return None
    name = max(found, key=lambda key: found[key])
    if found[name] < MUCH:
        return None
    return (
        f"note: {found[name]:.1%} of {name} saturate; if that grows, train with a smaller --lr, "
        "or with fewer arithmetic.fraction_bits"
    )
