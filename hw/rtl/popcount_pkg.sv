// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Layout of the parity code, and the plan of the adders that count it (hw/kernels/popcount.py).
//
// Contract: n bits make a forest with `roots(n)` roots in which every knot has three children, one
// of them a bit of its own. The parity of a knot stands in the place of that bit, so the code has n
// bits. Knots come in pairs: knot 2j+1 has the links 3j and 3j+1, knot 2j has knot 2j+1 and the
// link 3j+2:
//   code[2j+1] = bit[2j+1] ^ code[link(n, 3j)] ^ code[link(n, 3j + 1)]
//   code[2j]   = bit[2j] ^ code[2j+1] ^ code[link(n, 3j + 2)]
//   code[i]    = bit[i] for i >= knots(n), the leaves.
// The roots are code[root(n, r)]. What is to be counted is one bit of weight 1 per root and one
// majority of weight 2 per knot. They make a heap: column c holds the bits of weight 2**c. Stages
// of adders, with a register behind each, lower it until column 0 has at most four bits and the
// others two; each stage is a list of slices, one CARRY4 with its LUTs: SEVENS: seven bits of a
//   column to one bit in each of three, two LUTs; TERNARY: one to four columns, one LUT each: three
//   bits of each to one, and two more in the lowest (on the inputs of carry and majority); two bits
//   come out above the highest; THREES: three bits of a column to one and one above, one LUT.
// A LUT of the first two takes two bits off the count, one of the last a single bit.
`default_nettype none

package popcount_pkg;

  function automatic int unsigned roots(input int unsigned n);
    return (n - 1) % 4 + 1;
  endfunction

  function automatic int unsigned knots(input int unsigned n);
    return (n - roots(n)) / 2;
  endfunction

  // Roots and links, one after the other, go to the even knots and then to the leaves.
  function automatic int unsigned root(input int unsigned n, input int unsigned r);
    return r < knots(n) / 2 ? 2 * r : r + knots(n) / 2;
  endfunction

  function automatic int unsigned link(input int unsigned n, input int unsigned t);
    return root(n, roots(n) + t);
  endfunction

  localparam int unsigned COLUMNS = 16;
  localparam int unsigned CHAIN = 4;  // positions of a CARRY4

  typedef bit [COLUMNS-1:0][31:0] heap_t;  // bits in each column

  typedef struct packed {
    heap_t left;  // bits of this stage that no slice has taken yet
    heap_t made;  // bits that slices gave to the next stage
  } stage_t;

  localparam bit [31:0] NONE = 0;
  localparam bit [31:0] SEVENS = 1;
  localparam bit [31:0] TERNARY = 2;
  localparam bit [31:0] THREES = 3;

  typedef struct packed {
    bit [31:0] kind;
    bit [31:0] column;  // the lowest
    bit [31:0] cells;   // LUTs: 2 (SEVENS), 1 to CHAIN (TERNARY), 1 (THREES)
  } slice_t;

  // Threes only where a column gets no lower by itself and all below it are done.
  function automatic slice_t next_slice(input stage_t stage);
    slice_t slice;
    bit below_done;
    slice = '0;
    below_done = 1'b1;
    for (int unsigned c = 1; c + CHAIN < COLUMNS && slice.kind == NONE; c++) begin
      if (stage.left[c] >= 7) begin
        slice = '{SEVENS, c, 32'd2};
      end else if (stage.left[c] >= 5) begin
        slice = '{TERNARY, c, 32'd1};
        for (int unsigned i = 1; i < CHAIN; i++) begin
          if (slice.cells == i && stage.left[c+i] >= 3 && stage.left[c+i] < 7) slice.cells = i + 1;
        end
      end else if (stage.left[c] >= 3 && stage.made[c] == 0 && below_done) begin
        slice = '{THREES, c, 32'd1};
      end
      if (stage.left[c] + stage.made[c] > 2) below_done = 1'b0;
    end
    return slice;
  endfunction

  // Bits that a slice takes from its lowest column, and from each further one.
  function automatic int unsigned lowest(input slice_t slice);
    return slice.kind == SEVENS ? 7 : slice.kind == TERNARY ? 5 : 3;
  endfunction

  function automatic int unsigned further(input slice_t slice);
    return slice.kind == TERNARY ? 3 : 0;
  endfunction

  // Bits that a slice gives above those of its cells.
  function automatic int unsigned above(input slice_t slice);
    return slice.kind == TERNARY ? 2 : 1;
  endfunction

  function automatic stage_t apply(input stage_t start, input slice_t slice);
    stage_t stage;
    stage = start;
    for (int unsigned i = 0; i < CHAIN; i++) begin
      if (i < slice.cells) begin
        stage.left[slice.column+i] -= i == 0 ? lowest(slice) : further(slice);
        stage.made[slice.column+i]++;
      end
    end
    stage.made[slice.column+slice.cells] += above(slice);
    return stage;
  endfunction

  function automatic heap_t next_heap(input stage_t stage);
    heap_t heap;
    for (int unsigned c = 0; c < COLUMNS; c++) heap[c] = stage.left[c] + stage.made[c];
    return heap;
  endfunction

  // Stage `t` after its first `s` slices.
  function automatic stage_t stage_after(input int unsigned n, input int unsigned t,
                                         input int unsigned s);
    stage_t stage;
    slice_t slice;
    stage = '0;
    stage.left[0] = roots(n);
    stage.left[1] = knots(n);
    for (int unsigned i = 0; i < t; i++) begin
      slice = next_slice(stage);
      while (slice.kind != NONE) begin
        stage = apply(stage, slice);
        slice = next_slice(stage);
      end
      stage.left = next_heap(stage);
      stage.made = '0;
    end
    for (int unsigned i = 0; i < s; i++) stage = apply(stage, next_slice(stage));
    return stage;
  endfunction

  function automatic int unsigned stages(input int unsigned n);
    int unsigned t;
    slice_t slice;
    t = 0;
    slice = next_slice(stage_after(n, 0, 0));
    while (slice.kind != NONE) begin
      t++;
      slice = next_slice(stage_after(n, t, 0));
    end
    return t;
  endfunction

  function automatic int unsigned slices(input int unsigned n, input int unsigned t);
    int unsigned s;
    stage_t stage;
    slice_t slice;
    s = 0;
    stage = stage_after(n, t, 0);
    slice = next_slice(stage);
    while (slice.kind != NONE) begin
      s++;
      stage = apply(stage, slice);
      slice = next_slice(stage);
    end
    return s;
  endfunction

  // The bits before stage `t` lie in one word, column after column.
  function automatic heap_t heap_of(input int unsigned n, input int unsigned t);
    stage_t stage;
    stage = stage_after(n, t, 0);
    return stage.left;
  endfunction

  function automatic int unsigned offset(input heap_t heap, input int unsigned column);
    int unsigned sum;
    sum = 0;
    for (int unsigned c = 0; c < COLUMNS; c++) if (c < column) sum += heap[c];
    return sum;
  endfunction

  // Bits that a slice takes, lowest column first, and gives: a sum bit per cell, then those above.
  function automatic int unsigned takes(input slice_t slice);
    return lowest(slice) + further(slice) * (slice.cells - 1);
  endfunction

  function automatic int unsigned gives(input slice_t slice);
    return slice.cells + above(slice);
  endfunction

  // Where bit i of those that slice `s` of stage `t` takes lies in the stage's word ...
  function automatic int unsigned take_index(input int unsigned n, input int unsigned t,
                                             input int unsigned s, input int unsigned i);
    stage_t stage;
    slice_t slice;
    heap_t heap;
    int unsigned column, place;
    stage = stage_after(n, t, s);
    slice = next_slice(stage);
    heap = heap_of(n, t);
    column = slice.column;
    place = i;
    if (i >= lowest(slice)) begin
      column = slice.column + 1 + (i - lowest(slice)) / 3;
      place = (i - lowest(slice)) % 3;
    end
    return offset(heap, column) + heap[column] - stage.left[column] + place;
  endfunction

  // ... and bit i of those that it gives in the next stage's.
  function automatic int unsigned give_index(input int unsigned n, input int unsigned t,
                                             input int unsigned s, input int unsigned i);
    stage_t stage;
    slice_t slice;
    int unsigned column, place;
    stage = stage_after(n, t, s);
    slice = next_slice(stage);
    column = slice.column + (i < slice.cells ? i : slice.cells);
    place = i < slice.cells ? 0 : i - slice.cells;
    return offset(heap_of(n, t + 1), column) + stage.made[column] + place;
  endfunction

  // Columns of the heap that the last stage leaves.
  function automatic int unsigned columns(input int unsigned n);
    heap_t heap;
    int unsigned used;
    heap = heap_of(n, stages(n));
    used = 0;
    for (int unsigned c = 0; c < COLUMNS; c++) if (heap[c] != 0) used = c + 1;
    return used;
  endfunction

  // Enabled clock edges from operands to the count or the accumulator.
  function automatic int unsigned lane_latency(input int unsigned simd);
    return stages(simd) + 2;
  endfunction

endpackage

`default_nettype wire
