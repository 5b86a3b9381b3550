"""FINN's builder on a folded graph: its steps, and its own form of folding and FIFO depths.

With the two files of `write_configs` and the steps of `STEPS`, FINN makes the graph of
`hw.finn.streams.build_graph` again and generates its code; a build with Vivado goes on with
`step_hw_ipgen`, `step_create_stitched_ip` and those behind. Import it in a `finn_session` only.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finn.builder.build_dataflow import resolve_build_steps
from finn.builder.build_dataflow_config import DataflowBuildConfig, DataflowOutputType
from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.general import GiveUniqueNodeNames

from hw.errors import HardwareFileError
from hw.finn.lower.fold import kernel_ops
from hw.finn.ops.base import attribute_name
from hw.finn.streams import FIFO, build_graph
from hw.integer_model import write_atomically

FOLDING, FIFOS = "folding_config.json", "fifo_config.json"


def step_streams(model: ModelWrapper, cfg: DataflowBuildConfig) -> ModelWrapper:
    """FINN step: width converters and FIFOs, specialised, with the depths of `fifo_config_file`.

    In place of step_set_fifo_depths, which would add FIFOs in front of the converters: behind a
    second output, of the first output's type.
    """
    model = _specialized(build_graph(model, {}), cfg._resolve_fpga_part())
    given = json.loads(Path(cfg.fifo_config_file).read_text())
    ops = {op.onnx_node.name: op for op in map(getCustomOp, model.graph.node) if _is_fifo(op)}
    if set(given["fifo_depths"]) != set(ops):
        raise HardwareFileError(
            f"{cfg.fifo_config_file}: expected the {len(ops)} FIFOs of this design, "
            f"got {len(given['fifo_depths'])}"
        )
    for name, op in ops.items():
        op.set_nodeattr("depth", given["fifo_depths"][name])
        op.set_nodeattr("ram_style", given["ram_style"][name])
    return model


STEPS: list[str | Callable[..., ModelWrapper]] = [
    "step_create_dataflow_partition",
    "step_specialize_layers",
    "step_apply_folding_config",
    "step_generate_estimate_reports",
    step_streams,
    "step_hw_codegen",
]


def folding_config(model: ModelWrapper, part: str) -> dict[str, Any]:
    """FINN's form of the folding of a folded graph, by the names that its nodes will have."""
    ops = kernel_ops(_specialized(model, part)).values()
    entries = {
        op.onnx_node.name: {
            attribute_name(field): op.get_nodeattr(attribute_name(field)) for field in op.folding
        }
        for op in ops
        if op.folding
    }
    return {"Defaults": {}, **entries}


def fifo_config(model: ModelWrapper, part: str) -> dict[str, Any]:
    """FINN's form of the FIFOs of a final graph, by the names that they will have."""
    ops = [op for op in map(getCustomOp, _specialized(model, part).graph.node) if _is_fifo(op)]
    names = [op.onnx_node.name for op in ops]
    depths, styles = (
        [op.get_nodeattr(attribute) for op in ops] for attribute in ("depth", "ram_style")
    )
    return {
        "fifo_depths": dict(zip(names, depths, strict=True)),
        "impl_style": dict.fromkeys(names, "rtl"),
        "ram_style": dict(zip(names, styles, strict=True)),
    }


def write_configs(folder: Path, folded: ModelWrapper, final: ModelWrapper, part: str) -> None:
    """Write both, as `folding_config.json` and `fifo_config.json`."""
    for name, content in (
        (FOLDING, folding_config(folded, part)),
        (FIFOS, fifo_config(final, part)),
    ):
        write_atomically(folder / name, (json.dumps(content, indent=1) + "\n").encode())


def generate(
    folded: ModelWrapper, folder: Path, part: str, clock_mhz: float, board: str | None = None
) -> ModelWrapper:
    """Run `STEPS` on a folded graph, with the configurations that lie in a folder.

    FINN's reports of cycles and resources come to `folder/report`, its code to the folder of the
    session.

    Returns:
        The graph whose nodes have their generated code.
    """
    config = DataflowBuildConfig(
        output_dir=str(folder),
        synth_clk_period_ns=1000 / clock_mhz,
        fpga_part=part,
        board=board,
        generate_outputs=[DataflowOutputType.ESTIMATE_REPORTS],
        steps=STEPS,
        folding_config_file=folder / FOLDING,
        auto_fifo_depths=False,
        fifo_config_file=folder / FIFOS,
    )
    model = ModelWrapper(folded.model)
    for step in resolve_build_steps(config):
        model = step(model, config)
    return model


def _specialized(model: ModelWrapper, part: str) -> ModelWrapper:
    """A copy in which FINN has chosen implementations and named the nodes."""
    return model.transform(SpecializeLayers(part), cleanup=False).transform(GiveUniqueNodeNames())


def _is_fifo(op: Any) -> bool:
    return bool(op.onnx_node.op_type.startswith(FIFO))
