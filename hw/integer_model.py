"""The integer model and its file, `integer.safetensors` (docs/arithmetic.md).

The same model gives the same bytes. Binary matrices are packed there, eight columns a byte.
"""

import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hw.errors import HardwareFileError
from hw.layout import Dimensions, Formats, dimensions, expected_shapes, formats, value_range

__all__ = [
    "IntegerModel",
    "check_model",
    "expected_shapes",
    "load_integer_model",
    "save_integer_model",
]

Tensor = NDArray[Any]

FORMAT = "edgebert integer model"
VERSION = 1
FILE_PREFIX = "file."  # of the tensors that hold attachments
METADATA_KEY = "edgebert"  # one key only: the order of several is not defined


@dataclass(frozen=True)
class IntegerModel:
    """Everything of a deployed model that is not code.

    Attributes:
        config: plain JSON data. `model` and `arithmetic` are needed here, and `labels`
            (a list of names, or absent with `regression`); other keys are carried along.
        tensors: by the names of docs/arithmetic.md. Binary matrices are int8 {-1,+1}
            (rows, columns); everything else is int64, scalars of shape ().
            `golden.*` tensors hold the token ids of the golden sentences:
            `golden.input_ids`, `golden.token_type_ids` (n, longest), zero where padded,
            and `golden.lengths` (n,).
        attachments: files that travel with the model, such as `vocab.txt`.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    attachments: dict[str, bytes] = field(default_factory=dict)

    @property
    def dimensions(self) -> Dimensions:
        return dimensions(self.config)

    @property
    def formats(self) -> Formats:
        return formats(self.config)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def check_model(model: IntegerModel) -> None:
    """Raise HardwareFileError unless every tensor is there, in its shape and its range."""
    expected = expected_shapes(model.config)
    for name, (shape, binary) in expected.items():
        if name not in model.tensors:
            raise HardwareFileError(f"expected a tensor {name}, got none")
        tensor = model.tensors[name]
        if tensor.shape != shape:
            raise HardwareFileError(f"{name}: expected shape {shape}, got {tensor.shape}")
        if binary and not bool(((tensor == 1) | (tensor == -1)).all()):
            raise HardwareFileError(f"{name}: expected values -1 and +1 only")
    _check_golden(model)
    for name in model.attachments:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise HardwareFileError(f"attachment: expected a plain file name, got {name!r}")
    for name, tensor in model.tensors.items():
        if name not in expected and not name.startswith("golden."):
            raise HardwareFileError(f"unknown tensor {name}")
        if tensor.dtype.kind != "i":
            raise HardwareFileError(f"{name}: expected integers, got {tensor.dtype}")
        low, high = value_range(model.config, name)
        if tensor.size and not low <= int(tensor.min()) <= int(tensor.max()) <= high:
            raise HardwareFileError(
                f"{name}: expected values in [{low}, {high}], "
                f"got [{int(tensor.min())}, {int(tensor.max())}]"
            )


def _check_golden(model: IntegerModel) -> None:
    """The golden sentences are absent, or whole."""
    shapes = {name: t.shape for name, t in model.tensors.items() if name.startswith("golden.")}
    if not shapes:
        return
    ids = shapes.get("golden.input_ids", ())
    names = ("golden.input_ids", "golden.token_type_ids", "golden.lengths")
    if len(ids) != 2 or shapes != dict(zip(names, (ids, ids, ids[:1]), strict=True)):
        raise HardwareFileError(f"expected {', '.join(names)} of like shapes, got {shapes}")
    if ids[0] and int(model["golden.lengths"].max()) > ids[1]:
        raise HardwareFileError(f"golden.lengths: expected at most {ids[1]}")


def save_integer_model(path: Path, model: IntegerModel) -> None:
    """Write a model so that either the whole new file or the old one is there.

    Raises:
        HardwareFileError: the model breaks docs/arithmetic.md, or the file can't be written.
    """
    try:
        check_model(model)
    except HardwareFileError as error:
        raise HardwareFileError(f"{path}: not written; {error}") from None
    write_atomically(path, model_bytes(model))


def model_bytes(model: IntegerModel) -> bytes:
    """The content of `integer.safetensors`."""
    expected = expected_shapes(model.config)
    stored: dict[str, Tensor] = {}
    packed: dict[str, list[int]] = {}
    for name in sorted(model.tensors):
        tensor = model.tensors[name]
        if name in expected and expected[name][1]:
            packed[name] = list(tensor.shape)
            stored[name] = pack_bits(tensor)
        else:
            stored[name] = narrowed(tensor)
    for name, content in sorted(model.attachments.items()):
        stored[FILE_PREFIX + name] = np.frombuffer(content, dtype=np.uint8)
    header = {"format": FORMAT, "version": VERSION, "config": model.config, "packed": packed}
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    return bytes(save(stored, metadata={METADATA_KEY: text}))


def load_integer_model(path: Path) -> IntegerModel:
    """Read and check a model.

    Raises:
        HardwareFileError: the file is missing, truncated, foreign, or its tensors do not
            fit its configuration.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise HardwareFileError(f"{path}: expected an integer model, got no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise HardwareFileError(
            f"{path}: expected an integer model, got a damaged or foreign file "
            f"({_one_line(error)}); export it again"
        ) from None
    try:
        header = _header(metadata)
        model = _unpacked(header, stored)
        check_model(model)
    except HardwareFileError as error:
        raise HardwareFileError(f"{path}: {error}; export it again") from None
    return model


