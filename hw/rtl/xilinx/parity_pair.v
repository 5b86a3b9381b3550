// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// hw/rtl/parity_pair.sv in one LUT6_2. INIT: O6 (I5 = 1) is the parity of I0 to I4, O5 of I0 to I2.
`default_nettype none

module parity_pair (
    input  wire [4:0] bits,
    output wire       low,
    output wire       high
);

  LUT6_2 #(
      .INIT(64'h9669_6996_9696_9696)
  ) u_lut (
      .I0(bits[0]),
      .I1(bits[1]),
      .I2(bits[2]),
      .I3(bits[3]),
      .I4(bits[4]),
      .I5(1'b1),
      .O5(low),
      .O6(high)
  );

endmodule

`default_nettype wire
