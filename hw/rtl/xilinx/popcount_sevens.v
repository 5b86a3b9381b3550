// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// hw/rtl/popcount_sevens.sv in two LUT6_2. INIT of position 0: O5 is the parity of I0 to I4, and O6,
// which is O5 where I5 = 0, that of all six. Position 1: with five = ones in I0 to I4, O6 (I5 = 1)
// is bit 1 of five, O5 bit 2.
`default_nettype none

module popcount_sevens (
    input  wire [5:0] bits,
    output wire [1:0] select,
    output wire [1:0] data
);

  LUT6_2 #(
      .INIT(64'h6996_9669_9669_6996)
  ) u_low (
      .I0(bits[0]),
      .I1(bits[1]),
      .I2(bits[2]),
      .I3(bits[3]),
      .I4(bits[4]),
      .I5(bits[5]),
      .O5(data[0]),
      .O6(select[0])
  );

  LUT6_2 #(
      .INIT(64'h177e_7ee8_e880_8000)
  ) u_high (
      .I0(bits[0]),
      .I1(bits[1]),
      .I2(bits[2]),
      .I3(bits[3]),
      .I4(bits[4]),
      .I5(1'b1),
      .O5(data[1]),
      .O6(select[1])
  );

endmodule

`default_nettype wire
