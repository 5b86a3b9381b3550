"""The differentiable LayerNorm of the deployed arithmetic; see integer_ops."""

from typing import Any

import torch
from torch import Tensor

from edgebert import native, native_ops
from edgebert.config import ArithmeticConfig
from edgebert.folding import power_of_two, round_shift


class _IntegerLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        constants: tuple[Tensor, Tensor, Tensor],
        fraction_bits: int,
        formats: ArithmeticConfig,
    ) -> Tensor:
        forward = native_ops.layer_norm_forward if native.usable(x) else _layer_norm_forward
        y, mean, rstd = forward(x, constants, fraction_bits, formats)
        ctx.save_for_backward(x, mean, rstd, gamma, beta)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, rstd, gamma, beta = ctx.saved_tensors
        result = torch.ops.aten.native_layer_norm_backward(
            grads[0].contiguous(), x, [x.shape[-1]], mean, rstd, gamma, beta, [True, True, True]
        )
        return result[0], result[1], result[2], None, None, None


def _layer_norm_forward(
    x: Tensor,
    constants: tuple[Tensor, Tensor, Tensor],
    fraction_bits: int,
    formats: ArithmeticConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Result, and each row's mean and reciprocal deviation."""
    width = x.shape[-1]
    b, q, f = formats.rsqrt_index_bits, formats.norm_fraction_bits, formats.fraction_bits
    gammas, betas, table = constants
    wide = x.double().mul_(2.0**fraction_bits)
    mean = round_shift(wide.sum(-1, keepdim=True) * round(2**24 / width), 24)
    centred = wide.sub_(mean)
    squares = centred.square().sum(-1, keepdim=True)
    length = torch.frexp(squares)[1]  # bit length; 0 for V = 0
    k = torch.div(length - b + 1, 2, rounding_mode="floor")
    index = torch.floor(squares * power_of_two(-2 * k)).clamp_min(2 ** (b - 2))  # V = 0
    root = table[(index - 2 ** (b - 2)).to(torch.int64)]
    z = centred.mul_(root * power_of_two(q - 14 - b // 2 - k))
    y = z.add_(0.5).floor_().mul_(gammas).add_(betas)
    y = y.mul_(2.0 ** -(q + formats.gamma_fraction_bits - f)).add_(0.5).floor_()
    largest = 2.0 ** (formats.word_bits - 1)
    y = y.clamp_(-largest, largest - 1).mul_(2.0**-f).to(x.dtype)
    unit = 2.0**-fraction_bits
    rstd = (squares * (unit * unit / width)).clamp_min(unit * unit).rsqrt().to(x.dtype)
    return y, (mean * unit).to(x.dtype), rstd


def integer_layer_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    constants: tuple[Tensor, Tensor, Tensor],
    fraction_bits: int,
    formats: ArithmeticConfig,
) -> Tensor:
    """LayerNorm of docs/arithmetic.md; constants (gamma, beta, rsqrt table) as integers.

    x lies on the grid 2^-fraction_bits, the result on the residual's. Gradient: LayerNorm's.
    """
    result: Tensor = _IntegerLayerNorm.apply(x, gamma, beta, constants, fraction_bits, formats)  # type: ignore[no-untyped-call]
    return result
