// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A binary MVU on five pins, for place and route: what feeds it is a shift register, what it gives
// is folded into one bit, so that nothing of it can be optimised away and pins do not bind.
//
// Contract: none; this is a load for a tool.
`default_nettype none

module mvu_board #(
    parameter int unsigned MW = 768,
    parameter int unsigned MH = 768,
    parameter int unsigned PE = 8,
    parameter int unsigned SIMD = 64,
    parameter int unsigned TOKENS = 1,
    parameter int unsigned WEIGHT_MEMORY = 0,
    parameter WEIGHT_FILE = "weights.hex"
) (
    input  wire logic clk_pin,
    input  wire logic reset_pin,
    input  wire logic data_pin,
    input  wire logic ready_pin,
    output      logic result_pin
);

  logic clk, rst_n, data, ready, s_ready;
  logic [SIMD-1:0] beat;
  logic [PE-1:0] out;
  logic m_valid;

  BUFG u_clock (
      .I(clk_pin),
      .O(clk)
  );

  always_ff @(posedge clk) begin
    rst_n <= reset_pin;
    data  <= data_pin;
    ready <= ready_pin;
    if (s_ready) beat <= {beat[SIMD-2:0], data};
    result_pin <= ^{out, m_valid, s_ready};
  end

  binary_mvu #(
      .MW(MW),
      .MH(MH),
      .PE(PE),
      .SIMD(SIMD),
      .TOKENS(TOKENS),
      .WEIGHT_MEMORY(WEIGHT_MEMORY),
      .WEIGHT_FILE(WEIGHT_FILE)
  ) u_mvu (
      .clk,
      .rst_n,
      .s_axis_weights_tdata ('0),
      .s_axis_weights_tvalid(1'b0),
      .s_axis_weights_tready(),
      .s_axis_tdata (beat),
      .s_axis_tvalid(1'b1),
      .s_axis_tready(s_ready),
      .m_axis_tdata (out),
      .m_axis_tvalid(m_valid),
      .m_axis_tready(ready)
  );

endmodule

`default_nettype wire
