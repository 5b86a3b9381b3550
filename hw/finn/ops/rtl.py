"""The operators as modules: wrappers with FINN's ports, memory files, simulation."""

from pathlib import Path
from typing import Any

import numpy as np
from finn import xsi
from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend
from finn.util.basic import get_watchdog_timeout_cycles
from onnx import GraphProto
from qonnx.core.modelwrapper import ModelWrapper

from hw.finn.ops.base import Integers, KernelOp, TensorType
from hw.finn.ops.wrapper import wrapper
from hw.sim.beats import pack, unpack
from hw.sim.verilator import closure


class KernelRtl(KernelOp, RTLBackend):
    """What makes an operator's module of its kernel's."""

    def generate_hdl(self, model: ModelWrapper, fpgapart: str, clk: float) -> None:
        """Write the wrapper and the memory files into `code_gen_dir_ipgen`."""
        top, folder = self.get_verilog_top_module_name(), self.get_nodeattr("code_gen_dir_ipgen")
        for name, text in self.memories(model).items():
            (Path(folder) / name).write_text(text)
        (Path(folder) / f"{top}.v").write_text(wrapper(top, self.kernel()))
        for name, value in (("gen_top_module", top), ("ipgen_path", folder), ("ip_path", folder)):
            self.set_nodeattr(name, value)

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        top = self.get_nodeattr("gen_top_module")
        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        files = [*closure(self.kernel().module), folder / f"{top}.v"]
        return [str(path) if abspath else path.name for path in files]

    def code_generation_ipi(self) -> list[str]:
        add = [f"add_files -norecurse {path}" for path in self.get_rtl_file_list(abspath=True)]
        top = self.get_nodeattr("gen_top_module")
        return [*add, f"create_bd_cell -type module -reference {top} {self.onnx_node.name}"]

    def execute_node(self, context: dict[str, Any], graph: GraphProto) -> None:
        if self.get_nodeattr("exec_mode") != "rtlsim":
            super().execute_node(context, graph)
            return
        tokens = self.tokens_of(context)
        inputs = {
            f"in{index}": _beats(context[name], kind, self._rows(kind, tokens))
            for index, (name, kind) in enumerate(
                zip(self.onnx_node.input, self.input_types(), strict=True)
            )
            if kind.lanes
        }
        kinds = self.output_types()
        shapes = [(self._rows(kind, tokens), kind.shape[-1]) for kind in kinds]
        counts = {f"out{i}": rows * size // kinds[i].lanes for i, (rows, size) in enumerate(shapes)}
        outputs: dict[str, list[int]] = {name: [] for name in counts}
        self._run({"inputs": inputs, "outputs": outputs}, counts)
        for index, (name, kind) in enumerate(zip(self.onnx_node.output, kinds, strict=True)):
            result = np.full(kind.shape, -1 if kind.datatype == "BIPOLAR" else 0, dtype=np.float32)
            values = _values(outputs[f"out{index}"], kind)
            result[0, : shapes[index][0]] = values.reshape(shapes[index])
            context[name] = result

    def _rows(self, kind: TensorType, tokens: int) -> int:
        """Rows of a tensor that belong to a sentence: others have another axis than tokens."""
        return tokens if kind.shape[-2] == self.max_tokens else kind.shape[-2]

    def _run(self, beats: dict[str, Any], counts: dict[str, int]) -> None:
        sim = self.get_rtlsim()
        self.reset_rtlsim(sim)
        expected = self.get_exp_cycles()
        cycles = xsi.rtlsim_multi_io(
            sim,
            beats,
            counts,
            sname="_V",
            liveness_threshold=get_watchdog_timeout_cycles(expected),
            liveness_estimate=expected,
        )
        self.close_rtlsim(sim)
        self.set_nodeattr("cycles_rtlsim", cycles)


def _beats(tensor: Any, kind: TensorType, rows: int) -> list[int]:
    values = np.asarray(tensor, dtype=np.int64)[0, :rows]
    bits = values > 0 if kind.datatype == "BIPOLAR" else values
    beats = pack(bits, kind.bits, kind.lanes)
    return [int.from_bytes(beat.tobytes(), "little") for beat in beats]


def _values(beats: list[int], kind: TensorType) -> Integers:
    size = -(-kind.lanes * kind.bits // 8)
    data = b"".join(beat.to_bytes(size, "little") for beat in beats)
    raw = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)
    values = unpack(raw, kind.bits, kind.lanes, signed=kind.datatype.startswith("INT"))
    return 2 * values - 1 if kind.datatype == "BIPOLAR" else values
