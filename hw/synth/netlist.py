"""Simulate what Yosys made of a module: the mapped netlist and models of its cells."""

import os
import re
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from hw.cache import cache_folder
from hw.errors import ToolError
from hw.sim.verilator import Parameter, Simulation, build
from hw.synth.cache import cached_synthesis

BLOCK_RAM = Path(__file__).with_name("block_ram.sv")

# Parameters and ports of a block RAM.
WIDTHS = ("READ_WIDTH_A", "READ_WIDTH_B", "WRITE_WIDTH_A", "WRITE_WIDTH_B")
REGISTERS = ("DOA_REG", "DOB_REG")
WORDS = ("SRVAL_A", "SRVAL_B", "INIT_A", "INIT_B")
MODES = ("WRITE_MODE_A", "WRITE_MODE_B")
EXTENSIONS = ("RAM_EXTENSION_A", "RAM_EXTENSION_B")
CONTROLS = ("CLKARDCLK", "CLKBWRCLK", "ENARDEN", "ENBWREN", "RSTRAMARSTRAM", "RSTRAMB")


def build_netlist(
    top: str,
    parameters: Mapping[str, Parameter],
    memories: Mapping[str, str] | None = None,
    options: str = "",
) -> Simulation:
    """The simulation of a module's netlist for 7-series, for `hw.sim.bench.run(simulation=...)`.

    Args:
        top: module of `hw/rtl`.
        parameters: values of its parameters; the netlist has none.
        memories: content of its memory files, which becomes part of the netlist.
        options: further options of `synth_xilinx`.

    Raises:
        ToolError: Yosys, Verilator or the compiler is missing, or refuses the module.
    """
    _, netlist = cached_synthesis(top, parameters, "xc7", memories, options)
    return build(top, {}, folder=netlist.parent, extra=[netlist, _cells(), BLOCK_RAM])


def _cells() -> Path:
    """Yosys' models of the cells; its block RAMs are empty boxes, which ours replace."""
    spec = find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise ToolError("expected Yosys, found none; install it with: pip install pyosys")
    text = (Path(spec.origin).parent / "share" / "xilinx" / "cells_sim.v").read_text()
    text = re.sub(r"^module RAMB(?:18|36)E1\b.*?^endmodule", "", text, flags=re.DOTALL | re.M)
    path = cache_folder() / "yosys" / "cells_sim.v"
    text += block_ram_cell(18) + block_ram_cell(36)
    if not path.exists() or path.read_text() != text:
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            made = Path(scratch) / path.name
            made.write_text(text)
            os.replace(made, path)
    return path


def block_ram_cell(kilobits: int) -> str:
    """The cell RAMB18E1 or RAMB36E1 around block_ram.sv, as Yosys instantiates it.

    Parameters that Yosys leaves at their default do not stand here, so that a netlist that sets
    one is refused, not simulated wrongly.
    """
    half = kilobits == 18
    rows, data, parity, address = (64, 16, 2, 14) if half else (128, 32, 4, 16)
    names = [f"INIT_{row:02X}" for row in range(rows)]
    parities = [f"INITP_{row:02X}" for row in range(rows // 8)]
    values = [f"parameter [255:0] {name} = 256'd0" for name in names + parities]
    values += [f"parameter integer {name} = 0" for name in (*WIDTHS, *REGISTERS)]
    values += [f"parameter [{data + parity - 1}:0] {name} = 0" for name in WORDS]
    values += [f'parameter {name} = "WRITE_FIRST"' for name in MODES]
    values += ['parameter RAM_MODE = "TDP"']
    values += [] if half else [f'parameter {name} = "NONE"' for name in EXTENSIONS]
    inputs = {
        **dict.fromkeys(CONTROLS, 1),
        **dict.fromkeys(("REGCEAREGCE", "REGCEB", "RSTREGARSTREG", "RSTREGB"), 1),
        **dict.fromkeys(("ADDRARDADDR", "ADDRBWRADDR"), address),
        **dict.fromkeys(("DIADI", "DIBDI"), data),
        **dict.fromkeys(("DIPADIP", "DIPBDIP"), parity),
        **{"WEA": parity, "WEBWE": 2 * parity},
    }
    outputs = {"DOADO": data, "DOBDO": data, "DOPADOP": parity, "DOPBDOP": parity}
    ports = [f"input [{bits - 1}:0] {name}" for name, bits in inputs.items()]
    ports += [f"output [{bits - 1}:0] {name}" for name, bits in outputs.items()]
    others = [f"{name} != 0" for name in REGISTERS]
    others += [] if half else [f'{name} != "NONE"' for name in EXTENSIONS]
    passed = [f".{name}({name})" for name in (*WIDTHS, *WORDS, *MODES, "RAM_MODE")]
    passed += [f".ROWS({rows})", f".OTHERS({' || '.join(others)})"]
    passed += [f".DATA({{{', '.join(reversed(names))}}})"]
    passed += [f".PARITY({{{', '.join(reversed(parities))}}})"]
    wired = [f".{name}({name})" for name in (*inputs, *outputs) if "REG" not in name]
    return (
        f"\nmodule RAMB{kilobits}E1 #(\n{_list(values)}\n) (\n{_list(ports)}\n);\n"
        f"block_ram #(\n{_list(passed)}\n) u_ram (\n{_list(wired)}\n);\nendmodule\n"
    )


def _list(items: list[str]) -> str:
    return ",\n".join(items)
