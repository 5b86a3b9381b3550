"""Parameters of the add + LayerNorm kernels: what fits, and what is said where it doesn't."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import random_integer_model
from norms import formats, random_tensors

from hw.errors import ParameterError
from hw.kernels.add_norm import AddNorm, NormTensors, rounded
from hw.kernels.channel_threshold import ChannelThreshold, input_threshold, model_thresholds
from hw.kernels.memory import read_memory

GOOD: dict[str, Any] = {
    "hidden": 32,
    "accumulator_bits": 7,
    "multiplier": 300,
    "shift": 4,
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hidden", 33, "hidden: expected an even number, got 33"),
        ("hidden", 6, "hidden: expected 8 to 4096, got 6"),
        ("lanes", 3, "lanes: expected a divisor of hidden = 32"),
        ("lanes", 16, "lanes: expected at most hidden / 4 = 8, got 16"),
        ("accumulator_bits", 1, "accumulator_bits: expected 2 to 32, got 1"),
        ("multiplier", 1 << 31, "multiplier: expected -2147483647 to 2147483647"),
        ("shift", 31, "shift: expected 0 to 30, got 31"),
        ("word_bits", 21, "word_bits: expected 8 to 20, got 21"),
        ("fraction_bits", 31, "fraction_bits: expected 0 to 30, got 31"),
        ("norm_fraction_bits", 7, "norm_fraction_bits: expected 8 to 32, got 7"),
        ("gamma_fraction_bits", -1, "gamma_fraction_bits: expected 0 to 32, got -1"),
        ("rsqrt_index_bits", 9, "rsqrt_index_bits: expected one of"),
        ("bit_streams", 4, "bit_streams: expected 0 to 3, got 4"),
        ("bias_bits", 0, "bias_bits: expected 1 to 54, got 0"),
        ("rsqrt_bits", 17, "rsqrt_bits: expected 3 to 16, got 17"),
        ("threshold_bits", 20, "threshold_bits: expected 1 to 19, got 20"),
        ("buffer_style", "auto", "buffer_style: expected one of"),
        ("rsqrt_style", "lut", "rsqrt_style: expected one of"),
        ("threshold_style", "", "threshold_style: expected one of"),
    ],
)
def test_a_value_that_the_hardware_can_not_have_is_named(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        AddNorm(**{**GOOD, name: value})


def test_widths_are_just_enough_for_the_tensors() -> None:
    tensors = random_tensors(np.random.default_rng(1), 32, formats(), 2)
    kernel = AddNorm.for_tensors(tensors, formats(), accumulator_bits=7)
    kernel.memories(tensors)
    for name in ("bias_bits", "gamma_bits", "beta_bits", "threshold_bits", "rsqrt_bits"):
        narrow = dataclasses.replace(kernel, **{name: getattr(kernel, name) - 1})
        with pytest.raises(ParameterError, match=f"{name.removesuffix('_bits')}"):
            narrow.memories(tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": np.zeros(31, dtype=np.int64)}, r"gamma: expected integers of shape \(32,\)"),
        ({"bias": np.zeros(32)}, "bias: expected integers of shape"),
        ({"multiplier": 5}, "tensors.multiplier: expected one of"),
        ({"shift": 9}, "tensors.shift: expected one of"),
        ({"thresholds": []}, r"thresholds: expected 1 \(bit_streams\), got 0"),
        ({"thresholds": [np.full(32, 1 << 18)]}, "threshold: expected -131072 to 131072"),
        ({"rsqrt_table": np.zeros(5, dtype=np.int64)}, "rsqrt_table: expected integers of shape"),
        ({"rsqrt_table": np.full(768, 32767)}, "rsqrt_table .largest square times index.: exp"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    tensors = random_tensors(np.random.default_rng(1), 32, formats(), 1)
    kernel = AddNorm.for_tensors(tensors, formats(), accumulator_bits=7)
    with pytest.raises(ParameterError, match=f"^{message}"):
        kernel.memories(dataclasses.replace(tensors, **change))


def test_memory_files_hold_a_word_per_beat(tmp_path: Path) -> None:
    tensors = random_tensors(np.random.default_rng(1), 24, formats(), 3, shift=5)
    kernel = AddNorm.for_tensors(tensors, formats(), accumulator_bits=7, lanes=4, prefix="a_")
    files = kernel.memories(tensors)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    mask = (1 << kernel.bias_bits) - 1
    bias = read_memory(tmp_path / "a_bias.hex", 6, kernel.bias_bits, 4)
    assert (bias.ravel() == (tensors.bias + 16) & mask).all()
    thresholds = read_memory(tmp_path / "a_thresholds.hex", 6, kernel.threshold_bits, 12)
    stored = np.stack(list(tensors.thresholds)).reshape(3, 6, 4).transpose(1, 0, 2).reshape(6, 12)
    assert (thresholds == stored & ((1 << kernel.threshold_bits) - 1)).all()
    names = {value for key, value in kernel.parameters().items() if key.endswith("_FILE")}
    assert names == set(files)


def test_rounding_adds_half_of_what_is_dropped() -> None:
    values = np.array([-3, 0, 7])
    assert rounded(values, 0).tolist() == [-3, 0, 7]
    assert rounded(values, 4).tolist() == [5, 8, 15]


def test_kernels_of_a_model_take_its_layers() -> None:
    model = random_integer_model(seed=1, layers=2)
    for layer, norm, streams in ((0, "attention_norm", 1), (0, "ffn_norm", 3), (1, "ffn_norm", 0)):
        kernel = AddNorm.of_layer(model, layer, norm, lanes=2)
        assert kernel.bit_streams == streams
        files = kernel.memories(NormTensors.of_layer(model, layer, norm))
        assert len(files) == (5 if streams else 4)
    with pytest.raises(ParameterError, match=r"^norm: expected one of"):
        NormTensors.of_layer(model, 0, "norm")
    with pytest.raises(ParameterError, match=r"^layer: expected 0 to 1, got 2"):
        AddNorm.of_layer(model, 2, "ffn_norm")


def test_the_first_layer_takes_its_bits_from_a_channel_threshold() -> None:
    model = random_integer_model(seed=1)
    kernel, files = input_threshold(model, lanes=2)
    assert kernel == ChannelThreshold(32, 2, 18, 3, kernel.threshold_bits)
    assert list(files) == [kernel.threshold_file]
    assert kernel.interval() == kernel.beats == 16
    assert model_thresholds(model, 2) == []


def test_a_token_takes_its_beats_or_its_statistics() -> None:
    assert AddNorm(**{**GOOD, "hidden": 256}).interval() == 256
    assert AddNorm(**{**GOOD, "hidden": 256, "lanes": 2}).interval() == 128
    small = AddNorm(**GOOD, lanes=4)
    assert small.interval() == small.span() + 4 > small.beats
