"""The forward pass of a W1A1 model in the deployed arithmetic."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebert.config import ArithmeticConfig
from edgebert.folding import Folded
from edgebert.integer_ops import (
    Accumulator,
    integer_layer_norm,
    on_grid,
    relative_scores,
    requantize,
    saturating_add,
    sign_matmul,
    softmax_threshold,
    threshold_relu,
    threshold_scores,
    threshold_sign,
)
from edgebert.quantizers import ElasticQuantizer, binary_rows

if TYPE_CHECKING:
    from edgebert.model import BinaryBert, EncoderLayer, Output, QuantizedLinear

Trace = dict[str, Tensor]


def deploy_forward(
    model: "BinaryBert", ids: Tensor, types: Tensor, mask: Tensor, trace: Trace | None = None
) -> "Output":
    """Compute the integers of docs/arithmetic.md.

    A `trace` dictionary receives every named intermediate tensor as integers (int64, with the
    batch as leading axis).
    """
    from edgebert.model import Output

    with torch.autocast(ids.device.type, enabled=False):
        folded = model.folded()
        forward = _Forward(model.arithmetic, folded, mask.bool()[:, None, None, :], trace)
        x = forward.embedding(model, ids, types)
        hidden, attention = [x], []
        for i, layer in enumerate(model.layers):
            x, scores = forward.layer(f"layer.{i}", layer, x)  # type: ignore[arg-type]
            hidden.append(x)
            attention.append(scores)
        return Output(forward.classify(model, x[:, 0]), tuple(hidden), tuple(attention))


def trace_forward(model: "BinaryBert", ids: Tensor, types: Tensor, mask: Tensor) -> Trace:
    """Every named intermediate tensor of docs/arithmetic.md, int64, leading axis the batch."""
    trace: Trace = {}
    with torch.no_grad():
        deploy_forward(model, ids, types, mask, trace)
    return trace


class _Forward:
    """One forward pass: its integers, its mask, its trace."""

    def __init__(
        self, formats: ArithmeticConfig, folded: Folded, keys: Tensor, trace: Trace | None
    ) -> None:
        self.formats, self.folded, self.keys, self.trace = formats, folded, keys, trace
        self.t = folded.tensors

    def record(self, name: str, x: Tensor, fraction_bits: int = 0) -> None:
        if self.trace is not None:
            self.trace[name] = (x.detach().double() * 2.0**fraction_bits).to(torch.int64)

    def embedding(self, model: "BinaryBert", ids: Tensor, types: Tensor) -> Tensor:
        bits = self.formats.embedding_fraction_bits
        x = binary_rows(ids, model.word.weight, bits, model.word.sparse)
        x = x + on_grid(model.position.weight[: ids.shape[1]], bits).to(x.dtype)
        x = x + F.embedding(types, on_grid(model.token_type.weight, bits).to(x.dtype))
        self.record("embedding.sum", x, bits)
        return self.norm("embedding.norm", model.embedding_norm, x, bits, "embedding.residual")

    def layer(self, name: str, layer: "EncoderLayer", x: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = (
            layer.split_heads(self.project(f"{name}.{part}", layer, part, x))
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(-1, -2)
        if layer.relative_bias is not None:
            width = layer.config.head_width
            scores = scores + relative_scores(layer.relative_bias, x.shape[1], width)
        self.record(f"{name}.attention.scores", scores)
        scale = layer.score_scale(q.numel())
        p = self.probabilities(f"{name}.attention", layer, scores, scale)
        context = (p @ v).transpose(1, 2).flatten(2)
        self.record(f"{name}.attention.context", context)
        acc = Accumulator(context, layer.context_unit(p.numel(), v.numel()), None)
        bits, alpha = self.binarize(f"{name}.output", layer.output.quantizer, acc)
        delta = self.requantized(f"{name}.output", layer.output, bits, alpha)
        x = self.add_norm(f"{name}.attention_norm", layer.attention_norm, x, delta)
        bits, alpha = self.binarize_residual(f"{name}.up", layer.up, x)
        acc = self.linear(f"{name}.up", layer.up, bits, alpha)
        quantizer = layer.down.quantizer
        alpha = quantizer.scale(acc.integers.numel())
        bits = threshold_relu(acc, quantizer.beta, alpha, self.t[f"{name}.up.threshold"])
        self.record(f"{name}.down.input", bits)
        delta = self.requantized(f"{name}.down", layer.down, bits, alpha)
        return self.add_norm(f"{name}.ffn_norm", layer.ffn_norm, x, delta), scores * scale

    def project(self, name: str, layer: "EncoderLayer", part: str, x: Tensor) -> Tensor:
        linear: QuantizedLinear = getattr(layer, part)
        bits, alpha = self.binarize_residual(name, linear, x)
        acc = self.linear(name, linear, bits, alpha)
        quantizer = layer.quantizer(part)
        alpha = quantizer.scale(acc.integers.numel())
        t = self.t[f"{name}.threshold"]
        out = threshold_sign(acc, quantizer.beta, alpha, t, quantizer.triangle)
        self.record(f"{name}.output", out)
        return out

    def probabilities(
        self, name: str, layer: "EncoderLayer", scores: Tensor, scale: Tensor
    ) -> Tensor:
        quantizer = layer.quantizer("probability")
        alpha, beta = quantizer.scale(scores.numel()), quantizer.beta
        if layer.sps:
            t = self.t[f"{name}.score_threshold"]
            p = threshold_scores(scores, scale, beta, alpha, t, self.keys)
        else:
            table = self.t[f"{name}.exp_table"]
            share = self.t[f"{name}.probability_threshold"]
            p = softmax_threshold(scores, scale, beta, alpha, table, share, self.keys, self.formats)
        self.record(f"{name}.probabilities", p)
        return p

    def binarize(
        self, name: str, quantizer: ElasticQuantizer, acc: Accumulator
    ) -> tuple[Tensor, Tensor]:
        alpha = quantizer.scale(acc.integers.numel())
        t = self.t[f"{name}.input_threshold"]
        bits = threshold_sign(acc, quantizer.beta, alpha, t, quantizer.triangle)
        self.record(f"{name}.input", bits)
        return bits, alpha

    def binarize_residual(
        self, name: str, linear: "QuantizedLinear", x: Tensor
    ) -> tuple[Tensor, Tensor]:
        quantizer = linear.quantizer
        alpha = quantizer.scale(x.numel())
        t = self.t[f"{name}.input_threshold"] * 2.0**-self.formats.fraction_bits
        acc = Accumulator(x, x.new_ones(()), None)
        bits = threshold_sign(acc, quantizer.beta, alpha, t, quantizer.triangle)
        self.record(f"{name}.input", bits)
        return bits, alpha

    def linear(
        self, name: str, linear: "QuantizedLinear", bits: Tensor, alpha: Tensor
    ) -> Accumulator:
        scale = self.folded.weight_scales[name]
        integers = sign_matmul(bits, linear.weight, self.t[f"{name}.weight"], scale)
        self.record(f"{name}.accumulator", integers)
        return Accumulator(integers, alpha * scale, linear.bias)

    def requantized(
        self, name: str, linear: "QuantizedLinear", bits: Tensor, alpha: Tensor
    ) -> Tensor:
        acc = self.linear(name, linear, bits, alpha)
        return requantize(acc, self.folded.requantization(name), self.formats)

    def add_norm(self, name: str, norm: torch.nn.LayerNorm, x: Tensor, delta: Tensor) -> Tensor:
        x = saturating_add(x, delta, self.formats)
        bits = self.formats.fraction_bits
        self.record(f"{name}.sum", x, bits)
        return self.norm(name, norm, x, bits, f"{name}.residual")

    def norm(
        self, name: str, norm: torch.nn.LayerNorm, x: Tensor, fraction_bits: int, result: str
    ) -> Tensor:
        constants = self.folded.norm(name)
        y = integer_layer_norm(x, norm.weight, norm.bias, constants, fraction_bits, self.formats)
        self.record(result, y, self.formats.fraction_bits)
        return y

    def classify(self, model: "BinaryBert", first: Tensor) -> Tensor:
        f, c = self.formats.fraction_bits, self.formats.classifier_fraction_bits
        bits, alpha = self.binarize_residual("pooler", model.pooler, first.contiguous())
        pooled = F.hardtanh(self.requantized("pooler", model.pooler, bits, alpha))
        self.record("pooler.output", pooled, f)
        weight = on_grid(model.classifier.weight, c)
        logits = F.linear(pooled.double(), weight, on_grid(model.classifier.bias, f + c))
        self.record("logits", logits, f + c)
        return logits
