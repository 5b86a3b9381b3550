"""BERT with BiT's quantizers: one class for every stage of a schedule."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from brevitas import nn as qnn
from torch import Tensor, nn
from torch.nn import functional as F

from edgebert import elastic_ops
from edgebert.config import ArithmeticConfig, Bits, ModelConfig
from edgebert.deploy import deploy_forward
from edgebert.folding import Folded, fold
from edgebert.integer_ops import relative_scores
from edgebert.quantizers import BinaryWeight, ElasticQuantizer, binary_rows, elastic

INIT_STD = 0.02  # of BERT's normal initialisation


@dataclass(frozen=True)
class Output:
    """Results of one batch."""

    logits: Tensor  # (batch, labels)
    hidden: tuple[Tensor, ...]  # layers + 1 of (batch, tokens, hidden)
    attention: tuple[Tensor, ...]  # layers of (batch, heads, tokens, tokens): scaled scores


def has_triangle(config: ModelConfig) -> bool:
    """Whether signs have the triangle's slope in training (`quantizers.sign_slope`)."""
    return config.sign_gradient == "triangle"


class QuantizedLinear(qnn.QuantLinear):
    """Brevitas linear layer with binary weights and elastic inputs, or a plain one at 32 bits."""

    def __init__(
        self, columns: int, rows: int, bits: Bits, signed: bool = True, triangle: bool = False
    ) -> None:
        super().__init__(
            columns,
            rows,
            bias=True,
            weight_quant=BinaryWeight if bits.weight == 1 else None,
            input_quant=elastic(bits.activation, signed, (columns,), (), triangle),
        )
        nn.init.normal_(self.weight, std=INIT_STD)
        nn.init.zeros_(self.bias)

        self.bits = bits

    @property
    def quantizer(self) -> ElasticQuantizer:
        """The quantizer of the input."""
        return _quantizer(self.input_quant)

    def forward(self, x: Tensor) -> Tensor:
        """Through Brevitas, or by the kernels of the CPU, which skip its bookkeeping."""
        narrow = self.bits.weight == 1 and self.bits.activation <= 2
        if narrow and elastic_ops.fits(self.quantizer, x):
            return elastic_ops.linear(self, x)
        result: Tensor = super().forward(x)
        return result


