// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// hw/rtl/popcount_majority.sv in one LUT6. INIT[i] is the majority for {activation, weight} = i.
`default_nettype none

module popcount_majority (
    input  wire [2:0] weight,
    input  wire [2:0] activation,
    output wire       majority
);

  LUT6 #(
      .INIT(64'hd4e8_71b2_4d8e_172b)
  ) u_lut (
      .I0(weight[0]),
      .I1(weight[1]),
      .I2(weight[2]),
      .I3(activation[0]),
      .I4(activation[1]),
      .I5(activation[2]),
      .O(majority)
  );

endmodule

`default_nettype wire
