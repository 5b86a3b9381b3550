// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A board for tests of the DMA: copies words of memory. Registers: 0 source, 4 target, 8 words to
// read, c control (bit 0 start, 1 stop, 2 flush, 3 reset, 4 no writing), 10 status (bit 0 reader
// drained, 1 writer drained, 2 writer empty), 14 words read, 18 words written, 1c read errors,
// 20 address of the last, 24 write errors, 28 address of the last.
`default_nettype none

module dma_copy #(
    parameter int unsigned MAX_BURST = 16,
    parameter int unsigned BUFFER_WORDS = 64,
    parameter int unsigned OUTSTANDING = 4
) (
    input wire logic aclk,
    input wire logic aresetn,

    input  wire logic [11:0] s_axi_awaddr,
    input  wire logic        s_axi_awvalid,
    output wire logic        s_axi_awready,
    input  wire logic [31:0] s_axi_wdata,
    input  wire logic [ 3:0] s_axi_wstrb,
    input  wire logic        s_axi_wvalid,
    output wire logic        s_axi_wready,
    output wire logic [ 1:0] s_axi_bresp,
    output wire logic        s_axi_bvalid,
    input  wire logic        s_axi_bready,
    input  wire logic [11:0] s_axi_araddr,
    input  wire logic        s_axi_arvalid,
    output wire logic        s_axi_arready,
    output wire logic [31:0] s_axi_rdata,
    output wire logic [ 1:0] s_axi_rresp,
    output wire logic        s_axi_rvalid,
    input  wire logic        s_axi_rready,

    output wire logic [31:0] m_axi_araddr,
    output wire logic [ 7:0] m_axi_arlen,
    output wire logic [ 2:0] m_axi_arsize,
    output wire logic [ 1:0] m_axi_arburst,
    output wire logic        m_axi_arvalid,
    input  wire logic        m_axi_arready,
    input  wire logic [63:0] m_axi_rdata,
    input  wire logic [ 1:0] m_axi_rresp,
    input  wire logic        m_axi_rlast,
    input  wire logic        m_axi_rvalid,
    output wire logic        m_axi_rready,
    output wire logic [31:0] m_axi_awaddr,
    output wire logic [ 7:0] m_axi_awlen,
    output wire logic [ 2:0] m_axi_awsize,
    output wire logic [ 1:0] m_axi_awburst,
    output wire logic        m_axi_awvalid,
    input  wire logic        m_axi_awready,
    output wire logic [63:0] m_axi_wdata,
    output wire logic [ 7:0] m_axi_wstrb,
    output wire logic        m_axi_wlast,
    output wire logic        m_axi_wvalid,
    input  wire logic        m_axi_wready,
    input  wire logic [ 1:0] m_axi_bresp,
    input  wire logic        m_axi_bvalid,
    output wire logic        m_axi_bready
);

  logic write, read;
  logic [11:2] write_address, read_address;
  logic [31:0] write_data, read_data;
  logic [3:0] write_strobe;
  logic [31:0] source, target, words, words_read, words_written, read_errors, write_errors;
  logic [31:0] read_error_address, write_error_address, read_failed_at, write_failed_at;
  logic start, stop, flush, local_reset, blind;
  logic read_drained, write_drained, empty, read_error, write_error;
  logic [63:0] word;
  logic word_valid, word_ready;
  wire logic rst_n = aresetn && !local_reset;

  axi_lite_slave u_bus (
      .clk  (aclk),
      .rst_n(aresetn),
      .*
  );

  axi_read_dma #(
      .MAX_BURST(MAX_BURST),
      .BUFFER_WORDS(BUFFER_WORDS)
  ) u_read (
      .clk(aclk),
      .rst_n,
      .start,
      .start_address(source[31:3]),
      .start_words(words[29:0]),
      .stop,
      .drained(read_drained),
      .error(read_error),
      .error_address(read_failed_at),
      .m_axis_tdata(word),
      .m_axis_tvalid(word_valid),
      .m_axis_tready(word_ready || blind),
      .*
  );

  axi_write_dma #(
      .MAX_BURST(MAX_BURST),
      .BUFFER_WORDS(BUFFER_WORDS),
      .OUTSTANDING(OUTSTANDING)
  ) u_write (
      .clk(aclk),
      .rst_n,
      .start,
      .start_address(target[31:3]),
      .flush,
      .stop,
      .drained(write_drained),
      .empty,
      .error(write_error),
      .error_address(write_failed_at),
      .s_axis_tdata(word),
      .s_axis_tvalid(word_valid && !blind),
      .s_axis_tready(word_ready),
      .*
  );

  assign m_axi_arsize = 3'd3;
  assign m_axi_arburst = 2'd1;
  assign m_axi_awsize = 3'd3;
  assign m_axi_awburst = 2'd1;
  assign m_axi_wstrb = '1;

  always_ff @(posedge aclk) begin
    start <= 1'b0;
    if (write) begin
      case (write_address)
        10'd0: source <= write_data;
        10'd1: target <= write_data;
        10'd2: words <= write_data;
        10'd3: {blind, local_reset, flush, stop, start} <= write_data[4:0];
        default: ;
      endcase
    end
    if (word_valid && (word_ready || blind)) words_read <= words_read + 1'b1;
    if (m_axi_wvalid && m_axi_wready) words_written <= words_written + 1'b1;
    if (read_error) begin
      read_errors <= read_errors + 1'b1;
      read_error_address <= read_failed_at;
    end
    if (write_error) begin
      write_errors <= write_errors + 1'b1;
      write_error_address <= write_failed_at;
    end
    if (!aresetn) {start, stop, flush, local_reset, blind} <= '0;
    if (!rst_n) {words_read, words_written, read_errors, write_errors} <= '0;
  end

  always_comb begin
    case (read_address)
      10'd4: read_data = {29'd0, empty, write_drained, read_drained};
      10'd5: read_data = words_read;
      10'd6: read_data = words_written;
      10'd7: read_data = read_errors;
      10'd8: read_data = read_error_address;
      10'd9: read_data = write_errors;
      10'd10: read_data = write_error_address;
      default: read_data = {22'd0, read_address};
    endcase
  end

endmodule

`default_nettype wire
