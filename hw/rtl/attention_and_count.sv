// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Number of ones of a & b.
//
// Contract: count = |a & b|, of LATENCY enabled edges before.
// Throughput and latency: a word per cycle; LATENCY enabled edges.
// Reference: itself.
`default_nettype none

module attention_and_count #(
    parameter int unsigned N = 64,       // bits, >= 1
    parameter int unsigned LATENCY = 3,  // >= 2
    localparam int unsigned COUNT_BITS = $clog2(N + 1)
) (
    input wire logic clk,
    input wire logic enable,

    input  wire logic [         N-1:0] a,
    input  wire logic [         N-1:0] b,
    output wire logic [COUNT_BITS-1:0] count
);

  logic [COUNT_BITS-1:0] stage[LATENCY];
  assign count = stage[LATENCY-1];

  always_ff @(posedge clk) begin
    if (enable) begin
      stage[0] <= COUNT_BITS'($countones(a & b));
      for (int i = 1; i < LATENCY; i++) stage[i] <= stage[i-1];
    end
  end

endmodule

`default_nettype wire
