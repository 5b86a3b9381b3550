// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Variance of a token and its reciprocal square root, scaled for differences that are not shifted.
//
// Contract: with start, and mean, excess and square of norm_moments, which must stay,
//     V     = square - mean * (2 S - HIDDEN * mean) = sum (x - mean)^2,  S = HIDDEN * mean - excess
//     s     = number of leading pairs of zeros of V in VARIANCE_BITS bits
//     i     = the highest RSQRT_INDEX_BITS bits of V * 4^s, R = table[i - 2^(RSQRT_INDEX_BITS-2)]
//     scale = R * 2^s                                         (of no meaning where V = 0)
// done follows start after LATENCY cycles; scale then stays until the next start.
// s pairs are found in steps of four and of one; the same steps then shift R.
// Throughput and latency: one token at a time; LATENCY = 7 + 2 (COARSE + 3) cycles.
// Reference: hw.reference.layer_norm, with k = (VARIANCE_BITS - RSQRT_INDEX_BITS) / 2 - s.
`default_nettype none

module norm_statistics #(
    parameter int unsigned HIDDEN           = 256,  // words of a token, even
    parameter int unsigned WORD_BITS        = 18,   // bits of a word
    parameter int unsigned MEAN_BITS        = 18,
    parameter int unsigned EXCESS_BITS      = 9,
    parameter int unsigned SQUARE_BITS      = 43,
    parameter int unsigned VARIANCE_BITS    = 42,   // even
    parameter int unsigned RSQRT_INDEX_BITS = 10,   // even, 4 to 16
    parameter int unsigned RSQRT_BITS       = 15,   // bits of an entry of the table, unsigned
    parameter int unsigned SCALE_BITS       = 35,
    parameter int unsigned RSQRT_STYLE      = 2,    // of the table: 0 any, 1 LUTs, 2 block RAM
    parameter              RSQRT_FILE       = ""    // memory file, 3 * 2^(RSQRT_INDEX_BITS-2) words
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic                          start,
    input wire logic signed [  MEAN_BITS-1:0] mean,
    input wire logic signed [EXCESS_BITS-1:0] excess,
    input wire logic        [SQUARE_BITS-1:0] square,

    output logic      [SCALE_BITS-1:0] scale,
    output wire logic                  done
);

  localparam int unsigned COARSE = (VARIANCE_BITS - 2) / 8;  // steps of 4 pairs
  localparam int unsigned STEPS = COARSE + 3;
  localparam int unsigned LOAD = 4;  // V is there
  localparam int unsigned LOOKUP = LOAD + STEPS + 2;  // R is there
  localparam int unsigned LATENCY = LOOKUP + STEPS + 1;

  // A pulse that runs from start to done, and what happens when it is where.
  logic [LATENCY:1] pulse;
  wire is_coarse = |pulse[LOAD+COARSE:LOAD+1];
  wire is_fine = |pulse[LOAD+STEPS:LOAD+COARSE+1];
  wire repeats_coarse = |pulse[LOOKUP+COARSE:LOOKUP+1];
  wire repeats = |pulse[LOOKUP+STEPS:LOOKUP+1];
  assign done = pulse[LATENCY];

  always_ff @(posedge clk) begin
    pulse <= {pulse[LATENCY-1:1], start};
    if (!rst_n) pulse <= '0;
  end

  // V / 2 = square / 2 + mean * (HIDDEN / 2 * mean - S). Modulo 2^(VARIANCE_BITS-1), so CENTER_BITS
  // may miss the case mean = -2^(WORD_BITS-1) of a HIDDEN that is a power of two.
  localparam int unsigned LEVELS = $clog2(HIDDEN);
  localparam int unsigned CENTER_BITS = MEAN_BITS + LEVELS - (MEAN_BITS == WORD_BITS ? 1 : 0);
  localparam int unsigned HALF_BITS = CENTER_BITS > SQUARE_BITS ? CENTER_BITS : SQUARE_BITS;
  logic signed [EXCESS_BITS-1:0] excess_d;
  logic signed [CENTER_BITS-1:0] half_sum, center;
  logic signed [MEAN_BITS-1:0] mean_d;
  logic signed [CENTER_BITS+MEAN_BITS-1:0] product;
  logic signed [HALF_BITS-1:0] half_square, half_variance;
  wire unused_product = &{1'b0, product, half_variance};  // beyond the modulus

  always_ff @(posedge clk) begin
    excess_d <= excess;
    half_sum <= CENTER_BITS'(mean) * CENTER_BITS'(HIDDEN / 2);
    mean_d <= mean;
    half_square <= HALF_BITS'(square[SQUARE_BITS-1:1]);
    center <= CENTER_BITS'(excess_d) - half_sum;
    product <= center * mean_d;
    half_variance <= half_square + HALF_BITS'(product);
  end

  // The normalized variance, and the steps that were taken, the first one lowest.
  logic [VARIANCE_BITS-1:0] variance;
  logic [STEPS-1:0] steps;
  wire step = is_coarse ? variance[VARIANCE_BITS-1-:8] == 0 : variance[VARIANCE_BITS-1-:2] == 0;

  always_ff @(posedge clk) begin
    if (pulse[LOAD]) variance <= VARIANCE_BITS'({half_variance, square[0]});
    else if (is_coarse && step) variance <= variance << 8;
    else if (is_fine && step) variance <= variance << 2;
    if (is_coarse || is_fine || repeats) steps <= {step, steps[STEPS-1:1]};
  end

  // i - 2^(b-2): the two highest bits of i are 1, 2 or 3, and 0 only if V = 0.
  localparam int unsigned B = RSQRT_INDEX_BITS;
  wire [B-1:0] index = variance[VARIANCE_BITS-1-:B];
  wire [B-1:0] entry = {index[B-1] && index[B-2], index[B-1] && !index[B-2], index[B-3:0]};
  wire [RSQRT_BITS-1:0] root;

  constant_rom #(
      .WIDTH(RSQRT_BITS),
      .DEPTH(3 << (B - 2)),
      .FILE (RSQRT_FILE),
      .STYLE(RSQRT_STYLE)
  ) u_table (
      .clk,
      .enable (1'b1),
      .address(entry),
      .word   (root)
  );

  always_ff @(posedge clk) begin
    if (pulse[LOOKUP]) scale <= SCALE_BITS'(root);
    else if (repeats && steps[0]) scale <= repeats_coarse ? scale << 4 : scale << 1;
  end

endmodule

`default_nettype wire
