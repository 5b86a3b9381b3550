"""Lowering: every pass leaves every number; what is no encoder, and no folding, is one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgebert.tokenizer import Tokenizer
from edgebert.zoo import find, model_file
from export.onnx_model import build_encoder
from hw.errors import HardwareFileError, ParameterError
from hw.finn.adapter import finn_session
from hw.integer_model import load_integer_model
from hw.reference import run_embedding
from tests.finn_models import exported, mixed_folding, residuals

PASSES = [
    "FixTokens",
    "AnnotateTypes",
    "InferBinaryMvu",
    "InferBinaryAttention",
    "InferAddNorm",
    "InferInputThreshold",
    "InferLengths",
    "NameInstances",
]
TEXTS = ("Yes.", "A quiet, patient film about two sisters; it earns every tear.")


@pytest.mark.parametrize(
    ("attention", "layers", "reach"),
    [("softmax", 1, 0), ("softmax", 3, 2), ("sps", 2, 0), ("sps", 1, 7)],
)
def test_every_pass_and_a_folding_leave_every_number(
    tmp_path: Path, attention: str, layers: int, reach: int
) -> None:
    sizes = {"layers": layers, "relative_positions": reach}
    model, path = exported(tmp_path, attention=attention, **sizes)
    with finn_session(tmp_path / "finn"):
        from hw.finn.lower import lower
        from hw.finn.lower.check import Checker
        from hw.finn.lower.fold import fold, folding_of, kernel_ops
        from hw.finn.streams import build_graph

        checker = Checker(path, residuals(model, [7, 1, 4]))
        lowered = lower(path, 7, checker)
        assert checker.passes == PASSES
        names = list(kernel_ops(lowered))
        parts = ("query", "key", "value", "attention", "output", "attention_norm")
        expected = [f"layer{i}_{p}" for i in range(layers) for p in (*parts, "up", "down")]
        expected += [f"layer{i}_ffn_norm" for i in range(layers)] + ["input_threshold"]
        expected += ["length_fork"] if layers > 1 else []
        assert sorted(names) == sorted(expected)
        assert [value.name for value in lowered.graph.input] == ["embedding.residual", "length"]
        folding = mixed_folding(folding_of(lowered))
        checker("fold", fold(lowered, folding))
        assert folding_of(lowered) == folding
        checker("streams", build_graph(lowered, {}))


def test_a_trained_model_and_real_sentences(tmp_path: Path) -> None:
    model = load_integer_model(model_file(find("tiny-sst2")))
    (tmp_path / "encoder.onnx").write_bytes(build_encoder(model).SerializeToString())
    tokenizer = Tokenizer(model.attachments["vocab.txt"].decode().splitlines(), 64)
    encoded = tokenizer.encode_batch([(text, None) for text in TEXTS])
    inputs = [
        run_embedding(model, e.input_ids, e.token_type_ids)["embedding.residual"] for e in encoded
    ]
    with finn_session(tmp_path / "finn"):
        from hw.finn.lower import lower
        from hw.finn.lower.check import Checker

        checker = Checker(tmp_path / "encoder.onnx", inputs)
        lower(tmp_path / "encoder.onnx", 64, checker)
        assert checker.passes == PASSES


def test_the_same_encoder_gives_the_same_graph(tmp_path: Path) -> None:
    _, path = exported(tmp_path)
    with finn_session(tmp_path / "finn"):
        from hw.finn.lower import lower

        first, second = (lower(path, 5).model.SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        ("layer.1.key.threshold", r"InferBinaryMvu: layer\.1\.key\.output\[\d+, \d+\]"),
        ("layer.0.attention.exp_table", r"InferBinaryAttention: layer\.0\.output\.input\["),
        ("layer.0.ffn_norm.beta", r"InferAddNorm: layer\.0\.ffn_norm\.residual\["),
        ("layer.0.value.input_threshold", r"InferInputThreshold: layer\.0\.value\.input\["),
    ],
)
def test_a_pass_that_changes_a_number_is_found(
    tmp_path: Path, tensor: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass that takes a constant into its operator also damages it."""
    model, path = exported(tmp_path)
    with finn_session(tmp_path / "finn"):
        import hw.finn.lower.attention
        import hw.finn.lower.mvu
        import hw.finn.lower.norm
        from hw.finn.lower import lower
        from hw.finn.lower.check import Checker, LoweringError

        true = hw.finn.lower.mvu.replace_nodes

        def damaging(wrapper: Any, old: Any, new: Any) -> None:
            true(wrapper, old, new)
            damage(wrapper, new)

        def damage(wrapper: Any, new: Any) -> None:
            for node in new:
                if tensor in node.input:
                    values = np.array(wrapper.get_initializer(tensor))
                    wrapper.set_initializer(tensor, np.roll(values, 1))

        for module in (hw.finn.lower.mvu, hw.finn.lower.attention, hw.finn.lower.norm):
            monkeypatch.setattr(module, "replace_nodes", damaging)
        node = hw.finn.lower.norm.hardware_node

        def first(kernel: Any, *rest: Any, **attributes: Any) -> Any:
            made = node(kernel, *rest, **attributes)
            if made.op_type == "ChannelThreshold":
                inputs = list(made.input)
                made.input[inputs.index(tensor)] = inputs[inputs.index(tensor) - 1]
            return made

        if "value" in tensor:
            monkeypatch.setattr(hw.finn.lower.norm, "hardware_node", first)
        with pytest.raises(LoweringError, match=name + r".*expected -?\d+, got -?\d+"):
            lower(path, 8, Checker(path, residuals(model, [8, 8])))


