"""Say what a Vivado build would lack, before it takes an hour: one line a check.

    python docker/vivado_preflight.py --board NAME --vivado DIR --out DIR [--deps DIR]

Ends with 0 if all is there, else with 2. Vivado itself is asked last, and only if its folder is
complete: whether it knows part and board, and whether its licence lets it synthesize and place a
flip-flop (docker/vivado_probe.tcl).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from hw.boards import Board, known_boards

VERSIONS = ("2022.2", "2024.2")  # those that FINN+ 1.6.1 and hw/bitfile/vivado_tcl.py are made for
FREE_GB = 30  # assumed: what Vivado writes for a Zynq design, with room
PROBE = Path(__file__).with_name("vivado_probe.tcl")
PROBE_TIMEOUT_S = 900

# The board files that FINN's template asks Vivado for, by FINN's name of the board.
BOARD_PARTS = {
    "Pynq-Z2": "tul.com.tw:pynq-z2:part0:1.0",
    "AUP-ZU3_8GB": "realdigital.org:aup-zu3-8gb:part0:1.0",
    "KV260_SOM": "xilinx.com:kv260_som:part0:1.3",
    "ZCU104": "xilinx.com:zcu104:part0:1.1",
    "ZCU102": "xilinx.com:zcu102:part0:3.3",
}
LICENSED = ("xczu9eg",)  # not in Vivado's free edition; what else is not, the probe finds out
LICENSE_VARIABLES = ("XILINXD_LICENSE_FILE", "LM_LICENSE_FILE")


@dataclass(frozen=True)
class Check:
    """A line of the answer: what was looked at, whether it is as it has to be, and why not."""

    name: str
    passed: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok     ' if self.passed else 'MISSING'} {self.name}: {self.text}"


def check_all(
    board: Board, vivado: Path, out: Path, deps: Path, environment: Mapping[str, str]
) -> Iterator[Check]:
    """Every check in turn; the probe only if Vivado's folder is complete."""
    tool = list(check_vivado(vivado))
    yield from tool
    yield check_disk(out)
    board_files = check_board_files(board, deps, vivado)
    yield board_files
    licence = check_licence(board.part, environment)
    yield licence
    if all(check.passed for check in (*tool, board_files, licence)):
        yield from probe(board, vivado, deps)


def check_vivado(vivado: Path) -> Iterator[Check]:
    """Version, by the folder's name as Xilinx installs it, and programs."""
    found = re.search(r"\b(20\d{2}\.\d)\b", str(vivado))
    version = found[1] if found else "none"
    known = version in VERSIONS
    wanted = f"expected a folder named {' or '.join(VERSIONS)}, got {vivado}"
    yield Check("version", known, f"Vivado {version}" if known else wanted)
    for name in ("settings64.sh", "bin/vivado"):
        path = vivado / name
        there = path.is_file()
        wanted = f"expected {path}, found none: mount Vivado's own folder"
        yield Check(name.rpartition("/")[2], there, str(path) if there else wanted)


def check_disk(out: Path) -> Check:
    """Free space where the build is written."""
    folder = out
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    text = f"{free:.0f} GB free in {folder}"
    return Check("disk", free >= FREE_GB, text + f", of {FREE_GB} GB" * (free < FREE_GB))


def check_board_files(board: Board, deps: Path, vivado: Path) -> Check:
    """A board.xml of the vendor, name and version that FINN's project asks for; ours takes any."""
    wanted = BOARD_PARTS.get(board.finn_name)
    if wanted is None:
        names = ", ".join(BOARD_PARTS)
        text = f"expected a board of FINN's ({names}), got {board.finn_name or board.name!r}"
        return Check("board files", False, text)
    places = (deps / "board_files", vivado / "data/boards/board_files", vivado / "data/xhub/boards")
    for place in places:
        for path in sorted(place.rglob("board.xml")):
            if board_part(path) == wanted:
                return Check("board files", True, f"{wanted} in {path.parent}")
    text = f"expected {wanted} in {' or '.join(map(str, places))}, found none"
    return Check("board files", False, text)


def board_part(path: Path) -> str:
    """Vivado's name of the board that a board.xml describes, "" if it is damaged."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError):
        return ""
    part = root.find("./components/component[@type='fpga']")
    version = root.findtext("file_version", "").strip()
    name = "" if part is None else part.get("name", "")
    return f"{root.get('vendor')}:{root.get('name')}:{name}:{version}"


def check_licence(part: str, environment: Mapping[str, str]) -> Check:
    """Where the licence of a part would come from, if it needs one."""
    if not part.startswith(LICENSED):
        return Check("licence", True, f"{part} is asked of Vivado below")
    for variable in LICENSE_VARIABLES:
        for place in filter(None, environment.get(variable, "").split(":")):
            if "@" in place or Path(place).exists():
                return Check("licence", True, f"{variable}={place}")
            return Check("licence", False, f"{variable}: expected a file or port@host, got {place}")
    files = sorted(Path(environment.get("HOME", "/"), ".Xilinx").glob("*.lic"))
    if files:
        return Check("licence", True, str(files[0]))
    text = f"{part} is not in the free edition: set XILINXD_LICENSE_FILE to a file or port@host"
    return Check("licence", False, text)


def probe(board: Board, vivado: Path, deps: Path) -> Iterator[Check]:
    """What Vivado says of part, board and licence."""
    given = [board.part, BOARD_PARTS[board.finn_name], str(deps / "board_files")]
    command = [str(vivado / "bin/vivado"), "-mode", "batch", "-nojournal", "-nolog"]
    command += ["-source", str(PROBE), "-tclargs", *given]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run(
                command,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PROBE_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            yield Check("vivado runs", False, f"{' '.join(command[:3])}: {error}")
            return
    said = done.stdout + done.stderr
    answers = dict(re.findall(r"^probe: (\w+) (.*)$", said, re.MULTILINE))
    for name in ("part", "board", "synthesis", "implementation"):
        answer = answers.get(name, "")
        if not answer:
            last = [line for line in said.splitlines() if line.strip()][-1:] or ["nothing"]
            yield Check("vivado runs", False, f"status {done.returncode}, and it said: {last[0]}")
            return
        yield Check(f"vivado's {name}", answer == "ok", answer)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    boards = known_boards()
    parser.add_argument("--board", required=True, choices=boards)
    parser.add_argument("--vivado", required=True, type=Path, help="such as .../Vivado/2022.2")
    parser.add_argument("--out", required=True, type=Path, help="where the build goes")
    parser.add_argument("--deps", type=Path, default=Path(os.environ.get("FINN_DEPS", "finn_deps")))
    options = parser.parse_args()
    board = boards[options.board]
    missing = 0
    for check in check_all(board, options.vivado, options.out, options.deps, os.environ):
        print(check, flush=True)
        missing += not check.passed
    print(f"{missing} missing" if missing else f"all there for {board.name}")
    return 2 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
