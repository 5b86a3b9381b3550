// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A fork of three outputs, each a stream of its own, with an assertion on how far they part.
`default_nettype none

module fork_outputs #(
    parameter int unsigned WIDTH = 8
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [WIDTH-1:0] m_axis_a_tdata,
    output wire logic             m_axis_a_tvalid,
    input  wire logic             m_axis_a_tready,

    output wire logic [WIDTH-1:0] m_axis_b_tdata,
    output wire logic             m_axis_b_tvalid,
    input  wire logic             m_axis_b_tready,

    output wire logic [WIDTH-1:0] m_axis_c_tdata,
    output wire logic             m_axis_c_tvalid,
    input  wire logic             m_axis_c_tready
);

  wire logic [WIDTH-1:0] data;
  wire logic [2:0] valid, ready;
  int taken[3];

  stream_fork #(
      .WIDTH (WIDTH),
      .COPIES(3)
  ) u_fork (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (data),
      .m_axis_tvalid(valid),
      .m_axis_tready(ready)
  );

  assign {m_axis_a_tdata, m_axis_b_tdata, m_axis_c_tdata} = {3{data}};
  assign {m_axis_c_tvalid, m_axis_b_tvalid, m_axis_a_tvalid} = valid;
  assign ready = {m_axis_c_tready, m_axis_b_tready, m_axis_a_tready};

  always_ff @(posedge clk) begin
    for (int i = 0; i < 3; i++) begin
      taken[i] <= rst_n ? taken[i] + 32'(valid[i] && ready[i]) : 0;
      for (int j = 0; j < 3; j++)
        assert (!rst_n || taken[i] - taken[j] <= 1)
        else $error("fork_outputs: output %0d is %0d beats ahead", i, taken[i] - taken[j]);
    end
  end

endmodule

`default_nettype wire
