"""FINN without Vivado: what a session leaves behind, and an own operator in FINN's passes."""

import json
import logging
import multiprocessing
import os
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hw.finn.adapter as adapter
from hw.errors import ToolError
from hw.finn.adapter import finn_session, register

SHAPE = [1, 6, 8]
STEPS = [
    "step_create_dataflow_partition",
    "step_specialize_layers",
    "step_target_fps_parallelization",
    "step_apply_folding_config",
    "step_minimize_bit_width",
    "step_generate_estimate_reports",
]


def state() -> list[Any]:
    """All that FINN touches of a process."""
    root, finn = logging.getLogger(), logging.getLogger("finn_logger")
    return [
        dict(os.environ),
        Path.cwd(),
        sys.stdout,
        sys.stderr,
        list(root.handlers),
        root.level,
        list(finn.handlers),
        finn.propagate,
        warnings.showwarning,
        list(warnings.filters),
        multiprocessing.get_start_method(allow_none=True),
    ]


def test_importing_the_adapter_imports_no_finn_and_writes_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys; before = dict(os.environ)\n"
        "import hw.finn, hw.finn.adapter, hw.finn.xsi\n"
        "assert not {'finn', 'qonnx', 'torch'} & set(sys.modules)\n"
        "assert dict(os.environ) == before\n"
    )
    path = str(Path(__file__).parents[1])
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": path}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert not list(tmp_path.iterdir())


def test_a_session_leaves_the_process_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XILINX_VIVADO", raising=False)
    (tmp_path / "home").mkdir()
    before = state()
    for build in ("a", "a", "b"):
        with finn_session(tmp_path / build):
            import finn.xsi
            from finn.util.basic import make_build_dir
            from finn.util.logging import log
            from finn.util.settings import get_settings

            assert finn.xsi.SimEngine is adapter.xsi.SimEngine
            assert get_settings().finn_build_dir == tmp_path / build
            assert Path(make_build_dir("made_")).parent == tmp_path / build
            with finn_session(tmp_path / "inner"):
                assert os.environ["FINN_BUILD_DIR"] == str(tmp_path / "inner")
            assert get_settings().finn_build_dir == tmp_path / build
            print("printed")
            log.error("logged")
            log.warning("warned")
            warnings.warn("unheard", stacklevel=1)
        assert state() == before
    with pytest.raises(ZeroDivisionError), finn_session(tmp_path / "c"):
        raise ZeroDivisionError
    assert state() == before
    assert "SimEngine" not in vars(finn.xsi)
    assert (tmp_path / "b" / "finn.log").read_text() == "printed\nlogged\nwarned\n"
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "home").iterdir())


def test_a_vivado_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XILINX_VIVADO", "/tools/Vivado/2024.2")
    with finn_session(tmp_path):
        assert os.environ["XILINX_VIVADO"] == "/tools/Vivado/2024.2"


def test_a_missing_finn_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(adapter, "distribution", missing)
    with pytest.raises(ToolError) as caught, finn_session(tmp_path / "a"):
        pass
    assert str(caught.value) == (
        "expected FINN (package finn-plus), found none; "
        "install it with: pip install --no-deps -r requirements.lock"
    )
    assert not (tmp_path / "a").exists()


def test_names_that_finn_does_not_follow_are_refused(tmp_path: Path) -> None:
    with finn_session(tmp_path):
        from tests.finn_toy import ToyJoin, ToyJoin_rtl

        def named(name: str, base: type) -> type:
            return type(name, (base,), {})

        with pytest.raises(ValueError, match="expected the name ToyJoin_rtl, got Other_rtl"):
            register(ToyJoin, named("Other_rtl", ToyJoin_rtl))
        with pytest.raises(ValueError, match=r"expected a name without '_v'.*, got My_value"):
            register(named("My_value", ToyJoin), named("My_value_rtl", ToyJoin_rtl))
        with pytest.raises(ValueError, match=r"LayerNorm: the name is taken by finn\.custom_op"):
            register(named("LayerNorm", ToyJoin), named("LayerNorm_rtl", ToyJoin_rtl))


