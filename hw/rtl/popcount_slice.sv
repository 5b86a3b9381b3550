// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// LUTs that lower a heap of bits, with the carry chain beside them: at most a CARRY4 and four LUTs.
//
// Contract: given = taken, as numbers. SEVENS takes seven bits of weight 1, TERNARY five of weight
//   1 and three of each higher weight up to 2**(CELLS-1), THREES three of weight 1. given[i] has
//   the weight 2**i for i < CELLS, the bits above it have the weight 2**CELLS.
// Throughput and latency: combinational; one LUT and one carry chain.
// Reference: itself.
`default_nettype none

module popcount_slice #(
    parameter int unsigned KIND = 1,   // popcount_pkg::SEVENS, TERNARY or THREES
    parameter int unsigned CELLS = 2,  // LUTs: 2 (SEVENS), 1 to 4 (TERNARY), 1 (THREES)
    parameter int unsigned TAKES = 7,  // bits taken
    parameter int unsigned GIVES = 3   // bits given
) (
    input  wire logic [TAKES-1:0] taken,
    output wire logic [GIVES-1:0] given
);

  localparam int unsigned CHAIN = popcount_pkg::CHAIN;

  if (KIND == popcount_pkg::THREES) begin : gen_threes
    popcount_ternary u_cell (
        .x(taken[0]),
        .y(taken[1]),
        .z0(taken[2]),
        .z1(1'b0),
        .below(1'b0),
        .select(given[0]),
        .above(given[1])
    );
  end else begin : gen_chain
    logic start, unused;
    logic [CHAIN-1:0] select, data, sum, carry;

    popcount_carry u_carry (
        .carry_in(1'b0),
        .start,
        .select,
        .data,
        .sum,
        .carry
    );
    assign unused = &{1'b0, sum, carry};
    assign given[CELLS-1:0] = sum[CELLS-1:0];
    assign given[GIVES-1] = carry[CELLS-1];
    if (CELLS < CHAIN) begin : gen_rest
      assign select[CHAIN-1:CELLS] = '0;
      assign data[CHAIN-1:CELLS] = '0;
    end

    if (KIND == popcount_pkg::SEVENS) begin : gen_sevens
      assign start = taken[6];
      popcount_sevens u_cells (
          .bits(taken[5:0]),
          .select(select[1:0]),
          .data(data[1:0])
      );
    end else begin : gen_ternary
      logic [CELLS-1:0] above;
      assign data[0] = taken[3];
      assign start = taken[4];
      assign given[CELLS] = above[CELLS-1];
      for (genvar i = 0; i < CELLS; i++) begin : gen_cells
        localparam int unsigned AT = i == 0 ? 0 : 2 + 3 * i;
        if (i > 0) begin : gen_below
          assign data[i] = above[i-1];
        end
        popcount_ternary u_cell (
            .x(taken[AT]),
            .y(taken[AT+1]),
            .z0(taken[AT+2]),
            .z1(1'b0),
            .below(data[i]),
            .select(select[i]),
            .above(above[i])
        );
      end
    end
  end

endmodule

`default_nettype wire
