// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A stage of adders of a count: lowers a heap of bits by the slices that popcount_pkg plans.
//
// Contract: next = heap, as the sum of their bits times their weights. The bits of column 0, weight
//   1, come first, then those of column 1, weight 2, ...: popcount_pkg::heap_of(N, STAGE) of them.
//   In each column of next the bits that slices give come before those that no slice took.
// Throughput and latency: combinational; one LUT and one carry chain of four positions.
// Reference: itself.
`default_nettype none

module popcount_stage #(
    parameter  int unsigned N     = 64,  // bits that the whole tree counts
    parameter  int unsigned STAGE = 0,   // number of stages before this one
    localparam int unsigned BITS  =
        popcount_pkg::offset(popcount_pkg::heap_of(N, STAGE), popcount_pkg::COLUMNS),
    localparam int unsigned NEXT_BITS =
        popcount_pkg::offset(popcount_pkg::heap_of(N, STAGE + 1), popcount_pkg::COLUMNS)
) (
    input  wire logic [     BITS-1:0] heap,
    output wire logic [NEXT_BITS-1:0] next
);

  import popcount_pkg::*;

  localparam int unsigned SLICES = slices(N, STAGE);

  for (genvar s = 0; s < SLICES; s++) begin : gen_slices
    localparam slice_t SLICE = next_slice(stage_after(N, STAGE, s));
    localparam int unsigned TAKES = takes(SLICE);
    localparam int unsigned GIVES = gives(SLICE);
    logic [TAKES-1:0] taken;
    logic [GIVES-1:0] given;
    for (genvar i = 0; i < TAKES; i++) begin : gen_taken
      localparam int unsigned AT = take_index(N, STAGE, s, i);
      assign taken[i] = heap[AT];
    end
    for (genvar i = 0; i < GIVES; i++) begin : gen_given
      localparam int unsigned AT = give_index(N, STAGE, s, i);
      assign next[AT] = given[i];
    end
    popcount_slice #(
        .KIND(SLICE.kind),
        .CELLS(SLICE.cells),
        .TAKES(TAKES),
        .GIVES(GIVES)
    ) u_slice (
        .taken,
        .given
    );
  end

  localparam heap_t HEAP = heap_of(N, STAGE);
  localparam heap_t NEXT = heap_of(N, STAGE + 1);
  localparam stage_t LAST = stage_after(N, STAGE, SLICES);
  for (genvar c = 0; c < COLUMNS; c++) begin : gen_columns
    localparam int unsigned WAITING = LAST.left[c];
    localparam int unsigned FROM = offset(HEAP, c) + HEAP[c] - WAITING;
    localparam int unsigned TO = offset(NEXT, c) + LAST.made[c];
    if (WAITING > 0) begin : gen_waiting
      assign next[TO+:WAITING] = heap[FROM+:WAITING];
    end
  end

endmodule

`default_nettype wire
