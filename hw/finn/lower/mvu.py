"""Products with a constant matrix become BinaryMvu."""

import numpy as np
from onnx import NodeProto
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from hw.errors import HardwareFileError
from hw.finn.lower.graph import (
    attribute,
    constant,
    declare,
    hardware_node,
    only_reader,
    readers,
    replace_nodes,
    shape_of,
)
from hw.kernels.mvu import BinaryMvu

INPUTS = {"BIPOLAR": "bipolar", "BINARY": "binary"}


class InferBinaryMvu(Transformation):
    """BipolarQuant, MatMul, Threshold: BinaryMvu. Without the Threshold: its raw sums."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        changed = False
        for node in list(model.graph.node):
            if node.op_type != "MatMul":
                continue
            quantizer = model.find_producer(node.input[1])
            if quantizer is not None and quantizer.op_type == "BipolarQuant":
                _infer(model, node, quantizer)
                changed = True
        return model, changed


def _infer(model: ModelWrapper, product: NodeProto, quantizer: NodeProto) -> None:
    weight = _bake(model, quantizer)
    x, sums = product.input[0], product.output[0]
    kind = model.get_tensor_datatype(x).name
    if kind not in INPUTS:
        raise HardwareFileError(f"{x}: expected bits in front of a binary matrix, got {kind}")
    (_, tokens, _), (mw, mh) = shape_of(model, x), model.get_initializer(weight).shape
    threshold = only_reader(model, sums, "Threshold")
    results = "bipolar"
    if threshold is not None:
        constant(model, threshold.input[1])
        results = "bipolar" if attribute(threshold, "low") == -1 else "binary"
    old = [product] if threshold is None else [product, threshold]
    kernel = BinaryMvu(mw, mh, 1, 1, raw=threshold is None, inputs=INPUTS[kind])
    node = hardware_node(
        kernel,
        [x, weight, *([] if threshold is None else [threshold.input[1]])],
        [old[-1].output[0]],
        max_tokens=tokens,
        results=results,
    )
    replace_nodes(model, old, [node])
    if kernel.raw:
        declare(model, sums, [1, tokens, mh], f"INT{kernel.output_bits}")


def _bake(model: ModelWrapper, quantizer: NodeProto) -> str:
    """Put the matrix of signs in the place of its quantizer; returns its name."""
    latent, scale = quantizer.input
    values, name = constant(model, latent), str(quantizer.output[0])
    if not np.array_equal(constant(model, scale), np.ones(())):
        raise HardwareFileError(f"{name}: expected the scale 1, got {constant(model, scale)}")
    if values.ndim != 2:
        raise HardwareFileError(f"{name}: expected a matrix, got the shape {values.shape}")
    model.graph.node.remove(quantizer)
    model.set_initializer(name, np.where(values >= 0, 1, -1).astype(np.float32))
    model.set_tensor_datatype(name, DataType["BIPOLAR"])
    if not readers(model, latent):
        model.del_initializer(latent)
    return name
