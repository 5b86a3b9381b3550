"""A small FINN operator of two inputs and two outputs, and graphs of it.

Import it in a `finn_session` only: its classes derive from FINN's.
"""

from pathlib import Path
from typing import Any

import numpy as np
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.basic import qonnx_make_model

from hw.finn.adapter import DOMAIN

RTL = Path(__file__).parent / "rtl"
PART = "xc7z020clg400-1"
BITS = 4
TYPES = {"in": (f"INT{BITS}", f"INT{BITS}"), "out": (f"INT{BITS + 1}", "BIPOLAR")}
WRAPPER = """\
module {top} (
    input ap_clk,
    input ap_rst_n,
    input [{i}:0] in0_V_TDATA, input in0_V_TVALID, output in0_V_TREADY,
    input [{i}:0] in1_V_TDATA, input in1_V_TVALID, output in1_V_TREADY,
    output [{s}:0] out0_V_TDATA, output out0_V_TVALID, input out0_V_TREADY,
    output [{b}:0] out1_V_TDATA, output out1_V_TVALID, input out1_V_TREADY
);
  wire [{sum_bits}-1:0] sum;
  wire [{lanes}-1:0] bits;
  assign out0_V_TDATA = sum;
  assign out1_V_TDATA = bits;
  toy_join #(.BITS({bits}), .LANES({lanes})) core (
      .clk(ap_clk), .rst_n(ap_rst_n),
      .s_axis_a_tdata(in0_V_TDATA[{in_bits}-1:0]), .s_axis_a_tvalid(in0_V_TVALID),
      .s_axis_a_tready(in0_V_TREADY),
      .s_axis_b_tdata(in1_V_TDATA[{in_bits}-1:0]), .s_axis_b_tvalid(in1_V_TVALID),
      .s_axis_b_tready(in1_V_TREADY),
      .m_axis_sum_tdata(sum), .m_axis_sum_tvalid(out0_V_TVALID), .m_axis_sum_tready(out0_V_TREADY),
      .m_axis_bits_tdata(bits), .m_axis_bits_tvalid(out1_V_TVALID),
      .m_axis_bits_tready(out1_V_TREADY)
  );
endmodule
"""


class ToyJoin(HWCustomOp):
    """Outputs a + b, and its sign."""

    def get_nodeattr_types(self) -> dict[str, Any]:
        mine = {
            "Channels": ("i", True, 0),
            "Tokens": ("i", True, 0),
            "PE": ("i", False, 1),
            "inFIFODepths": ("ints", False, [2, 2]),
            "outFIFODepths": ("ints", False, [2, 2]),
        }
        return {**super().get_nodeattr_types(), **mine}

    def get_input_datatype(self, ind: int = 0) -> Any:
        return DataType[TYPES["in"][ind]]

    def get_output_datatype(self, ind: int = 0) -> Any:
        return DataType[TYPES["out"][ind]]

    def get_normal_input_shape(self, ind: int = 0) -> list[int]:
        return [1, self.get_nodeattr("Tokens"), self.get_nodeattr("Channels")]

    def get_normal_output_shape(self, ind: int = 0) -> list[int]:
        return self.get_normal_input_shape()

    def get_folded_input_shape(self, ind: int = 0) -> list[int]:
        batch, tokens, channels = self.get_normal_input_shape()
        lanes = self.get_nodeattr("PE")
        return [batch, tokens, channels // lanes, lanes]

    def get_folded_output_shape(self, ind: int = 0) -> list[int]:
        return self.get_folded_input_shape()

    def get_instream_width(self, ind: int = 0) -> int:
        return self.get_nodeattr("PE") * self.get_input_datatype(ind).bitwidth()

    def get_outstream_width(self, ind: int = 0) -> int:
        return self.get_nodeattr("PE") * self.get_output_datatype(ind).bitwidth()

    def get_number_output_values(self) -> dict[str, int]:
        return {f"out{i}": self.get_exp_cycles() for i in range(2)}

    def get_exp_cycles(self) -> int:
        return int(np.prod(self.get_folded_output_shape()[:-1]))

    def lut_estimation(self, fpgapart: str) -> int:
        return 8 * self.get_nodeattr("PE")

    def get_op_and_param_counts(self) -> dict[str, int]:
        return {"op_add": int(np.prod(self.get_normal_output_shape()))}

    def make_shape_compatible_op(self, model: ModelWrapper) -> Any:
        # The stand-in gives the first output a shape, and the others none.
        for index, tensor in enumerate(self.onnx_node.output):
            model.set_tensor_shape(tensor, self.get_normal_output_shape(index))
        return super().make_shape_compatible_op(model)

    def infer_node_datatype(self, model: ModelWrapper) -> None:
        for index, tensor in enumerate(self.onnx_node.output):
            model.set_tensor_datatype(tensor, self.get_output_datatype(index))

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        a, b = (context[name] for name in self.onnx_node.input)
        results = (a + b, np.where(a + b >= 0, 1, -1))
        for name, result in zip(self.onnx_node.output, results, strict=True):
            context[name] = result.astype(np.float32)


class ToyJoin_rtl(ToyJoin, RTLBackend):
    """The same as a module."""

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {**RTLBackend.get_nodeattr_types(self), **ToyJoin.get_nodeattr_types(self)}

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        backend = RTLBackend if self.get_nodeattr("exec_mode") == "rtlsim" else ToyJoin
        backend.execute_node(self, context, graph)

    def generate_hdl(self, model: ModelWrapper, fpgapart: str, clk: float) -> None:
        top, folder = self.get_verilog_top_module_name(), self.get_nodeattr("code_gen_dir_ipgen")
        text = WRAPPER.format(
            top=top,
            i=self.get_instream_width_padded() - 1,
            s=self.get_outstream_width_padded(0) - 1,
            b=self.get_outstream_width_padded(1) - 1,
            in_bits=self.get_instream_width(),
            sum_bits=self.get_outstream_width(),
            lanes=self.get_nodeattr("PE"),
            bits=BITS,
        )
        (Path(folder) / f"{top}.v").write_text(text)
        for name, value in (("gen_top_module", top), ("ipgen_path", folder), ("ip_path", folder)):
            self.set_nodeattr(name, value)

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        files = [RTL / "toy_join.sv"]
        files.append(
            Path(self.get_nodeattr("code_gen_dir_ipgen"))
            / f"{self.get_nodeattr('gen_top_module')}.v"
        )
        return [str(path) if abspath else path.name for path in files]

    def code_generation_ipi(self) -> list[str]:
        add = [f"add_files -norecurse {path}" for path in self.get_rtl_file_list(abspath=True)]
        top = self.get_nodeattr("gen_top_module")
        return [*add, f"create_bd_cell -type module -reference {top} {self.onnx_node.name}"]


def model_of(
    nodes: list[Any], inputs: dict[str, str], outputs: dict[str, str], shape: list[int]
) -> Any:
    """A model of hardware nodes, all of whose streams have one shape."""
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
        for names in (inputs, outputs)
    ]
    model = ModelWrapper(qonnx_make_model(helper.make_graph(nodes, "graph", *infos)))
    for name, datatype in {**inputs, **outputs}.items():
        model.set_tensor_datatype(name, DataType[datatype])
    return model


