// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Clips a signed integer to a smaller word.
//
// Contract: out = min(max(in, -2^(OUT_BITS-1)), 2^(OUT_BITS-1) - 1).
// Throughput and latency: combinational; a LUT per bit and those that find the overflow.
// Reference: hw.reference.saturate.
`default_nettype none

module saturate #(
    parameter int unsigned IN_BITS  = 24,  // bits of in
    parameter int unsigned OUT_BITS = 18   // bits of out, >= 2
) (
    input  wire logic signed [ IN_BITS-1:0] in,
    output wire logic signed [OUT_BITS-1:0] out
);

  if (IN_BITS > OUT_BITS) begin : gen_clip
    wire sign = in[IN_BITS-1];
    wire fits = in[IN_BITS-1:OUT_BITS-1] == {(IN_BITS - OUT_BITS + 1) {sign}};
    assign out = fits ? in[OUT_BITS-1:0] : {sign, {(OUT_BITS - 1) {!sign}}};
  end else begin : gen_extend
    assign out = OUT_BITS'(in);
  end

endmodule

`default_nettype wire
