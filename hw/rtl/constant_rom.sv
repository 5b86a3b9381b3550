// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Constants of a kernel, one word per beat or table entry.
//
// Contract: word becomes memory[address] in a cycle with enable, else it stays. FILE holds DEPTH
// words of WIDTH bits in hexadecimal, a word a line. Nothing is reset.
// In LUTs (STYLE 1) the register holds the address, not the word: behind a counter, Yosys takes two
// to four times the LUTs for a ROM that is registered at its end.
// Throughput and latency: a read per cycle; one cycle.
// Reference: hw/kernels/memory.py, read_memory.
`default_nettype none

module constant_rom #(
    parameter int unsigned WIDTH = 18,  // bits of a word, >= 1
    parameter int unsigned DEPTH = 256,  // words, >= 1
    parameter FILE = "",  // memory file
    parameter int unsigned STYLE = 0,  // 0: as the tool likes, 1: LUTs, 2: block RAM
    localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire logic                    clk,
    input  wire logic                    enable,
    input  wire logic [ADDRESS_BITS-1:0] address,
    output wire logic [       WIDTH-1:0] word
);

  if (STYLE == 1) begin : gen_logic
    // Yosys (read by slang) has no distributed ROM and aborts on the word.
`ifdef __slang__
    (* rom_style = "logic" *)
`else
    (* rom_style = "distributed" *)
`endif
    logic [WIDTH-1:0] memory[DEPTH];
    logic [ADDRESS_BITS-1:0] place;

    initial $readmemh(FILE, memory);

    always_ff @(posedge clk) if (enable) place <= address;

    assign word = memory[place];
  end else begin : gen_plain
    weight_rom #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH),
        .FILE (FILE),
        .STYLE(STYLE)
    ) u_rom (
        .clk,
        .enable,
        .address,
        .word
    );
  end

endmodule

`default_nettype wire
