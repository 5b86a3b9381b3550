"""Lifting, the inverse of lowering: from an integer model back to a W1A1 model that trains on.

Folding such a model gives the very integers that it came from. What they don't tell has to be
chosen: all latent weights of a matrix get one magnitude, and scales that no integer depends on, but
the reach of a gradient does, are the least-squares ones of the integer model's golden sentences, as
BiT initialises them.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgebert.config import Bits, from_dict
from edgebert.errors import UserError
from edgebert.model import BinaryBert, EncoderLayer, QuantizedLinear
from edgebert.quantizers import ALPHA_MIN, ElasticQuantizer
from hw.integer_model import IntegerModel
from hw.reference import run

LATENT = 0.05  # magnitude of weights whose scale is free; trained ones have about that
# What training makes of scales of least squares, by what they quantize: about as the zoo's encoder
# `mini` has them (medians over its layers; of others the factor is near 1).
TRAINED = {
    "query": 1.4,
    "key": 1.8,
    "value": 0.8,
    "up": 0.55,
    "pooler": 1.8,
    "value output": 0.6,
    "probability": 0.4,
    "up output": 0.65,
}
HALF = 0.5  # sets a threshold between two integers, where no rounding moves it

Values = NDArray[np.float64]


def lift(integers: IntegerModel) -> BinaryBert:
    """A W1A1 model in the deployed arithmetic, in eval mode, whose folded integers are these.

    Raises UserError where the model has no golden sentences, which set the free scales.
    """
    config = from_dict({key: integers.config[key] for key in ("model", "arithmetic")})
    outputs = 1 if integers.config.get("regression") else len(integers.config["labels"])
    model = BinaryBert(config.model, config.arithmetic, outputs, Bits(1, 1), deploy=True)
    lifting = _Lifting(integers, model)
    with torch.no_grad():
        lifting.embedding()
        for i, layer in enumerate(model.layers):
            residual = f"layer.{i - 1}.ffn_norm.residual" if i else "embedding.residual"
            lifting.layer(f"layer.{i}", layer, residual)  # type: ignore[arg-type]
        lifting.head()
    return model.eval()


class _Lifting:
    """One model's integers, what they compute on its golden sentences, and the model to be."""

    def __init__(self, integers: IntegerModel, model: BinaryBert) -> None:
        self.integers, self.model, self.formats = integers, model, model.arithmetic
        lengths = integers.tensors.get("golden.lengths", np.zeros(0, np.int64))
        if not lengths.size:
            raise UserError("expected an integer model with golden sentences, got none in it")
        ids, types = integers["golden.input_ids"], integers["golden.token_type_ids"]
        self.golden = [run(integers, ids[i, :n], types[i, :n]) for i, n in enumerate(lengths)]

    def embedding(self) -> None:
        t, model, bits = self.integers, self.model, self.formats.embedding_fraction_bits
        signs = _tensor(t["embedding.word.weight"])
        scales = _tensor(t["embedding.word.scale"]) * 2.0**-bits
        model.word.weight.copy_(signs * scales[:, None])
        model.position.weight.copy_(_tensor(t["embedding.position"]) * 2.0**-bits)
        model.token_type.weight.copy_(_tensor(t["embedding.token_type"]) * 2.0**-bits)
        self.norm("embedding.norm", model.embedding_norm)

    def layer(self, name: str, layer: EncoderLayer, residual: str) -> None:
        """residual: the name of its input."""
        rows = self.rows(residual)
        score = self.attention(f"{name}.attention", layer)
        for part in ("query", "key", "value"):
            self.residual_input(f"{name}.{part}", getattr(layer, part), rows)
            self.signs(f"{name}.{part}", layer, part, None if part == "value" else score)
        context = self.margins(f"{name}.attention.context", f"{name}.output.input_threshold")
        unit = layer.context_unit().double()
        quantizer = layer.output.quantizer
        _set(quantizer, (context.abs() * unit).mean())
        threshold = _tensor(self.integers[f"{name}.output.input_threshold"])
        quantizer.beta.copy_((HALF - threshold) * unit)
        self.requantized(f"{name}.output", layer.output)
        self.norm(f"{name}.attention_norm", layer.attention_norm)
        self.residual_input(f"{name}.up", layer.up, self.rows(f"{name}.attention_norm.residual"))
        self.relu(f"{name}.up", layer)
        self.requantized(f"{name}.down", layer.down)
        self.norm(f"{name}.ffn_norm", layer.ffn_norm)

    def head(self) -> None:
        t, model, f = self.integers, self.model, self.formats.fraction_bits
        last = f"layer.{model.config.layers - 1}.ffn_norm.residual"
        first_tokens = np.stack([golden[last][0] for golden in self.golden])
        self.residual_input("pooler", model.pooler, first_tokens)
        self.requantized("pooler", model.pooler)
        bits = self.formats.classifier_fraction_bits
        model.classifier.weight.copy_(_tensor(t["classifier.weight"]) * 2.0**-bits)
        model.classifier.bias.copy_(_tensor(t["classifier.bias"]) * 2.0 ** -(f + bits))

    def margins(self, values: str, threshold: str) -> Tensor:
        """(tokens, channels) of the golden sentences: how far integers lie above the threshold."""
        return _tensor(self.rows(values)) - _tensor(self.integers[threshold]) + HALF

    def rows(self, values: str) -> NDArray[np.int64]:
        """(tokens, channels) of all golden sentences."""
        return np.concatenate([golden[values] for golden in self.golden])

    def residual_input(
        self, name: str, linear: QuantizedLinear, residual: NDArray[np.int64]
    ) -> None:
        """The quantizer of a matrix whose input is the residual, (tokens, channels)."""
        unit = 2.0**-self.formats.fraction_bits
        threshold = self.integers[f"{name}.input_threshold"]
        bound = 2 ** (self.formats.word_bits - 1)
        live = np.abs(threshold) < bound  # the others never change
        distance = np.abs(residual - threshold + HALF)[:, live] * unit
        alpha = float(distance.mean()) if distance.size else 1.0
        _set(linear.quantizer, alpha * TRAINED[name.rsplit(".", 1)[-1]])
        linear.quantizer.beta.copy_((HALF - _tensor(threshold)) * unit)

    def signs(self, name: str, layer: EncoderLayer, part: str, alpha: float | None) -> None:
        """A projection and the signs of its output, of scale alpha where that isn't free."""
        linear: QuantizedLinear = getattr(layer, part)
        margins = self.margins(f"{name}.accumulator", f"{name}.threshold")
        distance = float(margins.abs().mean())
        inputs = float(linear.quantizer.alpha)
        magnitude = LATENT if alpha is None else alpha / (distance * inputs)
        unit = self.weight(name, linear, magnitude)
        free = unit * distance * TRAINED["value output"]
        _set(layer.quantizer(part), free if alpha is None else alpha)
        threshold = _tensor(self.integers[f"{name}.threshold"])
        linear.bias.copy_((HALF - threshold) * unit)

    def relu(self, name: str, layer: EncoderLayer) -> None:
        """The first FFN matrix, and the {0,1} that the second takes."""
        margins = self.margins(f"{name}.accumulator", f"{name}.threshold")
        reach = float(_reach(margins)) * TRAINED["up output"]  # alpha in units
        unit = self.weight(name, layer.up, LATENT)
        _set(layer.down.quantizer, reach * unit)
        half = float(layer.down.quantizer.alpha) / 2
        threshold = _tensor(self.integers[f"{name}.threshold"])
        layer.up.bias.copy_(half - (threshold - HALF) * unit)

    def weight(self, name: str, linear: QuantizedLinear, magnitude: float) -> float:
        """Set a matrix's latent weights; the unit of its accumulators."""
        signs = torch.from_numpy(self.integers[f"{name}.weight"]).float()
        latent = torch.tensor(magnitude, dtype=torch.float32)
        linear.weight.copy_(signs * latent)
        return float(linear.quantizer.alpha * latent)

    def requantized(self, name: str, linear: QuantizedLinear) -> None:
        """A matrix whose unit the multiplier tells."""
        t, f = self.integers, self.formats.fraction_bits
        multiplier, n = float(t[f"{name}.multiplier"]), int(t[f"{name}.shift"])
        # Inside what rounds to M, and on that side of 2^multiplier_bits where it has the shift n.
        inside = 0.25 if multiplier < 2.0**self.formats.multiplier_bits else -0.25
        unit = (multiplier + inside) * 2.0 ** -(f + n)
        self.weight(name, linear, unit / float(linear.quantizer.alpha))
        linear.bias.copy_(_tensor(t[f"{name}.bias"]) * 2.0 ** -(f + n))

    def attention(self, name: str, layer: EncoderLayer) -> float:
        """The quantizer of probabilities; the scale of Q's signs and of K's."""
        c, probability = self.model.config, layer.quantizer("probability")
        if layer.relative_bias is not None:
            bias = _tensor(self.integers[f"{name}.relative_bias"])
            layer.relative_bias.copy_(bias / c.head_width)
        scores = [golden[f"{name}.scores"] for golden in self.golden]
        if c.attention == "sps":
            scale = 1.0  # no integer tells it
            unit = c.head_width**-0.5
            level = (_tensor(self.integers[f"{name}.score_threshold"]) - HALF) * unit
            inputs = [_tensor(s.reshape(c.heads, -1)) * unit for s in scores]
        else:
            table = self.integers[f"{name}.exp_table"]
            scale = math.sqrt(_score_scale(table) * math.sqrt(c.head_width))
            level = _tensor(self.integers[f"{name}.probability_threshold"]) + HALF
            level = level * 2.0**-self.formats.probability_bits
            inputs = [_tensor(_softmax(s, table).reshape(c.heads, -1)) for s in scores]
        margins = torch.cat(inputs, dim=1) - level[:, None]
        alpha = torch.stack([_reach(head) for head in margins]).float() * TRAINED["probability"]
        _set(probability, alpha.view(probability.alpha.shape))
        probability.beta.copy_((alpha.double() / 2 - level).view(probability.beta.shape))
        return scale

    def norm(self, name: str, norm: nn.LayerNorm) -> None:
        t, g = self.integers, self.formats.gamma_fraction_bits
        root = math.sqrt(norm.weight.numel())
        norm.weight.copy_(_tensor(t[f"{name}.gamma"]) / (root * 2.0**g))
        norm.bias.copy_(_tensor(t[f"{name}.beta"]) * 2.0 ** -(self.formats.norm_fraction_bits + g))


