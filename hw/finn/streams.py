"""Width converters and FIFOs of a folded graph, and their names.

Between a source and the port P of the kernel X stand, where the widths differ, the converter
`X_P_width` directly behind the source, then the FIFO `X_P_fifo`. Import it in a `finn_session`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation

from hw.errors import ParameterError
from hw.finn.fifo import SHALLOWEST, put_fifo
from hw.finn.ops.base import KernelOp
from hw.kernels.checks import in_range
from hw.kernels.stream import MAX_WORDS, StreamFifo

CONVERTER, FIFO = "StreamingDataWidthConverter", "StreamingFIFO"
Depths = Mapping[str, Mapping[str, Any]]  # depth and ram, by the FIFO's name


class InsertPortFifo(Transformation):
    """A StreamingFIFO in front of every stream that a kernel wants buffered (`fifo_ports`).

    Width converters are in the graph already.
    """

    def __init__(self, depths: Depths) -> None:
        """`depths` gives depth and ram of FIFOs by name; the others hold two beats."""
        super().__init__()
        self.depths = depths

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        """Insert; a second time changes nothing.

        Raises:
            ParameterError: a FIFO that this graph doesn't have, or a value that none can have.
        """
        places = {
            f"{instance}_{port}_fifo": (node, position)
            for instance, port, node, position in _ports(model)
        }
        unknown = sorted(set(self.depths) - set(places))
        if unknown:
            raise ParameterError(
                f"FIFO depths: expected FIFOs of this design, got {', '.join(unknown[:3])}"
            )
        changed = False
        for name, (node, position) in places.items():
            if not _is(model.find_producer(node.input[position]), FIFO):
                self._insert(model, name, node, position)
                changed = True
        return model, changed

    def _insert(self, model: ModelWrapper, name: str, node: NodeProto, position: int) -> None:
        entry = {"depth": SHALLOWEST, "ram": "auto", **self.depths.get(name, {})}
        if set(entry) != {"depth", "ram"}:
            raise ParameterError(f"{name}: expected depth and ram, got {sorted(entry)}")
        try:
            in_range("depth", entry["depth"], SHALLOWEST, MAX_WORDS)
            StreamFifo(getCustomOp(node).get_instream_width(position), **entry)
        except ParameterError as error:
            raise ParameterError(f"{name}: {error}") from None
        fifo = put_fifo(model, node, position, entry["depth"])
        getCustomOp(fifo).set_nodeattr("ram_style", entry["ram"])
        fifo.name = name


class NameStreams(Transformation):
    """Name every node by its instance; converters and FIFOs by the port behind them."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        names = instance_names(model)
        for node in model.graph.node:
            node.name = names[node.output[0]]
        return model, False


def build_graph(model: ModelWrapper, fifo_depths: Depths) -> ModelWrapper:
    """The final graph: a folded graph with its width converters and FIFOs.

    Args:
        model: from `fold`; stays as it is.
        fifo_depths: depth and ram of FIFOs by name; those that aren't named hold two beats.

    Raises:
        ParameterError: a FIFO that the graph doesn't have, or a value that none can have.
    """
    model = model.transform(InsertDWC(), cleanup=False)
    for step in (InsertPortFifo(fifo_depths), NameStreams()):
        model = model.transform(step, make_deepcopy=False, cleanup=False)
    return model


def instance_names(model: ModelWrapper) -> dict[str, str]:
    """Instance names of a graph's nodes, by their first outputs: FINN renames nodes."""
    names = {}
    for node in model.graph.node:
        op = getCustomOp(node)
        if isinstance(op, KernelOp):
            names[node.output[0]] = op.get_nodeattr("instance")
    for instance, port, node, position in _ports(model, buffered=False):
        before = model.find_producer(node.input[position])
        while _is(before, FIFO) or _is(before, CONVERTER):
            kind = "fifo" if _is(before, FIFO) else "width"
            names[before.output[0]] = f"{instance}_{port}_{kind}"
            before = model.find_producer(before.input[0])
    return names


def port_label(port: str) -> str:
    """The name of a port in the names of what stands in front of it."""
    return port.removeprefix("s_axis").removeprefix("_") or "in"


def _ports(model: ModelWrapper, buffered: bool = True) -> Iterator[tuple[str, str, NodeProto, int]]:
    """Instance, port's label, node and input of every stream into a kernel."""
    for node in list(model.graph.node):
        op = getCustomOp(node)
        if isinstance(op, KernelOp):
            for position, stream in enumerate(op.inputs()):
                if not buffered or stream.name in op.fifo_ports:
                    label = port_label(stream.name)
                    yield op.get_nodeattr("instance"), label, node, position


def _is(node: NodeProto | None, kind: str) -> bool:
    return node is not None and node.op_type in (kind, f"{kind}_rtl", f"{kind}_hls")
