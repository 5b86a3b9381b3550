// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Link of a chain that brings many memories their content through one stream.
//
// Contract: the first COUNT beats of s_axis after a reset go to m_axis_local, all later ones to
// m_axis_next; in order, each once. Links in a row (m_axis_next to s_axis) hand each of their
// consumers its share.
// Throughput and latency: a beat per cycle; one cycle. s_axis_tready and both outputs are
// functions of registers, so that a chain of any length has short paths.
// Reference: the identity.
`default_nettype none

module load_chain #(
    parameter int unsigned WIDTH = 72,  // bits of a beat, >= 1
    parameter int unsigned COUNT = 1    // beats of m_axis_local, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [WIDTH-1:0] m_axis_local_tdata,
    output wire logic             m_axis_local_tvalid,
    input  wire logic             m_axis_local_tready,

    output wire logic [WIDTH-1:0] m_axis_next_tdata,
    output wire logic             m_axis_next_tvalid,
    input  wire logic             m_axis_next_tready
);

  if (WIDTH < 1) begin : gen_check_width
    $fatal(1, "load_chain: WIDTH must be at least 1, got %0d", WIDTH);
  end
  if (COUNT < 1) begin : gen_check_count
    $fatal(1, "load_chain: COUNT must be at least 1, got %0d", COUNT);
  end

  localparam int unsigned COUNT_BITS = COUNT > 1 ? $clog2(COUNT) : 1;

  logic [WIDTH-1:0] data;
  logic [COUNT_BITS-1:0] given;  // beats that m_axis_local has taken
  logic valid, passing;
  wire ready = passing ? m_axis_next_tready : m_axis_local_tready;

  skid_buffer #(
      .WIDTH(WIDTH)
  ) u_skid (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (data),
      .m_axis_tvalid(valid),
      .m_axis_tready(ready)
  );

  assign m_axis_local_tdata = data;
  assign m_axis_next_tdata = data;
  assign m_axis_local_tvalid = valid && !passing;
  assign m_axis_next_tvalid = valid && passing;

  always_ff @(posedge clk) begin
    if (m_axis_local_tvalid && m_axis_local_tready) begin
      given <= given + 1'b1;
      if (given == COUNT_BITS'(COUNT - 1)) passing <= 1'b1;
    end
    if (!rst_n) begin
      given   <= '0;
      passing <= 1'b0;
    end
  end

endmodule

`default_nettype wire
