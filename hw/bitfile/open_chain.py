"""A bitstream with open tools for the xc7z020: Yosys, nextpnr, prjxray. Experimental."""

import gzip
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hw.bitfile.bitstream import BITS, FRAMES, write_bitstream
from hw.bitfile.fasm import Database, assemble, features
from hw.bitfile.netlist import NETLIST, check_cells, read_cells, synthesize_board
from hw.bitfile.nextpnr import (
    DEVICE,
    FASM,
    PROGRAM,
    nextpnr_version,
    place_and_route,
    read_routed,
)
from hw.bitfile.sources import with_processor, write_sources
from hw.bitfile.tools import Progress, bit_database, chip_database, open_tool
from hw.boards import Board
from hw.design import Design
from hw.errors import HardwareFileError, ParameterError, ToolError
from hw.shell.shell import AXI3_BURST, Shell
from hw.shell.zynq7 import ADDRESS_BITS, BASE_ADDRESS

BIT = "edgebert.bit"
PART = "xc7z020clg400-1"
COUNTS = ("lut_sites", "slices", "ff", "carry", "bram18", "dsp")
LARGE = (NETLIST, FRAMES, BITS, "lut6_2.v")  # made anew from what stays
RISKS = (
    "Nothing made by this tool chain was run on hardware.",
    "The clock is nextpnr's estimate: paths out of block RAM count without the memory's own delay.",
    "Configuration bits come from a database found by experiment; features that it does not know "
    "are refused, wrong ones can't be noticed.",
    "The processor keeps the image's settings: the runtime sets FCLK0 and the width of HP0.",
)


def check_open(root: Path, board: Board) -> None:
    """Refuse what the open tool chain can't do, before anything is built.

    Raises:
        ParameterError: a board with another part.
        ToolError: a tool or database is missing.
    """
    if board.part != PART:
        raise ParameterError(
            f"--toolchain open: expected a board with the part {PART} (pynq-z2), got {board.name} "
            f"with {board.part}; use --toolchain vivado"
        )
    for program in (PROGRAM, "xc7frames2bit", "bitread"):
        open_tool(root, program)
    chip_database(root, DEVICE)
    Database(bit_database(root), PART)


def make_with_open_tools(
    root: Path,
    design: Design,
    rtl: Path,
    board: Board,
    mhz: float,
    out: Path,
    deadline: float,
    say: Progress,
) -> dict[str, Any]:
    """Write BIT of a design, its FASM, reports and logs.

    Args:
        root: folder of a system that has the tools.
        design, rtl: the accelerator and the folder of its files.
        board: to make it for.
        mhz: clock.
        out: folder to write to.
        deadline: as `run_tool`.
        say: is told of its progress.

    Returns:
        What the report of the build says of it.

    Raises:
        ToolError: a tool failed or took too long, or the clock estimate is below the clock.
        HardwareFileError: something would be lost on the way to the bitstream.
    """
    check_open(root, board)
    for risk in RISKS:
        say(f"  note: {risk}")
    shell = Shell.of_design(design, max_burst=AXI3_BURST, address_bits=ADDRESS_BITS)
    sources = out / "sources"
    sources.mkdir()
    tops = with_processor(write_sources(design, rtl, shell, sources), shell, sources)
    seconds, begin = dict[str, float](), time.monotonic()

    def lap(name: str) -> None:
        nonlocal begin
        now = time.monotonic()
        seconds[name] = round(now - begin, 1)
        say(f"  {name}: {seconds[name]} s")
        begin = now

    synthesize_board(tops.top, tops.files, tops.memories, out, deadline)
    memories = check_cells(read_cells(out / NETLIST))
    lap("Yosys")
    place_and_route(
        out / NETLIST, out, root, board.part, mhz, deadline, lambda line: say(f"  {line}")
    )
    lap("nextpnr")
    lines = (out / FASM).read_text().splitlines()
    check_memory_bits(lines, memories.ones)
    routed = read_routed(out, lines)
    if routed.mhz < mhz:
        raise ToolError(
            f"nextpnr: expected an estimated clock of {mhz:g} MHz or more, got {routed.mhz:.1f}; "
            f"build with --clock-mhz {int(routed.mhz)} or a smaller design with --fps"
        )
    database = Database(bit_database(root), board.part)
    frames = assemble(lines, database)
    write_bitstream(frames, database, out / BIT, root, deadline)
    lap("prjxray")
    _tidy(out)
    return {
        "base_address": BASE_ADDRESS,
        "bitstream": BIT,
        "hwh": None,
        "tools": {"nextpnr": nextpnr_version(root)},
        "utilization": {name: value for name, value in asdict(routed).items() if name in COUNTS},
        "estimated_mhz": round(routed.mhz, 1),
        "critical_path": routed.critical,
        "seconds": seconds,
        "block_rams": memories.shapes,
        "checks": [
            f"{frames.features:,} features of FASM, all known to the database, none contradicting",
            f"{memories.ones:,} bits of block RAM contents, as many in the FASM",
            f"{len(frames.bits):,} bits read back from the bitstream as they were asked for",
            f"part and IDCODE 0x{database.idcode():08x} in the header",
            "no block RAM of a shape whose bits get lost",
        ],
        "risks": list(RISKS),
    }


def check_memory_bits(lines: Iterable[str], expected: int) -> None:
    """HardwareFileError unless block RAMs in FASM hold as many ones as in the netlist."""
    found = sum(1 for line in lines if ".INIT" in line and "RAMB18" in line for _ in features(line))
    if found != expected:
        raise HardwareFileError(
            f"FASM: expected {expected} bits set in block RAMs, as the netlist has, got {found}"
        )


def _tidy(out: Path) -> None:
    for name in LARGE:
        (out / name).unlink(missing_ok=True)
    for name in (FASM, "netlist.v", "yosys.log"):
        content = (out / name).read_bytes()
        (out / f"{name}.gz").write_bytes(gzip.compress(content, 6, mtime=0))
        (out / name).unlink()
