// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A column of an adder of three rows: one LUT6_2 beside a position of a carry chain.
//
// Contract: the column adds x, y, z = z0 | z1 and below, the majority of the column below, to the
//   carry: select = their parity goes to the carry chain, with below as its data, and
//   above = majority of x, y and z to the next column.
// Throughput and latency: combinational.
// Reference: itself.
`default_nettype none

module popcount_ternary (
    input  wire logic x,
    input  wire logic y,
    input  wire logic z0,
    input  wire logic z1,
    input  wire logic below,
    output wire logic select,
    output wire logic above
);

  logic z;
  assign z = z0 | z1;
  assign select = x ^ y ^ z ^ below;
  assign above = (x & y) | (x & z) | (y & z);

endmodule

`default_nettype wire
