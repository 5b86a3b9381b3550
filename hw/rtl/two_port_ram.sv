// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Memory with a write port and a read port whose result is a register.
//
// Contract: read_data becomes memory[read_address] in a cycle with read_enable, else it stays. A
// word must not be read in the cycle that writes it. Nothing is reset.
// Throughput and latency: a write and a read per cycle; one cycle.
// URAM: as many words as fit share one of its words of 72 bits, each in bytes of 9 bits of its own,
// which are written apart; read_data is then chosen behind the memory's register.
// Reference: an array.
`default_nettype none

module two_port_ram #(
    parameter int unsigned WIDTH = 8,   // bits of a word, >= 1
    parameter int unsigned DEPTH = 32,  // words, >= 1
    parameter int unsigned BLOCK = 0,   // 0: LUTs as memory, 1: block RAM, 2: URAM
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
  if (BLOCK > 2) begin : gen_check_block
    $fatal(1, "two_port_ram: BLOCK must be 0 to 2, got %0d", BLOCK);
  end

  if (BLOCK == 2) begin : gen_ultra
    localparam int unsigned BYTES = (WIDTH + 8) / 9;  // of a word
    localparam int unsigned FIT = BYTES > 8 ? 1 : 8 / BYTES;
    localparam int unsigned LANE_BITS = $clog2(FIT + 1) - 1;
    localparam int unsigned LANES = 1 << LANE_BITS;  // words that share one
    localparam int unsigned ROWS = (DEPTH + LANES - 1) / LANES;
    localparam int unsigned ROW_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int unsigned PADDED = 9 * BYTES;

    (* ram_style = "ultra", no_rw_check *)
    logic [LANES*PADDED-1:0] memory[ROWS];
    logic [LANES*PADDED-1:0] row, choice;
    wire [ROW_BITS-1:0] write_row = ROW_BITS'(write_address >> LANE_BITS);
    wire [ROW_BITS-1:0] read_row = ROW_BITS'(read_address >> LANE_BITS);
    wire [LANES-1:0] write_lane = LANES'(1) << (32'(write_address) % LANES);

    always_ff @(posedge clk) begin
      if (write_enable) begin
        for (int i = 0; i < LANES * BYTES; i++) begin
          if (write_lane[i/BYTES]) begin
            memory[write_row][9*i+:9] <= 9'(PADDED'(write_data) >> (9 * (i % BYTES)));
          end
        end
      end
      if (read_enable) row <= memory[read_row];
    end

    if (LANES == 1) begin : gen_whole
      assign choice = row;
    end else begin : gen_choice
      logic [LANE_BITS-1:0] lane;
      always_ff @(posedge clk) if (read_enable) lane <= LANE_BITS'(read_address);
      assign choice = row >> (PADDED * 32'(lane));
    end

    wire unused = &{1'b0, choice, write_address, read_address};
    assign read_data = choice[WIDTH-1:0];
  end else if (BLOCK == 1) begin : gen_block
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
