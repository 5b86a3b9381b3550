"""All sources of a board: the built design, and the shell around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.design import Design
from hw.errors import HardwareFileError
from hw.integer_model import write_atomically
from hw.shell.shell import Shell
from hw.shell.top import board_top
from hw.shell.zynq7 import zynq7_top
from hw.sim.verilator import RTL, closure

FILES = "files.f"  # of a design's folder: its sources, packages first


@dataclass(frozen=True)
class BoardSources:
    """A board as files.

    Attributes:
        top: its module.
        files: SystemVerilog, packages first.
        memories: folder of the memory files, which the sources name without a folder.
    """

    top: str
    files: Sequence[Path]
    memories: Path


def write_sources(design: Design, folder: Path, shell: Shell, out: Path) -> BoardSources:
    """The tops of a board, beside the files of its design.

    Args:
        design: the accelerator.
        folder: that `hw.stitch.write_design` made of it.
        shell: its parameters.
        out: folder to write the generated tops to.

    Returns:
        The board without a processor: `board_top`'s module.

    Raises:
        HardwareFileError: a file of the design is missing.
    """
    files = [folder / name for name in _read(folder / FILES).split()]
    for path in files:
        if not path.is_file():
            raise HardwareFileError(f"{path}: expected a source of the design, got none")
    known = {path.name for path in files}
    # A module that both have is the design's: it is the one that was simulated with it.
    files += [path for path in closure("shell", RTL) if path.name not in known]
    name = f"{design.name}_board"
    files.append(_write(out / f"{name}.sv", board_top(shell, design.name, name)))
    return BoardSources(name, _packages_first(files), folder)


def with_processor(board: BoardSources, shell: Shell, out: Path) -> BoardSources:
    """The same around the processor of a Zynq-7000, for the open tool chain.

    Raises:
        ParameterError: the shell's bursts or addresses are not those of its ports.
    """
    name = f"{board.top}_zynq7"
    known = {path.name for path in board.files}
    bridge = [path for path in closure("axi3_to_lite", RTL) if path.name not in known]
    top = _write(out / f"{name}.sv", zynq7_top(shell, board.top, name))
    return BoardSources(name, _packages_first([*board.files, *bridge, top]), board.memories)


def _packages_first(files: Sequence[Path]) -> list[Path]:
    return sorted(files, key=lambda path: not path.stem.endswith("_pkg"))


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text.encode())
    return path


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise HardwareFileError(
            f"{path}: expected a file of the design, got: {error.strerror}"
        ) from None
