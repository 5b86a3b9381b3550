"""Differentiable operators of the deployed arithmetic.

Each forward pass computes the integers of docs/arithmetic.md, each backward pass the gradient of
the float operator that they stand for. The residual stream is a float32 tensor on the grid
2^-fraction_bits; bits and accumulators are integer-valued float32 (|x| < 2^24: exact); wider
intermediates are float64. On CPUs edgebert/kernels computes the same in fewer passes; the torch
operators here are the reference.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebert import native, native_ops
from edgebert.attention_ops import relative_scores, softmax_threshold, threshold_scores
from edgebert.config import ArithmeticConfig
from edgebert.norm_ops import integer_layer_norm
from edgebert.quantizers import sign_slope

__all__ = [
    "Accumulator",
    "int8_matmul",
    "integer_layer_norm",
    "integer_matmul",
    "on_grid",
    "relative_scores",
    "requantize",
    "saturate",
    "saturating_add",
    "sign_matmul",
    "softmax_threshold",
    "threshold_relu",
    "threshold_scores",
    "threshold_sign",
]


FEW_ROWS = 16  # up to which preparing the bits costs more than it saves


@dataclass(frozen=True)
class Accumulator:
    """Integers of a matrix product, and the unit and bias that make them a float number."""

    integers: Tensor  # (..., channels)
    unit: Tensor  # () or (channels,)
    bias: Tensor | None  # (channels,)


class _SignMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, bits: Tensor, weight: Tensor, signs: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(bits, signs, scale)
        return integer_matmul(bits, signs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        bits, signs, scale = ctx.saved_tensors
        rows = grads[0].flatten(0, -2)
        grad_bits = None
        if ctx.needs_input_grad[0]:
            grad_bits = times_signs(rows, signs).view(bits.shape)
        grad_weight = transposed_times_bits(rows, bits.flatten(0, -2)).div_(scale)
        return grad_bits, grad_weight, None, None


def sign_matmul(bits: Tensor, weight: Tensor, signs: Tensor, scale: Tensor) -> Tensor:
    """`bits @ signs.T`; `signs` and `scale` are `weight_signs(weight)`.

    Gradient: to bits through the signs; to the latent weight straight through, that is the
    gradient of `scale * signs`.
    """
    result: Tensor = _SignMatmul.apply(bits, weight, signs, scale)  # type: ignore[no-untyped-call]
    return result


def times_signs(rows: Tensor, signs: Tensor) -> Tensor:
    """`rows @ signs`, float32 (rows, outputs) and {-1,+1} (outputs, inputs)."""
    rows = rows.contiguous()
    if rows.shape[0] > FEW_ROWS and native.usable(rows, signs):
        return native_ops.bit_product(rows, signs)
    return rows @ signs


def transposed_times_bits(rows: Tensor, bits: Tensor) -> Tensor:
    """`rows.T @ bits`, float32 (rows, outputs) and bits (rows, inputs), all {-1,+1} or {0,1}."""
    rows = rows.contiguous()
    if rows.shape[0] > FEW_ROWS and native.usable(rows, bits):
        return native_ops.transposed_bit_product(rows, bits)
    return rows.T @ bits


def integer_matmul(bits: Tensor, signs: Tensor) -> Tensor:
    """`bits @ signs.T` exactly, float32 in and out.

    bits all in {-1,+1} or all in {0,1}. By the kernels on CPUs; without them by torch, in int8 on
    GPUs and on CPUs with VNNI, else in float32, which is just as exact below 2^24 (int8 products
    are emulated there, and slow).
    """
    rows = bits.reshape(-1, bits.shape[-1])
    many = rows.shape[0] > FEW_ROWS
    if many and native.usable(bits, signs):
        return native_ops.bit_matmul(bits, signs)
    aligned = many and bits.shape[-1] % 16 == 0 and signs.shape[0] % 16 == 0
    if aligned and (bits.is_cuda or _has_vnni()):
        return int8_matmul(rows, signs).view(*bits.shape[:-1], signs.shape[0])
    return F.linear(bits, signs)


def int8_matmul(rows: Tensor, signs: Tensor) -> Tensor:
    """`rows @ signs.T` through int8 with int32 accumulation; float32 in and out."""
    return torch._int_mm(rows.to(torch.int8), signs.to(torch.int8).T).to(rows.dtype)


def _has_vnni() -> bool:
    return bool(torch.cpu._is_vnni_supported())


class _Threshold(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        unit: Tensor,
        bias: Tensor | None,
        beta: Tensor,
        alpha: Tensor,
        threshold: Tensor,
        relu: bool,
        triangle: bool,
    ) -> Tensor:
        ctx.save_for_backward(a, unit, bias, beta, alpha)
        ctx.relu, ctx.triangle = relu, triangle
        if native.usable(a, threshold) and threshold.shape == a.shape[-1:]:
            return native_ops.threshold_forward(a, threshold, 0.0 if relu else -1.0)
        values = (a >= threshold).to(a.dtype)
        return values if relu else values.mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, unit, bias, beta, alpha = ctx.saved_tensors
        backward = _threshold_backward
        fits = beta.shape == a.shape[-1:] and alpha.ndim == 0
        if fits and native.usable(a, unit, beta, alpha, *(() if bias is None else (bias,))):
            backward = _native_threshold_backward
        slopes = ctx.relu, ctx.triangle
        return (*backward(*slopes, grads[0], a, unit, bias, beta, alpha), None, None, None)


def _threshold_backward(
    relu: bool,
    triangle: bool,
    grad: Tensor,
    a: Tensor,
    unit: Tensor,
    bias: Tensor | None,
    beta: Tensor,
    alpha: Tensor,
) -> tuple[Tensor | None, ...]:
    """Gradients of a, unit, bias, beta and alpha."""
    pre = a * unit
    if bias is not None:
        pre += bias
    grad_alpha = None
    if relu:
        ratio = (F.relu(pre) + beta).div_(alpha)
        grad_z = grad * ((ratio >= 0) & (ratio <= 1))
        grad_z /= alpha
        grad_alpha = -(grad_z * ratio).sum_to_size(alpha.shape)
        grad_pre = grad_z * (pre > 0)
    else:  # the output's alpha is a factor of the next unit
        grad_pre = grad_z = (grad / alpha).mul_(sign_slope(pre + beta, alpha, triangle))
    grad_unit = (grad_pre * a).sum_to_size(unit.shape)
    grad_bias = grad_pre.sum_to_size(bias.shape) if bias is not None else None
    return grad_pre * unit, grad_unit, grad_bias, grad_z.sum_to_size(beta.shape), grad_alpha


def _native_threshold_backward(
    relu: bool,
    triangle: bool,
    grad: Tensor,
    a: Tensor,
    unit: Tensor,
    bias: Tensor | None,
    beta: Tensor,
    alpha: Tensor,
) -> tuple[Tensor | None, ...]:
    grad_a, sums = native_ops.threshold_backward(grad, a, unit, bias, beta, alpha, relu, triangle)
    grad_unit = sums[0].sum_to_size(unit.shape)
    grad_bias = sums[1] if bias is not None else None
    return grad_a, grad_unit, grad_bias, sums[2], sums[3].sum() if relu else None


def threshold_sign(
    acc: Accumulator, beta: Tensor, alpha: Tensor, threshold: Tensor, triangle: bool = False
) -> Tensor:
    """Bits {-1,+1}: +1 iff `integers >= threshold`, which is `unit * a + bias + beta >= 0`.

    Gradient of `sign(z)`: `quantizers.sign_slope` / alpha, so that alpha times it is that of the
    elastic quantizer.
    """
    t = threshold.to(acc.integers.dtype)
    bits: Tensor = _Threshold.apply(  # type: ignore[no-untyped-call]
        acc.integers, acc.unit, acc.bias, beta, alpha, t, False, triangle
    )
    return bits


def threshold_relu(acc: Accumulator, beta: Tensor, alpha: Tensor, threshold: Tensor) -> Tensor:
    """Bits {0,1}: 1 iff `integers >= threshold`: `relu(unit * a + bias) + beta > alpha / 2`."""
    t = threshold.to(acc.integers.dtype)
    bits: Tensor = _Threshold.apply(  # type: ignore[no-untyped-call]
        acc.integers, acc.unit, acc.bias, beta, alpha, t, True, False
    )
    return bits


class _Requantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        unit: Tensor,
        bias: Tensor,
        constants: tuple[Tensor, int, Tensor],
        fraction_bits: int,
    ) -> Tensor:
        ctx.save_for_backward(a, unit)
        multiplier, n, offset = constants
        if native.usable(a) and offset.shape == a.shape[-1:]:
            return native_ops.requantize_forward(a, constants, fraction_bits)
        wide = a.double().mul_(multiplier).add_(offset).mul_(2.0**-n)
        if n:
            wide.add_(0.5).floor_()
        return wide.mul_(2.0**-fraction_bits).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, unit = ctx.saved_tensors
        if native.usable(a, unit):
            return (*native_ops.affine_backward(grads[0], a, unit), None, None)
        grad_bias = grads[0].flatten(0, -2).sum(0)
        return grads[0] * unit, (grads[0] * a).sum(), grad_bias, None, None


def requantize(
    acc: Accumulator, constants: tuple[Tensor, int, Tensor], formats: ArithmeticConfig
) -> Tensor:
    """Accumulator to the residual's grid: `round_shift(a * M + B, n)`, constants (M, n, B).

    Gradient: that of `unit * a + bias`.
    """
    result: Tensor = _Requantize.apply(  # type: ignore[no-untyped-call]
        acc.integers, acc.unit, acc.bias, constants, formats.fraction_bits
    )
    return result


class _SaturatingAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, low: float, high: float) -> Tensor:
        if native.usable(x, y) and x.shape == y.shape:
            return native_ops.saturating_add(x, y, low, high)
        return (x + y).clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return grads[0], grads[0], None, None


def saturating_add(x: Tensor, y: Tensor, formats: ArithmeticConfig) -> Tensor:
    """Sum of two tensors of one shape, clipped to the residual's word.

    Gradient: straight through.
    """
    result: Tensor = _SaturatingAdd.apply(x, y, *_limits(formats))  # type: ignore[no-untyped-call]
    return result


def saturate(x: Tensor, formats: ArithmeticConfig) -> Tensor:
    """Clip to the residual's word. Gradient: straight through."""
    return saturating_add(x, torch.zeros_like(x), formats)


def _limits(formats: ArithmeticConfig) -> tuple[float, float]:
    largest = 2.0 ** (formats.word_bits - 1)
    step = 2.0**-formats.fraction_bits
    return -largest * step, (largest - 1) * step


class _Grid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, fraction_bits: int) -> Tensor:
        return torch.round(x.double() * 2.0**fraction_bits) * 2.0**-fraction_bits

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].float(), None


def on_grid(x: Tensor, fraction_bits: int) -> Tensor:
    """x rounded to a grid, float64. Gradient: straight through."""
    result: Tensor = _Grid.apply(x, fraction_bits)  # type: ignore[no-untyped-call]
    return result
