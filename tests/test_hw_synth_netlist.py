import pytest

from hw.kernels.stream import HeadReorder, StreamFifo, WidthConverter
from hw.sim.verilator import Simulation
from hw.synth.cache import cached_synthesis
from hw.synth.netlist import build_netlist
from tests.streams import STALLS, check, random_beats
from tests.test_rtl_head_reorder import lengths_for, sentences
from tests.test_rtl_width_converter import converted


def check_fifo(part: StreamFifo, simulation: Simulation) -> None:
    beats = random_beats(0, 3 * part.depth, part.width)
    for stalls in STALLS:
        ports = {"s_axis": beats}, {"m_axis": beats}
        check("stream_fifo", {}, *ports, stalls, reset_at=150, simulation=simulation)


def test_the_netlist_of_a_fifo_in_block_ram_equals_its_reference() -> None:
    part = StreamFifo(36, 200)
    check_fifo(part, build_netlist("stream_fifo", part.parameters()))
    used, _ = cached_synthesis("stream_fifo", part.parameters())
    assert used.bram18 == 1


def test_the_netlist_of_a_width_converter_equals_its_reference() -> None:
    part = WidthConverter(6, 4)
    simulation = build_netlist("width_converter", part.parameters())
    beats, expected = converted(part, 60)
    for stalls in STALLS:
        ports = {"s_axis": beats}, {"m_axis": expected}
        check("width_converter", {}, *ports, stalls, reset_at=70, simulation=simulation)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        StreamFifo(9, 22),
        StreamFifo(9, 200, "distributed"),
        StreamFifo(72, 300, "block"),
        StreamFifo(9, 1500, "block"),
        StreamFifo(1, 9000, "block"),
    ],
    ids=str,
)
def test_the_netlist_of_a_fifo_equals_its_reference(part: StreamFifo) -> None:
    check_fifo(part, build_netlist("stream_fifo", part.parameters()))


@pytest.mark.slow
def test_the_netlist_of_a_head_reorder_equals_its_reference() -> None:
    part = HeadReorder(9, 4, 2, 16, inverse=True, ram="block")
    simulation = build_netlist("head_reorder", part.parameters())
    inputs, expected = sentences(part, lengths_for(part))
    for stalls in STALLS:
        check("head_reorder", {}, inputs, expected, stalls, reset_at=150, simulation=simulation)
