// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Every small cell of the popcount between two streams, each on the low bits of the same word.
`default_nettype none

module cells_bench (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [9:0] s_axis_tdata,
    input  wire logic       s_axis_tvalid,
    output wire logic       s_axis_tready,

    output wire logic [18:0] m_axis_tdata,
    output wire logic        m_axis_tvalid,
    input  wire logic        m_axis_tready
);

  logic [9:0] d;
  logic [18:0] q;
  assign d = s_axis_tdata;
  assign m_axis_tdata = q;
  assign m_axis_tvalid = s_axis_tvalid;
  assign s_axis_tready = m_axis_tready;

  popcount_majority u_majority (.weight(d[2:0]), .activation(d[5:3]), .majority(q[0]));
  popcount_match u_match (.weight(d[1:0]), .activation(d[3:2]), .match(q[2:1]));
  popcount_sevens u_sevens (.bits(d[5:0]), .select(q[4:3]), .data(q[6:5]));
  popcount_ternary u_ternary (
      .x(d[0]),
      .y(d[1]),
      .z0(d[2]),
      .z1(d[3]),
      .below(d[4]),
      .select(q[7]),
      .above(q[8])
  );
  parity_pair u_pair (.bits(d[4:0]), .low(q[9]), .high(q[10]));
  popcount_carry u_carry (
      .carry_in(d[8]),
      .start(d[9]),
      .select(d[3:0]),
      .data(d[7:4]),
      .sum(q[14:11]),
      .carry(q[18:15])
  );

  logic unused;
  assign unused = &{1'b0, clk, rst_n};

endmodule

`default_nettype wire
