"""FINN's own rtlsim of single nodes, on Verilator."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hw.sim.verilator as verilator
from hw.errors import ToolError
from hw.finn import xsi
from hw.finn.adapter import finn_session, register
from hw.sim.bench import SimulationError

TOKENS, CHANNELS = 6, 16
SHAPE = [1, TOKENS, CHANNELS]

PASS = """\
module passes (
    input ap_clk, input ap_rst_n,
    input [{high}:0] in0_V_TDATA, input in0_V_TVALID, output in0_V_TREADY,
    output [{high}:0] out0_V_TDATA, output out0_V_TVALID, input out0_V_TREADY
);
  reg [{high}:0] memory[0:0];
  initial $readmemh("{folder}/mask.dat", memory);
  assign out0_V_TDATA = in0_V_TDATA ^ memory[0];
  assign out0_V_TVALID = in0_V_TVALID{valid};
  assign in0_V_TREADY = out0_V_TREADY{valid};
endmodule
"""


def run_node(model: Any, inputs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Outputs of the one node of a model by rtlsim, and its operator."""
    from finn.core.onnx_exec import execute_onnx
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
    from finn.transformation.fpgadataflow.prepare_rtlsim import PrepareRTLSim
    from finn.transformation.fpgadataflow.set_exec_mode import SetExecMode
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from qonnx.custom_op.registry import getCustomOp

    from tests.finn_toy import PART

    model = model.transform(SpecializeLayers(PART)).transform(PrepareIP(PART, 10.0))
    model = model.transform(PrepareRTLSim()).transform(SetExecMode("rtlsim"))
    outputs = execute_onnx(model, inputs)
    return outputs, getCustomOp(model.graph.node[0])


@pytest.mark.parametrize(
    ("kinds", "lanes", "cycles"),
    [(("INT8", "BIPOLAR"), 4, 28), (("INT9", "INT4"), 4, 34)],
    ids=str,
)
def test_finns_thresholding_equals_its_python(
    tmp_path: Path, kinds: tuple[str, str], lanes: int, cycles: int
) -> None:
    with finn_session(tmp_path):
        from finn.core.onnx_exec import execute_onnx

        from tests.finn_toy import model_of, set_thresholds, threshold, values_of

        node = threshold("x", "y", SHAPE, lanes, kinds)
        model = model_of([node], {"x": kinds[0]}, {"y": kinds[1]}, SHAPE)
        set_thresholds(model, "y", CHANNELS, kinds)
        inputs = {"x": values_of(kinds[0], SHAPE)}
        expected = execute_onnx(model, inputs)["y"]
        outputs, op = run_node(model, inputs)
        assert len(np.unique(expected)) == (2 if kinds[1] == "BIPOLAR" else 16)
        assert np.array_equal(outputs["y"], expected)
        assert op.get_nodeattr("cycles_rtlsim") == cycles


@pytest.mark.parametrize(
    ("kind", "lanes", "cycles"),
    [("BIPOLAR", (2, 16), 49), ("INT32", (16, 8), 13)],
    ids=str,
)
def test_finns_width_converter_equals_its_python(
    tmp_path: Path, kind: str, lanes: tuple[int, int], cycles: int
) -> None:
    with finn_session(tmp_path):
        from finn.core.onnx_exec import execute_onnx

        from tests.finn_toy import converter, model_of, values_of

        model = model_of([converter("x", "y", SHAPE, lanes, kind)], {"x": kind}, {"y": kind}, SHAPE)
        inputs = {"x": values_of(kind, SHAPE)}
        if kind == "INT32":  # FINN's tensors are float32
            inputs["x"] = np.trunc(inputs["x"] / 256) * 128
        expected = execute_onnx(model, inputs)["y"]
        outputs, op = run_node(model, inputs)
        assert np.array_equal(outputs["y"], expected)
        assert np.array_equal(outputs["y"], inputs["x"])
        assert op.get_nodeattr("cycles_rtlsim") == cycles


def test_an_own_operator_of_two_inputs_and_two_outputs_equals_its_python(tmp_path: Path) -> None:
    with finn_session(tmp_path):
        from finn.core.onnx_exec import execute_onnx

        from tests.finn_toy import TYPES, ToyJoin, ToyJoin_rtl, join, model_of, values_of

        register(ToyJoin, ToyJoin_rtl)
        outputs = dict(zip(("sum", "bits"), TYPES["out"], strict=True))
        node = join(["a", "b"], list(outputs), SHAPE, 8)
        model = model_of([node], {"a": "INT4", "b": "INT4"}, outputs, SHAPE)
        inputs = {name: values_of("INT4", SHAPE, seed) for seed, name in enumerate("ab")}
        expected = execute_onnx(model, inputs)
        got, op = run_node(model, inputs)
        for name in outputs:
            assert np.array_equal(got[name], expected[name]), name
        assert op.get_nodeattr("cycles_rtlsim") == op.get_exp_cycles() + 1  # a register