def test_an_own_operator_passes_finns_passes(tmp_path: Path) -> None:
    with finn_session(tmp_path):
        from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
        from finn.analysis.fpgadataflow.res_estimation import res_estimation
        from finn.core.onnx_exec import execute_onnx
        from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
        from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
        from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
        from finn.transformation.fpgadataflow.set_exec_mode import SetExecMode
        from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
        from qonnx.custom_op.registry import getCustomOp
        from qonnx.transformation.general import GiveUniqueNodeNames

        from hw.finn.fifo import InsertStreamFifo
        from tests.finn_toy import PART, ToyJoin, ToyJoin_rtl, toy_graph, values_of

        register(ToyJoin, ToyJoin_rtl)
        register(ToyJoin, ToyJoin_rtl)
        model = toy_graph(SHAPE)
        inputs = {name: values_of("INT4", SHAPE, seed) for seed, name in enumerate("ab")}
        expected = execute_onnx(model, inputs)
        model = model.transform(SpecializeLayers(PART))
        join = model.get_nodes_by_op_type("ToyJoin_rtl")[0]
        assert join.domain == "finn.custom_op.fpgadataflow.rtl"
        assert model.analysis(exp_cycles_per_layer)["ToyJoin_rtl_0"] == 24
        assert res_estimation(model, PART)["ToyJoin_rtl_0"]["LUT"] == 16
        model = model.transform(InsertDWC()).transform(InsertStreamFifo())
        model = model.transform(InsertFIFO(create_shallow_fifos=True))
        model = model.transform(SpecializeLayers(PART)).transform(GiveUniqueNodeNames())
        types = [
            getCustomOp(fifo).get_nodeattr("dataType")
            for fifo in model.get_nodes_by_op_type("StreamingFIFO_rtl")
        ]
        assert sorted(types) == sorted(["INT4"] * 3 + ["INT5"] * 2 + ["BIPOLAR"] * 2)
        assert len(model.get_nodes_by_op_type("StreamingDataWidthConverter_rtl")) == 2
        model = model.transform(PrepareIP(PART, 10.0))
        for node in model.graph.node:
            for path in getCustomOp(node).get_rtl_file_list(abspath=True):
                assert Path(path).is_file()
        last = getCustomOp(model.get_nodes_by_op_type("ToyJoin_rtl")[0]).code_generation_ipi()[-1]
        assert last == "create_bd_cell -type module -reference ToyJoin_rtl_0 ToyJoin_rtl_0"
        outputs = execute_onnx(model.transform(SetExecMode("cppsim")), inputs)
        for name in ("levels", "wide"):
            assert np.array_equal(outputs[name], expected[name]), name


def test_finns_own_fifos_take_the_first_outputs_type_which_ours_do_not(tmp_path: Path) -> None:
    with finn_session(tmp_path):
        from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
        from qonnx.custom_op.registry import getCustomOp

        from hw.finn.fifo import InsertStreamFifo
        from tests.finn_toy import ToyJoin, ToyJoin_rtl, toy_graph

        register(ToyJoin, ToyJoin_rtl)
        for insert, kind in ((InsertFIFO(True), "INT5"), (InsertStreamFifo(), "BIPOLAR")):
            model = toy_graph(SHAPE)
            join, levels, _ = model.graph.node
            getCustomOp(levels).set_nodeattr("PE", 2)  # no width converter between
            getCustomOp(join).set_nodeattr("outFIFODepths", [2, 7])
            model = model.transform(insert)
            fifo = getCustomOp(model.find_consumer("bits"))
            assert fifo.get_nodeattr("dataType") == kind
            assert fifo.get_nodeattr("depth") == 7
            assert model.get_tensor_datatype(fifo.onnx_node.output[0]).name == kind


def test_streams_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with finn_session(tmp_path):
        from qonnx.custom_op.registry import getCustomOp

        from hw.finn.fifo import InsertStreamFifo
        from tests.finn_toy import ToyJoin, ToyJoin_rtl, join, model_of, toy_graph

        register(ToyJoin, ToyJoin_rtl)
        with pytest.raises(ValueError, match=r"sum: expected equal lanes, got 2 of .* and 4 of"):
            toy_graph(SHAPE).transform(InsertStreamFifo())
        model = toy_graph(SHAPE)
        getCustomOp(model.graph.node[1]).set_nodeattr("PE", 2)
        getCustomOp(model.graph.node[0]).set_nodeattr("outFIFODepths", [2])
        with pytest.raises(ValueError, match=r"expected outFIFODepths of each stream, got \[2\]"):
            model.transform(InsertStreamFifo())
        nodes = [
            join(["a", "b"], ["x", "y"], SHAPE, 2),
            join(["x", "b2"], ["p", "q"], SHAPE, 2),
            join(["x", "b3"], ["r", "s"], SHAPE, 2),
        ]
        inputs = dict.fromkeys(("a", "b", "b2", "b3"), "INT4")
        model = model_of(nodes, inputs, dict.fromkeys("ypqrs", "INT5"), SHAPE)
        with pytest.raises(ValueError, match=r"x: expected one reader, got .*; add a fork"):
            model.transform(InsertStreamFifo())


