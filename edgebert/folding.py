"""Trained float parameters to the integers of the deployed model (docs/arithmetic.md).

Everything is float64 from float32 parameters, elementwise, so that training and export get the
same integers. Results are integer-valued float64 tensors.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgebert.quantizers import ALPHA_MIN, ElasticQuantizer, weight_signs

if TYPE_CHECKING:
    from edgebert.model import BinaryBert, EncoderLayer, QuantizedLinear


def bipolar_threshold(unit: Tensor | float, offset: Tensor, bound: int) -> Tensor:
    """t such that `unit * a + offset >= 0` iff `a >= t`, for integers a in [-bound, bound]."""
    ratio = offset.double() / _double(unit)
    return (-torch.floor(ratio)).clamp(-bound, bound + 1)


def binary_threshold(
    unit: Tensor, offset: Tensor, alpha: Tensor, beta: Tensor | None, bound: int
) -> Tensor:
    """t such that the elastic {0,1} quantizer gives 1 iff `a >= t`.

    It gives 1 iff `relu(unit * a + offset) + beta > alpha / 2`; without a ReLU (beta None: it is
    part of the offset), iff `unit * a + offset > alpha / 2`.
    """
    half = alpha.double() / 2
    level = half if beta is None else half - beta.double()
    t = (torch.floor((level - offset.double()) / _double(unit)) + 1).clamp(-bound, bound + 1)
    if beta is not None:
        t = torch.where(level < 0, -float(bound), t)  # constant one: relu is never negative
    return t


def requantization(
    unit: Tensor, bias: Tensor, fraction_bits: int, multiplier_bits: int
) -> tuple[Tensor, int, Tensor]:
    """M, n and B such that `(a * M + B) / 2^n` is about `(unit * a + bias) * 2^fraction_bits`."""
    ratio = unit.double() * 2.0**fraction_bits
    exponent = math.frexp(float(ratio))[1] - 1  # floor(log2(ratio)), exactly
    n = min(max(multiplier_bits - 1 - exponent, 0), 30)
    return torch.round(ratio * 2.0**n), n, to_grid(bias, fraction_bits + n)


def to_grid(x: Tensor, fraction_bits: int) -> Tensor:
    """`round(x * 2^fraction_bits)`, half to even."""
    return torch.round(x.detach().double() * 2.0**fraction_bits)


def round_shift(a: Tensor, n: int) -> Tensor:
    """Shift an integer-valued float64 tensor right by n with rounding (half up); n <= 0: left."""
    return torch.floor(a * 2.0**-n + 0.5)


def power_of_two(exponent: Tensor) -> Tensor:
    """2^exponent as float64, exactly, by its bit pattern; integers from -1022 to 1023."""
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def relative_bias(x: Tensor, head_width: int) -> Tensor:
    """`clip(round(x D), -D, D)`: matches of query and key that a distance counts for."""
    return to_grid(x * head_width, 0).clamp(-head_width, head_width)


def exp_table(score_scale: Tensor, head_width: int, exp_bits: int) -> Tensor:
    """E[d] = round(2^exp_bits * exp(-2 d c)) for d = 0 ... head_width."""
    steps = torch.arange(head_width + 1, dtype=torch.float64, device=score_scale.device)
    return torch.round(2.0**exp_bits * torch.exp(-2.0 * score_scale.double() * steps))


def probability_threshold(alpha: Tensor, beta: Tensor, probability_bits: int) -> Tensor:
    """T: the share of a row's sum, in units of 2^-probability_bits, that a key must exceed."""
    share = alpha.double() / 2 - beta.double()
    return torch.floor(share * 2.0**probability_bits).clamp(-1, 2.0**probability_bits)


