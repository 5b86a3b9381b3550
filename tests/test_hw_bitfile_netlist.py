"""Netlists for nextpnr: block RAMs keep their bits, cells whose settings get lost are refused."""

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from hw.bitfile.bitstream import (
    BITS,
    check_bits,
    read_bits,
    read_header,
    write_bitstream,
)
from hw.bitfile.fasm import Database, assemble
from hw.bitfile.netlist import NETLIST, check_cells, read_cells, synthesize_board
from hw.bitfile.nextpnr import FASM, place_and_route, read_routed
from hw.bitfile.open_chain import PART, check_memory_bits, check_open
from hw.bitfile.sources import with_processor, write_sources
from hw.bitfile.tools import bit_database
from hw.boards import load_board
from hw.errors import HardwareFileError, ToolError
from hw.shell.shell import Shell
from hw.stitch import write_design
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model

# The memories that Yosys would make RAMB36 of one and of nine bits of, and one with a reset value.
MEMORIES = """
module memories (
    input wire logic clk, write, input wire logic [14:0] at, input wire logic [8:0] d,
    output logic [8:0] nine, output logic one, output logic [17:0] reset
);
  logic [8:0] nines[4096];
  logic ones[32768];
  logic [17:0] resets[1024];
  initial $readmemh("resets.hex", resets);
  always_ff @(posedge clk) begin
    if (write) nines[at[11:0]] <= d;
    nine <= nines[at[11:0]];
    if (write) ones[at] <= d[0];
    one <= ones[at];
    reset <= write ? 18'h2a5a5 : resets[at[9:0]];
  end
endmodule
"""
# A counter reads constants, which the processor sees: it runs on the processor's clock.
COUNTER = """
module counter;
  logic [3:0] fclk;
  logic clk;
  BUFG u_clock (.I(fclk[0]), .O(clk));
  (* keep *) logic [9:0] n;
  (* keep *) logic [17:0] q;
  logic [17:0] rom[1024];
  initial $readmemh("rom.hex", rom);
  always_ff @(posedge clk) begin
    n <= n + 1'b1;
    q <= rom[n];
  end
  PS7 u_processor (.FCLKCLK(fclk), .MAXIGP0ACLK(clk), .EMIOGPIOI({46'd0, q}));
endmodule
"""


def words(count: int, bits: int) -> list[int]:
    rng = random.Random(bits)
    return [rng.getrandbits(bits) for _ in range(count)]


def cell(kind: str, parameters: dict[str, str], **pins: list[str]) -> dict[str, Any]:
    return {"type": kind, "parameters": parameters, "connections": pins}


def test_yosys_makes_no_block_ram_that_loses_bits(tmp_path: Path) -> None:
    contents = words(1024, 18)
    (tmp_path / "memories.sv").write_text(MEMORIES)
    (tmp_path / "resets.hex").write_text("".join(f"{word:05x}\n" for word in contents))
    end = time.monotonic() + 600
    source = [tmp_path / "memories.sv"]
    synthesize_board("memories", source, tmp_path, tmp_path, end, pins=False)
    found = check_cells(read_cells(tmp_path / NETLIST))
    assert found.ones == sum(word.bit_count() for word in contents)
    assert sum(found.shapes.values()) >= 3
    assert all(shape not in found.shapes for shape in ("RAMB36E1 x 1", "RAMB36E1 x 9"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (cell("RAMB36E1", {"READ_WIDTH_A": "1001"}), "1 x RAMB36E1 READ_WIDTH_A 9"),
        (cell("RAMB36E1", {"WRITE_WIDTH_B": "0001"}), "1 x RAMB36E1 WRITE_WIDTH_B 1"),
        (cell("RAMB18E1", {"INIT_B": "0100"}), "1 x RAMB18E1 INIT_B not 0"),
        (cell("RAMB18E1", {"SRVAL_A": "1x"}, RSTRAMARSTRAM=["7"]), "RAMB18E1 SRVAL_A not 0"),
        (cell("RAMB36E1", {"RAM_EXTENSION_A": "LOWER"}), "RAMB36E1 RAM_EXTENSION_A LOWER"),
        (cell("SRL16E", {}), "1 x SRL16E, whose write enable"),
        (cell("RAM64X1D", {}), "1 x RAM64X1D, whose write enable"),
        (cell("DSP48E1", {"MREG": "1"}), "1 x DSP48E1 without ACASCREG"),
    ],
)
def test_cells_whose_settings_get_lost_are_refused(wrong: dict[str, Any], said: str) -> None:
    right = [
        cell("RAMB36E1", {"READ_WIDTH_A": "10010", "SRVAL_A": "1"}, RSTRAMARSTRAM=["0"]),
        cell("RAMB18E1", {"READ_WIDTH_B": "1001", "INIT_00": "0110", "INITP_01": "1"}),
        cell("RAM64M", {"INIT_A": "1"}),
    ]
    found = check_cells(right)
    assert found.shapes == {"RAMB18E1 x 9": 1, "RAMB36E1 x 18": 1} and found.ones == 3
    with pytest.raises(HardwareFileError, match=f"expected cells whose settings.*{said}"):
        check_cells([*right, wrong])


