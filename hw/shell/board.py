"""A design as a virtual board: its accelerator in the shell, in simulation."""

import tempfile
from pathlib import Path
from typing import Any

from hw.design import Design
from hw.kernels.mvu import BinaryMvu
from hw.shell.shell import Shell
from hw.shell.top import board_top
from hw.sim.accelerator import FAST, WHOLE, plain_weights
from hw.sim.verilator import MODULE, RTL, Simulation, build, closure
from hw.sim.virtual_board import HARNESS, VirtualBoard
from hw.stitch import design_sources, top_module


def virtual_board(design: Design, shell: Shell | None = None, **options: Any) -> VirtualBoard:
    """Compile a design's board, or take it from the cache, and start it.

    Args:
        design: the accelerator.
        shell: its parameters; `Shell.of_design(design)` if None.
        options: of `VirtualBoard`.

    Raises:
        ToolError: Verilator or the compiler is missing, or refuses the design.
        ParameterError: the design doesn't fit a shell.
    """
    shell = shell or Shell.of_design(design)
    simulation = build_design_board(design, shell)
    memories = dict(design.memories)
    if stand_ins(design):
        for kernel in design.instances.values():
            if isinstance(kernel, BinaryMvu):
                text = design.memories[kernel.weight_file]
                memories[kernel.weight_file] = plain_weights(kernel, text)
    settings = {"strict": False, "max_burst": shell.max_burst, **options}
    return VirtualBoard(simulation, memories, **settings)


def build_design_board(design: Design, shell: Shell, *, checkers: bool = False) -> Simulation:
    """Compile the simulation of a design in its shell, or take it from the cache.

    The content of memories doesn't count: it is read at the start.

    Args:
        checkers: with a checker on every stream, for small designs.
    """
    with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
        top = Path(scratch) / f"{design.name}.sv"
        top.write_text(top_module(design))
        board = Path(scratch) / f"{design.name}_board.sv"
        board.write_text(board_top(shell, design.name, hold=True))
        own = {path.name: path for path in [*design_sources(design), *closure("shell", RTL)]}
        own |= {path.name: path for path in stand_ins(design) if path.name in own}
        packages = [path for path in own.values() if path.stem.endswith("_pkg")]
        sources = [*packages, *(path for path in own.values() if path not in packages), top, board]
        style = MODULE if checkers else WHOLE
        return build(board.stem, {}, only=sources, style=style, harness=HARNESS)


def stand_ins(design: Design) -> list[Path]:
    """Modules that simulate faster on plain weights; loaded ones come in parity codes."""
    mvus = [k for k in design.instances.values() if isinstance(k, BinaryMvu)]
    return [] if any(mvu.loadable for mvu in mvus) else sorted(FAST.glob("*.sv"))