def join(inputs: list[str], outputs: list[str], shape: list[int], lanes: int) -> Any:
    """A ToyJoin node."""
    return _node("ToyJoin", inputs, outputs, Channels=shape[-1], Tokens=shape[-2], PE=lanes)


def converter(source: str, result: str, shape: list[int], lanes: tuple[int, int], kind: str) -> Any:
    """A node of FINN's own width converter."""
    before, behind = (count * DataType[kind].bitwidth() for count in lanes)
    widths = {"inWidth": before, "outWidth": behind, "dataType": kind}
    name = "StreamingDataWidthConverter"
    return _node(name, [source], [result], inShape=shape, outShape=shape, **widths)


def threshold(
    source: str, result: str, shape: list[int], lanes: int, kinds: tuple[str, str]
) -> Any:
    """A node of FINN's own thresholding; see `set_thresholds`."""
    types = {"inputDataType": kinds[0], "weightDataType": kinds[0], "outputDataType": kinds[1]}
    kind = DataType[kinds[1]]
    return _node(
        "Thresholding",
        [source, f"{result}_thresholds"],
        [result],
        NumChannels=shape[-1],
        PE=lanes,
        numSteps=int(kind.get_num_possible_values()) - 1,
        ActVal=0 if kinds[1] == "BIPOLAR" else int(kind.min()),
        numInputVectors=shape[:-1],
        **types,
    )


def set_thresholds(model: Any, result: str, channels: int, kinds: tuple[str, str]) -> None:
    """Random thresholds for the node that gives the tensor `result`."""
    kind, steps = DataType[kinds[0]], int(DataType[kinds[1]].get_num_possible_values()) - 1
    rng = np.random.default_rng(0)
    values = np.sort(rng.integers(kind.min() + 1, kind.max(), (channels, steps)), axis=1)
    model.set_initializer(f"{result}_thresholds", values.astype(np.float32))
    model.set_tensor_datatype(f"{result}_thresholds", kind)


def toy_graph(shape: list[int], lanes: int = 2) -> Any:
    """a, b -> ToyJoin -> sums to thresholds, bits to a width converter."""
    kinds = (TYPES["out"][0], "INT4")
    nodes = [
        join(["a", "b"], ["sum", "bits"], shape, lanes),
        threshold("sum", "levels", shape, 2 * lanes, kinds),
        converter("bits", "wide", shape, (lanes, 4 * lanes), "BIPOLAR"),
    ]
    inputs = {"a": TYPES["in"][0], "b": TYPES["in"][1]}
    model = model_of(nodes, inputs, {"levels": "INT4", "wide": "BIPOLAR"}, shape)
    set_thresholds(model, "levels", shape[-1], kinds)
    return model.transform(InferShapes()).transform(InferDataTypes())


def values_of(kind: str, shape: list[int], seed: int = 0) -> Any:
    """Random values of a type, its extremes among them."""
    datatype = DataType[kind]
    rng = np.random.default_rng(seed)
    if kind == "BIPOLAR":
        return rng.choice([-1, 1], shape).astype(np.float32)
    values = rng.integers(datatype.min(), datatype.max() + 1, shape)
    values.flat[:2] = datatype.min(), datatype.max()
    return values.astype(np.float32)


def _node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(
        op, inputs, outputs, domain=DOMAIN, backend="fpgadataflow", **attributes
    )
