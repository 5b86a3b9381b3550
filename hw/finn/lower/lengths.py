"""One stream of lengths in place of the attention mask."""

from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from hw.errors import HardwareFileError
from hw.finn.lower.graph import declare, hardware_node, producer, readers, shape_of
from hw.kernels.stream import StreamFork

LENGTH = "length"


class InferLengths(Transformation):
    """The sums of the mask become copies of the graph's input `length` (1, 1)."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        attentions = model.get_nodes_by_op_type("BinaryAttention")
        if not attentions or attentions[0].input[3] == LENGTH or _forked(model):
            return model, False
        lengths = [node.input[3] for node in attentions]
        casts = [producer(model, length, "Cast") for length in lengths]
        sums = [producer(model, cast.input[0], "ReduceSum") for cast in casts]
        masks = {node.input[0] for node in sums}
        if len(masks) != 1 or len(readers(model, (mask := masks.pop()))) != len(sums):
            raise HardwareFileError("expected one attention mask, read by attentions only")
        _, tokens = shape_of(model, sums[0].input[0])
        for node in (*casts, *sums):
            model.graph.node.remove(node)
        (value,) = (value for value in model.graph.input if value.name == mask)
        model.graph.input.remove(value)
        model.graph.input.append(helper.make_tensor_value_info(LENGTH, TensorProto.FLOAT, [1, 1]))
        datatype = model.get_tensor_datatype(lengths[0])
        model.set_tensor_datatype(LENGTH, datatype)
        if len(lengths) == 1:
            attentions[0].input[3] = LENGTH
            return model, True
        for length in lengths:
            declare(model, length, [1, 1], datatype.name)
        kernel = StreamFork(int(DataType[datatype.name].bitwidth()), len(lengths))
        fork = hardware_node(kernel, [LENGTH], lengths, max_tokens=tokens)
        first = min(list(model.graph.node).index(node) for node in attentions)
        model.graph.node.insert(min(first, 1), fork)
        return model, True


def _forked(model: ModelWrapper) -> bool:
    return bool(model.get_nodes_by_op_type("StreamFork"))