def test_the_builder_folds_estimates_and_generates_with_given_fifo_depths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XILINX_VIVADO", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no Vivado there
    before = state()
    depths = {f"StreamingFIFO_rtl_{i}": 3 + i for i in range(7)}
    fifos = {"fifo_depths": depths, "impl_style": dict.fromkeys(depths, "rtl")}
    (tmp_path / "fifos.json").write_text(
        json.dumps({**fifos, "ram_style": dict.fromkeys(depths, "auto")})
    )
    folding = {"Defaults": {}, "ToyJoin_rtl_0": {"PE": 4}, "Thresholding_rtl_0": {"PE": 2}}
    (tmp_path / "folding.json").write_text(json.dumps(folding))
    with finn_session(tmp_path / "work"):
        from finn.builder.build_dataflow import build_dataflow_cfg
        from finn.builder.build_dataflow_config import DataflowBuildConfig, DataflowOutputType
        from finn.transformation.fpgadataflow.create_stitched_ip import CreateStitchedIP
        from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.custom_op.registry import getCustomOp

        from hw.finn.fifo import InsertStreamFifo
        from tests.finn_toy import PART, ToyJoin, ToyJoin_rtl, toy_graph

        def step_streams(model: Any, cfg: Any) -> Any:
            return model.transform(InsertDWC()).transform(InsertStreamFifo())

        register(ToyJoin, ToyJoin_rtl)
        model = toy_graph(SHAPE, 1)
        getCustomOp(model.graph.node[2]).set_nodeattr("inWidth", 4)
        model.save(str(tmp_path / "model.onnx"))
        config = DataflowBuildConfig(
            output_dir=str(tmp_path / "out"),
            synth_clk_period_ns=10.0,
            fpga_part=PART,
            board="Pynq-Z2",
            generate_outputs=[DataflowOutputType.ESTIMATE_REPORTS],
            steps=[*STEPS, step_streams, "step_set_fifo_depths"],
            folding_config_file=tmp_path / "folding.json",
            auto_fifo_depths=False,
            fifo_config_file=tmp_path / "fifos.json",
            console_log_level="NONE",
        )
        assert build_dataflow_cfg(str(tmp_path / "model.onnx"), config) == 0
        made = tmp_path / "out" / "intermediate_models" / "step_set_fifo_depths.onnx"
        nodes = [getCustomOp(node) for node in ModelWrapper(str(made)).graph.node]
        got = {
            op.onnx_node.name: (op.get_nodeattr("depth"), op.get_nodeattr("gen_top_module"))
            for op in nodes
            if op.onnx_node.op_type == "StreamingFIFO_rtl"
        }
        assert got == {name: (depth, name) for name, depth in depths.items()}
        tops = [op.get_nodeattr("gen_top_module") for op in nodes]
        assert len(set(tops)) == len(tops)
        for op in nodes:
            assert all(Path(path).is_file() for path in op.get_rtl_file_list(abspath=True))
        with pytest.raises(FileNotFoundError, match="vivado not found"):
            ModelWrapper(str(made)).transform(CreateStitchedIP(PART, 10.0))
        tcl = next((tmp_path / "work").glob("vivado_stitch_proj_*/make_project.tcl")).read_text()
    pins = "connect_bd_intf_net [get_bd_intf_pins {}] [get_bd_intf_pins {}]"
    assert pins.format("ToyJoin_rtl_0/out1_V", "StreamingFIFO_rtl_2/in0_V") in tcl
    assert pins.format("StreamingFIFO_rtl_1/out0_V", "ToyJoin_rtl_0/in0_V") in tcl
    assert "set_property name m_axis_1 " in tcl
    reports = tmp_path / "out" / "report"
    cycles = json.loads((reports / "estimate_layer_cycles.json").read_text())
    assert cycles["ToyJoin_rtl_0"] == 12
    assert cycles["Thresholding_rtl_0"] == 24
    performance = json.loads((reports / "estimate_network_performance.json").read_text())
    assert performance["max_cycles_node_name"] == "Thresholding_rtl_0"
    assert json.loads((reports / "fifo_sizing.json").read_text())["fifo_depths"] == depths
    assert state() == before
