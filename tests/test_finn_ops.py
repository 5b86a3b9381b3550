"""The operators: equal to the reference in Python and as modules, cycles exact, as FINN asks."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.finn.adapter import finn_session
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.kernel import Kernel
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFork
from tests.finn_models import PART, exported, mixed_folding, sentences

TOKENS, LENGTH = 6, 5
Context = dict[str, NDArray[Any]]


class Graphs:
    """A lowered, folded model with loadable matrices, and its tensors for a sentence."""

    def __init__(self, folder: Path) -> None:
        from qonnx.core.onnx_exec import execute_onnx

        from hw.finn.lower import lower
        from hw.finn.lower.fold import fold, folding_of
        from hw.finn.lower.load import WEIGHTS, load_stream

        integer, path = exported(folder, relative_positions=3)
        self.values = sentences(integer, [LENGTH])[0]
        self.model = lower(path, TOKENS)
        folding = mixed_folding(folding_of(self.model))
        for layer in range(2):
            folding[f"layer{layer}_down"]["loadable"] = True
        fold(self.model, folding)
        residual = np.zeros((1, TOKENS, 16), dtype=np.float32)
        residual[0, :LENGTH] = self.values["embedding.residual"]
        inputs = {"embedding.residual": residual, WEIGHTS: load_stream(self.model)}
        inputs["length"] = np.full((1, 1), LENGTH, dtype=np.float32)
        self.context: Context = execute_onnx(self.model, inputs, return_full_exec_context=True)

    def single(self, instance: str, tokens: int = TOKENS) -> Any:
        """A graph of one node alone; its sentence has `tokens` tokens, if it isn't an attention."""
        from onnx import TensorProto, helper
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.custom_op.registry import getCustomOp
        from qonnx.util.basic import qonnx_make_model

        from hw.finn.lower.fold import kernel_ops

        node = type(kernel_ops(self.model)[instance].onnx_node)()
        node.CopyFrom(kernel_ops(self.model)[instance].onnx_node)
        op = getCustomOp(node)
        op.set_nodeattr("max_tokens", tokens)
        streams = list(node.input)[: len(op.inputs())]
        ends = [(streams, op.input_types()), (node.output, op.output_types())]
        infos = [
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(kind.shape))
                for name, kind in zip(names, kinds, strict=False)
            ]
            for names, kinds in ends
        ]
        model = ModelWrapper(qonnx_make_model(helper.make_graph([node], instance, *infos)))
        for name in list(node.input)[len(streams) :]:
            model.set_initializer(name, self.model.get_initializer(name))
        for name in (*streams, *node.output):
            model.set_tensor_datatype(name, self.model.get_tensor_datatype(name))
        return model

    def simulate(self, model: Any, inputs: Context) -> tuple[Any, Context]:
        """Run a graph of one node as a module; the node, and its tensors."""
        from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
        from finn.transformation.fpgadataflow.prepare_rtlsim import PrepareRTLSim
        from finn.transformation.fpgadataflow.replace_verilog_relpaths import ReplaceVerilogRelPaths
        from finn.transformation.fpgadataflow.set_exec_mode import SetExecMode
        from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.custom_op.registry import getCustomOp

        for step in (
            *(SpecializeLayers(PART), PrepareIP(PART, 10.0)),
            *(ReplaceVerilogRelPaths(), PrepareRTLSim(), SetExecMode("rtlsim")),
        ):
            model = model.transform(step)
        given = {value.name: inputs[value.name] for value in model.graph.input}
        context = execute_onnx(model, given, return_full_exec_context=True)
        return getCustomOp(model.graph.node[0]), context


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graphs]:
    folder = tmp_path_factory.mktemp("finn")
    with finn_session(folder):
        yield Graphs(folder)


def repeated(context: Context, times: int) -> Context:
    """Tensors of several sentences on end."""
    return {
        name: np.concatenate([value] * times, axis=1) if value.ndim == 3 else value
        for name, value in context.items()
        if value is not None
    }


