"""Place and route a binary MVU for the xc7z020 with nextpnr: LUT sites and an estimated clock.

Experimental: block RAM has no clock-to-out in nextpnr's timing, and nothing made this way was run
on hardware. hw/bitfile/tools.py says where the tools come from.
"""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hw.bitfile.nextpnr import nextpnr
from hw.errors import ToolError
from hw.kernels.mvu import BinaryMvu
from hw.sim.verilator import closure
from hw.synth.yosys import map_to_cells, read_sources, run_script

DEVICE = "xc7z020clg400-1"
BOARD = Path(__file__).with_name("mvu_board.sv")
PINS = {"clk_pin": "H16", "reset_pin": "D19", "data_pin": "D20", "ready_pin": "L20"}
PINS |= {"result_pin": "R14"}
TIMEOUT_S = 1800

# nextpnr knows no LUT6_2. Each half takes as few inputs as its function needs: with five or less
# both share a site again, and an input without influence would be timed as a path through the LUT.
LUT6_2 = """
module LUT6_2 #(parameter [63:0] INIT = 0) (output O6, O5, input I0, I1, I2, I3, I4, I5);
  parameter _TECHMAP_CONSTMSK_I5_ = 0;
  parameter _TECHMAP_CONSTVAL_I5_ = 0;
  generate
    if (INIT[31:16] == INIT[15:0])
      LUT4 #(.INIT(INIT[15:0])) low (.O(O5), .I0(I0), .I1(I1), .I2(I2), .I3(I3));
    else
      LUT5 #(.INIT(INIT[31:0])) low (.O(O5), .I0(I0), .I1(I1), .I2(I2), .I3(I3), .I4(I4));
    if (_TECHMAP_CONSTMSK_I5_ && _TECHMAP_CONSTVAL_I5_)
      LUT5 #(.INIT(INIT[63:32])) high (.O(O6), .I0(I0), .I1(I1), .I2(I2), .I3(I3), .I4(I4));
    else
      LUT6 #(.INIT(INIT)) high (.O(O6), .I0(I0), .I1(I1), .I2(I2), .I3(I3), .I4(I4), .I5(I5));
  endgenerate
endmodule
"""


@dataclass(frozen=True)
class Placement:
    """What nextpnr made of a module.

    Attributes:
        lut: LUT5 and LUT6 halves of sites that are in use, with those that only pass a signal on.
        sites: LUT sites in use, at most two halves each.
        ff, carry: flip-flops and CARRY4.
        mhz: estimated clock after routing, without the paths out of block RAM.
        seconds: time of place and route.
    """

    lut: int
    sites: int
    ff: int
    carry: int
    mhz: float
    seconds: float


def place_mvu(
    kernel: BinaryMvu,
    memories: Mapping[str, str],
    root: Path,
    placer: str = "static",
    target_mhz: float = 150.0,
) -> Placement:
    """Synthesize, place and route an MVU between five pins (mvu_board.sv).

    Args:
        kernel: with thresholds, its weights not loadable.
        memories: its memory files.
        root: a Debian sid with nextpnr-himbaechel-xilinx; the folder `/` if it is this system.
        placer: `static` or `heap`.
        target_mhz: clock to aim at.

    Raises:
        ToolError: a tool is missing or failed, or the design was not routed in time.
    """
    command = nextpnr(root)
    with tempfile.TemporaryDirectory(prefix="edgebert-") as scratch:
        folder = Path(scratch)
        for name, text in memories.items():
            (folder / name).write_text(text)
        _synthesize(kernel, folder)
        lines = [f"set_property LOC {pin} [get_ports {name}]" for name, pin in PINS.items()]
        lines += [f"set_property IOSTANDARD LVCMOS33 [get_ports {name}]" for name in PINS]
        (folder / "pins.xdc").write_text("\n".join(lines) + "\n")
        command += ["--device", DEVICE, "--json", "top.json", "-o", "xdc=pins.xdc"]
        command += ["--placer", placer, "--freq", f"{target_mhz:g}", "--timing-allow-fail"]
        command += ["--report", "report.json", "--write", "placed.json"]
        start = time.monotonic()
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise ToolError(f"nextpnr: not routed within {TIMEOUT_S} s") from None
        seconds = time.monotonic() - start
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
            raise ToolError(f"nextpnr failed: {errors[0] if errors else done.stderr[-300:]}")
        report = json.loads((folder / "report.json").read_text())
        sites = lut_sites(json.loads((folder / "placed.json").read_text()))
    used = {name: entry["used"] for name, entry in report["utilization"].items()}
    mhz = min(entry["achieved"] for entry in report["fmax"].values())
    counts = (used["SLICE_LUTX"], sites, used["SLICE_FFX"], used["CARRY4"])
    return Placement(*counts, mhz, seconds)


def lut_sites(design: Mapping[str, object]) -> int:
    """LUT sites in use, from the placed design: `...6LUT` and `...5LUT` of a letter are one."""
    modules = design["modules"]
    assert isinstance(modules, dict)
    bels = [
        cell["attributes"].get("NEXTPNR_BEL", "")
        for module in modules.values()
        for cell in module["cells"].values()
    ]
    return len({re.sub(r"[56]LUT$", "", bel) for bel in bels if re.search(r"[56]LUT$", bel)})


def _synthesize(kernel: BinaryMvu, folder: Path) -> None:
    names = ("MW", "MH", "PE", "SIMD", "TOKENS", "WEIGHT_MEMORY")
    values = kernel.parameters()
    given = [f"-G{name}={values[name]}" for name in names]
    given += [f'-GWEIGHT_FILE="{kernel.weight_file}"']
    (folder / "lut6_2.v").write_text(LUT6_2)
    script = read_sources(
        [*closure("binary_mvu"), BOARD], f"--extern-modules --top mvu_board {' '.join(given)}"
    )
    script += map_to_cells("mvu_board", "xc7", "")
    script += ["techmap -map lut6_2.v", "opt_clean", "write_json top.json"]
    run_script("\n".join(script), folder)
