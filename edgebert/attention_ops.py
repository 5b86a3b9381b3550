"""Differentiable attention probabilities of the deployed arithmetic; see integer_ops."""

from typing import Any

import torch
from torch import Tensor

from edgebert import native, native_ops
from edgebert.config import ArithmeticConfig
from edgebert.folding import relative_bias


class _RelativeBias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, head_width: int) -> Tensor:
        return relative_bias(x, head_width).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def relative_scores(x: Tensor, tokens: int, head_width: int) -> Tensor:
    """What distances add to integer scores: (heads, tokens, tokens), query i and key j.

    Twice `clip(round(x D), -D, D)`, at place `clip(j - i, -R, R) + R`; x (heads, 2 R + 1).
    Gradient: straight through, by the match, which is a D-th of it: the few parameters are sums
    over all pairs of tokens, and would make up most of the norm that gradients are clipped by.
    """
    reach = x.shape[1] // 2
    places = torch.arange(tokens, device=x.device)
    offsets = (places[None, :] - places[:, None]).clamp_(-reach, reach) + reach
    matches: Tensor = _RelativeBias.apply(x, head_width)  # type: ignore[no-untyped-call]
    return 2 * matches[:, offsets]


class _ScoreThreshold(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        scale: Tensor,
        beta: Tensor,
        alpha: Tensor,
        threshold: Tensor,
        keys: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(scores, scale, beta, alpha, keys)
        if native.usable(scores, threshold) and keys.is_contiguous():
            return native_ops.scores_forward(scores, threshold, keys)
        return ((scores >= threshold) & keys).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores, scale, beta, alpha, keys = ctx.saved_tensors
        if native.usable(scores, scale, alpha, beta) and keys.is_contiguous():
            result = native_ops.scores_backward(grads[0], scores, scale, alpha, beta, keys)
            return (*result, None, None)
        ratio = (scores * scale + beta).div_(alpha)
        grad_z = grads[0] * ((ratio >= 0) & (ratio <= 1) & keys)
        grad_z /= alpha
        grad_alpha = -(grad_z * ratio).sum_to_size(alpha.shape)
        grad_beta = grad_z.sum_to_size(beta.shape)
        return grad_z * scale, (grad_z * scores).sum(), grad_beta, grad_alpha, None, None


def threshold_scores(
    scores: Tensor, scale: Tensor, beta: Tensor, alpha: Tensor, threshold: Tensor, keys: Tensor
) -> Tensor:
    """Attention bits {0,1} of `sps`: 1 iff `score >= threshold` of the head and a real key."""
    t = threshold.to(scores.dtype).view(-1, 1, 1)
    bits: Tensor = _ScoreThreshold.apply(scores, scale, beta, alpha, t, keys)  # type: ignore[no-untyped-call]
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
        forward = _softmax_forward
        table = table.to(scores.dtype)
        if native.usable(scores, table) and keys.is_contiguous() and share.is_contiguous():
            forward = native_ops.softmax_forward
        bits, p = forward(scores, table, share, keys, probability_bits)
        ctx.save_for_backward(scores, scale, beta, alpha, keys, p)
        return bits

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores, scale, beta, alpha, keys, p = ctx.saved_tensors
        if native.usable(scores, p, scale, alpha, beta) and keys.is_contiguous():
            result = native_ops.softmax_backward(grads[0], scores, p, scale, alpha, beta, keys)
            return (*result, None, None, None, None)
        ratio = (p + beta).div_(alpha)
        grad_p = grads[0] * ((ratio >= 0) & (ratio <= 1) & keys)
        grad_p /= alpha
        grad_alpha = -(grad_p * ratio).sum_to_size(alpha.shape)
        grad_beta = grad_p.sum_to_size(beta.shape)
        grad_logit = p * (grad_p - (grad_p * p).sum(-1, keepdim=True))
        grad_scale = (grad_logit * scores).sum()
        return grad_logit * scale, grad_scale, grad_beta, grad_alpha, None, None, None, None


def _softmax_forward(
    scores: Tensor, table: Tensor, share: Tensor, keys: Tensor, probability_bits: int
) -> tuple[Tensor, Tensor]:
    """Bits and probabilities."""
    largest = scores.masked_fill(~keys, -torch.inf).amax(-1, keepdim=True)
    # clamp: padded keys, and those that a bias has put further away than the table goes
    depth = (largest - scores).mul_(0.5).clamp_(0, table.numel() - 1)
    e = table[depth.to(torch.int32)].mul_(keys)
    total = e.sum(-1, keepdim=True)  # below 2^24: exact
    bound = torch.floor(share.view(-1, 1, 1) * total.double() * 2.0**-probability_bits) + 1
    bits = (e >= bound.to(scores.dtype)) & keys
    return bits.to(scores.dtype), e / total


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

    A score further from the largest than the table goes has its last entry.

    Gradient: that of softmax(scale * scores) followed by the elastic {0,1} quantizer. Shapes:
    scores (batch, heads, tokens, tokens), keys (batch, 1, 1, tokens) bool.
    """
    bits: Tensor = _SoftmaxThreshold.apply(  # type: ignore[no-untyped-call]
        scores, scale, beta, alpha, table, share, keys, formats.probability_bits
    )
    return bits
