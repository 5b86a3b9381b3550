// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Integer LayerNorm of a stream of tokens, with gamma and beta.
//
// Contract: m_axis = LayerNorm of the HIDDEN words of each token of s_axis, in the formats of
// docs/arithmetic.md. Channel c of a token is lane c % LANES, lowest first, of beat c / LANES.
// GAMMA_FILE and BETA_FILE have a word for each beat of a token: LANES fields of GAMMA_BITS
// (BETA_BITS) signed bits, lowest lane lowest; beta includes the rounding 2^(q+g-f-1) if q+g > f.
// BANKS 2: gamma, then beta, come by the load bus (load_pkg.sv); the table is that of every layer.
// RSQRT_FILE has the 3 * 2^(RSQRT_INDEX_BITS-2) entries of the table, RSQRT_BITS unsigned bits each.
//
// A token passes once: its sum and the sum of its squares are taken while its words enter a ring
// buffer. norm_statistics finds mean and scale while the next token enters, then the words leave the
// buffer through norm_scale. V = sum x^2 - mean (2 S - HIDDEN mean) is exact for any rounded mean.
// Throughput and latency: a beat per cycle and a token per max(BEATS, INTERVAL) cycles, BEATS =
// HIDDEN / LANES, INTERVAL = SPAN + 3, SPAN = cycles from a token's last beat to its scale
// (norm_moments and norm_statistics). The first beat leaves SPAN + 12 cycles after the last came.
// Reference: hw.reference.layer_norm.
`default_nettype none

module layer_norm #(
    parameter int unsigned HIDDEN              = 256,  // channels of a token, even, up to 4096
    parameter int unsigned LANES               = 1,    // channels of a beat, divides HIDDEN
    parameter int unsigned WORD_BITS           = 18,   // W, 8 to 20
    parameter int unsigned FRACTION_BITS       = 12,   // f
    parameter int unsigned NORM_FRACTION_BITS  = 20,   // q, 8 to 32
    parameter int unsigned GAMMA_FRACTION_BITS = 10,   // g, q + g >= f
    parameter int unsigned RSQRT_INDEX_BITS    = 10,   // b, even, 4 to 16
    parameter int unsigned GAMMA_BITS          = 16,   // bits of a gamma
    parameter int unsigned BETA_BITS           = 32,   // bits of a beta
    parameter int unsigned RSQRT_BITS          = 15,   // bits of an entry of the table
    parameter int unsigned BUFFER_BLOCK        = 1,    // ring buffer: 0 LUTs, 1 block RAM
    parameter int unsigned SCALE_STYLE         = 2,    // gamma, beta: 0 any, 1 LUTs, 2 block RAM
    parameter int unsigned RSQRT_STYLE         = 2,    // table: the same
    parameter              GAMMA_FILE          = "",   // memory file
    parameter              BETA_FILE           = "",   // memory file
    parameter              RSQRT_FILE          = "",   // memory file
    parameter int unsigned BANKS               = 1,    // 2: two banks of gamma and beta
    parameter int unsigned LOAD_BITS           = 72,   // bits of a beat of the load bus
    parameter int unsigned LOAD_BASE           = 0,    // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(BANKS, LOAD_BITS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LANES*WORD_BITS-1:0] s_axis_tdata,
    input  wire logic                       s_axis_tvalid,
    output wire logic                       s_axis_tready,

    input wire logic [BUS_BITS-1:0] load = '0,

    output wire logic [LANES*WORD_BITS-1:0] m_axis_tdata,
    output wire logic                       m_axis_tvalid,
    input  wire logic                       m_axis_tready
);

  localparam int unsigned BEATS = HIDDEN / LANES;
  localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  if (HIDDEN < 8 || HIDDEN > 4096 || HIDDEN % 2 != 0) begin : gen_check_hidden
    $fatal(1, "layer_norm: HIDDEN must be even, 8 to 4096, got %0d", HIDDEN);
  end
  if (LANES < 1 || HIDDEN % LANES != 0 || BEATS < 4) begin : gen_check_lanes
    $fatal(1, "layer_norm: LANES must divide HIDDEN = %0d into 4 or more, got %0d", HIDDEN, LANES);
  end
  if (WORD_BITS < 8 || WORD_BITS > 20) begin : gen_check_word_bits
    $fatal(1, "layer_norm: WORD_BITS must be 8 to 20, got %0d", WORD_BITS);
  end
  if (NORM_FRACTION_BITS < 8 || NORM_FRACTION_BITS > 32) begin : gen_check_norm_fraction_bits
    $fatal(1, "layer_norm: NORM_FRACTION_BITS must be 8 to 32, got %0d", NORM_FRACTION_BITS);
  end
  if (NORM_FRACTION_BITS + GAMMA_FRACTION_BITS < FRACTION_BITS) begin : gen_check_fraction_bits
    $fatal(1, "layer_norm: FRACTION_BITS must be at most %0d, got %0d",
           NORM_FRACTION_BITS + GAMMA_FRACTION_BITS, FRACTION_BITS);
  end
  if (RSQRT_INDEX_BITS < 4 || RSQRT_INDEX_BITS > 16 || RSQRT_INDEX_BITS % 2 != 0) begin : gen_check_b
    $fatal(1, "layer_norm: RSQRT_INDEX_BITS must be even, 4 to 16, got %0d", RSQRT_INDEX_BITS);
  end

  // Of norm_moments.
  localparam int unsigned LEVELS = $clog2(HIDDEN);
  localparam bit POWER = HIDDEN == 1 << LEVELS;
  localparam int unsigned MEAN_BITS = POWER ? WORD_BITS : WORD_BITS + 1;
  localparam int unsigned EXCESS =
      POWER ? HIDDEN / 2 : HIDDEN / 2 + 1 + (HIDDEN * HIDDEN >> (26 - WORD_BITS));
  localparam int unsigned EXCESS_BITS = $clog2(EXCESS + 1) + 1;
  localparam int unsigned SQUARE_BITS = 2 * WORD_BITS - 1 + LEVELS;

  // V < HIDDEN * 2^(2 WORD_BITS - 2); an even number of bits, which are pairs.
  localparam int unsigned VARIANCE_BITS = 2 * WORD_BITS - 2 + LEVELS + LEVELS % 2;
  localparam int unsigned SCALE_BITS = RSQRT_BITS + (VARIANCE_BITS - 2) / 2;
  // z = round_shift(d R, k + 14 + b/2 - q), and scale = R 2^s with k = (VARIANCE_BITS - b) / 2 - s
  localparam int Z_SHIFT = int'(VARIANCE_BITS) / 2 + 14 - int'(NORM_FRACTION_BITS);
  localparam int unsigned Z_BITS = NORM_FRACTION_BITS + 2;
  localparam int unsigned OUT_SHIFT = NORM_FRACTION_BITS + GAMMA_FRACTION_BITS - FRACTION_BITS;
  localparam int unsigned SPAN =
      (LANES == 1 ? 3 : LANES + 3) + 7 + 2 * ((VARIANCE_BITS - 2) / 8 + 3);  // last beat to scale
  localparam int unsigned STAGES = 10;  // from the buffer's address to y
  localparam int unsigned CONSTANT_STAGE = 5;  // where gamma and beta are looked up

  // A token and what comes until it starts to leave, in 7/8 of the buffer: see full.
  localparam int unsigned DEPTH_BITS = $clog2((BEATS + SPAN + 6) * 8 / 7 + 1);
  localparam int unsigned DEPTH = 1 << DEPTH_BITS;

  wire [BEAT_BITS-1:0] unused_beat_in, unused_beat_out;

  // Words in.
  logic [DEPTH_BITS-1:0] write_address, read_address;
  logic busy;  // between a token's last beat and the move of its statistics to norm_scale
  wire accept, accept_last, taken;
  // The writer keeps out of the sixteenth of the buffer that the reader is in.
  wire [3:0] next_block = write_address[DEPTH_BITS-1-:4] + 4'd1;
  wire full = next_block == read_address[DEPTH_BITS-1-:4];

  assign s_axis_tready = !full && !(accept_last && busy);
  assign accept = s_axis_tvalid && s_axis_tready;

  always_ff @(posedge clk) begin
    if (accept) write_address <= write_address + DEPTH_BITS'(1);
    if (taken) busy <= 1'b0;
    if (accept && accept_last) busy <= 1'b1;
    if (!rst_n) begin
      write_address <= '0;
      busy <= 1'b0;
    end
  end

  beat_counter #(
      .BEATS(BEATS)
  ) u_beat_in (
      .clk,
      .rst_n,
      .enable(accept),
      .beat  (unused_beat_in),
      .last  (accept_last)
  );

  // Statistics.
  wire signed [MEAN_BITS-1:0] mean;
  wire signed [EXCESS_BITS-1:0] excess;
  wire [SQUARE_BITS-1:0] square;
  wire [SCALE_BITS-1:0] scale;
  wire moments_done, statistics_done;
  logic ready_to_scale;  // mean and scale wait for norm_scale

  norm_moments #(
      .HIDDEN   (HIDDEN),
      .LANES    (LANES),
      .WORD_BITS(WORD_BITS)
  ) u_moments (
      .clk,
      .rst_n,
      .words(s_axis_tdata),
      .valid(accept),
      .last (accept_last),
      .mean,
      .excess,
      .square,
      .done (moments_done)
  );

  norm_statistics #(
      .HIDDEN          (HIDDEN),
      .WORD_BITS       (WORD_BITS),
      .MEAN_BITS       (MEAN_BITS),
      .EXCESS_BITS     (EXCESS_BITS),
      .SQUARE_BITS     (SQUARE_BITS),
      .VARIANCE_BITS   (VARIANCE_BITS),
      .RSQRT_INDEX_BITS(RSQRT_INDEX_BITS),
      .RSQRT_BITS      (RSQRT_BITS),
      .SCALE_BITS      (SCALE_BITS),
      .RSQRT_STYLE     (RSQRT_STYLE),
      .RSQRT_FILE      (RSQRT_FILE)
  ) u_statistics (
      .clk,
      .rst_n,
      .start(moments_done),
      .mean,
      .excess,
      .square,
      .scale,
      .done (statistics_done)
  );

  // Words out: valid[i] is i stages after the buffer's address.
  logic [STAGES:0] valid;
  logic first, first_d;  // the first beat of a token, at valid[0] and valid[1]
  wire enable, read_last;
  wire [LANES*WORD_BITS-1:0] words;
  wire [BEAT_BITS-1:0] channel;
  wire unused_last;
  wire [LANES*GAMMA_BITS-1:0] gammas;
  wire [LANES*BETA_BITS-1:0] betas;

  assign enable = !valid[STAGES] || m_axis_tready;
  assign taken = enable && valid[1] && first_d;
  assign m_axis_tvalid = valid[STAGES];

  always_ff @(posedge clk) begin
    if (enable) begin
      valid[STAGES:1] <= valid[STAGES-1:0];
      first_d <= first;
      if (!valid[0] || read_last) begin
        valid[0] <= ready_to_scale;
        first <= 1'b1;
      end else begin
        first <= 1'b0;
      end
      if (valid[0]) read_address <= read_address + DEPTH_BITS'(1);
    end
    if (taken) ready_to_scale <= 1'b0;
    if (statistics_done) ready_to_scale <= 1'b1;
    if (!rst_n) begin
      valid <= '0;
      read_address <= '0;
      ready_to_scale <= 1'b0;
    end
  end

  beat_counter #(
      .BEATS(BEATS)
  ) u_beat_out (
      .clk,
      .rst_n,
      .enable(enable && valid[0]),
      .beat  (unused_beat_out),
      .last  (read_last)
  );

  two_port_ram #(
      .WIDTH(LANES * WORD_BITS),
      .DEPTH(DEPTH),
      .BLOCK(BUFFER_BLOCK)
  ) u_buffer (
      .clk,
      .write_enable (accept),
      .write_address(write_address),
      .write_data   (s_axis_tdata),
      .read_enable  (enable),
      .read_address (read_address),
      .read_data    (words)
  );

  beat_counter #(
      .BEATS(BEATS)
  ) u_channel (
      .clk,
      .rst_n,
      .enable(enable && valid[CONSTANT_STAGE]),
      .beat  (channel),
      .last  (unused_last)
  );

  constant_rom #(
      .WIDTH    (LANES * GAMMA_BITS),
      .DEPTH    (BEATS),
      .FILE     (GAMMA_FILE),
      .STYLE    (SCALE_STYLE),
      .BANKS    (BANKS),
      .LOAD_BITS(LOAD_BITS),
      .LOAD_BASE(LOAD_BASE)
  ) u_gamma (
      .clk,
      .rst_n,
      .load,
      .enable,
      .address(channel),
      .word   (gammas)
  );

  constant_rom #(
      .WIDTH    (LANES * BETA_BITS),
      .DEPTH    (BEATS),
      .FILE     (BETA_FILE),
      .STYLE    (SCALE_STYLE),
      .BANKS    (BANKS),
      .LOAD_BITS(LOAD_BITS),
      .LOAD_BASE(LOAD_BASE + load_pkg::beats(LANES * GAMMA_BITS, BEATS, LOAD_BITS))
  ) u_beta (
      .clk,
      .rst_n,
      .load,
      .enable,
      .address(channel),
      .word   (betas)
  );

  for (genvar lane = 0; lane < LANES; lane++) begin : gen_lane
    norm_scale #(
        .WORD_BITS (WORD_BITS),
        .MEAN_BITS (MEAN_BITS),
        .SCALE_BITS(SCALE_BITS),
        .Z_BITS    (Z_BITS),
        .SHIFT     (Z_SHIFT),
        .GAMMA_BITS(GAMMA_BITS),
        .BETA_BITS (BETA_BITS),
        .OUT_SHIFT (OUT_SHIFT)
    ) u_scale (
        .clk,
        .enable,
        .x    (words[lane*WORD_BITS+:WORD_BITS]),
        .load (first_d),
        .mean,
        .scale,
        .gamma(gammas[lane*GAMMA_BITS+:GAMMA_BITS]),
        .beta (betas[lane*BETA_BITS+:BETA_BITS]),
        .y    (m_axis_tdata[lane*WORD_BITS+:WORD_BITS])
    );
  end

endmodule

`default_nettype wire
