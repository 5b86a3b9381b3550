"""Deployment packages: what an export and a build come to on a board, in one zip.

The same export and build give the same bytes: fixed order, dates, permissions; nothing is
compressed, since compressors differ. docs/board.md describes the files.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.errors import HardwareFileError, ParameterError
from hw.integer_model import write_atomically
from hw.pynq.edgebert_board import package as board_package
from hw.pynq.edgebert_board import registers
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.manifest import read_board, read_sizes

RUNTIME = Path(__file__).parent / "edgebert_board"
MODEL_FILE, BITSTREAM, HWH = "integer.safetensors", "edgebert.bit", "edgebert.hwh"
DATE = (1980, 1, 1, 0, 0, 0)
COPIED = ("task", "labels", "regression", "metric", "model", "formats", "source")

README = """\
# edgebert: {task} on {board}

A binarized BERT of {layers} layers, {hidden} wide, for up to {tokens} tokens, at {clock} MHz.
SHA-256 of the model: {sha256}.

Needs a PYNQ image 3.x or 4.0 of the board; nothing is to be installed. As root, in pynq's
environment (`sudo -s`, then `source /etc/profile.d/pynq_venv.sh`), in this folder:

    sha256sum -c SHA256SUMS
    python -m edgebert_board predict . "A warm, funny film that never drags."
    python -m edgebert_board verify . --data DIR --json result.json
    python -m edgebert_board bench .

`verify` runs the golden sentences and a dev set, and compares every integer that leaves the
accelerator. `--data` is a folder of the GLUE download, or has a `dev.csv` with the columns `text`
and `label` (and `text_b` for pairs). It ends with 0 if all are equal, with 1 if not, with 2 after
an error, which is one line.

