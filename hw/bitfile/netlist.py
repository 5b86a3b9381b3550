"""The whole board as a netlist of the vendor's cells: Yosys, and what nextpnr would lose of it.

nextpnr's FASM has no word for some settings of cells, or reads a missing one otherwise than the
vendor: such a netlist would make a bitstream that computes something else. `block_rams.txt` keeps
Yosys from making them, `check_cells` refuses what is left.
"""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.bitfile.tools import Progress, run_tool
from hw.errors import HardwareFileError
from hw.synth.place import LUT6_2
from hw.synth.yosys import LUT_ROM, LUT_ROM_MAP, WORKER, read_sources

BLOCK_RAMS = Path(__file__).with_name("block_rams.txt")
NETLIST, STATISTICS = "netlist.json", "statistics.json"
PORTS = ("READ_WIDTH_A", "READ_WIDTH_B", "WRITE_WIDTH_A", "WRITE_WIDTH_B")
NARROW = (1, 2, 4, 9)  # widths of a RAMB36's port that lose bits, or were not seen to keep them
# Values that nextpnr takes as 0, and the reset without which they are not seen.
ZEROS = {"INIT_A": "", "INIT_B": "", "SRVAL_A": "RSTRAMARSTRAM", "SRVAL_B": "RSTRAMB"}
# Registers of a DSP48E1 that the vendor takes as there, and nextpnr as not, where nothing is said.
STATED = (
    *("ACASCREG", "ALUMODEREG", "BCASCREG", "CARRYINREG", "CARRYINSELREG", "INMODEREG"),
    *("MREG", "OPMODEREG", "PREG"),
)

Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Memories:
    """What `check_cells` found.

    Attributes:
        shapes: number of block RAMs by type and widest port, such as `RAMB36E1 x 36`.
        ones: bits set in what they hold at the start.
    """

    shapes: dict[str, int]
    ones: int


def synthesize_board(
    top: str,
    sources: Sequence[Path],
    memories: Path,
    out: Path,
    deadline: float,
    progress: Progress | None = None,
    *,
    pins: bool = True,
) -> None:
    """Write NETLIST, STATISTICS, `netlist.v` and a log of Yosys for a board's top.

    Args:
        top: module of the sources.
        sources: packages first.
        memories: folder that the design's memory files lie in.
        out: folder to write to.
        deadline: as `run_tool`.
        pins: False for a module whose ports are no pins: no buffers.

    Raises:
        ToolError: Yosys is missing, refuses the design, or takes too long.
    """
    out = out.resolve()
    (out / "lut6_2.v").write_text(LUT6_2)
    buffers = "" if pins else "-noiopad -noclkbuf"
    read = read_sources([path.resolve() for path in sources], f"--extern-modules --top {top}")
    script = [read[0], "read_verilog -lib +/xilinx/cells_xtra.v", *read[1:]]
    script += map_board(top, buffers)
    script += [f"tee -q -o {out / STATISTICS} stat -json"]
    script += [f"write_verilog -noattr {out / 'netlist.v'}"]
    script += [f"techmap -map {out / 'lut6_2.v'}", "opt_clean"]
    script += [f"write_json {out / NETLIST}"]
    begin = time.monotonic()
    run_tool(
        "Yosys",
        [sys.executable, "-c", WORKER],
        log=out / "yosys.log",
        cwd=memories,
        deadline=deadline,
        given="\n".join(script),
    )
    if progress is not None:
        progress(f"Yosys: {time.monotonic() - begin:.0f} s")


def map_board(top: str, options: str) -> list[str]:
    """Yosys commands that make 7-series cells; block RAMs only in shapes that nextpnr keeps."""
    synth = f"synth_xilinx -family xc7 -flatten -top {top} -nosrl {options}"
    lut_rams = "+/xilinx/lutrams_xc5v"
    return [
        f"hierarchy -check -top {top}",
        f"{synth} -run begin:map_memory",
        f"memory_libmap -lib {LUT_ROM} a:rom_style=distributed",
        f"techmap -map {LUT_ROM_MAP}",
        f"memory_libmap -logic-cost-rom 0.015625 -lib {lut_rams}.txt -lib {BLOCK_RAMS}",
        f"techmap -map {lut_rams}_map.v -map +/xilinx/brams_xc6v_map.v",
        f"{synth} -run map_memory:",
    ]


def read_cells(netlist: Path) -> list[Cell]:
    """Cells of a netlist of one module, as Yosys writes it in JSON."""
    modules = json.loads(netlist.read_text())["modules"].values()
    tops = [module for module in modules if "top" in module["attributes"]]
    assert len(tops) == 1
    return list(tops[0]["cells"].values())


def check_cells(cells: Iterable[Cell]) -> Memories:
    """Refuse cells with settings that nextpnr's bitstream would not have.

    Raises:
        HardwareFileError: names the cells' types and settings.
    """
    lost: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    ones = 0
    for cell in cells:
        kind, parameters = cell["type"], cell["parameters"]
        if kind.startswith("RAMB"):
            lost.update(lost_of_memory(cell))
            shapes[f"{kind} x {max(_number(parameters.get(name, '0')) for name in PORTS)}"] += 1
            ones += _ones(parameters)
        elif kind.startswith("SRL") or re.fullmatch(r"RAM\d+X1.*", kind):
            lost[f"{kind}, whose write enable nextpnr may share with another's"] += 1
        elif kind == "DSP48E1":
            lost.update(f"DSP48E1 without {name}" for name in STATED if name not in parameters)
    if lost:
        found = ", ".join(f"{count} x {what}" for what, count in sorted(lost.items())[:4])
        raise HardwareFileError(
            f"netlist: expected cells whose settings nextpnr writes to the bitstream, got {found}"
        )
    return Memories(dict(sorted(shapes.items())), ones)


def lost_of_memory(cell: Cell) -> list[str]:
    """Settings of a block RAM that would be lost."""
    kind, parameters = cell["type"], cell["parameters"]
    lost = [
        f"{kind} {name} {_number(parameters[name])}"
        for name in PORTS
        if kind.startswith("RAMB36") and _number(parameters.get(name, "0")) in NARROW
    ]
    lost += [
        f"{kind} {name} not 0"
        for name, reset in ZEROS.items()
        if "1" in str(parameters.get(name, "0")) and cell["connections"].get(reset) != ["0"]
    ]
    lost += [
        f"{kind} {name} {parameters[name]}"
        for name in ("RAM_EXTENSION_A", "RAM_EXTENSION_B")
        if parameters.get(name, "NONE") != "NONE"
    ]
    return lost


def _ones(parameters: Mapping[str, Any]) -> int:
    rows = (text for name, text in parameters.items() if name.startswith(("INIT_", "INITP_")))
    return sum(str(text).count("1") for text in rows)


def _number(text: str) -> int:
    """A parameter as Yosys writes numbers: binary digits."""
    return int(str(text).replace("x", "0"), 2)
