// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Two roots of the parity code: one LUT6_2.
//
// Contract: match = ~(weight ^ activation).
// Throughput and latency: combinational.
// Reference: itself.
`default_nettype none

module popcount_match (
    input  wire logic [1:0] weight,
    input  wire logic [1:0] activation,
    output wire logic [1:0] match
);

  assign match = ~(weight ^ activation);

endmodule

`default_nettype wire
