// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Carry chain of four positions: one CARRY4 (hw/rtl/xilinx/popcount_carry.v).
//
// Contract: position i adds select[i] + 2 * (!select[i] && data[i]) to the carry; sum[i] is the
//   lower bit of the result and carry[i] the upper. The chain starts with carry_in (from another
//   chain) or start (from a register); the one that is not used is 0.
// Throughput and latency: combinational.
// Reference: itself.
`default_nettype none

module popcount_carry (
    input  wire logic       carry_in,
    input  wire logic       start,
    input  wire logic [3:0] select,
    input  wire logic [3:0] data,
    output wire logic [3:0] sum,
    output wire logic [3:0] carry
);

  assign carry[0] = select[0] ? carry_in | start : data[0];
  assign carry[1] = select[1] ? carry[0] : data[1];
  assign carry[2] = select[2] ? carry[1] : data[2];
  assign carry[3] = select[3] ? carry[2] : data[3];
  assign sum = select ^ {carry[2:0], carry_in | start};

endmodule

`default_nettype wire
