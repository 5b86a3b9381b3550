"""The Tcl script for Vivado, run in Tcl with commands that record what they are asked."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hw.bitfile.vivado import read_utilization, write_project
from hw.bitfile.vivado_tcl import PROCESSORS, processor_of
from hw.boards import load_board
from hw.design import Design
from hw.errors import HardwareFileError
from hw.pynq.edgebert_board import registers
from hw.shell.shell import Shell
from hw.shell.top import CLOCK, REGISTERS, memory_ports
from hw.sim.verilator import lint
from hw.stitch import write_design
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model

TCLSH = shutil.which("tclsh")

# Commands of Vivado: each is written down; those whose answer the script uses give one.
COMMANDS = """
set calls [open calls.txt w]
proc unknown {args} {
    global calls
    puts $calls [join [lmap word $args {regsub -all {\\s+} $word { }}] "\\t"]
    switch [lindex $args 0] {
        get_board_parts { return [list "[string map {:* {}} [lindex $args end]]:1.0"] }
        create_bd_cell { return [lindex $args end] }
        get_property { return [expr {[lindex $args 1] eq "PROGRESS" ? "100%" : "@slack@"}] }
        get_bd_pins - get_bd_intf_pins - get_bd_addr_spaces - get_bd_addr_segs {
            return [lindex $args end]
        }
        get_runs - get_files { return [lindex $args end] }
        version { return 2024.2 }
    }
    return ""
}
source build.tcl
"""
# Pins of the vendor's cells that the script may use.
PINS = {
    "reset": {"slowest_sync_clk", "ext_reset_in", "peripheral_aresetn"},
    "registers": {"aclk", "aresetn", "S00_AXI", "M00_AXI"},
    "memory": {"aclk", "aresetn", "S00_AXI", "M00_AXI"},
}


@pytest.fixture(scope="module")
def design() -> Design:
    model = random_integer_model(layers=1)
    built = encoder_design(model, even_folding(model, 8, 512), 8)
    return replace(built, properties={**built.properties, "max_tokens": 8})


def project(folder: Path, design: Design, board: str) -> Path:
    """The script and its sources in a folder."""
    write_design(design, folder / "design")
    return write_project(design, folder / "design", load_board(board), 125.0, folder)


def execute(folder: Path, slack: str = "0.1") -> tuple[int, str, list[list[str]]]:
    """Run the script in Tcl: status, what it said, its calls."""
    if TCLSH is None:
        pytest.skip("needs tclsh (Debian: tcl)")
    for name in ("runs/impl_1/x.bit", "gen/sources_1/bd/edgebert/hw_handoff/edgebert.hwh"):
        file = folder / "project" / f"edgebert.{name}"
        file.parent.mkdir(parents=True)
        file.write_text(name)
    (folder / "record.tcl").write_text(COMMANDS.replace("@slack@", slack))
    done = subprocess.run([TCLSH, "record.tcl"], cwd=folder, capture_output=True, text=True)
    calls = (folder / "calls.txt").read_text().splitlines()
    return done.returncode, done.stderr, [line.split("\t") for line in calls]


@pytest.mark.parametrize("board", ["pynq-z2", "kv260"])
def test_the_script_runs_and_its_names_exist(tmp_path: Path, design: Design, board: str) -> None:
    project(tmp_path, design, board)
    status, said, calls = execute(tmp_path)
    assert (status, said) == (0, "")
    cpu = processor_of(load_board(board))
    ports = CLOCK + REGISTERS + memory_ports(cpu.address_bits)
    wrapper = (tmp_path / "sources" / "encoder_board_axi.v").read_text()
    pins = {
        **PINS,
        "ps": {cpu.clock, cpu.reset, cpu.master, cpu.slave, cpu.master_clock, cpu.slave_clock},
        "board": {"aclk", "aresetn", *re.findall(r"XIL_INTERFACENAME (\w_axi)", wrapper)},
    }
    used = [call[-1] for call in calls if call[0] in ("get_bd_pins", "get_bd_intf_pins")]
    assert {name.split("/")[0] for name in used} == set(pins)
    for name in used:
        instance, pin = name.split("/")
        assert pin in pins[instance], name
    linked = [call for call in calls if call[0] == "connect_bd_intf_net"]
    assert [call[1:] for call in linked] == [
        [f"ps/{cpu.master}", "registers/S00_AXI"],
        ["registers/M00_AXI", "board/s_axi"],
        ["board/m_axi", "memory/S00_AXI"],
        ["memory/M00_AXI", f"ps/{cpu.slave}"],
    ]
    clocked = next(call for call in calls if call[0] == "connect_bd_net")
    assert clocked[1] == f"ps/{cpu.clock}" and len(set(clocked)) == 8
    settings = next(c for c in calls if c[0] == "set_property" and "FREQMHZ {125}" in " ".join(c))
    assert settings[-1] == "ps"
    buses = re.findall(r'interface:aximm:1\.0 (\w_axi) (\w+)".*\n +\w+ wire .*?(\w+)[,\n]', wrapper)
    assert [f"{bus}_{signal.lower()}" for bus, signal, _ in buses] == [p for *_, p in ports[2:]]
    assert all(f"{bus}_{signal.lower()}" == port for bus, signal, port in buses)


@pytest.mark.parametrize("board", ["pynq-z2", "kv260"])
def test_addresses_files_and_results(tmp_path: Path, design: Design, board: str) -> None:
    project(tmp_path, design, board)
    _, _, calls = execute(tmp_path)
    cpu = processor_of(load_board(board))
    registers_map, memory_map = (call[1:] for call in calls if call[0] == "assign_bd_address")
    assert registers_map[:4] == ["-offset", f"0x{cpu.base:08X}", "-range", "4K"]
    assert registers.ADDRESS_SPACE == 4 * 1024 and cpu.base % registers.ADDRESS_SPACE == 0
    assert memory_map == ["-target_address_space", "board/m_axi"]
    added = [
        Path(name)
        for call in calls
        if call[0] == "add_files"
        for name in call[-1].replace("{", "").replace("}", "").split()
    ]
    assert added and all(path.is_file() for path in added)
    names = [path.name for path in added]
    assert len(set(names)) == len(names)
    assert set(design.memories) <= set(names)
    assert "popcount_carry.v" in names and "popcount_carry.sv" not in names  # the vendor's cells
    top = next(call for call in calls if call[0] == "create_bd_cell" and "module" in call)
    assert top[-2:] == ["encoder_board_axi", "board"]
    assert (tmp_path / "edgebert.bit").read_text() == "runs/impl_1/x.bit"
    assert (tmp_path / "edgebert.hwh").is_file()
    assert (tmp_path / "result.txt").read_text().splitlines()[0] == "wns 0.1"


def test_a_clock_that_is_missed_fails(tmp_path: Path, design: Design) -> None:
    project(tmp_path, design, "pynq-z2")
    status, said, _ = execute(tmp_path, slack="-0.25")
    assert status == 1 and "timing: expected slack of 0 ns or more, got setup -0.25 ns" in said
    assert not (tmp_path / "edgebert.bit").exists()


def test_missing_board_files_are_an_error(tmp_path: Path, design: Design) -> None:
    script = project(tmp_path, design, "aup-zu3")
    assert 'set board_part "realdigital.org:aup-zu3-8gb:part0"' in script.read_text()
    text = COMMANDS.replace('[list "[string map {:* {}} [lindex $args end]]:1.0"]', "{}")
    if TCLSH is None:
        pytest.skip("needs tclsh (Debian: tcl)")
    (tmp_path / "record.tcl").write_text(text)
    done = subprocess.run([TCLSH, "record.tcl"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        "board files of realdigital.org:aup-zu3-8gb:part0: expected them in Vivado" in done.stderr
    )


@pytest.mark.parametrize("family", list(PROCESSORS))
def test_the_wrapper_has_the_ports_of_the_board(
    tmp_path: Path, design: Design, family: str
) -> None:
    board = {"xc7": "pynq-z2", "xcup": "zcu104"}[family]
    project(tmp_path, design, board)
    cpu = PROCESSORS[family]
    shell = Shell.of_design(design, max_burst=cpu.max_burst, address_bits=cpu.address_bits)
    top = (tmp_path / "sources" / "encoder_board.sv").read_text()
    assert f".ADDRESS_BITS({shell.address_bits})" in top and ".CLOCK_KHZ(125000)" in top
    axi = tmp_path / "sources" / "encoder_board_axi.v"
    ends = re.findall(r"^    (?:in|out)put wire (?:logic )?.*?(\w+),?$", top, re.M)
    assert re.findall(r"^ +(?:in|out)put wire .*?(\w+),?$", axi.read_text(), re.M) == ends
    stub = tmp_path / "encoder_board.sv"
    stub.write_text(top[: top.index(");") + 2] + "\nendmodule\n")
    said = lint("encoder_board_axi", {}, only=[stub, axi])
    assert "encoder_board_axi.v" not in said, said


def test_utilization_is_read_of_both_families() -> None:
    seven = "| Slice LUTs*  | 1234 | 0 |\n| Slice Registers | 99 |\n| Block RAM Tile | 10.5 | 0 |\n"
    ultra = "| CLB LUTs | 7 | 0 |\n|   LUT as Logic | 6 |\n| URAM | 2 |\n| DSPs | 3 |\n"
    assert read_utilization(seven) == {"lut": 1234, "ff": 99, "bram36": 10.5}
    assert read_utilization(ultra) == {"lut": 7, "uram": 2, "dsp": 3}
    with pytest.raises(HardwareFileError, match="expected a row of LUTs, got none"):
        read_utilization("| Site | Used |\n")