def rsqrt_table(index_bits: int) -> Tensor:
    """round(2^(14 + b/2) / sqrt(i + 1/2)) for i = 2^(b-2) ... 2^b - 1."""
    i = torch.arange(2 ** (index_bits - 2), 2**index_bits, dtype=torch.float64)
    return torch.round(2.0 ** (14 + index_bits // 2) / torch.sqrt(i + 0.5))


def norm_gamma(gamma: Tensor, gamma_fraction_bits: int) -> Tensor:
    """round(gamma * sqrt(H) * 2^g)."""
    root = math.sqrt(gamma.numel())
    return torch.round(gamma.detach().double() * root * 2.0**gamma_fraction_bits)


@dataclass(frozen=True)
class Folded:
    """Integers of a model, and the float scales of its weights.

    `tensors` has the names and shapes of docs/arithmetic.md, binary matrices as +1 and -1, without
    the word embeddings; all are integer-valued: weights float32, the rest float64.
    """

    tensors: dict[str, Tensor]
    weight_scales: dict[str, Tensor]

    def requantization(self, name: str) -> tuple[Tensor, int, Tensor]:
        """M, n and B of a requantized matrix."""
        t = self.tensors
        return t[f"{name}.multiplier"], int(t[f"{name}.shift"]), t[f"{name}.bias"]

    def norm(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """gamma, beta and the table of a LayerNorm."""
        t = self.tensors
        return t[f"{name}.gamma"], t[f"{name}.beta"], t["rsqrt_table"]


@torch.no_grad()
def fold(model: "BinaryBert") -> Folded:
    """All integers of a W1A1 model but the word embeddings."""
    folded = Folded({}, {})
    t, a = folded.tensors, model.arithmetic
    t["embedding.position"] = to_grid(model.position.weight, a.embedding_fraction_bits)
    t["embedding.token_type"] = to_grid(model.token_type.weight, a.embedding_fraction_bits)
    _fold_norm(folded, model, "embedding.norm", model.embedding_norm)
    t["rsqrt_table"] = rsqrt_table(a.rsqrt_index_bits).to(model.position.weight.device)
    for i, layer in enumerate(model.layers):
        _fold_layer(folded, model, layer, f"layer.{i}")  # type: ignore[arg-type]
    _fold_linear(folded, "pooler", model.pooler)
    _fold_residual_threshold(folded, model, "pooler", model.pooler)
    _fold_requantization(folded, model, "pooler", model.pooler)
    bits = a.classifier_fraction_bits
    t["classifier.weight"] = to_grid(model.classifier.weight, bits)
    t["classifier.bias"] = to_grid(model.classifier.bias, a.fraction_bits + bits)
    return folded


def _fold_layer(folded: Folded, model: "BinaryBert", layer: "EncoderLayer", name: str) -> None:
    t, c = folded.tensors, model.config
    for part in ("query", "key", "value"):
        linear = getattr(layer, part)
        _fold_linear(folded, f"{name}.{part}", linear)
        _fold_residual_threshold(folded, model, f"{name}.{part}", linear)
        offset = linear.bias.double() + layer.quantizer(part).beta.double()
        t[f"{name}.{part}.threshold"] = bipolar_threshold(
            _unit(folded, f"{name}.{part}", linear), offset, c.hidden
        )
    _fold_attention(folded, model, layer, f"{name}.attention")
    _fold_linear(folded, f"{name}.output", layer.output)
    t[f"{name}.output.input_threshold"] = bipolar_threshold(
        layer.context_unit(), layer.output.quantizer.beta, c.max_tokens
    )
    _fold_requantization(folded, model, f"{name}.output", layer.output)
    _fold_norm(folded, model, f"{name}.attention_norm", layer.attention_norm)
    _fold_linear(folded, f"{name}.up", layer.up)
    _fold_residual_threshold(folded, model, f"{name}.up", layer.up)
    q = layer.down.quantizer
    t[f"{name}.up.threshold"] = binary_threshold(
        _unit(folded, f"{name}.up", layer.up), layer.up.bias, scale(q), q.beta, c.hidden
    )
    _fold_linear(folded, f"{name}.down", layer.down)
    _fold_requantization(folded, model, f"{name}.down", layer.down)
    _fold_norm(folded, model, f"{name}.ffn_norm", layer.ffn_norm)


def _fold_attention(folded: Folded, model: "BinaryBert", layer: "EncoderLayer", name: str) -> None:
    t, c, a = folded.tensors, model.config, model.arithmetic
    q = layer.quantizer("probability")
    alpha, beta = scale(q).flatten(), q.beta.flatten()
    reach = c.head_width
    if layer.relative_bias is not None:
        t[f"{name}.relative_bias"] = relative_bias(layer.relative_bias, c.head_width)
        reach *= 3  # matches and bias, each of up to D
    if c.attention == "sps":
        t[f"{name}.score_threshold"] = binary_threshold(
            layer.score_scale(), beta, alpha, None, reach
        )
    else:
        t[f"{name}.exp_table"] = exp_table(layer.score_scale(), c.head_width, a.exp_bits)
        t[f"{name}.probability_threshold"] = probability_threshold(alpha, beta, a.probability_bits)


def _fold_linear(folded: Folded, name: str, linear: "QuantizedLinear") -> None:
    signs, weight_scale = weight_signs(linear.weight)
    folded.tensors[f"{name}.weight"] = signs
    folded.weight_scales[name] = weight_scale


def _fold_residual_threshold(
    folded: Folded, model: "BinaryBert", name: str, linear: "QuantizedLinear"
) -> None:
    a = model.arithmetic
    bound = 2 ** (a.word_bits - 1)
    t = bipolar_threshold(2.0**-a.fraction_bits, linear.quantizer.beta, bound)
    folded.tensors[f"{name}.input_threshold"] = t.clamp(-bound, bound)


def _fold_requantization(
    folded: Folded, model: "BinaryBert", name: str, linear: "QuantizedLinear"
) -> None:
    a = model.arithmetic
    unit = _unit(folded, name, linear)
    m, n, b = requantization(unit, linear.bias, a.fraction_bits, a.multiplier_bits)
    folded.tensors[f"{name}.multiplier"] = m
    folded.tensors[f"{name}.shift"] = torch.tensor(float(n), dtype=torch.float64)
    folded.tensors[f"{name}.bias"] = b


def _fold_norm(folded: Folded, model: "BinaryBert", name: str, norm: torch.nn.LayerNorm) -> None:
    a = model.arithmetic
    g = a.gamma_fraction_bits
    folded.tensors[f"{name}.gamma"] = norm_gamma(norm.weight, g)
    folded.tensors[f"{name}.beta"] = to_grid(norm.bias, a.norm_fraction_bits + g)


def scale(quantizer: ElasticQuantizer) -> Tensor:
    """alpha as the quantizer uses it."""
    return quantizer.alpha.detach().clamp_min(ALPHA_MIN)


def _unit(folded: Folded, name: str, linear: "QuantizedLinear") -> Tensor:
    return scale(linear.quantizer) * folded.weight_scales[name]


def _double(x: Tensor | float) -> Tensor | float:
    return x.double() if isinstance(x, Tensor) else x
