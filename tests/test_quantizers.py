"""Quantizers' values and gradients against formulas written out, in float64."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgebert.checkpoint import load_tensors, save_tensors
from edgebert.config import Bits
from edgebert.model import QuantizedLinear
from edgebert.quantizers import (
    ALPHA_MIN,
    ElasticQuantizer,
    WeightBinarizer,
    binary_rows,
    elastic,
    sign,
    weight_signs,
)
from tests.trained import (
    FULL,
    ONE,
    TWO,
    float_values,
    random_batch,
    small_config,
    small_model,
    train,
    trained_model,
)

KINDS = [(bits, signed) for bits in (1, 2, 4) for signed in (True, False)]
SHAPE = (2, 3, 5, 8)  # batch, heads, rows, columns
PER_TENSOR, PER_HEAD = (), (3, 1, 1)


def limits(bits: int, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def surrogate(x: Tensor, beta: Tensor, alpha: Tensor, bits: int, signed: bool) -> Tensor:
    """An expression whose value and plain autograd are the quantizer's."""
    z = x + beta
    if signed and bits == 1:
        a = alpha.detach()
        straight = torch.minimum(torch.maximum(z, -a), a)  # torch shares gradients at a tie
        straight = torch.where(z.abs() <= a, z, straight.detach())
        return alpha * torch.where(z < 0, -1.0, 1.0) + straight - straight.detach()
    low, high = limits(bits, signed)
    ratio = z / alpha
    clipped = torch.where((ratio < low) | (ratio > high), ratio.detach().clip(low, high), ratio)
    return alpha * (clipped + (clipped.round() - clipped).detach())


def gradient_scale(x: Tensor, alpha: Tensor, bits: int, signed: bool) -> float:
    high = max(1, limits(bits, signed)[1])
    return 1 / math.sqrt(x.numel() / alpha.numel() * high)


def quantizer(
    bits: int, signed: bool, shift: tuple[int, ...], scale: tuple[int, ...] = ()
) -> ElasticQuantizer:
    return ElasticQuantizer(bits, signed, shift, scale).eval()


def compare(module: ElasticQuantizer, x: Tensor, grad: Tensor, exact: bool) -> None:
    """Value and gradients of x, beta and alpha against the surrogate's in float64."""
    x = x.clone().requires_grad_()
    value = module(x)[0]
    value.backward(grad)
    wide = [t.detach().double().requires_grad_() for t in (x, module.beta, module.alpha)]
    expected = surrogate(*wide, module.bits, module.signed)
    expected.backward(grad.double())
    factor = gradient_scale(x, module.alpha, module.bits, module.signed)
    results = [
        (value, expected),
        (x.grad, wide[0].grad),
        (module.beta.grad, wide[1].grad),
        (module.alpha.grad, wide[2].grad * factor),
    ]
    for result, reference in results[: 3 if exact else 0]:
        assert (result.double() == reference).all()
    for result, reference in results:
        torch.testing.assert_close(result.double(), reference, rtol=1e-5, atol=1e-5)
    assert all(reference.abs().sum() > 0 for _, reference in results)


@pytest.mark.parametrize("scale", [PER_TENSOR, PER_HEAD])
@pytest.mark.parametrize("shift", [(8,), PER_HEAD])
@pytest.mark.parametrize(("bits", "signed"), KINDS)
def test_value_and_gradients_equal_the_formula_also_at_borders_and_ties(
    bits: int, signed: bool, shift: tuple[int, ...], scale: tuple[int, ...]
) -> None:
    """Half levels, and powers of two as scales: every border and tie is met exactly."""
    generator = torch.Generator().manual_seed(bits)
    module = quantizer(bits, signed, shift, scale)
    ends = (-1, 1) if signed and bits == 1 else limits(bits, signed)
    with torch.no_grad():
        module.beta.copy_(torch.randint(-4, 5, shift, generator=generator) / 16)
        powers = torch.tensor([0.25, 0.5, 1.0]).view(PER_HEAD)
        module.alpha.copy_(powers if scale else powers[1, 0, 0])
        halves = torch.randint(2 * ends[0] - 3, 2 * ends[1] + 4, SHAPE, generator=generator)
        between = torch.randint(0, 2, SHAPE, generator=generator) / 16
        x = (halves / 2 + between) * module.alpha - module.beta
    grad = torch.randint(-3, 4, SHAPE, generator=generator).float()
    ratio = (x + module.beta) / module.alpha
    assert (ratio == ends[0]).any() and (ratio == ends[1]).any() and (ratio == 0.5).any()
    compare(module, x, grad, exact=True)


