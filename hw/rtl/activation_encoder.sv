// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Parity code of a word of bits, made once for all lanes that count matches with it.
//
// Contract: code = parity code of bits (popcount_pkg.sv).
// Throughput and latency: combinational; about log3(N) LUTs deep, one LUT6_2 per four bits.
// Reference: hw.kernels.popcount.encode.
`default_nettype none

module activation_encoder #(
    parameter int unsigned N = 64  // bits, >= 1
) (
    input  wire logic [N-1:0] bits,
    output wire logic [N-1:0] code
);

  localparam int unsigned KNOTS = popcount_pkg::knots(N);

  if (N < 1) begin : gen_check_n
    $fatal(1, "activation_encoder: N must be at least 1, got %0d", N);
  end

  logic knot[N]  /* verilator split_var */;  // a knot depends on later ones, never on itself

  for (genvar i = 0; i < N; i++) begin : gen_code
    assign code[i] = knot[i];
  end

  for (genvar i = KNOTS; i < N; i++) begin : gen_leaves
    assign knot[i] = bits[i];
  end

  for (genvar j = 0; j < KNOTS / 2; j++) begin : gen_knots
    localparam int unsigned LEFT = popcount_pkg::link(N, 3 * j);
    localparam int unsigned RIGHT = popcount_pkg::link(N, 3 * j + 1);
    localparam int unsigned FAR = popcount_pkg::link(N, 3 * j + 2);
    parity_pair u_pair (
        .bits({knot[FAR], bits[2*j], knot[RIGHT], knot[LEFT], bits[2*j+1]}),
        .low (knot[2*j+1]),
        .high(knot[2*j])
    );
  end

endmodule

`default_nettype wire
