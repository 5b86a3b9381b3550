// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// activation_encoder between two streams: m_axis is the code of s_axis, in the same cycle.
`default_nettype none

module encoder_bench #(
    parameter int unsigned N = 64
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [N-1:0] s_axis_tdata,
    input  wire logic         s_axis_tvalid,
    output wire logic         s_axis_tready,

    output wire logic [N-1:0] m_axis_tdata,
    output wire logic         m_axis_tvalid,
    input  wire logic         m_axis_tready
);

  activation_encoder #(
      .N(N)
  ) u_encoder (
      .bits(s_axis_tdata),
      .code(m_axis_tdata)
  );
  assign m_axis_tvalid = s_axis_tvalid;
  assign s_axis_tready = m_axis_tready;

  logic unused;
  assign unused = &{1'b0, clk, rst_n};

endmodule

`default_nettype wire