def pack_bits(signs: Tensor) -> NDArray[np.uint8]:
    """{-1,+1} (rows, columns) to uint8 (rows, ceil(columns / 8)), first column lowest."""
    return np.packbits(signs > 0, axis=1, bitorder="little")


def unpack_bits(packed: Tensor, columns: int) -> NDArray[np.int8]:
    """The inverse of `pack_bits`."""
    bits = np.unpackbits(packed, axis=1, count=columns, bitorder="little")
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content, or leave it alone and raise HardwareFileError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # of a missing or read-only folder
            temporary.unlink(missing_ok=True)
        raise HardwareFileError(
            f"{path}: expected to write {len(content)} bytes, got {error.strerror or error}; "
            "make room or choose another folder"
        ) from None


def narrowed(tensor: Tensor) -> Tensor:
    """A copy in the smallest of int8, int16, int32 and int64; unsigned bits stay as they are."""
    if tensor.dtype == np.uint8:
        return tensor
    low = int(tensor.min()) if tensor.size else 0
    high = int(tensor.max()) if tensor.size else 0
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            # a 0-d result needs the wrapper: safetensors takes arrays, not NumPy scalars
            return np.array(tensor, dtype=dtype, order="C")
    raise AssertionError("an int64 tensor fits int64")


def _header(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        header = json.loads(metadata[METADATA_KEY])
        known = header["format"] == FORMAT
        version, config, packed = header["version"], header["config"], header["packed"]
    except (KeyError, TypeError, ValueError):
        raise HardwareFileError("expected the metadata of an integer model, got none") from None
    if not known or not isinstance(config, dict) or not isinstance(packed, dict):
        raise HardwareFileError("expected the metadata of an integer model, got others")
    if version != VERSION:
        raise HardwareFileError(f"expected format version {VERSION}, got {version!r}")
    return dict(header)


def _unpacked(header: dict[str, Any], stored: dict[str, Tensor]) -> IntegerModel:
    tensors: dict[str, Tensor] = {}
    attachments: dict[str, bytes] = {}
    expected = expected_shapes(header["config"])
    for name, tensor in stored.items():
        if name.startswith(FILE_PREFIX):
            attachments[name.removeprefix(FILE_PREFIX)] = tensor.astype(np.uint8).tobytes()
        elif name in expected and expected[name][1]:
            tensors[name] = _unpacked_matrix(name, tensor, expected[name][0], header["packed"])
        elif tensor.dtype.kind != "i":
            raise HardwareFileError(f"{name}: expected integers, got {tensor.dtype}")
        else:
            tensors[name] = tensor.astype(np.int64)
    return IntegerModel(header["config"], tensors, attachments)


def _unpacked_matrix(
    name: str, packed: Tensor, shape: tuple[int, ...], shapes: dict[str, Any]
) -> NDArray[np.int8]:
    rows, columns = shape
    if shapes.get(name) != [rows, columns]:
        raise HardwareFileError(f"{name}: expected shape {shape}, got {shapes.get(name)}")
    if packed.dtype != np.uint8 or packed.shape != (rows, -(-columns // 8)):
        raise HardwareFileError(
            f"{name}: expected packed bits {(rows, -(-columns // 8))}, "
            f"got {packed.dtype} {packed.shape}"
        )
    signs = unpack_bits(packed, columns)
    if not np.array_equal(pack_bits(signs), packed):
        raise HardwareFileError(f"{name}: expected zeros after the last column, got other bits")
    return signs


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
