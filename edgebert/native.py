"""Fused C++ kernels of the CPU, compiled when they are first needed.

Where there is no C++ compiler, edgebert computes the same with torch's own operators; forward
passes give the same numbers either way.
"""

import ctypes
import functools
import subprocess
from pathlib import Path

import torch
from torch import Tensor

from hw.compiled import compiled, compiler

SOURCES = Path(__file__).parent / "kernels"
# OpenMP's functions come from the library that torch has loaded, and with it torch's threads.
CHOICES = (("-march=native", "-fopenmp"), ("-fopenmp",), ("-march=native", "-fopenmp-simd"), ())
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
    found = compiler()
    if found is None:
        return None
    for choice in CHOICES:
        try:
            return ctypes.CDLL(str(compiled(SOURCES, "kernels", found, choice)))
        except (OSError, RuntimeError, subprocess.SubprocessError):
            continue
    return None
