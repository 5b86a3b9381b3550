// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A buffer of one beat that breaks the contract of a stream in the way that `fault` chooses; 0 is
// sound. The tests show that the simulation notices each.
`default_nettype none

module faulty_buffer #(
    parameter int unsigned WIDTH = 8
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [3:0] fault,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);

  logic [WIDTH-1:0] data, never_reset;
  logic [7:0] count;  // beats that came
  logic valid, waited, repeated;

  assign s_axis_tready = !valid || (m_axis_tready && !(fault == 4 && count == 20 && !repeated));
  assign m_axis_tvalid = valid && !(fault == 3 && !m_axis_tready);
  assign m_axis_tdata = data ^ (fault == 2 ? WIDTH'(waited) : fault == 7 ? never_reset : '0);

  always_ff @(posedge clk) begin
    waited <= m_axis_tvalid && !m_axis_tready;
    if (s_axis_tready) begin
      data  <= s_axis_tdata;
      valid <= s_axis_tvalid && !(fault == 5 && count == 20);
      if (s_axis_tvalid) count <= count + 1'b1;
    end else begin
      if (m_axis_tready) repeated <= 1'b1;
      if (fault == 1 && waited) valid <= 1'b0;
    end
    if (count == 255) never_reset <= data;
    if (!rst_n) begin
      valid <= fault == 6;
      count <= '0;
      repeated <= 1'b0;
    end
  end

endmodule

`default_nettype wire
