"""The optimizer's parameter groups and the learning rate of each step."""

import math

import torch
from torch import nn

from edgebert.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over all parameters.

    Weight decay is for matrices only: not for biases, LayerNorms, and activation scales
    (`.alpha`) and shifts (`.beta`), whose learning rate `scale_lr_factor` multiplies.
    """
    matrices, vectors, scales = [], [], []
    for name, parameter in model.named_parameters():
        if name.endswith((".alpha", ".beta")):
            scales.append(parameter)
        elif parameter.ndim >= 2:
            matrices.append(parameter)
        else:
            vectors.append(parameter)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay, "factor": 1.0},
        {"params": vectors, "weight_decay": 0.0, "factor": 1.0},
        {"params": scales, "weight_decay": 0.0, "factor": config.scale_lr_factor},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's learning rate to `lr` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


def lr_at(step: int, total: int, warmup: float) -> float:
    """Learning rate of step 0 <= step < total, as a fraction of the peak.

    Rises linearly to 1 at the end of the first `warmup` part, then falls linearly towards 0.
    """
    rising = min(math.ceil(total * warmup), total)
    if step < rising:
        return (step + 1) / rising
    return (total - step) / (total - rising)
