"""BiT's quantizers (Liu et al., NeurIPS 2022) as Brevitas injectors.

Two conventions hold everywhere: sign(0) = +1, and ties of the {0,1} set round to 0.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from brevitas.inject import ExtendedInjector, this
from brevitas.inject.enum import QuantType
from brevitas.proxy import ActQuantProxyFromInjector, WeightQuantProxyFromInjector
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from edgebert import native, native_ops

ALPHA_MIN = 1e-5  # a scale must stay positive; its gradient still flows at the bound


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1, in the dtype of x."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def weight_signs(weight: Tensor, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Signs of a weight about its mean, and their scale.

    `sign(W - mean(W))` and `alpha_w = mean|W|`, over the whole tensor or over the last dimension
    (dim -1). The means must not depend on the order of a sum, hence on engine and threads: the
    weights' multiples of 2^-24 are summed exactly in float64, the remainders apart. Their rounding
    could change a mean's float32 with odds of some 2^-60.
    """
    if dim not in (None, -1):
        raise ValueError(f"expected dim None or -1, got {dim}")
    weight = weight.detach()
    if weight.numel() and native.usable(weight):
        return native_ops.weight_signs(weight, by_row=dim is not None)
    mean, scale = _mean(weight, dim), _mean(weight.abs(), dim)
    return sign(weight - mean), scale


def _mean(x: Tensor, dim: int | None) -> Tensor:
    """Mean in the dtype of x, independent of the order of summation."""
    wide = x.double() * 2.0**24
    grid = wide.round()
    if dim is None:
        total = (grid.sum() + (wide - grid).sum()) * 2.0**-24 / x.numel()
    else:
        total = grid.sum(dim, keepdim=True) + (wide - grid).sum(dim, keepdim=True)
        total = total * 2.0**-24 / x.shape[dim]
    return total.to(x.dtype)


class _BinaryWeightFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, weight: Tensor) -> Tensor:
        signs, scale = weight_signs(weight)
        return scale * signs

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        return grads[0]


class _BinaryRowsFunction(torch.autograd.Function):
    """Gathered rows of an embedding, each binarized; see `binary_rows`."""

    @staticmethod
    def forward(
        ctx: Any, ids: Tensor, weight: Tensor, fraction_bits: int | None, sparse: bool
    ) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape, ctx.sparse = weight.shape, sparse
        signs, scale = weight_signs(weight[ids], dim=-1)
        if fraction_bits is not None:
            scale = torch.round(scale.double() * 2.0**fraction_bits).to(scale.dtype)
            scale = scale * 2.0**-fraction_bits
        return scale * signs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, None]:
        (ids,) = ctx.saved_tensors
        if ctx.sparse:
            rows, values = ids.reshape(1, -1), grads[0].reshape(-1, ctx.shape[1])
            grad = torch.sparse_coo_tensor(rows, values, ctx.shape, check_invariants=False)
        else:
            grad = torch.ops.aten.embedding_dense_backward(grads[0], ids, ctx.shape[0], -1, False)
        return None, grad, None, None


def binary_rows(
    ids: Tensor, weight: Tensor, fraction_bits: int | None = None, sparse: bool = False
) -> Tensor:
    """Look up rows of an embedding and binarize each about its own mean.

    Forward: `mean|W_r| * sign(W_r - mean(W_r))` for each row r. Gradient: straight through to the
    latent rows. Only the rows that a batch uses are computed. With `fraction_bits` the scale is
    rounded to that many fraction bits, as the integer model has it. sparse: whether the gradient
    is a sparse tensor.

    Shapes: ids (batch, tokens) int64, weight (vocab, hidden) -> (batch, tokens, hidden).
    """
    result: Tensor = _BinaryRowsFunction.apply(ids, weight, fraction_bits, sparse)  # type: ignore[no-untyped-call]
    return result


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, alpha: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return alpha.clamp_min(ALPHA_MIN)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def sign_slope(z: Tensor, alpha: Tensor, triangle: bool) -> Tensor:
    """What takes the place of the derivative of `alpha * sign(z)`, in the dtype of z.

    1 where |z| <= alpha, else 0: that of BiT's clipping (straight through). triangle:
    `max(0, 1/2 - |z| / (4 alpha))`, of half the area over twice the width.
    """
    if triangle:
        return (0.5 - z.abs() / (4 * alpha)).clamp_min_(0)
    return (z.abs() <= alpha).to(z.dtype)


class _ElasticSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: Tensor, triangle: bool) -> Tensor:
        bits = sign(z)
        ctx.save_for_backward(z, alpha, bits)
        ctx.triangle = triangle
        return alpha * bits

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, alpha, bits = ctx.saved_tensors
        grad_alpha = (grads[0] * bits).sum_to_size(alpha.shape)
        return grads[0] * sign_slope(z, alpha, ctx.triangle), grad_alpha, None


class _ElasticLevels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: Tensor, low: int, high: int) -> Tensor:
        ratio = z / alpha
        levels = ratio.clamp(low, high).round()
        ctx.save_for_backward(ratio, levels, alpha)
        ctx.low, ctx.high = low, high
        return alpha * levels

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        ratio, levels, alpha = ctx.saved_tensors
        inside = (ratio >= ctx.low) & (ratio <= ctx.high)
        grad_alpha = grads[0] * torch.where(inside, levels - ratio, levels)
        return grads[0] * inside, grad_alpha.sum_to_size(alpha.shape), None, None


