// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Streams around binary_lane and popcount: a beat of s_axis is an enabled clock edge.
//
// Contract: a beat of m_axis is what the modules hold after an enabled edge, from the LATENCY-th
//   on: {count, count of the reference, accumulator, accumulator of the reference}.
// s_axis_tdata is {initial_value, first, activation_code, weight_code}.
`default_nettype none

module lane_bench #(
    parameter  int unsigned SIMD       = 64,
    parameter  int unsigned ACC_BITS   = 12,
    localparam int unsigned COUNT_BITS = $clog2(SIMD + 1),
    localparam int unsigned IN_BITS    = 2 * SIMD + 1 + ACC_BITS,
    localparam int unsigned OUT_BITS   = 2 * (COUNT_BITS + ACC_BITS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [IN_BITS-1:0] s_axis_tdata,
    input  wire logic               s_axis_tvalid,
    output wire logic               s_axis_tready,

    output wire logic [OUT_BITS-1:0] m_axis_tdata,
    output wire logic                m_axis_tvalid,
    input  wire logic                m_axis_tready
);

  localparam int unsigned LATENCY = popcount_pkg::lane_latency(SIMD);

  logic [SIMD-1:0] weight_code, activation_code;
  logic first, enable, valid;
  logic signed [ACC_BITS-1:0] initial_value;
  logic signed [ACC_BITS-1:0] accumulator[2];
  logic [COUNT_BITS-1:0] count[2];
  logic [31:0] beats;

  assign {initial_value, first, activation_code, weight_code} = s_axis_tdata;
  assign enable = s_axis_tvalid && s_axis_tready;
  assign s_axis_tready = !valid || m_axis_tready;
  assign m_axis_tvalid = valid;
  assign m_axis_tdata = {count[0], count[1], accumulator[0], accumulator[1]};

  always_ff @(posedge clk) begin
    if (m_axis_tready) valid <= 1'b0;
    if (enable) begin
      beats <= beats + 1;
      valid <= beats + 1 >= LATENCY;
    end
    if (!rst_n) begin
      beats <= '0;
      valid <= 1'b0;
    end
  end

  for (genvar i = 0; i < 2; i++) begin : gen_variants
    binary_lane #(
        .SIMD(SIMD),
        .ACC_BITS(ACC_BITS),
        .BEHAVIOURAL(i)
    ) u_lane (
        .clk,
        .enable,
        .weight_code,
        .activation_code,
        .first,
        .initial_value,
        .accumulator(accumulator[i])
    );
    popcount #(
        .N(SIMD),
        .BEHAVIOURAL(i)
    ) u_popcount (
        .clk,
        .enable,
        .weight_code,
        .activation_code,
        .count(count[i])
    );
  end

endmodule

`default_nettype wire
