"""Place and route of binary MVUs for the xc7z020 with nextpnr, where it is installed.

    python -m benchmarks.place --root ROOT [--points NAME ...]

ROOT is a Debian sid with nextpnr (hw/synth/place.py says how to make one).
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.synth import commit, random_mvu
from hw.errors import ToolError
from hw.kernels.mvu import BinaryMvu
from hw.synth.cache import cached_synthesis
from hw.synth.place import DEVICE, place_mvu
from hw.synth.yosys import Utilization

OUTPUT = Path(__file__).with_suffix(".md")
POINTS = {"64x8": (64, 8), "64x16": (64, 16), "256x16": (256, 16)}

HEADER = """# Placed and routed MVUs

Placed and routed with nextpnr (himbaechel, Debian sid) for {device}, synthesized with Yosys
{version}, on code at commit {commit}. MW = MH = 768, TOKENS 1, between five pins. `synthesized LUT`
is the module's count before placement; `LUT sites` are those in use after it, where a LUT6_2 can
take two and a carry chain takes some that only pass a signal on. The clock is nextpnr's estimate
after routing; it leaves out paths that come out of block RAM. Made by `make place`.

"""
COLUMNS = "SIMD x PE|placer|synthesized LUT|LUT sites|FF|CARRY4|clock MHz|seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="Debian sid with nextpnr")
    parser.add_argument("--points", nargs="+", default=list(POINTS), choices=POINTS, metavar="NAME")
    parser.add_argument("--placer", default="static", choices=("static", "heap"))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    rows = []
    for name in args.points:
        rows.append(row(*POINTS[name], args.root, args.placer))
        print(rows[-1], flush=True)
    header = HEADER.format(device=DEVICE, version=version("pyosys"), commit=commit())
    args.output.write_text(header + table(rows))


def row(simd: int, pe: int, root: Path, placer: str) -> str:
    """Place and route an MVU; its row of the table."""
    kernel = BinaryMvu(768, 768, pe, simd, weight_memory="block")
    memories = random_mvu(kernel)
    used, _ = cached_synthesis("binary_mvu", kernel.parameters(), "xc7", memories)
    figures = measured(kernel, memories, root, placer, used)
    return "| " + " | ".join([f"{simd} x {pe}", placer, *figures]) + " |"


def measured(
    kernel: BinaryMvu, memories: dict[str, str], root: Path, placer: str, used: Utilization
) -> list[str]:
    """The figures of a row."""
    try:
        made = place_mvu(kernel, memories, root, placer)
    except ToolError as error:
        return [str(used.lut), str(error), "", "", "", ""]
    counts = [used.lut, made.sites, made.ff, made.carry]
    return [*map(str, counts), f"{made.mhz:.0f}", f"{made.seconds:.0f}"]


def table(rows: Sequence[str]) -> str:
    """Rows below the heads of their columns."""
    names = COLUMNS.split("|")
    return "\n".join([f"| {' | '.join(names)} |", "| " + "--- | " * len(names), *rows]) + "\n"


if __name__ == "__main__":
    main()
