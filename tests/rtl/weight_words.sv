// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A weight memory that gives a word for every beat of s_axis, so that a run of it has an end.
`default_nettype none

module weight_words #(
    parameter int unsigned WIDTH     = 64,
    parameter int unsigned DEPTH     = 16,
    parameter              FILE      = "",
    parameter int unsigned STYLE     = 0,
    parameter int unsigned LOADABLE  = 0,
    parameter int unsigned LOAD_BITS = 72
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic s_axis_tdata,
    input  wire logic s_axis_tvalid,
    output wire logic s_axis_tready,

    input  wire logic [LOAD_BITS-1:0] s_axis_load_tdata,
    input  wire logic                 s_axis_load_tvalid,
    output wire logic                 s_axis_load_tready,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);

  logic valid;

  wire  unused = s_axis_tdata;

  assign m_axis_tvalid = valid && s_axis_tvalid;
  assign s_axis_tready = valid && m_axis_tready;

  weight_memory #(
      .WIDTH    (WIDTH),
      .DEPTH    (DEPTH),
      .FILE     (FILE),
      .STYLE    (STYLE),
      .LOADABLE (LOADABLE),
      .LOAD_BITS(LOAD_BITS)
  ) u_memory (
      .clk,
      .rst_n,
      .s_axis_load_tdata,
      .s_axis_load_tvalid,
      .s_axis_load_tready,
      .m_axis_tdata,
      .m_axis_tvalid(valid),
      .m_axis_tready(m_axis_tready && s_axis_tvalid)
  );

endmodule

`default_nettype wire
