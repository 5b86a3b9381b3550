"""Names of the instances, from their places in the graph."""

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation

from hw.errors import HardwareFileError
from hw.finn.lower.graph import readers

FILES = {  # the attribute that names memory files, and what it is for an instance
    "BinaryMvu": ("weight_file", "{}.hex"),
    "BinaryAttention": ("name", "{}_"),
    "AddNorm": ("prefix", "{}_"),
    "ChannelThreshold": ("threshold_file", "{}.hex"),
}
PARTS = ("query", "key", "value")


class NameInstances(Transformation):
    """Follow the residual from layer to layer; name every node, and its memory files.

    What isn't a kernel of an encoder is an error, so that afterwards the graph is hardware only.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        names = _names(model)
        for node in model.graph.node:
            name = names.get(node.output[0])
            if name is None:
                raise HardwareFileError(
                    f"{node.name}: expected nodes of an encoder only, got {node.op_type}"
                )
            node.name = name
            op = getCustomOp(node)
            op.set_nodeattr("instance", name)
            if node.op_type in FILES:
                attribute, form = FILES[node.op_type]
                op.set_nodeattr(attribute, form.format(name))
        return model, False


def _names(model: ModelWrapper) -> dict[str, str]:
    """Instance names by the first outputs of the nodes."""
    head = _reader(model, model.graph.input[0].name, "ChannelThreshold")
    names = {head.output[0]: "input_threshold"}
    source, layer = head, 0
    while len(source.output) > 1:
        if len(source.output) != 4:
            raise HardwareFileError(f"{source.name}: expected bits for query, key and value")
        source = _layer(model, source, f"layer{layer}", names)
        layer += 1
    for fork in model.get_nodes_by_op_type("StreamFork"):
        names[fork.output[0]] = "length_fork"
    outputs = [output.name for output in model.graph.output]
    if outputs != [source.output[0]]:
        raise HardwareFileError(f"{outputs}: expected the last residual {source.output[0]} alone")
    return names


def _layer(model: ModelWrapper, source: NodeProto, layer: str, names: dict[str, str]) -> NodeProto:
    """Name a layer's nodes; returns its last."""
    nodes = [_reader(model, bits, "BinaryMvu") for bits in source.output[1:]]
    attention = _reader(model, nodes[0].output[0], "BinaryAttention")
    if list(attention.input)[:3] != [node.output[0] for node in nodes]:
        raise HardwareFileError(f"{attention.name}: expected queries, keys and values")
    output = _reader(model, attention.output[0], "BinaryMvu")
    inner = _norm(model, output, source)
    if len(inner.output) != 2:
        raise HardwareFileError(f"{inner.name}: expected bits for one matrix")
    up = _reader(model, inner.output[1], "BinaryMvu")
    down = _reader(model, up.output[0], "BinaryMvu")
    last = _norm(model, down, inner)
    nodes += [attention, output, inner, up, down, last]
    parts = (*PARTS, "attention", "output", "attention_norm", "up", "down", "ffn_norm")
    for node, part in zip(nodes, parts, strict=True):
        names[node.output[0]] = f"{layer}_{part}"
    return last


def _norm(model: ModelWrapper, matrix: NodeProto, source: NodeProto) -> NodeProto:
    """The AddNorm of a matrix's sums and of the residual of `source`."""
    norm = _reader(model, matrix.output[0], "AddNorm")
    if list(norm.input)[:2] != [matrix.output[0], source.output[0]]:
        raise HardwareFileError(f"{norm.name}: expected the residual of {source.name}")
    return norm


def _reader(model: ModelWrapper, tensor: str, op_type: str) -> NodeProto:
    """The one node that reads a tensor."""
    found = readers(model, tensor)
    if [node.op_type for node in found] != [op_type]:
        got = ", ".join(node.op_type for node in found) or "none"
        raise HardwareFileError(f"{tensor}: expected {op_type} to read it, got {got}")
    return found[0]