class ElasticQuantizer(nn.Module):
    """Elastic activation quantization: learned scale alpha, learned shift beta.

    Forward, with z = x + beta:

    - signed, 1 bit: `alpha * sign(z)`
    - otherwise: `alpha * round(clip(z / alpha, low, high))`, with low, high = 0, 2^bits - 1
      (unsigned) or -2^(bits-1), 2^(bits-1) - 1 (signed).

    Gradients: to x and beta straight through where z lies in the clipping range (signed 1 bit:
    `sign_slope`). To alpha as LSQ (Esser et al., ICLR 2020): the level minus z / alpha inside the
    range, the level outside; signed 1 bit: sign(z). It is scaled by 1 / sqrt(n * high) with n the
    elements per scale.

    alpha has the shape `scale_shape` and is initialised by the first training batch that has more
    than one element (least squares); beta has the shape `shift_shape` and starts at zero. Both
    broadcast against x. Returns Brevitas' tuple (value, scale, zero point, bit width).
    """

    initialized: Tensor
    zero: Tensor
    width: Tensor

    def __init__(
        self,
        bits: int,
        signed: bool,
        shift_shape: Sequence[int],
        scale_shape: Sequence[int] = (),
        triangle: bool = False,
    ) -> None:
        """triangle: the slope of signs, see `sign_slope`."""
        super().__init__()
        self.bits, self.signed, self.triangle = bits, signed, triangle
        self.low = -(2 ** (bits - 1)) if signed else 0
        self.high = max(1, 2 ** (bits - 1) - 1) if signed else 2**bits - 1
        self.alpha = nn.Parameter(torch.ones(tuple(scale_shape)))
        self.beta = nn.Parameter(torch.zeros(tuple(shift_shape)))
        self.register_buffer("initialized", torch.tensor(False))
        self.register_buffer("zero", torch.tensor(0.0), persistent=False)
        self.register_buffer("width", torch.tensor(float(bits)), persistent=False)
        self._ready = False  # mirrors `initialized` without a device synchronization

    def scale(self, elements: int) -> Tensor:
        """alpha, positive, with LSQ's gradient scale for a tensor of that many elements."""
        factor = 1.0 / math.sqrt(max(1, elements // self.alpha.numel()) * self.high)
        result: Tensor = _Scale.apply(self.alpha, factor)  # type: ignore[no-untyped-call]
        return result

    def prepared(self) -> bool:
        """Whether the next batch leaves alpha as it is."""
        self._ready = self._ready or (self.training and bool(self.initialized))
        return self._ready or not self.training

    def initialise(self, z: Tensor) -> None:
        """Set alpha from the first training batch, by least squares of the quantization error."""
        if self._ready or not self.training or z.numel() < 2:
            return
        if not bool(self.initialized):
            with torch.no_grad():
                self.alpha.copy_(self._least_squares(z.detach().float()))
                self.initialized.fill_(True)
        self._ready = True

    def _least_squares(self, z: Tensor) -> Tensor:
        if self.signed and self.bits == 1:  # argmin_a sum (|z| - a)^2
            mean: Tensor = z.abs().mean().clamp_min(ALPHA_MIN)
            return mean.expand(self.alpha.shape)
        groups = z
        if self.alpha.numel() > 1:  # one scale a head: (batch, heads, tokens, tokens)
            groups = z.transpose(0, 1)
        groups = groups.reshape(self.alpha.numel(), -1)
        groups = groups[:, :: max(1, groups.shape[1] // 16384)]
        largest = groups.abs().amax(1).clamp_min(ALPHA_MIN)
        best = largest / self.high
        error = torch.full_like(largest, math.inf)
        for exponent in torch.linspace(0.0, 9.0, 55).tolist():
            alpha = (largest * 2.0**-exponent).clamp_min(ALPHA_MIN)
            levels = (groups / alpha[:, None]).clamp(self.low, self.high).round()
            now = (groups - alpha[:, None] * levels).square().sum(1)
            best = torch.where(now < error, alpha, best)
            error = torch.minimum(error, now)
        result: Tensor = best.reshape(self.alpha.shape)
        return result

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z = x + self.beta
        self.initialise(z)
        alpha = self.scale(z.numel())
        if self.signed and self.bits == 1:
            value = _ElasticSign.apply(z, alpha, self.triangle)  # type: ignore[no-untyped-call]
        else:
            value = _ElasticLevels.apply(z, alpha, self.low, self.high)  # type: ignore[no-untyped-call]
        return value, alpha, self.zero, self.width


class WeightBinarizer(nn.Module):
    """Weight binarization about the mean.

    Forward: `alpha_w * sign(W - mean(W))`, `alpha_w = mean|W|` over the whole tensor. Gradient:
    straight through to W; none through mean or scale. Returns Brevitas' tuple.
    """

    zero: Tensor
    width: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("zero", torch.tensor(0.0), persistent=False)
        self.register_buffer("width", torch.tensor(1.0), persistent=False)

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        value = _BinaryWeightFunction.apply(weight)  # type: ignore[no-untyped-call]
        return value, _mean(weight.detach().abs(), None), self.zero, self.width


class BinaryWeight(ExtendedInjector):
    """Brevitas weight quantizer: `WeightBinarizer`."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = WeightBinarizer
    quant_type = QuantType.BINARY
    signed = True
    bit_width = 1


class ElasticActivation(ExtendedInjector):
    """Brevitas activation quantizer: `ElasticQuantizer`; bits, signed and shapes by `let`."""

    proxy_class = ActQuantProxyFromInjector
    tensor_quant = ElasticQuantizer
    quant_type = QuantType.INT
    bit_width = this.bits


def elastic(
    bits: int,
    signed: bool,
    shift_shape: Sequence[int],
    scale_shape: Sequence[int] = (),
    triangle: bool = False,
) -> Any:
    """An activation injector, or None (no quantization) at 32 bits."""
    if bits == 32:
        return None
    return ElasticActivation.let(
        bits=bits,
        signed=signed,
        shift_shape=tuple(shift_shape),
        scale_shape=tuple(scale_shape),
        triangle=triangle,
    )
