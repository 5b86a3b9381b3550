// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Counts the beats of a token.
//
// Contract: beat is 0 after a reset and becomes (beat + 1) mod BEATS in a cycle with enable; last is
// beat == BEATS - 1.
// Throughput and latency: a beat per cycle; none.
// Reference: a remainder.
`default_nettype none

module beat_counter #(
    parameter  int unsigned BEATS     = 256,                            // beats of a token, >= 1
    localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1
) (
    input  wire logic                 clk,
    input  wire logic                 rst_n,
    input  wire logic                 enable,
    output      logic [BEAT_BITS-1:0] beat,
    output wire logic                 last
);

  localparam bit WRAPS = BEATS == 1 << BEAT_BITS;  // by itself, without a comparison

  assign last = beat == BEAT_BITS'(BEATS - 1);

  always_ff @(posedge clk) begin
    if (enable) beat <= last && !WRAPS ? '0 : beat + BEAT_BITS'(1);
    if (!rst_n) beat <= '0;
  end

endmodule

`default_nettype wire
