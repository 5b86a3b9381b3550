"""The benchmark compares two programs that compute the same."""

import pytest
import torch

from benchmarks.plain_bit import PlainBert, plain_state
from edgebert.config import Bits
from tests.trained import random_batch, small_config, trained_model


@pytest.mark.parametrize("activation", [1, 2])
def test_the_plain_model_has_our_float_models_loss_and_gradients(activation: int) -> None:
    config = small_config()
    ours = trained_model(config, Bits(1, activation)).train()
    plain = PlainBert(ours)
    batch = random_batch(3, config, [9, 4, 7, 12], pad=0)
    losses, gradients = [], []
    for model in (ours, plain):
        output = model(*batch)
        loss = output.logits.square().sum() + sum(h.square().mean() for h in output.hidden)
        loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(parameter.grad)
    gradients = plain_state(ours)
    for name, parameter in plain.named_parameters():
        bound = 1e-3 * float(parameter.grad.abs().max()) + 1e-7
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=bound, msg=name)
