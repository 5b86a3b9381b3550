// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Whose turn it is, one after the other.
//
// Contract: turn has one of COUNT bits set, bit 0 after a reset; a cycle with step moves on to the
// next, after the last to bit 0 again.
// Throughput and latency: a step per cycle; turn is a register.
// Reference: a counter modulo COUNT.
`default_nettype none

module mvu_turn #(
    parameter int unsigned COUNT = 2  // >= 1
) (
    input  wire logic             clk,
    input  wire logic             rst_n,
    input  wire logic             step,
    output wire logic [COUNT-1:0] turn
);

  if (COUNT == 1) begin : gen_single
    wire unused = &{clk, rst_n, step};

    assign turn = 1'b1;
  end else begin : gen_ring
    logic [COUNT-1:0] ring;

    assign turn = ring;

    always_ff @(posedge clk) begin
      if (step) ring <= {ring[COUNT-2:0], ring[COUNT-1]};
      if (!rst_n) ring <= COUNT'(1);
    end
  end

endmodule

`default_nettype wire
