// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Read DMA: words of memory, from an address on, as a stream.
//
// Contract: start begins a transfer of start_words 64-bit words from start_address on; m_axis gives
// them in order. Bursts have up to MAX_BURST beats and never cross 4 KiB; one is requested only if
// the buffer can take all of it, so that data never waits on the bus. stop ends requests; what has
// been requested still comes. drained: nothing is requested or under way. error is set for a cycle
// by a word that came with an error, error_address is its address (lower 32 bits). start only while
// drained and after a reset; a reset only while drained.
// Throughput and latency: a word per cycle; a burst is requested every three cycles at most, so
// MAX_BURST >= 4 keeps the pace. m_axi_ar* and m_axis are registers, m_axi_rready is constant.
// Memory: BUFFER_WORDS words of 64 bits.
// Reference: a slice of memory.
`default_nettype none

module axi_read_dma #(
    parameter int unsigned ADDRESS_BITS = 32,  // of a byte, 32 to 64
    parameter int unsigned MAX_BURST    = 256, // beats, 1 to 256; at most 16 for AXI3
    parameter int unsigned BUFFER_WORDS = 512  // >= MAX_BURST, >= 3
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic                    start,
    input  wire logic [ADDRESS_BITS-1:3] start_address,
    input  wire logic [            29:0] start_words,
    input  wire logic                    stop,
    output wire logic                    drained,
    output wire logic                    error,
    output wire logic [            31:0] error_address,

    output      logic [ADDRESS_BITS-1:0] m_axi_araddr,
    output      logic [             7:0] m_axi_arlen,
    output      logic                    m_axi_arvalid,
    input  wire logic                    m_axi_arready,
    input  wire logic [            63:0] m_axi_rdata,
    input  wire logic [             1:0] m_axi_rresp,
    input  wire logic                    m_axi_rvalid,
    output wire logic                    m_axi_rready,

    output wire logic [63:0] m_axis_tdata,
    output wire logic        m_axis_tvalid,
    input  wire logic        m_axis_tready
);

  if (ADDRESS_BITS < 32 || ADDRESS_BITS > 64) begin : gen_check_address_bits
    $fatal(1, "axi_read_dma: ADDRESS_BITS must be 32 to 64, got %0d", ADDRESS_BITS);
  end
  if (MAX_BURST < 1 || MAX_BURST > 256) begin : gen_check_max_burst
    $fatal(1, "axi_read_dma: MAX_BURST must be 1 to 256, got %0d", MAX_BURST);
  end
  if (BUFFER_WORDS < MAX_BURST || BUFFER_WORDS < 3) begin : gen_check_buffer_words
    $fatal(1, "axi_read_dma: BUFFER_WORDS must be at least MAX_BURST and 3, got %0d", BUFFER_WORDS);
  end

  localparam int unsigned FREE_BITS = $clog2(BUFFER_WORDS + 1);
  localparam int unsigned FREE_WIDTH = FREE_BITS > 9 ? FREE_BITS : 9;

  logic [ADDRESS_BITS-1:3] address;  // of the next burst
  logic [31:3] arriving;  // address of the next word that comes
  logic [29:0] words_left;  // to be requested
  logic [8:0] length;  // of the next burst
  logic planned;  // length is valid
  logic [FREE_WIDTH-1:0] free;  // words of the buffer that are neither full nor promised
  logic [FREE_WIDTH-1:0] coming;  // words requested that have not come

  wire logic [9:0] to_border = 10'd512 - 10'(address[11:3]);
  wire logic [8:0] longest = to_border < 10'(MAX_BURST) ? to_border[8:0] : 9'(MAX_BURST);
  wire logic issue = planned && !m_axi_arvalid && !stop && free >= FREE_WIDTH'(length);
  wire logic arrive = m_axi_rvalid && m_axi_rready;
  wire logic leave = m_axis_tvalid && m_axis_tready;
  logic ready;
  logic [FREE_BITS-1:0] unused_level, unused_high_water;

  assign drained = !m_axi_arvalid && coming == 0;
  assign m_axi_rready = 1'b1;
  assign error = arrive && m_axi_rresp[1];
  assign error_address = {arriving, 3'b000};

  // Never full: a word comes only where it was promised.
  wire unused = &{ready, m_axi_rresp[0]};

  stream_fifo #(
      .WIDTH(64),
      .DEPTH(BUFFER_WORDS)
  ) u_buffer (
      .clk,
      .rst_n,
      .s_axis_tdata (m_axi_rdata),
      .s_axis_tvalid(arrive),
      .s_axis_tready(ready),
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready,
      .level        (unused_level),
      .high_water   (unused_high_water)
  );

  always_ff @(posedge clk) begin
    if (m_axi_arready) m_axi_arvalid <= 1'b0;
    if (!planned) begin
      planned <= words_left != 0;
      length  <= words_left < 30'(longest) ? words_left[8:0] : longest;
    end
    if (issue) begin
      m_axi_arvalid <= 1'b1;
      m_axi_araddr <= {address, 3'b000};
      m_axi_arlen <= 8'(length - 1'b1);
      address <= address + (ADDRESS_BITS - 3)'(length);
      words_left <= words_left - 30'(length);
      planned <= 1'b0;
    end
    free   <= free - (issue ? FREE_WIDTH'(length) : '0) + FREE_WIDTH'(leave);
    coming <= coming + (issue ? FREE_WIDTH'(length) : '0) - FREE_WIDTH'(arrive);
    if (arrive) arriving <= arriving + 1'b1;
    if (start) begin
      address <= start_address;
      arriving <= start_address[31:3];
      words_left <= start_words;
    end
    if (!rst_n) begin
      m_axi_arvalid <= 1'b0;
      planned <= 1'b0;
      words_left <= '0;
      free <= FREE_WIDTH'(BUFFER_WORDS);
      coming <= '0;
    end
  end

endmodule

`default_nettype wire
