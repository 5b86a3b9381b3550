"""A bitstream with Vivado: preflight, the run, and what its reports say."""

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from os import sched_getaffinity
from pathlib import Path
from typing import Any

from hw.bitfile.sources import write_sources
from hw.bitfile.tools import Progress, run_tool
from hw.bitfile.vivado_tcl import (
    BIT,
    HWH,
    RESULT,
    TIMING,
    UTILIZATION,
    processor_of,
    script,
    vendor_sources,
    wrapper,
)
from hw.boards import Board
from hw.design import Design
from hw.errors import HardwareFileError, ToolError
from hw.shell.shell import Shell

PROGRAM = "vivado"
KNOWN = ("2022.2", "2024.2")  # versions that the script was written for
SCRIPT, LOG = "build.tcl", "vivado.log"
PHASE = re.compile(r"(?:Starting|Finished) (\w.*?) Task|Phase (\d+) (\w[^|]*)$")
ROWS = {
    "lut": r"(?:Slice|CLB) LUTs\*?",
    "ff": r"(?:Slice|CLB) Registers",
    "bram36": r"Block RAM Tile",
    "uram": r"URAM",
    "dsp": r"DSPs",
}


def find_vivado() -> Path | None:
    """Where Vivado lies, by PATH."""
    found = shutil.which(PROGRAM)
    return None if found is None else Path(found)


def vivado_version(program: Path) -> str:
    """Version of a Vivado, such as 2022.2.

    Raises:
        ToolError: it doesn't start or doesn't tell.
    """
    try:
        done = subprocess.run(
            [str(program), "-version"], capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{program}: expected to start Vivado, got: {error}") from None
    found = re.search(r"[Vv]ivado v(\d{4}\.\d)", done.stdout)
    if done.returncode or found is None:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ToolError(f"{program} -version: expected a version, got {said[:1] or 'nothing'}")
    return found[1]


def make_with_vivado(
    program: Path,
    design: Design,
    rtl: Path,
    board: Board,
    mhz: float,
    out: Path,
    deadline: float,
    say: Progress,
) -> dict[str, Any]:
    """Write BIT and HWH of a design, the script, and Vivado's log and reports.

    Args:
        program: Vivado.
        design, rtl: the accelerator and the folder of its files.
        board: to make it for.
        mhz: clock.
        out: folder to write to.
        deadline: as `run_tool`.
        say: is told of its progress.

    Returns:
        What the report of the build says of it.

    Raises:
        ToolError: Vivado failed or took too long, or timing was not met.
    """
    begin, version = time.monotonic(), vivado_version(program)
    if version not in KNOWN:
        say(f"  note: Vivado {version}; the script was written for {' and '.join(KNOWN)}")
    jobs = len(sched_getaffinity(0))
    write_project(design, rtl, board, mhz, out, jobs)
    command = [str(program), "-mode", "batch", "-nojournal", "-nolog", "-source", SCRIPT]
    try:
        run_tool(
            "Vivado", command, log=out / LOG, cwd=out, deadline=deadline, progress=_phases(say)
        )
    finally:
        shutil.rmtree(out / "project", ignore_errors=True)
    result = read_result(out)
    cpu = processor_of(board)
    return {
        "base_address": cpu.base,
        "bitstream": BIT,
        "hwh": HWH,
        "tools": {"vivado": version},
        "utilization": read_utilization((out / UTILIZATION).read_text()),
        "worst_slack_ns": result["wns"],
        "seconds": {"vivado": round(time.monotonic() - begin, 1)},
        "risks": ["The flow was written without Vivado at hand: this is its first run."],
    }


def write_project(
    design: Design, rtl: Path, board: Board, mhz: float, out: Path, jobs: int = 2
) -> Path:
    """The script and all that it reads; its path."""
    cpu = processor_of(board)
    shell = Shell.of_design(design, max_burst=cpu.max_burst, address_bits=cpu.address_bits)
    shell = replace(shell, clock_khz=round(1000 * mhz))
    sources = out / "sources"
    sources.mkdir(exist_ok=True)
    tops = write_sources(design, rtl, shell, sources)
    axi = sources / f"{tops.top}_axi.v"
    axi.write_text(wrapper(shell, tops.top))
    files = [*vendor_sources(tops.files), axi]
    memories = [rtl / name for name in sorted(design.memories)]
    path = out / SCRIPT
    path.write_text(script(board, mhz, tops.top, files, memories, jobs))
    return path


def read_result(out: Path) -> dict[str, float]:
    """Slacks that the script wrote, in ns.

    Raises:
        HardwareFileError: it wrote none, or no bitstream.
    """
    for name in (RESULT, BIT, HWH, UTILIZATION, TIMING):
        if not (out / name).is_file():
            raise HardwareFileError(f"{out / name}: expected a file of Vivado's, got none")
    pairs = (line.split(maxsplit=1) for line in (out / RESULT).read_text().splitlines())
    return {name: float(value) for name, value in pairs if name in ("wns", "whs")}


def read_utilization(text: str) -> Mapping[str, float]:
    """Figures of `report_utilization`, by our names; those that it has.

    Raises:
        HardwareFileError: there is none of LUTs.
    """
    used = {}
    for name, pattern in ROWS.items():
        found = re.search(rf"^\|\s*{pattern}\s*\|\s*([\d.]+)\s*\|", text, re.M)
        if found:
            used[name] = float(found[1])
    if "lut" not in used:
        raise HardwareFileError(f"{UTILIZATION}: expected a row of LUTs, got none")
    return used


def _phases(say: Progress) -> Progress:
    """Tells each phase of Vivado's once."""
    told: set[str] = set()

    def show(line: str) -> None:
        found = PHASE.match(line)
        text = "" if found is None else found[0]
        if text and text not in told:
            told.add(text)
            say(f"  {text}")

    return show
