"""Residual additions, their LayerNorms and the thresholds behind become AddNorm."""

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from hw.errors import HardwareFileError
from hw.finn.lower.graph import (
    attribute,
    hardware_node,
    integers,
    producer,
    readers,
    replace_nodes,
    shape_of,
)
from hw.finn.ops.add_norm import FORMATS, formats_of
from hw.kernels.add_norm import AddNorm, NormTensors
from hw.kernels.channel_threshold import MAX_STREAMS, ChannelThreshold, value_range
from hw.kernels.checks import in_range, signed_bits

SHIFTS = (0, 30)  # of a requantization


class InferAddNorm(Transformation):
    """ResidualAdd, IntegerLayerNorm and the Thresholds of its consumers: AddNorm."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        changed = False
        for node in list(model.graph.node):
            if node.op_type == "IntegerLayerNorm":
                _infer(model, node)
                changed = True
        return model, changed


class InferInputThreshold(Transformation):
    """The Thresholds of the graph's residual input: ChannelThreshold, which hands it on."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        changed = False
        for value in model.graph.input:
            found = thresholds_behind(model, value.name)
            if found:
                _infer_input(model, value.name, found)
                changed = True
        return model, changed


def thresholds_behind(model: ModelWrapper, tensor: str) -> list[NodeProto]:
    """Its Thresholds: in the order of the attention's inputs that their bits come to."""
    found = readers(model, tensor, "Threshold")
    for node in found:
        if attribute(node, "low") != -1:
            raise HardwareFileError(f"{node.name}: expected bipolar bits of the residual")
    if len(found) > MAX_STREAMS:
        raise HardwareFileError(f"{tensor}: expected up to {MAX_STREAMS} consumers of its bits")
    return sorted(found, key=lambda node: _place(model, node))


def _place(model: ModelWrapper, threshold: NodeProto) -> int:
    """Input of the attention that a matrix's outputs come to; 0 if they go elsewhere."""
    for matrix in readers(model, threshold.output[0], "BinaryMvu"):
        for attention in readers(model, matrix.output[0], "BinaryAttention"):
            return list(attention.input).index(matrix.output[0])
    return 0


def _infer(model: ModelWrapper, norm: NodeProto) -> None:
    add = producer(model, norm.input[0], "ResidualAdd")
    residual, accumulator, bias = add.input
    gamma, beta, table = norm.input[1:]
    result = norm.output[0]
    found = thresholds_behind(model, result)
    if attribute(add, "word_bits") != attribute(norm, "word_bits"):
        raise HardwareFileError(f"{norm.name}: expected one word_bits with {add.name}")
    in_range(f"{add.name}: shift", attribute(add, "shift"), *SHIFTS)
    kind = model.get_tensor_datatype(accumulator).name
    if not kind.startswith("INT"):
        raise HardwareFileError(f"{accumulator}: expected sums of a matrix, got {kind}")
    kernel = AddNorm.for_tensors(
        NormTensors(
            multiplier=attribute(add, "multiplier"),
            shift=attribute(add, "shift"),
            bias=integers(model, bias),
            gamma=integers(model, gamma),
            beta=integers(model, beta),
            rsqrt_table=integers(model, table),
            thresholds=[integers(model, node.input[1]) for node in found],
        ),
        formats_of({name: attribute(norm, name) for name in FORMATS}),
        accumulator_bits=int(kind.removeprefix("INT")),
    )
    own = f"{result}.rsqrt_table"  # qonnx gives shared constants names by chance
    model.set_initializer(own, model.get_initializer(table))
    node = hardware_node(
        kernel,
        [accumulator, residual, bias, gamma, beta, own, *(node.input[1] for node in found)],
        [result, *(node.output[0] for node in found)],
        max_tokens=shape_of(model, result)[1],
    )
    replace_nodes(model, [norm], [node])
    for old in (add, *found):
        model.graph.node.remove(old)


def _infer_input(model: ModelWrapper, residual: str, found: list[NodeProto]) -> None:
    thresholds = [integers(model, node.input[1]) for node in found]
    _, tokens, hidden = shape_of(model, residual)
    datatype = model.get_tensor_datatype(residual)
    word = int(datatype.bitwidth())
    kernel = ChannelThreshold(
        hidden,
        word_bits=word,
        bit_streams=len(found),
        threshold_bits=signed_bits(*value_range(thresholds)),
    )
    result = f"{residual}.forked"
    model.set_tensor_shape(result, [1, tokens, hidden])
    model.set_tensor_datatype(result, datatype)
    for node in found:
        model.graph.node.remove(node)
    for reader in readers(model, residual):
        for index, name in enumerate(reader.input):
            if name == residual:
                reader.input[index] = result
    node = hardware_node(
        kernel,
        [residual, *(node.input[1] for node in found)],
        [result, *(node.output[0] for node in found)],
        max_tokens=tokens,
    )
    model.graph.node.insert(0, node)
