"""Small models whose every parameter has left its initial value."""

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebert.config import ArithmeticConfig, Bits, ModelConfig
from edgebert.model import INIT_STD, BinaryBert

Batch = tuple[Tensor, Tensor, Tensor]  # ids, types, mask: (batch, tokens) int64

FULL, TWO, ONE = Bits(32, 32), Bits(1, 2), Bits(1, 1)


def small_config(attention: str = "softmax", **sizes: int) -> ModelConfig:
    """Two layers of odd sizes; `sizes` overrides them."""
    base = {"layers": 2, "hidden": 24, "heads": 3, "ffn": 40, "vocab": 60, "max_tokens": 12}
    return ModelConfig(**{**base, **sizes}, attention=attention, dropout=0.0)


def random_batch(seed: int, config: ModelConfig, lengths: list[int], pad: int = 0) -> Batch:
    """Random sentences of the given lengths, padded with zeros by `pad` more tokens."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths) + pad)
    mask = (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1, config.vocab, shape, generator=generator) * mask
    types = torch.randint(0, config.token_types, shape, generator=generator).sort(1)[0] * mask
    return ids, types, mask


def small_model(
    config: ModelConfig,
    bits: Bits,
    deploy: bool = False,
    arithmetic: ArithmeticConfig | None = None,
    labels: int = 2,
    seed: int = 0,
) -> BinaryBert:
    """An untrained model of the given seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BinaryBert(config, arithmetic or ArithmeticConfig(), labels, bits, deploy)


def train(model: BinaryBert, steps: int, seed: int = 0, lr: float = 5e-3) -> None:
    """Fit the logits to random targets; leaves the model in evaluation mode, without gradients."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    longest = model.config.max_tokens
    for step in range(steps):
        lengths = torch.randint(1, longest + 1, (6,), generator=generator).tolist()
        output = model(*random_batch(seed + step, model.config, lengths))
        target = torch.randn(output.logits.shape, generator=generator)
        loss = F.mse_loss(output.logits.float(), target)
        loss = loss + sum(h.square().mean() for h in output.hidden)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().zero_grad()


def trained_model(
    config: ModelConfig,
    bits: Bits,
    deploy: bool = False,
    arithmetic: ArithmeticConfig | None = None,
    labels: int = 2,
    seed: int = 0,
    steps: int = 4,
) -> BinaryBert:
    """A model after some optimizer steps and a random change of every bias, shift and scale."""
    model = small_model(config, bits, deploy, arithmetic, labels, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and name.startswith(("layers", "pooler")):
                parameter.mul_(2 / (INIT_STD * parameter.shape[1] ** 0.5))  # scores of about 1
    train(model, steps, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "probability" in name and name.endswith(".alpha") and config.attention != "sps":
                parameter.fill_(1.8 / config.max_tokens)  # 1 iff about 0.9 of the mean share
            if name.endswith(".alpha"):
                parameter.mul_(1 + 0.2 * noise.clamp(-2, 2))
            elif "probability" in name:
                parameter.add_(0.01 * noise)
            elif name.endswith((".beta", ".bias")):
                parameter.add_(0.1 * noise)
            elif name.endswith(".relative_bias"):
                parameter.add_(0.4 * noise)
    return model


def float_values(model: BinaryBert, batch: Batch) -> tuple[Tensor, ...]:
    """Logits and hidden states of a batch."""
    with torch.no_grad():
        output = model(*batch)
    return (output.logits, *output.hidden)
