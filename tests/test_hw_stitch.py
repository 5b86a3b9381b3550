"""The structural top: lint-clean, complete in its folder, accepted by the tools."""

import re
from pathlib import Path

import pytest

from hw.design import Design, load_design
from hw.errors import HardwareFileError
from hw.sim.verilator import HERE, lint
from hw.stitch import FIFO_DEPTHS, simulation_top, top_module, write_design
from hw.synth.yosys import run_script
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model


def small_design(layers: int = 2, attention: str = "softmax", loadable: bool = False) -> Design:
    model = random_integer_model(layers=layers, attention=attention)
    folding = {name: dict(fields) for name, fields in even_folding(model, 8, 64).items()}
    if loadable:
        for name in ("layer0_query", "layer0_up", "layer0_down"):
            folding[name] |= {"loadable": True, "weight_memory": "ultra"}
    return encoder_design(model, folding, 8)


DESIGNS = [(2, "softmax", False), (1, "sps", True)]


@pytest.mark.parametrize(("layers", "attention", "loadable"), DESIGNS)
def test_the_top_is_clean_and_only_instances_and_connections(
    tmp_path: Path, layers: int, attention: str, loadable: bool
) -> None:
    design = small_design(layers, attention, loadable)
    top = write_design(design, tmp_path)
    text = top.read_text()
    assert not re.search(r"\b(always\w*|initial|if|reg|function)\b", text)
    assert len(re.findall(r"^  \w+ #\($", text, re.MULTILINE)) == len(design.instances)
    sources = [tmp_path / line for line in (tmp_path / "files.f").read_text().splitlines()]
    assert lint(design.name, {}, only=sources) == ""


def test_the_folder_is_complete_and_the_same_design_gives_the_same_bytes(tmp_path: Path) -> None:
    design = small_design(1, "sps", True)
    first, second = (write_design(design, tmp_path / name).parent for name in ("a", "b"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for name in files:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert load_design(first / "design.json") == design
    for kernel in design.instances.values():
        for name in kernel.memory_shapes():
            assert (first / name).read_text() == design.memories[name]
    assert (first / "layer0_up.load.hex").exists()
    listed = {first / line for line in (first / "files.f").read_text().splitlines()}
    assert {path for path in listed if path.exists()} == listed
    assert listed == set(first.rglob("*.sv"))


def test_unused_streams_are_tied_off() -> None:
    text = top_module(small_design())
    query = text[text.index(") layer0_query (") :]
    query = query[: query.index(");")]
    assert ".s_axis_weights_tvalid(1'b0)" in query
    norm = text[text.index(") layer0_attention_norm (") :]
    norm = norm[: norm.index(");")]
    assert ".m_axis_bits1_tready(1'b1)" in norm
    assert ".m_axis_bits0_tready(layer0_attention_norm_bits0_tready)" in norm


def test_the_lanes_can_be_plain_descriptions(tmp_path: Path) -> None:
    design = small_design(1)
    assert "BEHAVIOURAL(1)" not in write_design(design, tmp_path / "a").read_text()
    plain = write_design(design, tmp_path / "b", behavioural=True).read_text()
    assert plain.count("BEHAVIOURAL(1)") == 6
    assert plain.replace("BEHAVIOURAL(1)", "BEHAVIOURAL(0)") == top_module(design)


def test_the_top_for_simulation_differs_in_fifos_and_monitors_alone(tmp_path: Path) -> None:
    design = small_design(1)
    text = simulation_top(design)
    assert FIFO_DEPTHS in text
    assert text.count("stream_monitor #(") == len(design.connections)
    assert text.count("simulated_fifo #(") == len(design.fifos())
    assert "stream_fifo #(" not in text
    deeper = design.with_kernels({n: type(k)(k.width, 9) for n, k in design.fifos().items()})
    assert simulation_top(deeper) == text  # depths don't count: nothing compiles again


def test_parts_for_simulation_are_clean() -> None:
    for name in ("simulated_fifo", "stream_monitor"):
        assert lint(name, {"WIDTH": 9}, only=[HERE / f"{name}.sv"]) == ""


def test_yosys_reads_the_top(tmp_path: Path) -> None:
    design = small_design(1, "sps")
    write_design(design, tmp_path)
    sources = " ".join((tmp_path / "files.f").read_text().split())
    script = f"read_slang -D SYNTHESIS --top {design.name} {sources}\nhierarchy -check"
    run_script(f"{script} -top {design.name}", tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HardwareFileError, match=r"file: expected a folder to write to, got .*"):
        write_design(small_design(1), tmp_path / "file")
