"""Files that are either whole or absent, and known by their hash.

Every file is written beside its place, synced, and moved over it. A JSON record carries
the hash of its own content and of the tensor files that it names, and is replaced last:
so a save that fails, at whatever point, leaves the previous state readable.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from edgebert.errors import UserError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RECORD = "checkpoint.json"


@dataclass(frozen=True)
class FileRef:
    """A tensor file of a checkpoint: its name in the folder, and its hash."""

    name: str
    sha256: str


def write_atomic(path: Path, data: bytes) -> str:
    """Write a file whole or not at all; the SHA-256 of its content.

    Raises UserError where the system refuses; an older file at `path` then stays as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _refused(path, len(data), error) from None
        raise
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` when the block ends, and vanishes if it raises.

    Yields a path beside `out`, at which nothing is. What was at `out` before is deleted only when
    the new folder is whole and in its place.

    Raises:
        UserError: it can't be written.
    """
    fresh, old = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        yield fresh
        if out.exists():
            os.replace(out, old)
        os.replace(fresh, out)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"--out {out}: expected a writable folder, got: {reason}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON together with the hash of its content, atomically."""
    record = {**content, "sha256": _digest(content)}
    write_atomic(path, (json.dumps(record, indent=2) + "\n").encode())


def read_record(path: Path) -> dict[str, Any]:
    """Read what `write_record` wrote. Raises UserError where it is absent or was changed."""
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: expected a readable file, got: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}: expected JSON, got a truncated or changed file") from None
    if not isinstance(record, dict) or record.pop("sha256", None) != _digest(record):
        raise UserError(
            f"{path}: expected the content that its sha256 names, got a changed file; "
            "restore it from a copy"
        )
    return record


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> str:
    """Save tensors as safetensors, atomically; the file's SHA-256.

    Equal tensors give equal bytes.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_atomic(path, safetensors.torch.save(plain, metadata))


def load_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """Load tensors on the CPU. Raises UserError unless the file has the given hash."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: expected a readable file, got: {error.strerror}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UserError(
            f"{path}: expected sha256 {sha256[:12]}..., got {found[:12]}... "
            f"({len(data)} bytes): truncated or changed; restore it, or train again with --force"
        )
    try:
        return dict(safetensors.torch.load(data))
    except safetensors.SafetensorError as error:
        raise UserError(f"{path}: expected safetensors, got: {error}") from None


class CheckpointFolder:
    """The one checkpoint of a run: tensor files, and a record that names them.

    New files get new names, so the record's replacement switches from the old set to the
    new one at once; then the old ones are deleted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self,
        state: Mapping[str, Any],
        tensors: Mapping[str, Mapping[str, Tensor] | FileRef],
        suffix: str,
    ) -> dict[str, FileRef]:
        """Save a state (plain JSON data) and sets of tensors; the references of the sets.

        suffix: makes the file names of this save differ from the last one's, such as a
        step. A FileRef in place of tensors keeps a file that is already there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, FileRef] = {}
        try:
            for role, content in tensors.items():
                if isinstance(content, FileRef):
                    files[role] = content
                else:
                    name = f"{role}-{suffix}.safetensors"
                    files[role] = FileRef(name, save_tensors(self.folder / name, content))
            named = {role: [ref.name, ref.sha256] for role, ref in files.items()}
            write_record(self.folder / RECORD, {"state": dict(state), "files": named})
        finally:
            self._clean()
        return files

    def load_state(self) -> tuple[dict[str, Any], dict[str, FileRef]] | None:
        """The saved state and its files; None where nothing was saved yet."""
        if not (self.folder / RECORD).is_file():
            return None
        record = read_record(self.folder / RECORD)
        return record["state"], {role: FileRef(*ref) for role, ref in record["files"].items()}

    def load_tensors(self, ref: FileRef) -> dict[str, Tensor]:
        """The tensors of one file of the checkpoint."""
        return load_tensors(self.folder / ref.name, ref.sha256)

    def _clean(self) -> None:
        """Delete the tensor files that the record on disk doesn't name."""
        with contextlib.suppress(OSError, UserError):
            saved = self.load_state()
            keep = {ref.name for ref in saved[1].values()} if saved else set()
            for path in self.folder.glob("*.safetensors"):
                if path.name not in keep:
                    path.unlink()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state, as tensors named INDEX.KEY by the index of the parameter."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, values in state.items()
        for key, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` gave, into an optimizer over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(path: Path, size: int, error: OSError) -> UserError:
    reason = error.strerror or type(error).__name__
    advice = "free some space; " if error.errno in NO_SPACE else ""
    return UserError(
        f"{path}: expected to write {size:,} bytes, got: {reason}; "
        f"{advice}what was saved before is intact"
    )
