from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw.errors import ParameterError
from hw.kernels.attention import BinaryAttention
from tests.attention_cases import random_tensors

KERNEL = BinaryAttention(13, 3, 8, keys=2, simd=8, channels=1, in_bits=8, out_bits=8)
SPS = replace(KERNEL, sps=True)


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
    ],
)
def test_bad_parameters_name_themselves(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(KERNEL, **change)


def bad_tensors() -> list[tuple[BinaryAttention, dict[str, Any], str]]:
    table = np.full(9, 4096)
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
    for kernel in (replace(KERNEL, name="layer0_"), SPS):
        files = random_tensors(kernel).memories(kernel)
        values = set(kernel.parameters().values())
        assert set(files) <= values and len(files) == (2 if kernel.sps else 3)


def test_cycles_follow_the_tokens() -> None:
    goal = BinaryAttention(64, 4, 64, keys=1, simd=64, channels=1, in_bits=16, out_bits=16)
    assert [goal.cycles([n]) for n in (1, 10, 64)] == [256, 2560, 16384]
    fast = replace(goal, keys=4, channels=4)
    assert fast.cycles([64]) == 64 * 4 * 21  # the product of the softmax takes 21 cycles
    assert replace(fast, sps=True).cycles([64]) == 64 * 4 * 16
    slow = replace(goal, simd=16)
    # After a sentence of 64 tokens, three rows take as long as its own.
    assert slow.cycles([64, 8]) == 64 * 4 * 256 + 3 * 256 + 29 * 64
    with pytest.raises(ParameterError, match="tokens of a sentence: expected 1 to 64, got 65"):
        goal.cycles([65])
