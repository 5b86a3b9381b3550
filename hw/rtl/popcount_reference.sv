// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Plain description of a count of matches: what popcount and binary_lane must equal.
//
// Contract: count = number of i with weight bit i == activation bit i, where the codes are the
//   parity codes of the bits (popcount_pkg.sv).
// Throughput and latency: a beat per enabled clock edge; LATENCY enabled edges.
// Reference: hw.kernels.popcount.matches.
`default_nettype none

module popcount_reference #(
    parameter  int unsigned N          = 64,             // bits, >= 1
    parameter  int unsigned LATENCY    = 1,              // enabled clock edges, >= 1
    localparam int unsigned COUNT_BITS = $clog2(N + 1)
) (
    input wire logic clk,
    input wire logic enable,

    input wire logic [N-1:0] weight_code,
    input wire logic [N-1:0] activation_code,

    output wire logic [COUNT_BITS-1:0] count
);

  localparam int unsigned KNOTS = popcount_pkg::knots(N);

  // The code is linear over XOR, and that of all ones is all ones: this is the code of the matches.
  logic [N-1:0] code, match;
  assign code = ~(weight_code ^ activation_code);
  assign match[N-1:KNOTS] = code[N-1:KNOTS];
  for (genvar j = 0; j < KNOTS / 2; j++) begin : gen_decode
    localparam int unsigned LEFT = popcount_pkg::link(N, 3 * j);
    localparam int unsigned RIGHT = popcount_pkg::link(N, 3 * j + 1);
    localparam int unsigned FAR = popcount_pkg::link(N, 3 * j + 2);
    assign match[2*j+1] = code[2*j+1] ^ code[LEFT] ^ code[RIGHT];
    assign match[2*j]   = code[2*j] ^ code[2*j+1] ^ code[FAR];
  end

  logic [COUNT_BITS-1:0] counts[LATENCY];
  always_ff @(posedge clk) begin
    if (enable) begin
      counts[0] <= COUNT_BITS'($countones(match));
      for (int i = 1; i < LATENCY; i++) counts[i] <= counts[i-1];
    end
  end
  assign count = counts[LATENCY-1];

endmodule

`default_nettype wire
