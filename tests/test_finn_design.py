"""The final graph: the design that is written by hand, and the one that FINN's steps make."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hw.design import Design
from hw.errors import HardwareFileError, ParameterError
from hw.finn.adapter import finn_session
from tests.designs import encoder_design, even_folding
from tests.finn_models import PART, exported, mixed_folding

TOKENS = 7
DEPTHS = {
    "layer0_attention_norm_residual_fifo": {"depth": 77, "ram": "block"},
    "layer0_down_in_fifo": {"depth": 5, "ram": "distributed"},
}


def same(first: Design, second: Design) -> bool:
    """Equal but for the order of instances and connections, which FINN's passes change."""
    return (
        dict(first.instances) == dict(second.instances)
        and set(first.connections) == set(second.connections)
        and len(first.connections) == len(second.connections)
        and first.ports == second.ports
        and first.memories == second.memories
    )


def finals(
    path: Path, folding: Mapping[str, Mapping[str, Any]] | None, depths: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The folded graph and the final one."""
    from hw.finn.lower import lower
    from hw.finn.lower.fold import fold, folding_of
    from hw.finn.streams import build_graph

    model = lower(path, TOKENS)
    fold(model, folding or mixed_folding(folding_of(model)))
    return model, build_graph(model, depths)


def loadable(folding: Mapping[str, Mapping[str, Any]], parts: tuple[str, ...]) -> dict[str, Any]:
    """With the weights of some matrices in URAM."""
    ultra = {"loadable": True, "weight_memory": "ultra"}
    return {n: {**e, **(ultra if n.endswith(parts) else {})} for n, e in folding.items()}


@pytest.mark.parametrize(
    ("attention", "layers", "parts", "reach"),
    [
        ("softmax", 2, (), 0),
        ("sps", 1, (), 0),
        ("softmax", 3, ("_up", "_down"), 2),
        ("sps", 1, ("_up",), 7),
    ],
)
def test_the_design_equals_the_one_written_by_hand(
    tmp_path: Path, attention: str, layers: int, parts: tuple[str, ...], reach: int
) -> None:
    sizes = {"layers": layers, "relative_positions": reach}
    model, path = exported(tmp_path, attention=attention, **sizes)
    folding = even_folding(model, TOKENS, 32)
    folding = loadable(folding, parts) if parts else folding
    with finn_session(tmp_path / "finn"):
        from hw.finn.design import design_of

        _, final = finals(path, folding, DEPTHS)
        design = design_of(final, name="encoder", properties={"board": "none"})
    assert same(design, encoder_design(model, folding, TOKENS, DEPTHS))
    assert design.properties == {"max_tokens": TOKENS, "board": "none"}
    assert any(name.endswith("_width") for name in design.instances)
    assert design.fifos()["layer0_down_in_fifo"].depth == 5


def test_instances_are_in_the_order_of_the_data(tmp_path: Path) -> None:
    _, path = exported(tmp_path)
    with finn_session(tmp_path / "finn"):
        from hw.finn.design import design_of

        design = design_of(finals(path, None, {})[1], name="encoder", properties={})
    places = {name: place for place, name in enumerate(design.instances)}
    for connection in design.connections:
        ends = (connection.source.instance, connection.target.instance)
        if all(ends):
            assert places[ends[0]] < places[ends[1]]


@pytest.mark.parametrize("parts", [(), ("_up", "_down")])
def test_finns_steps_make_the_same_design_from_the_files(
    tmp_path: Path, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XILINX_VIVADO", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no Vivado there
    model, path = exported(tmp_path)
    folding = loadable(even_folding(model, TOKENS, 32), parts) if parts else None
    with finn_session(tmp_path / "finn"):
        from finn.transformation.fpgadataflow import create_stitched_ip
        from qonnx.custom_op.registry import getCustomOp

        from hw.finn.builder import FIFOS, FOLDING, generate, write_configs
        from hw.finn.design import design_of

        folded, final = finals(path, folding, DEPTHS)
        write_configs(tmp_path, folded, final, PART)
        made = generate(folded, tmp_path, PART, 100.0)
        expected, found = (design_of(g, name="a", properties={}) for g in (final, made))
        assert same(expected, found)
        ops = [getCustomOp(node) for node in made.graph.node]
        tops = [op.get_nodeattr("gen_top_module") for op in ops]
        assert len(set(tops)) == len(tops)
        for op in ops:
            assert all(Path(file).is_file() for file in op.get_rtl_file_list(abspath=True))
        # it sleeps for each of hundreds of files
        monkeypatch.setattr(create_stitched_ip, "wait_for_file", lambda *_, **__: True)
        with pytest.raises(FileNotFoundError, match="vivado not found"):
            made.transform(create_stitched_ip.CreateStitchedIP(PART, 10.0))
        tcl = next((tmp_path / "finn").glob("vivado_stitch_proj_*/make_project.tcl")).read_text()
        assert "BinaryMvu_rtl_0/in0_V" in tcl
        config = json.loads((tmp_path / FOLDING).read_text())
        assert config["AddNorm_rtl_0"]["lanes"] == expected.instances["layer0_attention_norm"].lanes
        content = json.loads((tmp_path / FIFOS).read_text())
        assert sorted(content["fifo_depths"].values())[-2:] == [5, 77]
        del content["fifo_depths"]["StreamingFIFO_rtl_0"]
        (tmp_path / FIFOS).write_text(json.dumps(content))
        with pytest.raises(HardwareFileError, match=r"expected the .* FIFOs of this design, got"):
            generate(folded, tmp_path, PART, 100.0)
    cycles = json.loads((tmp_path / "report" / "estimate_layer_cycles.json").read_text())
    assert (
        cycles["AddNorm_rtl_0"] == TOKENS * expected.instances["layer0_attention_norm"].interval()
    )


def test_depths_that_no_fifo_has_are_one_line(tmp_path: Path) -> None:
    _, path = exported(tmp_path)
    bad = [
        ({"layer9_up_in_fifo": {"depth": 3}}, "expected FIFOs of this design, got layer9_up_in"),
        ({"layer0_up_in_fifo": {"depth": 1}}, "layer0_up_in_fifo: depth: expected 2 to .*, got 1"),
        ({"layer0_up_in_fifo": {"ram": "sand"}}, "layer0_up_in_fifo: ram: expected one of"),
        ({"layer0_up_in_fifo": {"width": 3}}, r"expected depth and ram, got \['depth', 'ram', 'w"),
    ]
    with finn_session(tmp_path / "finn"):
        for depths, message in bad:
            with pytest.raises(ParameterError, match=message):
                finals(path, None, depths)


def test_a_graph_that_is_not_finished_has_no_design(tmp_path: Path) -> None:
    _, path = exported(tmp_path)
    with finn_session(tmp_path / "finn"):
        from hw.finn.design import design_of

        with pytest.raises(ParameterError, match=r"expected equal widths"):
            design_of(finals(path, None, {})[0], name="encoder", properties={})


def test_a_refolded_graph_loses_its_old_chain(tmp_path: Path) -> None:
    model, path = exported(tmp_path)
    plain: dict[str, Any] = dict(even_folding(model, TOKENS, 32))
    back = {n: {**e, "loadable": False, "weight_memory": "auto"} if n.endswith("_up") else e
            for n, e in plain.items()}  # fmt: skip
    with finn_session(tmp_path / "finn"):
        from hw.finn.design import design_of
        from hw.finn.lower.fold import fold
        from hw.finn.streams import build_graph

        folded, first = finals(path, plain, {})
        fold(folded, loadable(plain, ("_up",)))
        chained = design_of(build_graph(folded, {}), name="a", properties={})
        fold(folded, back)
        second = design_of(build_graph(folded, {}), name="a", properties={})
        assert same(design_of(first, name="a", properties={}), second)
    assert "layer0_up_load" in chained.instances and "layer1_up.load.hex" in chained.memories
    assert chained.ports[2].name == "s_axis_weights"
