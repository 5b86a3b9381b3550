"""A design: every stream connected once, widths equal, the file read back as written."""

from dataclasses import replace
from pathlib import Path

import pytest

from hw.design import TOP, Connection, Design, End, load_design, save_design
from hw.errors import HardwareFileError, ParameterError
from hw.kernels.kernel import StreamPort
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo, StreamFork, WidthConverter

MVU = BinaryMvu(mw=8, mh=4, pe=2, simd=4, weight_file="a.hex")
PORTS = (StreamPort("s_axis", 2), StreamPort("m_axis_a", 2), StreamPort("m_axis_b", 2))


def design() -> Design:
    ends = [
        (End(TOP, "s_axis"), End("wide", "s_axis")),
        (End("wide", "m_axis"), End("mvu", "s_axis")),
        (End("mvu", "m_axis"), End("fork", "s_axis")),
        (End("fork", "m_axis", 0), End("fifo", "s_axis")),
        (End("fifo", "m_axis"), End(TOP, "m_axis_a")),
        (End("fork", "m_axis", 1), End(TOP, "m_axis_b")),
    ]
    kernels = {
        "wide": WidthConverter(2, 4),
        "mvu": MVU,
        "fork": StreamFork(2, 2),
        "fifo": StreamFifo(2, 5),
    }
    memory = {"a.hex": "0\n" * MVU.words}
    connections = tuple(Connection(*pair) for pair in ends)
    return Design("toy", PORTS, kernels, connections, memory, {"clock_mhz": 100.0})


def test_a_design_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    save_design(tmp_path / "a.json", design())
    save_design(tmp_path / "b.json", load_design(tmp_path / "a.json"))
    assert load_design(tmp_path / "a.json") == design()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_every_used_stream_is_the_end_of_one_connection() -> None:
    whole = design()
    with pytest.raises(ParameterError, match=r"fork\.m_axis\[1\]: expected a connection, got none"):
        replace(whole, connections=whole.connections[:-1])
    twice = (*whole.connections, Connection(End("mvu", "m_axis"), End(TOP, "m_axis_b")))
    with pytest.raises(ParameterError, match=r"mvu\.m_axis: expected one connection"):
        replace(whole, connections=twice)
    with pytest.raises(ParameterError, match=r"s_axis to wide\.s_axis: expected equal widths"):
        whole.with_kernels({"wide": WidthConverter(1, 4)})
    backwards = Connection(End("wide", "s_axis"), End(TOP, "s_axis"))
    with pytest.raises(ParameterError, match="expected a stream's source and target"):
        replace(whole, connections=(backwards, *whole.connections[1:]))
    nowhere = Connection(End("fork", "m_axis", 1), End("nobody", "s_axis"))
    with pytest.raises(ParameterError, match="expected an instance nobody, got none"):
        replace(whole, connections=(*whole.connections[:-1], nowhere))


def test_memory_files_have_the_words_that_their_kernels_read() -> None:
    with pytest.raises(ParameterError, match=r"mvu: a\.hex: expected 4 words, got 0"):
        replace(design(), memories={})


def test_kernels_are_replaced_by_name() -> None:
    deeper = design().with_kernels({"fifo": StreamFifo(2, 9)})
    assert deeper.fifos() == {"fifo": StreamFifo(2, 9)}
    with pytest.raises(ParameterError, match=r"expected instances of toy, got \['other'\]"):
        design().with_kernels({"other": StreamFifo(2, 9)})


@pytest.mark.parametrize("text", ["", "{}", '{"format": "edgebert design", "version": 9}'])
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(HardwareFileError, match=r"a\.json: expected a design, got .*; build it"):
        load_design(tmp_path / "a.json")