def _score_scale(table: NDArray[np.int64]) -> float:
    """c of `E[d] = round(E[0] exp(-2 d c))`: the middle of what gives every entry."""
    one = float(table[0])
    low, high = 0.0, math.inf
    for d, entry in enumerate(table.tolist()):
        if d == 0:
            continue
        low = max(low, math.log(one / (entry + HALF)) / (2 * d))
        if entry:
            high = min(high, math.log(one / (entry - HALF)) / (2 * d))
    return (low + high) / 2 if high < math.inf else low + 1.0


def _softmax(scores: NDArray[np.int64], table: NDArray[np.int64]) -> Values:
    """Probabilities of (heads, tokens, tokens) scores, by the table of docs/arithmetic.md."""
    difference = (scores.max(-1, keepdims=True) - scores) // 2
    powers = table[np.minimum(difference, len(table) - 1)].astype(np.float64)
    result: Values = powers / powers.sum(-1, keepdims=True)
    return result


def _reach(margins: Tensor) -> Tensor:
    """alpha by least squares of {0, alpha}, from how far values lie above alpha / 2."""
    above = margins[margins > 0]
    return 2 * above.mean() if above.numel() else margins.new_ones(())


def _set(quantizer: ElasticQuantizer, alpha: Tensor | float) -> None:
    quantizer.alpha.copy_(torch.as_tensor(alpha).clamp_min(ALPHA_MIN))
    quantizer.initialized.fill_(True)


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values)).double()
