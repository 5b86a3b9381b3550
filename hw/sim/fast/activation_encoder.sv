// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Stands in for hw/rtl/activation_encoder.sv in fast simulations, where operands are plain bits.
//
// Contract: code = bits.
// Throughput and latency: combinational.
// Reference: the identity.
`default_nettype none

module activation_encoder #(
    parameter int unsigned N = 64  // bits, >= 1
) (
    input  wire logic [N-1:0] bits,
    output wire logic [N-1:0] code
);

  assign code = bits;

endmodule

`default_nettype wire
