"""The top of a Zynq-7000: Yosys takes it, with the vendor's processor as a black box."""

from dataclasses import replace
from pathlib import Path

import pytest

from hw.errors import ParameterError
from hw.shell.shell import Shell
from hw.shell.top import board_top
from hw.shell.zynq7 import zynq7_top
from hw.sim.verilator import RTL, closure
from hw.synth.yosys import run_script

SHELL = Shell(max_tokens=9, hidden=16, word_bits=16, max_burst=16, buffer_words=64)
LOOP = """\
module loop (
    input wire logic clk, input wire logic rst_n,
    input wire logic [15:0] s_axis_residual_tdata, input wire logic s_axis_residual_tvalid,
    output wire logic s_axis_residual_tready,
    input wire logic [3:0] s_axis_length_tdata, input wire logic s_axis_length_tvalid,
    output wire logic s_axis_length_tready,
    output wire logic [15:0] m_axis_residual_tdata, output wire logic m_axis_residual_tvalid,
    input wire logic m_axis_residual_tready
);
  assign s_axis_length_tready = 1'b1;
  skid_buffer #(.WIDTH(16)) u_skid (
      .clk, .rst_n,
      .s_axis_tdata(s_axis_residual_tdata), .s_axis_tvalid(s_axis_residual_tvalid),
      .s_axis_tready(s_axis_residual_tready), .m_axis_tdata(m_axis_residual_tdata),
      .m_axis_tvalid(m_axis_residual_tvalid), .m_axis_tready(m_axis_residual_tready)
  );
endmodule
"""


def test_yosys_elaborates_the_processor_with_shell_and_accelerator(tmp_path: Path) -> None:
    texts = {
        "loop": LOOP,
        "loop_board": board_top(SHELL, "loop"),
        "loop_board_zynq7": zynq7_top(SHELL, "loop_board"),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.sv").write_text(text)
    extra = [tmp_path / f"{name}.sv" for name in texts]
    sources = [*closure("loop_board_zynq7", RTL, extra), *extra]
    assert {"shell", "axi3_to_lite", "loop"} <= {path.stem for path in sources}
    script = [
        "read_verilog -lib +/xilinx/cells_sim.v",
        "read_verilog -lib +/xilinx/cells_xtra.v",
        f"read_slang --extern-modules -D SYNTHESIS --top loop_board_zynq7 "
        f"{' '.join(map(str, sources))}",
        "hierarchy -check -top loop_board_zynq7",
        "proc",
        "check -assert",
        "select -assert-count 1 loop_board_zynq7/t:PS7",
    ]
    run_script("\n".join(script), tmp_path)


def test_bursts_and_addresses_of_other_ports_are_refused() -> None:
    with pytest.raises(ParameterError, match="max_burst: expected 1 to 16, got 17"):
        zynq7_top(replace(SHELL, max_burst=17), "loop_board")
    with pytest.raises(ParameterError, match="address_bits: expected 32, got 40"):
        zynq7_top(replace(SHELL, address_bits=40), "loop_board")