@pytest.mark.parametrize("scale", [PER_TENSOR, PER_HEAD])
@pytest.mark.parametrize(("bits", "signed"), KINDS)
def test_value_and_gradients_equal_the_formula_at_random_parameters(
    bits: int, signed: bool, scale: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(17 + bits)
    module = quantizer(bits, signed, (8,), scale)
    with torch.no_grad():
        module.beta.copy_(0.3 * torch.randn(8, generator=generator))
        module.alpha.copy_(0.3 + torch.rand(scale, generator=generator))
    x, grad = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    compare(module, x, grad, exact=False)


def test_one_bit_at_zero_and_at_the_border() -> None:
    module = quantizer(1, True, ())
    module.alpha.data.fill_(0.5)
    x = torch.tensor([0.0, -0.0, 0.5, -0.5, 0.5001, -0.5001], requires_grad=True)
    value = module(x)[0]
    value.sum().backward()
    assert value.tolist() == [0.5, 0.5, 0.5, -0.5, 0.5, -0.5]
    assert x.grad.tolist() == [1, 1, 1, 1, 0, 0]
    assert sign(torch.tensor([0.0, -0.0, -1e-45])).tolist() == [1, 1, -1]


def test_the_triangle_has_half_the_slope_over_twice_the_width() -> None:
    module = ElasticQuantizer(1, True, (), triangle=True).eval()
    module.alpha.data.fill_(0.5)
    x = torch.tensor([0.0, -0.0, 0.25, -0.5, 0.75, -1.0, 1.5], requires_grad=True)
    value = module(x)[0]
    value.sum().backward()
    assert value.tolist() == [0.5, 0.5, 0.5, -0.5, 0.5, -0.5, 0.5]
    assert x.grad.tolist() == [0.5, 0.5, 0.375, 0.25, 0.125, 0, 0]
    assert module.alpha.grad.item() == pytest.approx(3 / math.sqrt(7))
    assert module.beta.grad.item() == 1.75


def test_binary_tie_gives_zero_and_borders_pass_the_gradient() -> None:
    module = quantizer(1, False, ())
    module.alpha.data.fill_(0.5)
    above = math.nextafter(0.25, 1.0) + 2**-26  # the next float32
    x = torch.tensor([0.25, above, 0.0, 0.5, -0.01, 0.51], requires_grad=True)
    value = module(x)[0]
    value.sum().backward()
    assert value.tolist() == [0, 0.5, 0, 0.5, 0, 0.5]
    assert x.grad.tolist() == [1, 1, 1, 1, 0, 0]


def test_proxy_tuple_has_scale_zero_point_and_width() -> None:
    module = quantizer(2, False, ())
    module.alpha.data.fill_(0.75)
    value, scale, zero, width = module(torch.tensor([0.8, 9.0]))
    assert value.tolist() == [0.75, 2.25]
    assert (scale, zero, width) == (0.75, 0.0, 2.0)
    assert elastic(32, True, (3,)) is None


@pytest.mark.parametrize(("bits", "signed"), KINDS)
def test_scale_is_set_once_and_only_by_a_training_batch(bits: int, signed: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    module = ElasticQuantizer(bits, signed, (16,))
    batches = [torch.randn(4, 16, generator=generator).abs() * factor for factor in (0.3, 5.0)]
    module.eval()(batches[0])
    assert module.alpha == 1 and not module.initialized
    module.train()
    single = ElasticQuantizer(bits, signed, (1,))
    single(torch.tensor([[0.2]]))
    assert single.alpha == 1 and not single.initialized
    module(batches[0])
    first = module.alpha.item()
    assert first != 1 and module.initialized
    module(batches[1])
    assert module.alpha.item() == first
    again = ElasticQuantizer(bits, signed, (16,))
    again.load_state_dict(module.state_dict())
    again.train()(batches[1])
    assert again.alpha.item() == first


def test_one_bit_scale_starts_at_the_mean_magnitude() -> None:
    module = ElasticQuantizer(1, True, (4,))
    module.beta.data.copy_(torch.tensor([0.5, 0.0, -1.0, 0.0]))
    x = torch.tensor([[1.0, -2.0, 0.5, 0.0], [-3.0, 1.0, 1.0, -4.0]])
    module(x)
    assert module.alpha.item() == (1.5 + 2 + 0.5 + 0 + 2.5 + 1 + 0 + 4) / 8


@pytest.mark.parametrize("count", [64, 40000])
@pytest.mark.parametrize(("bits", "signed"), [kind for kind in KINDS if kind != (1, True)])
def test_scales_start_near_the_least_squares_of_each_head(
    bits: int, signed: bool, count: int
) -> None:
    generator = torch.Generator().manual_seed(bits)
    x = torch.randn(2, 3, 1, count, generator=generator) * torch.tensor([0.1, 1, 7]).view(PER_HEAD)
    x = x if signed else x.abs()
    module = ElasticQuantizer(bits, signed, PER_HEAD, PER_HEAD)
    module(x)
    low, high = limits(bits, signed)
    high = max(1, high)
    for head in range(3):
        values = x[:, head].flatten()

        def error(alpha: float, values: Tensor = values) -> float:
            levels = (values / alpha).clip(low, high).round()
            return float((values - alpha * levels).square().mean())

        largest = float(values.abs().max())
        best = min(error(largest * 0.96**i) for i in range(160))
        assert error(module.alpha[head].item()) <= 1.15 * best  # candidates: 6 an octave


def test_a_scale_below_the_smallest_is_clamped_and_keeps_its_gradient() -> None:
    for alpha in (-1.0, 0.0, ALPHA_MIN / 2):
        module = quantizer(1, True, ())
        module.alpha.data.fill_(alpha)
        value = module(torch.tensor([3.0, -2.0, 5.0]))[0]
        assert value.tolist() == torch.tensor([ALPHA_MIN, -ALPHA_MIN, ALPHA_MIN]).tolist()
        value.backward(torch.tensor([1.0, 1.0, 4.0]))
        assert module.alpha.grad.item() == pytest.approx((1 - 1 + 4) / math.sqrt(3))


def test_gradient_scale_uses_the_elements_it_is_told() -> None:
    module = quantizer(2, False, PER_HEAD, PER_HEAD)
    module.scale(600).sum().backward()
    expected = 1 / math.sqrt(600 / 3 * 3)
    assert module.alpha.grad.flatten().tolist() == pytest.approx([expected] * 3)


def binarized(weight: np.ndarray) -> np.ndarray:
    wide = weight.astype(np.float64)
    centred = weight - np.float32(wide.mean())
    return np.float32(np.abs(wide).mean()) * np.where(centred >= 0, 1, -1).astype(np.float32)


def test_weights_binarize_about_their_mean_with_a_straight_gradient() -> None:
    generator = torch.Generator().manual_seed(3)
    random = 0.7 + torch.randn(33, 17, generator=generator)
    ties = torch.tensor([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]])  # the mean itself gives +1
    for weight in (random, ties, torch.full((2, 2), -0.3)):
        weight = weight.clone().requires_grad_()
        value, scale, zero, width = WeightBinarizer()(weight)
        expected = binarized(weight.detach().numpy())
        assert (value.detach().numpy() == expected).all()
        assert (scale, zero, width) == (float(np.abs(expected[0, 0])), 0.0, 1.0)
        grad = torch.randn(weight.shape, generator=generator)
        value.backward(grad)
        assert torch.equal(weight.grad, grad)
    signs, scale = weight_signs(ties)
    assert signs.tolist() == [[-1, 1, 1], [1, 1, 1]] and scale == 2


def test_embedding_rows_binarize_alone_and_collect_gradients_of_repeated_ids() -> None:
    generator = torch.Generator().manual_seed(4)
    weight = (0.2 + torch.randn(7, 12, generator=generator)).requires_grad_()
    ids = torch.tensor([[3, 3, 0], [6, 3, 0]])
    rows = binary_rows(ids, weight)
    table = np.stack([binarized(row) for row in weight.detach().numpy()])
    assert (rows.detach().numpy() == table[ids.numpy()]).all()
    grad = torch.randint(-4, 5, rows.shape, generator=generator).float()
    rows.backward(grad)
    expected = torch.zeros(7, 12)
    for row, g in zip(ids.flatten(), grad.flatten(0, 1), strict=True):
        expected[row] += g
    assert torch.equal(weight.grad, expected)
    assert weight.grad[3].any() and not weight.grad[1].any()


def test_embedding_scales_round_half_to_even_on_their_grid() -> None:
    weight = torch.tensor([[1.5, -1.5], [2.5, -2.5], [2.6, -2.6]]) / 16
    rows = binary_rows(torch.tensor([[0, 1, 2]]), weight, fraction_bits=4) * 16
    assert rows.tolist() == [[[2, -2], [2, -2], [3, -3]]]


@pytest.mark.parametrize(
    ("bits", "signed"), [(ONE, True), (ONE, False), (TWO, True), (TWO, False), (Bits(1, 4), True)]
)
def test_quantized_linear_is_the_plain_formula(bits: Bits, signed: bool) -> None:
    torch.manual_seed(5)
    layer = QuantizedLinear(12, 5, bits, signed).eval()
    with torch.no_grad():
        layer.weight.add_(0.01)
        layer.bias.normal_()
        layer.quantizer.beta.normal_(std=0.2)
        layer.quantizer.alpha.fill_(0.6)
    x = torch.randn(3, 4, 12, requires_grad=True)
    y = layer(x)
    grad = torch.randn(y.shape)
    y.backward(grad)
    q = layer.quantizer
    leaves = (x, q.beta, q.alpha, layer.weight, layer.bias)
    wide = [t.detach().double().requires_grad_() for t in leaves]
    weight = wide[3]
    binary = torch.from_numpy(binarized(layer.weight.detach().numpy())).double()
    inputs = surrogate(*wide[:3], bits.activation, signed)
    expected = F.linear(inputs, weight + (binary - weight).detach(), wide[4])
    expected.backward(grad.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-6)
    wide[2].grad *= gradient_scale(x, q.alpha, bits.activation, signed)
    for leaf, reference in zip(leaves, wide, strict=True):
        assert reference.grad.abs().sum() > 0
        torch.testing.assert_close(leaf.grad.double(), reference.grad, rtol=1e-5, atol=1e-5)


def test_a_layer_of_32_bits_is_a_plain_linear_layer() -> None:
    layer = QuantizedLinear(6, 3, FULL)
    x = torch.randn(4, 6)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("bits", "deploy"), [(FULL, False), (TWO, False), (ONE, False), (ONE, True)]
)
@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_a_saved_and_reloaded_model_computes_the_same(
    bits: Bits, deploy: bool, attention: str, tmp_path: Path
) -> None:
    config = small_config(attention, layers=1)
    model = trained_model(config, bits, deploy, steps=2)
    batch = random_batch(9, config, [12, 1, 5])
    path = tmp_path / "model.safetensors"
    sha256 = save_tensors(path, model.state_dict())
    loaded = small_model(config, bits, deploy, seed=1)
    before = float_values(loaded.eval(), batch)
    loaded.load_state_dict(load_tensors(path, sha256))
    after = float_values(loaded, batch)
    for a, b in zip(float_values(model, batch), after, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(before[0], after[0])
    for each in (model, loaded):  # and trains on alike: no scale starts anew
        train(each, 1, seed=7)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
