// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Two banks of constants in LUTs, read in the same cycle, by several readers.
//
// Contract: the bus is that of load_pkg.sv. word[i] is entry address[i] of the bank in use.
// Throughput and latency: a beat of the bus per cycle; reads have none.
// Reference: an array.
`default_nettype none

module banked_table
  import load_pkg::*;
#(
    parameter int unsigned WIDTH     = 13,  // bits of an entry, 1 to LOAD_BITS
    parameter int unsigned DEPTH     = 65,  // entries of a bank, >= 1
    parameter int unsigned READERS   = 1,   // >= 1
    parameter int unsigned LOAD_BITS = 72,  // bits of a beat
    parameter int unsigned LOAD_BASE = 0,   // index of the first beat
    localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [LOAD_BITS+INDEX_BITS+1:0] load,

    input  wire logic [READERS-1:0][ADDRESS_BITS-1:0] address,
    output wire logic [READERS-1:0][       WIDTH-1:0] word
);

  if (WIDTH < 1 || WIDTH > LOAD_BITS) begin : gen_check_width
    $fatal(1, "banked_table: WIDTH must be 1 to LOAD_BITS = %0d, got %0d", LOAD_BITS, WIDTH);
  end

  localparam int unsigned PLACE_BITS = $clog2(2 * DEPTH);

  wire logic write;
  wire logic [PLACE_BITS-1:0] write_address;
  wire logic [PLACE_BITS-1:0] first =
      load[LOAD_BITS+INDEX_BITS+1] ? PLACE_BITS'(DEPTH) : '0;

  load_writer #(
      .WIDTH    (WIDTH),
      .DEPTH    (DEPTH),
      .LOAD_BITS(LOAD_BITS),
      .LOAD_BASE(LOAD_BASE)
  ) u_writer (
      .clk,
      .rst_n,
      .load,
      .write,
      .write_address
  );

  for (genvar i = 0; i < READERS; i++) begin : gen_reader
    (* ram_style = "distributed", no_rw_check *)
    logic [WIDTH-1:0] memory[2*DEPTH];

    always_ff @(posedge clk) if (write) memory[write_address] <= load[WIDTH-1:0];

    assign word[i] = memory[first+PLACE_BITS'(address[i])];
  end

endmodule

`default_nettype wire
