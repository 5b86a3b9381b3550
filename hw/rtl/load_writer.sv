// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Finds the beats of a memory on the load bus, and where they go.
//
// Contract: the bus is that of load_pkg.sv. write has a bit for each part of a word, a beat's worth
// of it, lowest first: it is set in the cycle in which the bus has that part of word
// write_address. BANKS 2: bank b has the words b * DEPTH to b * DEPTH + DEPTH - 1; the bank in use
// must stand a cycle before the memory's first beat. BANKS 0: there is one bank.
// Throughput and latency: a beat per cycle; none.
// Reference: hw/streamed/image.py.
`default_nettype none

module load_writer
  import load_pkg::*;
#(
    parameter int unsigned WIDTH     = 64,  // bits of a word, >= 1
    parameter int unsigned DEPTH     = 16,  // words of a bank, >= 1
    parameter int unsigned BANKS     = 2,   // 2, or 0: one
    parameter int unsigned LOAD_BITS = 72,  // bits of a beat, >= 1
    parameter int unsigned LOAD_BASE = 0,   // index of the first beat
    localparam int unsigned PARTS = (WIDTH + LOAD_BITS - 1) / LOAD_BITS,
    localparam int unsigned ADDRESS_BITS = BANKS == 2 ? $clog2(2 * DEPTH) : $clog2(DEPTH + 1)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LOAD_BITS+INDEX_BITS+1:0] load,
    output wire logic [               PARTS-1:0] write,
    output      logic [        ADDRESS_BITS-1:0] write_address
);

  if (LOAD_BITS < 1) begin : gen_check_load_bits
    $fatal(1, "load_writer: LOAD_BITS must be at least 1, got %0d", LOAD_BITS);
  end
  if (LOAD_BASE >= 1 << INDEX_BITS) begin : gen_check_load_base
    $fatal(1, "load_writer: LOAD_BASE must be below %0d, got %0d", 1 << INDEX_BITS, LOAD_BASE);
  end

  localparam int unsigned PART_BITS = PARTS > 1 ? $clog2(PARTS) : 1;

  wire logic bank = load[LOAD_BITS+INDEX_BITS+1];
  wire logic valid = load[LOAD_BITS+INDEX_BITS];
  wire logic [INDEX_BITS-1:0] index = load[LOAD_BITS+:INDEX_BITS];
  wire unused = &load[LOAD_BITS-1:0];

  logic [PART_BITS-1:0] part;
  logic busy;

  wire logic take = valid && (busy || index == INDEX_BITS'(LOAD_BASE));
  wire logic last_part = part == PART_BITS'(PARTS - 1);
  wire logic upper = BANKS == 2 && !bank;  // the bank that is filled
  wire logic last = last_part && write_address == (upper ? ADDRESS_BITS'(2 * DEPTH - 1)
                                                         : ADDRESS_BITS'(DEPTH - 1));

  for (genvar i = 0; i < PARTS; i++) begin : gen_part
    assign write[i] = take && part == PART_BITS'(i);
  end

  always_ff @(posedge clk) begin
    if (take) begin
      busy <= !last;
      part <= last_part ? '0 : part + 1'b1;
      if (last_part) write_address <= write_address + 1'b1;
    end else if (!busy) begin
      write_address <= upper ? ADDRESS_BITS'(DEPTH) : '0;
    end
    if (!rst_n) begin
      busy <= 1'b0;
      part <= '0;
    end
  end

endmodule

`default_nettype wire
