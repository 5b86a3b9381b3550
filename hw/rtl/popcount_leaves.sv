// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// First layer of a count of matches: one LUT6 per knot of the parity code, one LUT6_2 per two
//   roots.
//
// Contract: heap = {majorities, roots}: roots(N) bits of weight 1 and knots(N) of weight 2, whose
//   sum is the number of i with weight bit i == activation bit i.
// Throughput and latency: combinational; one LUT.
// Reference: hw.kernels.popcount.matches.
`default_nettype none

module popcount_leaves #(
    parameter  int unsigned N     = 64,                                       // bits, >= 1
    localparam int unsigned ROOTS = popcount_pkg::roots(N),
    localparam int unsigned KNOTS = popcount_pkg::knots(N)
) (
    input  wire logic [          N-1:0] weight_code,
    input  wire logic [          N-1:0] activation_code,
    output wire logic [ROOTS+KNOTS-1:0] heap
);

  for (genvar r = 0; r < ROOTS; r += 2) begin : gen_roots
    localparam int unsigned ROOT = popcount_pkg::root(N, r);
    localparam int unsigned OTHER = r + 1 < ROOTS ? popcount_pkg::root(N, r + 1) : ROOT;
    logic [1:0] match;
    popcount_match u_match (
        .weight({weight_code[OTHER], weight_code[ROOT]}),
        .activation({activation_code[OTHER], activation_code[ROOT]}),
        .match
    );
    assign heap[r] = match[0];
    if (r + 1 < ROOTS) begin : gen_other
      assign heap[r+1] = match[1];
    end else begin : gen_single
      logic unused;
      assign unused = match[1];
    end
  end

  for (genvar k = 0; k < KNOTS; k++) begin : gen_knots
    // Two of its three children suffice: the parity gives the third, the bit that it stands for.
    localparam int unsigned LEFT = k % 2 == 0 ? k + 1 : popcount_pkg::link(N, 3 * (k / 2));
    localparam int unsigned RIGHT = popcount_pkg::link(N, 3 * (k / 2) + (k % 2 == 0 ? 2 : 1));
    popcount_majority u_majority (
        .weight({weight_code[RIGHT], weight_code[LEFT], weight_code[k]}),
        .activation({activation_code[RIGHT], activation_code[LEFT], activation_code[k]}),
        .majority(heap[ROOTS+k])
    );
  end

endmodule

`default_nettype wire
