"""The stream parts of the shell alone."""

from typing import Any

import numpy as np
import pytest

from hw.errors import ParameterError
from hw.shell.shell import Shell, encode_weights
from hw.sim.beats import pack, unpack
from hw.sim.bench import run
from hw.sim.verilator import lint
from tests.shells import first_rows, sentences
from tests.streams import STALLS

SLOW = pytest.mark.slow

# Channels of 16 and 32 bits; beats as wide as the bus, narrower, and wider by half.
SHELLS = (
    Shell(max_tokens=5, hidden=12, word_bits=16, in_lanes=4, out_lanes=3),
    Shell(max_tokens=4, hidden=12, word_bits=20, in_lanes=3, out_lanes=2),
)
# The whole shell has three lanes too, in test_rtl_shell_board.py.
POINTS = [pytest.param(SHELLS[0], id="16 bits"), pytest.param(SHELLS[1], id="20 bits", marks=SLOW)]


def words(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Memory as beats of the bus."""
    return array.reshape(-1).view(np.uint8).reshape(-1, 8)


def parameters(shell: Shell, lanes: int) -> dict[str, int | str]:
    return {
        "HIDDEN": shell.hidden,
        "LANES": lanes,
        "WORD_BITS": shell.word_bits,
        "CHANNEL_BITS": 8 * shell.channel_bytes,
    }


@pytest.mark.parametrize("shell", POINTS)
def test_words_of_memory_become_beats_of_the_accelerator(shell: Shell) -> None:
    residual, _ = sentences(np.random.default_rng(0), shell, 6)
    expected = pack(residual, shell.word_bits, shell.in_lanes)
    inputs = {"s_axis": words(shell.encode(residual))}
    for stalls in STALLS:
        for reset_at in (None, 40):
            result = run(
                "shell_input",
                parameters(shell, shell.in_lanes),
                inputs,
                {"m_axis": len(expected)},
                stalls=stalls,
                reset_at=reset_at,
            )
            assert np.array_equal(result.outputs["m_axis"], expected)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("shell", POINTS)
def test_beats_of_all_or_of_first_tokens_become_words_of_memory(shell: Shell, first: int) -> None:
    residual, lengths = sentences(np.random.default_rng(1), shell, 9)
    inputs = {
        "s_axis": pack(residual, shell.word_bits, shell.out_lanes),
        "s_axis_length": pack(lengths, shell.length_bits, 1),
    }
    kept = residual[first_rows(lengths)] if first else residual
    expected = words(shell.encode(kept))
    for stalls in STALLS:
        for reset_at in (None, 60):
            result = run(
                "shell_output",
                {**parameters(shell, shell.out_lanes), "MAX_TOKENS": shell.max_tokens},
                inputs,
                {"m_axis": len(expected)},
                stalls=stalls,
                reset_at=reset_at,
                constants={"first_only": first},
            )
            assert np.array_equal(result.outputs["m_axis"], expected)


def test_slots_of_memory_become_beats_of_weights() -> None:
    beats = np.random.default_rng(2).integers(0, 256, (37, 9)).astype(np.uint8)
    for stalls in STALLS:
        result = run(
            "shell_weights",
            {"LOAD_BEATS": 37},
            {"s_axis": words(encode_weights(beats))},
            {"m_axis": 37},
            stalls=stalls,
            reset_at=20,
        )
        assert np.array_equal(result.outputs["m_axis"], beats)


def test_lengths_come_in_order_each_after_its_checks() -> None:
    lengths = np.random.default_rng(3).integers(1, 301, 24)
    values = {"MAX_TOKENS": 300, "TOKEN_WORDS": 37}
    total = int(lengths.sum()) * 37 * 8
    for first, room in ((0, total), (1, 24 * 37 * 8)):
        constants = {"launch": 1, "sentences": 24, "input_bytes": total, "output_bytes": room}
        for stalls in STALLS:
            result = run(
                "shell_lengths",
                values,
                {"s_axis": words(lengths.astype("<u2"))},
                {"m_axis": 24},
                stalls=stalls,
                reset_at=33,
                constants={**constants, "first_only": first},
            )
            assert np.array_equal(unpack(result.outputs["m_axis"], 9, 1), lengths)


@pytest.mark.parametrize("shell", SHELLS)
def test_lint_is_clean(shell: Shell) -> None:
    values = parameters(shell, shell.in_lanes)
    assert lint("shell_input", values) == ""
    assert lint("shell_output", {**values, "MAX_TOKENS": shell.max_tokens}) == ""
    assert lint("shell_lengths", {"MAX_TOKENS": shell.max_tokens, "TOKEN_WORDS": 3}) == ""
    assert lint("shell", {**shell.parameters(), "LOAD_BEATS": shell.in_lanes - 1}) == ""


@pytest.mark.parametrize("beats", [1, 1000])
def test_lint_of_the_control_is_clean(beats: int) -> None:
    assert lint("shell_control", {"LOAD_BEATS": beats}) == ""
    assert lint("shell_weights", {"LOAD_BEATS": beats}) == ""
    assert lint("shell_registers", {"LOAD_BEATS": beats, "ADDRESS_BITS": 31 + beats % 999}) == ""


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_tokens", 0, "max_tokens: expected 1 to 65535, got 0"),
        ("max_tokens", 1 << 16, "max_tokens: expected 1 to 65535"),
        ("word_bits", 33, "word_bits: expected 1 to 32, got 33"),
        ("in_lanes", 5, "in_lanes: expected a divisor of hidden = 8"),
        ("out_lanes", 3, "out_lanes: expected a divisor of hidden = 8"),
        ("load_beats", -1, "load_beats: expected 0 to"),
        ("max_burst", 257, "max_burst: expected 1 to 256, got 257"),
        ("buffer_words", 255, "buffer_words: expected 256 to"),
        ("address_bits", 31, "address_bits: expected 32 to 64, got 31"),
        ("outstanding", 0, "outstanding: expected 1 to 64, got 0"),
        ("max_sentences", 0, "max_sentences: expected 1 to"),
        ("hidden", 6, "hidden: expected tokens of whole words of 8 bytes, got 6 channels of 2"),
        ("model_hash", "abc", "model_hash: expected 64 digits in hexadecimal, got 'abc'"),
        ("clock_khz", -1, "clock_khz: expected 0 to"),
    ],
)
def test_bad_parameters_are_named(name: str, value: Any, message: str) -> None:
    values = {"max_tokens": 8, "hidden": 8, "word_bits": 16}
    with pytest.raises(ParameterError, match=message):
        Shell(**{**values, name: value})


def test_residuals_and_weights_of_another_form_are_refused() -> None:
    shell = SHELLS[0]
    with pytest.raises(ParameterError, match=r"residual: expected shape \(tokens, 12\)"):
        shell.encode(np.zeros((3, 7)))
    with pytest.raises(ParameterError, match="residual: expected values of 16 bits"):
        shell.encode(np.full((1, 12), 1 << 15))
    with pytest.raises(ParameterError, match="weights: expected beats of 9 bytes"):
        encode_weights(np.zeros((2, 8), np.uint8))
