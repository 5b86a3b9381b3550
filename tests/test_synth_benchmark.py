import sys
from pathlib import Path

import pytest

from benchmarks.synth import POINTS, Goal, Point, commit, main, measures, row, table
from hw.kernels.stream import SkidBuffer
from hw.synth.yosys import utilization


def test_a_row_names_the_point_its_size_and_whether_each_goal_is_met() -> None:
    parameters = SkidBuffer(4).parameters()
    goals = [Goal("LUT", 20), Goal("DSP", 0)]
    met = Point("4 bits", "skid_buffer", parameters, macs=4, goals=goals)
    cells = [cell.strip() for cell in row(met, "xc7").strip("| ").split("|")]
    assert cells[:3] == ["skid_buffer", "4 bits", "xc7"]
    assert cells[4:8] == ["10", "0", "0", "0"]
    assert float(cells[8]) == int(cells[3]) / 4
    assert cells[9:] == ["LUT <= 20, DSP <= 0", "yes"]
    missed = Point("4 bits", "skid_buffer", parameters, goals=[*goals, Goal("LUT", 3)])
    assert row(missed, "xc7").endswith("| no |")


def test_the_table_has_a_head_for_every_column() -> None:
    lines = table(["| a | b |"]).splitlines()
    assert lines[0].startswith("| kernel | parameters | family | LUT |")
    assert lines[0].count("|") == lines[1].count("|")
    assert lines[2] == "| a | b |"


def test_memory_luts_count_towards_the_luts_of_a_mac() -> None:
    point = Point("", "", {}, macs=8)
    assert measures(point, utilization({"LUT6": 2, "RAM32M": 1}))["LUT per MAC"] == 6 / 8


def test_the_command_writes_the_points_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "synth.md"
    argv = ["synth", "--points", "fork", "--families", "xc7", "--output", str(path)]
    monkeypatch.setattr(sys, "argv", argv)
    main()
    text = path.read_text()
    assert "not placed, with Yosys 0." in text
    assert commit() in text
    assert text.count("stream_fork") == 1


def test_every_point_can_be_made_and_has_a_source() -> None:
    rtl = Path(__file__).parents[1] / "hw" / "rtl"
    for name, make in POINTS.items():
        if not name.startswith("mvu-"):  # large; their class has tests of its own
            assert (rtl / f"{make().top}.sv").exists(), name
