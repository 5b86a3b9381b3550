"""The export directory: everything that deployment needs, made from the integer model alone."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import edgebert
from edgebert.errors import UserError
from hw.integer_model import (
    IntegerModel,
    Tensor,
    expected_shapes,
    load_integer_model,
    narrowed,
    pack_bits,
    save_integer_model,
)
from hw.reference import Product, float_product, run

FORMAT_VERSION = 1
MODEL_FILE = "integer.safetensors"
MANIFEST_FILE = "manifest.json"
REQUIRED_FILES = (MODEL_FILE, "model.onnx", "encoder.onnx", "fast.onnx", "golden.npz", "tables.npz")
TARGETS = ("onnx", "pynq")
HOST_TABLES = ("embedding.", "pooler.", "classifier.", "rsqrt_table")

PYNQ_Z2: dict[str, Any] = {
    "board": "pynq-z2",
    "part": "xc7z020clg400-1",
    "clock_mhz": 100,
    "resources": {"LUT": 53200, "FF": 106400, "BRAM36": 140, "DSP": 220},
}


@dataclass(frozen=True)
class Export:
    """An export directory whose files have the hashes that its manifest states."""

    path: Path
    manifest: dict[str, Any]

    @cached_property
    def model(self) -> IntegerModel:
        return load_integer_model(self.path / MODEL_FILE)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, so of everything: identifies the export."""
        return file_hash(self.path / MANIFEST_FILE)


