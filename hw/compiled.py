"""C++ sources of the project as shared libraries, compiled when they are first needed."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hw.cache import cache_folder

COMPILERS = ("g++", "c++", "clang++")
COMMON = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno")
# No contraction: a fused multiply-add would round differently from other engines.
EXACT = ("-ffp-contract=off", "-fno-trapping-math")
COMPILE_SECONDS = 120


def compiler() -> str | None:
    """The C++ compiler of this machine, if there is one."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def compiled(sources: Path, name: str, compiler: str, choice: Sequence[str]) -> Path:
    """The shared library of a folder's sources, compiled unless the cache holds it.

    choice: flags beside those that every library has. Raises OSError or SubprocessError where the
    compiler can't.
    """
    flags = (*COMMON, *EXACT, *choice)
    files = sorted(sources.glob("*.[ch]pp"))
    key = hashlib.sha256(_processor().encode())
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=60)
    key.update(version.stdout + repr((compiler, flags)).encode())
    for file in files:
        key.update(file.read_bytes())
    folder = cache_folder()
    library = folder / f"{name}-{key.hexdigest()[:24]}.so"
    if library.exists():
        return library
    units = [str(file) for file in files if file.suffix == ".cpp"]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # same file system: atomic rename
        objects = [str(Path(scratch) / f"{i}.o") for i in range(len(units))]
        for unit, target in zip(units, objects, strict=True):
            _run([compiler, *flags, "-c", unit, "-o", target])
        result = Path(scratch) / library.name
        _run([compiler, "-shared", *objects, "-o", str(result)])
        os.replace(result, library)
    return library


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, check=True, timeout=COMPILE_SECONDS)


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        import platform

        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
