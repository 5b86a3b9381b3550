// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Layout of the parity code, and the latency of what counts it (hw/kernels/popcount.py).
//
// Contract: n bits make a forest with `roots(n)` roots in which every knot has three children, one
// of them a bit of its own. The parity of a knot stands in the place of that bit, so the code has n
// bits. Knots come in pairs: knot 2j+1 has the links 3j and 3j+1, knot 2j has knot 2j+1 and the
// link 3j+2:
//   code[2j+1] = bit[2j+1] ^ code[link(n, 3j)] ^ code[link(n, 3j + 1)]
//   code[2j]   = bit[2j] ^ code[2j+1] ^ code[link(n, 3j + 2)]
//   code[i]    = bit[i] for i >= knots(n), the leaves.
// The roots are code[root(n, r)].
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

  // Enabled clock edges from operands to the accumulator.
  function automatic int unsigned lane_latency(input int unsigned simd);
    int unsigned stages, left;
    stages = 2;
    left = knots(simd);
    while (left > 2) begin
      left = (left * 3 + 6) / 7;
      stages++;
    end
    return stages;
  endfunction

endpackage

`default_nettype wire
