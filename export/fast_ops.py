"""The operators of fast.onnx in C++, for ONNX Runtime, compiled when they are first needed.

They only make it faster: `fast.onnx` holds each of them as a function of standard operators too,
which gives the same integers and is what computes where there is no C++ compiler.
"""

import functools
import subprocess
from pathlib import Path

import onnx
import onnxruntime

from hw.compiled import compiled, compiler

FAST_DOMAIN = "edgebert.fast"
SOURCES = Path(__file__).parent / "kernels"
CHOICES = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ())


@functools.cache
def fast_ops_library() -> Path | None:
    """The library of the operators; None where it can't be compiled or loaded."""
    found = compiler()
    if found is None:
        return None
    for choice in CHOICES:
        try:
            library = compiled(SOURCES, "fast-ops", found, choice)
            onnxruntime.SessionOptions().register_custom_ops_library(str(library))
        except (OSError, RuntimeError, subprocess.SubprocessError):
            continue
        return library
    return None


def use_fast_ops(model: onnx.ModelProto, options: onnxruntime.SessionOptions) -> bool:
    """Let a session of these options compute a model's fused operators at once.

    Returns whether it will: whether the model has any, and the library is there. ONNX Runtime
    prefers an operator that it knows to the function in the file.
    """
    fused = any(function.domain == FAST_DOMAIN for function in model.functions)
    library = fast_ops_library() if fused else None
    if library is not None:
        options.register_custom_ops_library(str(library))
    return library is not None
