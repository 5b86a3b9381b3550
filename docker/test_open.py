"""From Verilog to a bitstream for PYNQ-Z2 and back: runs inside the image `edgebert-open`.

    python docker/test_open.py

A counter on the processor's clock goes through Yosys, nextpnr and prjxray to a .bit; reading that
gives the configuration bits that were assembled. For a whole accelerator: `edgebert build --until
bitfile --toolchain open`.
"""

import os
import re
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from pyosys import libyosys

from hw.bitfile.fasm import ECC_WORD, Database, assemble
from hw.bitfile.tools import bit_database, chip_database, open_tool

PART = "xc7z020clg400-1"
COUNTER = """
module counter;
  wire [3:0] fclk;
  wire clk;
  reg [31:0] count = 0;
  PS7 ps7 (.FCLKCLK(fclk), .EMIOGPIOI({32'b0, count}));
  BUFG bufg (.I(fclk[0]), .O(clk));
  always @(posedge clk) count <= count + 1;
endmodule
"""
SCRIPT = """read_verilog counter.v
synth_xilinx -family xc7 -top counter -flatten -noiopad
write_json counter.json"""


def run(root: Path, program: str, *arguments: str | Path) -> str:
    """What a program of the tools says; CalledProcessError if it fails."""
    command = [*open_tool(root, program), *map(str, arguments)]
    print("$", program, *arguments, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout)
    done.check_returncode()
    return done.stdout


def synthesize() -> None:
    Path("counter.v").write_text(COUNTER)
    design = libyosys.Design()
    libyosys.run_pass("tee -q -o yosys.log log", design)
    for line in SCRIPT.splitlines():
        libyosys.run_pass(f"tee -q -a yosys.log {line}", design)


def main() -> None:
    root = Path(os.environ["EDGEBERT_TOOLS_ROOT"])
    print(f"Yosys {version('pyosys')}")
    print(run(root, "nextpnr-himbaechel-xilinx", "--version").strip())
    synthesize()
    chips, given = chip_database(root, "xc7z020"), ("--json", "counter.json")
    options = ("--device", PART, "--freq", "100", "-o", "fasm=counter.fasm")
    said = run(root, "nextpnr-himbaechel-xilinx", "--chipdb", chips, *options, *given)
    print(re.findall(r"Max frequency.*", said)[-1])
    database = Database(bit_database(root), PART)
    frames = assemble(Path("counter.fasm").read_text().splitlines(), database)
    Path("counter.frames").write_text(frames.text())
    part = ("--part_file", database.part_file)
    named = ("--part_name", PART, "--frm_file", "counter.frames", "--output_file", "counter.bit")
    run(root, "xc7frames2bit", *part, *named)
    run(root, "bitread", *part, "-y", "-o", "back.bits", "counter.bit")
    written = {
        (int(frame, 16), 32 * int(word) + int(bit))
        for frame, word, bit in re.findall(
            r"^bit_(\w+)_(\d+)_(\d+)$", Path("back.bits").read_text(), re.MULTILINE
        )
        if int(word) != ECC_WORD
    }
    assembled = {bit for bit in frames.bits if bit[1] // 32 != ECC_WORD}
    assert written == assembled, f"expected {len(assembled)} bits, got {len(written)}"
    print(f"counter.bit: {Path('counter.bit').stat().st_size} bytes, {len(written)} bits set in it")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
