"""A BERT with BiT's quantizers simulated in plain float32 torch, as one would first write it.

Straight-through estimators by `detach`, one torch operator after the other, the whole embedding
table binarized at each step. It is the same function as BinaryBert without `deploy`, value and
gradients, and has the same parameters.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgebert.model import BinaryBert, Output


def straight_through(value: Tensor, x: Tensor) -> Tensor:
    """value, with the gradient of x."""
    return x + (value - x).detach()


def binary_weight(weight: Tensor, dim: int | None = None) -> Tensor:
    """`mean|W| sign(W - mean(W))` of the whole tensor, or of each row (dim -1)."""
    if dim is None:
        mean, scale = weight.mean(), weight.abs().mean()
    else:
        mean, scale = weight.mean(dim, keepdim=True), weight.abs().mean(dim, keepdim=True)
    return straight_through(scale * torch.where(weight >= mean, 1.0, -1.0), weight)


class PlainQuantizer(nn.Module):
    """Elastic activation quantizer (edgebert.quantizers.ElasticQuantizer)."""

    def __init__(self, bits: int, signed: bool, shift: tuple[int, ...], scale: tuple[int, ...]):
        super().__init__()
        self.signs = signed and bits == 1
        self.low, self.high = (
            (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        )
        self.alpha = nn.Parameter(torch.ones(scale))
        self.beta = nn.Parameter(torch.zeros(shift))

    def forward(self, x: Tensor) -> Tensor:
        z = x + self.beta
        factor = 1 / math.sqrt(z.numel() // self.alpha.numel() * max(1, self.high))
        alpha = straight_through(self.alpha, self.alpha * factor)  # LSQ's gradient scale
        if self.signs:
            clipped = torch.clamp(z, -alpha.detach(), alpha.detach())
            bits = torch.where(z >= 0, 1.0, -1.0)
            return alpha * bits + clipped - clipped.detach()
        clipped = torch.clamp(z / alpha, self.low, self.high)
        return alpha * straight_through(torch.round(clipped), clipped)


class PlainLinear(nn.Module):
    """Linear layer with binary weights and quantized inputs."""

    def __init__(self, columns: int, rows: int, bits: int, signed: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, columns))
        self.bias = nn.Parameter(torch.empty(rows))
        self.quantizer = PlainQuantizer(bits, signed, (columns,), ())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.quantizer(x), binary_weight(self.weight), self.bias)


class PlainLayer(nn.Module):
    """Encoder layer."""

    def __init__(self, hidden: int, heads: int, ffn: int, bits: int, eps: float) -> None:
        super().__init__()
        h = hidden
        self.heads, self.head_width = heads, hidden // heads
        self.query, self.key, self.value = (PlainLinear(h, h, bits) for _ in range(3))
        self.query_act, self.key_act, self.value_act = (
            PlainQuantizer(bits, True, (h,), ()) for _ in range(3)
        )
        self.probability_act = PlainQuantizer(bits, False, (heads, 1, 1), (heads, 1, 1))
        self.output = PlainLinear(h, h, bits)
        self.attention_norm = nn.LayerNorm(h, eps=eps)
        self.up = PlainLinear(h, ffn, bits)
        self.down = PlainLinear(ffn, h, bits, signed=False)
        self.ffn_norm = nn.LayerNorm(h, eps=eps)

    def split_heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, self.head_width).transpose(1, 2)

    def forward(self, x: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        q = self.split_heads(self.query_act(self.query(x)))
        k = self.split_heads(self.key_act(self.key(x)))
        v = self.split_heads(self.value_act(self.value(x)))
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_width)
        p = scores.masked_fill(~keys, float("-inf")).softmax(-1)
        p = self.probability_act(p) * keys
        context = (p @ v).transpose(1, 2).reshape(x.shape)
        x = self.attention_norm(x + self.output(context))
        return self.ffn_norm(x + self.down(torch.relu(self.up(x)))), scores


class PlainBert(nn.Module):
    """Classifier with the parameters of `source`, a BinaryBert of 1-bit weights."""

    def __init__(self, source: BinaryBert) -> None:
        super().__init__()
        c, bits = source.config, source.bits.activation
        if source.bits.weight != 1 or bits == 32 or c.attention != "softmax":
            raise ValueError(f"expected 1-bit weights and softmax, got {source.bits.name}")
        self.word = nn.Parameter(torch.empty(c.vocab, c.hidden))
        self.position = nn.Embedding(c.max_tokens, c.hidden)
        self.token_type = nn.Embedding(c.token_types, c.hidden)
        self.embedding_norm = nn.LayerNorm(c.hidden, eps=c.layer_norm_eps)
        self.layers = nn.ModuleList(
            PlainLayer(c.hidden, c.heads, c.ffn, bits, c.layer_norm_eps) for _ in range(c.layers)
        )
        self.pooler = PlainLinear(c.hidden, c.hidden, bits)
        self.classifier = nn.Linear(c.hidden, source.labels)
        self.load_state_dict(plain_state(source))

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> Output:
        word = F.embedding(ids, binary_weight(self.word, dim=-1))
        x = word + self.position.weight[: ids.shape[1]] + self.token_type(types)
        x = self.embedding_norm(x)
        keys = mask.bool()[:, None, None, :]
        hidden, attention = [x], []
        for layer in self.layers:
            x, scores = layer(x, keys)
            hidden.append(x)
            attention.append(scores)
        logits = self.classifier(F.hardtanh(self.pooler(x[:, 0])))
        return Output(logits, tuple(hidden), tuple(attention))


def plain_state(source: BinaryBert) -> dict[str, Tensor]:
    """The parameters of a BinaryBert under PlainBert's names."""
    short = {
        "word.weight": "word",
        "input_quant.fused_activation_quant_proxy.tensor_quant.": "quantizer.",
        "act_quant.fused_activation_quant_proxy.tensor_quant.": "",
    }
    state = {}
    for name, parameter in source.named_parameters():
        for long, replacement in short.items():
            name = name.replace(long, replacement)
        state[name] = parameter.detach()
    return state
