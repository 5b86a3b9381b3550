from pathlib import Path

import pytest

from hw.bitfile.nextpnr import nextpnr
from hw.errors import ToolError
from hw.kernels.mvu import BinaryMvu
from hw.synth.place import BOARD, PINS, lut_sites, place_mvu


def test_a_missing_nextpnr_is_one_line_before_any_tool_starts(tmp_path: Path) -> None:
    for start in (
        lambda: nextpnr(tmp_path),
        lambda: place_mvu(BinaryMvu(8, 8, 1, 1), {}, tmp_path),
    ):
        with pytest.raises(ToolError, match="package nextpnr-himbaechel-xilinx") as caught:
            start()
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)


def test_two_halves_of_a_lut_are_one_site() -> None:
    bels = ["X1Y2/SLICEL/A6LUT", "X1Y2/SLICEL/A5LUT", "X1Y2/SLICEL/B6LUT", "X1Y2/SLICEL/AFF"]
    cells = {str(i): {"attributes": {"NEXTPNR_BEL": bel}} for i, bel in enumerate(bels)}
    assert lut_sites({"modules": {"top": {"cells": cells | {"free": {"attributes": {}}}}}}) == 2


def test_the_pins_are_those_of_the_board() -> None:
    header = BOARD.read_text().split(");")[0]
    assert all(name in header for name in PINS)
