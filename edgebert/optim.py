"""The optimizer, its parameter groups, gradient clipping, and the learning rate of each step."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edgebert import native, native_ops
from edgebert.config import TrainConfig


class TableAdamW(torch.optim.AdamW):
    """AdamW that also takes sparse gradients: of a table of which a batch uses few rows.

    The values are those of AdamW with the dense gradient: rows without one still decay, and move
    on by their momentum. But rows that never had a gradient have no momentum, so theirs, half of
    the vocabulary's and more, need not be read.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, lr=lr, fused=True)
        self._moved: dict[Tensor, Tensor] = {}  # by parameter: whether a row has momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, as torch.optim.AdamW."""
        sparse = [
            (p, group, p.grad.coalesce())
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None and p.grad.is_sparse
        ]
        for p, _, _ in sparse:
            p.grad = None  # torch's step passes it by
        result = super().step(closure)
        for p, group, grad in sparse:
            self._step_rows(p, group, grad)
            p.grad = grad
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what state_dict gave."""
        self._moved.clear()
        super().load_state_dict(state_dict)

    def _step_rows(self, p: Tensor, group: dict[str, Any], grad: Tensor) -> None:
        state = self.state[p]
        if not state:  # as torch.optim.AdamW names and fills them
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        if p not in self._moved:
            self._moved[p] = (state["exp_avg"] != 0).any(1) | (state["exp_avg_sq"] != 0).any(1)
        state["step"] += 1
        native_ops.adamw_rows(
            p,
            (state["exp_avg"], state["exp_avg_sq"], self._moved[p]),
            (grad.indices()[0], grad.values()),
            (group["lr"], *group["betas"], group["eps"], group["weight_decay"]),
            int(state["step"]),
        )


def use_sparse_table(table: nn.Embedding, processes: int) -> None:
    """Let a table's gradient be sparse where that works: one process, on a CPU with kernels."""
    table.sparse = processes == 1 and native.usable(table.weight.detach())


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], largest: float) -> None:
    """torch.nn.utils.clip_grad_norm_, for sparse gradients too."""
    values = []
    for p in parameters:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = p.grad.coalesce()
            values.append(p.grad.values())
        elif p.grad is not None:
            values.append(p.grad)
    total = torch.nn.utils.get_total_norm(values)
    torch._foreach_mul_(values, (largest / (total + 1e-6)).clamp(max=1.0))


def make_optimizer(model: nn.Module, config: TrainConfig) -> TableAdamW:
    """AdamW over all parameters.

    Weight decay is for matrices only: not for biases, LayerNorms, and activation scales
    (`.alpha`) and shifts (`.beta`), whose learning rate `scale_lr_factor` multiplies.
    """
    matrices, vectors, scales = [], [], []
    for name, parameter in model.named_parameters():
        if name.endswith((".alpha", ".beta")):
            scales.append(parameter)
        elif parameter.ndim >= 2 and not name.endswith(".relative_bias"):
            matrices.append(parameter)
        else:
            vectors.append(parameter)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay, "factor": 1.0},
        {"params": vectors, "weight_decay": 0.0, "factor": 1.0},
        {"params": scales, "weight_decay": 0.0, "factor": config.scale_lr_factor},
    ]
    return TableAdamW([g for g in groups if g["params"]], lr=0.0)


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