def test_a_board_has_one_source_of_each_module_packages_first(tmp_path: Path) -> None:
    model = random_integer_model(layers=1)
    design = encoder_design(model, even_folding(model, 8, 512), 8)
    write_design(design, tmp_path / "design")
    shell = Shell.of_design(design, max_tokens=8, max_burst=16, address_bits=32)
    plain = write_sources(design, tmp_path / "design", shell, tmp_path)
    board = with_processor(plain, shell, tmp_path)
    names = [path.stem for path in board.files]
    assert len(set(names)) == len(names) and board.top == "encoder_board_zynq7"
    assert {"shell", "axi3_to_lite", "encoder", plain.top, board.top} <= set(names)
    packages = [name.endswith("_pkg") for name in names]
    assert packages == sorted(packages, reverse=True)
    (tmp_path / "design" / "rtl" / "skid_buffer.sv").unlink()
    with pytest.raises(HardwareFileError, match=r"skid_buffer\.sv: expected a source"):
        write_sources(design, tmp_path / "design", shell, tmp_path)


@pytest.fixture
def root() -> Path:
    """A system with the open tools."""
    found = Path(os.environ.get("EDGEBERT_TOOLS_ROOT", "/"))
    try:
        check_open(found, load_board("pynq-z2"))
    except ToolError as error:
        pytest.skip(f"needs nextpnr and prjxray, in EDGEBERT_TOOLS_ROOT: {error}")
    return found


@pytest.mark.slow
def test_what_is_written_is_read_back(tmp_path: Path, root: Path) -> None:
    database, rng = Database(bit_database(root), PART), random.Random(0)
    tiles = [name for name in database.grid if name.startswith("BRAM_L_X6Y")][:2]
    lines = [
        f"{tile}.RAMB18_Y{half}.INIT_{row:02X}[255:0] = 256'b{rng.getrandbits(256):b}"
        for tile in tiles
        for half in (0, 1)
        for row in range(64)
    ]
    lines += [f"{tile}.RAMB18_Y1.READ_WIDTH_A_18" for tile in tiles]
    tiles = [name for name in database.grid if name.startswith("CLBLM_R_X")][:20]
    lines += [f"{t}.SLICEM_X0.ALUT.INIT[63:0] = 64'b{rng.getrandbits(64):b}" for t in tiles]
    frames, end = assemble(lines, database), time.monotonic() + 600
    contents = []
    for name in ("first.bit", "second.bit"):
        write_bitstream(frames, database, tmp_path / name, root, end)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert 4_045_000 < len(contents[0]) < 4_046_000
    assert read_header(contents[0]).idcode == database.idcode() == 0x0372_7093
    frames.bits.popitem()
    with pytest.raises(HardwareFileError, match="got 1 others"):
        check_bits(frames, read_bits((tmp_path / BITS).read_text()))


@pytest.mark.slow
def test_a_counter_becomes_a_bitstream(tmp_path: Path, root: Path) -> None:
    contents, end = words(1024, 18), time.monotonic() + 3600
    (tmp_path / "counter.sv").write_text(COUNTER)
    (tmp_path / "rom.hex").write_text("".join(f"{word:05x}\n" for word in contents))
    synthesize_board("counter", [tmp_path / "counter.sv"], tmp_path, tmp_path, end)
    memories = check_cells(read_cells(tmp_path / NETLIST))
    assert memories.shapes == {"RAMB18E1 x 18": 1}
    said: list[str] = []
    place_and_route(tmp_path / NETLIST, tmp_path, root, PART, 100, end, said.append)
    assert any("router" in line for line in said)
    lines = (tmp_path / FASM).read_text().splitlines()
    check_memory_bits(lines, sum(word.bit_count() for word in contents))
    routed = read_routed(tmp_path, lines)
    assert routed.bram18 == 1 and routed.ff >= 10 and routed.dsp == 0
    assert 0 < routed.lut_sites < 100 and routed.mhz > 100 and routed.critical
    database = Database(bit_database(root), PART)
    frames = assemble(lines, database)
    write_bitstream(frames, database, tmp_path / "counter.bit", root, end)
    content = (tmp_path / "counter.bit").read_bytes()
    assert 4_045_000 < len(content) < 4_046_000
    assert read_header(content).idcode == database.idcode()
