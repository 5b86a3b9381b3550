"""Every kernel knows its memory files, and refuses damaged ones before any tool starts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attention_cases import random_tensors as attention_tensors
from models import random_integer_model

from hw.errors import HardwareFileError
from hw.kernels.add_norm import AddNorm, NormTensors
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.memory import MemoryShapes, check_memories
from hw.kernels.mvu import BinaryMvu

Files = tuple[MemoryShapes, dict[str, str]]


def mvu(raw: bool) -> Files:
    kernel = BinaryMvu(mw=24, mh=10, pe=5, simd=8, raw=raw)
    weight = 2 * np.random.default_rng(0).integers(0, 2, (10, 24)) - 1
    return kernel.memory_shapes(), kernel.memories(weight, None if raw else np.arange(10))


def attention(sps: bool, reach: int = 0) -> Files:
    kernel = BinaryAttention(
        13, 3, 6, simd=2, in_bits=2, out_bits=2, channels=2, sps=sps, relative_positions=reach
    )
    return kernel.memory_shapes(), attention_tensors(kernel).memories(kernel)


def add_norm(norm: str) -> Files:
    model = random_integer_model(layers=2)
    kernel = AddNorm.of_layer(model, 0, norm, lanes=2)
    return kernel.memory_shapes(), kernel.memories(NormTensors.of_layer(model, 0, norm))


def threshold(streams: int) -> Files:
    kernel = ChannelThreshold(
        hidden=12, lanes=3, word_bits=16, threshold_bits=9, bit_streams=streams
    )
    rows = np.random.default_rng(1).integers(-256, 256, (streams, 12))
    return kernel.memory_shapes(), kernel.memories(list(rows))


CASES = [
    lambda: mvu(False),
    lambda: mvu(True),
    lambda: attention(False),
    lambda: attention(True),
    lambda: attention(False, reach=4),
    lambda: attention(True, reach=1),
    lambda: add_norm("attention_norm"),
    lambda: add_norm("ffn_norm"),
    lambda: threshold(0),
    lambda: threshold(3),
]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("case", CASES)
def test_the_files_that_a_kernel_writes_have_its_shapes(
    case: Callable[[], Files], tmp_path: Path
) -> None:
    shapes, files = case()
    assert set(shapes) == set(files)
    write(tmp_path, files)
    check_memories(tmp_path, shapes)
    for name, (depth, bits) in shapes.items():
        lines = files[name].split()
        assert len(lines) == depth
        assert {len(line) for line in lines} == {-(-bits // 4)}


@pytest.mark.parametrize("case", CASES[:8])
@pytest.mark.parametrize("damage", ["short", "long", "digit", "wide", "missing"])
def test_a_damaged_file_is_named(case: Callable[[], Files], damage: str, tmp_path: Path) -> None:
    shapes, files = case()
    write(tmp_path, files)
    name = sorted(shapes)[-1]
    lines = files[name].split()
    changed = {
        "short": lines[:-1],
        "long": [*lines, lines[0]],
        "digit": [*lines[:-1], "g" + lines[-1][1:]],
        "wide": [*lines[:-1], "f" + lines[-1]],
    }
    if damage == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text("\n".join(changed[damage]) + "\n")
    with pytest.raises(HardwareFileError, match=name):
        check_memories(tmp_path, shapes)
