"""FIFO insertion that knows which output of a node it follows.

FINN's InsertFIFO asks a node for its folded shape and type without saying of which output, so a
FIFO behind a second output gets the first one's: it stops where their shapes differ, and where
only the types differ it makes FIFOs of a wrong width without a word.
"""

from typing import Any

from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from onnx import NodeProto, TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation

from hw.finn.adapter import DOMAIN

SHALLOWEST = 2  # below it FINN's FIFO can't be built


class InsertStreamFifo(Transformation):
    """A StreamingFIFO on every stream between two nodes, as deep as the deeper of its ends asks.

    The ends are `outFIFODepths[output]` of the node before and `inFIFODepths[input]` of the one
    behind. FINN's InsertFIFO, run afterwards, adds those of the graph's own inputs and outputs.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        """Insert; a second time changes nothing.

        Raises:
            ValueError: a tensor that several nodes read, or ends that don't fit: run InsertDWC.
        """
        changed = False
        for node in list(model.graph.node):
            for index, tensor in enumerate(node.output):
                readers = [other for other in model.graph.node if tensor in other.input]
                if len(readers) > 1:
                    names = ", ".join(reader.name for reader in readers)
                    raise ValueError(f"{tensor}: expected one reader, got {names}; add a fork")
                if readers and _is_node(node) and _is_node(readers[0]):
                    _insert(model, node, index, readers[0])
                    changed = True
        return model, changed


def _is_node(node: NodeProto) -> bool:
    return node.domain.startswith(DOMAIN) and not node.op_type.startswith("StreamingFIFO")


def _insert(model: ModelWrapper, node: NodeProto, index: int, reader: NodeProto) -> None:
    tensor = node.output[index]
    position = list(reader.input).index(tensor)
    before, behind = getCustomOp(node), getCustomOp(reader)
    folded = _integers(before.get_folded_output_shape(index))
    wanted = _integers(behind.get_folded_input_shape(position))
    if folded[-1] != wanted[-1]:
        raise ValueError(
            f"{tensor}: expected equal lanes, got {folded[-1]} of {node.name} "
            f"and {wanted[-1]} of {reader.name}"
        )
    depths = (_depth(before, "outFIFODepths", index), _depth(behind, "inFIFODepths", position))
    put_fifo(model, reader, position, max(*depths, SHALLOWEST))


def put_fifo(model: ModelWrapper, reader: NodeProto, position: int, depth: int) -> NodeProto:
    """Put a StreamingFIFO in front of an input of a node, of that input's shape and type."""
    tensor, op = reader.input[position], getCustomOp(reader)
    shape = _integers(op.get_normal_input_shape(position))
    datatype = op.get_input_datatype(position)
    between = helper.make_tensor_value_info(
        model.make_new_valueinfo_name(), TensorProto.FLOAT, shape
    )
    model.graph.value_info.append(between)
    model.set_tensor_datatype(between.name, datatype)
    fifo = helper.make_node(
        "StreamingFIFO",
        [tensor],
        [between.name],
        domain=DOMAIN,
        backend="fpgadataflow",
        depth=depth,
        folded_shape=_integers(op.get_folded_input_shape(position)),
        normal_shape=shape,
        dataType=datatype.name,
    )
    reader.input[position] = between.name
    node = model.find_producer(tensor)
    place = 0 if node is None else list(model.graph.node).index(node) + 1
    model.graph.node.insert(place, fifo)
    inserted: NodeProto = model.find_producer(between.name)
    return inserted


def _depth(op: HWCustomOp, name: str, index: int) -> int:
    depths: list[int] = op.get_nodeattr(name)
    if index >= len(depths):
        node = op.onnx_node.name
        raise ValueError(f"{node}: expected {name} of each stream, got {depths} at {index}")
    return depths[index]


def _integers(shape: Any) -> list[int]:
    return [int(size) for size in shape]
