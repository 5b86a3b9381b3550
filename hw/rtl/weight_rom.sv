// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Read-only memory with the content of a file, whose result is a register.
//
// Contract: word becomes memory[address] in a cycle with enable, else it stays. FILE holds DEPTH
// words of WIDTH bits in hexadecimal, a word a line. Nothing is reset.
// Throughput and latency: a read per cycle; one cycle.
// Memory: STYLE 0 takes block RAM above 64 words and 4,096 bits, as stream_fifo does.
// Reference: hw/kernels/memory.py, read_memory.
`default_nettype none

module weight_rom #(
    parameter int unsigned WIDTH = 64,  // bits of a word, >= 1
    parameter int unsigned DEPTH = 16,  // words, >= 1
    parameter              FILE  = "",  // memory file
    parameter int unsigned STYLE = 0,   // 0: by size, 1: LUTs, 2: block RAM
    localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire logic                    clk,
    input  wire logic                    enable,
    input  wire logic [ADDRESS_BITS-1:0] address,
    output      logic [       WIDTH-1:0] word
);

  if (STYLE > 2) begin : gen_check_style
    $fatal(1, "weight_rom: STYLE must be 0 to 2, got %0d", STYLE);
  end

  localparam bit BLOCK = STYLE == 2 || (STYLE == 0 && DEPTH > 64 && DEPTH * WIDTH > 4096);

  if (!BLOCK) begin : gen_logic
    (* rom_style = "distributed" *)
    logic [WIDTH-1:0] memory[DEPTH];

    initial $readmemh(FILE, memory);

    always_ff @(posedge clk) if (enable) word <= memory[address];
  end else begin : gen_block
    (* rom_style = "block" *)
    logic [WIDTH-1:0] memory[DEPTH];

    initial $readmemh(FILE, memory);

    always_ff @(posedge clk) if (enable) word <= memory[address];
  end

endmodule

`default_nettype wire
