// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A FIFO whose level and high_water are compared with a count of the beats that came and went.
`default_nettype none

module fifo_levels #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned DEPTH = 32
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);

  logic [$clog2(DEPTH+1)-1:0] level, high_water;
  int held, most;

  stream_fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH)
  ) u_fifo (
      .*
  );

  always_ff @(posedge clk) begin
    held <= held + 32'(s_axis_tvalid && s_axis_tready) - 32'(m_axis_tvalid && m_axis_tready);
    if (held > most) most <= held;
    if (rst_n) begin
      assert (32'(level) == held)
      else $error("fifo_levels: level %0d, held %0d", level, held);
      assert (32'(high_water) == most)
      else $error("fifo_levels: high_water %0d, most %0d", high_water, most);
      assert (DEPTH == 1 || s_axis_tready == (held < DEPTH))
      else $error("fifo_levels: ready %0d with %0d held", s_axis_tready, held);
    end else begin
      held <= 0;
      most <= 0;
    end
  end

endmodule

`default_nettype wire
