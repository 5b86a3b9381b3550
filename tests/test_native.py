"""The C++ kernels against the torch operators that they replace."""

import platform
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgebert import elastic_ops, native, native_ops
from edgebert.config import ArithmeticConfig, Bits, from_dict
from edgebert.folding import exp_table, rsqrt_table
from edgebert.integer_ops import (
    Accumulator,
    integer_layer_norm,
    requantize,
    saturating_add,
    softmax_threshold,
    threshold_relu,
    threshold_scores,
    threshold_sign,
)
from edgebert.model import QuantizedLinear
from edgebert.quantizers import binary_rows, weight_signs
from hw import compiled
from tests.trained import ONE, random_batch, small_config, trained_model

FORMATS = ArithmeticConfig()
SHAPES = [(3, 7, 20), (40, 33, 64), (1, 1)]  # the second is shared by threads

needs_compiler = pytest.mark.skipif(
    native.describe() == "torch operators", reason="no C++ compiler: torch operators are in use"
)


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    yield
    native.enable(True)


@pytest.fixture(params=["as compiled here", "without tiles", "by tables"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Matrix products by the tile unit, where there is one, and as on other processors."""
    if request.param != "as compiled here":
        if platform.machine() != "x86_64":
            pytest.skip("flags of x86-64")
        less = ("-mno-amx-int8",)
        if request.param == "by tables":
            less += ("-mno-avx512vpopcntdq",)
        elif not native.tile_unit():
            pytest.skip("this processor has no tile unit: its products are tested anyway")
        monkeypatch.setattr(native, "CHOICES", (("-march=native", *less, "-fopenmp"),))
        forget_library()
        assert not native.tile_unit()
    yield
    monkeypatch.undo()
    forget_library()


def forget_library() -> None:
    for known in (native._library, native._function, native.tile_unit):
        known.cache_clear()


def both(compute: Callable[..., Tensor], *inputs: Tensor, tolerance: float = 2e-5) -> None:
    """Forward of kernels and torch operators must be equal, gradients of all inputs close."""
    results, gradients = [], []
    for on in (True, False):
        native.enable(on)
        leaves = [x.clone().requires_grad_() for x in inputs]
        result = compute(*leaves)
        grad = torch.randn(result.shape, generator=torch.Generator().manual_seed(7))
        result.backward(grad)
        results.append(result.detach())
        gradients.append([leaf.grad for leaf in leaves])
    assert torch.equal(*results)
    for ours, reference in zip(*gradients, strict=True):
        assert (ours is None) == (reference is None)
        if ours is not None:
            assert ours.shape == reference.shape
            scale = float(reference.abs().max())
            torch.testing.assert_close(ours, reference, rtol=1e-5, atol=tolerance * scale + 1e-12)


def integers(shape: tuple[int, ...], low: int, high: int) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(1)).float()


def noise(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@needs_compiler
@pytest.mark.parametrize("kind", ["clip", "triangle", "relu"])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_threshold(shape: tuple[int, ...], per_channel: bool, with_bias: bool, kind: str) -> None:
    columns = shape[-1]
    unit = noise(columns).abs() * 0.1 if per_channel else torch.tensor(0.07)
    threshold = integers((columns,), -9, 10).double()

    def compute(a: Tensor, unit: Tensor, beta: Tensor, alpha: Tensor, *bias: Tensor) -> Tensor:
        acc = Accumulator(a, unit, bias[0] if bias else None)
        if kind == "relu":
            return threshold_relu(acc, beta, alpha, threshold)
        return threshold_sign(acc, beta, alpha, threshold, kind == "triangle")

    bias = (noise(columns, seed=5),) if with_bias else ()
    inputs = (integers(shape, -20, 21), unit, noise(columns, seed=3), torch.tensor(1.1), *bias)
    both(compute, *inputs)


@needs_compiler
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_attention_probabilities(tokens: int, softmax: bool) -> None:
    heads, width = 3, 16
    scores = integers((4, heads, tokens, tokens), -8, 9) * 2
    keys = torch.arange(tokens) < torch.tensor([tokens, 1, (tokens + 1) // 2, tokens])[:, None]
    keys = keys[:, None, None]
    scale, beta = torch.tensor(0.11), noise(heads, 1, 1) * 0.01
    alpha = torch.tensor([0.2, 0.5, 0.9]).view(heads, 1, 1)

    def compute(scores: Tensor, scale: Tensor, beta: Tensor, alpha: Tensor) -> Tensor:
        if not softmax:
            t = torch.tensor([-3.0, 1.0, 4.0], dtype=torch.float64)
            return threshold_scores(scores, scale, beta, alpha, t, keys)
        table = exp_table(scale.detach(), width, FORMATS.exp_bits)
        share = torch.tensor([-1.0, 6000.0, 20000.0], dtype=torch.float64)
        return softmax_threshold(scores, scale, beta, alpha, table, share, keys, FORMATS)

    both(compute, scores, scale, beta, alpha)


@needs_compiler
@pytest.mark.parametrize("n", [0, 13])
@pytest.mark.parametrize("shape", SHAPES)
def test_requantize(shape: tuple[int, ...], n: int) -> None:
    offset = (noise(shape[-1]) * 1e6).round().double()
    constants = (torch.tensor(23457.0, dtype=torch.float64), n, offset)

    def compute(a: Tensor, unit: Tensor, bias: Tensor) -> Tensor:
        return requantize(Accumulator(a, unit, bias), constants, FORMATS)

    both(compute, integers(shape, -300, 300), torch.tensor(0.03), noise(shape[-1]))


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES)
def test_saturating_add(shape: tuple[int, ...]) -> None:
    x, y = integers(shape, -(2**17), 2**17), integers(shape[::-1], -(2**17), 2**17).reshape(shape)
    step = 2.0**-FORMATS.fraction_bits
    both(lambda a, b: saturating_add(a, b, FORMATS), x * step, y * step)


@needs_compiler
@pytest.mark.parametrize("size", [3, 3000, 131071])
@pytest.mark.parametrize("shape", SHAPES)
def test_integer_layer_norm_also_of_constant_rows(shape: tuple[int, ...], size: int) -> None:
    x = integers(shape, -size, size + 1)
    x[0] = 5.0
    gamma, beta = integers(shape[-1:], -40000, 40000), integers(shape[-1:], -(2**29), 2**29)
    constants = (gamma.double(), beta.double(), rsqrt_table(FORMATS.rsqrt_index_bits))

    def compute(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return integer_layer_norm(x, gamma, beta, constants, FORMATS.fraction_bits, FORMATS)

    both(compute, x * 2.0**-FORMATS.fraction_bits, noise(shape[-1]), noise(shape[-1]))


@pytest.mark.parametrize("dim", [None, -1])
@pytest.mark.parametrize("scale", [1e-6, 0.02, 3.0])
def test_weight_signs_are_one_function_whatever_computes_them(
    scale: float, dim: int | None
) -> None:
    """Also on two threads, and of rows in another order, since a sum must not depend on it."""
    weight = noise(300, 65) * scale + 0.3 * scale
    native.enable(False)
    signs, alpha = weight_signs(weight, dim)
    native.enable(True)
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        result = weight_signs(weight, dim)
        torch.set_num_threads(before)
        assert torch.equal(result[0], signs)
        assert torch.equal(result[1], alpha)
    flipped = weight_signs(weight.flip(0, 1), dim)
    assert torch.equal(flipped[0].flip(0, 1), signs)
    assert torch.equal(flipped[1] if dim is None else flipped[1].flip(0), alpha)


def test_binary_rows() -> None:
    ids = torch.randint(0, 50, (4, 9), generator=torch.Generator().manual_seed(1))
    both(lambda weight: binary_rows(ids, weight, 16), noise(50, 24) * 0.02)


@pytest.mark.parametrize("gradient", ["clip", "triangle"])
@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("reach", [0, 2])  # of a relative position bias
def test_a_training_step_is_the_same_on_either_path(
    attention: str, gradient: str, reach: int
) -> None:
    config = small_config(attention, relative_positions=reach)
    config = replace(config, sign_gradient=gradient)
    model = trained_model(config, ONE, deploy=True).train()
    batch = random_batch(3, config, [9, 4, 7], pad=2)
    gradients = []
    for on in (True, False):
        native.enable(on)
        model.zero_grad()
        output = model(*batch)
        loss = output.logits.float().square().sum()
        loss = loss + sum(h.square().mean() for h in output.hidden)
        loss.backward()
        gradients.append({name: p.grad.to_dense() for name, p in model.named_parameters()})
    for name, ours in gradients[0].items():
        reference = gradients[1][name]
        bound = 1e-4 * float(reference.abs().max()) + 1e-9
        if name.endswith("alpha"):
            # It sums the terms of its beta's gradient over all channels, where they may nearly
            # cancel. What rounds, float32 or the tile unit's two bfloat16 a value, does so relative
            # to the terms, not to what is left of them.
            terms = gradients[1][name.removesuffix("alpha") + "beta"]
            bound += 3e-5 * float(terms.abs().max())
        torch.testing.assert_close(ours, reference, rtol=0, atol=bound)


def test_without_a_compiler_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILERS", ("no-such-compiler",))
    native._library.cache_clear()
    try:
        assert native.describe() == "torch operators"
        assert not native.usable(torch.zeros(3))
    finally:
        native._library.cache_clear()


@needs_compiler
def test_the_library_is_compiled_once_and_survives_a_failed_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs: list[list[str]] = []
    real = compiled._run

    def run(command: list[str]) -> None:
        runs.append(command)
        if "-march=native" in command:
            raise subprocess.CalledProcessError(1, command)
        real(command)

    monkeypatch.setattr(compiled, "_run", run)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    forget_library()
    try:
        assert native.describe().startswith("fused C++ kernels")
        first = len(runs)
        native._library.cache_clear()
        native.describe()
        assert len(runs) == first + 1  # only the flags that failed are tried again
        assert [path.suffix for path in (tmp_path / ".cache" / "edgebert").iterdir()] == [".so"]
    finally:
        forget_library()


def test_formats_of_other_widths() -> None:
    formats = from_dict(
        {
            "model": {"layers": 1, "hidden": 16, "heads": 2, "ffn": 32},
            "arithmetic": {"fraction_bits": 8, "word_bits": 14, "rsqrt_index_bits": 6},
        }
    ).arithmetic
    constants = (
        integers((24,), 1, 4000).double(),
        integers((24,), -(2**20), 2**20).double(),
        rsqrt_table(6),
    )
    x = integers((11, 24), -8000, 8000) * 2.0**-8
    both(
        lambda x: integer_layer_norm(x, noise(24), noise(24), constants, 8, formats),
        x,
    )


@pytest.mark.usefixtures("products")
@needs_compiler
@pytest.mark.parametrize("low", [0, -2])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 24, 40), (66, 300, 129), (7, 1031, 64)])
def test_counted_bits_equal_float_products(sizes: tuple[int, int, int], low: int) -> None:
    """Also at 1031 columns, where 8-bit counters overflow unless they are emptied."""
    rows, columns, outputs = sizes
    signs = integers((outputs, columns), 0, 2) * 2 - 1
    bits = integers((rows, columns), 0, 2)
    for values in (bits, bits * 2 - 1, 1 - 2 * bits, torch.ones_like(bits), bits * 0):
        assert torch.equal(native_ops.bit_matmul(values, signs), F.linear(values, signs))
    levels = integers((rows, columns), low, low + 4)
    assert torch.equal(native_ops.level_matmul(levels, signs, low), F.linear(levels, signs))


@needs_compiler
@pytest.mark.parametrize("triangle", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 2])
def test_a_quantized_layer_is_the_same_as_through_brevitas(
    bits: int, signed: bool, triangle: bool
) -> None:
    """Up to the rounding of float products, which the kernels don't have."""
    layer = QuantizedLinear(24, 40, Bits(1, bits), signed, triangle).eval()
    with torch.no_grad():
        layer.quantizer.beta.copy_(noise(24) * 0.1)
        layer.quantizer.alpha.fill_(0.4)
    results = []
    for on in (True, False):
        native.enable(on)
        layer.zero_grad()
        x = noise(5, 7, 24).requires_grad_()
        assert elastic_ops.fits(layer.quantizer, x) == on
        y = layer(x)
        y.backward(noise(5, 7, 40, seed=9))
        grads = {name: p.grad for name, p in layer.named_parameters()}
        results.append({"y": y.detach(), "x": x.grad, **grads})
    for name, ours in results[0].items():
        torch.testing.assert_close(ours, results[1][name], rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.usefixtures("products")
@needs_compiler
@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize(
    ("rows", "width", "columns"), [(1, 1, 1), (29, 17, 5), (30, 16, 4), (31, 33, 130), (200, 7, 64)]
)
def test_products_with_bits(low: float, rows: int, width: int, columns: int) -> None:
    random = torch.Generator().manual_seed(rows)
    values = torch.randn(rows, width, generator=random)
    bits = torch.where(torch.randn(rows, columns, generator=random) > 0, 1.0, low)
    expected = values.double().T @ bits.double()
    for result in (
        native_ops.transposed_bit_product(values, bits),
        native_ops.bit_product(values.T.contiguous(), bits),
    ):
        torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("products")
@needs_compiler
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_products_of_integers_with_bits_are_exact(low: float) -> None:
    random = torch.Generator().manual_seed(0)
    values = torch.randint(-1000, 1000, (93, 40), generator=random).float()
    bits = torch.where(torch.randn(93, 50, generator=random) > 0, 1.0, low)
    assert torch.equal(native_ops.transposed_bit_product(values, bits), values.T @ bits)
    assert torch.equal(native_ops.bit_product(values.T.contiguous(), bits), values.T @ bits)


@pytest.mark.usefixtures("products")
@needs_compiler
def test_products_with_bits_do_not_depend_on_threads() -> None:
    values, bits = torch.randn(300, 200), torch.sign(torch.randn(300, 100))
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(native_ops.transposed_bit_product(values, bits))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)
