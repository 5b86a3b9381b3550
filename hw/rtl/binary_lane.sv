// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// One lane of a binary MVU: counts matches of parity-coded operands and accumulates them.
//
// Contract: accumulator = (first ? initial_value : accumulator of the beat before)
//   + number of i with weight bit i == activation bit i, modulo 2**ACC_BITS, two's complement,
//   where weight_code and activation_code are the parity codes of the bits (popcount_pkg.sv).
//   Every enabled clock edge takes a beat; all registers advance only then.
// Throughput and latency: a beat per enabled edge; popcount_pkg::lane_latency(SIMD) enabled edges.
// Reference: hw.kernels.popcount.matches.
`default_nettype none

module binary_lane #(
    parameter int unsigned SIMD = 64,        // inputs per beat, >= 1
    parameter int unsigned ACC_BITS = 12,    // bits of the signed accumulator, >= 2
    parameter int unsigned BEHAVIOURAL = 0   // 1: plain description, the reference
) (
    input wire logic clk,
    input wire logic enable,

    input wire logic        [    SIMD-1:0] weight_code,
    input wire logic        [    SIMD-1:0] activation_code,
    input wire logic                       first,            // the beat starts a dot product
    input wire logic signed [ACC_BITS-1:0] initial_value,    // of the dot product, with first

    output logic signed [ACC_BITS-1:0] accumulator
);

  localparam int unsigned LATENCY = popcount_pkg::lane_latency(SIMD);
  localparam int unsigned KNOTS = popcount_pkg::knots(SIMD);

  if (SIMD < 1) begin : gen_check_simd
    $fatal(1, "binary_lane: SIMD must be at least 1, got %0d", SIMD);
  end
  if (ACC_BITS < 2) begin : gen_check_acc_bits
    $fatal(1, "binary_lane: ACC_BITS must be at least 2, got %0d", ACC_BITS);
  end

  // The code is linear over XOR and the code of all ones is all ones, so this codes the matches.
  logic [SIMD-1:0] match_code, match;
  assign match_code = ~(weight_code ^ activation_code);
  assign match[SIMD-1:KNOTS] = match_code[SIMD-1:KNOTS];
  for (genvar j = 0; j < KNOTS / 2; j++) begin : gen_decode
    assign match[2*j+1] = match_code[2*j+1] ^ match_code[popcount_pkg::link(SIMD, 3 * j)]
        ^ match_code[popcount_pkg::link(SIMD, 3 * j + 1)];
    assign match[2*j] =
        match_code[2*j] ^ match_code[2*j+1] ^ match_code[popcount_pkg::link(SIMD, 3 * j + 2)];
  end

  logic [ACC_BITS-1:0] count[LATENCY-1];
  logic [ACC_BITS-1:0] start[LATENCY-1];
  logic                begins[LATENCY-1];

  always_ff @(posedge clk) begin
    if (enable) begin
      count[0]  <= ACC_BITS'($countones(match));
      start[0]  <= initial_value;
      begins[0] <= first;
      for (int i = 1; i < LATENCY - 1; i++) begin
        count[i]  <= count[i-1];
        start[i]  <= start[i-1];
        begins[i] <= begins[i-1];
      end
      accumulator <= (begins[LATENCY-2] ? start[LATENCY-2] : accumulator) + count[LATENCY-2];
    end
  end

endmodule

`default_nettype wire
