"""The final FINN graph as a `hw.design.Design`.

Nodes become instances: ours by their kernels, FINN's FIFOs and width converters by our own, whose
streams behave alike. Import it in a `finn_session` only.
"""

from collections.abc import Mapping
from typing import Any

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from hw.design import TOP, Connection, Design, End
from hw.errors import HardwareFileError
from hw.finn.lower.lengths import LENGTH
from hw.finn.lower.load import WEIGHTS
from hw.finn.ops.base import KernelOp
from hw.finn.ops.binary_mvu import BinaryMvu
from hw.finn.streams import CONVERTER, FIFO, instance_names
from hw.kernels.kernel import Kernel, StreamPort
from hw.kernels.stream import StreamFifo, WidthConverter

RESIDUAL = "s_axis_residual"
PORTS = {LENGTH: "s_axis_length", WEIGHTS: "s_axis_weights"}  # any other is the residual
ORDER = (RESIDUAL, *PORTS.values(), "m_axis_residual")
RAM = {"srl": "distributed"}  # of FINN's styles, that ours name differently


def design_of(model: ModelWrapper, *, name: str, properties: Mapping[str, Any]) -> Design:
    """The design of a final graph.

    Args:
        model: from `build_graph`, or later in FINN's flow.
        name: of the top module.
        properties: kept in the design, next to `max_tokens`.

    Raises:
        HardwareFileError: a node that is no kernel, FIFO or width converter.
        ParameterError: streams that don't fit: the graph lacks width converters.
    """
    names = instance_names(model)
    kernels: dict[str, Kernel] = {}
    memories: dict[str, str] = {}
    sources: dict[str, End] = {}
    targets: dict[str, End] = {}
    tokens = 0
    for node in model.graph.node:
        instance, kernel = names[node.output[0]], _kernel(node)
        kernels[instance] = kernel
        used = [stream for stream in kernel.streams() if stream.used]
        _ends(sources, instance, node.output, [s for s in used if not s.enters])
        _ends(targets, instance, node.input, [s for s in used if s.enters])
        op = getCustomOp(node)
        if isinstance(op, KernelOp):
            memories |= op.memories(model)
            tokens = max(tokens, op.max_tokens)
        if isinstance(op, BinaryMvu):
            memories |= _load_file(instance, op, model)
    ports = []
    for value in model.graph.input:
        port = _port(PORTS.get(value.name, RESIDUAL), model, value.name)
        sources[value.name] = End(TOP, port.name)
        ports.append(port)
    for value in model.graph.output:
        port = _port("m_axis_residual", model, value.name)
        targets[value.name] = End(TOP, port.name)
        ports.append(port)
    ports.sort(key=lambda port: ORDER.index(port.name))
    connections = tuple(Connection(end, targets[tensor]) for tensor, end in sources.items())
    return Design(
        name, tuple(ports), kernels, connections, memories, {"max_tokens": tokens, **properties}
    )


def _ends(ends: dict[str, End], instance: str, tensors: Any, streams: list[StreamPort]) -> None:
    """The ends at a node's tensors; constants come after the streams."""
    for tensor, stream in zip(tensors, streams, strict=False):
        ends[tensor] = End(instance, stream.name, stream.copy)


def _port(name: str, model: ModelWrapper, tensor: str) -> StreamPort:
    """A port of the design, with the lanes that the node at a tensor has there."""
    node = model.find_producer(tensor)
    if node is None:
        node = model.find_consumer(tensor)
        lanes = getCustomOp(node).get_folded_input_shape(list(node.input).index(tensor))[-1]
    else:
        lanes = getCustomOp(node).get_folded_output_shape(list(node.output).index(tensor))[-1]
    return StreamPort(name, int(lanes), int(model.get_tensor_datatype(tensor).bitwidth()))


def _kernel(node: NodeProto) -> Kernel:
    op = getCustomOp(node)
    kernel: Kernel
    if isinstance(op, KernelOp):
        kernel = op.kernel()
    elif node.op_type.startswith(FIFO):
        ram = op.get_nodeattr("ram_style")
        width, depth = op.get_instream_width(), op.get_nodeattr("depth")
        kernel = StreamFifo(width, depth, RAM.get(ram, ram))
    elif node.op_type.startswith(CONVERTER):
        kernel = WidthConverter(op.get_instream_width(), op.get_outstream_width())
    else:
        raise HardwareFileError(f"{node.name}: expected a kernel, got {node.op_type}")
    return kernel


def _load_file(instance: str, op: BinaryMvu, model: ModelWrapper) -> dict[str, str]:
    """The beats of loadable weights, one in hexadecimal a line: they come through a port."""
    beats = op.load_beats(op.constants(model))
    text = "".join(f"{bytes(beat[::-1]).hex()}\n" for beat in beats)
    return {f"{instance}.load.hex": text} if text else {}
