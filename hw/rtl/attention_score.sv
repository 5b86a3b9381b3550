// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Scores of the attention: matching bits of a query and of KEYS keys, in folds of SIMD bits.
//
// Contract: matches = over the folds since `first`, number of i with query bit i == key bit i, of
// each key; a score is 2 matches - HEAD_WIDTH. Both operands come as parity codes
// (popcount_pkg.sv). Registers advance only with `enable`.
// Throughput and latency: a fold per cycle; popcount_pkg::lane_latency(SIMD) enabled edges.
// Reference: hw.reference.run_layer (scores).
`default_nettype none

module attention_score #(
    parameter int unsigned HEAD_WIDTH = 64,  // bits of a key, >= 2
    parameter int unsigned KEYS = 1,         // keys at once, >= 1
    parameter int unsigned SIMD = 64,        // bits of a fold, divides HEAD_WIDTH
    localparam int unsigned COUNT_BITS = $clog2(HEAD_WIDTH + 1)
) (
    input wire logic clk,
    input wire logic enable,

    input  wire logic                       first,
    input  wire logic [           SIMD-1:0] query_code,
    input  wire logic [      KEYS*SIMD-1:0] key_code,
    output wire logic [KEYS*COUNT_BITS-1:0] match_count
);

  for (genvar l = 0; l < KEYS; l++) begin : gen_lanes
    binary_lane #(
        .SIMD    (SIMD),
        .ACC_BITS(COUNT_BITS)
    ) u_lane (
        .clk,
        .enable,
        .weight_code    (key_code[l*SIMD+:SIMD]),
        .activation_code(query_code),
        .first          (SIMD == HEAD_WIDTH || first),
        .initial_value  ('0),
        .accumulator    (match_count[l*COUNT_BITS+:COUNT_BITS])
    );
  end

endmodule

`default_nettype wire
