import pytest

from hw.errors import ParameterError, ToolError
from hw.kernels.stream import SkidBuffer, StreamFifo
from hw.synth.yosys import FAMILIES, synthesize, utilization


@pytest.mark.parametrize("family", FAMILIES)
def test_a_skid_buffer_takes_two_registers_and_a_multiplexer(family: str) -> None:
    width = 24
    used = synthesize("skid_buffer", SkidBuffer(width).parameters(), family)
    assert used.ff == 2 * (width + 1)
    assert width <= used.lut <= width + 8
    assert (used.lut_memory, used.carry, used.bram18, used.uram, used.dsp) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("part", "family"), [(StreamFifo(24, 33), "xc7"), (StreamFifo(36, 200), "xcup")]
)
def test_a_fifo_takes_the_memory_that_python_foresees(part: StreamFifo, family: str) -> None:
    used = synthesize("stream_fifo", part.parameters(), family)
    assert (used.bram18, used.lut_memory, used.dsp) == (part.bram18(), part.lutram_lut(), 0)


def test_every_cell_is_counted_by_the_sites_that_it_fills() -> None:
    cells = {"LUT2": 3, "LUT6_2": 2, "INV": 1, "RAM32M": 1, "SRL16E": 5, "FDRE": 7, "CARRY4": 2}
    used = utilization({**cells, "RAMB36E1": 2, "RAMB18E1": 1, "DSP48E1": 1, "$scopeinfo": 4})
    assert (used.lut, used.lut_memory) == (3 + 2 + 1 + 4 + 5, 4 + 5)
    assert (used.ff, used.carry, used.bram18, used.dsp, used.uram) == (7, 2, 5, 1, 0)
    assert "$scopeinfo" not in used.cells


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(ToolError, match=r"expected cells that can be counted, got \['MAGIC'\]"):
        utilization({"LUT6": 1, "MAGIC": 2})


def test_a_bad_parameter_or_module_is_a_line_with_the_reason() -> None:
    with pytest.raises(ToolError, match="skid_buffer: WIDTH must be at least 1, got 0") as caught:
        synthesize("skid_buffer", {"WIDTH": 0})
    assert "\n" not in str(caught.value)
    with pytest.raises(ToolError, match="Yosys failed: ERROR: no input files"):
        synthesize("no_such_module", {})


def test_an_unknown_family_is_refused_before_a_tool_starts() -> None:
    with pytest.raises(ParameterError, match=r"family: expected one of .* got 'ice40'"):
        synthesize("skid_buffer", {"WIDTH": 8}, "ice40")
