"""Batches of padded sentences for engines, and comparison with the reference's sentences."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from hw import reference
from hw.integer_model import IntegerModel

Sentence = tuple[list[int], list[int]]
Tensors = dict[str, NDArray[Any]]


def padded(sentences: list[Sentence], tokens: int) -> Tensors:
    """The graph's inputs; padding holds token 1, which must not matter."""
    shape = (len(sentences), tokens)
    inputs = {
        "input_ids": np.ones(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
        "attention_mask": np.zeros(shape, np.int64),
    }
    for row, (ids, types) in enumerate(sentences):
        inputs["input_ids"][row, : len(ids)] = ids
        inputs["token_type_ids"][row, : len(ids)] = types
        inputs["attention_mask"][row, : len(ids)] = 1
    return inputs


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run_all(model: onnx.ModelProto, inputs: Tensors) -> Tensors:
    """Every described value and every output of a graph, from ONNX Runtime."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(copy.graph.value_info)
    del copy.graph.value_info[:]
    names = [value.name for value in copy.graph.output]
    return dict(zip(names, session(copy).run(names, inputs), strict=True))


def first_difference(model: IntegerModel, sentences: list[Sentence], values: Tensors) -> str:
    """Name of the first tensor that is not the reference's, or "" if every one of them is."""
    for row, (ids, types) in enumerate(sentences):
        n = len(ids)
        for name, expected in reference.run(model, ids, types).items():
            value = values[name][row]
            if expected.ndim == 3:  # heads
                value = value[:, :n, :n]
            elif expected.ndim == 2:
                value = value[:n]
            if value.shape != expected.shape or not np.array_equal(value, expected):
                return f"sentence {row}, {name}"
    return ""
