// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Words of memory to beats of the accelerator's input.
//
// Contract: s_axis has channels of CHANNEL_BITS bits, lowest bits first; m_axis gives LANES channels
// a beat, the lowest WORD_BITS bits of each. token is set in the cycle in which the last beat of a
// token leaves, stalled in a cycle in which a beat waits.
// Throughput and latency: a beat per cycle on the narrower side; two or three cycles. m_axis and
// s_axis_tready are registers, unless a beat has exactly 64 bits: then s_axis_tready still is.
// Reference: hw/shell/shell.py, Shell.encode.
`default_nettype none

module shell_input #(
    parameter int unsigned HIDDEN       = 128,  // channels of a token, a multiple of LANES
    parameter int unsigned LANES        = 4,    // channels of a beat, >= 1
    parameter int unsigned WORD_BITS    = 16,   // of a channel, 1 to CHANNEL_BITS
    parameter int unsigned CHANNEL_BITS = 16    // of a channel in memory, 16 or 32
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [63:0] s_axis_tdata,
    input  wire logic        s_axis_tvalid,
    output wire logic        s_axis_tready,

    output wire logic [LANES*WORD_BITS-1:0] m_axis_tdata,
    output wire logic                       m_axis_tvalid,
    input  wire logic                       m_axis_tready,

    output wire logic token,
    output wire logic stalled
);

  if (LANES < 1 || HIDDEN < LANES || HIDDEN % LANES != 0) begin : gen_check_lanes
    $fatal(1, "shell_input: LANES must divide HIDDEN = %0d, got %0d", HIDDEN, LANES);
  end
  if (HIDDEN * CHANNEL_BITS % 64 != 0) begin : gen_check_hidden
    $fatal(1, "shell_input: HIDDEN must make whole words of 64 bits, got %0d", HIDDEN);
  end
  if (WORD_BITS < 1 || WORD_BITS > CHANNEL_BITS) begin : gen_check_word_bits
    $fatal(1, "shell_input: WORD_BITS must be 1 to %0d, got %0d", CHANNEL_BITS, WORD_BITS);
  end
  if (CHANNEL_BITS != 16 && CHANNEL_BITS != 32) begin : gen_check_channel_bits
    $fatal(1, "shell_input: CHANNEL_BITS must be 16 or 32, got %0d", CHANNEL_BITS);
  end

  localparam int unsigned BEATS = HIDDEN / LANES;

  logic [LANES-1:0][CHANNEL_BITS-1:0] wide;
  logic [LANES-1:0][WORD_BITS-1:0] narrow;
  logic wide_valid, wide_ready, last;
  logic [(BEATS > 1 ? $clog2(BEATS) : 1)-1:0] unused_beat;
  wire logic taken = m_axis_tvalid && m_axis_tready;

  width_converter #(
      .IN_BITS (64),
      .OUT_BITS(LANES * CHANNEL_BITS)
  ) u_width (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (wide),
      .m_axis_tvalid(wide_valid),
      .m_axis_tready(wide_ready)
  );

  for (genvar i = 0; i < LANES; i++) begin : gen_lane
    assign narrow[i] = wide[i][WORD_BITS-1:0];
  end
  wire unused = &wide;  // the sign's copies

  skid_buffer #(
      .WIDTH(LANES * WORD_BITS)
  ) u_skid (
      .clk,
      .rst_n,
      .s_axis_tdata (narrow),
      .s_axis_tvalid(wide_valid),
      .s_axis_tready(wide_ready),
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready
  );

  beat_counter #(
      .BEATS(BEATS)
  ) u_beats (
      .clk,
      .rst_n,
      .enable(taken),
      .beat  (unused_beat),
      .last
  );

  assign token   = taken && last;
  assign stalled = m_axis_tvalid && !m_axis_tready;

endmodule

`default_nettype wire
