"""Elastic quantizers and the linear layers behind them, by the kernels of the CPU.

The same function as `quantizers` through Brevitas; the integer product is exact, where float
products round.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgebert import native, native_ops
from edgebert.quantizers import ElasticQuantizer, weight_signs

if TYPE_CHECKING:
    from edgebert.model import QuantizedLinear


def fits(quantizer: ElasticQuantizer, x: Tensor) -> bool:
    """Whether the kernels can quantize x: one scale, a shift per channel, and no first batch."""
    alone = quantizer.beta.shape == x.shape[-1:] and quantizer.alpha.ndim == 0
    usable = alone and native.usable(x) and not torch.is_autocast_enabled("cpu")
    return usable and quantizer.prepared()


def levels_range(quantizer: ElasticQuantizer) -> tuple[int, int]:
    """Lowest and highest level; equal for signs."""
    signs = quantizer.signed and quantizer.bits == 1
    return (0, 0) if signs else (quantizer.low, quantizer.high)


class _Elastic(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, beta: Tensor, alpha: Tensor, low: int, high: int, triangle: bool
    ) -> Tensor:
        ctx.save_for_backward(x, beta, alpha)
        ctx.settings = low, high, triangle
        return native_ops.elastic_forward(x, beta, alpha, low, high).mul_(alpha)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        result = native_ops.elastic_backward(grads[0], *ctx.saved_tensors, *ctx.settings)
        return (*result, None, None, None)


def quantize(quantizer: ElasticQuantizer, x: Tensor) -> Tensor:
    """The quantizer's value; x must fit."""
    alpha = quantizer.scale(x.numel())
    settings = (*levels_range(quantizer), quantizer.triangle)
    value: Tensor = _Elastic.apply(x, quantizer.beta, alpha, *settings)  # type: ignore[no-untyped-call]
    return value


class _ElasticLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        beta: Tensor,
        alpha: Tensor,
        weight: Tensor,
        bias: Tensor,
        low: int,
        high: int,
        triangle: bool,
    ) -> Tensor:
        levels = native_ops.elastic_forward(x, beta, alpha, low, high)
        signs, scale = weight_signs(weight)
        ctx.save_for_backward(x, beta, alpha, levels, signs, scale)
        ctx.settings = low, high, triangle
        unit = alpha * scale
        if high - low == 3:
            return native_ops.level_matmul(levels, signs, low, unit, bias)
        return native_ops.bit_matmul(levels, signs, unit, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, beta, alpha, levels, signs, scale = ctx.saved_tensors
        low, high, triangle = ctx.settings
        rows, columns = grads[0].flatten(0, -2).contiguous(), levels.flatten(0, -2)
        if high - low == 3:
            grad_weight = rows.T @ columns
        else:
            grad_weight = native_ops.transposed_bit_product(rows, columns)
        grad_weight = grad_weight.mul_(alpha)
        grad_value = native_ops.bit_product(rows, signs).mul_(scale).view(x.shape)
        result = native_ops.elastic_backward(grad_value, x, beta, alpha, low, high, triangle)
        return (*result, grad_weight, rows.sum(0), None, None, None)


def linear(layer: "QuantizedLinear", x: Tensor) -> Tensor:
    """The layer's output; x must fit its quantizer, whose bit width is 1 or 2."""
    quantizer = layer.quantizer
    alpha = quantizer.scale(x.numel())
    settings = (*levels_range(quantizer), quantizer.triangle)
    inputs = (x, quantizer.beta, alpha, layer.weight, layer.bias)
    result: Tensor = _ElasticLinear.apply(*inputs, *settings)  # type: ignore[no-untyped-call]
    return result
