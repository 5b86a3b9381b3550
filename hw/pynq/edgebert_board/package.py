"""A deployment package: a folder or zip whose every file has the hash that SHA256SUMS states.

The hashes tell damage and mix-ups, not forgery: nothing is signed. docs/board.md of edgebert
describes the files.
"""

import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BoardError
from .integer_host import IntegerHost, Sizes
from .manifest import Board, read_board, read_sizes
from .tokenizer import Tokenizer

Array = NDArray[Any]

FORMAT = "edgebert board package"
FORMAT_VERSION = 1
MANIFEST, SUMS, VOCAB = "manifest.json", "SHA256SUMS", "tokenizer/vocab.txt"
TABLES, GOLDEN, EXPECTED, WEIGHTS = "tables.npz", "golden.npz", "expected.npz", "weights.bin"
REQUIRED = (MANIFEST, TABLES, GOLDEN, VOCAB)
LARGEST = 1 << 30  # bytes, of all files together
MOST_FILES = 1000

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_SUM = re.compile(r"([0-9a-f]{64})  (\S+)")
_AGAIN = "copy the package again"


@dataclass(frozen=True)
class Expected:
    """Of a sentence: its logits, and the hash of the residual (N, H) of the last layer."""

    logits: Array
    residual: bytes


@dataclass
class Package:
    """An opened package.

    Attributes:
        path: the folder that holds its files.
        sums: SHA-256 of every file but SHA256SUMS, by name.
        manifest: as docs/board.md describes it.
        digest: SHA-256 of SHA256SUMS, so of everything.
    """

    path: Path
    sums: Mapping[str, str]
    manifest: Mapping[str, Any]
    digest: str
    sizes: Sizes
    board: Board
    _temporary: Path | None = field(default=None, repr=False)

    def __enter__(self) -> "Package":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what a zip was unpacked to."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    @property
    def labels(self) -> list[str]:
        """The names of the classes in the order of the logits; none of a regression."""
        return list(self.manifest["labels"] or [])

    @property
    def regression(self) -> bool:
        return bool(self.manifest["regression"])

    def content(self, name: str) -> bytes:
        """A file's bytes, which have the hash that is stated.

        Raises:
            BoardError: it is missing or changed.
        """
        if name not in self.sums:
            raise BoardError(f"{self.path}: expected {name} in the package, got none")
        return _checked(self.path, name, self.sums[name])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.parse(self.content(VOCAB), self.sizes.max_tokens)
        if tokenizer.size != self.sizes.vocab:
            raise BoardError(
                f"{VOCAB}: expected {self.sizes.vocab} tokens, got {tokenizer.size}; {_AGAIN}"
            )
        return tokenizer

    @cached_property
    def host(self) -> IntegerHost:
        return IntegerHost(self.sizes, self.arrays(TABLES))

    @cached_property
    def golden(self) -> list[dict[str, Array]]:
        """Every named tensor of every golden sentence, `input_ids` and `token_type_ids` too."""
        sentences: dict[int, dict[str, Array]] = {}
        for key, array in self.arrays(GOLDEN).items():
            number, _, name = key.partition(".")
            if not number.isdigit() or array.dtype.kind not in "iu":
                raise BoardError(f"{GOLDEN}: expected integers of sentences, got {key}")
            sentences.setdefault(int(number), {})[name] = array
        if sorted(sentences) != list(range(len(sentences))):
            raise BoardError(f"{GOLDEN}: expected sentences numbered from 0")
        for values in sentences.values():
            missing = {"input_ids", "token_type_ids", "logits"} - values.keys()
            if missing:
                raise BoardError(f"{GOLDEN}: expected {min(missing)} of every sentence")
        return [sentences[number] for number in range(len(sentences))]

    @cached_property
    def expected(self) -> "dict[bytes, Expected]":
        """What must come out, by `sentence_key`, of the sentences that the package knows."""
        if EXPECTED not in self.sums:
            return {}
        arrays = self.arrays(EXPECTED)
        keys, logits, hashes = (arrays.get(name) for name in ("keys", "logits", "residuals"))
        if (
            keys is None
            or logits is None
            or hashes is None
            or keys.dtype != np.uint8
            or hashes.dtype != np.uint8
            or keys.ndim != 2
            or keys.shape[1] != KEY_BYTES
            or hashes.shape != keys.shape
            or logits.dtype.kind != "i"
            or logits.shape != (len(keys), self.sizes.outputs)
        ):
            raise BoardError(
                f"{EXPECTED}: expected keys, and as many logits and hashes, got others"
            )
        rows = zip(keys, logits, hashes, strict=True)
        return {key.tobytes(): Expected(row, digest.tobytes()) for key, row, digest in rows}

    def arrays(self, name: str) -> dict[str, Array]:
        """The arrays of a NumPy archive."""
        try:
            with np.load(io.BytesIO(self.content(name)), allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise BoardError(f"{name}: expected arrays, got {_line(error)}; {_AGAIN}") from None


KEY_BYTES = 16


def residual_hash(residual: Array) -> bytes:
    """The first bytes of SHA-256 of integers (N, H), as int32 of the lowest byte first."""
    return hashlib.sha256(np.ascontiguousarray(residual, "<i4").tobytes()).digest()[:KEY_BYTES]


def sentence_key(input_ids: Any, token_type_ids: Any) -> bytes:
    """Identifies a sentence of tokens without telling its text: 5 bytes a token, hashed."""
    ids = np.asarray(input_ids, "<u4").tobytes() + np.asarray(token_type_ids, "u1").tobytes()
    return hashlib.sha256(ids).digest()[:KEY_BYTES]


def open_package(path: Path) -> Package:
    """Open a folder, or a zip by way of a temporary folder, and check every file.

    Raises:
        BoardError: it is missing, foreign, truncated or changed; nothing stays unpacked.
    """
    if path.is_dir():
        return _read_folder(path)
    parent = Path(tempfile.mkdtemp(prefix="edgebert-"))
    try:
        package = _read_folder(extract(path, parent / "package"))
        package._temporary = parent
        return package
    except BaseException:
        shutil.rmtree(parent, ignore_errors=True)
        raise


def extract(archive: Path, folder: Path) -> Path:
    """Unpack a zip to a new folder, whole or not at all; the folder.

    Raises:
        BoardError: the zip is damaged or foreign, or has a file that SHA256SUMS has otherwise
            or not at all; or the folder exists.
    """
    if folder.exists() or folder.is_symlink():
        raise BoardError(f"{folder}: exists already; choose another folder")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(archive) as file:
            members = _members(archive, file)
            if SUMS not in members:
                raise BoardError(f"{archive}: expected a package of edgebert, got no {SUMS}")
            stated = file.read(members.pop(SUMS))
            sums = _parse_sums(archive, stated)
            if sums.keys() != members.keys():
                odd = min(sums.keys() ^ members.keys())
                raise BoardError(f"{archive}: expected the files of {SUMS}, but for {odd}")
            temporary.mkdir(parents=True)
            _write(temporary / SUMS, stated)
            for name, member in members.items():
                content = file.read(member)
                _check_hash(archive, name, content, sums[name])
                _write(temporary / name, content)
        os.rename(temporary, folder)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise BoardError(
            f"{archive}: expected a package of edgebert, got a damaged or foreign file "
            f"({_line(error)}); {_AGAIN}"
        ) from None
    except OSError as error:
        raise BoardError(f"{error.filename or archive}: {error.strerror or _line(error)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _members(archive: Path, file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by name: plain ones only, each once; folders are left out."""
    members: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for member in file.infolist():
        if member.filename.endswith("/") and _is_plain(member.filename[:-1]):
            continue
        total += member.file_size
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        # orig_filename: zipfile cuts a name at a null byte, and turns \ into / on Windows
        plain = _is_plain(name) and name == member.orig_filename and kind in (0, stat.S_IFREG)
        if not plain or member.flag_bits & 1:
            raise BoardError(f"{archive}: expected plain files in the package, got {name!r}")
        if name in members or len(members) == MOST_FILES or total > LARGEST:
            raise BoardError(f"{archive}: expected each file once, few and small, got {name!r}")
        members[name] = member
    return members


def _is_plain(name: str) -> bool:
    """Whether a name stays in the folder it is put to: relative, no `..`, no odd characters."""
    return bool(_NAME.fullmatch(name))


def _read_folder(path: Path) -> Package:
    content = _file(path, SUMS)
    sums = _parse_sums(path, content)
    for name in REQUIRED:
        if name not in sums:
            raise BoardError(f"{path}: expected a package of edgebert, got no {name}; {_AGAIN}")
    manifest = _read_manifest(path, _checked(path, MANIFEST, sums[MANIFEST]))
    for name, expected in sums.items():
        if name != MANIFEST:
            _checked(path, name, expected)
    board = read_board(path, manifest)
    for wanted in (board.bitstream, board.hwh, WEIGHTS if board.load_beats else None):
        if wanted is not None and wanted not in sums:
            raise BoardError(f"{path}: expected {wanted} in the package, got none; {_AGAIN}")
    digest = hashlib.sha256(content).hexdigest()
    return Package(path, sums, manifest, digest, read_sizes(path, manifest), board)


def _parse_sums(where: Path, content: bytes) -> dict[str, str]:
    sums: dict[str, str] = {}
    for line in content.decode("ascii", "replace").splitlines():
        match = _SUM.fullmatch(line)
        if match is None or not _is_plain(match[2]) or match[2] == SUMS or match[2] in sums:
            raise BoardError(f"{where}: {SUMS}: expected a hash and a file name, got {line[:80]!r}")
        sums[match[2]] = match[1]
    return sums


def _read_manifest(where: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        known = manifest["format"] == FORMAT
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        known, version, manifest = False, None, {}
    if not known:
        raise BoardError(f"{where}: expected a package of edgebert, got another {MANIFEST}")
    if version != FORMAT_VERSION:
        raise BoardError(
            f"{where}: expected format version {FORMAT_VERSION}, got {version!r}; "
            "use the edgebert_board that is in the package"
        )
    return dict(manifest)


def _checked(folder: Path, name: str, expected: str) -> bytes:
    content = _file(folder, name)
    _check_hash(folder, name, content, expected)
    return content


def _check_hash(where: Path, name: str, content: bytes, expected: str) -> None:
    if hashlib.sha256(content).hexdigest() != expected:
        raise BoardError(f"{where}: {name}: changed since it was packed; {_AGAIN}")


def _file(folder: Path, name: str) -> bytes:
    """A file's content, if it is one and no link in its path leads elsewhere."""
    path = folder
    try:
        for part in name.split("/"):
            path = path / part
            if path.is_symlink():
                raise BoardError(f"{path}: expected a file of the package, got a link")
        if not path.is_file():
            raise BoardError(f"{folder}: expected {name} in the package, got none; {_AGAIN}")
        if path.stat().st_size > LARGEST:
            raise BoardError(f"{path}: expected at most {LARGEST} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BoardError(f"{path}: expected a readable file, got: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
