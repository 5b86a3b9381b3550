"""Execute a final graph on one sentence. Import it in a `finn_session` only."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from hw.finn.lower.lengths import LENGTH
from hw.finn.lower.load import WEIGHTS, load_stream
from hw.finn.ops import register_ops

Integers = NDArray[np.int64]


def execute(graph: Path, residual: Integers, names: Sequence[str]) -> dict[str, Integers]:
    """The tensors of those names that a graph has, without what lies behind the sentence.

    Args:
        graph: from `hw.finn.streams.build_graph`.
        residual: `embedding.residual` (n, hidden).
    """
    register_ops()
    model = ModelWrapper(str(graph))
    count = len(residual)
    inputs = {}
    for value in model.graph.input:
        inputs[value.name] = np.zeros(model.get_tensor_shape(value.name), dtype=np.float32)
        if value.name == LENGTH:
            inputs[value.name][:] = count
        elif value.name == WEIGHTS:
            inputs[value.name] = load_stream(model)
        else:
            inputs[value.name][0, :count] = residual
    context = execute_onnx(model, inputs, return_full_exec_context=True)
    return {name: context[name][0, :count].astype(np.int64) for name in names if name in context}
