// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// stream_fifo whose depth is an input, for simulation.
//
// Contract: in every cycle what stream_fifo does with DEPTH = depth, which stays the same and is
// 1 to CAPACITY. At the end of the simulation a line `fifo INDEX LEVEL HIGH_WATER` is printed: the
// beats that are held, and the most that were, as stream_fifo counts them.
`default_nettype none

module simulated_fifo #(
    parameter int unsigned WIDTH = 8,     // bits of tdata, >= 1
    parameter int unsigned CAPACITY = 32  // beats, a power of two
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [31:0] index,
    input wire logic [31:0] depth,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);

  localparam int unsigned ADDRESS_BITS = $clog2(CAPACITY);

  // The memory behind the output register: none at depth 1, one word that a beat passes by if the
  // register is free at depth 2, and words that every beat goes through from depth 3 on.
  logic [WIDTH-1:0] memory[CAPACITY];
  logic [WIDTH-1:0] data;
  logic [ADDRESS_BITS-1:0] write_address, read_address;
  logic [31:0] count, high_water;  // count: words in memory
  logic valid;
  wire advance = !valid || m_axis_tready;
  wire take = s_axis_tvalid && s_axis_tready;
  wire pass = depth <= 2 && advance && count == 0;
  wire [31:0] level = count + 32'(valid);

  assign s_axis_tready = depth == 1 ? advance : count != depth - 1;
  assign m_axis_tdata = data;
  assign m_axis_tvalid = valid;

  function automatic logic [ADDRESS_BITS-1:0] next(input logic [ADDRESS_BITS-1:0] address);
    return 32'(address) + 2 >= depth ? '0 : address + 1'b1;
  endfunction

  always_ff @(posedge clk) begin
    if (take && !pass) begin
      memory[write_address] <= s_axis_tdata;
      write_address <= next(write_address);
    end
    if (advance) begin
      if (count != 0) begin
        data <= memory[read_address];
        read_address <= next(read_address);
      end else if (take) begin
        data <= s_axis_tdata;
      end
      valid <= count != 0 || (pass && take);
    end
    count <= count + 32'(take && !pass) - 32'(advance && count != 0);
    if (level > high_water) high_water <= level;
    if (!rst_n) begin
      write_address <= '0;
      read_address <= '0;
      count <= 0;
      valid <= 1'b0;
      high_water <= 0;
    end
  end

  final $display("fifo %0d %0d %0d", index, level, high_water);

endmodule

`default_nettype wire
