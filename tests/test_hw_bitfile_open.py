"""The open tool chain as one step, with stand-ins for its programs and a small database."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hw.bitfile import open_chain
from hw.bitfile.netlist import NETLIST
from hw.bitfile.nextpnr import DEVICE, PROGRAM
from hw.bitfile.open_chain import BIT, LARGE, RISKS, make_with_open_tools
from hw.bitfile.tools import CHIPS, DATABASE, LOADER
from hw.boards import load_board
from hw.design import Design
from hw.errors import HardwareFileError, ToolError
from hw.stitch import write_design
from tests.bitstreams import PART, bit_file, write_database
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model

BOARD = load_board("pynq-z2")
FASM = [
    "CLBLL_L_X2Y0.SLICEL_X0.AFF.ZINI",
    "CLBLL_L_X2Y0.SLICEL_X0.ALUT.INIT[63:0] = 64'b10",
    "BRAM_L_X6Y5.RAMB18_Y0.INIT_00[255:0] = 256'b1" + 255 * "0",
]
# Those bits, and those of the part's required features.
BITS = [
    "bit_0040011f_004_03",
    "bit_00400121_004_15",
    "bit_00c2007f_019_31",
    "bit_0040031b_013_03",
    "bit_0040031b_013_04",
]
REPORT = {
    "fmax": {"clk": {"achieved": 104.25, "constraint": 100}},
    "utilization": {
        name: {"available": 99, "used": used}
        for name, used in (
            ("SLICE_FFX", 1),
            ("CARRY4", 0),
            ("RAMB18E1_RAMB18E1", 1),
            ("RAMB36E1_RAMB36E1", 2),
            ("DSP48E1_DSP48E1", 3),
        )
    },
    "critical_paths": [
        {
            "from": "posedge clk",
            "to": "posedge clk",
            "path": [{"delay": 9.5, "type": "routing", "to": {"cell": "u_far"}}],
        }
    ],
}
PLACED = """#!/bin/sh
case "$*" in *--version*) echo '(Version 0.11.1)'; exit 0;; esac
echo "Info: Routing.."
cp '{given}/board.fasm' '{given}/nextpnr.json' .
"""
COPIED = """#!/bin/sh
cp '{given}/{name}' '{to}'
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system whose programs hand out what `given` holds; its loader starts scripts."""
    root, given = tmp_path / "root", tmp_path / "given"
    given.mkdir()
    (given / "board.fasm").write_text("\n".join(FASM) + "\n")
    (given / "nextpnr.json").write_text(json.dumps(REPORT))
    (given / "a.bit").write_bytes(bit_file(PART, 0x0372_7093))
    (given / "bits").write_text("\n".join(BITS) + "\n")
    write_database(root / DATABASE)
    (root / DATABASE / "mapping").mkdir()
    (root / DATABASE / "mapping/parts.yaml").write_text(f"{PART}: {{}}\n")
    (root / CHIPS).mkdir(parents=True)
    (root / CHIPS / f"chipdb-{DEVICE}.bin").write_text("")
    scripts = {
        LOADER: '#!/bin/sh\nshift 2\nexec sh "$@"\n',
        Path("usr/bin") / PROGRAM: PLACED.format(given=given),
        Path("usr/bin/xc7frames2bit"): COPIED.format(given=given, name="a.bit", to=BIT),
        Path("usr/bin/bitread"): COPIED.format(given=given, name="bits", to="board.bits"),
    }
    for path, text in scripts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        (root / path).chmod(0o755)
    return root


@pytest.fixture
def make(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, object]]:
    """Make a bitstream of a small encoder, of which Yosys made one block RAM."""

    def synthesize(
        top: str, sources: Sequence[Path], memories: Path, out: Path, deadline: float
    ) -> None:
        cell = {"type": "RAMB18E1", "parameters": {"READ_WIDTH_A": "10010", "INIT_00": "0010"}}
        module = {"attributes": {"top": "1"}, "cells": {"memory": {**cell, "connections": {}}}}
        (out / NETLIST).write_text(json.dumps({"modules": {top: module}}))
        for name in ("netlist.v", "yosys.log"):
            (out / name).write_text(f"{name} of {len(sources)} sources\n")

    monkeypatch.setattr(open_chain, "synthesize_board", synthesize)
    design: Design = encoder_design(
        model := random_integer_model(layers=1), even_folding(model, 8, 512), 8
    )
    design.properties.update(board="pynq-z2", max_tokens=8, clock_khz=100_000)
    write_design(design, tmp_path / "rtl")
    (tmp_path / "out").mkdir()

    def run(mhz: float = 100.0) -> dict[str, object]:
        end = time.monotonic() + 60
        rest = (BOARD, mhz, tmp_path / "out", end, lambda line: None)
        return make_with_open_tools(root, design, tmp_path / "rtl", *rest)

    return run


def test_all_of_it_ends_in_a_checked_bitstream(
    make: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    made, out = make(), tmp_path / "out"
    assert (out / BIT).is_file()
    assert made["tools"] == {"nextpnr": "0.11.1"} and made["estimated_mhz"] == 104.2
    counts = {"lut_sites": 1, "slices": 1, "ff": 1, "carry": 0, "bram18": 5, "dsp": 3}
    assert made["utilization"] == counts
    assert made["critical_path"] == ["9.50 routing u_far"]
    assert made["block_rams"] == {"RAMB18E1 x 18": 1}
    checks = made["checks"]
    assert isinstance(checks, list) and len(checks) == 5
    assert checks[1].startswith("1 bits of block RAM") and checks[2].startswith("5 bits read back")
    assert made["risks"] == list(RISKS)
    assert not any((out / name).exists() for name in LARGE)
    assert (out / "board.fasm.gz").is_file()


def test_a_clock_that_is_not_reached_ends_it(
    make: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    with pytest.raises(ToolError, match="expected an estimated clock of 110 MHz or more, got 104"):
        make(110.0)
    assert not (tmp_path / "out" / BIT).exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bits", "\n".join(BITS[1:]), "expected 5 bits to be set"),
        ("a.bit", bit_file("xc7z010clg400-1", 0x0372_2093), "expected a bitstream of xc7z020"),
        ("board.fasm", "\n".join(FASM[:2]), "expected 1 bits set in block RAMs.*got 0"),
        ("board.fasm", "\n".join([*FASM, "CLBLL_L_X2Y0.NEW"]), "which would be lost: CLBLL_L_X2Y0"),
    ],
)
def test_what_a_program_loses_ends_it(
    make: Callable[..., dict[str, object]],
    tmp_path: Path,
    name: str,
    content: str | bytes,
    said: str,
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "given" / name).write_bytes(data)
    with pytest.raises(HardwareFileError, match=said):
        make()
    assert not (tmp_path / "out" / BIT).exists()
