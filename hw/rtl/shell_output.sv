// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Beats of the accelerator's output to words of memory: all tokens, or the first of each sentence.
//
// Contract: s_axis has tokens of HIDDEN channels, LANES a beat, s_axis_length the number of tokens
// of each sentence; m_axis gives the channels of all tokens, or with first_only of each sentence's
// first, with CHANNEL_BITS bits each (sign-extended), lowest bits first. token is set in the cycle
// in which the last beat of a token for m_axis is taken, sentence in that of a sentence's last beat,
// stalled in a cycle in which a beat waits. A sentence's beats wait for its length.
// Throughput and latency: a beat per cycle on the narrower side; two to four cycles. s_axis_tready
// is a register.
// Reference: hw/shell/shell.py, Shell.encode.
`default_nettype none

module shell_output #(
    parameter int unsigned MAX_TOKENS   = 128,  // longest sentence, >= 1
    parameter int unsigned HIDDEN       = 128,  // channels of a token, a multiple of LANES
    parameter int unsigned LANES        = 4,    // channels of a beat, >= 1
    parameter int unsigned WORD_BITS    = 16,   // of a channel, 1 to CHANNEL_BITS
    parameter int unsigned CHANNEL_BITS = 16,   // of a channel in memory, 16 or 32
    localparam int unsigned LENGTH_BITS = $clog2(MAX_TOKENS + 1)
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic first_only,

    input  wire logic [LENGTH_BITS-1:0] s_axis_length_tdata,
    input  wire logic                   s_axis_length_tvalid,
    output wire logic                   s_axis_length_tready,

    input  wire logic [LANES*WORD_BITS-1:0] s_axis_tdata,
    input  wire logic                       s_axis_tvalid,
    output wire logic                       s_axis_tready,

    output wire logic [63:0] m_axis_tdata,
    output wire logic        m_axis_tvalid,
    input  wire logic        m_axis_tready,

    output wire logic token,
    output wire logic sentence,
    output wire logic stalled
);

  if (MAX_TOKENS < 1) begin : gen_check_max_tokens
    $fatal(1, "shell_output: MAX_TOKENS must be at least 1, got %0d", MAX_TOKENS);
  end
  if (LANES < 1 || HIDDEN < LANES || HIDDEN % LANES != 0) begin : gen_check_lanes
    $fatal(1, "shell_output: LANES must divide HIDDEN = %0d, got %0d", HIDDEN, LANES);
  end
  if (HIDDEN * CHANNEL_BITS % 64 != 0) begin : gen_check_hidden
    $fatal(1, "shell_output: HIDDEN must make whole words of 64 bits, got %0d", HIDDEN);
  end
  if (WORD_BITS < 1 || WORD_BITS > CHANNEL_BITS) begin : gen_check_word_bits
    $fatal(1, "shell_output: WORD_BITS must be 1 to %0d, got %0d", CHANNEL_BITS, WORD_BITS);
  end
  if (CHANNEL_BITS != 16 && CHANNEL_BITS != 32) begin : gen_check_channel_bits
    $fatal(1, "shell_output: CHANNEL_BITS must be 16 or 32, got %0d", CHANNEL_BITS);
  end

  localparam int unsigned BEATS = HIDDEN / LANES;

  logic [LANES-1:0][WORD_BITS-1:0] narrow;
  logic [LANES-1:0][CHANNEL_BITS-1:0] wide;
  logic narrow_valid, wide_ready, last_beat;
  logic [(BEATS > 1 ? $clog2(BEATS) : 1)-1:0] unused_beat;
  logic [LENGTH_BITS-1:0] place;  // of the token in its sentence, from 1 on

  wire logic keep = !first_only || place == LENGTH_BITS'(1);
  wire logic wide_valid = narrow_valid && s_axis_length_tvalid && keep;
  wire logic take = narrow_valid && s_axis_length_tvalid && (wide_ready || !keep);
  wire logic last_token = place == s_axis_length_tdata;

  wire logic token_end = take && last_beat;

  assign token = token_end && keep;
  assign sentence = token_end && last_token;
  assign s_axis_length_tready = sentence;
  assign stalled = s_axis_tvalid && !s_axis_tready;

  skid_buffer #(
      .WIDTH(LANES * WORD_BITS)
  ) u_skid (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (narrow),
      .m_axis_tvalid(narrow_valid),
      .m_axis_tready(take)
  );

  beat_counter #(
      .BEATS(BEATS)
  ) u_beats (
      .clk,
      .rst_n,
      .enable(take),
      .beat  (unused_beat),
      .last  (last_beat)
  );

  for (genvar i = 0; i < LANES; i++) begin : gen_lane
    assign wide[i] = CHANNEL_BITS'(signed'(narrow[i]));
  end

  width_converter #(
      .IN_BITS (LANES * CHANNEL_BITS),
      .OUT_BITS(64)
  ) u_width (
      .clk,
      .rst_n,
      .s_axis_tdata (wide),
      .s_axis_tvalid(wide_valid),
      .s_axis_tready(wide_ready),
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready
  );

  always_ff @(posedge clk) begin
    if (token_end) place <= last_token ? LENGTH_BITS'(1) : place + 1'b1;
    if (!rst_n) place <= LENGTH_BITS'(1);
  end

endmodule

`default_nettype wire
