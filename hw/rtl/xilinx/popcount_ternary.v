// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// hw/rtl/popcount_ternary.sv in one LUT6_2. INIT with z = I2 | I3: O6 (I5 = 1) is I0 ^ I1 ^ z ^ I4,
// O5 the majority of I0, I1 and z.
`default_nettype none

module popcount_ternary (
    input  wire x,
    input  wire y,
    input  wire z0,
    input  wire z1,
    input  wire below,
    output wire select,
    output wire above
);

  LUT6_2 #(
      .INIT(64'h6669_9996_eee8_eee8)
  ) u_lut (
      .I0(x),
      .I1(y),
      .I2(z0),
      .I3(z1),
      .I4(below),
      .I5(1'b1),
      .O5(above),
      .O6(select)
  );

endmodule

`default_nettype wire
