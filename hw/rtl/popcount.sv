// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Number of matches of two parity-coded words: XNOR and popcount.
//
// Contract: count = number of i with weight bit i == activation bit i, where the codes are the
//   parity codes of the bits (popcount_pkg.sv). The dot product of the bipolar operands is 2 *
//   count - N.
// Throughput and latency: a beat per enabled clock edge; popcount_pkg::lane_latency(N) enabled
//   edges.
// LUTs: about 0.76 per bit. With R = 1 to 4 roots of the code, (N - R) / 2 majorities, one LUT6 for
//   two inputs (three pairs of bits tell two of the three bits of their sum, the parity being a bit
//   of the code itself); R / 2 for the roots; and (N - R) / 4 for the adders, carry chains that take
//   two bits off the count per LUT: 0.75 N and what small columns waste. docs/popcount.md has more.
// Reference: hw.kernels.popcount.matches.
`default_nettype none

module popcount #(
    parameter  int unsigned N           = 64,             // bits, >= 1
    parameter  int unsigned BEHAVIOURAL = 0,              // 1: plain description, the reference
    localparam int unsigned COUNT_BITS  = $clog2(N + 1)
) (
    input wire logic clk,
    input wire logic enable,  // every register advances only when 1

    input wire logic [N-1:0] weight_code,
    input wire logic [N-1:0] activation_code,

    output logic [COUNT_BITS-1:0] count
);

  if (N < 1) begin : gen_check_n
    $fatal(1, "popcount: N must be at least 1, got %0d", N);
  end

  if (BEHAVIOURAL != 0) begin : gen_behavioural
    popcount_reference #(
        .N(N),
        .LATENCY(popcount_pkg::lane_latency(N))
    ) u_reference (
        .clk,
        .enable,
        .weight_code,
        .activation_code,
        .count
    );
  end else begin : gen_structural
    localparam int unsigned ROWS = popcount_pkg::columns(N);
    // One more column takes what the rows carry out of the others; beyond it is one carry.
    localparam int unsigned WIDTH = COUNT_BITS < ROWS + 1 ? COUNT_BITS : ROWS + 1;
    logic [1:0] ones;
    logic [ROWS-1:0] row0, row1;
    logic [WIDTH-1:0] sum;
    logic carry;

    popcount_tree #(
        .N(N)
    ) u_tree (
        .clk,
        .enable,
        .weight_code,
        .activation_code,
        .ones,
        .row0,
        .row1
    );

    popcount_adder #(
        .WIDTH(WIDTH)
    ) u_adder (
        .x(WIDTH'(row0)),
        .y(WIDTH'(row1)),
        .z0('0),
        .z1('0),
        .ones,
        .sum,
        .carry
    );

    always_ff @(posedge clk) if (enable) count <= COUNT_BITS'({carry, sum});
  end

endmodule

`default_nettype wire
