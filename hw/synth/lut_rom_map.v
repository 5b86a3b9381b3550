// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// LUTs of a memory of constants (lut_rom.txt), for techmap of Yosys.

module \$__LUT_ROM_ (...);
  parameter OPTION_ABITS = 6;
  parameter INIT = 0;
  parameter BITS_USED = 0;  // which yosys gives too

  input [OPTION_ABITS-1:0] PORT_R_ADDR;
  output [(OPTION_ABITS == 5 ? 1 : 0):0] PORT_R_RD_DATA;

  // Word a of the two bits lies in INIT[2a+1:2a].
  function [31:0] column(input integer bit_index);
    integer a;
    for (a = 0; a < 32; a = a + 1) column[a] = INIT[2*a+bit_index];
  endfunction

  generate
    if (OPTION_ABITS == 5) begin
      LUT6_2 #(
          .INIT({column(1), column(0)})
      ) rom (
          .O6(PORT_R_RD_DATA[1]),
          .O5(PORT_R_RD_DATA[0]),
          .I0(PORT_R_ADDR[0]),
          .I1(PORT_R_ADDR[1]),
          .I2(PORT_R_ADDR[2]),
          .I3(PORT_R_ADDR[3]),
          .I4(PORT_R_ADDR[4]),
          .I5(1'b1)
      );
    end else begin
      localparam ROWS = 1 << (OPTION_ABITS - 6);
      wire [ROWS-1:0] row;
      genvar i;
      for (i = 0; i < ROWS; i = i + 1) begin
        LUT6 #(
            .INIT(INIT[64*i+:64])
        ) rom (
            .O (row[i]),
            .I0(PORT_R_ADDR[0]),
            .I1(PORT_R_ADDR[1]),
            .I2(PORT_R_ADDR[2]),
            .I3(PORT_R_ADDR[3]),
            .I4(PORT_R_ADDR[4]),
            .I5(PORT_R_ADDR[5])
        );
      end
      if (ROWS == 1) begin
        assign PORT_R_RD_DATA = row;
      end else if (ROWS == 2) begin
        MUXF7 choose (.O(PORT_R_RD_DATA), .I0(row[0]), .I1(row[1]), .S(PORT_R_ADDR[6]));
      end else begin
        wire [1:0] half;
        MUXF7 low (.O(half[0]), .I0(row[0]), .I1(row[1]), .S(PORT_R_ADDR[6]));
        MUXF7 high (.O(half[1]), .I0(row[2]), .I1(row[3]), .S(PORT_R_ADDR[6]));
        MUXF8 choose (.O(PORT_R_RD_DATA), .I0(half[0]), .I1(half[1]), .S(PORT_R_ADDR[7]));
      end
    end
  endgenerate
endmodule
