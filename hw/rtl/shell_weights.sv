// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Words of memory to beats of the accelerator's weights.
//
// Contract: s_axis has slots of 16 bytes, lowest bits first; m_axis gives the lowest 72 bits of
// each. finished: LOAD_BEATS beats have been taken since the reset.
// Throughput and latency: a beat every two cycles; two cycles. m_axis is a register.
// Reference: hw/shell/shell.py, Shell.encode_weights.
`default_nettype none

module shell_weights #(
    parameter int unsigned LOAD_BEATS = 1  // >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [63:0] s_axis_tdata,
    input  wire logic        s_axis_tvalid,
    output wire logic        s_axis_tready,

    output wire logic [71:0] m_axis_tdata,
    output wire logic        m_axis_tvalid,
    input  wire logic        m_axis_tready,

    output      logic        finished
);

  if (LOAD_BEATS < 1) begin : gen_check_load_beats
    $fatal(1, "shell_weights: LOAD_BEATS must be at least 1, got %0d", LOAD_BEATS);
  end

  logic [127:0] slot;
  logic last;
  logic [(LOAD_BEATS > 1 ? $clog2(LOAD_BEATS) : 1)-1:0] unused_beat;
  wire logic taken = m_axis_tvalid && m_axis_tready;
  wire unused = &slot[127:72];

  assign m_axis_tdata = slot[71:0];

  width_converter #(
      .IN_BITS (64),
      .OUT_BITS(128)
  ) u_width (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (slot),
      .m_axis_tvalid,
      .m_axis_tready
  );

  beat_counter #(
      .BEATS(LOAD_BEATS)
  ) u_beats (
      .clk,
      .rst_n,
      .enable(taken),
      .beat  (unused_beat),
      .last
  );

  always_ff @(posedge clk) begin
    if (taken && last) finished <= 1'b1;
    if (!rst_n) finished <= 1'b0;
  end

endmodule

`default_nettype wire
