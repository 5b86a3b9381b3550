"""Memory-init files: one hexadecimal word a line, which `$readmemh` reads."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.errors import HardwareFileError, ParameterError

MemoryShapes = dict[str, tuple[int, int]]  # words and bits of a word, by file name


def memory_text(words: ArrayLike, bits: int, lanes: int = 1) -> str:
    """The file of a memory whose word has `lanes` fields of `bits` bits, lane 0 lowest.

    Args:
        words: (depth, lanes) or (depth,) integers, two's complement where negative.

    Raises:
        ParameterError: a value that the field can't hold.
    """
    values = np.asarray(words, dtype=np.int64).reshape(-1, lanes)
    if values.size and (values.min() < -(1 << (bits - 1)) or values.max() >= 1 << bits):
        raise ParameterError(
            f"memory word: expected values of {bits} bits, got {values.min()} to {values.max()}"
        )
    planes = (values[..., None] >> np.arange(bits)) & 1
    packed = np.packbits(
        planes.reshape(len(values), lanes * bits).astype(np.uint8), axis=1, bitorder="little"
    )
    digits = -(-lanes * bits // 4)
    rows = [bytes(row[::-1]).hex().rjust(digits, "0")[-digits:] for row in packed]
    return "\n".join(rows) + "\n"


def read_memory(path: Path, depth: int, bits: int, lanes: int = 1) -> NDArray[np.int64]:
    """The inverse of `memory_text`: (depth, lanes) unsigned fields of up to 63 bits.

    Raises:
        HardwareFileError: wrong number of words, a bad digit, a word that is too wide.
    """
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise HardwareFileError(f"{path}: expected a memory file, got {error}") from None
    if len(lines) != depth:
        raise HardwareFileError(f"{path}: expected {depth} words, got {len(lines)}")
    values = np.zeros((depth, lanes), dtype=np.int64)
    for row, line in enumerate(lines):
        try:
            word = int(line, 16) if not set(line) - set("0123456789abcdefABCDEF") else -1
        except ValueError:
            word = -1
        if not 0 <= word < 1 << (bits * lanes):
            raise HardwareFileError(
                f"{path}: word {row}: expected {bits * lanes} bits in hexadecimal, got {line!r}"
            )
        for lane in range(lanes):
            values[row, lane] = (word >> (lane * bits)) & ((1 << bits) - 1)
    return values


def check_memories(folder: Path, shapes: MemoryShapes) -> None:
    """Check the memory files of a kernel, as its `memory_shapes` gives them.

    Raises:
        HardwareFileError: names the first file that is missing or isn't such a memory.
    """
    for name, (depth, bits) in shapes.items():
        read_memory(folder / name, depth, 1, bits)
