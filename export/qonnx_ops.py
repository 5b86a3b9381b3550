"""The project's operators for qonnx, computed by the NumPy reference.

qonnx executes a graph node by node and does not look into model-local functions, so it needs
a class per operator of the domain `edgebert.ops`. `register` adds them; importing does not.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.base import CustomOp
from qonnx.custom_op.registry import add_op_to_domain
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes

from export.onnx_model import BATCH, TOKENS
from export.onnx_ops import DOMAIN
from hw import reference
from hw.layout import Formats

Tensor = NDArray[Any]


class _Op(CustomOp):
    """An operator whose output has the shape of its first input."""

    attributes: tuple[str, ...] = ()  # integers, all of them required

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {name: ("i", True, 0) for name in self.attributes}

    def integer(self, name: str) -> int:
        value = self.get_nodeattr(name)
        assert isinstance(value, int)
        return value

    def make_shape_compatible_op(self, model: ModelWrapper) -> onnx.NodeProto:
        node = self.onnx_node
        return helper.make_node("Cast", [node.input[0]], [node.output[0]], to=TensorProto.FLOAT)

    def infer_node_datatype(self, model: ModelWrapper) -> None:
        model.set_tensor_datatype(self.onnx_node.output[0], DataType[self.data_type()])

    def execute_node(self, context: dict[str, Tensor], graph: onnx.GraphProto) -> None:
        inputs = [context[name].astype(np.int64) for name in self.onnx_node.input]
        context[self.onnx_node.output[0]] = self.compute(*inputs).astype(np.float32)

    def verify_node(self) -> None:
        for name in self.attributes:
            self.get_nodeattr(name)

    def data_type(self) -> str:
        """qonnx's name of the output's data type."""
        raise NotImplementedError

    def compute(self, *inputs: Tensor) -> Tensor:
        """The output, from inputs that all are int64."""
        raise NotImplementedError


class Threshold(_Op):
    """1 where x >= threshold, else `low`."""

    attributes = ("low",)

    def data_type(self) -> str:
        return "BIPOLAR" if self.integer("low") == -1 else "BINARY"

    def compute(self, *inputs: Tensor) -> Tensor:
        x, threshold = inputs
        binarize = reference.bipolar if self.integer("low") == -1 else reference.binary
        return binarize(x, threshold)


class RelativeBias(_Op):
    """Scores and twice what each head adds for the distance from query to key."""

    def data_type(self) -> str:
        return "INT32"

    def compute(self, *inputs: Tensor) -> Tensor:
        scores, bias = inputs
        return scores + 2 * reference.relative_bias(bias, scores.shape[-1])


class AttentionProbabilities(_Op):
    """Thresholded softmax of the keys that the mask keeps; 0 for the others."""

    attributes = ("probability_bits",)

    def data_type(self) -> str:
        return "BINARY"

    def compute(self, *inputs: Tensor) -> Tensor:
        scores, mask, exp_table, threshold = inputs
        result = np.zeros_like(scores)
        for sentence, keep in enumerate(mask > 0):
            result[sentence][..., keep] = reference.softmax_probabilities(
                scores[sentence][..., keep],
                exp_table,
                threshold,
                self.integer("probability_bits"),
            )
        return result


class ScoreThreshold(_Op):
    """1 where a score reaches its head's threshold and the mask keeps the key."""

    def data_type(self) -> str:
        return "BINARY"

    def compute(self, *inputs: Tensor) -> Tensor:
        scores, mask, threshold = inputs
        bits = [reference.sps_probabilities(sentence, threshold) for sentence in scores]
        return np.where(mask[:, None, None, :] > 0, np.stack(bits), 0)


class Requantize(_Op):
    """round_shift(accumulator * multiplier + bias, shift), clipped."""

    attributes = ("multiplier", "shift", "minimum", "maximum")

    def data_type(self) -> str:
        bound = max(-self.integer("minimum"), self.integer("maximum") + 1)
        return f"INT{(bound - 1).bit_length() + 1}"

    def compute(self, *inputs: Tensor) -> Tensor:
        accumulator, bias = inputs
        multiplier, shift = (np.array(self.integer(name)) for name in ("multiplier", "shift"))
        result = reference.requantize(accumulator, multiplier, bias, shift)
        return np.clip(result, self.integer("minimum"), self.integer("maximum"))


class ResidualAdd(_Op):
    """Add a requantized accumulator to the residual stream, saturating."""

    attributes = ("multiplier", "shift", "word_bits")

    def data_type(self) -> str:
        return f"INT{self.integer('word_bits')}"

    def compute(self, *inputs: Tensor) -> Tensor:
        residual, accumulator, bias = inputs
        multiplier, shift = (np.array(self.integer(name)) for name in ("multiplier", "shift"))
        update = reference.requantize(accumulator, multiplier, bias, shift)
        return reference.saturate(residual + update, self.integer("word_bits"))


class IntegerLayerNorm(_Op):
    """LayerNorm on integers; the attributes are formats of the configuration."""

    attributes = (
        "rsqrt_index_bits",
        "norm_fraction_bits",
        "gamma_fraction_bits",
        "fraction_bits",
        "word_bits",
    )

    def data_type(self) -> str:
        return f"INT{self.integer('word_bits')}"

    def compute(self, *inputs: Tensor) -> Tensor:
        x, gamma, beta, table = inputs
        unused = dict.fromkeys(Formats.__dataclass_fields__, 0)
        formats = Formats(**unused | {name: self.integer(name) for name in self.attributes})
        return reference.layer_norm(x, gamma, beta, table, formats)


OPS = (
    AttentionProbabilities,
    IntegerLayerNorm,
    RelativeBias,
    Requantize,
    ResidualAdd,
    ScoreThreshold,
    Threshold,
)


def register() -> None:
    """Let qonnx execute the project's operators and infer their data types."""
    for op in OPS:
        add_op_to_domain(DOMAIN, op)


def load(model: onnx.ModelProto, batch: int, tokens: int) -> ModelWrapper:
    """A model for qonnx: registered operators, fixed axes, inferred shapes and data types.

    qonnx knows no dynamic axes, so a wrapper executes one size of input only.
    """
    register()
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    sizes = {BATCH: batch, TOKENS: tokens}
    graph = fixed.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = sizes[axis.dim_param]
    wrapper = ModelWrapper(fixed).transform(InferShapes()).transform(InferDataTypes())
    assert isinstance(wrapper, ModelWrapper)
    return wrapper


def execute(wrapper: ModelWrapper, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor of the graph by its name, from the inputs."""
    context: dict[str, Tensor] = execute_onnx(wrapper, inputs, return_full_exec_context=True)
    return context
