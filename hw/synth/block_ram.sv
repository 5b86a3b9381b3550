// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Behaviour of a 7-series block RAM (RAMB18E1, RAMB36E1) as far as Yosys uses it: one clock, no
// output registers, no cascades.
//
// Contract: DATA and PARITY are the content at the start, row 0 lowest. An address counts data bits.
// A port of 9 * n bits has 8 * n of data and n of parity; one of 1, 2 or 4 bits has no parity. In
// mode SDP port A reads and port B writes, and the widest words use the data of both.
// What the outputs hold at the start is left open.
`default_nettype none

module block_ram #(
    parameter int unsigned ROWS = 64,  // of 256 bits: 64 or 128
    parameter bit [ROWS*256-1:0] DATA = '0,
    parameter bit [ROWS*32-1:0] PARITY = '0,
    parameter int READ_WIDTH_A = 0,
    parameter int READ_WIDTH_B = 0,
    parameter int WRITE_WIDTH_A = 0,
    parameter int WRITE_WIDTH_B = 0,
    parameter WRITE_MODE_A = "WRITE_FIRST",
    parameter WRITE_MODE_B = "WRITE_FIRST",
    parameter bit [ROWS/4+ROWS/32-1:0] SRVAL_A = '0,
    parameter bit [ROWS/4+ROWS/32-1:0] SRVAL_B = '0,
    parameter bit [ROWS/4+ROWS/32-1:0] INIT_A = '0,
    parameter bit [ROWS/4+ROWS/32-1:0] INIT_B = '0,
    parameter RAM_MODE = "TDP",
    parameter bit OTHERS = 0,  // something is used that is not described here
    localparam int LANES = int'(ROWS / 32),  // bytes of a port: 2 or 4
    localparam int BIT_ADDRESS = ROWS == 64 ? 14 : 15
) (
    input wire logic CLKARDCLK,
    input wire logic CLKBWRCLK,
    input wire logic ENARDEN,
    input wire logic ENBWREN,
    input wire logic RSTRAMARSTRAM,
    input wire logic RSTRAMB,
    input wire logic [(ROWS == 64 ? 14 : 16)-1:0] ADDRARDADDR,
    input wire logic [(ROWS == 64 ? 14 : 16)-1:0] ADDRBWRADDR,
    input wire logic [LANES*8-1:0] DIADI,
    input wire logic [LANES*8-1:0] DIBDI,
    input wire logic [LANES-1:0] DIPADIP,
    input wire logic [LANES-1:0] DIPBDIP,
    input wire logic [LANES-1:0] WEA,
    input wire logic [2*LANES-1:0] WEBWE,
    output wire logic [LANES*8-1:0] DOADO,
    output wire logic [LANES*8-1:0] DOBDO,
    output wire logic [LANES-1:0] DOPADOP,
    output wire logic [LANES-1:0] DOPBDOP
);

  if (OTHERS) begin : gen_check_others
    $fatal(1, "block_ram: output registers and cascades are not described");
  end

  localparam bit SDP = RAM_MODE == "SDP";

  typedef struct packed {
    logic [7:0]  parity;
    logic [63:0] data;
  } word_t;

  logic [ROWS*256-1:0] data;
  logic [ROWS*32-1:0] parity;
  word_t out_a, out_b;

  initial begin
    data   = DATA;
    parity = PARITY;
  end

  function automatic int data_bits(input int width);
    return width >= 9 ? width / 9 * 8 : width;
  endfunction

  // The data bits of an address that lie inside a word.
  function automatic int base(input int width, input logic [BIT_ADDRESS-1:0] address);
    return int'(address) / data_bits(width) * data_bits(width);
  endfunction

  function automatic word_t read(input int width, input logic [BIT_ADDRESS-1:0] address);
    word_t word;
    word = '0;
    for (int i = 0; i < data_bits(width); i++) word.data[i] = data[base(width, address)+i];
    if (width >= 9)
      for (int i = 0; i < width / 9; i++) word.parity[i] = parity[base(width, address)/8+i];
    return word;
  endfunction

  task automatic write(input int width, input logic [BIT_ADDRESS-1:0] address, input word_t word,
                       input logic [7:0] enable);
    for (int i = 0; i < data_bits(width); i++)
      if (enable[i/8]) data[base(width, address)+i] = word.data[i];
    if (width >= 9)
      for (int i = 0; i < width / 9; i++)
        if (enable[i]) parity[base(width, address)/8+i] = word.parity[i];
  endtask

  // Values of an output: of port A or B alone, or of both as one word.
  function automatic word_t joined(input logic [LANES*9-1:0] high, input logic [LANES*9-1:0] low);
    return '{
        data: 64'({high[LANES*8-1:0], low[LANES*8-1:0]}),
        parity: 8'({high[LANES*9-1:LANES*8], low[LANES*9-1:LANES*8]})
    };
  endfunction

  // Yosys uses one clock for both ports. A read of a word that the other port writes in the same
  // cycle gives the old word here; the hardware promises nothing unless the writer reads first.
  word_t in_a, in_b, old_a, old_b;
  assign in_a = '{data: 64'(DIADI), parity: 8'(DIPADIP)};
  assign in_b = SDP && WRITE_WIDTH_B == LANES * 18 ?
      '{data: 64'({DIBDI, DIADI}), parity: 8'({DIPBDIP, DIPADIP})} :
      '{data: 64'(DIBDI), parity: 8'(DIPBDIP)};

  always @(posedge CLKARDCLK) begin
    old_a = READ_WIDTH_A != 0 ? read(READ_WIDTH_A, ADDRARDADDR[BIT_ADDRESS-1:0]) : '0;
    old_b = READ_WIDTH_B != 0 ? read(READ_WIDTH_B, ADDRBWRADDR[BIT_ADDRESS-1:0]) : '0;
    if (ENARDEN && WRITE_WIDTH_A != 0)
      write(WRITE_WIDTH_A, ADDRARDADDR[BIT_ADDRESS-1:0], in_a, 8'(WEA));
    if (ENBWREN && WRITE_WIDTH_B != 0)
      write(WRITE_WIDTH_B, ADDRBWRADDR[BIT_ADDRESS-1:0], in_b, 8'(WEBWE));
    if (ENARDEN && READ_WIDTH_A != 0) begin
      if (RSTRAMARSTRAM) out_a <= joined(SRVAL_B, SRVAL_A);
      else if (SDP || WRITE_WIDTH_A == 0 || WEA == 0 || WRITE_MODE_A == "READ_FIRST") out_a <= old_a;
      else if (WRITE_MODE_A == "WRITE_FIRST")
        out_a <= read(READ_WIDTH_A, ADDRARDADDR[BIT_ADDRESS-1:0]);
    end
    if (ENBWREN && READ_WIDTH_B != 0) begin
      if (RSTRAMB) out_b <= joined('0, SRVAL_B);
      else if (WRITE_WIDTH_B == 0 || WEBWE == 0 || WRITE_MODE_B == "READ_FIRST") out_b <= old_b;
      else if (WRITE_MODE_B == "WRITE_FIRST")
        out_b <= read(READ_WIDTH_B, ADDRBWRADDR[BIT_ADDRESS-1:0]);
    end
  end

  assign DOADO = out_a.data[LANES*8-1:0];
  assign DOPADOP = out_a.parity[LANES-1:0];
  assign DOBDO = SDP ? out_a.data[LANES*8+:LANES*8] : out_b.data[LANES*8-1:0];
  assign DOPBDOP = SDP ? out_a.parity[LANES+:LANES] : out_b.parity[LANES-1:0];

endmodule

`default_nettype wire
