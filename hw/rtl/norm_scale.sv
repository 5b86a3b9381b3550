// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Normalizes words: difference from the mean, reciprocal root, gamma, beta.
//
// Contract: everything moves on in cycles with enable. A word x becomes
//     z = round_shift((x - mean) * scale, SHIFT), in Z_BITS bits
//     y = saturate(floor((z * gamma + beta) / 2^OUT_SHIFT), WORD_BITS)
// with the mean and the scale of the last word that came with load, and with the gamma and beta of
// five cycles later. beta includes 2^(OUT_SHIFT-1), which rounds.
// |z| < 2^(Z_BITS-1), so the product with scale is needed modulo 2^(Z_BITS+SHIFT) only. It is made
// of scale's digits of 17 bits: a DSP each for the lowest two, a few LUTs for what is above them.
// Throughput and latency: a word per cycle; nine cycles from x to y.
// Reference: hw.reference.layer_norm, from `difference` on.
`default_nettype none

module norm_scale #(
    parameter int unsigned WORD_BITS  = 18,  // bits of x and y
    parameter int unsigned MEAN_BITS  = 18,  // bits of the mean
    parameter int unsigned SCALE_BITS = 35,  // bits of scale, unsigned, more than 17
    parameter int unsigned Z_BITS     = 22,  // bits of z
    parameter int          SHIFT      = 15,  // of z, Z_BITS + SHIFT > 18
    parameter int unsigned GAMMA_BITS = 16,  // bits of gamma, signed
    parameter int unsigned BETA_BITS  = 32,  // bits of beta, signed
    parameter int unsigned OUT_SHIFT  = 18   // of y
) (
    input wire logic clk,
    input wire logic enable,

    input wire logic signed [ WORD_BITS-1:0] x,
    input wire logic                         load,
    input wire logic signed [ MEAN_BITS-1:0] mean,
    input wire logic        [SCALE_BITS-1:0] scale,
    input wire logic signed [GAMMA_BITS-1:0] gamma,
    input wire logic signed [ BETA_BITS-1:0] beta,

    output logic signed [WORD_BITS-1:0] y
);

  localparam int unsigned DIGIT = 17;  // unsigned, as 18 bits signed: an operand of a DSP
  localparam int unsigned FULL_BITS = unsigned'(int'(Z_BITS) + SHIFT);  // of the product
  localparam int unsigned HIGH_BITS = FULL_BITS - DIGIT;
  localparam int unsigned TWO = SCALE_BITS > 2 * DIGIT ? 2 * DIGIT : SCALE_BITS;
  localparam int unsigned D_BITS = WORD_BITS + 1;  // x - mean
  localparam int unsigned LEFT = SHIFT < 0 ? unsigned'(-SHIFT) : 0;
  localparam int unsigned RIGHT = SHIFT > 0 ? unsigned'(SHIFT) : 0;
  localparam int unsigned PART_BITS = D_BITS + DIGIT + 2 > RIGHT + 2 ? D_BITS + DIGIT + 2 : RIGHT + 2;
  localparam logic signed [PART_BITS-1:0] HALF = RIGHT > 0 ? PART_BITS'(1) << (RIGHT - 1) : '0;

  logic [SCALE_BITS-1:0] scale_held;

  // The lower digit's share, and the higher one's, a cycle later.
  logic signed [WORD_BITS-1:0] x_low, x_high, x_high_d;
  logic signed [MEAN_BITS-1:0] mean_low, mean_high;
  logic [DIGIT-1:0] digit_low;
  logic [TWO-DIGIT-1:0] digit_high, digit_high_d;
  logic signed [D_BITS-1:0] d_low, d_high;
  logic signed [D_BITS+DIGIT:0] product_low;
  logic signed [D_BITS+TWO-DIGIT:0] product_high;
  logic signed [PART_BITS-1:0] low, high;
  logic [DIGIT-1:0] low_d;
  wire [HIGH_BITS-1:0] upper;
  wire [FULL_BITS-1:0] full = {upper, low_d};
  wire unused_high = &{1'b0, high};  // the bits that modulo 2^FULL_BITS drops

  always_ff @(posedge clk) begin
    if (enable && load) begin
      mean_low   <= mean;
      scale_held <= scale;
    end
    if (enable) begin
      x_low <= x;
      d_low <= D_BITS'(x_low) - D_BITS'(mean_low);
      digit_low <= scale_held[DIGIT-1:0];
      product_low <= d_low * signed'({1'b0, digit_low});
      low <= PART_BITS'(product_low) + HALF;

      x_high <= x;
      x_high_d <= x_high;
      mean_high <= mean_low;
      d_high <= D_BITS'(x_high_d) - D_BITS'(mean_high);
      digit_high <= scale_held[TWO-1:DIGIT];
      digit_high_d <= digit_high;
      product_high <= d_high * signed'({1'b0, digit_high_d});
      high <= PART_BITS'(product_high) + (low >>> DIGIT);
      low_d <= low[DIGIT-1:0];
    end
  end

  if (SCALE_BITS > 2 * DIGIT && HIGH_BITS > DIGIT) begin : gen_top
    // The bits of scale above two digits meet only the few lowest bits of the difference.
    localparam int unsigned TOP_BITS = HIGH_BITS - DIGIT;
    logic [TOP_BITS-1:0] top_difference, top_digit, top, top_d, top_dd;
    always_ff @(posedge clk) begin
      if (enable) begin
        top_difference <= TOP_BITS'(x_low) - TOP_BITS'(mean_low);
        top_digit <= TOP_BITS'(scale_held[SCALE_BITS-1:2*DIGIT]);
        top <= top_difference * top_digit;
        top_d <= top;
        top_dd <= top_d;
      end
    end
    assign upper = {high[HIGH_BITS-1:DIGIT] + top_dd, high[DIGIT-1:0]};
  end else begin : gen_no_top
    assign upper = HIGH_BITS'(high);
  end

  localparam int unsigned SCALED_BITS = Z_BITS + GAMMA_BITS;
  localparam int unsigned SUM_BITS = 1 + (SCALED_BITS > BETA_BITS ? SCALED_BITS : BETA_BITS);
  localparam int unsigned TOTAL_BITS = SUM_BITS > OUT_SHIFT + 1 ? SUM_BITS - OUT_SHIFT : 1;
  logic signed [Z_BITS-1:0] z;
  logic signed [GAMMA_BITS-1:0] gamma_d;
  logic signed [BETA_BITS-1:0] beta_d, beta_dd;
  logic signed [SCALED_BITS-1:0] scaled;
  logic signed [SUM_BITS-1:0] sum;
  wire signed [WORD_BITS-1:0] saturated;

  always_ff @(posedge clk) begin
    if (enable) begin
      z <= Z_BITS'(full >> RIGHT) << LEFT;
      gamma_d <= gamma;
      beta_d <= beta;
      beta_dd <= beta_d;
      scaled <= z * gamma_d;
      sum <= SUM_BITS'(scaled) + SUM_BITS'(beta_dd);
      y <= saturated;
    end
  end

  saturate #(
      .IN_BITS (TOTAL_BITS),
      .OUT_BITS(WORD_BITS)
  ) u_saturate (
      .in (TOTAL_BITS'(sum >>> OUT_SHIFT)),
      .out(saturated)
  );

endmodule

`default_nettype wire