def write_export(
    out: Path, model: IntegerModel, target: str = "onnx", *, force: bool = False
) -> Export:
    """Write an export directory, whole or not at all.

    Args:
        out: the directory to make.
        model: the integer model; `config["source"]` tells where it came from.
        target: `onnx`, or `pynq` to add what a board needs.
        force: replace an older export at `out` (nothing else is ever replaced).

    Raises:
        UserError: `out` exists, the target is unknown, or the disk is full.
    """
    if target not in TARGETS:
        raise UserError(f"--target: expected {' or '.join(TARGETS)}, got {target!r}")
    _check_free(out, force)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        model = replace(model, config={**model.config, "target": target})
        save_integer_model(temporary / MODEL_FILE, model)
        build_files(temporary, load_integer_model(temporary / MODEL_FILE))
        _put_in_place(temporary, out)
    except OSError as error:
        raise UserError(
            f"{out}: expected to write an export, got {error.strerror or error}; "
            "make room or choose another folder"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return load_export(out)


def rebuild(
    out: Path, model_path: Path, target: str | None = None, *, force: bool = False
) -> Export:
    """Make the export directory again from its `integer.safetensors`, byte for byte.

    target: another one than the file was written for.
    """
    model = load_integer_model(model_path)
    return write_export(out, model, target or model.config.get("target", "onnx"), force=force)


def load_export(path: Path) -> Export:
    """Read the manifest and check every file's hash.

    Raises:
        UserError: names the first file that is missing, truncated or changed.
    """
    manifest = _read_manifest(path)
    files = manifest["files"]
    for name in (*REQUIRED_FILES, *sorted(files)):
        file = path / name
        if name not in files or not file.is_file():
            raise UserError(f"{file}: expected a file of the export, got none; export it again")
        size, expected = file.stat().st_size, files[name]
        if size != expected["bytes"]:
            raise UserError(
                f"{file}: expected {expected['bytes']} bytes, got {size}; export it again"
            )
        if file_hash(file) != expected["sha256"]:
            raise UserError(f"{file}: changed since it was exported; export it again")
    return Export(path, manifest)


def build_files(folder: Path, model: IntegerModel) -> None:
    """Write every file but `integer.safetensors`, the manifest last."""
    from export.onnx_fast import build_fast
    from export.onnx_model import build_encoder, build_model

    for name, graph in (
        ("model.onnx", build_model(model)),
        ("encoder.onnx", build_encoder(model)),
        ("fast.onnx", build_fast(model)),
    ):
        write_file(folder / name, graph.SerializeToString(deterministic=True))
    for name, content in sorted(model.attachments.items()):
        write_file(folder / "tokenizer" / name, content)
    write_file(folder / "tables.npz", npz_bytes(host_tables(model)))
    write_file(folder / "golden.npz", npz_bytes(golden_vectors(model)))
    if model.config.get("target") == "pynq":
        target = {**PYNQ_Z2, "max_tokens": model.dimensions.max_tokens}
        write_file(folder / "target.yaml", yaml.safe_dump(target, sort_keys=False).encode())
    write_file(folder / MANIFEST_FILE, manifest_bytes(folder, model))


def host_tables(model: IntegerModel) -> dict[str, Tensor]:
    """What the host computes with: embedding, pooler, classifier and the LayerNorm table.

    Binary matrices are packed as in `integer.safetensors`; their columns are the hidden size.
    """
    binary = {name for name, (_, is_binary) in expected_shapes(model.config).items() if is_binary}
    return {
        name: pack_bits(tensor) if name in binary else tensor
        for name, tensor in sorted(model.tensors.items())
        if name.startswith(HOST_TABLES)
    }


def golden_sentences(model: IntegerModel) -> list[tuple[Tensor, Tensor]]:
    """The golden sentences of the model as (token ids, token types), unpadded."""
    if "golden.lengths" not in model.tensors:
        return []
    lengths = model["golden.lengths"].tolist()
    ids, types = model["golden.input_ids"], model["golden.token_type_ids"]
    return [(ids[i, :n], types[i, :n]) for i, n in enumerate(lengths)]


def golden_vectors(model: IntegerModel, product: Product = float_product) -> dict[str, Tensor]:
    """Every named tensor of every golden sentence: `I.NAME`, with `I.input_ids` before them."""
    vectors: dict[str, Tensor] = {}
    for index, (ids, types) in enumerate(golden_sentences(model)):
        values = {
            "input_ids": ids,
            "token_type_ids": types,
            **run(model, ids, types, product),
        }
        vectors |= {f"{index}.{name}": value for name, value in values.items()}
    return vectors


def manifest_bytes(folder: Path, model: IntegerModel) -> bytes:
    """The manifest of the files in a folder; the same files give the same bytes."""
    import onnx
    import safetensors

    config, f = model.config, model.formats
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": file_hash(path),
        }
        for path in paths
    }
    packages = (edgebert, np, onnx, safetensors)
    manifest = {
        "format_version": FORMAT_VERSION,
        "target": config.get("target", "onnx"),
        "task": config.get("task"),
        "labels": config.get("labels"),
        "regression": config.get("regression"),
        "metric": config.get("metric"),
        "max_tokens": model.dimensions.max_tokens,
        "model": config["model"],
        "formats": config["arithmetic"],
        # a logit's value is the integer times this
        "logit_scale": 2.0 ** -(f.fraction_bits + f.classifier_fraction_bits),
        "source": config.get("source"),
        "versions": {package.__name__: package.__version__ for package in packages},
        "files": files,
    }
    return (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode()


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A NumPy archive whose bytes depend on its arrays only; integers in their smallest type."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # of Unix, wherever it is written
            entry.external_attr = 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, narrowed(array), version=(1, 0), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def write_file(path: Path, content: bytes) -> None:
    """Write a file of a directory that is not in its place yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST_FILE
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        whole = all({"bytes", "sha256"} <= entry.keys() for entry in manifest["files"].values())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: expected an export directory, got no {MANIFEST_FILE}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file}: damaged; export it again") from None
    if version != FORMAT_VERSION or not whole:
        raise UserError(f"{file}: expected format version {FORMAT_VERSION}, got {version!r}")
    return dict(manifest)


def _check_free(out: Path, force: bool) -> None:
    if not out.exists():
        return
    if not force:
        raise UserError(f"{out}: exists already; choose another folder, or give --force")
    if not (out / MANIFEST_FILE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: expected an older export to replace, got something else")


def _put_in_place(temporary: Path, out: Path) -> None:
    """Rename; an older export is moved aside first, and removed only when the new one is there."""
    if not out.exists():
        os.rename(temporary, out)
        return
    aside = out.with_name(f".{out.name}.{os.getpid()}.old")
    os.rename(out, aside)
    try:
        os.rename(temporary, out)
    except OSError:
        with contextlib.suppress(OSError):
            os.rename(aside, out)
        raise
    shutil.rmtree(aside)
