// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// What a knot of the parity code adds to the count of matches: one LUT6.
//
// Contract: m = ~(weight ^ activation) are the matches of the knot's parity (bit 0) and of two of
//   its children; the third child's is m[0] ^ m[1] ^ m[2]. majority = at least two children match.
// Throughput and latency: combinational.
// Reference: itself.
`default_nettype none

module popcount_majority (
    input  wire logic [2:0] weight,
    input  wire logic [2:0] activation,
    output wire logic       majority
);

  logic [2:0] m;
  assign m = ~(weight ^ activation);
  assign majority = m[1] == m[2] ? m[1] : !m[0];

endmodule

`default_nettype wire
