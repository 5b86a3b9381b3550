// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Carry chain of four positions. CARRY4 also starts an UltraScale+ chain, as half a CARRY8.
`default_nettype none

module popcount_carry (
    input  wire       carry_in,
    input  wire       start,
    input  wire [3:0] select,
    input  wire [3:0] data,
    output wire [3:0] sum,
    output wire [3:0] carry
);

  CARRY4 u_carry (
      .CI(carry_in),
      .CYINIT(start),
      .S(select),
      .DI(data),
      .O(sum),
      .CO(carry)
  );

endmodule

`default_nettype wire