def test_python_equals_the_reference(graphs: Graphs) -> None:
    found = 0
    for name, expected in graphs.values.items():
        if name in graphs.context and name not in ("embedding.sum", "embedding.residual"):
            result = graphs.context[name][0][: len(expected)]
            assert np.array_equal(result, expected), name
            found += 1
    assert found == 2 * (3 + 3 + 2 + 2 + 2 + 1)


@pytest.mark.parametrize(
    "instance", ["input_threshold", "layer0_query", "layer0_ffn_norm", "layer1_attention_norm"]
)
def test_modules_equal_python_and_take_the_stated_cycles(graphs: Graphs, instance: str) -> None:
    cycles = []
    for times in (1, 2):
        model = graphs.single(instance, times * TOKENS)
        context = repeated(graphs.context, times)
        op, result = graphs.simulate(model, context)
        for name in op.onnx_node.output:
            assert np.array_equal(result[name], context[name]), name
        cycles.append(op.get_nodeattr("cycles_rtlsim"))
    assert cycles[1] - cycles[0] == op.cycles(TOKENS)
    assert op.get_exp_cycles() == 2 * op.cycles(TOKENS)


def test_attention_as_a_module_equals_python_for_a_shorter_sentence(graphs: Graphs) -> None:
    from hw.finn.lower.fold import kernel_ops

    tensors, kernel = graphs.context, kernel_ops(graphs.model)["layer0_attention"].kernel()
    cycles = {}
    for tokens in (LENGTH, LENGTH - 1):
        node = kernel_ops(graphs.model)["layer0_attention"].onnx_node
        inputs = {**tensors, node.input[3]: np.full((1, 1), tokens, dtype=np.float32)}
        op, result = graphs.simulate(graphs.single("layer0_attention"), inputs)
        (output,) = op.onnx_node.output
        if tokens == LENGTH:
            assert np.array_equal(result[output], tensors[output])
        assert (result[output][0, tokens:] == -1).all()
        cycles[tokens] = op.get_nodeattr("cycles_rtlsim")
    assert op.get_exp_cycles() == kernel.cycles([TOKENS])
    more = op.cycles(LENGTH) - op.cycles(LENGTH - 1)
    load = kernel.load_cycles(LENGTH) - kernel.load_cycles(LENGTH - 1)
    assert cycles[LENGTH] - cycles[LENGTH - 1] == more + load


@pytest.mark.parametrize("instance", ["length_fork", "layer0_down_load", "layer0_down"])
def test_lengths_and_loaded_weights_as_modules_equal_python(graphs: Graphs, instance: str) -> None:
    op, result = graphs.simulate(graphs.single(instance), graphs.context)
    for name in op.onnx_node.output:
        assert np.array_equal(result[name], graphs.context[name]), name


def test_weights_of_another_matrix_are_refused(graphs: Graphs) -> None:
    from qonnx.core.onnx_exec import execute_onnx

    model = graphs.single("layer0_down")
    context = {value.name: graphs.context[value.name] for value in model.graph.input}
    name = next(name for name in context if "load" in name)
    context[name] = 1 - context[name]
    with pytest.raises(ValueError, match="expected the beats of its weights, got others"):
        execute_onnx(model, context)


def test_finns_reports_say_what_the_kernels_say(graphs: Graphs) -> None:
    from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
    from finn.analysis.fpgadataflow.op_and_param_counts import op_and_param_counts
    from finn.analysis.fpgadataflow.res_estimation import res_estimation
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers

    from hw.finn.lower.fold import kernel_ops
    from hw.resources import resources_of

    model = graphs.model.transform(SpecializeLayers(PART), cleanup=False)
    cycles, resources = model.analysis(exp_cycles_per_layer), res_estimation(model, PART)
    counts = op_and_param_counts(model)
    for instance, op in kernel_ops(model).items():
        name, amount = op.onnx_node.name, resources_of(op.kernel(), "xc7")
        assert cycles[name] == op.cycles(TOKENS)
        assert resources[name]["LUT"] == amount.lut > 0 or instance == "length_fork"
        assert resources[name]["BRAM_18K"] == amount.bram18
        assert resources[name]["DSP"] == amount.dsp
    matrix = counts[kernel_ops(model)["layer0_up"].onnx_node.name]
    assert matrix["op_mac_BIPOLAR_BIPOLAR"] == TOKENS * 16 * 24
    assert matrix["param_weight"] == 16 * 24 and matrix["param_threshold"] == 24
    assert resources_of(kernel_ops(model)["layer0_up"].kernel(), "xcup").lut > 0


