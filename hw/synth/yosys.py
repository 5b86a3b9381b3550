"""Yosys (pyosys, with its slang front end): synthesize a module and count what it takes.

Modules of `hw/rtl/xilinx/*.v` instantiate the vendor's cells. They stand in for the files of the
same names in `hw/rtl`, plain descriptions of the same structure that simulation uses.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.errors import ToolError
from hw.kernels.checks import one_of
from hw.sim.verilator import RTL, Parameter, closure

CELLS = RTL / "xilinx"
LUT_ROM, LUT_ROM_MAP = (Path(__file__).with_name(f"lut_rom{end}") for end in (".txt", "_map.v"))
FAMILIES = ("xc7", "xcup")
TIMEOUT_S = 3600

# LUT sites that a cell fills: a LUT6_2 is one LUT6 with both outputs used, an inverter is a LUT1
# unless something else absorbs it, a distributed RAM and a shift register are made of LUTs.
LUT_SITES = {
    **{f"LUT{n}": 1 for n in range(1, 7)},
    "LUT6_2": 1,
    "INV": 1,
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
}
MEMORY_LUTS = r"SRL.*|RAM\d+[XM].*"
BLOCKS = r"RAMB18E.*|RAMB36E.*|URAM288.*|DSP48E.*"
OTHERS = r"FD.E|CARRY[48]|MUXF[789]|BUFG|GND|VCC"

# Runs in a process of its own: a failed assertion in Yosys ends the process it lives in.
WORKER = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin.read().splitlines():
    libyosys.run_pass(line, design)
"""


@dataclass(frozen=True)
class Utilization:
    """What a module takes, counted in cells after synthesis (not placed).

    Attributes:
        lut: LUT sites (`LUT_SITES`), `lut_memory` of them as RAM or shift registers.
        ff: flip-flops.
        carry: CARRY4 (xc7) or CARRY8 (xcup) cells.
        bram18: block RAM halves; a RAMB36 counts two.
        uram, dsp: UltraRAM and DSP cells.
        cells: number of each type of cell.
    """

    lut: int
    lut_memory: int
    ff: int
    carry: int
    bram18: int
    uram: int
    dsp: int
    cells: Mapping[str, int]


def synthesize(
    top: str,
    parameters: Mapping[str, Parameter],
    family: str = "xc7",
    memories: Mapping[str, str] | None = None,
    netlist: Path | None = None,
    options: str = "",
) -> Utilization:
    """Synthesize a module, out of context, for 7-series (`xc7`) or UltraScale+ (`xcup`).

    Args:
        top: module of `hw/rtl`.
        parameters: values of its parameters.
        family: one of FAMILIES.
        memories: content of its memory files, by the names in `parameters`.
        netlist: where to write the mapped netlist as Verilog, for a simulation of it.
        options: further options of `synth_xilinx`, such as `-nobram`.

    Raises:
        ToolError: Yosys is missing or refuses the module.
    """
    one_of("family", family, FAMILIES)
    with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
        place = Path(scratch)
        for name, text in (memories or {}).items():
            (place / name).write_text(text)
        values = " ".join(
            f'-G{name}="{value}"' if isinstance(value, str) else f"-G{name}={value}"
            for name, value in parameters.items()
        )
        script = read_sources(closure(top), f"--extern-modules --top {top} {values}")
        script += map_to_cells(top, family, f"-noiopad -noclkbuf {options}")
        script += ["tee -q -o stat.json stat -json"]
        if netlist is not None:
            script += [f"write_verilog -noattr {netlist.resolve()}"]
        run_script("\n".join(script), place)
        counts = json.loads((place / "stat.json").read_text())["design"]["num_cells_by_type"]
    return utilization(counts)


def read_sources(sources: Sequence[Path], options: str) -> list[str]:
    """Yosys commands that read modules of `hw/rtl`, with the vendor's cells where there are some.

    Args:
        sources: their files; those that stand in for a module of CELLS are left out.
        options: of `read_slang`: the top module, values of its parameters.
    """
    cells = sorted(CELLS.glob("*.v"))
    mapped = {path.stem for path in cells}
    files = " ".join(str(path) for path in sources if path.stem not in mapped)
    return [
        "read_verilog -lib +/xilinx/cells_sim.v",
        *(f"read_verilog {path}" for path in cells),
        f"read_slang -D SYNTHESIS {options} {files}",
    ]


def map_to_cells(top: str, family: str, options: str) -> list[str]:
    """Yosys commands that make cells of a family out of a module and all below it.

    `synth_xilinx` has no memory of constants in LUTs: between two of its steps they are made here.
    """
    synth = f"synth_xilinx -family {family} -flatten -top {top} {options}"
    return [
        f"hierarchy -top {top}",
        f"{synth} -run begin:map_memory",
        f"memory_libmap -lib {LUT_ROM} a:rom_style=distributed",
        f"techmap -map {LUT_ROM_MAP}",
        f"{synth} -run map_memory:",
    ]


def utilization(cells: Mapping[str, int]) -> Utilization:
    """Sum up the cells of a netlist.

    Raises:
        ToolError: a cell that this table doesn't know, so that nothing is left out of a count.
    """
    cells = {name: count for name, count in cells.items() if not name.startswith("$")}
    counted = re.compile(rf"{BLOCKS}|{OTHERS}")
    unknown = [n for n in cells if n not in LUT_SITES and not counted.fullmatch(n)]
    if unknown:
        raise ToolError(f"expected cells that can be counted, got {unknown}")

    def total(pattern: str, weights: Mapping[str, int] | None = None) -> int:
        found = {name: count for name, count in cells.items() if re.fullmatch(pattern, name)}
        return sum(count * (weights or {}).get(name, 1) for name, count in found.items())

    return Utilization(
        lut=sum(cells.get(name, 0) * sites for name, sites in LUT_SITES.items()),
        lut_memory=total(MEMORY_LUTS, LUT_SITES),
        ff=total(r"FD.E"),
        carry=total(r"CARRY[48]"),
        bram18=total(r"RAMB18E.*") + 2 * total(r"RAMB36E.*"),
        uram=total(r"URAM288.*"),
        dsp=total(r"DSP48E.*"),
        cells=dict(sorted(cells.items())),
    )


def run_script(script: str, place: Path) -> None:
    """Run Yosys commands in a folder; ToolError if one fails."""
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(
        command, input=script, cwd=place, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    if done.returncode:
        text = done.stderr + done.stdout  # the reason stands in stderr
        errors = [line for line in text.splitlines() if "error" in line.lower()]
        raise ToolError(f"Yosys failed: {errors[0] if errors else text[-500:]}")
