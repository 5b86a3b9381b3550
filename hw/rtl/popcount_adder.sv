// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Adder of three rows and two bits: one LUT6_2 per column on one carry chain.
//
// Contract: sum = x + y + (z0 | z1) + ones[0] + ones[1], modulo 2**WIDTH. Where x and y have
//   nothing in the highest column, {carry, sum} is exact for z0 = z1 = 0.
// Throughput and latency: combinational.
// Reference: itself.
`default_nettype none

module popcount_adder #(
    parameter int unsigned WIDTH = 8  // columns, >= 1
) (
    input  wire logic [WIDTH-1:0] x,
    input  wire logic [WIDTH-1:0] y,
    input  wire logic [WIDTH-1:0] z0,
    input  wire logic [WIDTH-1:0] z1,
    input  wire logic [      1:0] ones,
    output wire logic [WIDTH-1:0] sum,
    output wire logic             carry
);

  localparam int unsigned CHAIN = popcount_pkg::CHAIN;
  localparam int unsigned CHAINS = (WIDTH + CHAIN - 1) / CHAIN;

  logic [WIDTH-1:0] above;
  logic [CHAINS*CHAIN-1:0] select, data, sums;
  logic [CHAINS*CHAIN:0] carries;

  for (genvar i = 0; i < WIDTH; i++) begin : gen_columns
    assign data[i] = i == 0 ? ones[0] : above[i==0?0 : i-1];
    popcount_ternary u_cell (
        .x(x[i]),
        .y(y[i]),
        .z0(z0[i]),
        .z1(z1[i]),
        .below(data[i]),
        .select(select[i]),
        .above(above[i])
    );
  end
  for (genvar i = WIDTH; i < CHAINS * CHAIN; i++) begin : gen_padding
    assign select[i] = 1'b0;
    assign data[i]   = 1'b0;
  end

  assign carries[0] = 1'b0;
  for (genvar i = 0; i < CHAINS; i++) begin : gen_chains
    popcount_carry u_carry (
        .carry_in(carries[CHAIN*i]),
        .start(i == 0 ? ones[1] : 1'b0),
        .select(select[CHAIN*i+:CHAIN]),
        .data(data[CHAIN*i+:CHAIN]),
        .sum(sums[CHAIN*i+:CHAIN]),
        .carry(carries[CHAIN*i+1+:CHAIN])
    );
  end

  assign sum   = sums[WIDTH-1:0];
  assign carry = carries[WIDTH];

  logic unused;
  assign unused = &{1'b0, sums, carries, above};

endmodule

`default_nettype wire
