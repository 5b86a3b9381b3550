from pathlib import Path

import numpy as np
import pytest

from hw.errors import HardwareFileError, ParameterError
from hw.kernels.memory import memory_text, read_memory


@pytest.mark.parametrize(("bits", "lanes"), [(1, 1), (1, 70), (3, 5), (13, 2), (31, 3), (63, 1)])
def test_reading_is_the_inverse_of_writing(tmp_path: Path, bits: int, lanes: int) -> None:
    words = np.random.default_rng(0).integers(0, 1 << bits, (9, lanes))
    path = tmp_path / "memory.hex"
    path.write_text(memory_text(words, bits, lanes))
    assert np.array_equal(read_memory(path, 9, bits, lanes), words)


def test_negative_words_are_two_s_complement(tmp_path: Path) -> None:
    path = tmp_path / "memory.hex"
    path.write_text(memory_text([[-1, 3], [-8, 7]], 4, 2))
    assert path.read_text() == "3f\n78\n"
    assert read_memory(path, 2, 4, 2).tolist() == [[15, 3], [8, 7]]


def test_lane_0_is_in_the_lowest_bits_and_words_have_whole_digits() -> None:
    assert memory_text([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], 1, 5) == "01\n10\n"
    assert memory_text([5, 6], 3) == "5\n6\n"


@pytest.mark.parametrize("value", [16, -9])
def test_a_value_that_the_field_cannot_hold_is_refused(value: int) -> None:
    with pytest.raises(ParameterError, match="memory word: expected values of 4 bits, got"):
        memory_text([0, value], 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n", "expected 3 words, got 2"),
        ("1\n2\n3\n4\n", "expected 3 words, got 4"),
        ("", "expected 3 words, got 0"),
        ("1\nx\n3\n", "word 1: expected 4 bits in hexadecimal, got 'x'"),
        ("1\n2\n0x3\n", "word 2: expected 4 bits in hexadecimal, got '0x3'"),
        ("1\n-2\n3\n", "word 1: expected 4 bits in hexadecimal, got '-2'"),
        ("1_0\n2\n3\n", "word 0: expected 4 bits in hexadecimal, got '1_0'"),
        ("1\n2\n10\n", "word 2: expected 4 bits in hexadecimal, got '10'"),
    ],
)
def test_a_damaged_file_is_named_with_the_word(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "memory.hex"
    path.write_text(text)
    with pytest.raises(HardwareFileError) as caught:
        read_memory(path, 3, 4)
    assert str(caught.value) == f"{path}: {message}"


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "memory.hex"
    with pytest.raises(HardwareFileError, match=r"memory\.hex: expected a memory file, got"):
        read_memory(path, 3, 4)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HardwareFileError, match=r"memory\.hex: expected a memory file, got"):
        read_memory(path, 3, 4)
