// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// hw/rtl/popcount_match.sv in one LUT6_2. INIT: O6 (I5 = 1) is I2 == I3, O5 is I0 == I1.
`default_nettype none

module popcount_match (
    input  wire [1:0] weight,
    input  wire [1:0] activation,
    output wire [1:0] match
);

  LUT6_2 #(
      .INIT(64'hf00f_f00f_9999_9999)
  ) u_lut (
      .I0(weight[0]),
      .I1(activation[0]),
      .I2(weight[1]),
      .I3(activation[1]),
      .I4(1'b0),
      .I5(1'b1),
      .O5(match[0]),
      .O6(match[1])
  );

endmodule

`default_nettype wire
