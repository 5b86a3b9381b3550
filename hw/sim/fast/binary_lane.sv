// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Stands in for hw/rtl/binary_lane.sv in fast simulations, where operands are plain bits.
//
// Contract: as that module's, in every enabled cycle, but weight_code and activation_code are the
//   bits themselves. A sum is made at once, and given when the other module gives it.
// Throughput and latency: a beat per enabled edge; popcount_pkg::lane_latency(SIMD) enabled edges.
// Reference: hw.kernels.popcount.matches.
`default_nettype none

module binary_lane #(
    parameter int unsigned SIMD = 64,        // inputs per beat, >= 1
    parameter int unsigned ACC_BITS = 12,    // bits of the signed accumulator, >= 2
    parameter int unsigned BEHAVIOURAL = 0   // no matter
) (
    input wire logic clk,
    input wire logic enable,

    input wire logic        [    SIMD-1:0] weight_code,
    input wire logic        [    SIMD-1:0] activation_code,
    input wire logic                       first,            // the beat starts a dot product
    input wire logic signed [ACC_BITS-1:0] initial_value,    // of the dot product, with first

    output wire logic signed [ACC_BITS-1:0] accumulator
);

  localparam int unsigned LATENCY = popcount_pkg::lane_latency(SIMD);

  // The lowest sum is the newest, the highest is given.
  logic [LATENCY*ACC_BITS-1:0] sums;

  assign accumulator = sums[LATENCY*ACC_BITS-1-:ACC_BITS];

  always_ff @(posedge clk) begin
    if (enable) begin
      sums <= {
        sums[(LATENCY-1)*ACC_BITS-1:0],
        (first ? initial_value : sums[ACC_BITS-1:0])
            + ACC_BITS'($countones(~(weight_code ^ activation_code)))
      };
    end
  end

endmodule

`default_nettype wire