def test_widths_are_those_of_the_streams(graphs: Graphs) -> None:
    from hw.finn.lower.fold import kernel_ops

    for op in kernel_ops(graphs.model).values():
        for index, stream in enumerate(op.inputs()):
            assert op.get_instream_width(index) == stream.width
            assert np.prod(op.get_folded_input_shape(index)) == np.prod(
                op.get_normal_input_shape(index)
            )
        for index, stream in enumerate(op.outputs()):
            assert op.get_outstream_width(index) == stream.width
        for index in range(len(op.inputs()), len(op.onnx_node.input)):
            assert op.get_instream_width(index) == 0


@pytest.mark.parametrize(
    ("kernel", "constants"),
    [
        (BinaryMvu(6, 4, 2, 3), {"weight": (6, 4), "threshold": (4,)}),
        (BinaryMvu(6, 4, 2, 3, raw=True, inputs="binary"), {"weight": (6, 4)}),
        (
            BinaryAttention(5, 2, 8, sps=True),
            {"context_threshold": (16,), "score_threshold": (2,)},
        ),
        (
            BinaryAttention(5, 2, 8, relative_positions=3),
            {
                **{"context_threshold": (16,), "relative_bias": (2, 7)},
                **{"exp_table": (9,), "probability_threshold": (2,)},
            },
        ),
        (ChannelThreshold(8, bit_streams=2), {"threshold0": (8,), "threshold1": (8,)}),
        (StreamFork(3, 4), {}),
        (
            AddNorm(16, 6, 3, 2, bit_streams=0, rsqrt_index_bits=4),
            {"bias": (16,), "gamma": (16,), "beta": (16,), "rsqrt_table": (12,)},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attributes_give_the_kernel_back(
    graphs: Graphs, kernel: Kernel, constants: dict[str, tuple[int, ...]]
) -> None:
    from qonnx.custom_op.registry import getCustomOp

    from hw.finn.lower.graph import hardware_node

    op = getCustomOp(hardware_node(kernel, ["x"], ["y"], max_tokens=5))
    assert op.kernel() == kernel
    assert {name: shape for name, (shape, _) in op.constant_types().items()} == constants
    other = replace(kernel, **{name: getattr(kernel, name) for name in op.folding})  # type: ignore[type-var]
    op.set_kernel(other)
    assert op.kernel() == kernel


def test_wrappers_are_plain_verilog_of_instances_and_constants(graphs: Graphs) -> None:
    from hw.finn.ops.wrapper import wrapper

    fork = wrapper("fork", StreamFork(3, 2))
    assert "logic" not in fork and "always" not in fork
    assert ".m_axis_tvalid({out1_V_TVALID, out0_V_TVALID})" in fork
    assert "output [7:0] out1_V_TDATA" in fork
    plain = wrapper("mvu", BinaryMvu(6, 4, 2, 3))
    assert ".s_axis_weights_tvalid(1'b0)" in plain and '.WEIGHT_FILE("./weights.hex")' in plain
    loadable = wrapper("mvu", BinaryMvu(6, 4, 2, 3, loadable=True))
    assert ".s_axis_weights_tvalid(in1_V_TVALID)" in loadable and '.WEIGHT_FILE("")' in loadable
    assert ".m_axis_bits2_tready(1'b1)" in wrapper("norm", AddNorm(16, 6, 3, 2))
