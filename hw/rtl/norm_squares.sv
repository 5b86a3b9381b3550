// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Sum of the squares of a token's words.
//
// Contract: sum = the sum of x^2 over all words of the beats of a token. words enter WAIT cycles
// before valid and first, which belong to their beat, with WAIT = 1 (LANES = 1) or LANES + 1; last
// is valid's of the token's last beat a cycle later. sum stays until the next token's.
// Throughput and latency: a beat per cycle; WAIT + 2 cycles. A DSP per lane, in a chain if LANES > 1.
// Reference: a sum.
`default_nettype none

module norm_squares #(
    parameter int unsigned LANES     = 1,   // words of a beat
    parameter int unsigned WORD_BITS = 18,  // bits of a word
    parameter int unsigned SUM_BITS  = 43   // bits of sum, unsigned
) (
    input wire logic clk,

    input wire logic [LANES*WORD_BITS-1:0] words,
    input wire logic                       valid,
    input wire logic                       first,
    input wire logic                       last,

    output logic [SUM_BITS-1:0] sum
);

  localparam int unsigned BEAT_BITS = 2 * WORD_BITS + $clog2(LANES);

  logic signed [BEAT_BITS-1:0] squares;  // of a beat
  logic signed [SUM_BITS:0] running;

  if (LANES == 1) begin : gen_one
    wire signed [WORD_BITS-1:0] x = words;
    always_ff @(posedge clk) squares <= x * x;
  end else begin : gen_chain
    logic signed [BEAT_BITS-1:0] chain[LANES];
    for (genvar lane = 0; lane < LANES; lane++) begin : gen_lane
      // lane i enters the chain i cycles late, when the sum of those before it gets there
      logic signed [WORD_BITS-1:0] delayed[lane+1];
      logic signed [2*WORD_BITS-1:0] square;
      assign delayed[0] = words[lane*WORD_BITS+:WORD_BITS];
      for (genvar i = 0; i < lane; i++) begin : gen_delay
        always_ff @(posedge clk) delayed[i+1] <= delayed[i];
      end
      always_ff @(posedge clk) square <= delayed[lane] * delayed[lane];
      if (lane == 0) begin : gen_head
        always_ff @(posedge clk) chain[lane] <= BEAT_BITS'(square);
      end else begin : gen_add
        always_ff @(posedge clk) chain[lane] <= BEAT_BITS'(square) + chain[lane-1];
      end
    end
    assign squares = chain[LANES-1];
  end

  always_ff @(posedge clk) begin
    if (valid) running <= (first ? '0 : running) + (SUM_BITS + 1)'(squares);
    if (last) sum <= SUM_BITS'(running);
  end

endmodule

`default_nettype wire
