// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Number of ones of a & b.
//
// Contract: count = |a & b|, of LATENCY = 4 enabled edges before.
// Throughput and latency: a word per cycle; four enabled edges.
// LUTs: three pairs of bits have a parity and a majority, one LUT6 each; seven of those have a
//   count in two LUTs on a carry chain (popcount_slice.sv); adders sum up the counts of either
//   weight, and one more both. Registers keep these steps apart. About 1.2 LUTs per bit.
// Reference: itself.
`default_nettype none

module attention_and_count #(
    parameter int unsigned N = 64,  // bits, >= 1
    localparam int unsigned COUNT_BITS = $clog2(N + 1)
) (
    input wire logic clk,
    input wire logic enable,

    input  wire logic [         N-1:0] a,
    input  wire logic [         N-1:0] b,
    output      logic [COUNT_BITS-1:0] count
);

  localparam int unsigned TRIPLES = (N + 2) / 3;
  localparam int unsigned SEVENS = TRIPLES / 7;
  localparam int unsigned REST = TRIPLES % 7;
  localparam int unsigned HALF_BITS = $clog2(TRIPLES + 1);

  wire logic [3*TRIPLES-1:0] both = (3 * TRIPLES)'(a & b);
  logic [TRIPLES-1:0] bits[2];  // of weight 1 and 2
  logic [HALF_BITS-1:0] half[2];  // their numbers

  always_ff @(posedge clk) begin
    if (enable) begin
      for (int t = 0; t < TRIPLES; t++) begin
        bits[0][t] <= ^both[3*t+:3];
        bits[1][t] <= (both[3*t] && both[3*t+1]) || (both[3*t+2] && (both[3*t] || both[3*t+1]));
      end
      count <= COUNT_BITS'(half[0]) + COUNT_BITS'({half[1], 1'b0});
    end
  end

  for (genvar w = 0; w < 2; w++) begin : gen_weights
    logic [SEVENS:0][2:0] part;
    logic [HALF_BITS-1:0] sum;

    for (genvar s = 0; s < SEVENS; s++) begin : gen_sevens
      logic [2:0] given;
      popcount_slice #(
          .KIND (popcount_pkg::SEVENS),
          .CELLS(2),
          .TAKES(7),
          .GIVES(3)
      ) u_slice (
          .taken(bits[w][7*s+:7]),
          .given
      );
      always_ff @(posedge clk) if (enable) part[s] <= given;
    end

    if (REST == 0) begin : gen_no_rest
      assign part[SEVENS] = '0;
    end else begin : gen_rest
      always_ff @(posedge clk) begin
        if (enable) part[SEVENS] <= 3'($countones(bits[w][TRIPLES-1-:REST]));
      end
    end

    always_comb begin
      sum = '0;
      for (int s = 0; s <= SEVENS; s++) sum += HALF_BITS'(part[s]);
    end
    always_ff @(posedge clk) if (enable) half[w] <= sum;
  end

endmodule

`default_nettype wire
