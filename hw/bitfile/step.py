"""The last step of a build: the bitstream, by one of two tool chains."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.bitfile.open_chain import check_open, make_with_open_tools
from hw.bitfile.vivado import find_vivado, make_with_vivado, vivado_version
from hw.bitfile.vivado_tcl import processor_of
from hw.boards import Board
from hw.build import BITFILE
from hw.build_folder import BuildFolder, Say
from hw.design import Design
from hw.errors import HardwareFileError, ToolError
from hw.integer_model import write_atomically

RESULT = "bitfile.json"
TOOLCHAINS = ("vivado", "open")
TIMEOUT_MIN = 120.0


@dataclass(frozen=True)
class Toolchain:
    """How a bitstream is to be made.

    Attributes:
        name: one of TOOLCHAINS.
        program: Vivado.
        root: folder of a system that has the open tools.
        timeout_s: for all of it.
    """

    name: str
    program: Path | None
    root: Path
    timeout_s: float


def choose_toolchain(
    asked: str | None, board: Board, root: Path, timeout_min: float = TIMEOUT_MIN
) -> Toolchain:
    """A tool chain that can make bitstreams for a board, here.

    Args:
        asked: one of TOOLCHAINS; None: Vivado, where it is found.
        board: to make them for.
        root: folder of a system that has the open tools; `/` for this one.
        timeout_min: minutes for all of it.

    Raises:
        ToolError: its programs are missing; names both choices.
        ParameterError: it can't make bitstreams for the board's part.
    """
    if not timeout_min > 0:
        raise ToolError(f"--timeout: expected a number of minutes above 0, got {timeout_min:g}")
    if asked == "open":
        check_open(root, board)
        return Toolchain("open", None, root, 60 * timeout_min)
    processor_of(board)
    program = find_vivado()
    if program is None:
        raise ToolError(
            "expected Vivado (2022.2 or 2024.2) in PATH for the bitstream, found none; source its "
            "settings64.sh, or give --toolchain open (experimental, pynq-z2 only; docs/bitfile.md)"
        )
    vivado_version(program)
    return Toolchain("vivado", program, root, 60 * timeout_min)


def check_done(build: BuildFolder, asked: str | None) -> bool:
    """Whether a build has its bitstream already.

    Raises:
        HardwareFileError: it has one of another tool chain than the one asked for.
    """
    if BITFILE not in build.steps:
        return False
    made = read_bitfile(build)["toolchain"]
    if asked not in (None, made):
        raise HardwareFileError(
            f"{build.path}: expected no bitstream yet or one of --toolchain {asked}, got one of "
            f"{made}; choose another folder, or give --force"
        )
    return True


def make_bitfile(
    toolchain: Toolchain,
    design: Design,
    rtl: Path,
    board: Board,
    mhz: float,
    folder: Path,
    say: Say,
) -> None:
    """Write the bitstream and RESULT, in which the build's report finds its figures.

    Raises:
        ToolError, HardwareFileError, ParameterError: as the tool chain.
    """
    deadline = time.monotonic() + toolchain.timeout_s
    parts = (design, rtl.resolve(), board, mhz, folder.resolve(), deadline, say)
    if toolchain.name == "open":
        made = make_with_open_tools(toolchain.root, *parts)
    else:
        assert toolchain.program is not None
        made = make_with_vivado(toolchain.program, *parts)
    content = {"toolchain": toolchain.name, "board": board.name, "part": board.part, **made}
    write_atomically(folder / RESULT, (json.dumps(content, indent=1) + "\n").encode())


def read_bitfile(build: BuildFolder) -> dict[str, Any]:
    """RESULT of a build that has a bitstream.

    Raises:
        HardwareFileError: it has none, or its files changed.
    """
    content = json.loads((build.folder(BITFILE) / RESULT).read_text())
    assert isinstance(content, dict)
    return content
