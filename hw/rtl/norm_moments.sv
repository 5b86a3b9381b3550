// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Mean and sums of the words of a token.
//
// Contract: of the HIDDEN words x of a token, taken LANES at a time in the cycles with valid, `last`
// in the last of them:
//     mean   = floor((S * round(2^24 / HIDDEN) + 2^23) / 2^24),  S = sum x
//     excess = HIDDEN * mean - S
//     square = sum x^2
// done follows `last` after LATENCY cycles; the results then stay until the next token's.
// Throughput and latency: LANES words per cycle, tokens back to back; LATENCY = 3 cycles, and LANES
// more if LANES > 1. A DSP per lane sums the squares, and one more finds the mean of a HIDDEN that
// is no power of two.
// Reference: mean of hw.reference.layer_norm.
`default_nettype none

module norm_moments #(
    parameter int unsigned HIDDEN = 256,  // words of a token, even, up to 4096
    parameter int unsigned LANES = 1,  // words of a beat
    parameter int unsigned WORD_BITS = 18,  // bits of a word, up to 20
    localparam int unsigned LEVELS = $clog2(HIDDEN),
    localparam bit POWER = HIDDEN == 1 << LEVELS,
    // |S * round(2^24 / HIDDEN) / 2^24 - S / HIDDEN| <= HIDDEN * 2^(WORD_BITS-26), 0 if POWER
    localparam int unsigned MEAN_BITS = POWER ? WORD_BITS : WORD_BITS + 1,
    localparam int unsigned EXCESS = POWER ? HIDDEN / 2 :
        HIDDEN / 2 + 1 + (HIDDEN * HIDDEN >> (26 - WORD_BITS)),  // bound of |excess|
    localparam int unsigned EXCESS_BITS = $clog2(EXCESS + 1) + 1,
    localparam int unsigned SQUARE_BITS = 2 * WORD_BITS - 1 + LEVELS  // square <= H 2^(2W-2)
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [LANES*WORD_BITS-1:0] words,
    input wire logic                       valid,
    input wire logic                       last,

    output wire logic signed [  MEAN_BITS-1:0] mean,
    output wire logic signed [EXCESS_BITS-1:0] excess,
    output logic             [SQUARE_BITS-1:0] square,
    output logic                               done
);

  localparam int unsigned SUM_BITS = WORD_BITS + LEVELS;
  localparam int unsigned TOTAL_BITS = WORD_BITS + $clog2(LANES);
  localparam int unsigned LATENCY = LANES == 1 ? 3 : LANES + 3;

  // bit i of these: what it was i cycles ago
  logic [LATENCY-1:0] valids, firsts, lasts;
  logic first;

  assign valids[0] = valid;
  assign firsts[0] = first;
  assign lasts[0] = valid && last;

  always_ff @(posedge clk) begin
    valids[LATENCY-1:1] <= valids[LATENCY-2:0];
    firsts[LATENCY-1:1] <= firsts[LATENCY-2:0];
    lasts[LATENCY-1:1] <= lasts[LATENCY-2:0];
    done <= lasts[LATENCY-1];
    if (valid) first <= last;
    if (!rst_n) begin
      valids[LATENCY-1:1] <= '0;
      lasts[LATENCY-1:1] <= '0;
      done <= 1'b0;
      first <= 1'b1;
    end
  end

  // The beat's words as one, WAIT cycles after them.
  localparam int unsigned WAIT = LANES == 1 ? 0 : 1;
  logic signed [TOTAL_BITS-1:0] total;

  if (LANES == 1) begin : gen_total_one
    assign total = signed'(words);
  end else begin : gen_total
    logic signed [TOTAL_BITS-1:0] partial[LANES];
    for (genvar lane = 0; lane < LANES; lane++) begin : gen_lane
      wire signed [WORD_BITS-1:0] x = words[lane*WORD_BITS+:WORD_BITS];
      if (lane == 0) begin : gen_zero
        assign partial[lane] = TOTAL_BITS'(x);
      end else begin : gen_add
        assign partial[lane] = partial[lane-1] + TOTAL_BITS'(x);
      end
    end
    always_ff @(posedge clk) total <= partial[LANES-1];
  end

  // S + HIDDEN / 2
  logic signed [SUM_BITS-1:0] running, sum;

  always_ff @(posedge clk) begin
    if (valids[WAIT])
      running <= (firsts[WAIT] ? SUM_BITS'(HIDDEN / 2) : running) + SUM_BITS'(total);
    if (lasts[WAIT+1]) sum <= running;
  end

  if (POWER) begin : gen_mean_power
    assign mean = sum[SUM_BITS-1:LEVELS];
    // HIDDEN * mean + HIDDEN / 2 - sum
    assign excess = EXCESS_BITS'(HIDDEN / 2) - EXCESS_BITS'(sum[LEVELS-1:0]);
  end else begin : gen_mean
    localparam int unsigned RECIPROCAL = ((1 << 25) + HIDDEN) / (2 * HIDDEN);
    localparam int unsigned FACTOR_BITS = $clog2(RECIPROCAL + 1) + 1;
    localparam int unsigned SCALED_BITS = WORD_BITS + 26;
    wire signed [FACTOR_BITS-1:0] reciprocal = FACTOR_BITS'(RECIPROCAL);
    logic signed [TOTAL_BITS+FACTOR_BITS-1:0] product;
    logic signed [SCALED_BITS-1:0] scaled;
    logic signed [MEAN_BITS-1:0] result;

    always_ff @(posedge clk) begin
      product <= total * reciprocal;
      if (valids[WAIT+1])
        scaled <= (firsts[WAIT+1] ? SCALED_BITS'(1 << 23) : scaled) + SCALED_BITS'(product);
      if (lasts[WAIT+2]) result <= MEAN_BITS'(scaled >>> 24);
    end

    assign mean = result;
    wire unused_sum = &{1'b0, sum};  // excess is small: its low bits tell it
    assign excess = EXCESS_BITS'(HIDDEN) * EXCESS_BITS'(mean) + EXCESS_BITS'(HIDDEN / 2) -
        EXCESS_BITS'(sum);
  end

  norm_squares #(
      .LANES    (LANES),
      .WORD_BITS(WORD_BITS),
      .SUM_BITS (SQUARE_BITS)
  ) u_squares (
      .clk,
      .words,
      .valid(valids[LATENCY-2]),
      .first(firsts[LATENCY-2]),
      .last (lasts[LATENCY-1]),
      .sum  (square)
  );

endmodule

`default_nettype wire
