"""The chain of streams that brings loadable weights to their matrices."""

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from hw.finn.lower.graph import declare, hardware_node
from hw.finn.ops.binary_mvu import BinaryMvu, load_count
from hw.kernels.load_chain import LoadChain

WEIGHTS = "weights"
LOAD_BITS = 72


def insert_load_chain(model: ModelWrapper) -> None:
    """Make the graph's input `weights` and its way to every loadable matrix, in graph order.

    A LoadChain per matrix hands the matrix its beats and the others on; the last matrix takes what
    is left. What an earlier folding has made is removed before.
    """
    _remove(model)
    nodes = [node for node in _matrices(model) if getCustomOp(node).kernel().loadable]
    if not nodes:
        return
    counts = [load_count(getCustomOp(node).kernel()) for node in nodes]
    left = sum(counts)
    info = helper.make_tensor_value_info(WEIGHTS, TensorProto.FLOAT, [1, left, LOAD_BITS])
    model.graph.input.append(info)
    model.set_tensor_datatype(WEIGHTS, DataType["BINARY"])
    source, links = WEIGHTS, []
    for node, count in zip(nodes[:-1], counts, strict=False):
        name = getCustomOp(node).get_nodeattr("instance")
        kernel = LoadChain(LOAD_BITS, count)
        outputs = [f"{name}.load", f"{name}.load.others"]
        for tensor, beats in zip(outputs, (count, left - count), strict=True):
            declare(model, tensor, [1, beats, LOAD_BITS], "BINARY")
        link = hardware_node(
            kernel, [source], outputs, max_tokens=1, total=left, instance=f"{name}_load"
        )
        link.name = f"{name}_load"
        links.append(link)
        node.input.insert(1, outputs[0])
        source, left = outputs[1], left - count
    nodes[-1].input.insert(1, source)
    for link in reversed(links):
        model.graph.node.insert(0, link)


def load_stream(model: ModelWrapper) -> NDArray[np.float32]:
    """The values of the input `weights`: (1, beats, 72) of {0,1}."""
    ops = [getCustomOp(node) for node in _matrices(model)]
    bits = [op.load_bits(op.constants(model)) for op in ops if op.kernel().loadable]
    return np.concatenate(bits)[None].astype(np.float32)


def _matrices(model: ModelWrapper) -> list[NodeProto]:
    return [node for node in model.graph.node if isinstance(getCustomOp(node), BinaryMvu)]


def _remove(model: ModelWrapper) -> None:
    for node in model.get_nodes_by_op_type("LoadChain"):
        model.graph.node.remove(node)
    for value in list(model.graph.input):
        if value.name == WEIGHTS:
            model.graph.input.remove(value)
    for node in _matrices(model):
        raw = getCustomOp(node).get_nodeattr("raw")
        if len(node.input) > (2 if raw else 3):
            del node.input[1]
