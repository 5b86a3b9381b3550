// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Delay of control signals by a fixed number of enabled clock edges.
//
// Contract: q is what d was CYCLES enabled edges before; 0 after a reset.
// Throughput and latency: CYCLES enabled edges. The reset keeps the registers from becoming shift
// registers in LUTs, which cost more.
// Reference: itself.
`default_nettype none

module attention_delay #(
    parameter int unsigned WIDTH = 1,  // bits, >= 1
    parameter int unsigned CYCLES = 1  // enabled edges, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,
    input wire logic enable,

    input  wire logic [WIDTH-1:0] d,
    output wire logic [WIDTH-1:0] q
);

  logic [WIDTH-1:0] stage[CYCLES];

  assign q = stage[CYCLES-1];

  always_ff @(posedge clk) begin
    if (enable) begin
      stage[0] <= d;
      for (int i = 1; i < CYCLES; i++) stage[i] <= stage[i-1];
    end
    if (!rst_n) begin
      for (int i = 0; i < CYCLES; i++) stage[i] <= '0;
    end
  end

endmodule

`default_nettype wire
