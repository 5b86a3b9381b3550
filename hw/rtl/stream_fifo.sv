// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// FIFO of any depth, in registers, LUTs, block RAM or URAM.
//
// Contract: m_axis gives the beats of s_axis, in order; exactly DEPTH beats fit. m_axis is a
// register; in URAM, a choice among the words that share one of its. level is the number of beats held, high_water its maximum since the reset; left
// unconnected they cost nothing.
// Throughput and latency: a beat per cycle; one cycle at DEPTH 1 and 2, else two. s_axis_tready is
// a function of registers alone, except at DEPTH 1, where it follows m_axis_tready.
// Memory: DEPTH - 1 words of WIDTH bits behind the output register. RAM_STYLE 0 takes block RAM
// above 64 words and 4,096 bits, about a fifth of a RAMB18 and 85 LUTs.
// Reference: the identity.
`default_nettype none

module stream_fifo #(
    parameter int unsigned WIDTH = 8,      // bits of tdata, >= 1
    parameter int unsigned DEPTH = 32,     // beats, >= 1
    parameter int unsigned RAM_STYLE = 0,  // 0: by size, 1: LUTs, 2: block RAM, 3: URAM;
                                           // from DEPTH 3 on
    localparam int unsigned LEVEL_BITS = $clog2(DEPTH + 1)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready,

    output wire logic [LEVEL_BITS-1:0] level,
    output      logic [LEVEL_BITS-1:0] high_water
);

  if (WIDTH < 1) begin : gen_check_width
    $fatal(1, "stream_fifo: WIDTH must be at least 1, got %0d", WIDTH);
  end
  if (DEPTH < 1) begin : gen_check_depth
    $fatal(1, "stream_fifo: DEPTH must be at least 1, got %0d", DEPTH);
  end
  if (RAM_STYLE > 3) begin : gen_check_ram_style
    $fatal(1, "stream_fifo: RAM_STYLE must be 0 to 3, got %0d", RAM_STYLE);
  end

  if (DEPTH == 1) begin : gen_register
    logic [WIDTH-1:0] data;
    logic valid;

    assign s_axis_tready = !valid || m_axis_tready;
    assign m_axis_tdata = data;
    assign m_axis_tvalid = valid;
    assign level = valid;

    always_ff @(posedge clk) begin
      if (s_axis_tready) begin
        data  <= s_axis_tdata;
        valid <= s_axis_tvalid;
      end
      if (!rst_n) valid <= 1'b0;
    end
  end else if (DEPTH == 2) begin : gen_skid
    skid_buffer #(.WIDTH(WIDTH)) u_skid (.*);

    assign level = 2'(m_axis_tvalid) + 2'(!s_axis_tready);
  end else begin : gen_memory
    localparam int unsigned WORDS = DEPTH - 1;
    localparam int unsigned ADDRESS_BITS = $clog2(WORDS);
    localparam int unsigned COUNT_BITS = $clog2(WORDS + 1);
    localparam bit BLOCK = RAM_STYLE == 2 || (RAM_STYLE == 0 && WORDS > 64 && WORDS * WIDTH > 4096);
    // A memory of 2^n - 1 words is as large as one of 2^n, where addresses wrap by themselves.
    localparam int unsigned SLOTS = WORDS + 1 == 1 << ADDRESS_BITS ? WORDS + 1 : WORDS;

    logic [ADDRESS_BITS-1:0] write_address, read_address;
    logic [COUNT_BITS-1:0] count;  // words in memory, 0 to WORDS
    logic valid, write, read;

    assign s_axis_tready = count != COUNT_BITS'(WORDS);
    assign m_axis_tvalid = valid;
    assign write = s_axis_tvalid && s_axis_tready;
    assign read = count != 0 && (!valid || m_axis_tready);
    assign level = LEVEL_BITS'(count) + LEVEL_BITS'(valid);

    two_port_ram #(
        .WIDTH(WIDTH),
        .DEPTH(SLOTS),
        .BLOCK(RAM_STYLE == 3 ? 2 : 32'(BLOCK))
    ) u_ram (
        .clk,
        .write_enable (write),
        .write_address,
        .write_data   (s_axis_tdata),
        .read_enable  (read),
        .read_address,
        .read_data    (m_axis_tdata)
    );

    function automatic logic [ADDRESS_BITS-1:0] next(input logic [ADDRESS_BITS-1:0] address);
      if (SLOTS != 1 << ADDRESS_BITS && address == ADDRESS_BITS'(SLOTS - 1)) return '0;
      return address + 1'b1;
    endfunction

    always_ff @(posedge clk) begin
      if (write) write_address <= next(write_address);
      if (read) read_address <= next(read_address);
      if (write != read) count <= write ? count + 1'b1 : count - 1'b1;
      if (!valid || m_axis_tready) valid <= count != 0;
      if (!rst_n) begin
        write_address <= '0;
        read_address <= '0;
        count <= '0;
        valid <= 1'b0;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (level > high_water) high_water <= level;
    if (!rst_n) high_water <= '0;
  end

endmodule

`default_nettype wire
