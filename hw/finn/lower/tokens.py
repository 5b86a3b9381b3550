"""A fixed length of sentences, and the data types of what flows."""

import onnx
from onnx import shape_inference
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from hw.errors import HardwareFileError
from hw.finn.lower.graph import attribute


class FixTokens(Transformation):
    """Give every tensor its shape for one sentence of `max_tokens` tokens, shorter ones padded."""

    def __init__(self, max_tokens: int) -> None:
        super().__init__()
        self.sizes = {"batch": 1, "tokens": max_tokens}

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = model.graph
        for value in (*graph.input, *graph.output, *graph.value_info):
            for axis in value.type.tensor_type.shape.dim:
                if axis.dim_param and axis.dim_param not in self.sizes:
                    raise HardwareFileError(
                        f"{value.name}: expected the axes batch and tokens, got {axis.dim_param}"
                    )
                if axis.dim_param:
                    axis.dim_value = self.sizes[axis.dim_param]
        try:
            fixed = shape_inference.infer_shapes(model.model, strict_mode=True)
        except shape_inference.InferenceError as error:
            line = " ".join(str(error).split())
            raise HardwareFileError(f"expected shapes that fit, got {line}") from None
        return ModelWrapper(fixed), False


class AnnotateTypes(Transformation):
    """Say of every residual, bit and probability which integers it holds."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in model.graph.node:
            datatype = _datatype(node)
            if datatype:
                model.set_tensor_datatype(node.output[0], DataType[datatype])
        return model, False


def _datatype(node: onnx.NodeProto) -> str:
    if node.op_type == "Threshold":
        low = attribute(node, "low")
        if low not in (-1, 0):
            raise HardwareFileError(f"{node.name}: expected low = -1 or 0, got {low}")
        return "BIPOLAR" if low else "BINARY"
    if node.op_type in ("AttentionProbabilities", "ScoreThreshold"):
        return "BINARY"
    if node.op_type in ("ResidualAdd", "IntegerLayerNorm"):
        return f"INT{attribute(node, 'word_bits')}"
    return ""
