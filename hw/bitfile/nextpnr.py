"""Place and route with nextpnr for the xc7z020, and what it says of the result.

Its clock is an estimate: block RAM has no clock-to-out in its timing, and nothing that it made was
run on hardware.
"""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.bitfile.tools import Progress, chip_database, open_tool, run_tool
from hw.errors import ToolError

PROGRAM = "nextpnr-himbaechel-xilinx"
DEVICE = "xc7z020"
FASM, REPORT, LOG = "board.fasm", "nextpnr.json", "nextpnr.log"
PLACER = "heap"  # both placers are slow here, but this one's results were seen to route
SHOWN = re.compile(r"Info: (?:Packing|Placing|Running|Routing|Router|Placed|Routed|Max freq).*")
# A slice's LUT or flip-flop.
USED = re.compile(r"(CLBL[LM]_[LR]_\w+\.SLICE[LM]_X\d)\.(?:([A-D]LUT)\.INIT|[A-D]5?FF\.Z)")


@dataclass(frozen=True)
class Routed:
    """What place and route gave.

    Attributes:
        lut_sites: LUT sites with a function, among them those that only pass a signal on.
        slices: slices with a LUT or a flip-flop in use.
        ff, carry, bram18, dsp: cells; a RAMB36 counts as two halves.
        mhz: the slowest clock's estimate after routing.
        critical: its longest path, from cell to cell, in ns.
    """

    lut_sites: int
    slices: int
    ff: int
    carry: int
    bram18: int
    dsp: int
    mhz: float
    critical: list[str]


def nextpnr(root: Path) -> list[str]:
    """The command that starts nextpnr with its description of the device.

    Raises:
        ToolError: one of them is missing.
    """
    return [*open_tool(root, PROGRAM), "--chipdb", str(chip_database(root, DEVICE))]


def nextpnr_version(root: Path) -> str:
    """Such as 0.11.1, or `unknown` where it doesn't say."""
    run = subprocess.run(
        [*open_tool(root, PROGRAM), "--version"], capture_output=True, text=True, timeout=60
    )
    found = re.search(r"Version ([^\s)]+)", run.stdout + run.stderr)
    return found[1] if found else "unknown"


def place_and_route(
    netlist: Path,
    out: Path,
    root: Path,
    part: str,
    mhz: float,
    deadline: float,
    progress: Progress,
    seed: int = 1,
) -> None:
    """Write FASM, REPORT and LOG of a netlist.

    Args:
        netlist: of Yosys, in JSON.
        out: folder to write to.
        root: folder of the tools.
        part: such as xc7z020clg400-1.
        mhz: clock to aim at.
        deadline: as `run_tool`.
        seed: of the placer.

    Raises:
        ToolError: nextpnr is missing, failed, or took too long.
    """
    command = [*nextpnr(root), "--device", part, "--json", str(netlist.resolve())]
    command += [
        "-o",
        f"fasm={FASM}",
        "--placer",
        PLACER,
        "--freq",
        f"{mhz:g}",
        "--timing-allow-fail",
    ]
    command += ["--seed", str(seed), "--report", REPORT]
    run_tool(
        "nextpnr",
        command,
        log=out / LOG,
        cwd=out,
        deadline=deadline,
        progress=lambda line: _show(line, progress),
    )
    for name in (FASM, REPORT):
        if not (out / name).is_file():
            raise ToolError(f"nextpnr: expected it to write {name}, got none; see {out / LOG}")


def _show(line: str, progress: Progress) -> None:
    if SHOWN.match(line):
        progress(line.removeprefix("Info: ").rstrip())


def read_routed(out: Path, lines: Iterable[str]) -> Routed:
    """Figures of a routed design.

    Args:
        out: folder that `place_and_route` wrote.
        lines: its FASM.
    """
    report = json.loads((out / REPORT).read_text())
    used = {name: entry["used"] for name, entry in report["utilization"].items()}
    sites, slices = fasm_sites(lines)
    return Routed(
        lut_sites=sites,
        slices=slices,
        ff=used["SLICE_FFX"],
        carry=used["CARRY4"],
        bram18=used["RAMB18E1_RAMB18E1"] + 2 * used["RAMB36E1_RAMB36E1"],
        dsp=used["DSP48E1_DSP48E1"],
        mhz=min(entry["achieved"] for entry in report["fmax"].values()),
        critical=_critical(report),
    )


def fasm_sites(lines: Iterable[str]) -> tuple[int, int]:
    """LUT sites and slices that FASM configures."""
    sites: Counter[str] = Counter()
    slices: Counter[str] = Counter()
    for line in lines:
        found = USED.match(line)
        if found:
            slices[found[1]] += 1
            if found[2]:
                sites[f"{found[1]}.{found[2]}"] += 1
    return len(sites), len(slices)


def _critical(report: dict[str, Any]) -> list[str]:
    """The longest path between registers of one clock: ns, what, cell."""
    paths: list[list[dict[str, Any]]] = [
        path["path"] for path in report["critical_paths"] if path["from"] == path["to"]
    ]
    longest = max(paths, key=lambda hops: sum(hop["delay"] for hop in hops), default=[])
    return [f"{hop['delay']:.2f} {hop['type']} {hop['to']['cell']}" for hop in longest]
