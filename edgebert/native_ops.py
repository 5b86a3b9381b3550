"""The kernels of edgebert/kernels on tensors; each equals torch operators elsewhere.

Callers ask `native.usable` first. Tensors are float32 and contiguous, unless said otherwise.
"""

import ctypes
import math

import torch
from torch import Tensor

from edgebert import native
from edgebert.config import ArithmeticConfig


def threshold_forward(a: Tensor, threshold: Tensor, low: float) -> Tensor:
    """`a >= threshold ? 1 : low`; a (..., columns), threshold (columns,)."""
    bits = torch.empty_like(a)
    native.call("threshold_forward", a, threshold, bits, low, *_matrix(a), work=a.numel())
    return bits


def threshold_backward(
    grad: Tensor,
    a: Tensor,
    unit: Tensor,
    bias: Tensor | None,
    beta: Tensor,
    alpha: Tensor,
    relu: bool,
    triangle: bool,
) -> tuple[Tensor, Tensor]:
    """Gradient of a, and (4, columns) of unit, bias, beta and alpha, the last for ReLU only.

    unit () or (columns,), bias and beta (columns,), alpha (). triangle: the slope of signs.
    """
    columns = a.shape[-1]
    units = unit.expand(columns).contiguous()
    biases = torch.zeros_like(beta) if bias is None else bias
    grad, result, sums = grad.contiguous(), torch.empty_like(a), a.new_empty(4, columns)
    native.call(
        "threshold_backward",
        *(grad, a, units, biases, beta, alpha, int(relu), int(triangle), result, sums, *_matrix(a)),
        work=a.numel(),
    )
    return result, sums


def scores_forward(scores: Tensor, threshold: Tensor, keys: Tensor) -> Tensor:
    """scores (batch, heads, tokens, tokens), threshold (heads, 1, 1), keys (batch, 1, 1, tokens)
    bool."""
    bits = torch.empty_like(scores)
    sizes = tuple(scores.shape[:3])
    native.call("scores_forward", scores, threshold, keys, bits, *sizes, work=scores.numel())
    return bits


