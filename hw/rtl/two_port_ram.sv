// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Memory with a write port and a read port whose result is a register.
//
// Contract: read_data becomes memory[read_address] in a cycle with read_enable, else it stays. A
// word must not be read in the cycle that writes it. Nothing is reset.
// Throughput and latency: a write and a read per cycle; one cycle.
// Reference: an array.
`default_nettype none

module two_port_ram #(
    parameter int unsigned WIDTH = 8,   // bits of a word, >= 1
    parameter int unsigned DEPTH = 32,  // words, >= 1
    parameter int unsigned BLOCK = 0,   // 0: LUTs as memory, 1: block RAM
    localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire logic clk,

    input wire logic                    write_enable,
    input wire logic [ADDRESS_BITS-1:0] write_address,
    input wire logic [       WIDTH-1:0] write_data,

    input  wire logic                    read_enable,
    input  wire logic [ADDRESS_BITS-1:0] read_address,
    output      logic [       WIDTH-1:0] read_data
);

  // no_rw_check: Yosys' word for "never read and written in one cycle", which spares a bypass.
  if (BLOCK != 0) begin : gen_block
    (* ram_style = "block", no_rw_check *)
    logic [WIDTH-1:0] memory[DEPTH];

    always_ff @(posedge clk) begin
      if (write_enable) memory[write_address] <= write_data;
      if (read_enable) read_data <= memory[read_address];
    end
  end else begin : gen_distributed
    (* ram_style = "distributed", no_rw_check *)
    logic [WIDTH-1:0] memory[DEPTH];

    always_ff @(posedge clk) begin
      if (write_enable) memory[write_address] <= write_data;
      if (read_enable) read_data <= memory[read_address];
    end
  end

endmodule

`default_nettype wire
