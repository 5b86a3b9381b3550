// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// An accelerator for tests of the shell: gives its input back, plus a number that depends on the
// weights and their order, once it has all of these.
`default_nettype none

module loop_accelerator #(
    parameter int unsigned LANES = 4,
    parameter int unsigned WORD_BITS = 16,
    parameter int unsigned LENGTH_BITS = 8,
    parameter int unsigned LOAD_BEATS = 0,
    parameter int unsigned DEPTH = 64
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LANES*WORD_BITS-1:0] s_axis_residual_tdata,
    input  wire logic                       s_axis_residual_tvalid,
    output wire logic                       s_axis_residual_tready,

    input  wire logic [LENGTH_BITS-1:0] s_axis_length_tdata,
    input  wire logic                   s_axis_length_tvalid,
    output wire logic                   s_axis_length_tready,

    input  wire logic [71:0] s_axis_weights_tdata,
    input  wire logic        s_axis_weights_tvalid,
    output wire logic        s_axis_weights_tready,

    output wire logic [LANES*WORD_BITS-1:0] m_axis_residual_tdata,
    output wire logic                       m_axis_residual_tvalid,
    input  wire logic                       m_axis_residual_tready
);

  logic [31:0] beats, sum;
  logic [LANES-1:0][WORD_BITS-1:0] words, added;
  wire logic loaded = beats == LOAD_BEATS;
  logic ready;

  assign words = s_axis_residual_tdata;
  assign s_axis_length_tready = 1'b1;
  assign s_axis_weights_tready = !loaded;
  assign s_axis_residual_tready = ready && loaded;
  for (genvar i = 0; i < LANES; i++) begin : gen_lane
    assign added[i] = words[i] + sum[WORD_BITS-1:0];
  end

  stream_fifo #(
      .WIDTH(LANES * WORD_BITS),
      .DEPTH(DEPTH)
  ) u_fifo (
      .clk,
      .rst_n,
      .s_axis_tdata (added),
      .s_axis_tvalid(s_axis_residual_tvalid && loaded),
      .s_axis_tready(ready),
      .m_axis_tdata (m_axis_residual_tdata),
      .m_axis_tvalid(m_axis_residual_tvalid),
      .m_axis_tready(m_axis_residual_tready),
      .level        (),
      .high_water   ()
  );

  always_ff @(posedge clk) begin
    if (s_axis_weights_tvalid && s_axis_weights_tready) begin
      beats <= beats + 1'b1;
      sum   <= 3 * sum + 32'(s_axis_weights_tdata[71:64]) + s_axis_weights_tdata[31:0];
    end
    if (!rst_n) begin
      beats <= '0;
      sum   <= '0;
    end
  end

endmodule

`default_nettype wire
