"""add_norm: accumulators and residual to the next residual and its bits."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from models import random_integer_model, random_sentences
from norms import (
    Integers,
    extreme_tokens,
    formats,
    random_tensors,
    run_add_norm,
    words,
)

from hw import reference
from hw.kernels.add_norm import AddNorm, NormTensors
from hw.layout import Formats
from hw.sim import bench
from hw.sim.beats import unpack
from hw.sim.bench import Stalls
from hw.sim.verilator import lint
from hw.synth.netlist import build_netlist

Point = tuple[int, int, int, int]
POINTS: list[Point] = [  # hidden, lanes, word bits, bit streams
    (256, 1, 18, 3),
    (24, 4, 16, 1),
    (40, 2, 17, 2),
]
PORTS = ["s_axis_accumulator", "s_axis_residual", "m_axis_residual"] + [
    f"m_axis_bits{i}" for i in range(3)
]


def parts(point: Point) -> tuple[Formats, NormTensors, AddNorm]:
    hidden, lanes, bits, streams = point
    f = formats(word_bits=bits)
    tensors = random_tensors(np.random.default_rng(hidden), hidden, f, streams)
    return f, tensors, AddNorm.for_tensors(tensors, f, accumulator_bits=10, lanes=lanes)


def simulate(point: Point, tokens: int = 9, **options: Any) -> bench.Result:
    f, tensors, kernel = parts(point)
    rng = np.random.default_rng(tokens)
    half = 1 << (f.word_bits - 1)
    accumulator = rng.integers(-512, 512, (tokens, point[0]))
    residual = rng.integers(-half, half, (tokens, point[0]))
    residual[1::2] //= 64
    residual[0], accumulator[0] = half - 1, 511  # saturates on one side, then on the other
    residual[2:3], accumulator[2:3] = -half, -512
    result = run_add_norm(kernel, tensors, accumulator, residual, **options)
    check(result, kernel, tensors, f, accumulator, residual)
    return result


def check(
    result: bench.Result,
    kernel: AddNorm,
    tensors: NormTensors,
    f: Formats,
    accumulator: Integers,
    residual: Integers,
) -> None:
    multiplier, shift = np.int64(tensors.multiplier), np.int64(tensors.shift)
    update = reference.requantize(accumulator, multiplier, tensors.bias, shift)
    x = reference.saturate(residual + update, f.word_bits)
    y = reference.layer_norm(x, tensors.gamma, tensors.beta, tensors.rsqrt_table, f)
    assert (words(result, "m_axis_residual", f.word_bits, kernel.lanes, y.shape) == y).all()
    for i, threshold in enumerate(tensors.thresholds):
        bits = unpack(result.outputs[f"m_axis_bits{i}"], 1, kernel.lanes).reshape(y.shape)
        assert (2 * bits - 1 == reference.bipolar(y, threshold)).all()


@pytest.mark.parametrize("point", POINTS)
def test_tokens_equal_the_reference_and_follow_without_a_gap(point: Point) -> None:
    kernel = parts(point)[2]
    result = simulate(point)
    out = result.taken["m_axis_residual"].reshape(-1, kernel.beats)
    into = result.taken["s_axis_accumulator"].reshape(-1, kernel.beats)
    assert (np.diff(out, axis=1) == 1).all()
    assert (np.diff(out[:, 0]) == kernel.interval()).all()
    assert out[0, 0] - into[0, -1] == kernel.latency()
    for i in range(kernel.bit_streams):
        assert (result.taken[f"m_axis_bits{i}"] == out.ravel()).all()


@pytest.mark.parametrize("port", PORTS)
def test_a_stall_of_any_port_changes_timing_only(port: str) -> None:
    for point in POINTS[1:]:
        simulate(point, stalls=Stalls(4, 0.0, 3.0, {port: 0.6}))
        simulate(point, stalls=Stalls(5, 0.3, 20.0, {port: 0.7}))


def test_stalls_of_all_ports_change_timing_only() -> None:
    for point in POINTS:
        simulate(point, stalls=Stalls(6, 0.4, 2.0))


@pytest.mark.parametrize("cycle", [15, 50, 77])
def test_a_reset_forgets_what_was_in_flight(cycle: int) -> None:
    for point in POINTS[1:]:
        simulate(point, reset_at=cycle)
        simulate(point, reset_at=2 * cycle, stalls=Stalls(share=0.4))


def test_a_single_token_needs_no_successor() -> None:
    for point in POINTS:
        simulate(point, tokens=1)


@pytest.mark.parametrize("norm", ["attention_norm", "ffn_norm"])
def test_the_norms_of_a_model_equal_the_reference(norm: str) -> None:
    model = random_integer_model(seed=3, layers=2)
    matrix, before = {
        "attention_norm": ("output", "embedding.residual"),
        "ffn_norm": ("down", "layer.0.attention_norm.residual"),
    }[norm]
    kernel = AddNorm.of_layer(model, 0, norm, lanes=2)
    tensors = NormTensors.of_layer(model, 0, norm)
    assert kernel.bit_streams == {"attention_norm": 1, "ffn_norm": 3}[norm]
    values = [reference.run(model, *s) for s in random_sentences(5, model, [1, 16, 7])]

    def joined(name: str) -> Integers:
        return np.concatenate([sentence[name] for sentence in values])

    accumulator = joined(f"layer.0.{matrix}.accumulator")
    result = run_add_norm(kernel, tensors, accumulator, joined(before))
    expected = joined(f"layer.0.{norm}.residual")
    bits = model.formats.word_bits
    assert (words(result, "m_axis_residual", bits, 2, expected.shape) == expected).all()
    consumers = ["up"] if norm == "attention_norm" else ["query", "key", "value"]
    layer = 0 if norm == "attention_norm" else 1
    for i, name in enumerate(consumers):
        found = 2 * unpack(result.outputs[f"m_axis_bits{i}"], 1, 2) - 1
        assert (found == joined(f"layer.{layer}.{name}.input").ravel()).all()


def test_the_last_norm_of_a_model_gives_the_residual_alone() -> None:
    model = random_integer_model(seed=3, layers=1)
    kernel = AddNorm.of_layer(model, 0, "ffn_norm")
    assert kernel.bit_streams == 0
    tensors = NormTensors.of_layer(model, 0, "ffn_norm")
    values = reference.run(model, *random_sentences(5, model, [9])[0])
    accumulator = values["layer.0.down.accumulator"]
    residual = values["layer.0.attention_norm.residual"]
    result = run_add_norm(kernel, tensors, accumulator, residual)
    check(result, kernel, tensors, model.formats, accumulator, residual)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["auto", "distributed", "block"])
@pytest.mark.parametrize("point", [(64, 2, 18, 3), (32, 1, 16, 0)])
def test_memory_styles_change_nothing(point: Point, style: str) -> None:
    f, tensors, kernel = parts(point)
    buffer = "block" if style == "block" else "distributed"
    styles = dict.fromkeys(("bias_style", "scale_style", "rsqrt_style", "threshold_style"), style)
    kernel = dataclasses.replace(kernel, buffer_style=buffer, **styles)
    rng = np.random.default_rng(0)
    accumulator = rng.integers(-512, 512, (9, point[0]))
    residual = rng.integers(-(1 << 15), 1 << 15, (9, point[0]))
    result = run_add_norm(kernel, tensors, accumulator, residual, stalls=Stalls(share=0.3))
    check(result, kernel, tensors, f, accumulator, residual)


def test_lint_is_clean() -> None:
    for point in POINTS:
        assert lint("add_norm", parts(point)[2].parameters()) == ""


@pytest.mark.slow
def test_the_netlist_equals_the_reference() -> None:
    point = (64, 1, 18, 3)  # its differences need the bits of scale above two digits
    f, tensors, kernel = parts(point)
    styles = ("bias_style", "scale_style", "rsqrt_style", "threshold_style")
    kernel = dataclasses.replace(kernel, **dict.fromkeys(styles, "block"))
    netlist = build_netlist("add_norm", kernel.parameters(), kernel.memories(tensors))
    residual = extreme_tokens(np.random.default_rng(3), point[0], point[2])
    accumulator = np.random.default_rng(4).integers(-512, 512, residual.shape)
    accumulator[::2] = 0
    for stalls in (None, Stalls(share=0.3)):
        result = run_add_norm(
            kernel, tensors, accumulator, residual, simulation=netlist, stalls=stalls
        )
        check(result, kernel, tensors, f, accumulator, residual)
