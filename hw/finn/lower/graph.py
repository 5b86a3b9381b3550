"""What the passes ask of a graph, with an error of one line where it isn't what they expect."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from hw.errors import HardwareFileError
from hw.finn.adapter import DOMAIN
from hw.finn.ops.base import attribute_name
from hw.kernels.kernel import Kernel

Tensor = NDArray[Any]


def constant(model: ModelWrapper, name: str) -> Tensor:
    """The value of an initializer that holds integers.

    Raises:
        HardwareFileError: there is none, or it holds something else.
    """
    value: Tensor | None = model.get_initializer(name)
    if value is None:
        raise HardwareFileError(f"{name}: expected a constant, got none")
    if not np.array_equal(value, np.rint(value)):
        raise HardwareFileError(f"{name}: expected integers, got fractions")
    return value


def integers(model: ModelWrapper, name: str) -> NDArray[np.int64]:
    """`constant` as int64."""
    return constant(model, name).astype(np.int64)


def attribute(node: NodeProto, name: str) -> Any:
    """The value of an attribute.

    Raises:
        HardwareFileError: the node has none of that name.
    """
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    raise HardwareFileError(f"{node.name}: expected the attribute {name}, got none")


def producer(model: ModelWrapper, tensor: str, op_type: str) -> NodeProto:
    """The node that gives a tensor.

    Raises:
        HardwareFileError: another kind of node, or none.
    """
    node: NodeProto | None = model.find_producer(tensor)
    if node is None or node.op_type != op_type:
        got = "none" if node is None else node.op_type
        raise HardwareFileError(f"{tensor}: expected the output of {op_type}, got {got}")
    return node


def readers(model: ModelWrapper, tensor: str, op_type: str | None = None) -> list[NodeProto]:
    """The nodes that read a tensor, in the graph's order; of one kind if it is given."""
    return [
        node
        for node in model.graph.node
        if tensor in node.input and op_type in (None, node.op_type)
    ]


def only_reader(model: ModelWrapper, tensor: str, op_type: str) -> NodeProto | None:
    """The node of that kind that alone reads a tensor inside the graph, or None."""
    nodes = readers(model, tensor)
    inside = tensor not in {output.name for output in model.graph.output}
    return nodes[0] if inside and len(nodes) == 1 and nodes[0].op_type == op_type else None


def shape_of(model: ModelWrapper, tensor: str) -> list[int]:
    """The shape of a tensor.

    Raises:
        HardwareFileError: it is not known.
    """
    shape = model.get_tensor_shape(tensor)
    if shape is None:
        raise HardwareFileError(f"{tensor}: expected a shape, got none")
    return [int(size) for size in shape]


def hardware_node(
    kernel: Kernel, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
) -> NodeProto:
    """A node of a kernel's operator, not yet in a graph.

    Args:
        attributes: those that aren't fields of the kernel.
    """
    node = helper.make_node(
        type(kernel).__name__,
        list(inputs),
        list(outputs),
        name=outputs[0],
        domain=DOMAIN,
        backend="fpgadataflow",
    )
    fields = {attribute_name(field): value for field, value in vars(kernel).items()}
    for name, value in (fields | attributes).items():
        plain = int(value) if isinstance(value, bool) else value
        node.attribute.append(helper.make_attribute(name, plain))
    return node


def replace_nodes(model: ModelWrapper, old: Sequence[NodeProto], new: Sequence[NodeProto]) -> None:
    """Put nodes in the place of the last of others."""
    nodes = model.graph.node
    position = max(list(nodes).index(node) for node in old)
    for offset, node in enumerate(new):
        nodes.insert(position + 1 + offset, node)
    for node in old:
        nodes.remove(node)


def declare(model: ModelWrapper, tensor: str, shape: Sequence[int], datatype: str) -> None:
    """Give a tensor its shape and data type."""
    model.set_tensor_shape(tensor, list(shape), TensorProto.FLOAT)
    model.set_tensor_datatype(tensor, DataType[datatype])
