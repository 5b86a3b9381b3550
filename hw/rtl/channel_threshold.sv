// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Passes the residual on and binarizes it, with a threshold per channel, for up to three consumers.
//
// Contract: m_axis_residual gives the beats of s_axis. m_axis_bitsI, I < BIT_STREAMS, gives for each
// of them a beat of LANES bits: bit = word >= threshold of stream I and the word's channel. Channel
// c of a token is lane c % LANES, lowest first, of beat c / LANES. Every output takes each beat
// once, at most one ahead of the others. Streams of I >= BIT_STREAMS never offer a beat.
// THRESHOLD_FILE has a word for each beat of a token: fields of THRESHOLD_BITS signed bits, field
// I * LANES + lane, lowest first. THRESHOLD_BITS is at most WORD_BITS + 1: the threshold of a
// channel that is never 1 is 2^(WORD_BITS-1). BANKS 2: the words come by the load bus (load_pkg.sv).
// Throughput and latency: a beat per cycle; two cycles. s_axis_tready depends on the outputs' in
// the same cycle.
// Reference: hw.reference.bipolar, +1 as bit 1.
`default_nettype none

module channel_threshold #(
    parameter int unsigned HIDDEN          = 256,  // channels of a token
    parameter int unsigned LANES           = 1,    // channels of a beat, divides HIDDEN
    parameter int unsigned WORD_BITS       = 18,   // bits of a residual word
    parameter int unsigned BIT_STREAMS     = 1,    // 0 to 3
    parameter int unsigned THRESHOLD_BITS  = 19,   // bits of a threshold, 1 to WORD_BITS + 1
    parameter int unsigned THRESHOLD_STYLE = 2,    // of that memory: 0 any, 1 LUTs, 2 block RAM
    parameter              THRESHOLD_FILE  = "",   // memory file, if BIT_STREAMS > 0
    parameter int unsigned BANKS           = 1,    // 2: two banks of thresholds
    parameter int unsigned LOAD_BITS       = 72,   // bits of a beat of the load bus
    parameter int unsigned LOAD_BASE       = 0,    // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(BANKS, LOAD_BITS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LANES*WORD_BITS-1:0] s_axis_tdata,
    input  wire logic                       s_axis_tvalid,
    output wire logic                       s_axis_tready,

    input wire logic [BUS_BITS-1:0] load = '0,

    output wire logic [LANES*WORD_BITS-1:0] m_axis_residual_tdata,
    output wire logic                       m_axis_residual_tvalid,
    input  wire logic                       m_axis_residual_tready,

    output wire logic [LANES-1:0] m_axis_bits0_tdata,
    output wire logic             m_axis_bits0_tvalid,
    input  wire logic             m_axis_bits0_tready,

    output wire logic [LANES-1:0] m_axis_bits1_tdata,
    output wire logic             m_axis_bits1_tvalid,
    input  wire logic             m_axis_bits1_tready,

    output wire logic [LANES-1:0] m_axis_bits2_tdata,
    output wire logic             m_axis_bits2_tvalid,
    input  wire logic             m_axis_bits2_tready
);

  localparam int unsigned WIDTH = LANES * WORD_BITS;
  localparam int unsigned COPIES = BIT_STREAMS + 1;

  if (LANES < 1 || HIDDEN < 1 || HIDDEN % LANES != 0) begin : gen_check_lanes
    $fatal(1, "channel_threshold: LANES must divide HIDDEN = %0d, got %0d", HIDDEN, LANES);
  end
  if (BIT_STREAMS > 3) begin : gen_check_bit_streams
    $fatal(1, "channel_threshold: BIT_STREAMS must be 0 to 3, got %0d", BIT_STREAMS);
  end
  if (THRESHOLD_BITS < 1 || THRESHOLD_BITS > WORD_BITS + 1) begin : gen_check_threshold_bits
    $fatal(1, "channel_threshold: THRESHOLD_BITS must be 1 to %0d, got %0d", WORD_BITS + 1,
           THRESHOLD_BITS);
  end

  logic [WIDTH-1:0] word, residual;
  logic word_valid, valid;
  logic [2:0][LANES-1:0] bits;

  wire enable;  // the registers move on
  wire taken;  // every output has taken what is on offer, or does now
  wire [COPIES-1:0] copy_valid, copy_ready;
  wire [3:0] all_valid, all_ready;

  assign enable = !valid || taken;
  assign s_axis_tready = enable;

  always_ff @(posedge clk) begin
    if (enable) begin
      word <= s_axis_tdata;
      residual <= word;
      word_valid <= s_axis_tvalid;
      valid <= word_valid;
    end
    if (!rst_n) begin
      word_valid <= 1'b0;
      valid <= 1'b0;
    end
  end

  if (BIT_STREAMS > 0) begin : gen_thresholds
    localparam int unsigned BEATS = HIDDEN / LANES;
    wire [$clog2(BEATS > 1 ? BEATS : 2)-1:0] beat;
    wire [BIT_STREAMS*LANES*THRESHOLD_BITS-1:0] thresholds;
    wire unused_last;

    beat_counter #(
        .BEATS(BEATS)
    ) u_beat (
        .clk,
        .rst_n,
        .enable(s_axis_tvalid && enable),
        .beat,
        .last  (unused_last)
    );

    constant_rom #(
        .WIDTH    (BIT_STREAMS * LANES * THRESHOLD_BITS),
        .DEPTH    (BEATS),
        .FILE     (THRESHOLD_FILE),
        .STYLE    (THRESHOLD_STYLE),
        .BANKS    (BANKS),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE)
    ) u_thresholds (
        .clk,
        .rst_n,
        .load,
        .enable,
        .address(beat),
        .word   (thresholds)
    );

    for (genvar i = 0; i < BIT_STREAMS; i++) begin : gen_stream
      for (genvar lane = 0; lane < LANES; lane++) begin : gen_lane
        localparam int unsigned FIELD = i * LANES + lane;
        wire signed [WORD_BITS-1:0] x = word[lane*WORD_BITS+:WORD_BITS];
        wire signed [THRESHOLD_BITS-1:0] threshold = thresholds[FIELD*THRESHOLD_BITS+:THRESHOLD_BITS];
        always_ff @(posedge clk) begin
          if (enable) bits[i][lane] <= (WORD_BITS + 1)'(x) >= (WORD_BITS + 1)'(threshold);
        end
      end
    end
  end

  if (BIT_STREAMS == 0) begin : gen_no_thresholds
    wire unused = &load;
  end

  for (genvar i = BIT_STREAMS; i < 3; i++) begin : gen_silent
    assign bits[i] = '0;
  end

  stream_fork #(
      .WIDTH (WIDTH),
      .COPIES(COPIES)
  ) u_fork (
      .clk,
      .rst_n,
      .s_axis_tdata (residual),
      .s_axis_tvalid(valid),
      .s_axis_tready(taken),
      .m_axis_tdata (m_axis_residual_tdata),
      .m_axis_tvalid(copy_valid),
      .m_axis_tready(copy_ready)
  );

  assign all_valid = 4'(copy_valid);
  assign all_ready = {
    m_axis_bits2_tready, m_axis_bits1_tready, m_axis_bits0_tready, m_axis_residual_tready
  };
  assign copy_ready = all_ready[COPIES-1:0];
  wire unused_ready = &{1'b0, all_ready};  // of the silent streams
  assign {m_axis_bits2_tvalid, m_axis_bits1_tvalid, m_axis_bits0_tvalid} = all_valid[3:1];
  assign m_axis_residual_tvalid = all_valid[0];
  assign {m_axis_bits2_tdata, m_axis_bits1_tdata, m_axis_bits0_tdata} = bits;

endmodule

`default_nettype wire