class QuantizedActivation(qnn.QuantIdentity):
    """Brevitas identity layer with elastic quantization, or none at 32 bits."""

    def __init__(
        self,
        bits: int,
        signed: bool,
        shift_shape: tuple[int, ...],
        scale_shape: tuple[int, ...],
        triangle: bool = False,
    ) -> None:
        super().__init__(act_quant=elastic(bits, signed, shift_shape, scale_shape, triangle))
        self.quantized = bits < 32

    def forward(self, x: Tensor) -> Tensor:
        """As QuantizedLinear."""
        if self.quantized and elastic_ops.fits(_quantizer(self.act_quant), x):
            return elastic_ops.quantize(_quantizer(self.act_quant), x)
        result: Tensor = super().forward(x)
        return result


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward block, post-LayerNorm as in BERT."""

    def __init__(self, config: ModelConfig, bits: Bits) -> None:
        super().__init__()
        c, h, a = config, config.hidden, bits.activation
        self.config, self.bits = config, bits
        triangle = has_triangle(c)
        self.query = QuantizedLinear(h, h, bits, triangle=triangle)
        self.key = QuantizedLinear(h, h, bits, triangle=triangle)
        self.value = QuantizedLinear(h, h, bits, triangle=triangle)
        self.query_act = QuantizedActivation(a, True, (h,), (), triangle)
        self.key_act = QuantizedActivation(a, True, (h,), (), triangle)
        self.value_act = QuantizedActivation(a, True, (h,), (), triangle)
        biases = (c.heads, 2 * c.relative_positions + 1)  # in parts of D matches, D a head's width
        self.relative_bias = (
            nn.Parameter(torch.zeros(biases)) if bits.binary and c.relative_positions else None
        )
        per_head = (c.heads, 1, 1)
        self.probability_act = QuantizedActivation(a, False, per_head, per_head)
        self.output = QuantizedLinear(h, h, bits, triangle=triangle)
        self.attention_norm = nn.LayerNorm(h, eps=c.layer_norm_eps)
        self.up = QuantizedLinear(h, c.ffn, bits, triangle=triangle)
        self.down = QuantizedLinear(c.ffn, h, bits, signed=False)
        self.ffn_norm = nn.LayerNorm(h, eps=c.layer_norm_eps)
        full = bits.activation == 32
        self.dropout = nn.Dropout(c.dropout if full else 0.0)
        self.activation = F.gelu if full and c.activation == "gelu" else F.relu
        self.sps = c.attention == "sps" and not full

    def quantizer(self, name: str) -> ElasticQuantizer:
        """The quantizer of `query`, `key`, `value` or `probability`."""
        return _quantizer(getattr(self, f"{name}_act").act_quant)

    def score_scale(self, elements: int = 1) -> Tensor:
        """Float value of one unit of a binary score: alpha_q alpha_k / sqrt(D).

        elements: of Q and of K, for the gradient's scale.
        """
        alphas = self.quantizer("query").scale(elements) * self.quantizer("key").scale(elements)
        scale: Tensor = alphas * self.config.head_width**-0.5
        return scale

    def context_unit(self, probabilities: int = 1, values: int = 1) -> Tensor:
        """(hidden,) float value of one unit of the binary context: alpha_p,h alpha_v.

        probabilities, values: their elements, for the gradients' scales.
        """
        alpha = self.quantizer("probability").scale(probabilities).flatten()
        alpha = alpha * self.quantizer("value").scale(values)
        return alpha.repeat_interleave(self.config.head_width)

    def split_heads(self, x: Tensor) -> Tensor:
        """(batch, tokens, hidden) -> (batch, heads, tokens, head width)."""
        heads: Tensor = x.unflatten(-1, (self.config.heads, self.config.head_width))
        return heads.transpose(1, 2)

    def forward(self, x: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        q = self.split_heads(self.query_act(self.query(x)))
        k = self.split_heads(self.key_act(self.key(x)))
        v = self.split_heads(self.value_act(self.value(x)))
        scores = (q @ k.transpose(-1, -2)) * self.config.head_width**-0.5
        if self.relative_bias is not None:
            bias = relative_scores(self.relative_bias, x.shape[1], self.config.head_width)
            scores = scores + self.score_scale() * bias
        p = scores if self.sps else scores.masked_fill(~keys, float("-inf")).softmax(-1)
        p = self.probability_act(p) * keys
        context = (p @ v).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.dropout(self.output(context)))
        inner = self.activation(self.up(x))
        return self.ffn_norm(x + self.dropout(self.down(inner))), scores


class BinaryBert(nn.Module):
    """BERT classifier at the bit widths of one stage.

    With `deploy` (W1A1 only) the forward pass computes the integers of docs/arithmetic.md and the
    backward pass the float model's gradients.
    """

    def __init__(
        self,
        config: ModelConfig,
        arithmetic: ArithmeticConfig,
        labels: int,
        bits: Bits,
        deploy: bool = False,
    ) -> None:
        super().__init__()
        if deploy and not bits.binary:
            raise ValueError(f"deployed arithmetic: expected w1a1, got {bits.name}")
        self.config, self.arithmetic, self.bits = config, arithmetic, bits
        self.labels, self.deploy = labels, deploy
        self.word = nn.Embedding(config.vocab, config.hidden)
        self.position = nn.Embedding(config.max_tokens, config.hidden)
        self.token_type = nn.Embedding(config.token_types, config.hidden)
        for table in (self.word, self.position, self.token_type):
            nn.init.normal_(table.weight, std=INIT_STD)
        self.embedding_norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(EncoderLayer(config, bits) for _ in range(config.layers))
        self.pooler = QuantizedLinear(
            config.hidden, config.hidden, bits, triangle=has_triangle(config)
        )
        self.classifier = nn.Linear(config.hidden, labels)
        nn.init.normal_(self.classifier.weight, std=INIT_STD)
        nn.init.zeros_(self.classifier.bias)
        self.dropout = nn.Dropout(config.dropout if bits.activation == 32 else 0.0)
        self._folded: Folded | None = None

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Output:
        """Logits, hidden states and attention scores.

        All inputs (batch, tokens) int64, attention_mask 1 on tokens and 0 on padding. In deploy
        mode the logits are float64 multiples of 2^-(fraction_bits + classifier_fraction_bits).
        """
        if not self.deploy:
            return self._float_forward(input_ids, token_type_ids, attention_mask)
        if self.training and not self.initialized():
            with torch.no_grad():  # the float model's first batch sets the scales
                self._float_forward(input_ids, token_type_ids, attention_mask)
        return deploy_forward(self, input_ids, token_type_ids, attention_mask)

    def initialized(self) -> bool:
        """Whether every activation scale has seen its first batch."""
        return self.layers[-1].down.quantizer._ready  # type: ignore[union-attr,return-value]

    def folded(self) -> Folded:
        """The model's integers; in evaluation they are computed once."""
        if self.training:
            self._folded = None
            return fold(self)
        if self._folded is None:
            self._folded = fold(self)
        return self._folded

    def changed(self) -> None:
        """To be told when parameters change otherwise than in training: their integers do, too."""
        self._folded = None

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As every module's."""
        self.changed()
        return super().load_state_dict(*args, **kwargs)

    def binary_words(self, ids: Tensor) -> Tensor:
        """Word embeddings of 1-bit weights."""
        return binary_rows(ids, self.word.weight, sparse=self.word.sparse)

    def _float_forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> Output:
        word = self.word(ids) if self.bits.weight == 32 else self.binary_words(ids)
        x = word + self.position.weight[: ids.shape[1]] + self.token_type(types)
        x = self.dropout(self.embedding_norm(x))
        keys = mask.bool()[:, None, None, :]
        hidden, attention = [x], []
        for layer in self.layers:
            x, scores = layer(x, keys)
            hidden.append(x)
            attention.append(scores)
        pooled = F.hardtanh(self.pooler(x[:, 0]))
        logits = self.classifier(self.dropout(pooled))
        return Output(logits, tuple(hidden), tuple(attention))


def next_stage(teacher: BinaryBert, bits: Bits, deploy: bool = False) -> BinaryBert:
    """A student of the given bit widths that starts from the teacher's parameters.

    Everything of the same name is taken over; activation scales only where the activation's bit
    width stays the same (otherwise the first training batch sets them).
    """
    student = BinaryBert(teacher.config, teacher.arithmetic, teacher.labels, bits, deploy)
    state = teacher.state_dict()
    if teacher.bits.activation != bits.activation:
        state = {k: v for k, v in state.items() if not k.endswith((".alpha", ".initialized"))}
    known = student.state_dict()
    known.update({k: v for k, v in state.items() if k in known})
    student.load_state_dict(known)
    return student.to(teacher.position.weight.device)


def _quantizer(proxy: Any) -> ElasticQuantizer:
    return cast(ElasticQuantizer, proxy.fused_activation_quant_proxy.tensor_quant)
