// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Stands in for hw/rtl/binary_lane.sv where only timing is looked for.
//
// Contract: any sum will do; nothing waits for its value.
// Throughput and latency: as if it came in time.
// Reference: none.
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
    input wire logic                       first,
    input wire logic signed [ACC_BITS-1:0] initial_value,

    output wire logic signed [ACC_BITS-1:0] accumulator
);

  assign accumulator = '0;

endmodule

`default_nettype wire
