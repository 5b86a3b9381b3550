"""Everything between queries, keys, values and the bits of the context becomes BinaryAttention."""

from collections.abc import Sequence
from typing import Any

from onnx import NodeProto, TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from hw.errors import HardwareFileError
from hw.finn.lower.graph import (
    attribute,
    constant,
    declare,
    hardware_node,
    integers,
    only_reader,
    producer,
    replace_nodes,
    shape_of,
)
from hw.finn.ops.base import unsigned
from hw.kernels.attention import BinaryAttention

PERMUTATIONS = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}


class InferBinaryAttention(Transformation):
    """Heads, scores, probabilities, context and its Threshold: BinaryAttention.

    The length of the sentence is the sum of the attention mask, in nodes of its own.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        changed = False
        for node in list(model.graph.node):
            if node.op_type in ("AttentionProbabilities", "ScoreThreshold"):
                _infer(model, node)
                changed = True
        return model, changed


def _infer(model: ModelWrapper, probabilities: NodeProto) -> None:
    biases = _biases(model, probabilities)
    scores = producer(model, (*biases, probabilities)[0].input[0], "MatMul")
    weighted = _next(model, probabilities, "MatMul")
    if weighted.input[0] != probabilities.output[0]:
        raise HardwareFileError(f"{weighted.name}: expected probabilities times values")
    parts = (scores.input[0], scores.input[1], weighted.input[1])
    inner: list[NodeProto] = [scores, *biases, probabilities, weighted]
    sources: list[str] = []
    sizes: set[tuple[Any, ...]] = set()
    for order, tensor in zip(PERMUTATIONS.values(), parts, strict=True):
        transpose = producer(model, tensor, "Transpose")
        split = producer(model, transpose.input[0], "Reshape")
        _check_order(transpose, order)
        batch, tokens, heads, width = shape_of(model, split.output[0])
        sources.append(split.input[0])
        sizes.add((batch, tokens, heads, width, tuple(shape_of(model, split.input[0]))))
        inner += [split, transpose]
    transpose = _next(model, weighted, "Transpose")
    _check_order(transpose, [0, 2, 1, 3])
    merge = _next(model, transpose, "Reshape")
    threshold = _next(model, merge, "Threshold")
    inner += [transpose, merge, threshold]
    ((batch, tokens, heads, width, shape),) = _one(probabilities, sizes)
    if shape != (batch, tokens, heads * width) or shape_of(model, merge.output[0]) != list(shape):
        raise HardwareFileError(f"{merge.name}: expected heads side by side, got {shape}")
    if attribute(threshold, "low") != -1:
        raise HardwareFileError(f"{threshold.name}: expected bipolar bits of the context")
    length = f"{probabilities.name}.length"
    _infer_length(model, probabilities, length, tokens)
    constants, attributes = _tables(model, probabilities)
    for bias in biases:
        constants.insert(0, bias.input[1])
        attributes["relative_positions"] = constant(model, bias.input[1]).shape[-1] // 2
    constant(model, threshold.input[1])
    kernel = BinaryAttention(tokens, heads, width, **attributes)
    node = hardware_node(
        kernel,
        [*sources, length, threshold.input[1], *constants],
        [threshold.output[0]],
    )
    replace_nodes(model, inner, [node])


def _biases(model: ModelWrapper, node: NodeProto) -> list[NodeProto]:
    """The RelativeBias between the products of queries and keys and `node`, if there is one."""
    before = model.find_producer(node.input[0])
    return [before] if before is not None and before.op_type == "RelativeBias" else []


def _tables(model: ModelWrapper, node: NodeProto) -> tuple[list[str], dict[str, Any]]:
    """Constants behind scores and mask, and the attributes that follow from them."""
    if node.op_type == "ScoreThreshold":
        constant(model, node.input[2])
        return [node.input[2]], {"sps": True}
    table, threshold = node.input[2:]
    constant(model, threshold)
    largest = int(integers(model, table).max())
    bits = {"exp_bits": max(1, (largest - 1).bit_length())}
    return [table, threshold], bits | {"probability_bits": attribute(node, "probability_bits")}


def _infer_length(model: ModelWrapper, node: NodeProto, length: str, tokens: int) -> None:
    """Nodes in front of `node` that sum its mask up."""
    mask = node.input[1]
    if mask not in {value.name for value in model.graph.input}:
        raise HardwareFileError(f"{node.name}: expected the graph's attention mask, got {mask}")
    if shape_of(model, mask) != [1, tokens]:
        raise HardwareFileError(f"{mask}: expected the shape (1, {tokens})")
    total = f"{length}.integer"
    model.set_tensor_shape(total, [1, 1], TensorProto.INT64)
    declare(model, length, [1, 1], unsigned(tokens.bit_length()))
    position = list(model.graph.node).index(node)
    for new in (
        helper.make_node("Cast", [total], [length], name=length, to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", [mask], [total], name=total, keepdims=1),
    ):
        model.graph.node.insert(position, new)


def _next(model: ModelWrapper, node: NodeProto, op_type: str) -> NodeProto:
    reader = only_reader(model, node.output[0], op_type)
    if reader is None:
        raise HardwareFileError(f"{node.output[0]}: expected {op_type} alone to read it")
    return reader


def _check_order(node: NodeProto, order: Sequence[int]) -> None:
    if list(attribute(node, "perm")) != list(order):
        raise HardwareFileError(
            f"{node.name}: expected perm = {list(order)}, got {list(attribute(node, 'perm'))}"
        )


def _one(node: NodeProto, sizes: set[Any]) -> set[Any]:
    if len(sizes) != 1:
        raise HardwareFileError(f"{node.name}: expected heads of one size, got {sorted(sizes)}")
    return sizes
