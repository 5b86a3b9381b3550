// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Stands in for hw/rtl/attention_and_count.sv in fast simulations.
//
// Contract: as that module's, in every enabled cycle.
// Throughput and latency: a pair per enabled edge; four enabled edges.
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
    output wire logic [COUNT_BITS-1:0] count
);

  logic [3:0][COUNT_BITS-1:0] counts;

  assign count = counts[3];

  always_ff @(posedge clk) if (enable) counts <= {counts[2:0], COUNT_BITS'($countones(a & b))};

endmodule

`default_nettype wire
