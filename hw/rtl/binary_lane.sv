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

  if (SIMD < 1) begin : gen_check_simd
    $fatal(1, "binary_lane: SIMD must be at least 1, got %0d", SIMD);
  end
  if (ACC_BITS < 2) begin : gen_check_acc_bits
    $fatal(1, "binary_lane: ACC_BITS must be at least 2, got %0d", ACC_BITS);
  end

  // begins[i]: the beat that is i enabled edges old starts a dot product.
  logic [LATENCY-2:0] begins;
  assign begins[0] = first;
  for (genvar i = 1; i < LATENCY - 1; i++) begin : gen_begins
    always_ff @(posedge clk) if (enable) begins[i] <= begins[i-1];
  end

  // 0 with beats that start nothing. The reset also keeps it out of shift registers, which take
  // LUTs.
  logic signed [ACC_BITS-1:0] start[LATENCY-1];
  always_ff @(posedge clk) begin
    if (enable) begin
      start[0] <= initial_value;
      for (int i = 1; i < LATENCY - 1; i++) start[i] <= start[i-1];
      for (int i = 0; i < LATENCY - 1; i++) if (!begins[i]) start[i] <= '0;
    end
  end

  if (BEHAVIOURAL != 0) begin : gen_behavioural
    logic [$clog2(SIMD+1)-1:0] count;
    popcount_reference #(
        .N(SIMD),
        .LATENCY(LATENCY - 1)
    ) u_reference (
        .clk,
        .enable,
        .weight_code,
        .activation_code,
        .count
    );
    logic starts;
    always_ff @(posedge clk) begin
      if (enable) begin
        starts <= begins[LATENCY-2];
        accumulator <= (starts ? start[LATENCY-2] : accumulator) + ACC_BITS'(count);
      end
    end
  end else begin : gen_structural
    localparam int unsigned ROWS = popcount_pkg::columns(SIMD);
    logic [1:0] ones;
    logic [ROWS-1:0] row0, row1;
    popcount_tree #(
        .N(SIMD)
    ) u_tree (
        .clk,
        .enable,
        .weight_code,
        .activation_code,
        .ones,
        .row0,
        .row1
    );

    // What the sum goes on from: the accumulator, but 0 where the next beat starts a dot product.
    // So the LUTs of the adder need not choose between it and the initial value; an OR is enough.
    logic [ACC_BITS-1:0] carried, sum;
    logic unused;
    popcount_adder #(
        .WIDTH(ACC_BITS)
    ) u_adder (
        .x(ACC_BITS'(row0)),
        .y(ACC_BITS'(row1)),
        .z0(carried),
        .z1(start[LATENCY-2]),
        .ones,
        .sum,
        .carry(unused)
    );
    always_ff @(posedge clk) begin
      if (enable) begin
        accumulator <= sum;
        carried <= begins[LATENCY-2] ? '0 : sum;
      end
    end
  end

endmodule

`default_nettype wire
