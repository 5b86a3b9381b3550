// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Add and LayerNorm: accumulators and residual to the next residual and its binarizations.
//
// Contract: requantize.sv, layer_norm.sv and channel_threshold.sv in a row, which see: for each
// token m_axis_residual = y and m_axis_bitsI = (y >= threshold I), I < BIT_STREAMS, with
//     y = LayerNorm(saturate(residual + round_shift(accumulator * MULTIPLIER + B, SHIFT)))
// Channel c of a token is lane c % LANES, lowest first, of beat c / LANES, in every stream. Streams
// m_axis_bitsI of I >= BIT_STREAMS never offer a beat. BANKS 2: all constants but the table come by
// the load bus (load_pkg.sv), in the order bias, multiplier, gamma, beta, thresholds.
// Throughput and latency: a beat per cycle, a token per max(BEATS, INTERVAL) cycles, see
// layer_norm.sv; the first beat leaves SPAN + 18 cycles after the token's last came.
// Reference: hw.reference: requantize, saturate, layer_norm, bipolar.
`default_nettype none

module add_norm #(
    parameter int unsigned HIDDEN              = 256,  // channels of a token, even, 8 to 4096
    parameter int unsigned LANES               = 1,    // channels of a beat, divides HIDDEN
    parameter int unsigned WORD_BITS           = 18,   // W, 8 to 20
    parameter int unsigned ACC_BITS            = 12,   // bits of an accumulator, signed
    parameter int          MULTIPLIER          = 1,    // M, signed
    parameter int unsigned SHIFT               = 0,    // n, 0 to 30
    parameter int unsigned FRACTION_BITS       = 12,   // f
    parameter int unsigned NORM_FRACTION_BITS  = 20,   // q, 8 to 32
    parameter int unsigned GAMMA_FRACTION_BITS = 10,   // g
    parameter int unsigned RSQRT_INDEX_BITS    = 10,   // b, even, 4 to 16
    parameter int unsigned BIT_STREAMS         = 1,    // 0 to 3
    parameter int unsigned BIAS_BITS           = 24,   // bits of a bias with its rounding
    parameter int unsigned GAMMA_BITS          = 16,   // bits of a gamma
    parameter int unsigned BETA_BITS           = 32,   // bits of a beta with its rounding
    parameter int unsigned RSQRT_BITS          = 15,   // bits of an entry of the table, unsigned
    parameter int unsigned THRESHOLD_BITS      = 19,   // bits of a threshold
    parameter int unsigned BUFFER_BLOCK        = 1,    // words in flight: 0 LUTs, 1 block RAM
    parameter int unsigned BIAS_STYLE          = 2,    // 0 any, 1 LUTs, 2 block RAM
    parameter int unsigned SCALE_STYLE         = 2,    // gamma and beta: the same
    parameter int unsigned RSQRT_STYLE         = 2,    // the same
    parameter int unsigned THRESHOLD_STYLE     = 2,    // the same
    parameter              BIAS_FILE           = "",
    parameter              GAMMA_FILE          = "",
    parameter              BETA_FILE           = "",
    parameter              RSQRT_FILE          = "",
    parameter              THRESHOLD_FILE      = "",   // if BIT_STREAMS > 0
    parameter int unsigned BANKS               = 1,    // 2: two banks of constants
    parameter int unsigned LOAD_BITS           = 72,   // bits of a beat of the load bus
    parameter int unsigned LOAD_BASE           = 0,    // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(BANKS, LOAD_BITS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LANES*ACC_BITS-1:0] s_axis_accumulator_tdata,
    input  wire logic                      s_axis_accumulator_tvalid,
    output wire logic                      s_axis_accumulator_tready,

    input  wire logic [LANES*WORD_BITS-1:0] s_axis_residual_tdata,
    input  wire logic                       s_axis_residual_tvalid,
    output wire logic                       s_axis_residual_tready,

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

  localparam int unsigned BEATS = HIDDEN / LANES;
  localparam int unsigned NORM_BASE = LOAD_BASE + 1
      + load_pkg::beats(LANES * BIAS_BITS, BEATS, LOAD_BITS);
  localparam int unsigned THRESHOLD_BASE = NORM_BASE
      + load_pkg::beats(LANES * GAMMA_BITS, BEATS, LOAD_BITS)
      + load_pkg::beats(LANES * BETA_BITS, BEATS, LOAD_BITS);

  if (BANKS == 2 && LOAD_BITS < 32) begin : gen_check_load_bits
    $fatal(1, "add_norm: LOAD_BITS must be at least 32, got %0d", LOAD_BITS);
  end

  wire [LANES*WORD_BITS-1:0] sum_tdata, norm_tdata;
  wire sum_tvalid, sum_tready, norm_tvalid, norm_tready;

  requantize #(
      .HIDDEN    (HIDDEN),
      .LANES     (LANES),
      .WORD_BITS (WORD_BITS),
      .ACC_BITS  (ACC_BITS),
      .MULTIPLIER(MULTIPLIER),
      .SHIFT     (SHIFT),
      .BIAS_BITS (BIAS_BITS),
      .BIAS_STYLE(BIAS_STYLE),
      .BIAS_FILE (BIAS_FILE),
      .BANKS     (BANKS),
      .LOAD_BITS (LOAD_BITS),
      .LOAD_BASE (LOAD_BASE)
  ) u_requantize (
      .clk,
      .rst_n,
      .load,
      .s_axis_accumulator_tdata,
      .s_axis_accumulator_tvalid,
      .s_axis_accumulator_tready,
      .s_axis_residual_tdata,
      .s_axis_residual_tvalid,
      .s_axis_residual_tready,
      .m_axis_tdata (sum_tdata),
      .m_axis_tvalid(sum_tvalid),
      .m_axis_tready(sum_tready)
  );

  layer_norm #(
      .HIDDEN             (HIDDEN),
      .LANES              (LANES),
      .WORD_BITS          (WORD_BITS),
      .FRACTION_BITS      (FRACTION_BITS),
      .NORM_FRACTION_BITS (NORM_FRACTION_BITS),
      .GAMMA_FRACTION_BITS(GAMMA_FRACTION_BITS),
      .RSQRT_INDEX_BITS   (RSQRT_INDEX_BITS),
      .GAMMA_BITS         (GAMMA_BITS),
      .BETA_BITS          (BETA_BITS),
      .RSQRT_BITS         (RSQRT_BITS),
      .BUFFER_BLOCK       (BUFFER_BLOCK),
      .SCALE_STYLE        (SCALE_STYLE),
      .RSQRT_STYLE        (RSQRT_STYLE),
      .GAMMA_FILE         (GAMMA_FILE),
      .BETA_FILE          (BETA_FILE),
      .RSQRT_FILE         (RSQRT_FILE),
      .BANKS              (BANKS),
      .LOAD_BITS          (LOAD_BITS),
      .LOAD_BASE          (NORM_BASE)
  ) u_norm (
      .clk,
      .rst_n,
      .load,
      .s_axis_tdata (sum_tdata),
      .s_axis_tvalid(sum_tvalid),
      .s_axis_tready(sum_tready),
      .m_axis_tdata (norm_tdata),
      .m_axis_tvalid(norm_tvalid),
      .m_axis_tready(norm_tready)
  );

  channel_threshold #(
      .HIDDEN         (HIDDEN),
      .LANES          (LANES),
      .WORD_BITS      (WORD_BITS),
      .BIT_STREAMS    (BIT_STREAMS),
      .THRESHOLD_BITS (THRESHOLD_BITS),
      .THRESHOLD_STYLE(THRESHOLD_STYLE),
      .THRESHOLD_FILE (THRESHOLD_FILE),
      .BANKS          (BANKS),
      .LOAD_BITS      (LOAD_BITS),
      .LOAD_BASE      (THRESHOLD_BASE)
  ) u_threshold (
      .clk,
      .rst_n,
      .load,
      .s_axis_tdata (norm_tdata),
      .s_axis_tvalid(norm_tvalid),
      .s_axis_tready(norm_tready),
      .m_axis_residual_tdata,
      .m_axis_residual_tvalid,
      .m_axis_residual_tready,
      .m_axis_bits0_tdata,
      .m_axis_bits0_tvalid,
      .m_axis_bits0_tready,
      .m_axis_bits1_tdata,
      .m_axis_bits1_tvalid,
      .m_axis_bits1_tready,
      .m_axis_bits2_tdata,
      .m_axis_bits2_tvalid,
      .m_axis_bits2_tready
  );

endmodule

`default_nettype wire
