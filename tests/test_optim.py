"""The optimizer of sparse gradients against torch's own AdamW."""

import copy

import pytest
import torch
from torch import nn

from edgebert import native
from edgebert.config import TrainConfig
from edgebert.optim import TableAdamW, clip_gradients, make_optimizer, use_sparse_table

needs_compiler = pytest.mark.skipif(
    native.describe() == "torch operators", reason="no C++ compiler: gradients stay dense"
)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Embedding(50, 24)
        self.linear = nn.Linear(24, 3)

    def loss(self, ids: torch.Tensor) -> torch.Tensor:
        return self.linear(self.word(ids)).square().sum()


def steps(model: Model, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        model.loss(torch.randint(0, 20 + step, (4, 6), generator=generator)).backward()
        clip_gradients(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (step + 1)
        optimizer.step()
        optimizer.zero_grad()


@needs_compiler
def test_sparse_gradients_train_as_dense_ones() -> None:
    torch.manual_seed(0)
    dense = Model()
    sparse = copy.deepcopy(dense)
    use_sparse_table(sparse.word, processes=1)
    assert sparse.word.sparse
    optimizers = [make_optimizer(model, TrainConfig()) for model in (dense, sparse)]
    for model, optimizer in zip((dense, sparse), optimizers, strict=True):
        steps(model, optimizer, 0, 8)
    states = [optimizer.state_dict()["state"] for optimizer in optimizers]
    assert states[0].keys() == states[1].keys()
    for index, state in states[0].items():
        for name, value in state.items():
            torch.testing.assert_close(states[1][index][name], value, rtol=1e-5, atol=1e-7)
    for ours, reference in zip(sparse.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-6)


@needs_compiler
def test_a_loaded_optimizer_goes_on_alike() -> None:
    torch.manual_seed(0)
    model = Model()
    use_sparse_table(model.word, processes=1)
    optimizer = make_optimizer(model, TrainConfig())
    steps(model, optimizer, 0, 3)
    other = copy.deepcopy(model)
    loaded = make_optimizer(other, TrainConfig())
    steps(other, loaded, 30, 31)  # rows that the loaded state has not moved
    other.load_state_dict(model.state_dict())
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(model, optimizer, 3, 6)
    steps(other, loaded, 3, 6)
    for ours, reference in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, reference)


def test_several_processes_and_machines_without_kernels_keep_dense_gradients() -> None:
    table = nn.Embedding(5, 4)
    use_sparse_table(table, processes=2)
    assert not table.sparse
    native.enable(False)
    try:
        use_sparse_table(table, processes=1)
        assert not table.sparse
    finally:
        native.enable(True)


@pytest.mark.parametrize("largest", [0.1, 1e6])
def test_clipping_equals_torchs(largest: float) -> None:
    torch.manual_seed(0)
    ours, reference = Model(), Model()
    reference.load_state_dict(ours.state_dict())
    ours.word.sparse = True
    ids = torch.tensor([[1, 2, 1, 7]])  # one row twice
    for model in (ours, reference):
        model.loss(ids).backward()
    clip_gradients(ours.parameters(), largest)
    nn.utils.clip_grad_norm_(reference.parameters(), largest)
    for a, b in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a.grad.to_dense(), b.grad, rtol=1e-5, atol=1e-7)


def test_dense_gradients_take_torchs_own_step() -> None:
    torch.manual_seed(0)
    ours = Model()
    reference = copy.deepcopy(ours)
    steps(ours, TableAdamW([{"params": list(ours.parameters())}], lr=0.1), 0, 3)
    steps(reference, torch.optim.AdamW(reference.parameters(), lr=0.1, fused=True), 0, 3)
    for a, b in zip(ours.parameters(), reference.parameters(), strict=True):
        assert torch.equal(a, b)
