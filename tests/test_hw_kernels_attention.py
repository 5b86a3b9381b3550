from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw.errors import ParameterError
from hw.kernels.attention import BinaryAttention
from tests.attention_cases import random_tensors

KERNEL = BinaryAttention(13, 3, 8, keys=2, simd=8, channels=1, in_bits=8, out_bits=8)
SPS = replace(KERNEL, sps=True)
RELATIVE = replace(KERNEL, relative_positions=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 0}, r"max_tokens: expected 1 to 1024, got 0"),
        ({"heads": 0}, r"heads: expected 1 to 256, got 0"),
        ({"head_width": 1}, r"head_width: expected 2 to 1024, got 1"),
        ({"keys": 14}, r"keys: expected 1 to 13, got 14"),
        ({"simd": 3}, r"simd: expected a divisor of head_width = 8 .*, got 3"),
        ({"in_bits": 16}, r"in_bits: expected a divisor of simd = 8 .*, got 16"),
        ({"channels": 3}, r"channels: expected a divisor of in_bits = 8 .*, got 3"),
        ({"out_bits": 5}, r"out_bits: expected a divisor of hidden = 24 .*, got 5"),
        ({"channels": 4, "out_bits": 6}, r"channels: expected a divisor of out_bits = 6 .*, got 4"),
        ({"banks": 3}, r"banks: expected one of \[2, 4, 8\], got 3"),
        ({"exp_bits": 25}, r"exp_bits: expected 1 to 24, got 25"),
        ({"probability_bits": 0}, r"probability_bits: expected 1 to 24, got 0"),
        ({"relative_positions": -1}, r"relative_positions: expected 0 to 1023, got -1"),
    ],
)
def test_bad_parameters_name_themselves(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(KERNEL, **change)


def bad_tensors() -> list[tuple[BinaryAttention, dict[str, Any], str]]:
    table, bias = np.full(9, 4096), np.zeros((3, 5), int)
    far = replace(SPS, relative_positions=2)
    return [
        (KERNEL, {"exp_table": None}, "exp_table: expected a tensor with softmax"),
        (KERNEL, {"score_threshold": np.zeros(3, int)}, "score_threshold: expected none with soft"),
        (SPS, {"exp_table": table}, "exp_table: expected none with sps"),
        (KERNEL, {"exp_table": table[1:]}, r"exp_table: expected integers of shape \(9,\)"),
        (KERNEL, {"exp_table": table + 1}, "exp_table: expected 0 to 4096, got 4097"),
        (KERNEL, {"exp_table": -table}, "exp_table: expected 0 to 4096, got -4096"),
        (KERNEL, {"exp_table": table * 1.0}, "exp_table: expected integers .*, got float64"),
        (KERNEL, {"probability_threshold": np.array([0, 0, -2])}, "expected -1 to 65536, got -2"),
        (KERNEL, {"probability_threshold": np.array([65537, 0, 0])}, "to 65536, got 65537"),
        (SPS, {"score_threshold": np.array([0, 10, 0])}, "score_threshold: expected -8 to 9"),
        (far, {"score_threshold": np.array([0, -25, 0])}, "score_threshold: expected -24 to 25"),
        (RELATIVE, {"relative_bias": None}, "bias: expected a tensor with relative_positions = 2"),
        (SPS, {"relative_bias": bias}, "bias: expected none with relative_positions = 0"),
        (RELATIVE, {"relative_bias": bias[:, 1:]}, r"bias: expected integers of shape \(3, 5\)"),
        (RELATIVE, {"relative_bias": bias + 9}, "relative_bias: expected -8 to 8, got 9"),
        (RELATIVE, {"relative_bias": bias - 9}, "relative_bias: expected -8 to 8, got -9"),
        (SPS, {"context_threshold": np.zeros(23, int)}, r"expected integers of shape \(24,\)"),
    ]


@pytest.mark.parametrize(("kernel", "change", "message"), bad_tensors())
def test_bad_tensors_name_themselves(
    kernel: BinaryAttention, change: dict[str, Any], message: str
) -> None:
    good = vars(random_tensors(kernel))
    with pytest.raises(ParameterError, match=message):
        kernel.memories(**{**good, **change})


def test_context_thresholds_beyond_the_hardware_s_sentences_act_like_the_nearest() -> None:
    tensors = vars(random_tensors(KERNEL))
    limits = np.full(KERNEL.hidden, -13)
    limits[::2] = 14
    far = np.where(limits > 0, 64, -64)
    files = [
        KERNEL.memories(**{**tensors, "context_threshold": thresholds})
        for thresholds in (limits, far)
    ]
    assert files[0] == files[1]


def test_files_have_the_names_of_the_parameters() -> None:
    for kernel in (replace(KERNEL, name="layer0_"), SPS, replace(RELATIVE, name="layer1_")):
        files = random_tensors(kernel).memories(kernel)
        values = set(kernel.parameters().values())
        assert set(files) <= values and len(files) == 1 + len(kernel.tables())


def test_a_bias_has_the_heads_of_a_place_side_by_side() -> None:
    tensors = vars(random_tensors(RELATIVE))
    bias = np.arange(-7, 8).reshape(3, 5)
    text = RELATIVE.memories(**{**tensors, "relative_bias": bias})["attention_relative.hex"]
    words = np.array([int(line, 16) for line in text.split()]).reshape(5, 4)
    assert np.array_equal(words[:, :3] - 8, bias.T)


def test_cycles_follow_the_tokens() -> None:
    goal = BinaryAttention(64, 4, 64, keys=1, simd=64, channels=1, in_bits=16, out_bits=16)
    assert [goal.cycles([n]) for n in (1, 10, 64)] == [256, 2560, 16384]
    fast = replace(goal, keys=4, channels=4)
    assert fast.cycles([64]) == 64 * 4 * 21  # the product of the softmax takes 21 cycles
    assert replace(fast, sps=True).cycles([64]) == 64 * 4 * 16
    least = replace(fast, keys=64, channels=16, sps=True)
    assert least.cycles([64]) == 64 * 4 * 7
    assert replace(least, relative_positions=8).cycles([64]) == 64 * 4 * 8
    slow = replace(goal, simd=16)
    # After a sentence of 64 tokens, three rows take as long as its own.
    assert slow.cycles([64, 8]) == 64 * 4 * 256 + 3 * 256 + 29 * 64
    with pytest.raises(ParameterError, match="tokens of a sentence: expected 1 to 64, got 65"):
        goal.cycles([65])
