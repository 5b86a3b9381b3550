// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A banked memory and a banked table with the same content, driven by a stream of orders.
//
// s_axis_tdata is {order, index or address, data}: order 0 puts a beat on the load bus, 1 changes
// the bank, 2 reads. m_axis has {word of the memory, word of the table} for every read.
`default_nettype none

module banked_words
  import load_pkg::*;
#(
    parameter int unsigned WIDTH     = 9,
    parameter int unsigned DEPTH     = 5,
    parameter int unsigned STYLE     = 0,
    parameter int unsigned LOAD_BITS = 16,
    parameter int unsigned LOAD_BASE = 3,
    parameter int unsigned TABLE     = 1  // 0: without the table, which needs WIDTH <= LOAD_BITS
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [INDEX_BITS+LOAD_BITS+1:0] s_axis_tdata,
    input  wire logic                            s_axis_tvalid,
    output wire logic                            s_axis_tready,

    output wire logic [2*WIDTH-1:0] m_axis_tdata,
    output wire logic               m_axis_tvalid,
    input  wire logic               m_axis_tready
);

  localparam int unsigned PLACE_BITS = $clog2(2 * DEPTH);
  localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;

  wire logic [1:0] order = s_axis_tdata[INDEX_BITS+LOAD_BITS+:2];
  wire logic [INDEX_BITS-1:0] index = s_axis_tdata[LOAD_BITS+:INDEX_BITS];
  wire logic take = s_axis_tvalid && s_axis_tready;
  wire logic read = take && order == 2'd2;
  wire logic [LOAD_BITS+INDEX_BITS+1:0] load;
  logic [WIDTH-1:0] word, entry, entry_d;
  logic bank, valid, turned;

  // A cycle after a change of the bank nothing comes.
  assign s_axis_tready = (!valid || m_axis_tready) && !turned;
  assign load = {bank, take && order == 2'd0, index, s_axis_tdata[LOAD_BITS-1:0]};
  assign m_axis_tdata = {word, entry_d};
  assign m_axis_tvalid = valid;

  banked_memory #(
      .WIDTH    (WIDTH),
      .DEPTH    (DEPTH),
      .STYLE    (STYLE),
      .LOAD_BITS(LOAD_BITS),
      .LOAD_BASE(LOAD_BASE)
  ) u_memory (
      .clk,
      .rst_n,
      .load,
      .enable (read),
      .address((bank ? PLACE_BITS'(DEPTH) : '0) + PLACE_BITS'(index)),
      .word
  );

  if (TABLE != 0) begin : gen_table
    // Two readers, of which the second has the address that counts.
    wire logic [1:0][WIDTH-1:0] entries;
    banked_table #(
        .WIDTH    (WIDTH),
        .DEPTH    (DEPTH),
        .READERS  (2),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE)
    ) u_table (
        .clk,
        .rst_n,
        .load,
        .address({ADDRESS_BITS'(index), ADDRESS_BITS'(0)}),
        .word   (entries)
    );
    assign entry = entries[1];
  end else begin : gen_none
    assign entry = '0;
  end

  always_ff @(posedge clk) begin
    turned <= take && order == 2'd1;
    if (take && order == 2'd1) bank <= !bank;
    if (read) entry_d <= entry;
    if (!valid || m_axis_tready) valid <= read;
    if (!rst_n) begin
      bank   <= 1'b0;
      valid  <= 1'b0;
      turned <= 1'b1;
    end
  end

endmodule

`default_nettype wire