`manifest.json` describes the model, `SHA256SUMS` lists every file. The hashes tell damage, not
forgery: get the package from where you trust.
"""

Sentence = tuple[Iterable[int], Iterable[int]]  # token ids, token types
Integers = NDArray[np.int64]
Expected = tuple[Sentence, Integers, Integers]  # logits (labels,), last residual (N, H)


@dataclass(frozen=True)
class BoardBuild:
    """What a build gives to the package.

    Attributes:
        name: of the board, such as pynq-z2.
        max_tokens: of the accelerator; the package's tokenizer truncates to as many.
        clock_khz: of the accelerator.
        base_address, address_bytes: of its registers.
        bitstream, hwh: contents of the files; None where not built.
        weights: beats of 16 bytes to load at start-up; empty: none.
    """

    name: str
    max_tokens: int
    clock_khz: int
    base_address: int = 0x43C00000
    address_bytes: int = registers.ADDRESS_SPACE
    bitstream: bytes | None = None
    hwh: bytes | None = None
    weights: bytes = b""

    def __post_init__(self) -> None:
        if len(self.weights) % registers.WEIGHT_BEAT_BYTES:
            raise ParameterError(
                f"weights: expected beats of {registers.WEIGHT_BEAT_BYTES} bytes, "
                f"got {len(self.weights)} bytes"
            )
        if self.hwh is not None and self.bitstream is None:
            raise ParameterError("hwh: expected a bitstream with it, got none")


def write_package(
    out: Path,
    export: Path,
    build: BoardBuild,
    expected: Iterable[Expected] = (),
) -> str:
    """Write a zip, whole or not at all.

    Args:
        out: the file to make or replace.
        export: an export directory, whose hashes are checked.
        build: what was built of it.
        expected: sentences, their logits and the last layer's residuals, which `verify` on the
            board compares. Only hashes of tokens and residuals are written.

    Returns:
        SHA-256 of SHA256SUMS, so of everything.

    Raises:
        HardwareFileError: the export is damaged, or the zip can't be written.
    """
    files = package_files(export, build, expected)
    write_atomically(out, zip_bytes(files))
    return hashlib.sha256(files[board_package.SUMS]).hexdigest()


def package_files(
    export: Path, build: BoardBuild, expected: Iterable[Expected] = ()
) -> dict[str, bytes]:
    """Every file of a package, by name; as `write_package`."""
    stated = _read_export(export)
    files = {
        name: _export_file(export, stated, name)
        for name in (board_package.TABLES, board_package.GOLDEN, board_package.VOCAB)
    }
    manifest = manifest_of(export, stated, build)
    files[board_package.MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    for name, content in ((BITSTREAM, build.bitstream), (HWH, build.hwh)):
        if content is not None:
            files[name] = content
    if build.weights:
        files[board_package.WEIGHTS] = build.weights
    logits = expected_archive(expected)
    if logits:
        files[board_package.EXPECTED] = logits
    for path in sorted(RUNTIME.glob("*.py")):
        files[f"{RUNTIME.name}/{path.name}"] = path.read_bytes()
    files["README.md"] = _readme(manifest)
    files[board_package.SUMS] = sums_bytes(files)
    return files


def manifest_of(export: Path, stated: Mapping[str, Any], build: BoardBuild) -> dict[str, Any]:
    """The manifest of a package, from that of its export."""
    manifest = {
        "format": board_package.FORMAT,
        "format_version": board_package.FORMAT_VERSION,
        "model_sha256": stated["files"][MODEL_FILE]["sha256"],
        "export_sha256": hashlib.sha256(_read(export / board_package.MANIFEST)).hexdigest(),
        "max_tokens": build.max_tokens,
        **{key: stated.get(key) for key in COPIED},
        "board": {
            "name": build.name,
            "bitstream": None if build.bitstream is None else BITSTREAM,
            "hwh": None if build.hwh is None else HWH,
            "base_address": build.base_address,
            "address_bytes": build.address_bytes,
            "load_beats": len(build.weights) // registers.WEIGHT_BEAT_BYTES,
            "clock_khz": build.clock_khz,
        },
    }
    try:
        read_board(export, manifest)
        read_sizes(export, manifest)
    except BoardError as error:
        raise HardwareFileError(str(error)) from None
    return manifest


def expected_archive(expected: Iterable[Expected]) -> bytes:
    """expected.npz: a row per sentence, ordered by key; empty without any."""
    rows = {
        board_package.sentence_key(*sentence): (logits, board_package.residual_hash(residual))
        for sentence, logits, residual in expected
    }
    if not rows:
        return b""
    order = sorted(rows)
    keys, hashes = (
        np.frombuffer(b"".join(parts), np.uint8).reshape(len(rows), -1)
        for parts in (order, [rows[key][1] for key in order])
    )
    logits = np.array([rows[key][0] for key in order], np.dtype("<i8"))
    arrays: dict[str, NDArray[Any]] = {"keys": keys, "logits": logits, "residuals": hashes}
    return zip_bytes({f"{name}.npy": _npy(array) for name, array in arrays.items()})


def sums_bytes(files: Mapping[str, bytes]) -> bytes:
    """SHA256SUMS, as sha256sum writes it, by name."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode("ascii")


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on its files only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=DATE)
            entry.create_system = 3  # of Unix, wherever it is written
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
    return content.getvalue()


def _read_export(export: Path) -> dict[str, Any]:
    try:
        stated = json.loads(_read(export / board_package.MANIFEST))
        if isinstance(stated["files"][MODEL_FILE]["sha256"], str):
            return dict(stated)
    except (ValueError, KeyError, TypeError):
        pass
    raise HardwareFileError(f"{export}: expected an export directory; export it again")


def _export_file(export: Path, stated: Mapping[str, Any], name: str) -> bytes:
    content = _read(export / name)
    if hashlib.sha256(content).hexdigest() != stated["files"].get(name, {}).get("sha256"):
        raise HardwareFileError(f"{export / name}: changed since it was exported; export it again")
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HardwareFileError(
            f"{path}: expected a file of the export, got: {error.strerror}"
        ) from None


def _readme(manifest: Mapping[str, Any]) -> bytes:
    board, model = manifest["board"], manifest["model"]
    return README.format(
        task=manifest["task"],
        board=board["name"],
        layers=model["layers"],
        hidden=model["hidden"],
        tokens=manifest["max_tokens"],
        clock=f"{board['clock_khz'] / 1000:g}",
        sha256=manifest["model_sha256"],
    ).encode()
