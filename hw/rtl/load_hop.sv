// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A register in the load bus.
//
// Contract: the bus is that of load_pkg.sv; it goes on a cycle later.
// Throughput and latency: a beat per cycle; one cycle.
// Reference: the identity.
`default_nettype none

module load_hop
  import load_pkg::*;
#(
    parameter int unsigned LOAD_BITS = 72  // bits of a beat, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LOAD_BITS+INDEX_BITS+1:0] load,
    output      logic [LOAD_BITS+INDEX_BITS+1:0] next
);

  always_ff @(posedge clk) begin
    next <= load;
    if (!rst_n) next[LOAD_BITS+INDEX_BITS] <= 1'b0;
  end

endmodule

`default_nettype wire
