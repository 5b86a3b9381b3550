// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// The load bus: what fills the spare bank of every memory of constants.
//
// A bus for beats of LOAD_BITS bits is, from its highest bit down: the bank in use, valid, the
// beat's index in its image, the beat. A memory takes WIDTH-bit words in ceil(WIDTH / LOAD_BITS)
// beats each, lowest bits first, word 0 first, from index LOAD_BASE on, into the bank not in use;
// it never makes the bus wait. The bank in use changes only while the bus is idle and the reader
// of the memory is in reset. A memory of a single bank that is loaded (BANKS 0) is filled while its
// reader waits. Where a kernel has constants that stay (BANKS 1), its bus is one bit, of no meaning.
`default_nettype none

package load_pkg;

  localparam int unsigned INDEX_BITS = 24;

  function automatic int unsigned bus_bits(input int unsigned banks, input int unsigned load_bits);
    return banks != 1 ? load_bits + INDEX_BITS + 2 : 1;
  endfunction

  // Beats that fill a memory.
  function automatic int unsigned beats(input int unsigned width, input int unsigned depth,
                                        input int unsigned load_bits);
    return (width + load_bits - 1) / load_bits * depth;
  endfunction

endpackage

`default_nettype wire
