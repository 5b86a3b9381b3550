"""The folder of a build: its request, and which steps are finished.

A step writes into the folder of its name. It counts as finished once `build.json` says so, with the
hashes of its files; what an interrupted step has left is removed when it starts again.
"""

import contextlib
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.errors import HardwareFileError
from hw.integer_model import write_atomically

STATE = "build.json"
LOCK = ".lock"
FORMAT = "edgebert build"
VERSION = 1
Say = Callable[[str], None]


@dataclass(frozen=True)
class BuildFolder:
    """A build and what it was asked for.

    Attributes:
        path: its folder.
        request: plain JSON data; another request needs another folder.
        steps: finished steps in their order, with their seconds and their files' hashes.
    """

    path: Path
    request: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]

    def folder(self, step: str) -> Path:
        """Where the files of a finished step lie.

        Raises:
            HardwareFileError: it is not finished, or one of its files is missing or changed.
        """
        if step not in self.steps:
            raise HardwareFileError(
                f"{self.path}: expected a build with the step {step}, got "
                f"{', '.join(self.steps) or 'none'}; run edgebert build again to finish it"
            )
        folder = self.path / step
        for name, digest in self.steps[step]["files"].items():
            file = folder / name
            if not file.is_file() or _hash(file) != digest:
                state = "changed since it was built" if file.is_file() else "missing"
                raise HardwareFileError(f"{file}: {state}; build it again with --force")
        return folder


@dataclass(frozen=True)
class Step:
    """A part of a build.

    Attributes:
        name: of its folder.
        what: it does, for the user.
        run: writes into the folder given; reads those of earlier steps; tells of its progress.
    """

    name: str
    what: str
    run: Callable[[BuildFolder, Path, Say], None]


def open_build(path: Path) -> BuildFolder:
    """Read a build.

    Raises:
        HardwareFileError: there is none, or its state is damaged.
    """
    file = path / STATE
    try:
        content = json.loads(file.read_text())
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        steps = content["steps"]
        if not all({"seconds", "files"} <= step.keys() for step in steps.values()):
            raise ValueError("steps without files")
        return BuildFolder(path, content["request"], steps)
    except (FileNotFoundError, NotADirectoryError):
        raise HardwareFileError(
            f"{path}: expected the folder of a build, got no {STATE} there"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HardwareFileError(f"{file}: damaged ({error}); build it again with --force") from None


def start_build(path: Path, request: Mapping[str, Any], *, force: bool = False) -> BuildFolder:
    """Make a build's folder, or go on with the one that is there for the same request.

    Raises:
        HardwareFileError: the folder holds a build for another request, or something else.
    """
    plain = json.loads(json.dumps(dict(request)))
    if (path / STATE).is_file():
        if force:
            return _start_again(path, plain)
        build = open_build(path)
        _check_request(path, build.request, plain)
        return build
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise HardwareFileError(f"{path}: expected a new folder or a build, got something else")
    path.mkdir(parents=True, exist_ok=True)
    build = BuildFolder(path, plain, {})
    _save(build)
    return build


def _start_again(path: Path, request: Mapping[str, Any]) -> BuildFolder:
    """A build without steps in the folder of another; an interruption leaves one or the other."""
    build = BuildFolder(path, request, {})
    _save(build)
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != STATE:
            entry.unlink()
    return build


def run_steps(build: BuildFolder, steps: Sequence[Step], say: Say) -> BuildFolder:
    """Run the steps that are not finished; each is written down when it is.

    Raises:
        HardwareFileError: another process works on the folder, or a finished step has changed.
        KeyboardInterrupt: with a message that names the step.
    """
    with _locked(build.path):
        for step in steps:
            try:
                build = _run_step(build, step, say)
            except KeyboardInterrupt:
                finished = ", ".join(build.steps) or "none"
                raise KeyboardInterrupt(
                    f"stopped in step {step.name}, finished before: {finished}; the same command "
                    "goes on from there"
                ) from None
    return build


def _run_step(build: BuildFolder, step: Step, say: Say) -> BuildFolder:
    """The build with a step finished."""
    if step.name in build.steps:
        build.folder(step.name)
        say(f"{step.name}: done before")
        return build
    say(f"{step.name}: {step.what}")
    folder = build.path / step.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    begin = time.perf_counter()
    step.run(build, folder, say)
    seconds = round(time.perf_counter() - begin, 1)
    done = {"seconds": seconds, "files": _hashes(folder)}
    finished = BuildFolder(build.path, build.request, {**build.steps, step.name: done})
    _save(finished)
    say(f"{step.name}: {seconds} s")
    return finished


def _check_request(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            raise HardwareFileError(
                f"{path}: expected a build for the same {key.replace('_', ' ')} to go on with "
                f"({_short(new.get(key))}), got one for {_short(old.get(key))}; choose another "
                "folder, or give --force"
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HardwareFileError(
                f"{path}: expected no other process at work on this build, got one"
            ) from None
        yield


def _save(build: BuildFolder) -> None:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "request": dict(build.request),
        "steps": dict(build.steps),
    }
    write_atomically(build.path / STATE, (json.dumps(content, indent=1) + "\n").encode())


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash(path) for path in files}


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