def passes(folder: Path, bits: int = 8, mask: int = 0, valid: str = "") -> xsi.SimEngine:
    """A simulation of PASS whose sources and memory lie in `folder`."""
    folder.mkdir()
    text = PASS.format(high=bits - 1, folder=folder, valid=valid)
    (folder / "passes.v").write_text(text)
    (folder / "mask.dat").write_text(f"{mask:x}\n")
    place = folder / "made"
    place.mkdir()
    return xsi.load_sim_obj(*xsi.compile_sim_obj("passes", [str(folder / "passes.v")], place))


def send(
    sim: xsi.SimEngine, values: list[int], count: int, **options: Any
) -> tuple[list[int], int]:
    streams: dict[str, dict[str, list[int]]] = {"inputs": {"in0": values}, "outputs": {"out0": []}}
    xsi.reset_rtlsim(sim)
    cycles = xsi.rtlsim_multi_io(sim, streams, count, sname="_V", **options)
    xsi.close_rtlsim(sim)
    return streams["outputs"]["out0"], cycles


@pytest.mark.parametrize("bits", [8, 200])
def test_values_of_any_width_pass_and_memory_files_are_read(tmp_path: Path, bits: int) -> None:
    mask = 5 << (bits - 4)
    sim = passes(tmp_path / "a", bits, mask)
    values = [0, 1, (1 << bits) - 1, 1 << (bits - 1), mask]
    assert send(sim, values, 5) == ([value ^ mask for value in values], 5)
    assert send(sim, values[:2], 2) == ([mask, 1 ^ mask], 2)  # after the next reset


def test_equal_sources_in_other_folders_compile_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = passes(tmp_path / "a")
    monkeypatch.setattr(verilator, "_compile", lambda *_: pytest.fail("compiled again"))
    second = passes(tmp_path / "b", mask=3)
    assert second.simulation == first.simulation
    assert send(first, [1], 1)[0] == [1]
    assert send(second, [1], 1)[0] == [2]  # each with its own memory


def test_a_run_that_stands_still_ends_by_its_liveness_threshold(tmp_path: Path) -> None:
    sim = passes(tmp_path / "a")
    with pytest.raises(SimulationError, match=r"timeout out0_V 2/3"):
        send(sim, [1, 2], 3, liveness_threshold=50)
    stuck = passes(tmp_path / "b", valid=" && !ap_rst_n")
    with pytest.raises(SimulationError, match=r"end [45]\d timeout in0_V 0/1 out0_V 0/1"):
        send(stuck, [1], 1, liveness_threshold=50)


def test_misuse_is_refused(tmp_path: Path) -> None:
    sim = passes(tmp_path / "a")
    streams: dict[str, Any] = {"inputs": {"in0": [1]}, "outputs": {"out0": []}}
    with pytest.raises(ValueError, match="passes: expected a reset before the run"):
        xsi.rtlsim_multi_io(sim, streams, 1, sname="_V")
    xsi.reset_rtlsim(sim)
    streams["outputs"]["out1"] = []
    with pytest.raises(ValueError, match="a number of beats for each of"):
        xsi.rtlsim_multi_io(sim, streams, 1, sname="_V")
    with pytest.raises(ToolError, match=r"top: expected \.v or \.sv, got core\.vhd"):
        xsi.compile_sim_obj("top", ["core.vhd"], tmp_path)
    with pytest.raises(ToolError, match="expected no rtlsim_trace, got waves"):
        xsi.load_sim_obj(tmp_path, Path("x"), "waves")


def test_a_simulation_that_the_cache_lost_is_named(tmp_path: Path) -> None:
    (tmp_path / "made.json").write_text(json.dumps({"program": "/gone", "folders": []}))
    with pytest.raises(ToolError, match="expected a simulation in /gone, found none; run Prepare"):
        xsi.load_sim_obj(tmp_path, Path("made.json"))


def test_what_finn_asks_of_vivado_has_an_answer() -> None:
    assert xsi.locate_glbl() is None
    assert xsi.get_simkernel_so() == "verilator"
