// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Stands in for hw/rtl/attention_and_count.sv where only timing is looked for.
//
// Contract: any count will do; nothing waits for its value.
// Throughput and latency: as if it came in time.
// Reference: none.
`default_nettype none

module attention_and_count #(
    parameter int unsigned N = 64,  // bits, >= 1
    localparam int unsigned COUNT_BITS = $clog2(N + 1)
) (
    input wire logic clk,
    input wire logic enable,

    input  wire logic [         N-1:0] a,
    input  wire logic [         N-1:0] b,
    output wire logic [COUNT_BITS-1:0] count
);

  assign count = '0;

endmodule

`default_nettype wire
