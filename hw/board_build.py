"""What a finished build gives to a deployment package, and its virtual board."""

from typing import Any

from hw.bitfile.step import read_bitfile
from hw.build import BITFILE, DESIGN, DESIGN_FOLDER, RTL
from hw.build_folder import BuildFolder
from hw.design import Design, load_design
from hw.pynq.packager import BoardBuild
from hw.shell.board import virtual_board
from hw.shell.shell import Shell, encode_weights
from hw.sim.accelerator import load_beats
from hw.sim.usage import WEIGHTS
from hw.sim.virtual_board import VirtualBoard


def build_design(build: BuildFolder) -> Design:
    """The accelerator of a build.

    Raises:
        HardwareFileError: the build has no RTL yet, or its files changed.
    """
    return load_design(build.folder(RTL) / DESIGN_FOLDER / DESIGN)


def board_build(build: BuildFolder) -> BoardBuild:
    """What `hw.pynq.packager.write_package` wants to know; with a bitstream where one was built.

    Raises:
        HardwareFileError: as `build_design`.
    """
    design = build_design(build)
    loadable = any(port.name == WEIGHTS for port in design.ports)
    beats = load_beats(design, plain=False) if loadable else None
    made = read_bitfile(build) if BITFILE in build.steps else {}
    found: dict[str, Any] = {
        key: build.folder(BITFILE).joinpath(made[key]).read_bytes()
        for key in ("bitstream", "hwh")
        if made.get(key)
    }
    if made:
        found["base_address"] = made["base_address"]
    return BoardBuild(
        name=str(design.properties["board"]),
        max_tokens=int(design.properties["max_tokens"]),
        clock_khz=int(design.properties["clock_khz"]),
        weights=b"" if beats is None else encode_weights(beats).tobytes(),
        **found,
    )


def start_board(build: BuildFolder, **options: Any) -> VirtualBoard:
    """The build's accelerator in its shell, in simulation: a device as pynq's.

    Args:
        options: of `VirtualBoard`.

    Raises:
        HardwareFileError, ToolError: as `build_design` and `virtual_board`.
    """
    design = build_design(build)
    return virtual_board(design, Shell.of_design(design), **options)
