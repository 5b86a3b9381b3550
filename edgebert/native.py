"""Fused C++ kernels of the CPU, compiled when they are first needed.

Where there is no C++ compiler, edgebert computes the same with torch's own operators; forward
passes give the same numbers either way.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from hw.cache import cache_folder

SOURCES = Path(__file__).parent / "kernels"
COMPILERS = ("g++", "c++", "clang++")
COMMON = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno")
# No contraction: a fused multiply-add would round differently from torch's operators.
EXACT = ("-ffp-contract=off", "-fno-trapping-math")
# OpenMP's functions come from the library that torch has loaded, and with it torch's threads.
CHOICES = (("-march=native", "-fopenmp"), ("-fopenmp",), ("-march=native", "-fopenmp-simd"), ())
COMPILE_SECONDS = 120
PARALLEL_ELEMENTS = 16384  # below that, starting threads costs more than it saves

Argument = Tensor | int | float | ctypes.Structure | None

_enabled = True


def enable(on: bool) -> None:
    """Use the kernels where they can be compiled (the default), or torch's operators only."""
    global _enabled
    _enabled = on


def describe() -> str:
    """Which implementation computes on the CPU."""
    if not _enabled or _library() is None:
        return "torch operators"
    return "fused C++ kernels" + (", matrix products by the tile unit" if tile_unit() else "")


def usable(*tensors: Tensor) -> bool:
    """Whether the kernels can take these tensors: float32, contiguous and on the CPU."""
    if not _enabled or tensors[0].device.type != "cpu":
        return False
    fits = all(t.dtype == torch.float32 and t.is_contiguous() for t in tensors)
    return fits and _library() is not None


@functools.cache
def tile_unit() -> bool:
    """Whether the kernels multiply matrices by the processor's tile unit (AMX)."""
    library = _library()
    return library is not None and bool(library.has_tile_unit())


def call(name: str, *arguments: Argument, work: int) -> None:
    """Call a kernel; tensors pass as pointers. work: elements, which decides on threads."""
    threads = torch.get_num_threads() if work >= PARALLEL_ELEMENTS else 1
    _function(name)(*map(_convert, arguments), ctypes.c_int(threads))


def _convert(value: Argument) -> object:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if isinstance(value, int):
        return ctypes.c_int64(value)
    if isinstance(value, float):
        return ctypes.c_double(value)
    return None if value is None else ctypes.byref(value)


@functools.cache
def _function(name: str) -> "ctypes._NamedFuncPointer":
    library = _library()
    assert library is not None
    function: ctypes._NamedFuncPointer = getattr(library, name)
    function.restype = None
    return function


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they can't be."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return None
    for choice in CHOICES:
        try:
            return ctypes.CDLL(str(_compiled(compiler, (*COMMON, *EXACT, *choice))))
        except (OSError, RuntimeError, subprocess.SubprocessError):
            continue
    return None


def _compiled(compiler: str, flags: tuple[str, ...]) -> Path:
    """The shared library, compiled unless the cache holds it."""
    sources = sorted(SOURCES.glob("*.[ch]pp"))
    key = hashlib.sha256(_processor().encode())
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=60)
    key.update(version.stdout + repr((compiler, flags)).encode())
    for source in sources:
        key.update(source.read_bytes())
    folder = cache_folder()
    library = folder / f"kernels-{key.hexdigest()[:24]}.so"
    if library.exists():
        return library
    units = [str(source) for source in sources if source.suffix == ".cpp"]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # same file system: atomic rename
        objects = [str(Path(scratch) / f"{i}.o") for i in range(len(units))]
        for unit, name in zip(units, objects, strict=True):
            _run([compiler, *flags, "-c", unit, "-o", name])
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
