"""Differentiable operators of the deployed arithmetic.

Each forward pass computes the integers of docs/arithmetic.md, each backward pass the gradient of
the float operator that they stand for. The residual stream is a float32 tensor on the grid
2^-fraction_bits; bits and accumulators are integer-valued float32 (|x| < 2^24: exact); wider
intermediates are float64.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebert.config import ArithmeticConfig
from edgebert.folding import power_of_two, round_shift


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
        grad_bits = (rows @ signs).view(bits.shape) if ctx.needs_input_grad[0] else None
        grad_weight = (rows.T @ bits.flatten(0, -2)).div_(scale)
        return grad_bits, grad_weight, None, None


def sign_matmul(bits: Tensor, weight: Tensor, signs: Tensor, scale: Tensor) -> Tensor:
    """`bits @ signs.T`; `signs` and `scale` are `weight_signs(weight)`.

    Gradient: to bits through the signs; to the latent weight straight through, that is the
    gradient of `scale * signs`.
    """
    result: Tensor = _SignMatmul.apply(bits, weight, signs, scale)  # type: ignore[no-untyped-call]
    return result


def integer_matmul(bits: Tensor, signs: Tensor) -> Tensor:
    """`bits @ signs.T` exactly, float32 in and out.

    int8 arithmetic on GPUs and on CPUs with VNNI; elsewhere float32, which is just as exact below
    2^24 (int8 products are emulated on such CPUs, some 25 times slower than float32).
    """
    rows = bits.reshape(-1, bits.shape[-1])
    aligned = bits.shape[-1] % 16 == 0 and signs.shape[0] % 16 == 0 and rows.shape[0] > 16
    if not (aligned and (bits.is_cuda or _has_vnni())):
        return F.linear(bits, signs)
    return int8_matmul(rows, signs).view(*bits.shape[:-1], signs.shape[0])


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
        kind: str,
        keys: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(a, unit, bias, beta, alpha, keys)
        ctx.kind = kind
        bits = a >= threshold
        if keys is not None:
            bits &= keys
        values = bits.to(a.dtype)
        return values.mul_(2).sub_(1) if kind == "sign" else values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, unit, bias, beta, alpha, keys = ctx.saved_tensors
        pre = a * unit
        if bias is not None:
            pre += bias
        z = F.relu(pre) if ctx.kind == "relu" else pre
        z = z + beta
        grad_alpha = None
        if ctx.kind == "sign":  # the output's alpha is a factor of the next unit
            grad_z = grads[0] * (z.abs_() <= alpha)
            grad_z /= alpha
        else:
            ratio = z.div_(alpha)
            grad_z = grads[0] * ((ratio >= 0) & (ratio <= 1))
            if keys is not None:
                grad_z *= keys
            grad_z /= alpha
            grad_alpha = -(grad_z * ratio).sum_to_size(alpha.shape)
        grad_pre = grad_z * (pre > 0) if ctx.kind == "relu" else grad_z
        grad_unit = (grad_pre * a).sum_to_size(unit.shape) if ctx.needs_input_grad[1] else None
        grad_bias = grad_pre.sum_to_size(bias.shape) if bias is not None else None
        grad_beta = grad_z.sum_to_size(beta.shape)
        grad_a = grad_pre * unit if ctx.needs_input_grad[0] else None
        return grad_a, grad_unit, grad_bias, grad_beta, grad_alpha, None, None, None


def threshold_sign(acc: Accumulator, beta: Tensor, alpha: Tensor, threshold: Tensor) -> Tensor:
    """Bits {-1,+1}: +1 iff `integers >= threshold`, which is `unit * a + bias + beta >= 0`.

    Gradient of `sign(z)`: 1 / alpha where |z| <= alpha, so that alpha times it is the elastic
    quantizer's straight-through gradient.
    """
    t = threshold.to(acc.integers.dtype)
    bits: Tensor = _Threshold.apply(  # type: ignore[no-untyped-call]
        acc.integers, acc.unit, acc.bias, beta, alpha, t, "sign", None
    )
    return bits


def threshold_relu(acc: Accumulator, beta: Tensor, alpha: Tensor, threshold: Tensor) -> Tensor:
    """Bits {0,1}: 1 iff `integers >= threshold`: `relu(unit * a + bias) + beta > alpha / 2`."""
    t = threshold.to(acc.integers.dtype)
    bits: Tensor = _Threshold.apply(  # type: ignore[no-untyped-call]
        acc.integers, acc.unit, acc.bias, beta, alpha, t, "relu", None
    )
    return bits


def threshold_scores(
    scores: Tensor, scale: Tensor, beta: Tensor, alpha: Tensor, threshold: Tensor, keys: Tensor
) -> Tensor:
    """Attention bits {0,1} of `sps`: 1 iff `score >= threshold` of the head and a real key."""
    t = threshold.to(scores.dtype).view(-1, 1, 1)
    bits: Tensor = _Threshold.apply(scores, scale, None, beta, alpha, t, "plain", keys)  # type: ignore[no-untyped-call]
    return bits


class _SoftmaxThreshold(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        scale: Tensor,
        beta: Tensor,
        alpha: Tensor,
        table: Tensor,
        share: Tensor,
        keys: Tensor,
        probability_bits: int,
    ) -> Tensor:
        low = -float(table.numel() - 1)
        largest = scores.masked_fill(~keys, low).amax(-1, keepdim=True)
        depth = (largest - scores).mul_(0.5).clamp_(0, table.numel() - 1)  # clamp: padded keys
        e = table.to(scores.dtype)[depth.to(torch.int32)].mul_(keys)
        total = e.sum(-1, keepdim=True)  # below 2^24: exact
        bound = torch.floor(share.view(-1, 1, 1) * total.double() * 2.0**-probability_bits) + 1
        bits = (e >= bound.to(scores.dtype)) & keys
        ctx.save_for_backward(scores, scale, beta, alpha, keys, e / total)
        return bits.to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores, scale, beta, alpha, keys, p = ctx.saved_tensors
        ratio = (p + beta).div_(alpha)
        grad_p = grads[0] * ((ratio >= 0) & (ratio <= 1) & keys)
        grad_p /= alpha
        grad_alpha = -(grad_p * ratio).sum_to_size(alpha.shape)
        grad_beta = grad_p.sum_to_size(beta.shape)
        grad_logit = p * (grad_p - (grad_p * p).sum(-1, keepdim=True))
        grad_scale = (grad_logit * scores).sum()
        return grad_logit * scale, grad_scale, grad_beta, grad_alpha, None, None, None, None


def softmax_threshold(
    scores: Tensor,
    scale: Tensor,
    beta: Tensor,
    alpha: Tensor,
    table: Tensor,
    share: Tensor,
    keys: Tensor,
    formats: ArithmeticConfig,
) -> Tensor:
    """Attention bits {0,1} of `softmax`: 1 iff `e_ij * 2^k > share_h * sum_j e_ij`.

    Gradient: that of softmax(scale * scores) followed by the elastic {0,1} quantizer. Shapes:
    scores (batch, heads, tokens, tokens), keys (batch, 1, 1, tokens) bool.
    """
    bits: Tensor = _SoftmaxThreshold.apply(  # type: ignore[no-untyped-call]
        scores, scale, beta, alpha, table, share, keys, formats.probability_bits
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
        wide = a.double().mul_(multiplier).add_(offset).mul_(2.0**-n)
        if n:
            wide.add_(0.5).floor_()
        return wide.mul_(2.0**-fraction_bits).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, unit = ctx.saved_tensors
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


class _Saturate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0], None, None


def saturate(x: Tensor, formats: ArithmeticConfig) -> Tensor:
    """Clip to the residual's word. Gradient: straight through."""
    largest = 2.0 ** (formats.word_bits - 1)
    step = 2.0**-formats.fraction_bits
    result: Tensor = _Saturate.apply(x, -largest * step, (largest - 1) * step)  # type: ignore[no-untyped-call]
    return result


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
        ctx.save_for_backward(x, (mean * unit).to(x.dtype), rstd, gamma, beta)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, rstd, gamma, beta = ctx.saved_tensors
        result = torch.ops.aten.native_layer_norm_backward(
            grads[0].contiguous(), x, [x.shape[-1]], mean, rstd, gamma, beta, [True, True, True]
        )
        return result[0], result[1], result[2], None, None, None


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
