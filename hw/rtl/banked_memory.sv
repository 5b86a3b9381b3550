// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Constants that the load bus brings: two banks, of which one is read while the other is filled.
//
// Contract: the bus is that of load_pkg.sv. word becomes memory[address] in a cycle with enable,
// else it stays; bank b has the addresses b * DEPTH to b * DEPTH + DEPTH - 1. Only the bank in use
// may be read. BANKS 0: there is one bank, which is read when it isn't filled.
// Throughput and latency: a read and a beat of the bus per cycle; one cycle.
// Reference: an array.
`default_nettype none

module banked_memory
  import load_pkg::*;
#(
    parameter int unsigned WIDTH     = 64,  // bits of a word, >= 1
    parameter int unsigned DEPTH     = 16,  // words of a bank, >= 1
    parameter int unsigned BANKS     = 2,   // 2, or 0: one
    parameter int unsigned STYLE     = 0,   // 0: by size, 1: LUTs, 2: block RAM, 3: URAM
    parameter int unsigned LOAD_BITS = 72,  // bits of a beat, >= 1
    parameter int unsigned LOAD_BASE = 0,   // index of the first beat
    localparam int unsigned WORDS = BANKS == 2 ? 2 * DEPTH : DEPTH,
    localparam int unsigned ADDRESS_BITS = WORDS > 1 ? $clog2(WORDS) : 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [LOAD_BITS+INDEX_BITS+1:0] load,

    input  wire logic                    enable,
    input  wire logic [ADDRESS_BITS-1:0] address,
    output wire logic [       WIDTH-1:0] word
);

  // One memory per beat of a word: the data goes to all of them, only one takes it.
  localparam int unsigned PARTS = (WIDTH + LOAD_BITS - 1) / LOAD_BITS;

  wire logic [PARTS-1:0] write;
  wire logic [(BANKS == 2 ? $clog2(2 * DEPTH) : $clog2(DEPTH + 1))-1:0] write_address;

  load_writer #(
      .WIDTH    (WIDTH),
      .DEPTH    (DEPTH),
      .BANKS    (BANKS),
      .LOAD_BITS(LOAD_BITS),
      .LOAD_BASE(LOAD_BASE)
  ) u_writer (
      .clk,
      .rst_n,
      .load,
      .write,
      .write_address
  );

  for (genvar i = 0; i < PARTS; i++) begin : gen_part
    localparam int unsigned LOW = i * LOAD_BITS;
    localparam int unsigned BITS = WIDTH - LOW < LOAD_BITS ? WIDTH - LOW : LOAD_BITS;

    weight_ram #(
        .WIDTH(BITS),
        .DEPTH(WORDS),
        .STYLE(STYLE)
    ) u_ram (
        .clk,
        .write_enable (write[i]),
        .write_address(ADDRESS_BITS'(write_address)),
        .write_data   (load[BITS-1:0]),
        .read_enable  (enable),
        .read_address (address),
        .read_data    (word[LOW+:BITS])
    );
  end

endmodule

`default_nettype wire