def without(op_type: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == op_type)
        for other in model.graph.node:
            for i, name in enumerate(other.input):
                if name == node.output[0]:
                    other.input[i] = node.input[0]
        model.graph.node.remove(node)

    return change


def scaled(name: str, factor: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        entry = next(entry for entry in model.graph.initializer if entry.name == name)
        values = numpy_helper.to_array(entry) * np.float32(factor)
        entry.CopyFrom(numpy_helper.from_array(values, name))

    return change


def attribute(op_type: str, name: str, value: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == op_type)
        next(entry for entry in node.attribute if entry.name == name).i = value

    return change


def permuted(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Transpose")
    node.attribute[0].ints[:] = [0, 1, 2, 3]


def another_node(model: onnx.ModelProto) -> None:
    output = model.graph.output[0].name
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Neg", ["before"], [output], name="negated"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("Threshold"), "residual: expected bits in front of a binary matrix, got INT18"),
        (without("BipolarQuant"), "expected .*MatMul"),
        (without("IntegerLayerNorm"), "expected .*ResidualAdd"),
        (without("Transpose"), "expected "),
        (permuted, "expected "),
        (scaled("one", 2), "layer.0.query.weight: expected the scale 1, got 2"),
        (scaled("layer.1.up.threshold", 0.3), "layer.1.up.threshold: expected integers"),
        (scaled("layer.0.attention_norm.gamma", 0.3), "gamma: expected integers, got fractions"),
        (attribute("ResidualAdd", "shift", 77), "shift: expected 0 to 30, got 77"),
        (attribute("Threshold", "low", 5), "expected low = -1 or 0, got 5"),
        (another_node, "negated: expected nodes of an encoder only, got Neg|expected the last"),
    ],
)
def test_a_changed_encoder_is_one_line(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    _, path = exported(tmp_path)
    model = onnx.load(str(path))
    change(model)
    onnx.save(model, str(path))
    with finn_session(tmp_path / "finn"):
        from hw.finn.lower import lower

        with pytest.raises(HardwareFileError, match=message) as caught:
            lower(path, 8)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and line.endswith("; export it again")
    assert "\n" not in line


def test_what_is_no_encoder_is_one_line(tmp_path: Path) -> None:
    model, path = exported(tmp_path)
    content = path.read_bytes()
    with finn_session(tmp_path / "finn"):
        from export.onnx_model import build_model
        from hw.finn.lower import lower

        for bad in (b"", b"nonsense", content[: len(content) // 2]):
            path.write_bytes(bad)
            with pytest.raises(HardwareFileError, match=r"expected an encoder, got .*; export it"):
                lower(path, 8)
        path.write_bytes(build_model(model).SerializeToString())
        with pytest.raises(HardwareFileError, match="expected an encoder of a residual and"):
            lower(path, 8)
        with pytest.raises(HardwareFileError, match="expected an encoder, got no such file"):
            lower(tmp_path / "missing.onnx", 8)
        path.write_bytes(content)
        for tokens in (0, -1, 1025):
            with pytest.raises(ParameterError, match=f"max_tokens: expected .*, got {tokens}"):
                lower(path, tokens)


def test_a_folding_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    _, path = exported(tmp_path)
    with finn_session(tmp_path / "finn"):
        from hw.finn.lower import lower
        from hw.finn.lower.fold import fold, folding_of

        model = lower(path, 8)
        good = folding_of(model)
        other = {n: e for n, e in good.items() if not n.startswith("layer1")}
        bad: list[tuple[dict[str, Any], str]] = [
            (other, "expected the 19 kernels of this model, got 10; missing: layer1_attention"),
            (good | {"layer2_up": {}}, "got 20; unknown: layer2_up"),
            (good | {"layer0_up": {"lanes": 2}}, "layer0_up: expected fields of .*'lanes'"),
            (good | {"layer0_up": {"pe": 5}}, "layer0_up: pe: expected a divisor of mh = 24"),
            (good | {"layer0_up": {"pe": "5"}}, "layer0_up: pe: expected int, got '5'"),
            (good | {"layer0_up": {"mw": 64}}, "mw: expected 16, which the model decides, got 64"),
            (
                good | {"layer0_up": {"weight_memory": "ultra"}},
                "layer0_up: weight_memory: expected",
            ),
            (good | {"layer0_up": {"loadable": True, "load_bits": 64}}, "load_bits: expected 72"),
            (good | {"layer0_up": 3}, "layer0_up: expected fields and their values, got 3"),
        ]
        for folding, message in bad:
            changed = {**folding, "layer0_query": {"pe": 4}} if "layer0_query" in folding else {}
            with pytest.raises(ParameterError, match=message):
                fold(model, changed or folding)
            assert folding_of(model) == good
        fold(model, good | {"layer0_up": {"mw": 16, "pe": 3}})
        assert folding_of(model)["layer0_up"]["pe"] == 3
