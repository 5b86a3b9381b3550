"""What the operators share: all that follows from the kernel of hw/kernels.

The attributes of an operator are the fields of its kernel's dataclass. The kernel tells its
streams, parameters and memory files; the operator adds what FINN asks about tensors: shapes, data
types, and how to compute them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper
from qonnx.core.datatype import BaseDataType, DataType
from qonnx.core.modelwrapper import ModelWrapper

from hw.errors import HardwareFileError
from hw.kernels.kernel import Kernel, StreamPort
from hw.resources import Resources, resources_of

Integers = NDArray[np.int64]
Typed = tuple[tuple[int, ...], str]  # shape and qonnx's name of the data type
StreamTypes = dict[tuple[str, int | None], Typed]  # by port and copy
FINN_NAMES = {"pe": "PE", "simd": "SIMD"}  # of the fields that FINN has names for
KINDS: dict[Any, tuple[str, int | str]] = {int: ("i", 0), bool: ("i", 0), str: ("s", "")}


@dataclass(frozen=True)
class TensorType:
    """What a node's input or output is.

    Attributes:
        shape: of the whole tensor.
        datatype: qonnx's name.
        lanes: elements of a beat, neighbours on the last axis; 0 for a constant.
    """

    shape: tuple[int, ...]
    datatype: str
    lanes: int = 0

    @property
    def bits(self) -> int:
        """Bits of an element."""
        return int(DataType[self.datatype].bitwidth())

    @property
    def folded_shape(self) -> list[int]:
        """The shape with its last axis as beats and lanes."""
        return [*self.shape[:-1], self.shape[-1] // self.lanes, self.lanes]


def attribute_name(field: str) -> str:
    """The node attribute of a field of a kernel."""
    return FINN_NAMES.get(field, field)


def signed(bits: int) -> str:
    """qonnx's name of a signed integer."""
    return f"INT{bits}"


def unsigned(bits: int) -> str:
    """qonnx's name of an unsigned integer."""
    return "BINARY" if bits == 1 else f"UINT{bits}"


def _field_types(kernel_class: type[Any]) -> dict[str, tuple[str, bool, int | str]]:
    """FINN's descriptions of the attributes that are fields of a kernel."""
    types = {}
    for field in fields(kernel_class):
        kind, empty = KINDS[field.type]
        needed = field.default is MISSING
        default: Any = empty if needed else field.default
        types[attribute_name(field.name)] = (kind, needed, type(empty)(default))
    return types


