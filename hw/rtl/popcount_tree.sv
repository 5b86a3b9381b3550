// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Matches of parity-coded operands as two rows of bits and two more of weight 1.
//
// Contract: ones[0] + ones[1] + row0 + row1 = number of i with weight bit i == activation bit i,
//   where the codes are the parity codes of the bits (popcount_pkg.sv).
// Throughput and latency: a beat per enabled clock edge; popcount_pkg::stages(N) + 1 enabled edges,
//   one LUT and one carry chain of at most four positions each.
// LUTs: N/2 + N/4, less what may stay in the rows: a LUT6 per knot of the code, which stands for two
//   bits and leaves one of weight 2; a LUT of an adder takes two bits off (docs/popcount.md).
// Reference: hw.kernels.popcount.matches.
`default_nettype none

module popcount_tree #(
    parameter  int unsigned N    = 64,                         // bits, >= 1
    localparam int unsigned ROWS = popcount_pkg::columns(N)    // bits of a row
) (
    input wire logic clk,
    input wire logic enable,

    input wire logic [N-1:0] weight_code,
    input wire logic [N-1:0] activation_code,

    output wire logic [     1:0] ones,
    output wire logic [ROWS-1:0] row0,
    output wire logic [ROWS-1:0] row1
);

  import popcount_pkg::*;

  localparam int unsigned STAGES = stages(N);

  for (genvar t = 0; t <= STAGES; t++) begin : gen_stage
    localparam int unsigned BITS = offset(heap_of(N, t), COLUMNS);
    logic [BITS-1:0] next;
    // A bit that waits must not become a shift register, which takes a LUT.
    (* keep, shreg_extract = "no" *) logic [BITS-1:0] heap;

    always_ff @(posedge clk) if (enable) heap <= next;

    if (t == 0) begin : gen_leaves
      popcount_leaves #(
          .N(N)
      ) u_leaves (
          .weight_code,
          .activation_code,
          .heap(next)
      );
    end else begin : gen_adders
      popcount_stage #(
          .N(N),
          .STAGE(t - 1)
      ) u_stage (
          .heap(gen_stage[t-1].heap),
          .next
      );
    end
  end

  localparam heap_t HEAP = heap_of(N, STAGES);
  for (genvar c = 0; c < ROWS; c++) begin : gen_rows
    localparam int unsigned AT = offset(HEAP, c);
    if (HEAP[c] > 0) begin : gen_row0
      assign row0[c] = gen_stage[STAGES].heap[AT];
    end else begin : gen_no_row0
      assign row0[c] = 1'b0;
    end
    if (HEAP[c] > 1) begin : gen_row1
      assign row1[c] = gen_stage[STAGES].heap[AT+1];
    end else begin : gen_no_row1
      assign row1[c] = 1'b0;
    end
  end
  for (genvar i = 0; i < 2; i++) begin : gen_ones
    if (HEAP[0] > i + 2) begin : gen_one
      assign ones[i] = gen_stage[STAGES].heap[i+2];
    end else begin : gen_none
      assign ones[i] = 1'b0;
    end
  end

endmodule

`default_nettype wire