def scores_backward(
    grad: Tensor, scores: Tensor, scale: Tensor, alpha: Tensor, beta: Tensor, keys: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of scores, scale, beta and alpha; alpha and beta (heads, 1, 1)."""
    return _attention_backward("scores_backward", grad, (scores,), scale, alpha, beta, keys)


def softmax_forward(
    scores: Tensor, table: Tensor, share: Tensor, keys: Tensor, probability_bits: int
) -> tuple[Tensor, Tensor]:
    """Bits and probabilities; table (depths,), share (heads,) float64."""
    bits, p = torch.empty_like(scores), torch.empty_like(scores)
    native.call(
        "softmax_forward",
        *(scores, table, table.numel(), share, 2.0**-probability_bits, keys),
        *(bits, p, *scores.shape[:3]),
        work=scores.numel(),
    )
    return bits, p


def softmax_backward(
    grad: Tensor,
    scores: Tensor,
    p: Tensor,
    scale: Tensor,
    alpha: Tensor,
    beta: Tensor,
    keys: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of scores, scale, beta and alpha; alpha and beta (heads, 1, 1)."""
    return _attention_backward("softmax_backward", grad, (scores, p), scale, alpha, beta, keys)


def _attention_backward(
    name: str,
    grad: Tensor,
    inputs: tuple[Tensor, ...],
    scale: Tensor,
    alpha: Tensor,
    beta: Tensor,
    keys: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scores = inputs[0]
    grad, result = grad.contiguous(), torch.empty_like(scores)
    batch, heads, tokens = scores.shape[:3]
    sums = scores.new_empty(3, batch, heads)
    tensors = (grad, *inputs, scale, alpha, beta, keys, result, sums)
    native.call(name, *tensors, batch, heads, tokens, work=scores.numel())
    totals = sums.double().sum(1).float()
    shape = alpha.shape
    return result, totals[0].sum(), totals[1].view(shape), totals[2].view(shape)


def requantize_forward(
    a: Tensor, constants: tuple[Tensor, int, Tensor], fraction_bits: int
) -> Tensor:
    """`round_shift(a * M + B, n) * 2^-fraction_bits`; constants (M, n, B), M and B float64."""
    multiplier, n, offset = constants
    result = torch.empty_like(a)
    half = 0.5 if n else 0.0
    native.call(
        "requantize_forward",
        *(a, offset, float(multiplier), 2.0**-n, half, 2.0**-fraction_bits, result, *_matrix(a)),
        work=a.numel(),
    )
    return result


def affine_backward(grad: Tensor, a: Tensor, unit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a, unit and bias of `unit * a + bias`; unit (), bias (columns,)."""
    grad, result, sums = grad.contiguous(), torch.empty_like(a), a.new_empty(2, a.shape[-1])
    native.call("affine_backward", grad, a, unit, result, sums, *_matrix(a), work=a.numel())
    return result, sums[0].sum(), sums[1]


def saturating_add(x: Tensor, y: Tensor, low: float, high: float) -> Tensor:
    """`clip(x + y, low, high)`."""
    result = torch.empty_like(x)
    native.call("saturating_add", x, y, result, low, high, x.numel(), work=x.numel())
    return result


class _NormFormats(ctypes.Structure):
    _fields_ = (
        ("scale", ctypes.c_double),
        ("mean_factor", ctypes.c_double),
        ("output_factor", ctypes.c_double),
        ("largest", ctypes.c_double),
        ("step", ctypes.c_double),
        ("index_bits", ctypes.c_int32),
        ("norm_bits", ctypes.c_int32),
    )


def layer_norm_forward(
    x: Tensor,
    constants: tuple[Tensor, Tensor, Tensor],
    fraction_bits: int,
    formats: ArithmeticConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Result, and each row's mean and reciprocal deviation; constants float64."""
    q, f = formats.norm_fraction_bits, formats.fraction_bits
    settings = _NormFormats(
        scale=2.0**fraction_bits,
        mean_factor=round(2**24 / x.shape[-1]),
        output_factor=2.0 ** -(q + formats.gamma_fraction_bits - f),
        largest=2.0 ** (formats.word_bits - 1),
        step=2.0**-f,
        index_bits=formats.rsqrt_index_bits,
        norm_bits=q,
    )
    y = torch.empty_like(x)
    mean, rstd = x.new_empty(*x.shape[:-1], 1), x.new_empty(*x.shape[:-1], 1)
    native.call(
        "layer_norm_forward",
        *(x, *constants, settings, y, mean, rstd, *_matrix(x)),
        work=x.numel(),
    )
    return y, mean, rstd


def weight_signs(weight: Tensor, by_row: bool) -> tuple[Tensor, Tensor]:
    """Signs about the mean and mean|w|: of all, (), or of each row, (..., 1)."""
    signs = torch.empty_like(weight)
    if by_row:
        scale = weight.new_empty(*weight.shape[:-1], 1)
        native.call("row_signs", weight, signs, scale, *_matrix(weight), work=weight.numel())
    else:
        scale = weight.new_empty(())
        native.call("tensor_signs", weight, signs, scale, weight.numel(), work=weight.numel())
    return signs, scale


def _matrix(x: Tensor) -> tuple[int, int]:
    """Rows and columns."""
    columns = x.shape[-1]
    return x.numel() // max(columns, 1), columns


def bit_matmul(
    bits: Tensor, signs: Tensor, scale: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """`bits @ signs.T` exactly; bits (..., columns) all {-1,+1} or all {0,1}, signs {-1,+1}.

    With scale () and bias (outputs,): that times the scale plus the bias.
    """
    result = bits.new_empty(*bits.shape[:-1], signs.shape[0])
    sizes = (*_matrix(bits), signs.shape[0])
    work = bits.numel() * signs.shape[0]
    native.call("bit_matmul", bits, signs, scale, bias, result, *sizes, work=work)
    return result


def level_matmul(
    levels: Tensor,
    signs: Tensor,
    low: int,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """As bit_matmul, of levels: integers from low, 0 or -2, to low + 3."""
    result = levels.new_empty(*levels.shape[:-1], signs.shape[0])
    sizes = (low, *_matrix(levels), signs.shape[0])
    work = levels.numel() * signs.shape[0]
    native.call("level_matmul", levels, signs, scale, bias, result, *sizes, work=work)
    return result


def bit_product(values: Tensor, bits: Tensor) -> Tensor:
    """`values @ bits` up to rounding; values (width, rows), bits (rows, columns) all {-1,+1} or
    all {0,1}."""
    width, rows = values.shape
    result = values.new_empty(width, bits.shape[1])
    native.call("bit_product", values, bits, result, rows, *result.shape, work=bits.numel() * width)
    return result


def transposed_bit_product(values: Tensor, bits: Tensor) -> Tensor:
    """`values.T @ bits` up to rounding; values (rows, width), otherwise as bit_product."""
    rows, width = values.shape
    result = values.new_empty(width, bits.shape[1])
    sizes = (rows, *result.shape)
    native.call("transposed_bit_product", values, bits, result, *sizes, work=bits.numel() * width)
    return result


def elastic_forward(x: Tensor, beta: Tensor, alpha: Tensor, low: int, high: int) -> Tensor:
    """Levels `round(clip((x + beta) / alpha, low, high))`, or signs of x + beta where low is
    high; beta (columns,), alpha ()."""
    levels = torch.empty_like(x)
    native.call("elastic_forward", x, beta, alpha, low, high, levels, *_matrix(x), work=x.numel())
    return levels


def elastic_backward(
    grad: Tensor, x: Tensor, beta: Tensor, alpha: Tensor, low: int, high: int, triangle: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, beta and alpha, of alpha times the levels; triangle: the slope of signs."""
    grad, result, sums = grad.contiguous(), torch.empty_like(x), x.new_empty(2, x.shape[-1])
    native.call(
        "elastic_backward",
        *(grad, x, beta, alpha, low, high, int(triangle), result, sums, *_matrix(x)),
        work=x.numel(),
    )
    return result, sums[0], sums[1].sum()


def adamw_rows(
    table: Tensor,
    state: tuple[Tensor, Tensor, Tensor],
    grad: tuple[Tensor, Tensor],
    settings: tuple[float, float, float, float, float],
    step: int,
) -> None:
    """One AdamW step of a table, in place.

    state: the moments, and bool (rows,) whether a row has any. grad: rows int64, each once, and
    their gradients. settings: learning rate, both betas, epsilon, weight decay. step: from 1.
    """
    rows, values = grad
    lr, beta1, beta2, eps, decay = settings
    native.call(
        "adamw_rows",
        *(table, *state, rows, values.contiguous(), rows.numel(), *_matrix(table)),
        *(1 - lr * decay, beta1, beta2, eps),
        *(lr / (1 - beta1**step), math.sqrt(1 - beta2**step)),
        work=table.numel(),
    )
