"""A small builder of ONNX graphs, whose bytes depend on the graph alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.onnx_ops import BODIES, OPSET, domain_of, function

IR_VERSION = 8  # the first with model-local functions, so that every reader of them reads it
PRODUCER = "edgebert"

Shape = Sequence[int | str]


class Graph:
    """Nodes, constants, inputs and outputs, added in the order of execution.

    A value is referred to by its name; a node bears the name of its first output.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.values: list[onnx.ValueInfoProto] = []
        self.data_types: dict[str, str] = {}
        self.functions: dict[str, onnx.FunctionProto] = {}

    def input(self, name: str, element: int, shape: Shape, data_type: str = "") -> str:
        """Declare a graph input, with qonnx's data type where the element type says less."""
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        if data_type:
            self.data_types[name] = data_type
        return name

    def output(self, name: str, element: int, shape: Shape) -> None:
        """Declare a value as a graph output."""
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))

    def describe(self, name: str, shape: Shape, element: int = TensorProto.FLOAT) -> str:
        """State the shape of a value inside the graph."""
        self.values.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add an initializer; the same name again is the same initializer."""
        if name not in self.constants:
            array: NDArray[Any] = np.ascontiguousarray(value, dtype=dtype).reshape(np.shape(value))
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def op(
        self,
        op_type: str,
        inputs: Sequence[str],
        output: str,
        domain: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node with one output, and return the output's name."""
        self.nodes.append(
            helper.make_node(
                op_type,
                list(inputs),
                [output],
                name=output,
                domain=domain_of(op_type) if domain is None else domain,
                **attributes,
            )
        )
        return output

    def fuse(
        self, body: "Graph", domain: str, inputs: Sequence[str], parameters: Sequence[str]
    ) -> str:
        """Add the nodes of another graph as one node of the operator that it is named after.

        Its last node gives the output. The operator has these inputs, then parameters, which are
        constants of the body, then the other constants of the body; the body becomes its function.
        An operator whose body differs from that of an earlier node gets another name.
        """
        others = [name for name in body.constants if name not in set(parameters)]
        names = [*inputs, *parameters, *others]
        self.constants = {**body.constants, **self.constants}
        function = body.function(domain, names)
        count = 1
        while self.functions.setdefault(function.name, function) != function:
            count += 1
            function.name = f"{body.name}_{count}"
        return self.op(function.name, names, body.nodes[-1].output[0], domain=domain)

    def function(self, domain: str, inputs: Sequence[str]) -> onnx.FunctionProto:
        """The nodes as a function that computes the last one's output; its names say nothing."""
        short = {name: f"i{i}" for i, name in enumerate(inputs)}
        short |= {node.output[0]: f"v{i}" for i, node in enumerate(self.nodes)}
        nodes = []
        for node in self.nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = short[node.output[0]]
            copy.input[:] = [short[name] for name in node.input]
            copy.output[:] = [copy.name]
            nodes.append(copy)
        domains = sorted({node.domain for node in nodes} - {""})
        imports = [helper.make_opsetid("", OPSET)]
        imports += [helper.make_opsetid(domain, 1) for domain in domains]
        formal = [short[name] for name in inputs]
        return helper.make_function(domain, self.name, formal, [nodes[-1].name], nodes, imports)

    def model(self) -> onnx.ModelProto:
        """The model, with the functions of just the operators that it uses."""
        graph = helper.make_graph(
            self.nodes,
            self.name,
            self.inputs,
            self.outputs,
            initializer=list(self.constants.values()),
            value_info=self.values,
        )
        for name, data_type in self.data_types.items():
            graph.quantization_annotation.append(_annotation(name, data_type))
        nodes = [*self.nodes, *(node for f in self.functions.values() for node in f.node)]
        used = sorted({node.op_type for node in nodes} & set(BODIES))
        inside = [opset.domain for f in self.functions.values() for opset in f.opset_import]
        domains = sorted({*inside, *(node.domain for node in self.nodes)} - {""})
        imports = [helper.make_opsetid("", OPSET)]
        imports += [helper.make_opsetid(domain, 1) for domain in domains]
        return helper.make_model(
            graph,
            opset_imports=imports,
            functions=[*map(function, used), *self.functions.values()],
            ir_version=IR_VERSION,
            producer_name=PRODUCER,
        )


def _annotation(name: str, data_type: str) -> onnx.TensorAnnotation:
    annotation = onnx.TensorAnnotation(tensor_name=name)
    entry = annotation.quant_parameter_tensor_names.add()
    entry.key, entry.value = "finn_datatype", data_type  # the key that qonnx reads
    return annotation
