// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Skid buffer: cuts the combinational path of ready, and of valid and data.
//
// Contract: m_axis gives the beats of s_axis, in order. s_axis_tready and m_axis are registers.
// Throughput and latency: a beat per cycle; one cycle.
// Reference: the identity.
`default_nettype none

module skid_buffer #(
    parameter int unsigned WIDTH = 8  // bits of tdata, >= 1
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

  if (WIDTH < 1) begin : gen_check_width
    $fatal(1, "skid_buffer: WIDTH must be at least 1, got %0d", WIDTH);
  end

  logic [WIDTH-1:0] data, spare;
  logic valid, spare_valid;

  assign s_axis_tready = !spare_valid;
  assign m_axis_tdata = data;
  assign m_axis_tvalid = valid;

  always_ff @(posedge clk) begin
    if (!valid || m_axis_tready) begin
      data <= spare_valid ? spare : s_axis_tdata;
      valid <= spare_valid || s_axis_tvalid;
      spare_valid <= 1'b0;
    end else if (s_axis_tvalid && !spare_valid) begin
      spare <= s_axis_tdata;
      spare_valid <= 1'b1;
    end
    if (!rst_n) begin
      valid <= 1'b0;
      spare_valid <= 1'b0;
    end
  end

endmodule

`default_nettype wire
