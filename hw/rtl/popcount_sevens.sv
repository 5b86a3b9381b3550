// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Two positions of a carry chain that count seven bits, the seventh as their carry in: two LUTs.
//
// Contract: with five = number of ones in bits[4:0], position 0 adds five % 2 and bits[5], whose
//   sum is select[0]; where that is 0 both are equal, so data[0] may be either. Position 1 adds
//   five / 2.
// Throughput and latency: combinational.
// Reference: itself.
`default_nettype none

module popcount_sevens (
    input  wire logic [5:0] bits,
    output wire logic [1:0] select,
    output wire logic [1:0] data
);

  logic [2:0] five;
  assign five = 3'(bits[0]) + 3'(bits[1]) + 3'(bits[2]) + 3'(bits[3]) + 3'(bits[4]);
  assign select = {five[1], ^bits};
  assign data = {five[2], five[0]};

endmodule

`default_nettype wire