class KernelOp(HWCustomOp):
    """A kernel of hw/kernels as a node of FINN's graph.

    Inputs are the streams that the kernel takes, in its order, then constants; outputs are the
    streams that it gives. `instance` is the name that it keeps when FINN renames nodes, and
    `max_tokens` the length of the tensors' token axis.
    """

    kernel_class: ClassVar[type[Any]]
    field_types: ClassVar[dict[str, tuple[str, bool, int | str]]]  # of its attributes
    folding: ClassVar[tuple[str, ...]]  # fields that change the hardware and no result
    fifo_ports: ClassVar[tuple[str, ...]]  # inputs that a FIFO stands in front of

    def __init_subclass__(cls) -> None:
        if hasattr(cls, "kernel_class"):
            cls.field_types = _field_types(cls.kernel_class)

    def get_nodeattr_types(self) -> dict[str, Any]:
        mine: dict[str, Any] = {
            "instance": ("s", False, ""),
            "max_tokens": ("i", True, 0),
            "inFIFODepths": ("ints", False, [2] * 8),
            "outFIFODepths": ("ints", False, [2] * 8),
        }
        return {**super().get_nodeattr_types(), **mine, **self.field_types}

    # What a subclass defines.

    def stream_types(self) -> StreamTypes:
        """Shape and data type of every used stream, by its port and copy."""
        raise NotImplementedError

    def constant_types(self) -> dict[str, Typed]:
        """Shape and data type of the constants, in the order of the inputs."""
        return {}

    def compute(
        self, streams: Sequence[Integers], constants: Mapping[str, Integers]
    ) -> list[Integers]:
        """The outputs, all tensors without their batch axis."""
        raise NotImplementedError

    def memory_files(self, constants: Mapping[str, Integers]) -> dict[str, str]:
        """The kernel's memory files."""
        return {}

    def cycles(self, tokens: int) -> int:
        """Cycles from sentence to sentence of that length, in a steady state without stalls."""
        raise NotImplementedError

    def tokens_of(self, context: Mapping[str, Any]) -> int:
        """Tokens of the sentence that the node's inputs hold, as far as they tell."""
        return self.max_tokens

    def operations(self) -> dict[str, int]:
        """Operations on a sentence of `max_tokens`, by FINN's names."""
        return {}

    # What follows from it.

    def kernel(self) -> Any:
        """The kernel of the attributes.

        Raises:
            ParameterError: attributes that it can't have.
        """
        given = {entry.name: entry for entry in self.onnx_node.attribute}
        values = {}
        for field in fields(self.kernel_class):
            entry = given.get(attribute_name(field.name))
            if entry is not None:  # get_nodeattr would look through all types for each
                value = helper.get_attribute_value(entry)
                text = value.decode() if isinstance(value, bytes) else value
                values[field.name] = bool(text) if field.type is bool else text
        return self.kernel_class(**values)

    def set_kernel(self, kernel: Kernel) -> None:
        """Set the attributes to a kernel's."""
        for field, value in vars(kernel).items():
            self.set_nodeattr(
                attribute_name(field), value if isinstance(value, str) else int(value)
            )

    @property
    def max_tokens(self) -> int:
        """Length of the tensors' token axis."""
        return int(self.get_nodeattr("max_tokens"))

    def inputs(self) -> list[StreamPort]:
        """The streams of the first inputs."""
        return [s for s in self.kernel().streams() if s.enters and s.used]

    def outputs(self) -> list[StreamPort]:
        """The streams of the outputs."""
        return [s for s in self.kernel().streams() if not s.enters and s.used]

    def input_types(self) -> list[TensorType]:
        """Of every input, constants too."""
        constants = [TensorType(*entry) for entry in self.constant_types().values()]
        return self._types(self.inputs()) + constants

    def output_types(self) -> list[TensorType]:
        """Of every output."""
        return self._types(self.outputs())

    def _types(self, streams: list[StreamPort]) -> list[TensorType]:
        known = self.stream_types()
        types = []
        for stream in streams:
            shape, datatype = known[stream.name, stream.copy]
            lanes = stream.width // int(DataType[datatype].bitwidth())
            types.append(TensorType(shape, datatype, lanes))
        return types

    def constants(self, model: ModelWrapper) -> dict[str, Integers]:
        """The node's constants, from the graph.

        Raises:
            HardwareFileError: a constant that is missing, of another shape, or no integers.
        """
        values = {}
        types = self.constant_types()
        names = list(self.onnx_node.input)[len(self.inputs()) :]
        for (name, (shape, _)), tensor in zip(types.items(), names, strict=True):
            value = model.get_initializer(tensor)
            if value is None:
                raise HardwareFileError(f"{tensor}: expected a constant, got none")
            if value.shape != shape or not np.array_equal(value, np.rint(value)):
                raise HardwareFileError(
                    f"{tensor}: expected integers of shape {shape}, got {value.dtype} {value.shape}"
                )
            values[name] = value.astype(np.int64)
        return values

    def memories(self, model: ModelWrapper) -> dict[str, str]:
        """Text of the kernel's memory files by name.

        Raises:
            HardwareFileError, ParameterError: constants that the kernel can't have.
        """
        return self.memory_files(self.constants(model))

    # What FINN asks.

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        return DataType[self.input_types()[ind].datatype]

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        return DataType[self.output_types()[ind].datatype]

    def get_normal_input_shape(self, ind: int = 0) -> list[int]:
        return list(self.input_types()[ind].shape)

    def get_normal_output_shape(self, ind: int = 0) -> list[int]:
        return list(self.output_types()[ind].shape)

    def get_folded_input_shape(self, ind: int = 0) -> list[int]:
        kind = self.input_types()[ind]
        return kind.folded_shape if kind.lanes else list(kind.shape)

    def get_folded_output_shape(self, ind: int = 0) -> list[int]:
        return self.output_types()[ind].folded_shape

    def get_instream_width(self, ind: int = 0) -> int:
        kind = self.input_types()[ind]
        return kind.lanes * kind.bits

    def get_outstream_width(self, ind: int = 0) -> int:
        kind = self.output_types()[ind]
        return kind.lanes * kind.bits

    def get_number_output_values(self) -> dict[str, int]:
        return {
            f"out{index}": int(np.prod(kind.folded_shape[:-1]))
            for index, kind in enumerate(self.output_types())
        }

    def make_shape_compatible_op(self, model: ModelWrapper) -> NodeProto:
        # The stand-in gives the first output a shape, and the others none.
        for tensor, kind in zip(self.onnx_node.output, self.output_types(), strict=True):
            model.set_tensor_shape(tensor, list(kind.shape))
        node: NodeProto = super().make_shape_compatible_op(model)
        return node

    def infer_node_datatype(self, model: ModelWrapper) -> None:
        for tensor, kind in zip(self.onnx_node.output, self.output_types(), strict=True):
            model.set_tensor_datatype(tensor, DataType[kind.datatype])

    def get_exp_cycles(self) -> int:
        """Cycles from sentence to sentence of the longest ones: FINN's throughput follows."""
        return self.cycles(self.max_tokens)

    def get_op_and_param_counts(self) -> dict[str, int]:
        sizes = {name: int(np.prod(s)) for name, (s, _) in self.constant_types().items()}
        return self.operations() | {f"param_{name}": size for name, size in sizes.items()}

    def lut_estimation(self, fpgapart: str) -> int:
        return self.resources(fpgapart).lut

    def bram_estimation(self, fpgapart: str) -> int:
        return self.resources(fpgapart).bram18

    def uram_estimation(self, fpgapart: str) -> int:
        return self.resources(fpgapart).uram

    def dsp_estimation(self, fpgapart: str) -> int:
        return self.resources(fpgapart).dsp

    def resources(self, fpgapart: str) -> Resources:
        """What the kernel takes of a part, estimated."""
        return resources_of(self.kernel(), "xc7" if fpgapart.startswith("xc7") else "xcup")

    def execute_node(self, context: dict[str, Any], graph: GraphProto) -> None:
        names = list(self.onnx_node.input)
        count = len(self.inputs())
        streams = [np.asarray(context[name][0], dtype=np.int64) for name in names[:count]]
        values = (np.asarray(context[name], dtype=np.int64) for name in names[count:])
        constants = dict(zip(self.constant_types(), values, strict=True))
        results = self.compute(streams, constants)
        for name, result in zip(self.onnx_node.output, results, strict=True):
            context[name] = result[None].astype(np.float32)
