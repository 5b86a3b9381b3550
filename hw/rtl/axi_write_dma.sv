// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Write DMA: a stream into words of memory, from an address on.
//
// Contract: start begins a transfer to start_address on; the words of s_axis go to memory in order.
// Bursts have up to MAX_BURST beats and never cross 4 KiB; one is requested only if all of its data
// are in the buffer, so that the bus never waits for data. A shorter burst than could be goes out
// only at the end, when flush is set: all words that will come have come. stop ends requests; what
// has been requested still completes. drained: no request, data or response is under way; empty:
// no word waits either. error is set for a cycle by a response with an error, error_address is the
// address of its burst (lower 32 bits). start only while drained and after a reset; a reset only
// while drained.
// Throughput and latency: n words in n + 3 cycles for bursts of n. m_axi_aw*, m_axi_w* and
// m_axi_bready are functions of registers; address and data do not wait for each other.
// Memory: BUFFER_WORDS words of 64 bits.
// Reference: an assignment to a slice of memory.
`default_nettype none

module axi_write_dma #(
    parameter int unsigned ADDRESS_BITS = 32,   // of a byte, 32 to 64
    parameter int unsigned MAX_BURST    = 256,  // beats, 1 to 256; at most 16 for AXI3
    parameter int unsigned BUFFER_WORDS = 512,  // >= MAX_BURST, >= 3
    parameter int unsigned OUTSTANDING  = 8     // bursts without a response, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic                    start,
    input  wire logic [ADDRESS_BITS-1:3] start_address,
    input  wire logic                    flush,
    input  wire logic                    stop,
    output wire logic                    drained,
    output wire logic                    empty,
    output wire logic                    error,
    output wire logic [            31:0] error_address,

    input  wire logic [63:0] s_axis_tdata,
    input  wire logic        s_axis_tvalid,
    output wire logic        s_axis_tready,

    output      logic [ADDRESS_BITS-1:0] m_axi_awaddr,
    output      logic [             7:0] m_axi_awlen,
    output      logic                    m_axi_awvalid,
    input  wire logic                    m_axi_awready,
    output wire logic [            63:0] m_axi_wdata,
    output wire logic                    m_axi_wlast,
    output wire logic                    m_axi_wvalid,
    input  wire logic                    m_axi_wready,
    input  wire logic [             1:0] m_axi_bresp,
    input  wire logic                    m_axi_bvalid,
    output wire logic                    m_axi_bready
);

  if (ADDRESS_BITS < 32 || ADDRESS_BITS > 64) begin : gen_check_address_bits
    $fatal(1, "axi_write_dma: ADDRESS_BITS must be 32 to 64, got %0d", ADDRESS_BITS);
  end
  if (MAX_BURST < 1 || MAX_BURST > 256) begin : gen_check_max_burst
    $fatal(1, "axi_write_dma: MAX_BURST must be 1 to 256, got %0d", MAX_BURST);
  end
  if (BUFFER_WORDS < MAX_BURST || BUFFER_WORDS < 3) begin : gen_check_buffer_words
    $fatal(1, "axi_write_dma: BUFFER_WORDS must be at least MAX_BURST and 3, got %0d", BUFFER_WORDS);
  end
  if (OUTSTANDING < 1) begin : gen_check_outstanding
    $fatal(1, "axi_write_dma: OUTSTANDING must be at least 1, got %0d", OUTSTANDING);
  end

  localparam int unsigned COUNT_BITS = $clog2(BUFFER_WORDS + 1);
  localparam int unsigned COUNT_WIDTH = COUNT_BITS > 9 ? COUNT_BITS : 9;

  logic [ADDRESS_BITS-1:3] address;  // of the next burst
  logic [COUNT_WIDTH-1:0] waiting;  // words in the buffer that are in no burst yet
  logic [8:0] longest;  // longest burst from address on
  logic [8:0] beats_left;  // of the burst whose data go out
  logic planned;  // longest is valid
  logic buffered, room;
  logic [COUNT_BITS-1:0] unused_level, unused_high_water;
  logic [$clog2(OUTSTANDING + 1)-1:0] unused_answers_high_water;
  logic [$clog2(OUTSTANDING + 1)-1:0] unanswered;
  logic [31:3] answered;  // address of the oldest burst without a response

  wire logic [9:0] to_border = 10'd512 - 10'(address[11:3]);
  wire logic whole = waiting >= COUNT_WIDTH'(longest);
  wire logic [8:0] length = whole ? longest : waiting[8:0];
  wire logic issue = planned && !m_axi_awvalid && beats_left == 0 && room && !stop
      && (whole || (flush && waiting != 0));
  wire logic enter = s_axis_tvalid && s_axis_tready;
  wire logic send = m_axi_wvalid && m_axi_wready;

  assign m_axi_wvalid = beats_left != 0 && buffered;
  assign m_axi_wlast = beats_left == 9'd1;
  assign error = m_axi_bvalid && m_axi_bready && m_axi_bresp[1];
  assign error_address = {answered, 3'b000};
  assign drained = !m_axi_awvalid && beats_left == 0 && unanswered == 0;
  assign empty = drained && waiting == 0;

  wire unused = m_axi_bresp[0];

  stream_fifo #(
      .WIDTH(64),
      .DEPTH(BUFFER_WORDS)
  ) u_buffer (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (m_axi_wdata),
      .m_axis_tvalid(buffered),
      .m_axis_tready(beats_left != 0 && m_axi_wready),
      .level        (unused_level),
      .high_water   (unused_high_water)
  );

  // The addresses of the bursts without a response.
  stream_fifo #(
      .WIDTH(29),
      .DEPTH(OUTSTANDING)
  ) u_answers (
      .clk,
      .rst_n,
      .s_axis_tdata (address[31:3]),
      .s_axis_tvalid(issue),
      .s_axis_tready(room),
      .m_axis_tdata (answered),
      .m_axis_tvalid(m_axi_bready),
      .m_axis_tready(m_axi_bvalid),
      .level        (unanswered),
      .high_water   (unused_answers_high_water)
  );

  always_ff @(posedge clk) begin
    if (m_axi_awready) m_axi_awvalid <= 1'b0;
    planned <= 1'b1;
    longest  <= to_border < 10'(MAX_BURST) ? to_border[8:0] : 9'(MAX_BURST);
    if (send) beats_left <= beats_left - 1'b1;
    if (issue) begin
      m_axi_awvalid <= 1'b1;
      m_axi_awaddr <= {address, 3'b000};
      m_axi_awlen <= 8'(length - 1'b1);
      address <= address + (ADDRESS_BITS - 3)'(length);
      beats_left <= length;
      planned <= 1'b0;
    end
    waiting <= waiting + COUNT_WIDTH'(enter) - (issue ? COUNT_WIDTH'(length) : '0);
    if (start) begin
      address <= start_address;
      planned <= 1'b0;
    end
    if (!rst_n) begin
      m_axi_awvalid <= 1'b0;
      planned <= 1'b0;
      beats_left <= '0;
      waiting <= '0;
    end
  end

endmodule

`default_nettype wire
