"""Executes a graph on sentences after every pass, and compares it with ONNX Runtime."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import ArrayLike, NDArray
from onnx import FunctionProto, GraphProto, NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.base import CustomOp
from qonnx.custom_op.registry import add_op_to_domain

from hw.errors import HardwareFileError
from hw.finn.lower.lengths import LENGTH
from hw.finn.lower.load import WEIGHTS, load_stream

Tensor = NDArray[Any]


class LoweringError(AssertionError):
    """A pass changed a number."""


class Checker:
    """Compares every tensor that a graph still has with what ONNX Runtime gave on the export.

    Attributes:
        passes: names of the passes that were checked.
    """

    def __init__(self, encoder: Path, residuals: Sequence[ArrayLike], seed: int = 0) -> None:
        """Run the export.

        Args:
            encoder: encoder.onnx.
            residuals: `embedding.residual` (n, hidden) of every sentence.
            seed: of what padding holds, which must not matter.
        """
        self.passes: list[str] = []
        self._rng = np.random.default_rng(seed)
        self._sentences = [np.asarray(residual, dtype=np.float32) for residual in residuals]
        model = onnx.load(str(encoder))
        self._residual, self._mask = (value.name for value in model.graph.input)
        self._expected = [_run(model, residual) for residual in self._sentences]

    def __call__(self, name: str, model: ModelWrapper) -> None:
        """Execute the graph on every sentence.

        Raises:
            LoweringError: names the pass, the tensor, and where it differs first.
        """
        self.passes.append(name)
        register_functions(model.model.functions)
        (_, tokens, hidden) = model.get_tensor_shape(self._residual)
        for sentence, expected in zip(self._sentences, self._expected, strict=True):
            count = len(sentence)
            if count > tokens:
                raise ValueError(f"expected sentences of up to {tokens} tokens, got {count}")
            padded = self._rng.integers(-100, 100, (1, tokens, hidden)).astype(np.float32)
            padded[0, :count] = sentence
            inputs = {self._residual: padded, self._mask: _mask(count, tokens)}
            inputs[LENGTH] = np.full((1, 1), count, dtype=np.float32)
            known = {value.name for value in model.graph.input}
            if WEIGHTS in known:
                inputs[WEIGHTS] = load_stream(model)
            given = {key: value for key, value in inputs.items() if key in known}
            context = execute_onnx(model, given, return_full_exec_context=True)
            made = {tensor for node in model.graph.node for tensor in node.output}
            for tensor, value in expected.items():
                if tensor in made:
                    _compare(name, tensor, context[tensor][0], value)


def register_functions(functions: Sequence[FunctionProto]) -> None:
    """Let qonnx execute the operators that a file defines as functions, by ONNX Runtime."""
    for function in functions:
        if not function.domain.startswith("qonnx"):
            kind = type(function.name, (_Function,), {"function": function})
            add_op_to_domain(function.domain, kind)


class _Function(CustomOp):
    """An operator with a body of standard operators."""

    function: FunctionProto

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {name: ("i", True, 0) for name in self.function.attribute}

    def make_shape_compatible_op(self, model: ModelWrapper) -> NodeProto:
        raise NotImplementedError

    def infer_node_datatype(self, model: ModelWrapper) -> None:
        """The passes annotate types."""

    def verify_node(self) -> None:
        """ONNX Runtime verifies it."""

    def execute_node(self, context: dict[str, Tensor], graph: GraphProto) -> None:
        node = self.onnx_node
        values = {name: context[name] for name in node.input}
        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in values.items()
        ]
        outputs = [helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)]
        imports = [helper.make_opsetid(self.function.domain, 1), *self.function.opset_import]
        model = helper.make_model(
            helper.make_graph([node], "node", inputs, outputs),
            functions=[self.function],
            opset_imports=imports,
            ir_version=8,
        )
        session = _kept_session(model.SerializeToString())
        (context[node.output[0]],) = session.run(None, values)


def _run(model: onnx.ModelProto, residual: Tensor) -> dict[str, Tensor]:
    """Every described tensor of the export for one sentence, without the batch axis."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(copy.graph.value_info)
    del copy.graph.value_info[:]
    names = [value.name for value in copy.graph.output]
    first, mask = (value.name for value in copy.graph.input)
    given = {first: residual[None], mask: _mask(len(residual), len(residual))}
    try:
        results = _session(copy).run(names, given)
    except Exception as error:  # onnxruntime's errors have no common base but this one
        line = " ".join(str(error).split())
        raise HardwareFileError(f"expected an encoder that runs, got {line}") from None
    values = {name: value[0] for name, value in zip(names, results, strict=True)}
    order = [tensor for node in model.graph.node for tensor in node.output]
    return {name: values[name] for name in order if name in values}


@lru_cache(maxsize=256)
def _kept_session(model: bytes) -> Any:
    """A session for an operator's every execution: starting one takes most of the time."""
    return _session(onnx.load_from_string(model))


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _mask(count: int, tokens: int) -> Tensor:
    return (np.arange(tokens) < count).astype(np.int64)[None]


def _compare(name: str, tensor: str, found: Tensor, expected: Tensor) -> None:
    if expected.ndim == 3:  # heads
        count = expected.shape[-1]
        found = found[:, :count, :count]
    else:
        found = found[: len(expected)]
    if found.shape != expected.shape:
        raise LoweringError(
            f"{name}: {tensor}: expected the shape {expected.shape}, got {found.shape}"
        )
    for index in _differences(found, expected):
        raise LoweringError(
            f"{name}: {tensor}{list(index)}: expected {expected[index]:g}, got {found[index]:g}"
        )


def _differences(found: Tensor, expected: Tensor) -> Iterator[tuple[int, ...]]:
    for index in np.argwhere(found != expected):
        yield tuple(int(i) for i in index)
