// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Two knots of the parity code in one LUT6_2 (hw/rtl/xilinx/parity_pair.v).
//
// Contract: low = parity of bits [2:0], high = parity of all five.
// Throughput and latency: combinational.
// Reference: itself.
`default_nettype none

module parity_pair (
    input  wire logic [4:0] bits,
    output wire logic       low,
    output wire logic       high
);

  assign low  = ^bits[2:0];
  assign high = ^bits;

endmodule

`default_nettype wire
