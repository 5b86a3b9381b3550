// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Fork: one stream to several outputs.
//
// Contract: every output gives the beats of s_axis, in order, each once. A beat is offered to all
// outputs at once; one that has taken it is offered the next as soon as all have, so that no output
// is more than one beat ahead of another. All outputs share m_axis_tdata; output i has bit i of
// m_axis_tvalid and m_axis_tready.
// Throughput and latency: a beat per cycle; none, and s_axis_tready depends on m_axis_tready in the
// same cycle: a skid_buffer cuts the path.
// Reference: the identity, for every output.
`default_nettype none

module stream_fork #(
    parameter int unsigned WIDTH  = 8,  // bits of tdata, >= 1
    parameter int unsigned COPIES = 2   // outputs, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [ WIDTH-1:0] m_axis_tdata,
    output wire logic [COPIES-1:0] m_axis_tvalid,
    input  wire logic [COPIES-1:0] m_axis_tready
);

  if (WIDTH < 1) begin : gen_check_width
    $fatal(1, "stream_fork: WIDTH must be at least 1, got %0d", WIDTH);
  end
  if (COPIES < 1) begin : gen_check_copies
    $fatal(1, "stream_fork: COPIES must be at least 1, got %0d", COPIES);
  end

  logic [COPIES-1:0] taken;  // the outputs that have taken the beat on offer

  assign s_axis_tready = &(taken | m_axis_tready);
  assign m_axis_tdata  = s_axis_tdata;
  assign m_axis_tvalid = {COPIES{s_axis_tvalid}} & ~taken;

  always_ff @(posedge clk) begin
    if (s_axis_tvalid) taken <= s_axis_tready ? '0 : taken | m_axis_tready;
    if (!rst_n) taken <= '0;
  end

endmodule

`default_nettype wire
